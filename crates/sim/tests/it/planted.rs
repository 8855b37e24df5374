//! Every planted defect is found, and what is left of the schedule that found it can be read.

use pinseal_sim::planted::{ALL, Planted};
use pinseal_sim::{run, shrink, trace};

/// Schedules in which each must be found, from where the search for it begins.
const BUDGET: u64 = 150;
/// Moves that a person still reads; the longest needs a few guesses, a refusal and a replay.
const MOVES_READABLE: usize = 8;

/// Where to begin, for those that the first schedules do not find: playing up to there takes too long for each test run.
/// `make sim ARGS=--planted` plays from the first on, up to 5,000.
const LATE: &[(&str, u64)] = &[
    ("NewAnchorNotShown", 87),
    ("OrderNotVerified", 101),
    ("OrderOfAnyState", 101),
    ("CheckpointOfAnyTerm", 104),
    ("TermFollowsFromOrder", 104),
    ("WordOfAnyOrder", 118),
    ("UnenrolledCapOff", 120),
    ("AccumulatorIgnoresVersion", 151),
    ("AbortTellsVerdict", 165),
    ("MinorityIsEnough", 225),
    ("ChallengeNotBound", 235),
    ("AcceptanceOfAnyRestore", 239),
    ("AcceptanceNotCharged", 276),
    ("host FenceMissing", 314),
    ("CosignatureOfAnother", 340),
    ("IndexNameNotChecked", 340),
    ("AttesterNotChecked", 358),
    ("PrepareGivesBack", 385),
    ("host AbortsTheUnknown", 395),
    ("SecondAcceptanceGivesTry", 439),
    ("LaterRestoreConvictsNobody", 461),
    ("BaseNotCompared", 626),
    ("OrderOfAnyRoot", 648),
    ("RecordNotBound", 733),
    ("ClientReceiptNotVerified", 793),
    ("RestoreNumberNotCompared", 796),
    ("BreakerMovesEarly", 881),
    ("PrimeNotDrawn", 884),
    ("BreakerOvershoots", 977),
    ("WordOfAnyIndex", 1_241),
    ("ReadsNotFenced", 1_108),
    ("RevokeForgetsTries", 1_321),
    ("WordOfAnyTpm", 1_571),
    ("RestoreNotTold", 2_396),
];

fn first_seed(name: &str) -> u64 {
    LATE.iter().find(|(late, _)| *late == name).map_or(1, |(_, seed)| *seed)
}

/// Every `parts`-th defect from `part` on, so that two cores share them.
fn found(part: usize, parts: usize) {
    for (defect, setting) in ALL.iter().skip(part).step_by(parts) {
        let name = defect.name();
        let found = defect.find(*setting, first_seed(&name), BUDGET).unwrap_or_else(|| panic!("{name} was not found"));
        defect.during(*setting, || {
            let small = shrink(&found.failure);
            assert_eq!(small.violation.invariant, found.failure.violation.invariant, "{name}");
            assert!(small.schedule.moves.len() <= MOVES_READABLE, "{name}: {:#?}", trace(&small.schedule));
            assert_eq!(run(&small.schedule), Err(small.violation.clone()), "{name} replays");
        });
        assert!(run(&found.failure.schedule).is_ok(), "{name}: the same schedule holds without the defect");
    }
}

#[test]
fn every_planted_defect_is_found_one() {
    found(0, 2);
}

#[test]
fn every_planted_defect_is_found_two() {
    found(1, 2);
}

#[test]
fn a_defect_is_planted_on_its_own_thread_alone() {
    let (defect, setting) = ALL[0];
    assert!(matches!(defect, Planted::Enclave(_)));
    let found = defect.find(setting, 1, BUDGET).unwrap();
    let schedule = found.failure.schedule;
    defect.during(setting, || {
        assert!(run(&schedule).is_err());
        let elsewhere = std::thread::scope(|scope| scope.spawn(|| run(&schedule)).join());
        assert!(elsewhere.unwrap().is_ok());
    });
}
