//! Campaigns over sound code.

use pinseal_sim::{Campaign, Invariant, Schedule, Setting, Summary, run, shrink, trace};

/// Schedules in `make test`, in four quarters: cores share them, and none takes long where a machine has much else to do.
const QUARTER: u64 = 2_500;

fn hold(campaign: Campaign) -> Summary {
    let summary = campaign.run(|_| {});
    if let Some(failure) = &summary.failure {
        let seed = failure.schedule.seed;
        let lines = trace(&shrink(failure).schedule).join("\n");
        panic!("seed {seed}: {}\nreplay: make sim SEED={seed} SCHEDULES=1\n{lines}", failure.violation);
    }
    summary
}

fn quarter(number: u64) {
    let seed = 1 + number * QUARTER;
    let summary = hold(Campaign { seed, schedules: QUARTER, setting: None });
    // A campaign in which nothing happens proves nothing.
    let counts = summary.counts;
    assert_eq!((summary.schedules, summary.kinds.len()), (QUARTER, 44), "{:?}", summary.kinds);
    let least = counts.right.min(counts.wrong).min(counts.refused).min(counts.halted);
    assert!(least > QUARTER / 4 && counts.boots > 2 * QUARTER && counts.batches > 5 * QUARTER, "{counts:?}");
}

#[test]
fn every_promise_holds_in_the_first_quarter_of_ten_thousand_schedules() {
    quarter(0);
}

#[test]
fn every_promise_holds_in_the_second_quarter_of_ten_thousand_schedules() {
    quarter(1);
}

#[test]
fn every_promise_holds_in_the_third_quarter_of_ten_thousand_schedules() {
    quarter(2);
}

#[test]
fn every_promise_holds_in_the_last_quarter_of_ten_thousand_schedules() {
    quarter(3);
}

/// L0 promises nothing, L1 nothing against whoever puts the anchor back as well, L2 nothing against whoever puts the TPM itself back, L4 nothing
/// against whoever puts all witnesses back: the simulator shows each.
#[test]
fn where_nothing_is_claimed_the_caps_do_break() {
    let settings = [
        Setting::MemoryCounted,
        Setting::FileRestoredCounted,
        Setting::TpmRestoredCounted,
        Setting::WitnessesRestoredCounted,
    ];
    for setting in settings {
        let summary = Campaign { seed: 1, schedules: 3_000, setting: Some(setting) }.run(|_| {});
        let failure = summary.failure.unwrap_or_else(|| panic!("{}: nothing broke", setting.name()));
        assert_eq!(failure.violation.invariant, Invariant::Caps, "{}: {}", setting.name(), failure.violation);
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..20 {
        let schedule = Schedule::draw(seed, None);
        assert_eq!(schedule, Schedule::draw(seed, None));
        assert_eq!(run(&schedule), run(&schedule), "seed {seed}");
        assert_eq!(trace(&schedule), trace(&schedule), "seed {seed}");
    }
}
