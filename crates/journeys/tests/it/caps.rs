//! Every cap and delay on PIN guesses, over HTTP and the real enclave, in the test's own time.

mod parallel;

use pinseal_client::{LockKind, OperationError};
use pinseal_protocol::limits::{
    CLEAR_LIFE_WRONG_MAX, DEVICE_OUTSTANDING_MAX, OUTSTANDING_MAX, PIN_LIFE_WRONG_MAX, UNENROLLED_LIFE_WRONG_MAX,
    UNENROLLED_OUTSTANDING_MAX,
};
use pinseal_protocol::reply::{Outcome, Tries};
use pinseal_protocol::request::{Method, Request};

use crate::system::System;
use crate::system::device::{Device, PIN, WRONG, new_pin, pin};
use crate::system::raw::wrong_factor;

const ANN: &str = "ann@example.org";
/// Longer than every delay.
const HOUR: u64 = 3_600;

/// How an unenrolled device tests a PIN.
async fn try_to_enrol(device: &Device, text: &str) -> Result<Tries, OperationError> {
    device.attest().await.enrol_device(&pin(text), "another").await
}

fn wrong(answer: Result<Tries, OperationError>) -> Tries {
    match answer {
        Err(OperationError::WrongPin { tries }) => tries,
        other => panic!("{other:?}"),
    }
}

fn locked(answer: Result<Tries, OperationError>) -> LockKind {
    match answer {
        Err(OperationError::Locked { kind, .. }) => kind,
        other => panic!("{other:?}"),
    }
}

/// Charged by a wrong PIN, not by what is refused before.
fn delayed(answer: Result<Tries, OperationError>) -> u32 {
    match answer {
        Err(OperationError::Delayed { seconds, .. }) => seconds,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_pins_meet_every_cap_and_delay_and_an_enrolled_device_reopens() {
    let system = System::start().await;
    let app = system.app("App");
    let laptop = system.person(&app, ANN).await;
    let phone = system.further_device(&app, ANN).await;
    phone.enrol("phone").await;

    // Five on one enrolled device. After three a minute, after five ten, each to the second and without a charge.
    assert_eq!(wrong(laptop.try_pin(WRONG).await), Tries { left: 4, life_left: 99, delay_seconds: 0 });
    assert_eq!(wrong(laptop.try_pin(WRONG).await), Tries { left: 3, life_left: 98, delay_seconds: 0 });
    assert_eq!(wrong(laptop.try_pin(WRONG).await), Tries { left: 2, life_left: 97, delay_seconds: 60 });
    assert_eq!(delayed(laptop.try_pin(PIN).await), 60, "also for the right PIN");
    assert_eq!(delayed(phone.try_pin(PIN).await), 60, "the delay is of all enrolled devices");
    system.clock.pass(59);
    assert_eq!(delayed(laptop.try_pin(WRONG).await), 1);
    system.clock.pass(1);
    assert_eq!(wrong(laptop.try_pin(WRONG).await).delay_seconds, 60);
    system.clock.pass(60);
    assert_eq!(wrong(laptop.try_pin(WRONG).await), Tries { left: 0, life_left: 95, delay_seconds: 600 });
    system.clock.pass(HOUR);
    assert_eq!(locked(laptop.try_pin(PIN).await), LockKind::Device);
    assert_eq!(laptop.outstanding().await, DEVICE_OUTSTANDING_MAX);

    // A second enrolled device counts for itself, in the class's delays. Of its four more the last of the wallet is not for it: it
    // has charged one.
    assert_eq!(wrong(phone.try_pin(WRONG).await), Tries { left: 3, life_left: 94, delay_seconds: 600 });
    system.clock.pass(599);
    assert_eq!(delayed(phone.try_pin(PIN).await), 1);
    system.clock.pass(1);
    assert_eq!(wrong(phone.try_pin(WRONG).await), Tries { left: 2, life_left: 93, delay_seconds: 3_600 });
    system.clock.pass(HOUR - 1);
    assert_eq!(delayed(phone.try_pin(PIN).await), 1);
    system.clock.pass(1);

    // The right PIN gives back what this device charged, and nothing of the other's.
    phone.try_pin(PIN).await.unwrap();
    assert_eq!(phone.outstanding().await, DEVICE_OUTSTANDING_MAX);
    assert_eq!(locked(laptop.try_pin(PIN).await), LockKind::Device);

    // A thief of the laptop and of the login gets nine: the tenth is kept for the phone, which has charged none.
    let strangers = [system.further_device(&app, ANN).await, system.further_device(&app, ANN).await];
    for (place, left, delay) in [(0, 3, 0), (1, 2, 0), (0, 1, 60), (1, 0, 60)] {
        let tries = wrong(try_to_enrol(&strangers[place], WRONG).await);
        assert_eq!((tries.left, tries.delay_seconds), (left, delay));
        system.clock.pass(HOUR);
    }
    for stranger in &strangers {
        assert_eq!(locked(try_to_enrol(stranger, PIN).await), LockKind::Wallet);
    }
    assert_eq!(locked(laptop.try_pin(PIN).await), LockKind::Device);
    assert_eq!(laptop.outstanding().await, OUTSTANDING_MAX - 1);
    assert_eq!(phone.try_pin(PIN).await.unwrap().left, 1);
    let tries = phone.attest().await.clear_tries(&pin(PIN)).await.unwrap();
    assert_eq!((tries.left, phone.outstanding().await), (DEVICE_OUTSTANDING_MAX, 0));

    // Five for all unenrolled devices together, whatever their number.
    for (place, delay) in [(0, 0), (1, 0), (0, 60), (1, 60), (0, 600)] {
        assert_eq!(wrong(try_to_enrol(&strangers[place], WRONG).await).delay_seconds, delay);
        system.clock.pass(HOUR);
    }
    for stranger in [&strangers[0], &strangers[1], &system.further_device(&app, ANN).await] {
        assert_eq!(locked(try_to_enrol(stranger, PIN).await), LockKind::Device);
    }
    // The laptop has a fifth try of its own and may not use it.
    for left in [3, 2, 1, 0] {
        assert_eq!(wrong(laptop.try_pin(WRONG).await).left, left);
        system.clock.pass(HOUR);
    }
    assert_eq!(locked(laptop.try_pin(PIN).await), LockKind::Wallet);
    // The phone uses up the kept one: ten in all, and four of its own that it may not use.
    assert_eq!(wrong(phone.try_pin(WRONG).await).left, 0);
    let status = laptop.status().await;
    assert_eq!((status.unenrolled_outstanding, status.outstanding), (UNENROLLED_OUTSTANDING_MAX, OUTSTANDING_MAX));
    system.clock.pass(HOUR);
    assert_eq!(locked(phone.try_pin(PIN).await), LockKind::Wallet);
    assert_eq!(locked(phone.attest().await.clear_tries(&pin(PIN)).await), LockKind::Wallet);
    system.clock.pass(100 * 24 * HOUR / 10);
    phone.log_in(ANN).await;
    assert_eq!(locked(phone.try_pin(PIN).await), LockKind::Wallet, "time alone gives nothing back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enrolled_device_clears_what_others_spent_and_a_restart_clears_nothing() {
    let system = System::start().await;
    let app = system.app("App");
    let laptop = system.person(&app, ANN).await;
    let phone = system.further_device(&app, ANN).await;
    phone.enrol("phone").await;
    let stranger = system.further_device(&app, ANN).await;
    for _ in 0..UNENROLLED_OUTSTANDING_MAX {
        wrong(try_to_enrol(&stranger, WRONG).await);
        system.clock.pass(HOUR);
    }
    for _ in 0..4 {
        wrong(laptop.try_pin(WRONG).await);
        system.clock.pass(HOUR);
    }
    assert_eq!(laptop.outstanding().await, 9);
    system.restart_enclave().await;
    assert_eq!(laptop.outstanding().await, 9);
    assert_eq!(locked(try_to_enrol(&stranger, PIN).await), LockKind::Device);
    assert_eq!(locked(laptop.try_pin(PIN).await), LockKind::Wallet, "the last one is the phone's");

    // A clear is a try like any other: a wrong PIN is charged.
    let answer = phone.attest().await.clear_tries(&pin(WRONG)).await;
    assert_eq!(wrong(answer).left, 0);
    assert_eq!(laptop.outstanding().await, OUTSTANDING_MAX);
    assert_eq!(locked(laptop.try_pin(PIN).await), LockKind::Wallet);
    // Revoking is no way round: what a device charged stays with the wallet.
    assert_eq!(locked(phone.attest().await.revoke_device(&pin(PIN), laptop.id()).await), LockKind::Wallet);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clearing_reopens_every_path_and_the_life_of_a_pin_still_ends_at_its_cap() {
    let system = System::start().await;
    let app = system.app("App");
    let laptop = system.person(&app, ANN).await;
    let stranger = system.further_device(&app, ANN).await;
    let mut given = 0;
    while given < UNENROLLED_LIFE_WRONG_MAX {
        for _ in 0..UNENROLLED_OUTSTANDING_MAX {
            given += 1;
            let tries = wrong(wrong_enrolment(&system, &stranger).await);
            assert_eq!(tries.life_left, UNENROLLED_LIFE_WRONG_MAX - given);
            system.clock.pass(HOUR);
        }
        let closed = if given < UNENROLLED_LIFE_WRONG_MAX { LockKind::Device } else { LockKind::PinSpent };
        assert_eq!(locked(try_to_enrol(&stranger, PIN).await), closed);
        let tries = laptop.attest().await.clear_tries(&pin(PIN)).await.unwrap();
        assert_eq!((tries.left, tries.life_left), (5, PIN_LIFE_WRONG_MAX - given), "a clear gives no life back");
    }
    // The rest is for enrolled devices, and the last of it not to be cleared for anybody.
    assert_eq!(locked(try_to_enrol(&stranger, PIN).await), LockKind::PinSpent);
    while given < PIN_LIFE_WRONG_MAX {
        laptop.try_pin(PIN).await.unwrap();
        for _ in 0..4 {
            given += 1;
            assert_eq!(wrong(laptop.try_pin(WRONG).await).life_left, PIN_LIFE_WRONG_MAX - given);
            system.clock.pass(HOUR);
        }
        if given > CLEAR_LIFE_WRONG_MAX {
            assert_eq!(locked(laptop.attest().await.clear_tries(&pin(PIN)).await), LockKind::PinSpent);
        }
    }
    // Nobody may try this PIN any more, whatever it is, and no clear, change or restart helps.
    system.restart_enclave().await;
    assert_eq!(locked(try_to_enrol(&stranger, PIN).await), LockKind::PinSpent);
    assert_eq!(locked(laptop.try_pin(PIN).await), LockKind::PinSpent);
    let attested = laptop.attest().await;
    assert_eq!(locked(attested.clear_tries(&pin(PIN)).await), LockKind::PinSpent);
    assert_eq!(locked(attested.change_pin_prepare(&pin(PIN), &new_pin("731904")).await), LockKind::PinSpent);
}

/// A wrong PIN of an unenrolled device, without the wait for a real factor.
async fn wrong_enrolment(system: &System, device: &Device) -> Result<Tries, OperationError> {
    let request = |_: &_| Request::EnrolDevice { pin: wrong_factor(), label: "another".into() };
    let sealed = device.prepare(&system.manifest(), Method::EnrolDevice, request).await;
    let reply = sealed.open(&device.send(&sealed).await);
    match reply.outcome {
        Outcome::WrongPin => Err(OperationError::WrongPin { tries: reply.tries.unwrap() }),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changing_the_pin_begins_a_new_life_and_ends_the_old_pin() {
    let system = System::start().await;
    let app = system.app("App");
    let laptop = system.person(&app, ANN).await;
    let attested = laptop.attest().await;
    wrong(laptop.try_pin(WRONG).await);
    let tries = attested.change_pin_prepare(&pin(PIN), &new_pin("731904")).await.unwrap();
    assert_eq!(tries.life_left, 99);
    // Until it is confirmed the old one is in force; a wrong confirmation is a try.
    laptop.try_pin(PIN).await.unwrap();
    assert_eq!(wrong(attested.change_pin_confirm(&pin("731905")).await).left, 4);
    let tries = attested.change_pin_confirm(&pin("731904")).await.unwrap();
    assert_eq!((tries.left, tries.life_left), (5, 99), "the wrong confirmation counts for the new one");
    assert_eq!(wrong(laptop.try_pin(PIN).await).left, 4);
    laptop.try_pin("731904").await.unwrap();
}
