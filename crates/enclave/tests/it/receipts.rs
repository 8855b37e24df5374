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

/// A fork may have more entries and yet fewer checkpoints: the number alone convicts it.
#[test]
fn a_receipt_with_a_higher_number_convicts_a_longer_log() {
    let mut world = World::new();
    let mut users: Vec<Client> = ["ada", "bob", "eve", "joe"].into_iter().map(Client::new).collect();
    for user in &mut users {
        user.register(&mut world, "135790");
    }
    let [ada, bob, eve, joe] = users.as_mut_slice() else { panic!() };
    let old = world.disk.clone();
    for _ in 0..3 {
        ada.verify(&mut world, "135790");
    }
    let seen = world.disk.checkpoint();
    world.disk = old;
    world.boot();
    for thief in [&mut *bob, &mut *eve, &mut *joe] {
        thief.receipt = None;
    }
    at_once(&mut world, &mut [bob, eve, joe]);
    let here = world.disk.checkpoint();
    assert_eq!((here.sequence < seen.sequence, here.size > seen.size), (true, true), "{here:?} {seen:?}");
    let prepared = guess(&mut world, ada);
    assert_eq!(world.ask(&prepared), Outcome::Refused(Refusal::StateRolledBack));
    assert_eq!(world.halted.map(|(halt, _)| halt), Some(Halt::RolledBack));
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
