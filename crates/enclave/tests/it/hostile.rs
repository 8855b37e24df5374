//! A host that lies, replays, swaps and flips bits.

use pinseal_protocol::cbor;
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::log::Consistency;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{Method, Request, SealedRequest};
use pinseal_protocol::token::AccessToken;
use pinseal_protocol::wire::{BatchId, CallId, FromEnclave, Halt, ToEnclave};

use crate::world::{Answer, Client, Fate, Prepared, World, factor};

fn verify_request(world: &mut World, client: &mut Client, pin: &str) -> Prepared {
    client
        .prepare(world, Method::VerifyPin, |begin| Request::VerifyPin { pin: factor(pin, &begin.current.unwrap()) })
        .unwrap()
}

fn outcome(world: &mut World, prepared: &Prepared) -> Outcome {
    let call = world.submit(&prepared.wallet, &prepared.request);
    match world.take(call) {
        Some(Answer::Replied(reply)) => prepared.opener.open(&reply).unwrap().outcome,
        Some(Answer::Refused(refusal)) => Outcome::Refused(refusal),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_replayed_request_is_refused_and_charges_nothing() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let prepared = verify_request(&mut world, &mut client, "000000");
    assert_eq!(outcome(&mut world, &prepared), Outcome::WrongPin);
    let before = world.disk.records.clone();
    for _ in 0..10 {
        assert_eq!(outcome(&mut world, &prepared), Outcome::Refused(Refusal::AlreadyAnswered));
    }
    assert_eq!(world.disk.records, before);
}

#[test]
fn expired_and_cross_boot_requests_are_refused_without_charge() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let expired = verify_request(&mut world, &mut client, "000000");
    let before = world.disk.records.clone();
    world.now += 599;
    let late = verify_request(&mut world, &mut client, "000000");
    world.now += 1;
    assert_eq!(outcome(&mut world, &expired), Outcome::Refused(Refusal::TokenExpired));
    world.boot();
    assert_eq!(outcome(&mut world, &late), Outcome::Refused(Refusal::StaleManifest));
    assert_eq!(world.disk.records, before);
}

#[test]
fn another_users_request_or_record_is_refused_without_charge() {
    let mut world = World::new();
    let (mut ada, mut bob) = (Client::new("ada"), Client::new("bob"));
    ada.register(&mut world, "135790");
    bob.register(&mut world, "246802");
    let prepared = verify_request(&mut world, &mut ada, "000000");
    let other = *world.disk.records.keys().find(|wallet| **wallet != prepared.wallet).unwrap();
    let before = world.disk.records.clone();
    let call = world.submit(&other, &prepared.request);
    let Some(Answer::Replied(reply)) = world.take(call) else { panic!() };
    assert_eq!(prepared.opener.open(&reply).unwrap().outcome, Outcome::Refused(Refusal::RecordDamaged));
    assert_eq!(world.disk.records, before);
    // A challenge begun by one device does not serve another.
    let mut phone = Client::new("ada");
    let begin = world.begin(&ada, Method::EnrolDevice).unwrap();
    let token = world.token("ada", &phone.device(), 600);
    let request = Request::EnrolDevice { pin: factor("135790", &begin.current.unwrap()), label: "phone".into() };
    let stolen = phone.seal(&world, &begin, token, request);
    assert_eq!(outcome(&mut world, &stolen), Outcome::Refused(Refusal::ChallengeInvalid));
}

#[test]
fn an_older_record_put_back_is_refused() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let old = world.disk.records.clone();
    client.verify(&mut world, "000000");
    world.disk.records = old;
    assert_eq!(world.begin(&client, Method::VerifyPin), Err(Refusal::RecordStale));
}

#[test]
fn every_flipped_bit_of_a_sealed_request_is_refused_without_charge() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let prepared = verify_request(&mut world, &mut client, "135790");
    let before = world.disk.records.clone();
    let encoded = cbor::to_vec(&prepared.request);
    let mut parsed = 0;
    for bit in 0..encoded.len() * 8 {
        // Every bit of the header, then every seventh: an AES-GCM failure is the same everywhere.
        if bit > 2_200 && bit % 7 != 0 {
            continue;
        }
        let mut flipped = encoded.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let Ok(request) = cbor::from_slice::<SealedRequest>(&flipped) else { continue };
        parsed += 1;
        let changed = Prepared { wallet: prepared.wallet, request, opener: reopen(&mut world, &mut client) };
        let call = world.submit(&changed.wallet, &changed.request);
        match world.take(call) {
            Some(Answer::Refused(_)) => {}
            other => panic!("bit {bit}: {other:?}"),
        }
        assert_eq!(world.disk.records, before, "bit {bit}");
    }
    assert!(parsed > 1_000, "{parsed}");
    assert_eq!(outcome(&mut world, &prepared), Outcome::PinVerified, "and the honest one still works");
}

/// Any opener: flipped requests never get a sealed reply.
fn reopen(world: &mut World, client: &mut Client) -> pinseal_protocol::envelope::ReplyOpener {
    verify_request(world, client, "135790").opener
}

#[test]
fn tokens_of_another_key_issuer_audience_or_device_are_refused() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let begin = |world: &mut World, token: AccessToken| {
        let call = world.next_call();
        let time = UnixSeconds(world.now);
        world.send(ToEnclave::Begin { call, time, access_token: token, method: Method::Sign, outer: None });
        world.take(call)
    };
    let other = World::with_seed(2);
    let forged = other.token("ada", &client.device(), 600);
    assert!(matches!(
        begin(&mut world, forged),
        Some(Answer::Begun(pinseal_protocol::wire::Begun::Refused(Refusal::TokenInvalid)))
    ));
    let expired = world.token("ada", &client.device(), 0);
    assert!(matches!(
        begin(&mut world, expired),
        Some(Answer::Begun(pinseal_protocol::wire::Begun::Refused(Refusal::TokenExpired)))
    ));
    // A token stolen from another device: the thief's own key does not match `cnf.jkt`.
    let mut thief = Client::new("ada");
    let reply = world.begin(&client, Method::VerifyPin).unwrap();
    let stolen = world.token("ada", &client.device(), 600);
    let request = Request::VerifyPin { pin: factor("135790", &reply.current.unwrap()) };
    let sealed = thief.seal(&world, &reply, stolen, request);
    assert_eq!(outcome(&mut world, &sealed), Outcome::Refused(Refusal::DeviceInvalid));
}

#[test]
fn a_batch_that_was_not_stored_before_the_check_costs_nothing_and_after_it_costs_the_try() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    world.fates = vec![Fate::Abort];
    let reply = client.verify(&mut world, "000000");
    assert_eq!(reply.outcome, Outcome::Refused(Refusal::NotDurable));
    assert_eq!(client.status(&mut world).tries.unwrap().left, 5);
    world.fates = vec![Fate::Commit, Fate::Abort];
    let reply = client.verify(&mut world, "135790");
    assert_eq!(reply.outcome, Outcome::ServiceFault, "never shown as a wrong PIN");
    assert_eq!(reply.tries.map(|tries| tries.left), Some(4), "what is left is told as after any charge");
    assert_eq!(client.status(&mut world).tries.unwrap().left, 4);
    assert_eq!(client.verify(&mut world, "135790").outcome, Outcome::PinVerified);
    assert_eq!(client.status(&mut world).tries.unwrap().left, 5);
}

#[test]
fn another_receipt_than_the_signed_checkpoint_fences_the_enclave() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let prepared = verify_request(&mut world, &mut client, "135790");
    let message = ToEnclave::Sealed {
        call: CallId(9_999),
        time: UnixSeconds(world.now),
        request: prepared.request.clone(),
        outer: Some(world.disk.records[&prepared.wallet].1.clone().into()),
        consistency: world.consistency(prepared.request.header.receipt_size),
    };
    let effects = world.enclave.step(message, &mut world.environment);
    let [FromEnclave::Commit(batch)] = effects.as_slice() else { panic!("{effects:?}") };
    let wrong = ToEnclave::Committed { batch: batch.batch, receipt: batch.previous.clone(), nonce: None };
    let effects = world.enclave.step(wrong, &mut world.environment);
    assert!(matches!(effects.as_slice(), [FromEnclave::Halted { halt: Halt::Fenced, .. }]), "{effects:?}");
    assert!(world.enclave.is_halted());
}

#[test]
fn messages_out_of_order_halt_it() {
    for message in [
        ToEnclave::HeadersEnd,
        ToEnclave::Committed { batch: BatchId(7), receipt: Vec::new().into(), nonce: None },
        ToEnclave::Aborted { batch: BatchId(7) },
        ToEnclave::Create { configuration: Vec::new().into(), time: UnixSeconds(0) },
    ] {
        let mut world = World::new();
        world.send(message);
        assert_eq!(world.halted.as_ref().map(|(halt, _)| *halt), Some(Halt::Protocol));
        let after = world.enclave.step(ToEnclave::HeadersEnd, &mut world.environment);
        assert!(matches!(after.as_slice(), [FromEnclave::Halted { .. }]), "stays halted");
    }
}

#[test]
fn a_receipt_the_host_cannot_continue_is_refused_without_charge() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    // More batches than the enclave remembers roots for, so that only a proof helps.
    let mut bob = Client::new("bob");
    bob.register(&mut world, "246802");
    for _ in 0..140 {
        bob.verify(&mut world, "246802");
    }
    let before = world.disk.records.clone();
    let submit = |world: &mut World, client: &mut Client, change: fn(Option<Consistency>) -> Option<Consistency>| {
        let prepared = verify_request(world, client, "000000");
        let call = world.next_call();
        let message = ToEnclave::Sealed {
            call,
            time: UnixSeconds(world.now),
            request: prepared.request.clone(),
            outer: Some(world.disk.records[&prepared.wallet].1.clone().into()),
            consistency: change(world.consistency(prepared.request.header.receipt_size)),
        };
        world.send(message);
        let Some(Answer::Replied(reply)) = world.take(call) else { panic!() };
        prepared.opener.open(&reply).unwrap().outcome
    };
    let missing = Outcome::Refused(Refusal::ConsistencyMissing);
    assert_eq!(submit(&mut world, &mut client, |_| None), missing);
    let forge = |proof: Option<Consistency>| {
        proof.map(|mut proof| {
            proof.path[0] = Hash32([0; 32]);
            proof
        })
    };
    assert_eq!(submit(&mut world, &mut client, forge), missing);
    assert_eq!(world.disk.records, before);
    assert_eq!(submit(&mut world, &mut client, |proof| proof), Outcome::WrongPin);
}

#[test]
fn requests_kept_back_by_the_host_are_worth_nothing_once_the_wallet_moved() {
    let mut world = World::new();
    let (mut owner, mut thief) = (Client::new("ada"), Client::new("ada"));
    owner.register(&mut world, "135790");
    let clear = |world: &mut World, owner: &mut Client| {
        owner
            .prepare(world, Method::ClearTries, |begin| Request::ClearTries {
                pin: factor("135790", &begin.current.unwrap()),
            })
            .unwrap()
    };
    let kept_back: Vec<Prepared> = (0..6).map(|_| clear(&mut world, &mut owner)).collect();
    let mut wrong = 0;
    for kept in &kept_back {
        for _ in 0..2 {
            world.now += 3_600 - 1_799;
            if thief.enrol(&mut world, "000000").outcome == Outcome::WrongPin {
                wrong += 1;
            }
        }
        // The host can stop the clock for the challenge, but not the record's version.
        world.now -= 2 * (3_600 - 1_799);
        let refused = outcome(&mut world, kept);
        assert!(matches!(refused, Outcome::Refused(Refusal::ChallengeInvalid | Refusal::TokenExpired)), "{refused:?}");
        world.now += 2 * (3_600 - 1_799);
    }
    assert!(wrong <= 5, "{wrong}");
}

#[test]
fn a_request_that_was_refused_once_is_never_decided_later() {
    // What the host does first, and how the enclave refuses it.
    enum First {
        NoRecord,
        NoProof,
        LateClock,
    }
    for (first, refusal) in [
        (First::NoRecord, Refusal::RecordStale),
        (First::NoProof, Refusal::ConsistencyMissing),
        (First::LateClock, Refusal::TokenExpired),
    ] {
        let mut world = World::new();
        let (mut client, mut bob) = (Client::new("ada"), Client::new("bob"));
        client.register(&mut world, "135790");
        bob.register(&mut world, "246802");
        if matches!(first, First::NoProof) {
            // A reboot forgets the roots of older checkpoints, so that the proof is needed.
            world.boot();
        }
        let prepared = verify_request(&mut world, &mut client, "000000");
        let outer: minicbor::bytes::ByteVec = world.disk.records[&prepared.wallet].1.clone().into();
        let submit = |world: &mut World, late: u64, outer, consistency| {
            let call = world.next_call();
            let time = UnixSeconds(world.now + late);
            world.send(ToEnclave::Sealed { call, time, request: prepared.request.clone(), outer, consistency });
            let Some(Answer::Replied(reply)) = world.take(call) else { panic!() };
            prepared.opener.open(&reply).unwrap().outcome
        };
        let proof = world.consistency(prepared.request.header.receipt_size);
        let before = world.disk.records.clone();
        let refused = match first {
            First::NoRecord => submit(&mut world, 0, None, proof.clone()),
            First::NoProof => submit(&mut world, 0, Some(outer.clone()), None),
            First::LateClock => submit(&mut world, 100_000, Some(outer.clone()), proof.clone()),
        };
        assert_eq!(refused, Outcome::Refused(refusal));
        assert_eq!(submit(&mut world, 0, Some(outer), proof), Outcome::Refused(Refusal::AlreadyAnswered));
        assert_eq!(world.disk.records, before);
    }
}

#[test]
fn a_clock_at_the_end_of_time_stops_no_delay_from_ending() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let now = world.now;
    for _ in 0..4 {
        let call = world.next_call();
        let access_token = world.token("ada", &client.device(), 600);
        let time = UnixSeconds(u64::MAX);
        world.send(ToEnclave::Begin { call, time, access_token, method: Method::Sign, outer: None });
        world.take(call);
    }
    for _ in 0..3 {
        client.verify(&mut world, "000000");
    }
    assert_eq!(client.verify(&mut world, "135790").outcome, Outcome::Refused(Refusal::Delayed));
    world.boot();
    world.now = now + 60;
    assert_eq!(client.verify(&mut world, "135790").outcome, Outcome::PinVerified);
}

#[test]
fn a_clock_that_jumps_ahead_and_comes_back_bricks_nothing() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    for _ in 0..2 {
        client.verify(&mut world, "000000");
    }
    world.now += 100 * 365 * 86_400;
    client.verify(&mut world, "000000");
    world.now -= 100 * 365 * 86_400;
    world.boot();
    assert_eq!(client.verify(&mut world, "135790").outcome, Outcome::Refused(Refusal::Delayed));
    world.now += 60;
    assert_eq!(client.verify(&mut world, "135790").outcome, Outcome::PinVerified, "a minute stays a minute");
}
