//! Older disks, forks and other configurations.

use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{Method, Request};
use pinseal_protocol::wire::{Halt, ToEnclave};

use crate::world::{Answer, Client, Fate, World, factor};

fn halt(world: &World) -> Option<Halt> {
    world.halted.as_ref().map(|(halt, _)| *halt)
}

#[test]
fn an_older_database_is_refused_and_the_operator_told_what_is_missing() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let old = world.disk.clone();
    client.verify(&mut world, "000000");
    let anchored = world.disk.anchored.clone();
    world.disk = old;
    world.disk.anchored = anchored;
    world.boot();
    assert_eq!(halt(&world), Some(Halt::StateOlder));
    let (_, detail) = world.halted.unwrap();
    assert!(detail.contains("log entries 5 to 6 are missing"), "{detail}");
}

#[test]
fn a_database_exactly_one_checkpoint_ahead_is_rolled_forward() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    world.fates = vec![Fate::LoseStored];
    client.submit_wrong_pin(&mut world);
    assert!(world.crashed);
    assert_ne!(world.disk.note, world.disk.anchored);
    world.boot();
    assert_eq!(halt(&world), None);
    assert_eq!(world.disk.note, world.disk.anchored);
    assert_eq!(client.status(&mut world).tries.unwrap().left, 4, "the stored charge stands");
}

#[test]
fn two_checkpoints_ahead_of_the_anchor_is_refused() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    let old_anchor = world.disk.anchored.clone();
    client.register(&mut world, "135790");
    world.disk.anchored = old_anchor;
    world.boot();
    assert_eq!(halt(&world), Some(Halt::StateForked));
}

#[test]
fn a_fork_of_equal_height_or_one_higher_is_refused() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let fork = world.disk.clone();
    client.verify(&mut world, "000000");
    let other_anchor = world.disk.anchored.clone();
    world.disk = fork;
    world.boot();
    // The boot and one more batch here, charge and settle there.
    Client::new("bob").run(&mut world, Method::RegisterPrepare, |begin| Request::RegisterPrepare {
        pin: factor("246802", &begin.next),
        words: 12,
        label: "laptop".into(),
    });
    let there = Checkpoint::read_unverified(&other_anchor).unwrap();
    assert_eq!(world.disk.checkpoint().sequence, there.sequence);
    let own = core::mem::replace(&mut world.disk.anchored, other_anchor.clone());
    world.boot();
    assert_eq!(halt(&world), Some(Halt::StateForked));
    world.disk.anchored = own;
    world.boot();
    assert_eq!(world.disk.checkpoint().sequence.0, there.sequence.0 + 1);
    world.disk.anchored = other_anchor;
    world.boot();
    assert_eq!(halt(&world), Some(Halt::StateForked), "what goes in on top is not what the anchor holds");
}

#[test]
fn a_missing_anchor_is_refused() {
    let mut world = World::new();
    world.disk.anchored.clear();
    world.boot();
    assert_eq!(halt(&world), Some(Halt::AnchorMissing));
}

#[test]
fn a_missing_added_or_changed_record_is_refused_at_boot() {
    let mut world = World::new();
    let (mut ada, mut bob) = (Client::new("ada"), Client::new("bob"));
    ada.register(&mut world, "135790");
    let ada_only = world.disk.records.clone();
    bob.register(&mut world, "246802");
    let whole = world.disk.clone();
    world.disk.records = ada_only;
    world.boot();
    assert_eq!(halt(&world), Some(Halt::StateMismatch));
    world.disk = whole.clone();
    world.disk.records.values_mut().next().unwrap().0.version.0 -= 1;
    world.boot();
    assert_eq!(halt(&world), Some(Halt::StateMismatch));
    world.disk = whole;
    world.boot();
    assert_eq!(halt(&world), None);
}

#[test]
fn a_damaged_record_body_closes_one_wallet_and_not_the_others() {
    let mut world = World::new();
    let (mut ada, mut bob) = (Client::new("ada"), Client::new("bob"));
    ada.register(&mut world, "135790");
    let ada_wallet = *world.disk.records.keys().next().unwrap();
    bob.register(&mut world, "246802");
    *world.disk.records.get_mut(&ada_wallet).unwrap().1.last_mut().unwrap() ^= 1;
    world.boot();
    assert_eq!(halt(&world), None);
    assert_eq!(world.begin(&ada, Method::Sign).err(), Some(Refusal::RecordDamaged));
    assert_eq!(bob.verify(&mut world, "246802").outcome, Outcome::PinVerified);
}

#[test]
fn database_and_anchor_restored_together_are_caught_by_a_returning_client() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let old = world.disk.clone();
    for _ in 0..2 {
        client.verify(&mut world, "000000");
    }
    world.disk = old;
    world.boot();
    assert_eq!(halt(&world), None, "L1 does not claim to see this at boot");
    let prepared = client
        .prepare(&mut world, Method::VerifyPin, |begin| Request::VerifyPin {
            pin: factor("135790", &begin.current.unwrap()),
        })
        .unwrap();
    let call = world.submit(&prepared.wallet, &prepared.request);
    let Some(Answer::Replied(reply)) = world.take(call) else { panic!() };
    assert_eq!(prepared.opener.open(&reply).unwrap().outcome, Outcome::Refused(Refusal::StateRolledBack));
    assert_eq!(halt(&world), Some(Halt::RolledBack));
}

#[test]
fn a_restored_state_that_grew_again_is_still_caught() {
    let mut world = World::new();
    let (mut client, mut bob) = (Client::new("ada"), Client::new("bob"));
    client.register(&mut world, "135790");
    bob.register(&mut world, "246802");
    let old = world.disk.clone();
    client.verify(&mut world, "000000");
    world.disk = old;
    world.boot();
    // The thief's guesses make the fork longer than what the client saw.
    bob.receipt = None;
    for _ in 0..4 {
        bob.verify(&mut world, "246802");
    }
    let reply = client.verify(&mut world, "135790");
    assert!(
        matches!(reply.outcome, Outcome::Refused(Refusal::StateRolledBack | Refusal::ConsistencyMissing)),
        "{:?}",
        reply.outcome
    );
}

/// The enclave remembers no root of that size any more; the host's own one, proved, convicts the state all the same.
#[test]
fn a_restored_state_is_convicted_in_later_boots_too() {
    let mut sizes = Vec::new();
    for verified in 1..=4 {
        let mut world = World::new();
        let (mut client, mut bob) = (Client::new("ada"), Client::new("bob"));
        client.register(&mut world, "135790");
        bob.register(&mut world, "246802");
        Client::new("eve").run(&mut world, Method::RegisterPrepare, |begin| Request::RegisterPrepare {
            pin: factor("112233", &begin.next),
            words: 12,
            label: "laptop".into(),
        });
        let old = world.disk.clone();
        for _ in 0..verified {
            client.verify(&mut world, "135790");
        }
        sizes.push(world.disk.checkpoint().size);
        world.disk = old;
        world.boot();
        bob.receipt = None;
        for _ in 0..=verified {
            bob.verify(&mut world, "246802");
        }
        world.boot();
        let prepared = client
            .prepare(&mut world, Method::VerifyPin, |begin| Request::VerifyPin {
                pin: factor("135790", &begin.current.unwrap()),
            })
            .unwrap();
        let call = world.next_call();
        let mut message = world.sealed_message(call, &prepared.wallet, &prepared.request);
        let ToEnclave::Sealed { consistency: Some(proof), .. } = &mut message else { panic!() };
        // A host that keeps its root back, or lies about it, gets what it got before: no PIN is tested, and nothing is proved.
        proof.old_root = if verified % 2 == 0 { None } else { Some(Hash32([7; 32])) };
        world.send(message);
        let Some(Answer::Replied(reply)) = world.take(call) else { panic!() };
        assert_eq!(prepared.opener.open(&reply).unwrap().outcome, Outcome::Refused(Refusal::ConsistencyMissing));
        assert_eq!(halt(&world), None);
        assert_eq!(client.verify(&mut world, "135790").outcome, Outcome::Refused(Refusal::StateRolledBack));
        assert_eq!(halt(&world), Some(Halt::RolledBack));
    }
    assert!(sizes.iter().any(|size| size.is_power_of_two()), "the path names no older root then: {sizes:?}");
    assert!(!sizes.iter().all(|size| size.is_power_of_two()), "{sizes:?}");
}

#[test]
fn the_root_does_not_unseal_under_a_lower_level_or_another_issuer() {
    let mut world = World::new();
    let honest = world.configuration.clone();
    world.configuration.anchor = AnchorLevel::L0;
    world.configuration.floor = AnchorLevel::L0;
    world.boot();
    assert_eq!(halt(&world), Some(Halt::RootForeign));
    world.configuration = honest.clone();
    world.configuration.issuers[0].key = World::with_seed(2).configuration.issuers[0].key;
    world.boot();
    assert_eq!(halt(&world), Some(Halt::RootForeign));
    world.configuration = honest.clone();
    world.configuration.anchor = AnchorLevel::L0;
    world.boot();
    assert_eq!(halt(&world), Some(Halt::ConfigurationInvalid), "below the floor it declares");
    world.configuration = honest;
    world.boot();
    assert_eq!(halt(&world), None);
}
