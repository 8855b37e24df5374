//! The sealed configuration changes by the operators' order alone, and never away from what was anchored before.

use pinseal_enclave::Environment as _;
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{AnchorLevel, Configuration, SuccessionError};
use pinseal_protocol::cosignature::{Quorum, Witness};
use pinseal_protocol::ids::{Hash32, Term, UnixSeconds};
use pinseal_protocol::log::Entry;
use pinseal_protocol::order::{ORDER_COST, ORDER_VERSION, Order, SignedOrder, root_hash};
use pinseal_protocol::wire::{Change, ChangeStage, Halt, ToEnclave};

use crate::witnesses::Cosigner;
use crate::world::{Client, Disk, Fate, PASSPHRASE, Randomness, World, passphrase};

pub(crate) const SALT: Hash32 = Hash32([8; 32]);

/// Three witnesses of one operator; two of them are a quorum.
pub(crate) fn witnesses(operator: &str) -> [Cosigner; 3] {
    let seed = operator.bytes().fold(0_u8, u8::wrapping_add);
    [1, 2, 3].map(|number| Cosigner::new(&format!("{operator}/w{number}"), seed.wrapping_add(number)))
}

pub(crate) fn sealed_to(configuration: &Configuration, operator: &str) -> Configuration {
    let witnesses = witnesses(operator).iter().map(|one| Witness::from_verifier_key(&one.key).unwrap()).collect();
    Configuration {
        anchor: AnchorLevel::L4,
        floor: AnchorLevel::L4,
        witnesses: Some(Quorum { required: 2, witnesses }),
        ..configuration.clone()
    }
}

/// What two witnesses of that operator say of a note.
pub(crate) fn cosigned(operator: &str, note: &[u8]) -> Vec<u8> {
    let lines: String = witnesses(operator).iter().take(2).map(|one| one.line(note)).collect();
    [note, lines.as_bytes()].concat()
}

pub(crate) fn anchored_by(world: &mut World, operator: &'static str) {
    world.anchor = Some(Box::new(move |note| cosigned(operator, note)));
}

pub(crate) fn order(world: &World, next: &Configuration) -> Order {
    Order {
        version: ORDER_VERSION,
        deployment: world.configuration.deployment,
        root: root_hash(&world.disk.sealed_root),
        previous: world.configuration.hash(),
        configuration: next.hash(),
        checkpoint: world.disk.checkpoint().hash(),
        time: UnixSeconds(world.now),
        restores: None,
        resumes: false,
    }
}

pub(crate) fn signed(order: &Order, secret: &[u8]) -> SignedOrder {
    let stretched = Randomness::new(0).stretch(&passphrase(secret), &SALT.0, &ORDER_COST).unwrap();
    order.sign(SALT, &stretched)
}

fn ordered(world: &World, next: &Configuration) -> Change {
    change(next, signed(&order(world, next), PASSPHRASE), ChangeStage::Ordered { receipt: Vec::new().into() })
}

pub(crate) fn change(next: &Configuration, order: SignedOrder, stage: ChangeStage) -> Change {
    Change { configuration: cbor::to_vec(next).into(), order, stage }
}

/// With what the new witnesses say of the newest checkpoint.
fn shown(change: Change, receipt: Vec<u8>) -> Change {
    Change { stage: ChangeStage::Ordered { receipt: receipt.into() }, ..change }
}

pub(crate) fn carry_out(world: &mut World, change: Change) {
    let ToEnclave::Boot { configuration, sealed_root, checkpoint, frontier, anchored, time, change: None, nonce } =
        world.boot_message()
    else {
        panic!("a boot without a change")
    };
    let change = Some(change);
    let boot = ToEnclave::Boot { configuration, sealed_root, checkpoint, frontier, anchored, time, change, nonce };
    world.boot_with(PASSPHRASE, boot);
}

/// From now on the world is under the new configuration.
pub(crate) fn take_over(world: &mut World, next: &Configuration) {
    world.disk.sealed_root = world.changed.take().expect("the new root");
    world.configuration = next.clone();
}

pub(crate) fn halt(world: &World) -> Option<Halt> {
    world.halted.as_ref().map(|(halt, _)| *halt)
}

pub(crate) fn term(disk: &Disk) -> Option<Term> {
    match cbor::from_slice(&disk.last_entry) {
        Ok(Entry::Configured { term, .. }) => Some(term),
        _ => None,
    }
}

/// A deployment at L1 with a wallet, and its next configuration.
fn before() -> (World, Client, Configuration) {
    let mut world = World::new();
    let mut ada = Client::new("ada");
    ada.register(&mut world, "135790");
    let next = sealed_to(&world.configuration, "first.test");
    (world, ada, next)
}

/// The order with the new witnesses' word for the newest checkpoint.
fn good(world: &World, next: &Configuration, operator: &str) -> Change {
    shown(ordered(world, next), cosigned(operator, &world.disk.note))
}

/// That deployment under its first witnesses.
fn risen() -> (World, Client, Configuration) {
    let (mut world, ada, first) = before();
    let change = good(&world, &first, "first.test");
    carry_out(&mut world, change);
    take_over(&mut world, &first);
    anchored_by(&mut world, "first.test");
    world.boot();
    (world, ada, first)
}

#[test]
fn witnesses_are_added_and_later_replaced_and_everybody_goes_on() {
    let (mut world, mut ada, first) = before();
    let old = world.configuration.hash();
    let change = good(&world, &first, "first.test");
    carry_out(&mut world, change);
    assert_eq!(halt(&world), None);
    let entry: Entry = cbor::from_slice(&world.disk.last_entry).unwrap();
    let Entry::Configured { configuration, previous, time, .. } = entry else { panic!("{entry:?}") };
    assert_eq!((configuration, previous, time), (first.hash(), old, UnixSeconds(world.now)));
    take_over(&mut world, &first);
    anchored_by(&mut world, "first.test");
    world.boot();
    assert_eq!(halt(&world), None);
    assert_eq!((world.manifest().anchor, world.manifest().configuration), (AnchorLevel::L4, first.hash()));
    ada.verify(&mut world, "135790");

    let second = sealed_to(&first, "second.test");
    let change = good(&world, &second, "second.test");
    carry_out(&mut world, change);
    take_over(&mut world, &second);
    anchored_by(&mut world, "second.test");
    world.boot();
    assert_eq!(world.manifest().witnesses, second.witnesses);
    ada.verify(&mut world, "135790");
    anchored_by(&mut world, "first.test");
    world.boot();
    assert_eq!(halt(&world), Some(Halt::Fenced), "those that went do not count any more");
}

#[test]
fn an_order_that_is_not_the_operators_or_not_for_this_changes_nothing() {
    let (mut world, mut ada, next) = before();
    let note = world.disk.note.clone();
    let receipt = cosigned("first.test", &note);
    let is_refused = |world: &mut World, what: &str, next: &Configuration, order: SignedOrder| {
        let stage = ChangeStage::Ordered { receipt: receipt.clone().into() };
        carry_out(world, change(next, order, stage));
        assert_eq!(halt(world), Some(Halt::OrderRefused), "{what}");
        assert!(world.changed.is_none(), "{what}");
        assert_eq!(world.disk.note, note, "{what}");
    };
    let honest = order(&world, &next);
    let good = signed(&honest, PASSPHRASE);
    is_refused(&mut world, "another passphrase", &next, signed(&honest, b"not the passphrase"));
    is_refused(&mut world, "another salt", &next, SignedOrder { salt: Hash32([9; 32]), ..good.clone() });
    let mut mac = good.mac;
    mac.0[0] ^= 1;
    is_refused(&mut world, "another MAC", &next, SignedOrder { mac, ..good.clone() });
    let later = cbor::to_vec(&Order { time: UnixSeconds(honest.time.0 + 1), ..honest.clone() });
    is_refused(&mut world, "another time", &next, SignedOrder { order: later.into(), ..good.clone() });
    for (what, order) in [
        ("another version", Order { version: 2, ..honest.clone() }),
        ("another deployment", Order { deployment: pinseal_protocol::ids::DeploymentId([1; 16]), ..honest.clone() }),
        ("another root", Order { root: Hash32([1; 32]), ..honest.clone() }),
        ("another configuration in force", Order { previous: Hash32([1; 32]), ..honest.clone() }),
        ("another state", Order { checkpoint: Hash32([1; 32]), ..honest.clone() }),
        ("another configuration", Order { configuration: Hash32([1; 32]), ..honest.clone() }),
    ] {
        is_refused(&mut world, what, &next, signed(&order, PASSPHRASE));
    }
    let other = sealed_to(&world.configuration, "second.test");
    is_refused(&mut world, "a configuration that was not ordered", &other, good);
    world.boot();
    ada.verify(&mut world, "135790");
}

#[test]
fn what_users_were_promised_does_not_change_even_by_order() {
    let (mut world, _, first) = risen();
    let down = Configuration { anchor: AnchorLevel::L1, floor: AnchorLevel::L1, witnesses: None, ..first.clone() };
    let mut permissive = sealed_to(&first, "second.test");
    permissive.policy.any_chain_authorization = true;
    let mut renamed = sealed_to(&first, "second.test");
    renamed.issuers[0].issuer = "https://another.test".into();
    let mut stranger = sealed_to(&first, "second.test");
    stranger.deployment.0[0] ^= 1;
    for (next, wanted) in [
        (down, Halt::OrderRefused),
        (permissive, Halt::OrderRefused),
        (stranger, Halt::OrderRefused),
        (first.clone(), Halt::OrderRefused),
        (renamed, Halt::OrderRefused),
        (Configuration { witnesses: None, ..first.clone() }, Halt::ConfigurationInvalid),
    ] {
        let note = world.disk.note.clone();
        let by = if next.witnesses == first.witnesses { "first.test" } else { "second.test" };
        let receipt = if next.witnesses.is_some() { cosigned(by, &note) } else { note };
        let change = shown(ordered(&world, &next), receipt);
        carry_out(&mut world, change);
        assert_eq!(halt(&world), Some(wanted));
        let (_, detail) = world.halted.clone().unwrap();
        assert!(!detail.contains("the new anchor"), "that one is good: {detail}");
        assert!(world.changed.is_none());
    }
}

/// Memory forgets what it held, so no change rests on it and none leads there.
#[test]
fn nothing_changes_from_memory_or_into_it() {
    let (world, _, next) = before();
    let present = Configuration { floor: AnchorLevel::L0, ..world.configuration.clone() };
    let memory = Configuration { anchor: AnchorLevel::L0, ..present.clone() };
    assert_eq!(present.check_succession(&memory), Err(SuccessionError::Memory));
    assert_eq!(memory.check_succession(&present), Err(SuccessionError::Memory));
    assert_eq!(present.check_succession(&next), Ok(()), "the counter-example");
}

/// A mistyped key would strand every wallet: nobody could ever cosign again.
#[test]
fn witnesses_that_do_not_hold_this_state_are_not_taken() {
    let (mut world, _, next) = before();
    let older = cosigned("first.test", b"another checkpoint\n\n\xe2\x80\x94 a YWJjZGU=\n");
    let one = [world.disk.note.as_slice(), witnesses("first.test")[0].line(&world.disk.note).as_bytes()].concat();
    for receipt in [Vec::new(), world.disk.note.clone(), cosigned("second.test", &world.disk.note), one, older] {
        let change = shown(ordered(&world, &next), receipt);
        carry_out(&mut world, change);
        assert_eq!(halt(&world), Some(Halt::OrderRefused));
        assert!(world.changed.is_none());
    }
}

#[test]
fn the_new_root_leaves_only_against_the_old_anchors_receipt() {
    let (mut world, mut ada, first) = risen();
    ada.verify(&mut world, "135790");
    let second = sealed_to(&first, "second.test");
    for (anchor, what) in [("second.test", "the new witnesses alone"), ("third.test", "nobody")] {
        let disk = world.disk.clone();
        let change = good(&world, &second, "second.test");
        anchored_by(&mut world, anchor);
        carry_out(&mut world, change.clone());
        assert_eq!((halt(&world), world.changed.is_some()), (Some(Halt::Fenced), false), "{what}");
        // Nor where it is in the log already.
        let term = term(&world.disk).unwrap();
        carry_out(&mut world, Change { stage: ChangeStage::Logged { term }, ..change });
        assert_eq!((halt(&world), world.changed.is_some()), (Some(Halt::Fenced), false), "{what}, logged");
        world.disk = disk;
    }
    anchored_by(&mut world, "first.test");
    world.boot();
    ada.verify(&mut world, "135790");
}

#[test]
fn a_crash_at_any_step_between_witnesses_leaves_the_old_state_or_one_that_is_finished() {
    for fate in [Fate::LoseUnstored, Fate::LoseStored, Fate::LoseAnchored] {
        let (mut world, mut ada, first) = risen();
        let second = sealed_to(&first, "second.test");
        let change = good(&world, &second, "second.test");
        world.fates_at_boot = vec![fate];
        carry_out(&mut world, change.clone());
        assert!(world.changed.is_none(), "{fate:?}");
        match term(&world.disk) {
            None => carry_out(&mut world, change),
            Some(term) => carry_out(&mut world, Change { stage: ChangeStage::Logged { term }, ..change }),
        }
        assert_eq!(halt(&world), None, "{fate:?}");
        take_over(&mut world, &second);
        anchored_by(&mut world, "second.test");
        world.boot();
        ada.verify(&mut world, "135790");
    }
}

#[test]
fn a_crash_at_any_step_leaves_the_old_state_or_one_that_is_finished() {
    for fate in [Fate::LoseUnstored, Fate::LoseStored, Fate::LoseAnchored, Fate::Abort] {
        let (mut world, mut ada, next) = before();
        let change = good(&world, &next, "first.test");
        world.fates_at_boot = vec![fate];
        carry_out(&mut world, change.clone());
        assert!(world.changed.is_none(), "{fate:?}");
        match term(&world.disk) {
            None => {
                assert!(matches!(fate, Fate::LoseUnstored | Fate::Abort));
                world.boot();
                ada.verify(&mut world, "135790");
                let change = good(&world, &next, "first.test");
                carry_out(&mut world, change);
            }
            Some(term) => {
                world.boot();
                assert_eq!(halt(&world), Some(Halt::StateMismatch), "{fate:?}: under the old root nothing boots");
                let other = Change { stage: ChangeStage::Logged { term: Term([1; 32]) }, ..change.clone() };
                carry_out(&mut world, other);
                assert_eq!(halt(&world), Some(Halt::StateMismatch), "{fate:?}: nor is another term's root made");
                let note = world.disk.note.clone();
                carry_out(&mut world, Change { stage: ChangeStage::Logged { term }, ..change });
                assert_eq!(world.disk.note, note, "{fate:?}: the log has it once");
            }
        }
        assert_eq!(halt(&world), None, "{fate:?}");
        take_over(&mut world, &next);
        anchored_by(&mut world, "first.test");
        world.boot();
        ada.verify(&mut world, "135790");
    }
}

/// The operators themselves, in possession of a new root and of witnesses that know nothing yet, put an older disk back.
#[test]
fn a_change_does_not_bring_an_older_state_back() {
    let (mut world, mut ada, next) = before();
    let older = world.disk.clone();
    for _ in 0..3 {
        ada.submit_wrong_pin(&mut world);
    }
    let (root, configuration) = (world.disk.sealed_root.clone(), world.configuration.clone());
    let change = good(&world, &next, "first.test");
    carry_out(&mut world, change);
    take_over(&mut world, &next);
    let harvested = world.disk.sealed_root.clone();
    let true_state = world.disk.clone();

    // Under the new root the older state is of another tenure.
    world.disk = Disk { sealed_root: harvested.clone(), ..older.clone() };
    anchored_by(&mut world, "first.test");
    world.boot();
    assert_eq!(halt(&world), Some(Halt::StateMismatch));

    // The same change begun on the older state: its checkpoint is signed, but of a tenure nobody has a root for.
    (world.disk, world.configuration) = (older, configuration);
    assert_eq!(world.disk.sealed_root, root);
    let again = good(&world, &next, "first.test");
    world.anchor = None;
    world.fates_at_boot = vec![Fate::LoseStored];
    carry_out(&mut world, again.clone());
    assert!(world.changed.is_none() && term(&world.disk).is_some());
    let forked = world.disk.clone();
    world.disk = Disk { sealed_root: harvested, ..forked.clone() };
    world.configuration = next.clone();
    anchored_by(&mut world, "first.test");
    world.boot();
    assert_eq!(halt(&world), Some(Halt::StateMismatch), "a root opens what followed from its own change only");

    // And the true one goes on with its tries used up.
    world.disk = true_state;
    world.boot();
    assert_eq!(halt(&world), None);
    assert_eq!(ada.status(&mut world).tries.unwrap().left, 2);
}

#[test]
fn an_order_ends_with_the_next_boot_and_finishing_with_the_first() {
    let (mut world, mut ada, first) = before();
    let change = good(&world, &first, "first.test");
    world.boot();
    let late = shown(change, cosigned("first.test", &world.disk.note));
    carry_out(&mut world, late);
    assert_eq!((halt(&world), world.changed.is_some()), (Some(Halt::OrderRefused), false), "the state has moved on");

    world.boot();
    let (old, configuration) = (world.disk.sealed_root.clone(), world.configuration.clone());
    let change = good(&world, &first, "first.test");
    carry_out(&mut world, change.clone());
    let term = term(&world.disk).unwrap();
    take_over(&mut world, &first);
    anchored_by(&mut world, "first.test");
    world.boot();
    ada.verify(&mut world, "135790");
    // Nobody finishes it again from a later state of its tenure.
    let taken = core::mem::replace(&mut world.disk.sealed_root, old);
    world.configuration = configuration;
    carry_out(&mut world, Change { stage: ChangeStage::Logged { term }, ..change });
    assert_eq!((halt(&world), world.changed.is_some()), (Some(Halt::OrderRefused), false));
    (world.disk.sealed_root, world.configuration) = (taken, first);
    world.boot();
    ada.verify(&mut world, "135790");
}

#[test]
fn an_order_is_carried_out_once() {
    let (mut world, _, first) = before();
    let order = ordered(&world, &first);
    let change = good(&world, &first, "first.test");
    carry_out(&mut world, change);
    take_over(&mut world, &first);
    anchored_by(&mut world, "first.test");
    world.boot();
    let second = sealed_to(&first, "second.test");
    let change = good(&world, &second, "second.test");
    carry_out(&mut world, change);
    take_over(&mut world, &second);
    anchored_by(&mut world, "second.test");
    world.boot();
    let replayed = shown(order, cosigned("first.test", &world.disk.note));
    carry_out(&mut world, replayed);
    assert_eq!(halt(&world), Some(Halt::OrderRefused));
    assert!(world.changed.is_none());
}

/// What stands between an attacker and each of these, taken out, lets the attack through: the tests above can fail.
#[cfg(feature = "planted")]
#[test]
fn every_guard_of_a_change_is_needed() {
    use pinseal_enclave::planted::{Defect, plant};

    /// A root harvested from a true change, with a change begun on an older state.
    fn older_state_serves() -> bool {
        let (mut world, mut ada, next) = before();
        let older = world.disk.clone();
        ada.submit_wrong_pin(&mut world);
        let configuration = world.configuration.clone();
        let change = good(&world, &next, "first.test");
        carry_out(&mut world, change);
        take_over(&mut world, &next);
        let harvested = world.disk.sealed_root.clone();
        (world.disk, world.configuration) = (older, configuration);
        let again = good(&world, &next, "first.test");
        world.fates_at_boot = vec![Fate::LoseStored];
        carry_out(&mut world, again);
        (world.disk.sealed_root, world.configuration) = (harvested, next);
        anchored_by(&mut world, "first.test");
        world.boot();
        world.manifest.is_some()
    }

    fn root_leaves_without_receipt() -> bool {
        let (mut world, _, next) = before();
        let change = good(&world, &next, "first.test");
        anchored_by(&mut world, "first.test");
        carry_out(&mut world, change);
        world.changed.is_some()
    }

    fn anybodys_order_is_taken() -> bool {
        let (mut world, _, next) = before();
        let stage = ChangeStage::Ordered { receipt: cosigned("first.test", &world.disk.note).into() };
        let forged = change(&next, signed(&order(&world, &next), b"anything"), stage);
        carry_out(&mut world, forged);
        world.changed.is_some()
    }

    let attacks: [(Defect, fn() -> bool); 3] = [
        (Defect::CheckpointOfAnyTerm, older_state_serves),
        (Defect::RootBeforeReceipt, root_leaves_without_receipt),
        (Defect::OrderNotVerified, anybodys_order_is_taken),
    ];
    for (defect, attack) in attacks {
        assert!(!attack(), "{defect:?}");
        plant(Some(defect));
        assert!(attack(), "{defect:?}");
        plant(None);
    }
}
