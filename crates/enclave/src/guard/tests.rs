#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use proptest::prelude::*;

use super::*;

const HOUR: u64 = 3_600;

fn two_devices() -> Guard {
    let mut guard = Guard::default();
    guard.enrol();
    guard.enrol();
    guard
}

/// Charges as often as admitted, an hour apart; returns how often.
fn exhaust(guard: &mut Guard, caller: Caller, clock: &mut u64) -> u8 {
    let mut charged = 0;
    loop {
        *clock += HOUR;
        if guard.admit(caller, UnixSeconds(*clock)).is_err() {
            return charged;
        }
        guard.charge(caller, UnixSeconds(*clock));
        guard.fail();
        charged += 1;
    }
}

#[test]
fn a_device_gets_five_wrong_pins_and_two_devices_nine() {
    let mut guard = two_devices();
    let mut clock = 0;
    assert_eq!(exhaust(&mut guard, Caller::Enrolled(0), &mut clock), 5);
    assert_eq!(guard.admit(Caller::Enrolled(0), UnixSeconds(clock + HOUR)), Err(Refusal::Locked));
    assert_eq!(exhaust(&mut guard, Caller::Enrolled(1), &mut clock), 4);
    assert_eq!(guard.admit(Caller::Enrolled(1), UnixSeconds(clock + HOUR)), Err(Refusal::WalletLocked));
    assert_eq!(guard.admit(Caller::Unenrolled, UnixSeconds(clock + HOUR)), Err(Refusal::WalletLocked));
}

#[test]
fn the_tenth_try_is_kept_for_an_enrolled_device_that_charged_none() {
    let mut guard = two_devices();
    let mut clock = 0;
    assert_eq!(exhaust(&mut guard, Caller::Unenrolled, &mut clock), 5);
    assert_eq!(exhaust(&mut guard, Caller::Enrolled(1), &mut clock), 4);
    let now = UnixSeconds(clock + HOUR);
    assert_eq!(guard.tries(Caller::Enrolled(0), now).left, 1);
    assert_eq!(guard.admit(Caller::Enrolled(0), now), Ok(()));
    guard.charge(Caller::Enrolled(0), now);
    guard.fail();
    assert_eq!(guard.outstanding(), OUTSTANDING_MAX);
    assert_eq!(guard.admit(Caller::Enrolled(0), UnixSeconds(clock + 3 * HOUR)), Err(Refusal::WalletLocked));
}

#[test]
fn a_fault_at_the_ninety_ninth_wrong_answer_does_not_end_the_pin() {
    let mut guard = Guard { enrolled: vec![0], life_wrong: 99, ..Guard::default() };
    guard.charge(Caller::Enrolled(0), UnixSeconds(0));
    assert_eq!(guard.admit(Caller::Enrolled(0), UnixSeconds(HOUR)), Ok(()), "its answer never left");
    guard.charge(Caller::Enrolled(0), UnixSeconds(HOUR));
    guard.fail();
    assert_eq!(guard.admit(Caller::Enrolled(0), UnixSeconds(2 * HOUR)), Err(Refusal::PinSpent));
}

#[test]
fn unenrolled_devices_share_five() {
    let mut guard = two_devices();
    assert_eq!(exhaust(&mut guard, Caller::Unenrolled, &mut 0), 5);
}

#[test]
fn a_success_gives_back_only_the_callers_own_tries() {
    let mut guard = two_devices();
    let mut clock = 0;
    exhaust(&mut guard, Caller::Unenrolled, &mut clock);
    exhaust(&mut guard, Caller::Enrolled(1), &mut clock);
    assert_eq!(guard.outstanding(), 9);
    let mut guard = two_devices();
    exhaust(&mut guard, Caller::Unenrolled, &mut clock);
    guard.charge(Caller::Enrolled(0), UnixSeconds(clock));
    guard.succeed(Caller::Enrolled(0));
    assert_eq!(guard.unenrolled_outstanding(), 5);
    assert_eq!(guard.device_outstanding(0), 0);
    guard.clear();
    assert_eq!(guard.outstanding(), 0);
}

#[test]
fn an_unenrolled_success_gives_back_one_try_only() {
    let mut guard = two_devices();
    for _ in 0..3 {
        guard.charge(Caller::Unenrolled, UnixSeconds(0));
    }
    guard.succeed(Caller::Unenrolled);
    assert_eq!(guard.unenrolled_outstanding(), 2);
}

#[test]
fn revoking_a_device_does_not_give_its_tries_back() {
    let mut guard = two_devices();
    exhaust(&mut guard, Caller::Enrolled(1), &mut 0);
    guard.revoke(1);
    assert_eq!(guard.outstanding(), 5);
    guard.enrol();
    assert_eq!(guard.device_outstanding(1), 0);
    assert_eq!(guard.outstanding(), 5);
}

#[test]
fn revoking_a_place_where_no_device_is_changes_nothing() {
    let mut guard = two_devices();
    guard.charge(Caller::Enrolled(1), UnixSeconds(0));
    let before = guard.clone();
    for place in [2, 3, usize::MAX] {
        guard.revoke(place);
        assert_eq!(guard, before, "{place}");
    }
}

#[test]
fn a_guard_fits_as_many_devices_as_it_counts() {
    let guard = two_devices();
    assert!([0, 1, 3].into_iter().all(|devices| !guard.fits(devices)) && guard.fits(2));
}

#[test]
fn a_hundred_wrong_answers_end_a_pin_whatever_succeeds_or_is_cleared() {
    let mut guard = two_devices();
    let mut clock = 0;
    let mut wrong = 0;
    loop {
        let charged = exhaust(&mut guard, Caller::Enrolled(0), &mut clock);
        if charged == 0 {
            break;
        }
        wrong += u32::from(charged);
        if guard.may_clear() {
            guard.clear();
        } else {
            guard.charge(Caller::Enrolled(0), UnixSeconds(clock));
            guard.succeed(Caller::Enrolled(0));
        }
    }
    assert_eq!(wrong, u32::from(PIN_LIFE_WRONG_MAX));
    assert_eq!(guard.admit(Caller::Enrolled(1), UnixSeconds(clock + HOUR)), Err(Refusal::PinSpent));
    guard.renew_pin();
    assert_eq!(guard.admit(Caller::Enrolled(1), UnixSeconds(clock + HOUR)), Ok(()));
}

#[test]
fn strangers_and_a_stolen_device_leave_an_untouched_device_a_try_for_a_new_pin() {
    let mut guard = two_devices();
    let (owner, thief) = (Caller::Enrolled(0), Caller::Enrolled(1));
    let mut clock = 0;
    // Whatever they spend, the owner clears, as long as that gives anything back.
    let spend = |guard: &mut Guard, clock: &mut u64, caller| {
        let mut wrong = 0;
        loop {
            let charged = exhaust(guard, caller, clock);
            wrong += u32::from(charged);
            if charged == 0 || !guard.may_clear() {
                return wrong;
            }
            guard.clear();
        }
    };
    assert_eq!(spend(&mut guard, &mut clock, Caller::Unenrolled), u32::from(UNENROLLED_LIFE_WRONG_MAX));
    let now = UnixSeconds(clock + HOUR);
    assert_eq!(guard.admit(Caller::Unenrolled, now), Err(Refusal::PinSpent));
    assert_eq!((guard.tries(Caller::Unenrolled, now).life_left, guard.tries(owner, now).life_left), (0, 20));
    spend(&mut guard, &mut clock, thief);
    assert!(!guard.may_clear());
    let now = UnixSeconds(clock + HOUR);
    assert_eq!(guard.admit(thief, now), Err(Refusal::Locked));
    assert_eq!(guard.admit(owner, now), Ok(()));
    // A new PIN opens every path.
    for _ in 0..2 {
        guard.charge(owner, now);
        guard.refund(owner);
    }
    guard.renew_pin();
    assert!(guard.may_clear());
    guard.clear();
    assert_eq!(guard.admit(Caller::Unenrolled, now), Ok(()));
}

#[test]
fn delays_follow_the_third_fifth_and_seventh_wrong_pin_of_a_class() {
    let mut guard = two_devices();
    let now = UnixSeconds(1_000);
    let mut seen = Vec::new();
    for round in 0..8 {
        guard.charge(Caller::Enrolled(round % 2), now);
        seen.push(guard.tries(Caller::Enrolled(0), now).delay_seconds);
    }
    assert_eq!(seen, [0, 0, 60, 60, 600, 600, 3_600, 3_600]);
    assert_eq!(guard.tries(Caller::Unenrolled, now).delay_seconds, 0, "classes are kept apart");
    assert_eq!(guard.admit(Caller::Enrolled(0), now), Err(Refusal::Delayed));
    assert_eq!(guard.tries(Caller::Enrolled(0), UnixSeconds(1_000 + 3_599)).delay_seconds, 1);
    assert_eq!(guard.admit(Caller::Enrolled(0), UnixSeconds(1_000 + 3_600)), Ok(()));
}

#[test]
fn a_clock_that_runs_backwards_never_lengthens_a_delay() {
    let mut guard = two_devices();
    for _ in 0..3 {
        guard.charge(Caller::Unenrolled, UnixSeconds(1 << 40));
    }
    assert_eq!(guard.tries(Caller::Unenrolled, UnixSeconds(0)).delay_seconds, 60);
}

#[test]
fn a_try_whose_answer_never_left_stays_outstanding_but_does_not_age_the_pin() {
    let mut guard = two_devices();
    for _ in 0..2 {
        guard.charge(Caller::Enrolled(0), UnixSeconds(0));
    }
    assert_eq!(guard.tries(Caller::Enrolled(0), UnixSeconds(0)).left, 3);
    assert_eq!(guard.tries(Caller::Enrolled(0), UnixSeconds(0)).life_left, 100);
    guard.fail();
    assert_eq!(guard.tries(Caller::Enrolled(0), UnixSeconds(0)).life_left, 99);
}

#[test]
fn wrong_answers_before_its_confirmation_count_in_a_new_pins_life() {
    let mut guard = Guard { enrolled: vec![0], ..Guard::default() };
    guard.begin_pending();
    let mut clock = 0;
    let mut wrong = |guard: &mut Guard| {
        clock += HOUR;
        guard.charge(Caller::Enrolled(0), UnixSeconds(clock));
        guard.fail_pending();
        UnixSeconds(clock + HOUR)
    };
    for _ in 0..3 {
        wrong(&mut guard);
    }
    let now = wrong(&mut guard);
    guard.charge(Caller::Enrolled(0), now);
    guard.succeed(Caller::Enrolled(0));
    guard.renew_pin();
    assert_eq!(guard.tries(Caller::Enrolled(0), now).life_left, PIN_LIFE_WRONG_MAX - 4);
    // The next one that waits begins anew.
    wrong(&mut guard);
    guard.begin_pending();
    guard.renew_pin();
    assert_eq!(guard.tries(Caller::Enrolled(0), now).life_left, PIN_LIFE_WRONG_MAX);
}

#[test]
fn a_guard_with_nothing_pending_is_stored_as_it_was_before_there_was_a_count_of_it() {
    let mut guard = two_devices();
    guard.charge(Caller::Enrolled(1), UnixSeconds(7));
    let bytes = minicbor::to_vec(&guard).unwrap();
    assert_eq!(bytes[0], 0x87, "seven fields");
    assert_eq!(minicbor::decode::<Guard>(&bytes).unwrap(), guard);
    guard.fail_pending();
    assert_eq!(minicbor::decode::<Guard>(&minicbor::to_vec(&guard).unwrap()).unwrap(), guard);
}

#[test]
fn preparing_a_new_pin_gives_back_no_older_try() {
    let mut guard = two_devices();
    guard.charge(Caller::Enrolled(0), UnixSeconds(0));
    guard.fail();
    guard.charge(Caller::Enrolled(0), UnixSeconds(0));
    guard.refund(Caller::Enrolled(0));
    assert_eq!(guard.device_outstanding(0), 1);
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Wrong(usize),
    Right(usize),
    Unsettled(usize),
    Prepare(usize),
    WrongConfirm(usize),
    Confirm(usize),
    WrongUnenrolled,
    Enrol,
    Revoke(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0_usize..3).prop_map(Act::Wrong),
        1 => (0_usize..3).prop_map(Act::Right),
        1 => (0_usize..3).prop_map(Act::Unsettled),
        1 => (0_usize..3).prop_map(Act::Prepare),
        4 => (0_usize..3).prop_map(Act::WrongConfirm),
        1 => (0_usize..3).prop_map(Act::Confirm),
        4 => Just(Act::WrongUnenrolled),
        1 => Just(Act::Enrol),
        1 => (0_usize..3).prop_map(Act::Revoke),
    ]
}

proptest! {
    /// Between two successes of one device it gets at most five wrong answers; unenrolled ones at most five for ever (nothing
    /// here clears); ten are never exceeded in all; a hundred never over the life of a PIN, that before its confirmation included.
    #[test]
    fn no_order_of_events_exceeds_a_cap(acts in proptest::collection::vec(act(), 1..400)) {
        let mut guard = Guard::default();
        guard.enrol();
        let mut devices = 1_usize;
        let mut clock = 0;
        let (mut unenrolled_wrong, mut life) = (0_u32, 0_u32);
        // Wrong answers of the PIN that waits, where one does.
        let mut pending = None;
        for act in acts {
            clock += HOUR;
            let now = UnixSeconds(clock);
            match act {
                Act::Wrong(device) if device < devices && guard.admit(Caller::Enrolled(device), now).is_ok() => {
                    guard.charge(Caller::Enrolled(device), now);
                    guard.fail();
                    life += 1;
                }
                Act::Right(device) if device < devices && guard.admit(Caller::Enrolled(device), now).is_ok() => {
                    guard.charge(Caller::Enrolled(device), now);
                    guard.succeed(Caller::Enrolled(device));
                    prop_assert_eq!(guard.device_outstanding(device), 0);
                }
                Act::Unsettled(device) if device < devices && guard.admit(Caller::Enrolled(device), now).is_ok() => {
                    guard.charge(Caller::Enrolled(device), now);
                }
                Act::Prepare(device) if device < devices && guard.admit(Caller::Enrolled(device), now).is_ok() => {
                    guard.charge(Caller::Enrolled(device), now);
                    guard.refund(Caller::Enrolled(device));
                    guard.begin_pending();
                    pending = Some(0);
                }
                Act::WrongConfirm(device)
                    if device < devices && pending.is_some() && guard.admit(Caller::Enrolled(device), now).is_ok() =>
                {
                    guard.charge(Caller::Enrolled(device), now);
                    guard.fail_pending();
                    life += 1;
                    pending = pending.map(|wrong| wrong + 1);
                }
                Act::Confirm(device)
                    if device < devices && pending.is_some() && guard.admit(Caller::Enrolled(device), now).is_ok() =>
                {
                    guard.charge(Caller::Enrolled(device), now);
                    guard.succeed(Caller::Enrolled(device));
                    guard.renew_pin();
                    life = pending.take().unwrap_or_default();
                    let life_left = u32::from(guard.tries(Caller::Enrolled(device), now).life_left);
                    prop_assert_eq!(life_left, u32::from(PIN_LIFE_WRONG_MAX) - life);
                }
                Act::WrongUnenrolled if guard.admit(Caller::Unenrolled, now).is_ok() => {
                    guard.charge(Caller::Unenrolled, now);
                    guard.fail();
                    unenrolled_wrong += 1;
                    life += 1;
                }
                Act::Enrol if devices < 3 => { guard.enrol(); devices += 1; }
                Act::Revoke(device) if device < devices && devices > 1 => { guard.revoke(device); devices -= 1; }
                _ => {}
            }
            prop_assert!(guard.outstanding() <= OUTSTANDING_MAX);
            prop_assert!(unenrolled_wrong <= u32::from(UNENROLLED_OUTSTANDING_MAX));
            prop_assert!(life <= u32::from(PIN_LIFE_WRONG_MAX));
            prop_assert!((0..devices).all(|device| guard.device_outstanding(device) <= DEVICE_OUTSTANDING_MAX));
            prop_assert!(guard.fits(devices));
        }
    }
}
