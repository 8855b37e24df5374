//! What a client's receipt proves, and when the host has to prove something.

use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{Method, Request};
use pinseal_protocol::wire::{FromEnclave, Halt, ToEnclave};

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
    let held = guess(&mut world, &mut ada);
    let call = world.next_call();
    let [FromEnclave::Commit(batch)] = &world.step(call, &held)[..] else { panic!() };
    // No wallet is needed for this, only a login.
    let status = |bob: &mut Client, world: &mut World| {
        bob.receipt = Some(batch.checkpoint.to_vec());
        bob.prepare(world, Method::Status, |_| Request::Status).unwrap()
    };
    let early = status(&mut bob, &mut world);
    assert_eq!(world.ask(&early), Outcome::Refused(Refusal::ConsistencyMissing));
    assert_eq!(world.halted, None);
    world.settle(&batch.clone());
    let later = status(&mut bob, &mut world);
    assert!(matches!(world.ask(&later), Outcome::Status(_)));
}

/// Once the batch is given up, nothing that names it continues this state.
#[test]
fn the_checkpoint_of_a_batch_that_was_given_up_convicts() {
    let mut world = World::new();
    let (mut ada, mut bob) = (Client::new("ada"), Client::new("bob"));
    ada.register(&mut world, "135790");
    let held = guess(&mut world, &mut ada);
    let call = world.next_call();
    let [FromEnclave::Commit(batch)] = &world.step(call, &held)[..] else { panic!() };
    let (batch, checkpoint) = (batch.batch, batch.checkpoint.to_vec());
    world.send(ToEnclave::Aborted { batch });
    bob.receipt = Some(checkpoint);
    let status = bob.prepare(&mut world, Method::Status, |_| Request::Status).unwrap();
    assert_eq!(world.ask(&status), Outcome::Refused(Refusal::StateRolledBack));
    assert_eq!(world.halted.map(|(halt, _)| halt), Some(Halt::RolledBack));
}
