//! The caps, through the whole state machine.

use pinseal_protocol::limits::{CLEAR_LIFE_WRONG_MAX, DEVICE_OUTSTANDING_MAX};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{BeginReply, Method, Request};

use crate::world::{Answer, Client, World, factor};

const HOUR: u64 = 3_600;

/// Guesses an hour apart until refused; returns how many were answered as wrong and the refusal.
fn guess(world: &mut World, client: &mut Client, enrolled: bool) -> (u32, Refusal) {
    let mut wrong = 0;
    loop {
        world.now += HOUR;
        let reply = if enrolled { client.verify(world, "000000") } else { client.enrol(world, "000000") };
        match reply.outcome {
            Outcome::WrongPin => wrong += 1,
            Outcome::Refused(refusal) => return (wrong, refusal),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn five_wrong_pins_close_a_device_and_the_right_pin_comes_too_late() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    assert_eq!(guess(&mut world, &mut client, true), (5, Refusal::Locked));
    world.now += HOUR;
    assert_eq!(client.verify(&mut world, "135790").outcome, Outcome::Refused(Refusal::Locked));
}

#[test]
fn near_the_end_of_a_pins_life_a_clear_gives_nothing_back_and_charges_nothing() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let clear = |world: &mut World, client: &mut Client| {
        world.now += HOUR;
        let clear = |begin: &BeginReply| Request::ClearTries { pin: factor("135790", &begin.current.unwrap()) };
        client.run(world, Method::ClearTries, clear).outcome
    };
    for wrong in 1..=CLEAR_LIFE_WRONG_MAX {
        world.now += HOUR;
        assert_eq!(client.verify(&mut world, "000000").outcome, Outcome::WrongPin, "{wrong}");
        if wrong % (DEVICE_OUTSTANDING_MAX - 1) == 0 || wrong == CLEAR_LIFE_WRONG_MAX {
            assert_eq!(clear(&mut world, &mut client), Outcome::TriesCleared, "{wrong}");
        }
    }
    world.now += HOUR;
    assert_eq!(client.verify(&mut world, "000000").outcome, Outcome::WrongPin);
    assert_eq!(clear(&mut world, &mut client), Outcome::Refused(Refusal::PinSpent));
    let tries = client.status(&mut world).tries.unwrap();
    assert_eq!(tries.left, DEVICE_OUTSTANDING_MAX - 1);
    assert_eq!(client.verify(&mut world, "135790").outcome, Outcome::PinVerified);
}

#[test]
fn a_host_that_mints_tokens_and_invents_devices_gets_five_guesses() {
    let mut world = World::new();
    let mut owner = Client::new("ada");
    owner.register(&mut world, "135790");
    let mut wrong = 0;
    for _ in 0..20 {
        let mut invented = Client::new("ada");
        wrong += guess(&mut world, &mut invented, false).0;
    }
    assert_eq!(wrong, 5);
    world.now += HOUR;
    assert_eq!(
        owner.verify(&mut world, "135790").outcome,
        Outcome::PinVerified,
        "the owner's device has tries of its own"
    );
    let mut invented = Client::new("ada");
    assert_eq!(
        guess(&mut world, &mut invented, false),
        (0, Refusal::Locked),
        "an owner's success gives nothing back to others"
    );
}

#[test]
fn only_a_confirmed_clear_reopens_the_path_for_new_devices() {
    let mut world = World::new();
    let mut owner = Client::new("ada");
    owner.register(&mut world, "135790");
    guess(&mut world, &mut Client::new("ada"), false);
    let clear = |world: &mut World, owner: &mut Client, pin: &str| {
        owner
            .run(world, Method::ClearTries, |begin| Request::ClearTries { pin: factor(pin, &begin.current.unwrap()) })
            .outcome
    };
    assert_eq!(clear(&mut world, &mut owner, "999999"), Outcome::WrongPin);
    assert_eq!(guess(&mut world, &mut Client::new("ada"), false).0, 0);
    assert_eq!(clear(&mut world, &mut owner, "135790"), Outcome::TriesCleared);
    assert_eq!(Client::new("ada").enrol(&mut world, "135790").outcome, Outcome::DeviceEnrolled);
}

#[test]
fn thieves_of_a_device_and_the_login_leave_one_try_to_the_owners_other_device() {
    let mut world = World::new();
    let (mut laptop, mut phone) = (Client::new("ada"), Client::new("ada"));
    laptop.register(&mut world, "135790");
    phone.enrol(&mut world, "135790");
    assert_eq!(guess(&mut world, &mut phone, true), (5, Refusal::Locked));
    assert_eq!(guess(&mut world, &mut Client::new("ada"), false), (4, Refusal::WalletLocked));
    let mut careless = world.disk.clone();
    world.now += HOUR;
    let reply = laptop.run(&mut world, Method::ClearTries, |begin| Request::ClearTries {
        pin: factor("135790", &begin.current.unwrap()),
    });
    assert_eq!(reply.outcome, Outcome::TriesCleared);
    core::mem::swap(&mut world.disk, &mut careless);
    world.boot();
    laptop.receipt = None;
    assert_eq!(guess(&mut world, &mut laptop, true), (1, Refusal::WalletLocked), "ten outstanding close the wallet");
    world.now += HOUR;
    assert_eq!(laptop.verify(&mut world, "135790").outcome, Outcome::Refused(Refusal::WalletLocked));
}

#[test]
fn the_third_wrong_pin_delays_for_a_minute_of_host_time() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    for left in [4, 3, 2] {
        let reply = client.verify(&mut world, "000000");
        assert_eq!((reply.outcome, reply.tries.unwrap().left), (Outcome::WrongPin, left));
    }
    let reply = client.verify(&mut world, "135790");
    assert_eq!(reply.outcome, Outcome::Refused(Refusal::Delayed));
    assert_eq!(reply.tries.unwrap().delay_seconds, 60);
    world.now -= 30;
    assert_eq!(
        client.verify(&mut world, "135790").outcome,
        Outcome::Refused(Refusal::Delayed),
        "time never runs backwards"
    );
    world.now += 60;
    assert_eq!(client.verify(&mut world, "135790").outcome, Outcome::PinVerified);
}

#[test]
fn a_reboot_gives_no_try_and_no_time_back() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    for _ in 0..3 {
        client.verify(&mut world, "000000");
    }
    world.boot();
    assert_eq!(client.verify(&mut world, "000000").outcome, Outcome::Refused(Refusal::Delayed));
    assert_eq!(guess(&mut world, &mut client, true), (2, Refusal::Locked));
}

#[test]
fn sixty_four_requests_at_once_get_the_cap_and_not_one_more() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let prepare = |client: &mut Client, world: &mut World| {
        client
            .prepare(world, Method::VerifyPin, |begin| Request::VerifyPin {
                pin: factor("000000", &begin.current.unwrap()),
            })
            .unwrap()
    };
    let all: Vec<_> = (0..64).map(|_| prepare(&mut client, &mut world)).collect();
    let (mut wrong, mut refused, mut overtaken) = (0, 0, 0);
    for mut one in all {
        // A kind host: a minute between them, so that no delay helps the guard.
        world.now += 61;
        loop {
            let call = world.submit(&one.wallet, &one.request);
            let Some(Answer::Replied(reply)) = world.take(call) else { panic!() };
            match one.opener.open(&reply).unwrap().outcome {
                Outcome::WrongPin => wrong += 1,
                Outcome::Refused(Refusal::ChallengeInvalid | Refusal::TokenExpired) => {
                    // As a client does: begin again with the same PIN.
                    overtaken += 1;
                    one = prepare(&mut client, &mut world);
                    continue;
                }
                Outcome::Refused(Refusal::Locked) => refused += 1,
                Outcome::Refused(Refusal::Delayed) => {
                    world.now += HOUR;
                    one = prepare(&mut client, &mut world);
                    continue;
                }
                other => panic!("{other:?}"),
            }
            break;
        }
    }
    assert_eq!((wrong, refused), (5, 59));
    assert!(overtaken >= 59, "{overtaken}");
}

#[test]
fn the_last_device_stays() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let device = client.device();
    let reply = client.run(&mut world, Method::RevokeDevice, |begin| Request::RevokeDevice {
        pin: factor("135790", &begin.current.unwrap()),
        device,
    });
    assert_eq!(reply.outcome, Outcome::Refused(Refusal::LastDevice));
}

#[test]
fn preparing_a_new_pin_gives_no_older_try_back_and_is_forgotten_after_a_day() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    client.verify(&mut world, "000000");
    let reply = client.run(&mut world, Method::ChangePinPrepare, |begin| Request::ChangePinPrepare {
        pin: factor("135790", &begin.current.unwrap()),
        new_pin: factor("246802", &begin.next),
    });
    assert_eq!((reply.outcome, reply.tries.unwrap().left), (Outcome::Prepared, 4));
    let parameters = world.begin(&client, Method::ChangePinConfirm).unwrap().pending.unwrap();
    world.now += 86_400;
    assert!(world.begin(&client, Method::ChangePinConfirm).unwrap().pending.is_none());
    let reply = client.run(&mut world, Method::ChangePinConfirm, |_| Request::ChangePinConfirm {
        pin: factor("246802", &parameters),
    });
    assert_eq!(reply.outcome, Outcome::Refused(Refusal::NothingPending));
}

#[test]
fn a_second_request_while_one_waits_for_the_anchor_is_busy_and_free() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let prepare = |client: &mut Client, world: &mut World| {
        client
            .prepare(world, Method::VerifyPin, |begin| Request::VerifyPin {
                pin: factor("000000", &begin.current.unwrap()),
            })
            .unwrap()
    };
    let (first, second) = (prepare(&mut client, &mut world), prepare(&mut client, &mut world));
    let step = |world: &mut World, prepared: &crate::world::Prepared| {
        use pinseal_protocol::ids::UnixSeconds;
        use pinseal_protocol::wire::ToEnclave;
        let call = world.next_call();
        let message = ToEnclave::Sealed {
            call,
            time: UnixSeconds(world.now),
            request: prepared.request.clone(),
            outer: world.disk.records.get(&prepared.wallet).map(|(_, outer)| outer.clone().into()),
            consistency: world.consistency(prepared.request.header.receipt_size),
        };
        world.enclave.step(message, &mut world.environment)
    };
    use pinseal_protocol::wire::FromEnclave;
    let charge = step(&mut world, &first);
    assert!(matches!(charge.as_slice(), [FromEnclave::Commit(_)]), "nothing leaves before the charge is anchored");
    let busy = step(&mut world, &second);
    let [FromEnclave::Replied { reply, .. }] = busy.as_slice() else { panic!("{busy:?}") };
    let reply = second.opener.open(reply).unwrap();
    assert_eq!(reply.outcome, Outcome::Refused(Refusal::Busy));
}
