//! What is read is told once a batch that was made after the question is anchored: by an enclave that another one has taken the place of, never.

use std::cell::RefCell;
use std::rc::Rc;

use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::intent::AccountIndex;
use pinseal_protocol::log::Entry;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, Reply};
use pinseal_protocol::request::{Method, Request};
use pinseal_protocol::wire::{Batch, CallId, FromEnclave, Halt, ToEnclave};
use pinseal_software_tpm::SoftwareTpm;

use crate::witnesses::sealed_to_three_of_five;
use crate::world::{Answer, Client, Disk, Fate, Prepared, SharedTpm, World};

/// The methods that write nothing.
const READS: [Method; 3] = [Method::Status, Method::ListAccounts, Method::OpenHistory];

fn question(world: &mut World, client: &mut Client, method: Method) -> Prepared {
    let ask = |_: &_| match method {
        Method::Status => Request::Status,
        Method::ListAccounts => Request::ListAccounts { accounts: vec![AccountIndex::default()] },
        _ => Request::OpenHistory { writes: Vec::new() },
    };
    client.prepare(world, method, ask).unwrap()
}

/// Asks, and carries out nothing of what comes back.
fn ask(world: &mut World, client: &mut Client, method: Method) -> (CallId, Prepared, Vec<FromEnclave>) {
    let prepared = question(world, client, method);
    let call = world.next_call();
    let effects = world.step(call, &prepared);
    (call, prepared, effects)
}

/// As [`ask`], where no batch is under way.
fn asked(world: &mut World, client: &mut Client, method: Method) -> (CallId, Prepared, Batch) {
    let (call, prepared, effects) = ask(world, client, method);
    let [FromEnclave::Commit(batch)] = effects.as_slice() else { panic!("{method:?}: {effects:?}") };
    (call, prepared, batch.clone())
}

fn answer(world: &mut World, call: CallId, prepared: &Prepared) -> Reply {
    match world.take(call) {
        Some(Answer::Replied(reply)) => prepared.opener.open(&reply).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn answers(method: Method, outcome: &Outcome) -> bool {
    matches!(
        (method, outcome),
        (Method::Status, Outcome::Status(_))
            | (Method::ListAccounts, Outcome::Accounts(_))
            | (Method::OpenHistory, Outcome::History(_))
    )
}

fn served() -> (World, Client) {
    let (mut world, mut client) = (World::new(), Client::new("ada"));
    client.register(&mut world, "135790");
    (world, client)
}

#[test]
fn what_is_read_comes_with_a_checkpoint_made_after_the_question() {
    let (mut world, mut ada) = served();
    for method in READS {
        let before = world.disk.checkpoint();
        let (call, prepared, batch) = asked(&mut world, &mut ada, method);
        let [entry] = batch.entries.as_slice() else { panic!("{method:?}: {batch:?}") };
        let is_read = matches!(cbor::from_slice(entry), Ok(Entry::Read { .. }));
        assert!(batch.records.is_empty() && is_read, "{method:?}: {batch:?}");
        let made = Checkpoint::read_unverified(&batch.checkpoint).unwrap();
        // Each has a log of its own: whoever brings an older one to a witness is told so.
        assert_eq!((made.sequence.0, made.size), (before.sequence.0 + 1, before.size + 1), "{method:?}");
        assert_eq!(made.previous, before.hash(), "{method:?}");
        world.settle(&batch);
        let reply = answer(&mut world, call, &prepared);
        assert!(answers(method, &reply.outcome), "{method:?}: {:?}", reply.outcome);
        assert_eq!(reply.receipt, batch.checkpoint, "{method:?}");
    }
    world.boot();
    assert_eq!(world.halted, None);
    assert!(matches!(ada.status(&mut world).outcome, Outcome::Status(_)), "its receipts are of this log");
}

/// It may have been made before another enclave came.
#[test]
fn a_batch_that_was_under_way_does_not_count() {
    let (mut world, mut ada) = served();
    let (mut bob, mut eve) = (Client::new("bob"), Client::new("eve"));
    bob.register(&mut world, "246802");
    for method in READS {
        let (theirs, unanswered, first) = asked(&mut world, &mut bob, Method::Status);
        let (call, prepared, effects) = ask(&mut world, &mut ada, method);
        assert_eq!(effects, [], "{method:?}");
        let (other, of_other, effects) = ask(&mut world, &mut eve, Method::Status);
        assert_eq!(effects, [], "{method:?}");
        let committed = world.carry_out(&first, Fate::Commit).unwrap();
        let effects = world.tell(committed);
        let [FromEnclave::Replied { call: told, reply }, FromEnclave::Commit(second)] = effects.as_slice() else {
            panic!("{method:?}: {effects:?}")
        };
        assert_eq!(*told, theirs, "whoever it was made for");
        unanswered.opener.open(reply).unwrap();
        assert_eq!(second.entries.len(), 1, "{method:?}: nobody wrote");
        world.settle(&second.clone());
        let receipt = answer(&mut world, call, &prepared).receipt;
        assert_eq!(receipt, second.checkpoint, "{method:?}");
        assert_eq!(answer(&mut world, other, &of_other).receipt, receipt, "one batch for all that wait");
    }
}

/// A wallet is told of as it stands in the very checkpoint that comes with it.
#[test]
fn nobody_writes_to_a_wallet_that_is_being_read() {
    let (mut world, mut ada) = served();
    let mut bob = Client::new("bob");
    bob.register(&mut world, "246802");
    let wrong = ada.prepare(&mut world, Method::VerifyPin, |begin| Request::VerifyPin {
        pin: crate::world::factor("000000", &begin.current.unwrap()),
    });
    let (call, prepared, batch) = asked(&mut world, &mut ada, Method::Status);
    assert_eq!(world.ask(&wrong.unwrap()), Outcome::Refused(Refusal::Busy));
    let theirs = question(&mut world, &mut bob, Method::Status);
    let other = world.next_call();
    assert_eq!(world.step(other, &theirs), [], "another wallet is not busy");
    world.settle(&batch);
    let Outcome::Status(status) = answer(&mut world, call, &prepared).outcome else { panic!() };
    assert_eq!(status.outstanding, 0);
    assert!(matches!(answer(&mut world, other, &theirs).outcome, Outcome::Status(_)));
    assert_eq!(ada.verify(&mut world, "000000").outcome, Outcome::WrongPin, "and then it is free");
}

#[test]
fn what_is_read_is_not_told_where_the_batch_was_not_stored_and_can_be_asked_again() {
    let (mut world, mut ada) = served();
    for method in READS {
        world.fates = vec![Fate::Abort];
        let prepared = question(&mut world, &mut ada, method);
        let call = world.submit(&prepared.wallet, &prepared.request);
        let given_up = world.seen.last().unwrap().clone();
        let reply = answer(&mut world, call, &prepared);
        assert_eq!((reply.outcome, reply.tries), (Outcome::Refused(Refusal::NotDurable), None), "{method:?}");
        let (call, prepared, batch) = asked(&mut world, &mut ada, method);
        // Or a witness that had seen the first could cosign the second one as well.
        let [first, second] = [&given_up, &batch].map(|one| Checkpoint::read_unverified(&one.checkpoint).unwrap());
        assert!(first.size == second.size && first.root != second.root, "{method:?}");
        world.settle(&batch);
        assert!(answers(method, &answer(&mut world, call, &prepared).outcome), "{method:?}");
    }
}

#[test]
fn a_crash_while_somebody_reads_is_gone_on_from() {
    for fate in [Fate::LoseUnstored, Fate::LoseStored, Fate::LoseAnchored] {
        let (mut world, mut ada) = served();
        let prepared = question(&mut world, &mut ada, Method::Status);
        world.fates = vec![fate];
        let call = world.submit(&prepared.wallet, &prepared.request);
        assert!(world.crashed && world.take(call).is_none(), "{fate:?}");
        world.boot();
        assert_eq!(world.halted, None, "{fate:?}");
        assert!(matches!(ada.status(&mut world).outcome, Outcome::Status(_)), "{fate:?}");
    }
}

/// Nobody wrote since, and all the same the state is an older one.
#[test]
fn the_receipt_of_a_read_convicts_a_state_from_before_it() {
    let (mut world, mut ada) = served();
    let old = world.disk.clone();
    for _ in 0..3 {
        ada.status(&mut world);
    }
    let seen = world.disk.checkpoint();
    world.disk = Disk { anchored: old.note.clone(), ..old };
    world.boot();
    let here = world.disk.checkpoint();
    assert!(here.size < seen.size && here.sequence < seen.sequence, "{here:?} {seen:?}");
    let prepared = question(&mut world, &mut ada, Method::Status);
    assert_eq!(world.ask(&prepared), Outcome::Refused(Refusal::StateRolledBack));
    assert_eq!(world.halted.map(|(halt, _)| halt), Some(Halt::RolledBack));
}

/// Another enclave of the same deployment, booted from what the first one left: the newest from here on.
fn second(first: &World, tpm: Option<&SharedTpm>) -> World {
    let mut second = match tpm {
        Some(_) => World::with_tpm(2, &SharedTpm::new(RefCell::new(SoftwareTpm::new()))),
        None => World::with_seed(2),
    };
    second.configuration = first.configuration.clone();
    second.tpm = tpm.cloned();
    second.disk = first.disk.clone();
    second
}

/// Every read of an enclave that was superseded ends with its end; `superseded` brings the first one there, with its owner.
fn nothing_is_told_by(superseded: impl Fn() -> (World, Client)) {
    for method in READS {
        let (mut first, mut ada) = superseded();
        let prepared = question(&mut first, &mut ada, method);
        let call = first.submit(&prepared.wallet, &prepared.request);
        assert_eq!(first.halted.as_ref().map(|(halt, _)| *halt), Some(Halt::Fenced), "{method:?}");
        assert_eq!(first.take(call), None, "{method:?}");
        // Nor of a wallet that it does not know: somebody may have made one since.
        let (mut first, _) = superseded();
        let prepared = question(&mut first, &mut Client::new("eve"), Method::Status);
        let call = first.submit(&prepared.wallet, &prepared.request);
        assert_eq!(first.take(call), None);
    }
}

#[test]
fn an_enclave_that_lost_the_file_tells_nothing() {
    nothing_is_told_by(|| {
        let (mut first, ada) = served();
        let mut second = second(&first, None);
        second.boot();
        assert_eq!(second.halted, None);
        let held = second.disk.anchored;
        first.anchor = Some(Box::new(move |_| held.clone()));
        (first, ada)
    });
}

#[test]
fn an_enclave_that_lost_the_tpm_tells_nothing() {
    nothing_is_told_by(|| {
        let tpm = Rc::new(RefCell::new(SoftwareTpm::new()));
        let (mut first, mut ada) = (World::with_tpm(1, &tpm), Client::new("ada"));
        ada.register(&mut first, "135790");
        let mut second = second(&first, Some(&tpm));
        second.boot();
        assert_eq!(second.halted, None);
        (first, ada)
    });
}

/// Witnesses cosign what continues the newest that they did, and nothing else.
#[test]
fn an_enclave_that_lost_the_witnesses_tells_nothing() {
    nothing_is_told_by(|| {
        let newest = Rc::new(RefCell::new(None::<Checkpoint>));
        let by = |newest: Rc<RefCell<Option<Checkpoint>>>| {
            let mut quorum = crate::witnesses::by(&[0, 2, 4]);
            Box::new(move |note: &[u8]| {
                let asked = Checkpoint::read_unverified(note).unwrap();
                let mut newest = newest.borrow_mut();
                // Two that are as long, and not the same, are of two logs.
                let is_behind = |newest: Checkpoint| asked.size <= newest.size && asked.root != newest.root;
                if newest.is_some_and(is_behind) {
                    return note.to_vec();
                }
                *newest = Some(asked);
                quorum(note)
            })
        };
        let (mut first, mut ada) = (sealed_to_three_of_five(), Client::new("ada"));
        first.anchor = Some(by(Rc::clone(&newest)));
        first.boot();
        ada.register(&mut first, "135790");
        assert!(matches!(ada.status(&mut first).outcome, Outcome::Status(_)), "nobody has taken its place yet");
        let mut second = second(&first, None);
        second.anchor = Some(by(newest));
        second.boot();
        assert_eq!(second.halted, None);
        (first, ada)
    });
}

/// A host that says that the batch is anchored where the anchor holds another one is not believed, whatever was asked.
#[test]
fn a_read_is_fenced_by_its_receipt_not_by_the_hosts_word() {
    let (mut world, mut ada) = served();
    let (call, _, batch) = asked(&mut world, &mut ada, Method::OpenHistory);
    let receipt = world.disk.note.clone();
    world.send(ToEnclave::Committed { batch: batch.batch, receipt: receipt.into(), nonce: None });
    assert_eq!(world.halted.as_ref().map(|(halt, _)| *halt), Some(Halt::Fenced));
    assert_eq!(world.take(call), None);
}
