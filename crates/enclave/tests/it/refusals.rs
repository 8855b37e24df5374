//! What is refused and why, each for its own reason and without a charge.

use pinseal_protocol::configuration::Issuer;
use pinseal_protocol::ids::{DeviceId, Hash32};
use pinseal_protocol::intent::{AccountIndex, Intent};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{BeginReply, Body, Method, Request, RequestHeader, WalletState};
use pinseal_protocol::token::P256Public;
use pinseal_protocol::wire::{CallId, FromEnclave, Halt};

use crate::world::{Answer, Client, Fate, Prepared, Shape, World, factor, fixed_key};

fn prepare_wallet(world: &mut World, client: &mut Client) -> Outcome {
    let prepare = |begin: &BeginReply| Request::RegisterPrepare {
        pin: factor("135790", &begin.next),
        words: 12,
        label: "laptop".into(),
    };
    client.run(world, Method::RegisterPrepare, prepare).outcome
}

/// A request of each method that an active wallet would take; the PIN fits no wallet that is not active.
fn every_request(begin: &BeginReply, method: Method) -> Request {
    let pin = || factor("135790", &begin.current.or(begin.pending).unwrap_or(begin.next));
    match method {
        Method::RegisterPrepare => Request::RegisterPrepare { pin: pin(), words: 12, label: "laptop".into() },
        Method::RegisterConfirm => Request::RegisterConfirm { pin: pin() },
        Method::VerifyPin => Request::VerifyPin { pin: pin() },
        Method::Sign => Request::Sign { pin: pin(), intents: vec![message(1)] },
        Method::ChangePinPrepare => Request::ChangePinPrepare { pin: pin(), new_pin: factor("246802", &begin.next) },
        Method::ChangePinConfirm => Request::ChangePinConfirm { pin: pin() },
        Method::EnrolDevice => Request::EnrolDevice { pin: pin(), label: "phone".into() },
        Method::RevokeDevice => Request::RevokeDevice { pin: pin(), device: DeviceId([9; 32]) },
        Method::ClearTries => Request::ClearTries { pin: pin() },
        Method::Status => Request::Status,
        Method::ListAccounts => Request::ListAccounts { accounts: vec![AccountIndex::default()] },
        Method::OpenHistory => Request::OpenHistory { writes: Vec::new() },
        Method::AcceptRestore => Request::AcceptRestore { restores: 1 },
    }
}

fn message(bytes: usize) -> Intent {
    Intent::EvmPersonalMessage { account: AccountIndex::default(), message: vec![b'x'; bytes].into() }
}

#[test]
fn a_wallet_that_is_not_there_has_a_status_and_can_be_prepared_and_nothing_else() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    let reply = client.status(&mut world);
    let Outcome::Status(status) = &reply.outcome else { panic!("{:?}", reply.outcome) };
    assert_eq!((status.state, status.enrolled, status.devices.len()), (WalletState::Missing, false, 0));
    assert_eq!(reply.tries, None);
    for method in Method::ALL.iter().copied() {
        if matches!(method, Method::RegisterPrepare | Method::Status) {
            continue;
        }
        let begin = world.begin(&client, method).unwrap();
        assert_eq!((begin.state, begin.enrolled), (WalletState::Missing, false));
        let reply = client.run(&mut world, method, |begin| every_request(begin, method));
        assert_eq!((reply.outcome, reply.tries), (Outcome::Refused(Refusal::WalletMissing), None), "{method:?}");
    }
    assert!(world.disk.records.is_empty());
}

#[test]
fn a_prepared_wallet_says_so_and_takes_its_confirmation_only() {
    let mut world = World::new();
    let (mut owner, mut stranger) = (Client::new("ada"), Client::new("ada"));
    assert_eq!(prepare_wallet(&mut world, &mut owner), Outcome::Prepared);
    for (client, enrolled) in [(&mut owner, true), (&mut stranger, false)] {
        let begin = world.begin(client, Method::Status).unwrap();
        assert_eq!((begin.state, begin.enrolled), (WalletState::Prepared, enrolled));
        let Outcome::Status(status) = client.status(&mut world).outcome else { panic!() };
        assert_eq!((status.state, status.enrolled), (WalletState::Prepared, enrolled));
        assert!(!status.change_pending, "a first PIN is no change");
        let before = world.disk.records.clone();
        for method in Method::ALL.iter().copied() {
            let others = [Method::RegisterPrepare, Method::RegisterConfirm, Method::Status, Method::AcceptRestore];
            if others.contains(&method) {
                continue;
            }
            let reply = client.run(&mut world, method, |begin| every_request(begin, method));
            assert_eq!(reply.outcome, Outcome::Refused(Refusal::WalletMissing), "{method:?}");
        }
        assert_eq!(world.disk.records, before);
    }
    let confirm = |begin: &BeginReply| every_request(begin, Method::RegisterConfirm);
    assert!(matches!(owner.run(&mut world, Method::RegisterConfirm, confirm).outcome, Outcome::Registered(_)));
    let again = owner.run(&mut world, Method::RegisterConfirm, confirm);
    assert_eq!((again.outcome, again.tries.unwrap().left), (Outcome::Refused(Refusal::WalletExists), 5));
}

#[test]
fn every_device_lists_accounts_and_nothing_is_written_or_charged() {
    let mut world = World::new();
    let (mut owner, mut stranger) = (Client::new("ada"), Client::new("ada"));
    let Outcome::Registered(first) = owner.register(&mut world, "135790") else { panic!() };
    world.trace.clear();
    for client in [&mut owner, &mut stranger] {
        let reply = client.run(&mut world, Method::ListAccounts, |begin| every_request(begin, Method::ListAccounts));
        assert_eq!((reply.outcome, reply.tries.unwrap().left), (Outcome::Accounts(vec![first.clone()]), 5));
    }
    assert!(world.trace.iter().all(Shape::is_read), "{:?}", world.trace);
}

#[test]
fn an_unenrolled_device_may_only_enrol() {
    let mut world = World::new();
    let (mut owner, mut stranger) = (Client::new("ada"), Client::new("ada"));
    owner.register(&mut world, "135790");
    assert!(world.begin(&owner, Method::Sign).unwrap().enrolled);
    assert!(!world.begin(&stranger, Method::Sign).unwrap().enrolled);
    let before = world.disk.records.clone();
    for method in [
        Method::VerifyPin,
        Method::Sign,
        Method::ChangePinPrepare,
        Method::ChangePinConfirm,
        Method::RevokeDevice,
        Method::ClearTries,
        Method::OpenHistory,
    ] {
        let reply = stranger.run(&mut world, method, |begin| every_request(begin, method));
        assert_eq!(reply.outcome, Outcome::Refused(Refusal::DeviceNotEnrolled), "{method:?}");
    }
    for (method, refusal) in [
        (Method::RegisterPrepare, Refusal::WalletExists),
        (Method::RegisterConfirm, Refusal::WalletExists),
        (Method::ChangePinConfirm, Refusal::NothingPending),
        (Method::EnrolDevice, Refusal::DeviceEnrolled),
        (Method::RevokeDevice, Refusal::DeviceUnknown),
    ] {
        let reply = owner.run(&mut world, method, |begin| every_request(begin, method));
        assert_eq!(reply.outcome, Outcome::Refused(refusal), "{method:?}");
    }
    assert_eq!(world.disk.records, before);
}

#[test]
fn a_wallet_has_eight_devices_and_no_more_until_one_goes() {
    let mut world = World::new();
    let mut owner = Client::new("ada");
    owner.register(&mut world, "135790");
    let mut last = Client::new("ada");
    for _ in 0..7 {
        last = Client::new("ada");
        assert_eq!(last.enrol(&mut world, "135790").outcome, Outcome::DeviceEnrolled);
    }
    let mut ninth = Client::new("ada");
    assert_eq!(ninth.enrol(&mut world, "135790").outcome, Outcome::Refused(Refusal::DevicesFull));
    let gone = last.device();
    let reply = owner.run(&mut world, Method::RevokeDevice, |begin| Request::RevokeDevice {
        pin: factor("135790", &begin.current.unwrap()),
        device: gone,
    });
    assert_eq!(reply.outcome, Outcome::DeviceRevoked);
    assert_eq!(ninth.enrol(&mut world, "135790").outcome, Outcome::DeviceEnrolled);
    let Outcome::Status(status) = ninth.status(&mut world).outcome else { panic!() };
    assert_eq!(status.devices.len(), 8);
}

#[test]
fn a_preparation_that_was_not_stored_is_told_as_such() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    world.fates = vec![Fate::Abort];
    assert_eq!(prepare_wallet(&mut world, &mut client), Outcome::Refused(Refusal::NotDurable));
    assert!(world.disk.records.is_empty());
    assert_eq!(prepare_wallet(&mut world, &mut client), Outcome::Prepared);
}

/// A PIN check whose header and body are changed before they are sealed.
fn changed(world: &mut World, client: &mut Client, change: impl FnOnce(&mut RequestHeader, &mut Body)) -> Prepared {
    let begin = world.begin(client, Method::VerifyPin).unwrap();
    let token = world.token(&client.user, &client.device(), 600);
    client.seal_changed(world, &begin, token, every_request(&begin, Method::VerifyPin), change)
}

#[test]
fn a_sealed_request_that_contradicts_itself_is_refused_and_charges_nothing() {
    let mut world = World::new();
    let (mut client, other) = (Client::new("ada"), Client::new("ada"));
    client.register(&mut world, "135790");
    let newer_token = world.token("ada", &client.device(), 599);
    let before = world.disk.records.clone();
    type Change<'a> = Box<dyn FnOnce(&mut RequestHeader, &mut Body) + 'a>;
    let cases: [(&str, Refusal, Change<'_>); 9] = [
        ("another method", Refusal::Malformed, Box::new(|header, _| header.method = Method::ClearTries)),
        ("beyond its bounds", Refusal::Malformed, {
            Box::new(|header, body| {
                header.method = Method::Sign;
                let Request::VerifyPin { pin } = core::mem::replace(&mut body.request, Request::Status) else {
                    panic!()
                };
                body.request = Request::Sign { pin, intents: Vec::new() };
            })
        }),
        ("another token", Refusal::Malformed, Box::new(|_, body| body.access_token = newer_token)),
        ("another device", Refusal::DeviceInvalid, Box::new(|header, _| header.device = other.device())),
        ("a receipt of another size", Refusal::Malformed, Box::new(|header, _| header.receipt_size += 1)),
        ("a receipt of no size", Refusal::Malformed, Box::new(|header, _| header.receipt_size = 0)),
        ("a size without a receipt", Refusal::Malformed, Box::new(|_, body| body.receipt = None)),
        ("a receipt nobody signed", Refusal::Malformed, {
            Box::new(|_, body| *body.receipt.as_mut().unwrap().last_mut().unwrap() = b' ')
        }),
        ("no receipt at all", Refusal::Busy, {
            Box::new(|header, body| {
                header.receipt_size = 0;
                body.receipt = None;
            })
        }),
    ];
    for (name, refusal, change) in cases {
        let prepared = changed(&mut world, &mut client, change);
        // The last one is in order, and so is the first to find the wallet busy.
        if refusal == Refusal::Busy {
            let honest = changed(&mut world, &mut client, |_, _| {});
            let call = world.next_call();
            assert!(matches!(world.step(call, &honest).as_slice(), [FromEnclave::Commit(_)]));
        }
        assert_eq!(world.ask(&prepared), Outcome::Refused(refusal), "{name}");
        assert_eq!(world.disk.records, before, "{name}");
    }
}

#[test]
fn what_is_wrong_with_an_envelope_is_told_in_clear() {
    let mut world = World::new();
    let (mut client, other) = (Client::new("ada"), Client::new("ada"));
    client.register(&mut world, "135790");
    let clear = |world: &mut World, prepared: &Prepared| {
        let call = world.submit(&prepared.wallet, &prepared.request);
        match world.take(call) {
            Some(Answer::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    };
    let key = P256Public::of(&other.key);
    let unsigned = changed(&mut world, &mut client, |_, body| body.device_key = key);
    assert_eq!(clear(&mut world, &unsigned), Refusal::DeviceInvalid);
    let newer = changed(&mut world, &mut client, |header, _| header.version += 1);
    assert_eq!(clear(&mut world, &newer), Refusal::Malformed);
    let mut cut = changed(&mut world, &mut client, |_, _| {});
    cut.request.ciphertext.pop();
    assert_eq!(clear(&mut world, &cut), Refusal::Malformed);
    let elsewhere = changed(&mut world, &mut client, |header, _| header.manifest = Hash32([1; 32]));
    assert_eq!(clear(&mut world, &elsewhere), Refusal::StaleManifest);
}

#[test]
fn a_device_key_and_a_token_of_two_devices_are_refused() {
    let mut world = World::new();
    let (mut owner, mut thief) = (Client::new("ada"), Client::new("ada"));
    owner.register(&mut world, "135790");
    // Token and header name the owner's device; the key, and so the signature, are the thief's.
    let begin = world.begin(&owner, Method::VerifyPin).unwrap();
    let token = world.token("ada", &owner.device(), 600);
    let request = every_request(&begin, Method::VerifyPin);
    let device = owner.device();
    let stolen = thief.seal_changed(&world, &begin, token, request, |header, _| header.device = device);
    assert_eq!(world.ask(&stolen), Outcome::Refused(Refusal::DeviceInvalid));
}

#[test]
fn a_call_that_is_under_way_and_the_calls_of_the_boot_cannot_be_used_again() {
    for reused in [true, false] {
        let mut world = World::new();
        let (mut ada, mut bob) = (Client::new("ada"), Client::new("bob"));
        ada.register(&mut world, "135790");
        bob.register(&mut world, "135790");
        let (first, second) = (changed(&mut world, &mut ada, |_, _| {}), changed(&mut world, &mut bob, |_, _| {}));
        let call = world.next_call();
        assert!(matches!(world.step(call, &first).as_slice(), [FromEnclave::Commit(_)]));
        let effects = world.step(if reused { call } else { CallId(0) }, &second);
        assert!(matches!(effects.as_slice(), [FromEnclave::Halted { halt: Halt::Protocol, .. }]), "{effects:?}");
    }
}

#[test]
fn tokens_of_every_configured_issuer_count() {
    // Read as the first issuer's, the token fails by its signature, or, under one key for both, by its claims.
    for key in [P256Public::of(&Client::new("issuer").key), P256Public::of(&fixed_key())] {
        let other = Issuer { issuer: "https://another.test".into(), audience: "another".into(), key };
        let mut world =
            World::with_configuration(1, fixed_key(), |configuration| configuration.issuers.insert(0, other));
        assert!(matches!(Client::new("ada").status(&mut world).outcome, Outcome::Status(_)));
    }
}
