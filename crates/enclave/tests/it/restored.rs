//! Operators put an older state back: by their order alone, for everybody to see, and no wallet in it is open before its owner agrees.

use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::order::Order;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{BeginReply, Method, Request};
use pinseal_protocol::wire::{Change, ChangeStage, Halt};

use crate::change::{anchored_by, carry_out, change, halt, order, sealed_to, signed, take_over, term};
use crate::world::{Client, Disk, Fate, PASSPHRASE, World, factor};

const RIGHT: &str = "135790";
const WRONG: &str = "000000";

/// The order to make what lies on the disk the state, as restore number `restores`.
fn restoring(world: &World, next: &Configuration, restores: u32) -> Change {
    let order = Order { restores: Some(restores), ..order(world, next) };
    change(next, signed(&order, PASSPHRASE), ChangeStage::Ordered { receipt: Vec::new().into() })
}

/// Restores what lies on the disk and boots it.
fn restore(world: &mut World, restores: u32) {
    let configuration = world.configuration.clone();
    let change = restoring(world, &configuration, restores);
    // An anchor of a host's own is set to what its operator says.
    world.disk.anchored = world.disk.note.clone();
    carry_out(world, change);
    assert_eq!(halt(world), None);
    take_over(world, &configuration);
    world.boot();
    assert_eq!(halt(world), None);
    assert_eq!(world.disk.checkpoint().restores, restores);
}

/// What a request comes to; a refused one's receipt is not kept.
fn ask(client: &mut Client, world: &mut World, method: Method, request: Request) -> Outcome {
    let prepared = client.prepare(world, method, |_| request).unwrap();
    world.ask(&prepared)
}

fn accept(client: &mut Client, world: &mut World, restores: u32) -> Outcome {
    let prepared = client.prepare(world, Method::AcceptRestore, |_| Request::AcceptRestore { restores }).unwrap();
    let call = world.submit(&prepared.wallet, &prepared.request);
    let Some(crate::world::Answer::Replied(reply)) = world.take(call) else { panic!() };
    let reply = prepared.opener.open(&reply).unwrap();
    if reply.outcome == Outcome::RestoreAccepted {
        client.receipt = Some(reply.receipt.to_vec());
    }
    reply.outcome
}

fn verify(client: &mut Client, world: &mut World, pin: &str) -> Outcome {
    let prepared = client
        .prepare(world, Method::VerifyPin, |begin| Request::VerifyPin { pin: factor(pin, &begin.current.unwrap()) })
        .unwrap();
    world.ask(&prepared)
}

/// Ada has a wallet and two devices; a backup; then three wrong PINs, and Bob, whom the backup does not know. The backup lies on the disk.
fn lost() -> (World, [Client; 2], Client) {
    let mut world = World::new();
    let (mut laptop, mut phone, mut bob) = (Client::new("ada"), Client::new("ada"), Client::new("bob"));
    laptop.register(&mut world, RIGHT);
    phone.enrol(&mut world, RIGHT);
    let backup = world.disk.clone();
    for _ in 0..3 {
        assert_eq!(laptop.verify(&mut world, WRONG).outcome, Outcome::WrongPin);
        world.now += 3_600;
    }
    bob.register(&mut world, "246802");
    let anchored = world.disk.anchored.clone();
    world.disk = Disk { anchored, ..backup };
    (world, [laptop, phone], bob)
}

#[test]
fn after_a_restore_a_wallet_opens_by_its_owners_consent_and_the_pin() {
    let (mut world, [mut laptop, mut phone], mut bob) = lost();
    world.boot();
    assert_eq!(halt(&world), Some(Halt::StateOlder));
    restore(&mut world, 1);

    // What devices saw before is not continued: nothing is asked for before that is accepted.
    for request in [Request::Status, Request::ListAccounts { accounts: vec![Default::default()] }] {
        let method = request.method();
        assert_eq!(ask(&mut laptop, &mut world, method, request), Outcome::Refused(Refusal::StateRestored));
    }
    assert_eq!(verify(&mut laptop, &mut world, RIGHT), Outcome::Refused(Refusal::StateRestored));
    // Without a receipt, too, the PIN is not looked at.
    let mut forgetful = Client { receipt: None, ..Client { key: laptop.key, ..Client::new("ada") } };
    assert_eq!(verify(&mut forgetful, &mut world, RIGHT), Outcome::Refused(Refusal::RestoreNotAccepted));
    laptop = forgetful;

    assert_eq!(accept(&mut laptop, &mut world, 2), Outcome::Refused(Refusal::StateRestored), "another restore");
    assert_eq!(accept(&mut laptop, &mut world, 1), Outcome::RestoreAccepted);
    assert_eq!(accept(&mut laptop, &mut world, 1), Outcome::RestoreAccepted, "again, without effect");
    assert_eq!(verify(&mut phone, &mut world, RIGHT), Outcome::Refused(Refusal::StateRestored), "each for itself");
    assert_eq!(verify(&mut laptop, &mut world, RIGHT), Outcome::PinVerified);

    let Outcome::Status(status) = laptop.status(&mut world).outcome else { panic!() };
    assert_eq!(status.unenrolled_outstanding, 5, "what strangers tried since the backup, nobody knows");
    let clear = |begin: &BeginReply| Request::ClearTries { pin: factor(RIGHT, &begin.current.unwrap()) };
    assert_eq!(laptop.run(&mut world, Method::ClearTries, clear).outcome, Outcome::TriesCleared);

    // The right PIN opened the wallet for all its devices; each still says that it knows.
    assert_eq!(accept(&mut phone, &mut world, 1), Outcome::RestoreAccepted);
    assert_eq!(verify(&mut phone, &mut world, WRONG), Outcome::WrongPin);
    assert_eq!(verify(&mut phone, &mut world, WRONG), Outcome::WrongPin, "as many tries as ever");

    // Who came after the backup is not known, and begins anew.
    bob.receipt = None;
    assert_eq!(
        ask(&mut bob, &mut world, Method::AcceptRestore, Request::AcceptRestore { restores: 1 }),
        Outcome::Refused(Refusal::WalletMissing)
    );
    assert!(matches!(bob.register(&mut world, "246802"), Outcome::Registered(_)));
    assert_eq!(bob.verify(&mut world, "246802").outcome, Outcome::PinVerified, "a new wallet is behind no restore");
}

#[test]
fn consent_gives_a_device_one_try_and_a_loop_of_restores_gains_nothing_without_it() {
    let (mut world, [mut laptop, mut phone], _) = lost();
    let (backup, anchored) = (world.disk.clone(), world.disk.anchored.clone());
    restore(&mut world, 1);
    assert_eq!(accept(&mut laptop, &mut world, 1), Outcome::RestoreAccepted);
    assert_eq!(laptop.status(&mut world).tries.unwrap().left, 1);
    phone.receipt = None;
    assert_eq!(phone.status(&mut world).tries.unwrap().left, 0, "that device alone");
    assert_eq!(verify(&mut laptop, &mut world, WRONG), Outcome::WrongPin);
    assert_eq!(laptop.status(&mut world).tries.unwrap().left, 0);
    assert_eq!(verify(&mut laptop, &mut world, RIGHT), Outcome::Refused(Refusal::RestoreTried), "one");
    assert_eq!(accept(&mut laptop, &mut world, 1), Outcome::Refused(Refusal::RestoreTried), "and not one more");
    assert_eq!(accept(&mut phone, &mut world, 1), Outcome::RestoreAccepted);
    assert_eq!(verify(&mut phone, &mut world, WRONG), Outcome::WrongPin);
    assert_eq!(verify(&mut phone, &mut world, RIGHT), Outcome::Refused(Refusal::RestoreTried));

    // A thief of the login and the operators together, again and again: nobody accepts, nothing is answered.
    for restores in 2..6 {
        let root = world.disk.sealed_root.clone();
        world.disk = Disk { sealed_root: root, anchored: anchored.clone(), ..backup.clone() };
        // The backup is of the first tenure: only its own root opens it.
        world.disk.sealed_root = backup.sealed_root.clone();
        restore(&mut world, restores);
        let mut thief = Client::new("ada");
        let prepared = thief.prepare(&mut world, Method::EnrolDevice, |begin| Request::EnrolDevice {
            pin: factor(RIGHT, &begin.current.unwrap()),
            label: "thief".into(),
        });
        assert_eq!(world.ask(&prepared.unwrap()), Outcome::Refused(Refusal::RestoreNotAccepted));
        assert_eq!(accept(&mut thief, &mut world, restores), Outcome::Refused(Refusal::DeviceNotEnrolled));
    }
    // The owner of a mistyped PIN gets in by the next one.
    assert_eq!(accept(&mut laptop, &mut world, 5), Outcome::RestoreAccepted);
    assert_eq!(verify(&mut laptop, &mut world, RIGHT), Outcome::PinVerified);
}

#[test]
fn whoever_opens_a_restored_wallet_by_clearing_its_tries_gives_strangers_theirs() {
    let (mut world, [mut laptop, _], _) = lost();
    restore(&mut world, 1);
    assert_eq!(accept(&mut laptop, &mut world, 1), Outcome::RestoreAccepted);
    let clear = |begin: &BeginReply| Request::ClearTries { pin: factor(RIGHT, &begin.current.unwrap()) };
    assert_eq!(laptop.run(&mut world, Method::ClearTries, clear).outcome, Outcome::TriesCleared);
    let Outcome::Status(status) = laptop.status(&mut world).outcome else { panic!() };
    assert_eq!(status.unenrolled_outstanding, 0);
    let enrol = |begin: &BeginReply| Request::EnrolDevice {
        pin: factor(RIGHT, &begin.current.unwrap()),
        label: "tablet".into(),
    };
    let mut tablet = Client::new("ada");
    assert_eq!(tablet.run(&mut world, Method::EnrolDevice, enrol).outcome, Outcome::DeviceEnrolled);
}

#[test]
fn a_charge_that_was_lost_is_a_try_that_was_used() {
    let (mut world, [mut laptop, _], _) = lost();
    restore(&mut world, 1);
    assert_eq!(accept(&mut laptop, &mut world, 1), Outcome::RestoreAccepted);
    world.fates = vec![Fate::LoseAnchored];
    laptop.submit_wrong_pin(&mut world);
    world.boot();
    assert_eq!(verify(&mut laptop, &mut world, RIGHT), Outcome::Refused(Refusal::RestoreTried));
}

#[test]
fn only_the_operators_order_for_this_very_state_restores_it() {
    let (mut world, _, _) = lost();
    let configuration = world.configuration.clone();
    let refused = |world: &mut World, what: &str, order: &Order, passphrase: &[u8]| {
        let stage = ChangeStage::Ordered { receipt: Vec::new().into() };
        carry_out(world, change(&configuration, signed(order, passphrase), stage));
        assert_eq!((halt(world), world.changed.is_some()), (Some(Halt::OrderRefused), false), "{what}");
    };
    let honest = Order { restores: Some(1), ..order(&world, &configuration) };
    refused(&mut world, "another passphrase", &honest, b"another");
    refused(&mut world, "another state", &Order { checkpoint: Hash32([1; 32]), ..honest.clone() }, PASSPHRASE);
    for number in [0, 1_002, u32::MAX] {
        refused(&mut world, "no next number", &Order { restores: Some(number), ..honest.clone() }, PASSPHRASE);
    }
    refused(&mut world, "a change of nothing", &Order { restores: None, ..honest.clone() }, PASSPHRASE);
    // A change that is none to restore does not set the anchor aside.
    let mut next = configuration.clone();
    next.argon2.passes += 1;
    let plain = change(
        &next,
        signed(&order(&world, &next), PASSPHRASE),
        ChangeStage::Ordered { receipt: world.disk.note.clone().into() },
    );
    carry_out(&mut world, plain);
    assert_eq!((halt(&world), world.changed.is_some()), (Some(Halt::StateOlder), false));
    restore(&mut world, 1);
    refused(&mut world, "the same order again", &honest, PASSPHRASE);
}

#[test]
fn a_crash_in_a_restore_leaves_it_to_be_done_or_finished() {
    for fate in [Fate::LoseUnstored, Fate::LoseStored, Fate::LoseAnchored] {
        let (mut world, [mut laptop, _], _) = lost();
        let configuration = world.configuration.clone();
        let ordered = restoring(&world, &configuration, 1);
        world.disk.anchored = world.disk.note.clone();
        world.fates_at_boot = vec![fate];
        carry_out(&mut world, ordered.clone());
        assert!(world.changed.is_none(), "{fate:?}");
        match term(&world.disk) {
            None => carry_out(&mut world, ordered),
            Some(term) => {
                // For a restore the host says what the anchor held before.
                world.disk.anchored = world.disk.note.clone();
                carry_out(&mut world, Change { stage: ChangeStage::Logged { term }, ..ordered });
            }
        }
        assert_eq!(halt(&world), None, "{fate:?}");
        take_over(&mut world, &configuration);
        world.boot();
        assert_eq!(accept(&mut laptop, &mut world, 1), Outcome::RestoreAccepted, "{fate:?}");
        assert_eq!(verify(&mut laptop, &mut world, RIGHT), Outcome::PinVerified, "{fate:?}");
    }
}

/// At L4 the old witnesses never go back, so a restore is a log of its own, cosigned by those the operators name; all may be lost.
#[test]
fn a_restore_under_witnesses_needs_a_quorum_of_them_and_may_name_new_ones() {
    let (mut world, [mut laptop, _], _) = lost();
    let next = sealed_to(&world.configuration, "first.test");
    let change = restoring(&world, &next, 1);
    world.disk.anchored = world.disk.note.clone();
    let before = world.disk.clone();
    carry_out(&mut world, change.clone());
    assert_eq!((halt(&world), world.changed.is_some()), (Some(Halt::Fenced), false), "the host's word is no receipt");
    world.disk = before;
    anchored_by(&mut world, "first.test");
    carry_out(&mut world, change);
    take_over(&mut world, &next);
    world.boot();
    assert_eq!(halt(&world), None);
    let note = String::from_utf8(world.disk.note.clone()).unwrap();
    assert!(note.starts_with(&format!("pinseal.dev/{}/1\n", next.deployment)), "{note}");
    assert_eq!(accept(&mut laptop, &mut world, 1), Outcome::RestoreAccepted);
    assert_eq!(verify(&mut laptop, &mut world, RIGHT), Outcome::PinVerified);
}

#[test]
fn whoever_has_seen_a_restore_convicts_a_state_from_before_it() {
    let (mut world, [mut laptop, _], _) = lost();
    let before = world.disk.clone();
    restore(&mut world, 1);
    assert_eq!(accept(&mut laptop, &mut world, 1), Outcome::RestoreAccepted);
    // The older root and disk, whole, by the host alone.
    world.disk = Disk { anchored: before.note.clone(), ..before };
    world.boot();
    assert_eq!(halt(&world), None, "at L1 a host may do that");
    assert_eq!(verify(&mut laptop, &mut world, RIGHT), Outcome::Refused(Refusal::StateRolledBack));
    assert_eq!(halt(&world), Some(Halt::RolledBack));
}

#[test]
fn there_is_nothing_to_accept_where_nothing_was_restored() {
    let mut world = World::new();
    let mut ada = Client::new("ada");
    ada.register(&mut world, RIGHT);
    assert_eq!(accept(&mut ada, &mut world, 0), Outcome::Refused(Refusal::NothingPending));
    assert_eq!(accept(&mut ada, &mut world, 1), Outcome::Refused(Refusal::StateRestored));
}

#[cfg(feature = "planted")]
#[test]
fn every_guard_of_a_restored_wallet_is_needed() {
    use pinseal_enclave::planted::{Defect, plant};

    let judged_without_consent = || {
        let (mut world, [laptop, _], _) = lost();
        restore(&mut world, 1);
        let mut laptop = Client { receipt: None, ..laptop };
        verify(&mut laptop, &mut world, WRONG) == Outcome::WrongPin
    };
    let judged_twice = || {
        let (mut world, [mut laptop, _], _) = lost();
        restore(&mut world, 1);
        accept(&mut laptop, &mut world, 1);
        verify(&mut laptop, &mut world, WRONG);
        verify(&mut laptop, &mut world, WRONG) == Outcome::WrongPin
    };
    assert!(!judged_without_consent() && !judged_twice());
    plant(Some(Defect::RestoreLeavesOpen));
    assert!(judged_without_consent());
    plant(Some(Defect::AcceptanceGivesManyTries));
    assert!(judged_twice());
    plant(None);
}
