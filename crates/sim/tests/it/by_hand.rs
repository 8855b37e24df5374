//! Attacks written by hand, move by move: each holds in sound code, and does what it says.

use pinseal_sim::anchor::Weather;
use pinseal_sim::{Company, Move, Schedule, Setting, Theme, What, trace};

/// The scene in which nobody has given a wrong PIN.
const FRESH: usize = 0;
const LAPTOP: usize = 0;
const STRANGER: usize = 2;

fn play(theme: Theme, setting: Setting, moves: Vec<Move>) -> Vec<String> {
    let lines = trace(&Schedule { seed: 0, setting, theme, scene: FRESH, moves });
    assert_eq!(lines.last().map(String::as_str), Some("every promise held"), "{lines:#?}");
    lines
}

fn says(lines: &[String], what: &str) -> usize {
    lines.iter().filter(|line| line.contains(what)).count()
}

const fn ask(at: usize, who: usize, what: What, right: bool, whole: bool) -> Move {
    Move::Ask { at, who, what, right, heard: true, waits: false, whole }
}

const fn boot(at: usize, back: usize, honest: bool) -> Move {
    Move::Boot { at, back, mixed: false, honest, tenure: 0, weather: Weather::Fine, steps: u8::MAX }
}

#[test]
fn killing_the_host_after_every_charge_buys_no_guess() {
    // Three steps: the charge is stored, anchored, told; the settling write is lost with the process.
    let brute = Move::Brute { at: 0, who: STRANGER, times: 8, steps: 3, back: 0 };
    let lines = play(Theme::Guesser, Setting::File, vec![brute]);
    assert_eq!(says(&lines, "answered: wrong PIN"), 0);
    assert_eq!(says(&lines, "refused (pin_locked)"), 3, "five charges, then the path is closed: {lines:#?}");
}

#[test]
fn an_older_database_does_not_boot() {
    let guess = Move::Guess { at: 0, who: STRANGER, times: 2 };
    let lines = play(Theme::Restorer, Setting::File, vec![guess, boot(0, 3, false)]);
    assert_eq!(says(&lines, "halts (StateOlder)"), 1, "{lines:#?}");
}

#[test]
fn of_two_enclaves_on_one_state_the_older_is_fenced() {
    let moves =
        vec![boot(0, 0, true), ask(0, LAPTOP, What::Verify, true, false), boot(1, 0, false), Move::Finish { at: 0 }];
    let lines = play(Theme::Forker, Setting::File, moves);
    assert_eq!(says(&lines, "halts (Fenced)"), 1, "{lines:#?}");
    assert_eq!(says(&lines, "request 0 is answered"), 0, "{lines:#?}");
}

#[test]
fn an_owners_success_kept_back_is_void_once_the_wallet_has_moved() {
    let moves = vec![
        Move::Hold { at: 0, who: LAPTOP, what: What::Clear, right: true },
        ask(0, STRANGER, What::Enrol, false, true),
        Move::Replay { at: 0, back: 1, company: Company::Newest },
        Move::Finish { at: 0 },
    ];
    let lines = play(Theme::Harvester, Setting::File, moves);
    assert_eq!(says(&lines, "request 0 is answered: refused (challenge_invalid)"), 1, "{lines:#?}");
}

#[test]
fn a_lost_answer_of_the_anchor_is_rolled_forward_or_found_done() {
    let lost = Move::Step { at: 0, steps: 5, weather: Weather::LostReply };
    let lines = play(Theme::Honest, Setting::File, vec![ask(0, LAPTOP, What::Verify, true, false), lost]);
    assert_eq!(says(&lines, "the host stops"), 1, "{lines:#?}");
}

/// Were it otherwise, that caps break where nothing is claimed could not be shown.
#[test]
fn witnesses_that_were_all_put_back_vouch_for_an_older_database() {
    let moves = vec![ask(0, STRANGER, What::Enrol, false, true), Move::RollBack { back: 2 }];
    let lines = play(Theme::Restorer, Setting::WitnessesRestoredCounted, moves);
    assert_eq!(says(&lines, "answered: wrong PIN"), 1, "{lines:#?}");
    let boots = |lines: &[String]| says(lines, "the enclave serves");
    let (before, after) = lines.split_at(lines.iter().position(|line| line.contains("is put back")).unwrap());
    assert_eq!((boots(before), boots(after)), (1, 1), "{lines:#?}");
}

#[test]
fn a_client_that_has_seen_more_stops_a_restored_deployment() {
    let moves = vec![
        ask(0, LAPTOP, What::Verify, true, true),
        Move::RollBack { back: 1 },
        ask(0, LAPTOP, What::Verify, true, true),
    ];
    let lines = play(Theme::Restorer, Setting::FileRestored, moves);
    assert_eq!(says(&lines, "refused (state_rolled_back)"), 1, "{lines:#?}");
    assert_eq!(says(&lines, "halts (RolledBack)"), 1, "{lines:#?}");
}
