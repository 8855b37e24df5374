//! L2 gone on from by the operators' order: an older state restored in the same TPM, and deployments moved into a TPM, out of one and from one to
//! another.

use std::cell::RefCell;
use std::rc::Rc;

use pinseal_enclave::Enclave;
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{AnchorLevel, Configuration, SuccessionError};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::limits::RESTORES_STEP_MAX;
use pinseal_protocol::order::Order;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{Method, Request};
use pinseal_protocol::tpm::Tpm;
use pinseal_protocol::wire::{Change, ChangeStage, FromEnclave, Halt, ToEnclave};
use pinseal_software_tpm::{ATTRIBUTES, SoftwareTpm};

use crate::change::{anchored_by, carry_out, change, cosigned, halt, order, sealed_to, signed, take_over, term};
use crate::world::{Answer, Client, Disk, Fate, PASSPHRASE, SharedTpm, World, factor, identity, passphrase};

const RIGHT: &str = "135790";
const WRONG: &str = "000000";

fn tpm() -> SharedTpm {
    Rc::new(RefCell::new(SoftwareTpm::new()))
}

/// Another one, whose index has another handle.
fn other_tpm() -> SharedTpm {
    Rc::new(RefCell::new(SoftwareTpm::with_index(0x0180_0123)))
}

/// Has the enclave write that TPM's index for the first time; what it holds then.
fn prime(world: &mut World, tpm: &SharedTpm) -> [u8; 32] {
    world.enclave = Enclave::new(passphrase(PASSPHRASE), identity());
    let asked = world.tell(ToEnclave::Prime {
        configuration: cbor::to_vec(&world.configuration).into(),
        sealed_root: world.disk.sealed_root.clone().into(),
        tpm: tpm.borrow().named(),
    });
    let [FromEnclave::Define { writer }] = asked.as_slice() else { panic!("{asked:?}") };
    tpm.borrow_mut().define(writer, ATTRIBUTES);
    let nonce = tpm.borrow_mut().open();
    let given = world.tell(ToEnclave::Defined { nonce });
    let [FromEnclave::Primed { value, authorisation }] = given.as_slice() else { panic!("{given:?}") };
    assert!(world.enclave.is_halted(), "it gives nothing else");
    tpm.borrow_mut().extend(&value.0, authorisation).unwrap();
    tpm.borrow().value()
}

/// The configuration that goes on from what that TPM's index holds.
fn from(world: &World, tpm: &SharedTpm) -> Configuration {
    Configuration {
        anchor: AnchorLevel::L2,
        floor: AnchorLevel::L2,
        witnesses: None,
        tpm: Some(tpm.borrow().named()),
        base: Some(Hash32(tpm.borrow().value())),
        ..world.configuration.clone()
    }
}

/// The order for that, with the TPM's word for it.
fn going_on(world: &World, next: &Configuration, tpm: &SharedTpm, restores: Option<u32>) -> Change {
    let order = Order { restores, ..order(world, next) };
    let word = tpm.borrow_mut().word(&order.hash().0);
    change(next, signed(&order, PASSPHRASE), ChangeStage::Ordered { receipt: word.into() })
}

/// Restores what lies on the disk, as number `restores`, in that TPM.
fn restore(world: &mut World, tpm: &SharedTpm, restores: u32) {
    let next = from(world, tpm);
    let change = going_on(world, &next, tpm, Some(restores));
    give(world, tpm, change);
    assert_eq!(halt(world), None);
    take_over(world, &next);
    world.boot();
    assert_eq!(halt(world), None);
    assert_eq!(world.disk.checkpoint().restores, restores);
}

/// Hands an order to an enclave that has that TPM.
fn give(world: &mut World, tpm: &SharedTpm, change: Change) {
    world.tpm = Some(SharedTpm::clone(tpm));
    world.disk.anchored = world.disk.note.clone();
    carry_out(world, change);
}

fn verify(client: &mut Client, world: &mut World, pin: &str) -> Outcome {
    let prepared = client
        .prepare(world, Method::VerifyPin, |begin| Request::VerifyPin { pin: factor(pin, &begin.current.unwrap()) })
        .unwrap();
    world.ask(&prepared)
}

fn accept(client: &mut Client, world: &mut World, restores: u32) -> Outcome {
    let prepared = client.prepare(world, Method::AcceptRestore, |_| Request::AcceptRestore { restores }).unwrap();
    let call = world.submit(&prepared.wallet, &prepared.request);
    let Some(Answer::Replied(reply)) = world.take(call) else { panic!() };
    client.open(world, &prepared.opener, &reply).outcome
}

/// Ada has a wallet in that TPM; a backup; then three wrong PINs, after which the newest database is lost. The backup lies on the disk.
fn lost(tpm: &SharedTpm) -> (World, Client) {
    let mut world = World::with_tpm(1, tpm);
    let mut ada = Client::new("ada");
    ada.register(&mut world, RIGHT);
    let backup = world.disk.clone();
    for _ in 0..3 {
        assert_eq!(ada.verify(&mut world, WRONG).outcome, Outcome::WrongPin);
        world.now += 3_600;
    }
    world.disk = backup;
    (world, ada)
}

/// Another instance beside that one: its own process on a copy of its disk, the same TPM.
fn beside(world: &World, disk: &Disk) -> World {
    let mut other = World::with_tpm(2, &tpm());
    other.configuration = world.configuration.clone();
    other.tpm = world.tpm.clone();
    other.disk = disk.clone();
    other.now = world.now;
    other
}

#[test]
fn a_lost_database_is_restored_on_the_same_tpm_and_owners_agree_first() {
    let tpm = tpm();
    let (mut world, mut ada) = lost(&tpm);
    world.boot();
    assert_eq!(halt(&world), Some(Halt::StateForked), "nothing goes on by itself");
    restore(&mut world, &tpm, 1);
    assert_eq!(world.manifest().tpm, Some(tpm.borrow().named()), "the same TPM for every client");
    assert_eq!(verify(&mut ada, &mut world, RIGHT), Outcome::Refused(Refusal::StateRestored));
    assert_eq!(accept(&mut ada, &mut world, 1), Outcome::RestoreAccepted);
    assert_eq!(ada.status(&mut world).tries.unwrap().left, 1);
    assert_eq!(ada.verify(&mut world, RIGHT).outcome, Outcome::PinVerified);
    // And on, over boots and another loss.
    world.boot();
    assert_eq!(halt(&world), None);
    let backup = world.disk.clone();
    assert_eq!(ada.verify(&mut world, WRONG).outcome, Outcome::WrongPin);
    world.disk = backup;
    world.boot();
    assert_eq!(halt(&world), Some(Halt::StateForked));
    // Its number may be as far from the one before as any.
    let far = 1 + RESTORES_STEP_MAX;
    restore(&mut world, &tpm, far);
    assert_eq!(accept(&mut ada, &mut world, far), Outcome::RestoreAccepted);
    assert_eq!(ada.verify(&mut world, RIGHT).outcome, Outcome::PinVerified);
}

#[test]
fn a_restore_that_dies_anywhere_is_finished_or_did_not_happen() {
    for fate in [Fate::LoseUnstored, Fate::LoseStored, Fate::LoseAnchored] {
        let tpm = tpm();
        let (mut world, mut ada) = lost(&tpm);
        let next = from(&world, &tpm);
        let order = going_on(&world, &next, &tpm, Some(1));
        world.fates_at_boot = vec![fate];
        give(&mut world, &tpm, order.clone());
        assert!(world.crashed && world.changed.is_none(), "{fate:?}");
        match term(&world.disk) {
            None => {
                assert_eq!(Some(Hash32(tpm.borrow().value())), next.base, "{fate:?}: the order stands");
                give(&mut world, &tpm, order);
            }
            Some(term) => {
                world.boot();
                assert_ne!(halt(&world), None, "{fate:?}: under the old root nothing boots");
                give(&mut world, &tpm, Change { stage: ChangeStage::Logged { term }, ..order });
            }
        }
        assert_eq!(halt(&world), None, "{fate:?}");
        take_over(&mut world, &next);
        world.boot();
        assert_eq!(halt(&world), None, "{fate:?}");
        assert_eq!(accept(&mut ada, &mut world, 1), Outcome::RestoreAccepted);
        assert_eq!(ada.verify(&mut world, RIGHT).outcome, Outcome::PinVerified);
    }
}

/// The index never holds the same again, so neither the disk nor the root nor the TPM's word of then carries the order out a second time.
#[test]
fn an_order_is_carried_out_once_whatever_is_put_back_beside_it() {
    let tpm = tpm();
    let (mut world, _) = lost(&tpm);
    let (disk, configuration) = (world.disk.clone(), world.configuration.clone());
    let order = going_on(&world, &from(&world, &tpm), &tpm, Some(1));
    let held = tpm.borrow().snapshot();
    give(&mut world, &tpm, order.clone());
    assert!(world.changed.is_some(), "the counter-example");
    let after = tpm.borrow().snapshot();
    for serves_first in [false, true] {
        tpm.borrow_mut().roll_back(after);
        (world.disk, world.configuration) = (disk.clone(), configuration.clone());
        if serves_first {
            world.boot();
            assert_eq!(halt(&world), Some(Halt::StateForked));
        }
        give(&mut world, &tpm, order.clone());
        assert_eq!(halt(&world), Some(Halt::Fenced));
        assert!(world.changed.is_none(), "no root");
    }
    // Only a TPM that is rolled back itself forgets, as the threat model says.
    tpm.borrow_mut().roll_back(held);
    (world.disk, world.configuration) = (disk, configuration);
    give(&mut world, &tpm, order);
    assert!(world.changed.is_some());
}

#[test]
fn of_two_orders_for_one_base_one_is_carried_out() {
    let tpm = tpm();
    let (mut first, _) = lost(&tpm);
    let disk = first.disk.clone();
    let mut second = beside(&first, &disk);
    let next = from(&first, &tpm);
    let orders = [1, 2].map(|restores| going_on(&first, &next, &tpm, Some(restores)));
    give(&mut first, &tpm, orders[0].clone());
    assert!(first.changed.is_some());
    give(&mut second, &tpm, orders[1].clone());
    assert_eq!(halt(&second), Some(Halt::Fenced), "admitted by the word of before, and no receipt");
    assert!(second.changed.is_none());
    second.disk = disk;
    let late = going_on(&second, &next, &tpm, Some(2));
    give(&mut second, &tpm, late);
    assert_eq!(halt(&second), Some(Halt::OrderRefused), "told before anything is written");
    assert_eq!(term(&second.disk), None);
}

#[test]
fn of_a_live_enclave_and_a_restore_beside_it_one_goes_on_and_the_other_answers_nothing() {
    for live_is_first in [true, false] {
        let tpm = tpm();
        let mut live = World::with_tpm(1, &tpm);
        let mut ada = Client::new("ada");
        ada.register(&mut live, RIGHT);
        let backup = live.disk.clone();
        ada.verify(&mut live, WRONG);
        let mut restored = beside(&live, &backup);
        let order = going_on(&restored, &from(&restored, &tpm), &tpm, Some(1));
        if live_is_first {
            assert_eq!(ada.verify(&mut live, RIGHT).outcome, Outcome::PinVerified);
            give(&mut restored, &tpm, order);
            assert_eq!(halt(&restored), Some(Halt::Fenced));
            assert!(restored.changed.is_none(), "no root");
        } else {
            give(&mut restored, &tpm, order);
            assert!(restored.changed.is_some());
            ada.submit_wrong_pin(&mut live);
            assert_eq!(halt(&live), Some(Halt::Fenced));
            assert!(live.answers.is_empty(), "no verdict left");
        }
    }
}

/// A word of the TPM's, of something else than was ordered.
type Foreign = Box<dyn Fn(&World, &Order) -> Vec<u8>>;

#[test]
fn a_restore_wants_the_configured_tpms_own_word_for_this_very_order() {
    let (present, strange) = (tpm(), tpm());
    let (mut world, _) = lost(&present);
    prime(&mut world, &strange);
    let next = from(&world, &present);
    let (one, other) = (SharedTpm::clone(&present), SharedTpm::clone(&strange));
    let forge = SharedTpm::clone(&present);
    let words: Vec<(&str, Foreign)> = vec![
        ("none", Box::new(|_, _| Vec::new())),
        ("of another order", {
            let one = SharedTpm::clone(&one);
            Box::new(move |_, order| one.borrow_mut().word(&Order { restores: Some(2), ..order.clone() }.hash().0))
        }),
        ("for no purpose, as receipts have it", Box::new(move |_, _| one.borrow_mut().word(&[]))),
        ("of another TPM", Box::new(move |_, order| other.borrow_mut().word(&order.hash().0))),
        ("of another TPM's key for the right content", {
            let strange = SharedTpm::clone(&strange);
            Box::new(move |_, order| {
                let fields = pinseal_software_tpm::Fields {
                    extra: order.hash().0.to_vec(),
                    ..forge.borrow_mut().attest().unwrap()
                };
                let attest = fields.encoded();
                [&attest[..], &strange.borrow().sign(&attest)].concat()
            })
        }),
    ];
    for (what, word) in words {
        let order = Order { restores: Some(1), ..order(&world, &next) };
        let word = word(&world, &order);
        let change = change(&next, signed(&order, PASSPHRASE), ChangeStage::Ordered { receipt: word.into() });
        give(&mut world, &present, change);
        assert_eq!(halt(&world), Some(Halt::OrderRefused), "{what}");
        assert_eq!(term(&world.disk), None, "{what}: nothing was written");
    }
    let refused: [(&str, Option<Hash32>, Halt); 3] = [
        ("nothing named", None, Halt::OrderRefused),
        ("an empty index", Some(Hash32([0; 32])), Halt::ConfigurationInvalid),
        ("what it held before", world.disk.checkpoint().held_after(), Halt::OrderRefused),
    ];
    for (what, base, expected) in refused {
        let next = Configuration { base, ..next.clone() };
        let change = going_on(&world, &next, &present, Some(1));
        give(&mut world, &present, change);
        assert_eq!(halt(&world), Some(expected), "{what}");
    }
    let good = going_on(&world, &next, &present, Some(1));
    give(&mut world, &present, good);
    assert!(world.changed.is_some(), "the counter-example");
}

/// The common accident: the board died, and the newest database may be there or not.
#[test]
fn a_lost_tpm_is_replaced_by_a_restore_in_another_one() {
    let (old, new) = (tpm(), other_tpm());
    let (mut world, mut ada) = lost(&old);
    let held = prime(&mut world, &new);
    assert_ne!(held, [0; 32]);
    restore(&mut world, &new, 1);
    assert_eq!(world.manifest().tpm, Some(new.borrow().named()), "every client is told");
    assert_eq!(accept(&mut ada, &mut world, 1), Outcome::RestoreAccepted);
    assert_eq!(ada.verify(&mut world, RIGHT).outcome, Outcome::PinVerified);
    world.boot();
    assert_eq!(halt(&world), None);
    // A TPM that was cleared is another one; its old index's handle is free again.
    new.borrow_mut().clear();
    world.boot();
    assert_eq!(halt(&world), Some(Halt::AnchorMissing));
    prime(&mut world, &new);
    restore(&mut world, &new, 2);
    assert_eq!(accept(&mut ada, &mut world, 2), Outcome::RestoreAccepted);
}

/// What is restored is anchored where the new configuration says, whatever the old one was.
#[test]
fn a_restore_leads_from_a_lost_file_into_a_tpm_and_from_a_lost_tpm_to_witnesses() {
    let mut world = World::new();
    let mut ada = Client::new("ada");
    ada.register(&mut world, RIGHT);
    let backup = world.disk.clone();
    ada.verify(&mut world, WRONG);
    world.disk = backup;
    let tpm = tpm();
    prime(&mut world, &tpm);
    restore(&mut world, &tpm, 1);
    assert_eq!(accept(&mut ada, &mut world, 1), Outcome::RestoreAccepted);
    assert_eq!(ada.verify(&mut world, RIGHT).outcome, Outcome::PinVerified);
    let backup = world.disk.clone();
    ada.verify(&mut world, WRONG);
    world.disk = Disk { anchored: backup.note.clone(), ..backup };
    let next = Configuration { tpm: None, base: None, ..sealed_to(&world.configuration, "first.test") };
    let order = Order { restores: Some(2), ..order(&world, &next) };
    let stage = ChangeStage::Ordered { receipt: Vec::new().into() };
    world.tpm = None;
    anchored_by(&mut world, "first.test");
    carry_out(&mut world, change(&next, signed(&order, PASSPHRASE), stage));
    assert_eq!(halt(&world), None);
    assert_eq!(world.disk.checkpoint().tpm, None);
    take_over(&mut world, &next);
    world.boot();
    assert_eq!(halt(&world), None);
    assert_eq!(accept(&mut ada, &mut world, 2), Outcome::RestoreAccepted);
    assert_eq!(ada.verify(&mut world, RIGHT).outcome, Outcome::PinVerified);
}

/// A host may have an index primed whenever it likes, its own deployment's among them: nothing follows from what that holds then.
#[test]
fn an_index_defined_anew_and_primed_takes_nothing_that_counts() {
    let tpm = tpm();
    let mut world = World::made_in_tpm(1, &tpm);
    let mut ada = Client::new("ada");
    let mut disks = vec![world.disk.clone()];
    world.boot();
    disks.push(world.disk.clone());
    ada.register(&mut world, RIGHT);
    disks.push(world.disk.clone());
    let mut values = vec![tpm.borrow().value()];
    for disk in &disks {
        world.disk = disk.clone();
        let value = prime(&mut world, &tpm);
        assert!(!values.contains(&value), "drawn anew each time");
        values.push(value);
        let newest = disk.checkpoint();
        for said in [newest.tpm, newest.held_after(), Some(Hash32(value))].into_iter().flatten() {
            world.disk = disk.clone();
            let mut message = world.boot_message();
            if let ToEnclave::Boot { anchored, .. } = &mut message {
                *anchored = said.0.to_vec().into();
            }
            world.boot_with(PASSPHRASE, message);
            assert_ne!(halt(&world), None);
            assert!(world.manifest.is_none(), "nothing is served");
        }
    }
}

#[test]
fn priming_wants_the_root_and_a_well_formed_tpm_and_ends() {
    let (present, new) = (tpm(), tpm());
    let (mut world, _) = lost(&present);
    let message = |world: &World, tpm: Tpm, root: Vec<u8>| ToEnclave::Prime {
        configuration: cbor::to_vec(&world.configuration).into(),
        sealed_root: root.into(),
        tpm,
    };
    let (named, root) = (new.borrow().named(), world.disk.sealed_root.clone());
    for (secret, tpm, root, expected) in [
        (&b"another"[..], named, root.clone(), Halt::WrongPassphrase),
        (PASSPHRASE, Tpm { index: 7, ..named }, root.clone(), Halt::Protocol),
        (PASSPHRASE, named, root[..root.len() - 1].to_vec(), Halt::RootDamaged),
    ] {
        world.enclave = Enclave::new(passphrase(secret), identity());
        let said = world.tell(message(&world, tpm, root));
        assert!(matches!(said.as_slice(), [FromEnclave::Halted { halt, .. }] if *halt == expected), "{said:?}");
    }
    prime(&mut world, &new);
    let said = world.tell(ToEnclave::Defined { nonce: new.borrow_mut().open() });
    assert!(matches!(said.as_slice(), [FromEnclave::Halted { halt: Halt::Protocol, .. }]), "{said:?}");
}

#[test]
fn other_changes_are_anchored_in_the_tpm_and_an_index_that_is_kept_has_one_beginning() {
    let tpm = tpm();
    let mut world = World::with_tpm(1, &tpm);
    let mut ada = Client::new("ada");
    ada.register(&mut world, RIGHT);
    let next = Configuration { breaker: world.configuration.breaker + 1, ..world.configuration.clone() };
    for fate in [Fate::LoseUnstored, Fate::LoseStored, Fate::LoseAnchored, Fate::Commit] {
        let mut world = beside(&world, &world.disk);
        let snapshot = tpm.borrow().snapshot();
        let receipt = tpm.borrow_mut().receipt(&world.disk.note);
        let stage = ChangeStage::Ordered { receipt: receipt.into() };
        let ordered = change(&next, signed(&order(&world, &next), PASSPHRASE), stage);
        world.fates_at_boot = vec![fate];
        give(&mut world, &tpm, ordered.clone());
        match term(&world.disk) {
            None => give(&mut world, &tpm, ordered),
            Some(term) if world.changed.is_none() => {
                give(&mut world, &tpm, Change { stage: ChangeStage::Logged { term }, ..ordered });
            }
            Some(_) => {}
        }
        assert_eq!(halt(&world), None, "{fate:?}");
        take_over(&mut world, &next);
        world.boot();
        assert_eq!(halt(&world), None, "{fate:?}");
        tpm.borrow_mut().roll_back(snapshot);
    }
    // A receipt of another state shows nothing, and a second beginning is a restore's.
    let stage = ChangeStage::Ordered { receipt: world.disk.note.clone().into() };
    let unshown = change(&next, signed(&order(&world, &next), PASSPHRASE), stage);
    give(&mut world, &tpm, unshown);
    assert_eq!(halt(&world), Some(Halt::OrderRefused));
    let begun = from(&world, &tpm);
    assert_eq!(world.configuration.check_succession(&begun), Err(SuccessionError::Base));
    // Neither with the index's word for it, nor with the receipt that shows what it holds.
    let receipt = tpm.borrow_mut().receipt(&world.disk.note);
    let shown =
        change(&begun, signed(&order(&world, &begun), PASSPHRASE), ChangeStage::Ordered { receipt: receipt.into() });
    for begun in [going_on(&world, &begun, &tpm, None), shown] {
        give(&mut world, &tpm, begun);
        assert_eq!(halt(&world), Some(Halt::OrderRefused));
    }
    // That enrolment goes on is a change of nothing, anchored all the same.
    let present = world.configuration.clone();
    let resumed = Order { resumes: true, ..order(&world, &present) };
    let stage = ChangeStage::Ordered { receipt: Vec::new().into() };
    give(&mut world, &tpm, change(&present, signed(&resumed, PASSPHRASE), stage));
    assert_eq!(halt(&world), None);
    take_over(&mut world, &present);
    world.boot();
    assert_eq!(ada.verify(&mut world, RIGHT).outcome, Outcome::PinVerified);
}

/// Into a TPM, into another one, and out to witnesses: each in the log, anchored where the configuration before says, and gone on from.
#[test]
fn a_deployment_moves_into_a_tpm_to_another_and_to_witnesses() {
    for fate in [Fate::Commit, Fate::LoseUnstored, Fate::LoseStored, Fate::LoseAnchored] {
        let mut world = World::new();
        let mut ada = Client::new("ada");
        ada.register(&mut world, RIGHT);
        let (one, two) = (tpm(), other_tpm());
        for (old, new) in [(None, &one), (Some(&one), &two)] {
            prime(&mut world, new);
            let next = from(&world, new);
            let ordered = going_on(&world, &next, new, None);
            moved(&mut world, old, ordered, fate);
            take_over(&mut world, &next);
            world.tpm = Some(SharedTpm::clone(new));
            world.boot();
            assert_eq!(halt(&world), None, "{fate:?}");
            assert_eq!(world.manifest().tpm, Some(new.borrow().named()));
            assert_eq!(ada.verify(&mut world, RIGHT).outcome, Outcome::PinVerified);
            world.boot();
            assert_eq!(halt(&world), None, "{fate:?}");
        }
        let next = Configuration { tpm: None, base: None, ..sealed_to(&world.configuration, "first.test") };
        let receipt = cosigned("first.test", &world.disk.note).into();
        let ordered = change(&next, signed(&order(&world, &next), PASSPHRASE), ChangeStage::Ordered { receipt });
        moved(&mut world, Some(&two), ordered, fate);
        take_over(&mut world, &next);
        world.tpm = None;
        anchored_by(&mut world, "first.test");
        world.boot();
        assert_eq!(halt(&world), None, "{fate:?}");
        assert_eq!(world.disk.checkpoint().tpm, None);
        assert_eq!(ada.verify(&mut world, RIGHT).outcome, Outcome::PinVerified);
    }
}

/// Carries an order out where the configuration in force is anchored, whatever happens between.
fn moved(world: &mut World, old: Option<&SharedTpm>, ordered: Change, fate: Fate) {
    world.tpm = old.cloned();
    world.fates_at_boot = vec![fate];
    carry_out(world, ordered.clone());
    match term(&world.disk) {
        None => carry_out(world, ordered),
        Some(term) if world.changed.is_none() => {
            carry_out(world, Change { stage: ChangeStage::Logged { term }, ..ordered });
        }
        Some(_) => {}
    }
    assert_eq!(halt(world), None, "{fate:?}");
    assert!(world.changed.is_some(), "{fate:?}");
}

/// Between the change and the first boot the new index still holds what it was primed with: nothing was let in under the new configuration yet.
#[test]
fn the_first_boot_in_a_new_tpm_dies_anywhere_and_is_gone_on_from() {
    for fate in [Fate::LoseUnstored, Fate::LoseStored, Fate::LoseAnchored] {
        let mut world = World::new();
        let mut ada = Client::new("ada");
        ada.register(&mut world, RIGHT);
        let new = tpm();
        prime(&mut world, &new);
        let next = from(&world, &new);
        let ordered = going_on(&world, &next, &new, None);
        moved(&mut world, None, ordered, Fate::Commit);
        take_over(&mut world, &next);
        world.tpm = Some(SharedTpm::clone(&new));
        world.fates_at_boot = vec![fate];
        world.boot();
        assert!(world.crashed);
        world.boot();
        assert_eq!(halt(&world), None, "{fate:?}");
        assert_eq!(ada.verify(&mut world, RIGHT).outcome, Outcome::PinVerified);
    }
}

#[test]
fn a_move_brings_no_older_state_along_and_wants_the_old_anchors_receipt() {
    let (one, two) = (tpm(), tpm());
    let mut world = World::with_tpm(1, &one);
    let mut ada = Client::new("ada");
    ada.register(&mut world, RIGHT);
    let older = world.disk.clone();
    ada.verify(&mut world, WRONG);
    let newest = world.disk.clone();
    prime(&mut world, &two);
    let next = from(&world, &two);
    // On the older disk: whatever the host says that the old index holds.
    let held = one.borrow().value();
    for said in [older.checkpoint().held_after().unwrap().0, held] {
        world.disk = older.clone();
        world.disk.anchored = older.note.clone();
        let ordered = going_on(&world, &next, &two, None);
        let ToEnclave::Boot { configuration, sealed_root, checkpoint, frontier, time, nonce, .. } =
            world.boot_message()
        else {
            panic!()
        };
        let boot = ToEnclave::Boot {
            configuration,
            sealed_root,
            checkpoint,
            frontier,
            anchored: said.to_vec().into(),
            time,
            change: Some(ordered),
            nonce,
        };
        let snapshot = one.borrow().snapshot();
        world.boot_with(PASSPHRASE, boot);
        assert!(matches!(halt(&world), Some(Halt::Fenced | Halt::StateForked)), "{:?}", world.halted);
        assert!(world.changed.is_none(), "no root");
        one.borrow_mut().roll_back(snapshot);
    }
    // The old TPM may not be there, and another's receipt in its place is none.
    world.disk = newest;
    let ordered = going_on(&world, &next, &two, None);
    let other = SharedTpm::clone(&two);
    world.anchor = Some(Box::new(move |note| other.borrow_mut().receipt(note)));
    carry_out(&mut world, ordered.clone());
    assert_eq!(halt(&world), Some(Halt::Fenced));
    assert!(world.changed.is_none());
    world.anchor = None;
    let term = term(&world.disk).unwrap();
    carry_out(&mut world, Change { stage: ChangeStage::Logged { term }, ..ordered });
    assert!(world.changed.is_some());
    // Under the old root nothing boots any more, on either disk.
    let root = world.disk.sealed_root.clone();
    for disk in [world.disk.clone(), older] {
        world.disk = Disk { sealed_root: root.clone(), ..disk };
        world.boot();
        assert!(matches!(halt(&world), Some(Halt::StateMismatch | Halt::StateForked)), "{:?}", world.halted);
    }
}

#[test]
fn a_tpm_that_nothing_was_written_to_or_that_does_not_answer_for_its_index_is_not_taken() {
    let (one, two) = (tpm(), tpm());
    let mut world = World::with_tpm(1, &one);
    let mut ada = Client::new("ada");
    ada.register(&mut world, RIGHT);
    prime(&mut world, &two);
    let good = from(&world, &two);
    let empty = Configuration { base: None, ..good.clone() };
    let ordered = going_on(&world, &empty, &two, None);
    carry_out(&mut world, ordered);
    assert_eq!(halt(&world), Some(Halt::OrderRefused));
    let ordered = going_on(&world, &good, &one, None);
    carry_out(&mut world, ordered);
    assert_eq!(halt(&world), Some(Halt::OrderRefused), "another TPM's word");
    // An index of that handle is there, and another deployment's key writes it.
    let foreign = other_tpm();
    prime(&mut World::with_seed(2), &foreign);
    let ordered = going_on(&world, &from(&world, &foreign), &foreign, None);
    carry_out(&mut world, ordered);
    assert_eq!(halt(&world), Some(Halt::OrderRefused), "somebody else's index");
    assert!(world.halted.as_ref().unwrap().1.contains("another index"), "{:?}", world.halted);
    assert_eq!(term(&world.disk), None);
    let before = world.configuration.clone();
    assert_eq!(good.check_succession(&before), Ok(()), "back again is a move like any other");
    world.boot();
    assert_eq!(halt(&world), None, "nothing was changed");
}
