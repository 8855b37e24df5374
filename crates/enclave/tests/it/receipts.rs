//! What a client's receipt proves, and when the host has to prove something.

use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{Method, Request};
use pinseal_protocol::wire::{Batch, FromEnclave, Halt, ToEnclave};

use crate::world::{Answer, Client, Prepared, World, factor};

fn guess(world: &mut World, client: &mut Client) -> Prepared {
    client
        .prepare(world, Method::VerifyPin, |begin| Request::VerifyPin {
            pin: factor("000000", &begin.current.unwrap()),
        })
        .unwrap()
}

/// Everybody's request at once: the first is a batch by itself, the others share one.
fn at_once(world: &mut World, clients: &mut [&mut Client]) {
    let mut batches = Vec::new();
    for client in clients {
        let prepared = guess(world, client);
        let call = world.next_call();
        batches.extend(world.step(call, &prepared));
    }
    let [FromEnclave::Commit(first)] = batches.as_slice() else { panic!("{}", batches.len()) };
    world.settle(&first.clone());
}

/// A guess whose charge is to be anchored, and is not yet.
fn in_flight(world: &mut World, client: &mut Client) -> Batch {
    let held = guess(world, client);
    let call = world.next_call();
    match world.step(call, &held).as_slice() {
        [FromEnclave::Commit(batch)] => batch.clone(),
        other => panic!("{other:?}"),
    }
}

/// Only a login is needed for this, no wallet.
fn status(world: &mut World, client: &mut Client, receipt: &[u8]) -> Prepared {
    client.receipt = Some(receipt.to_vec());
    client.prepare(world, Method::Status, |_| Request::Status).unwrap()
}

#[test]
fn a_receipt_of_a_remembered_checkpoint_needs_no_proof() {
    let mut world = World::new();
    let (mut client, mut bob) = (Client::new("ada"), Client::new("bob"));
    client.register(&mut world, "135790");
    bob.register(&mut world, "246802");
    // As many batches as are remembered besides the one the receipt is of.
    for _ in 0..126 {
        bob.verify(&mut world, "246802");
    }
    let prepared = guess(&mut world, &mut client);
    let call = world.next_call();
    let mut message = world.sealed_message(call, &prepared.wallet, &prepared.request);
    let ToEnclave::Sealed { consistency, .. } = &mut message else { panic!() };
    *consistency = None;
    world.send(message);
    let Some(Answer::Replied(reply)) = world.take(call) else { panic!() };
    assert_eq!(prepared.opener.open(&reply).unwrap().outcome, Outcome::WrongPin);
}

/// A deployment of four users, all of them registered.
fn four() -> (World, Vec<Client>) {
    let mut world = World::new();
    let mut users: Vec<Client> = ["ada", "bob", "eve", "joe"].into_iter().map(Client::new).collect();
    for user in &mut users {
        user.register(&mut world, "135790");
    }
    (world, users)
}

/// Seven entries in four checkpoints.
fn many_entries(world: &mut World, users: &mut [Client]) {
    world.boot();
    for user in &mut *users {
        user.receipt = None;
    }
    at_once(world, &mut users.iter_mut().skip(1).collect::<Vec<_>>());
}

/// What comes of a receipt that the host offers no proof for.
fn unproved(world: &mut World, client: &mut Client, receipt: &[u8]) -> Outcome {
    let prepared = status(world, client, receipt);
    let call = world.next_call();
    let mut message = world.sealed_message(call, &prepared.wallet, &prepared.request);
    let ToEnclave::Sealed { consistency, .. } = &mut message else { panic!() };
    *consistency = None;
    world.send(message);
    let Some(Answer::Replied(reply)) = world.take(call) else { panic!() };
    prepared.opener.open(&reply).unwrap().outcome
}

/// A fork may have more entries and yet fewer checkpoints: the number alone convicts it. Of the same number, a receipt needs a proof to do so.
#[test]
fn a_receipt_with_a_higher_number_convicts_a_longer_log() {
    let (mut world, mut users) = four();
    let old = world.disk.clone();
    let mut seen = Vec::new();
    for _ in 0..3 {
        users[0].verify(&mut world, "135790");
        seen.push(world.disk.clone());
    }
    world.disk = old;
    many_entries(&mut world, &mut users);
    let (here, there) = (world.disk.checkpoint(), [seen[1].checkpoint(), seen[2].checkpoint()]);
    assert!(here.sequence == there[0].sequence && here.size > there[0].size, "{here:?} {there:?}");
    assert!(here.sequence < there[1].sequence && here.size > there[1].size, "{here:?} {there:?}");
    let same = unproved(&mut world, &mut users[0], &seen[1].note);
    assert_eq!((same, &world.halted), (Outcome::Refused(Refusal::ConsistencyMissing), &None));
    let higher = unproved(&mut world, &mut users[0], &seen[2].note);
    assert_eq!(higher, Outcome::Refused(Refusal::StateRolledBack));
    assert_eq!(world.halted.map(|(halt, _)| halt), Some(Halt::RolledBack));
}

/// The other way round, the size alone.
#[test]
fn a_receipt_of_a_longer_log_convicts_one_of_a_higher_number() {
    let (mut world, mut users) = four();
    let old = world.disk.clone();
    many_entries(&mut world, &mut users);
    let seen = world.disk.clone();
    world.disk = old;
    world.boot();
    for _ in 0..2 {
        users[0].receipt = None;
        users[0].verify(&mut world, "135790");
    }
    let (here, there) = (world.disk.checkpoint(), seen.checkpoint());
    assert!(here.sequence > there.sequence && here.size < there.size, "{here:?} {there:?}");
    let longer = unproved(&mut world, &mut users[0], &seen.note);
    assert_eq!(longer, Outcome::Refused(Refusal::StateRolledBack));
    assert_eq!(world.halted.map(|(halt, _)| halt), Some(Halt::RolledBack));
}

/// As many entries in as many checkpoints: the root tells, and that is what the operator reads.
#[test]
fn a_receipt_of_another_history_of_the_same_length_convicts() {
    let (mut world, mut users) = four();
    let old = world.disk.clone();
    users[0].verify(&mut world, "135790");
    let seen = world.disk.clone();
    world.disk = old;
    world.boot();
    Client::new("zoe").run(&mut world, Method::RegisterPrepare, |begin| Request::RegisterPrepare {
        pin: factor("246802", &begin.next),
        words: 12,
        label: "laptop".into(),
    });
    let (here, there) = (world.disk.checkpoint(), seen.checkpoint());
    assert_eq!((here.size, here.sequence), (there.size, there.sequence));
    let outcome = unproved(&mut world, &mut users[0], &seen.note);
    assert_eq!(outcome, Outcome::Refused(Refusal::StateRolledBack));
    let (halt, detail) = world.halted.unwrap();
    assert_eq!(halt, Halt::RolledBack);
    assert!(detail.contains("another signed history"), "{detail}");
}

/// At L4 a witness shows the checkpoint that it cosigned to anybody, before the enclave hears that it is anchored. Who presents it is asked to
/// come again; it continues this state, so it accuses nobody.
#[test]
fn the_checkpoint_that_is_being_anchored_convicts_nobody() {
    let mut world = World::new();
    let (mut ada, mut bob) = (Client::new("ada"), Client::new("bob"));
    ada.register(&mut world, "135790");
    let batch = in_flight(&mut world, &mut ada);
    let early = status(&mut world, &mut bob, &batch.checkpoint);
    assert_eq!(world.ask(&early), Outcome::Refused(Refusal::ConsistencyMissing));
    assert_eq!(world.halted, None);
    world.settle(&batch);
    let later = status(&mut world, &mut bob, &batch.checkpoint);
    assert!(matches!(world.ask(&later), Outcome::Status(_)));
}

/// Once the batch is given up, nothing that names it continues this state.
#[test]
fn the_checkpoint_of_a_batch_that_was_given_up_convicts() {
    let mut world = World::new();
    let (mut ada, mut bob) = (Client::new("ada"), Client::new("bob"));
    ada.register(&mut world, "135790");
    let batch = in_flight(&mut world, &mut ada);
    world.send(ToEnclave::Aborted { batch: batch.batch });
    let late = status(&mut world, &mut bob, &batch.checkpoint);
    assert_eq!(world.ask(&late), Outcome::Refused(Refusal::StateRolledBack));
    assert_eq!(world.halted.map(|(halt, _)| halt), Some(Halt::RolledBack));
}
