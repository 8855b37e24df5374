//! Attacks written by hand, move by move: each holds in sound code, and does what it says.

use pinseal_sim::anchor::Weather;
use pinseal_sim::{
    Brought, Claim, Company, Deed, Goal, Lie, Move, Number, Schedule, Setting, Stage, Theme, What, Wish, trace,
};

/// The scene in which nobody has given a wrong PIN.
const FRESH: usize = 0;
/// The one in which two more wrong PINs of strangers trip the breaker.
const WATCHED: usize = 4;
const LAPTOP: usize = 0;
const STRANGER: usize = 2;

fn play(theme: Theme, setting: Setting, moves: Vec<Move>) -> Vec<String> {
    play_from(FRESH, theme, setting, moves)
}

fn play_from(scene: usize, theme: Theme, setting: Setting, moves: Vec<Move>) -> Vec<String> {
    let lines = trace(&Schedule { seed: 0, setting, theme, scene, moves });
    assert_eq!(lines.last().map(String::as_str), Some("every promise held"), "{lines:#?}");
    lines
}

fn says(lines: &[String], what: &str) -> usize {
    lines.iter().filter(|line| line.contains(what)).count()
}

const fn ask(at: usize, who: usize, what: What, right: bool, whole: bool) -> Move {
    Move::Ask { at, who, what, right, heard: true, waits: false, whole }
}

const fn arrange(wish: Wish) -> Move {
    Move::Arrange { at: 0, wish, back: 0, weather: Weather::Fine, steps: u8::MAX }
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

#[test]
fn a_tripped_breaker_stays_so_over_a_boot_until_the_operators_resume_it_and_their_order_is_good_once() {
    let guess = Move::Guess { at: 0, who: STRANGER, times: 2 };
    let again = Move::Carry {
        at: 0,
        order: 0,
        image: Some(0),
        tenure: 0,
        root: 0,
        rebased: false,
        stage: Stage::Ordered,
        claim: Claim::Asked,
        asks_next: false,
        weather: Weather::Fine,
        steps: u8::MAX,
        pauses: false,
    };
    let stranger = ask(0, STRANGER, What::Enrol, false, true);
    let moves = vec![guess, stranger, boot(0, 0, false), stranger, arrange(Wish::Resume), stranger, again];
    let lines = play_from(WATCHED, Theme::Crowd, Setting::File, moves);
    assert_eq!(says(&lines, "refused (enrolment_paused)"), 2, "{lines:#?}");
    assert_eq!(says(&lines, "answered: wrong PIN"), 3, "{lines:#?}");
    assert_eq!(says(&lines, "halts (OrderRefused)"), 1, "{lines:#?}");
}

#[test]
fn a_tpms_index_that_is_defined_anew_is_not_brought_up_again() {
    let moves =
        vec![ask(0, STRANGER, What::Enrol, false, true), Move::Owner { chip: 0, deed: Deed::Rebuild { back: 1 } }];
    let lines = play(Theme::Owner, Setting::Tpm, moves);
    assert_eq!(says(&lines, "the enclave halts (AnchorMissing)"), 1, "{lines:#?}");
    assert_eq!(says(&lines, "takes nothing more"), 1, "{lines:#?}");
}

#[test]
fn an_authorisation_lets_nothing_into_a_tpm_twice() {
    let moves = vec![
        ask(0, STRANGER, What::Enrol, false, true),
        Move::Owner { chip: 0, deed: Deed::Replay { back: 0 } },
        Move::Owner { chip: 0, deed: Deed::Replay { back: 2 } },
        ask(0, LAPTOP, What::Verify, true, true),
    ];
    let lines = play(Theme::Owner, Setting::Tpm, moves);
    assert_eq!(says(&lines, "the index takes it"), 0, "{lines:#?}");
    assert_eq!(says(&lines, "answered: PIN verified"), 2, "nothing was spoilt, the last at the end: {lines:#?}");
}

/// What the level does not claim: a virtual TPM goes back with its machine.
#[test]
fn a_tpm_that_is_rolled_back_itself_takes_an_older_database() {
    let moves = vec![ask(0, STRANGER, What::Enrol, false, true), Move::RollBack { back: 2 }];
    let lines = play(Theme::Owner, Setting::TpmRestoredCounted, moves);
    assert_eq!(says(&lines, "the enclave serves"), 2, "{lines:#?}");
}

#[test]
fn the_first_beginning_of_a_change_does_not_boot_under_the_root_of_the_second() {
    let moves = vec![Move::Twice { at: 0, wish: Wish::Witnesses(2), lie: Lie::None }];
    let lines = play(Theme::Changer, Setting::Witnesses, moves);
    assert_eq!(says(&lines, "the root of a new tenure leaves"), 1, "{lines:#?}");
    assert_eq!(says(&lines, "halts (StateMismatch)"), 1, "{lines:#?}");
}

const fn owner(chip: usize, deed: Deed) -> Move {
    Move::Owner { chip, deed }
}

/// The newest order once more, on what was shown for it and under the root that was shown.
const fn again(rebased: bool, claim: Claim) -> Move {
    Move::Carry {
        at: 0,
        order: 0,
        image: None,
        tenure: 0,
        root: 0,
        rebased,
        stage: Stage::Ordered,
        claim,
        asks_next: false,
        weather: Weather::Fine,
        steps: u8::MAX,
        pauses: false,
    }
}

const RESTORE: Wish = Wish::Restore { to: Goal::Same, number: Number::Next };
const VERIFY: Move = ask(0, LAPTOP, What::Verify, true, true);

#[test]
fn a_deployment_moves_into_a_tpm_to_another_and_out_to_witnesses_and_its_tries_move_with_it() {
    let guess = ask(0, STRANGER, What::Enrol, false, true);
    let moves = vec![
        guess,
        arrange(Wish::Tpm(0)),
        VERIFY,
        arrange(Wish::Tpm(1)),
        guess,
        VERIFY,
        arrange(Wish::Witnesses(2)),
        VERIFY,
    ];
    let lines = play(Theme::Mover, Setting::File, moves);
    assert_eq!(says(&lines, "the root of a new tenure leaves"), 3, "{lines:#?}");
    assert_eq!(says(&lines, "written for the first time"), 2, "{lines:#?}");
    assert_eq!(says(&lines, "answered: PIN verified"), 4, "the last at the end: {lines:#?}");
}

#[test]
fn an_order_to_restore_in_a_tpm_is_carried_out_once_whatever_is_said_of_the_index() {
    let guess = Move::Guess { at: 0, who: LAPTOP, times: 1 };
    let arranged = Move::Arrange { at: 0, wish: RESTORE, back: 2, weather: Weather::Fine, steps: u8::MAX };
    let moves = vec![
        guess,
        arranged,
        again(false, Claim::Asked),
        again(true, Claim::Asked),
        again(false, Claim::Nothing),
        again(false, Claim::Forged(0)),
        again(false, Claim::Forged(1)),
        again(false, Claim::Forged(2)),
    ];
    let lines = play(Theme::Mover, Setting::Tpm, moves);
    assert_eq!(says(&lines, "the root of a new tenure leaves"), 1, "{lines:#?}");
    assert_eq!(says(&lines, "halts (OrderRefused)"), 6, "{lines:#?}");
    assert_eq!(says(&lines, "answered: restore accepted"), 2, "Ada's and Bob's, at the end: {lines:#?}");
}

#[test]
fn an_index_that_is_primed_again_is_not_the_one_that_was_ordered_and_the_operators_restore() {
    for deed in [Deed::Prime { uses: true }, Deed::Clear, Deed::Redefine] {
        let moves = vec![arrange(Wish::Tpm(1)), VERIFY, owner(1, deed), boot(0, 0, false)];
        let lines = play(Theme::Mover, Setting::Tpm, moves);
        assert_eq!(says(&lines, "nothing starts: the operators restore what is left"), 1, "{deed:?}: {lines:#?}");
        assert_eq!(says(&lines, "answered: restore accepted"), 2, "{deed:?}: Ada's and Bob's: {lines:#?}");
        assert_eq!(says(&lines, "answered: PIN verified"), 2, "{deed:?}: {lines:#?}");
    }
}

#[test]
fn an_index_that_was_gone_on_in_by_order_is_not_brought_up_again() {
    let moves = vec![arrange(Wish::Tpm(1)), VERIFY, VERIFY, owner(1, Deed::Rebuild { back: 2 })];
    let lines = play(Theme::Mover, Setting::Tpm, moves);
    assert_eq!(says(&lines, "the index defined anew takes nothing more"), 1, "{lines:#?}");
}

#[test]
fn of_two_enclaves_with_one_session_one_goes_on_and_no_answer_of_the_tpms_is_good_for_both() {
    for brought in [Brought::Theirs, Brought::Certified, Brought::OnTop] {
        let pair = Move::Pair { first: 0, who: STRANGER, brought };
        // Both start, then one serves under the session that the other is started with.
        let lines = play(Theme::Owner, Setting::Tpm, vec![pair, pair]);
        assert_eq!(says(&lines, "halts (Fenced)"), 2, "{brought:?}: {lines:#?}");
        assert_eq!(says(&lines, "answered: wrong PIN"), 1, "{brought:?}: {lines:#?}");
        assert_eq!(says(&lines, "the index takes both"), 0, "{brought:?}: {lines:#?}");
        assert_eq!(says(&lines, "nothing starts"), 0, "{brought:?}: nothing was spoilt: {lines:#?}");
    }
}
