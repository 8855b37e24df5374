//! The order of a commit, and what a failing disk does to it.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use pinseal_anchor::{FileHook, FileStep};
use pinseal_host::{CallError, Stop};
use pinseal_protocol::limits::DEVICE_OUTSTANDING_MAX;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_store::{CommitFault, CommitHook};

use crate::world::{Client, Hooks, World};

/// Everything durable that happens, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Committed,
    AnchorWritten,
    AnchorDurable,
    Reply,
}

#[derive(Default)]
struct Journal(Mutex<Vec<Seen>>);

impl Journal {
    fn add(&self, seen: Seen) {
        self.0.lock().unwrap().push(seen);
    }
}

impl CommitHook for Journal {
    fn after_commit(&self) {
        self.add(Seen::Committed);
    }
}

impl FileHook for Journal {
    fn step(&self, step: FileStep) -> io::Result<()> {
        match step {
            FileStep::Write => {}
            FileStep::Sync => self.add(Seen::AnchorWritten),
            FileStep::Done => self.add(Seen::AnchorDurable),
        }
        Ok(())
    }
}

#[test]
fn database_and_anchor_are_durable_before_the_reply_leaves_for_right_and_wrong_pins_alike() {
    let world = World::new();
    let journal = Arc::new(Journal::default());
    let trunk = world.boot_with(Hooks { commit: Some(journal.clone()), anchor: Some(journal.clone()) }).unwrap();
    let mut ann = Client::new("ann");
    ann.register(&world, &trunk, "123456");
    let batch = [Seen::Committed, Seen::AnchorWritten, Seen::AnchorDurable];
    for (pin, outcome) in [("123456", Outcome::PinVerified), ("000000", Outcome::WrongPin)] {
        let prepared = ann.prepare_verify(&world, &trunk, pin).unwrap();
        journal.0.lock().unwrap().clear();
        let (done, answer) = std::sync::mpsc::channel();
        let seen = journal.clone();
        trunk.sealed(&prepared.token, &prepared.wallet, prepared.request.clone(), move |reply| {
            seen.add(Seen::Reply);
            done.send(reply).unwrap();
        });
        let reply = answer.recv().unwrap().unwrap();
        assert_eq!(ann.open(&world, &trunk, &prepared, &reply).outcome, outcome);
        // Charge, settle, and only then the reply.
        let expected = [&batch[..], &batch[..], &[Seen::Reply]].concat();
        assert_eq!(*journal.0.lock().unwrap(), expected);
    }
}

/// Fails the n-th commit from now.
#[derive(Default)]
struct Failing {
    left: AtomicU32,
    fault: Mutex<Option<CommitFault>>,
}

impl Failing {
    fn arm(&self, nth: u32, fault: CommitFault) {
        *self.fault.lock().unwrap() = Some(fault);
        self.left.store(nth, Ordering::SeqCst);
    }
}

impl CommitHook for Failing {
    fn before_commit(&self) -> Option<CommitFault> {
        let was = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if was == Ok(1) { *self.fault.lock().unwrap() } else { None }
    }
}

fn with_failing() -> (World, Arc<Failing>, pinseal_host::Trunk, Client) {
    let world = World::new();
    let failing = Arc::new(Failing::default());
    let trunk = world.boot_with(Hooks { commit: Some(failing.clone()), anchor: None }).unwrap();
    let mut ann = Client::new("ann");
    ann.register(&world, &trunk, "123456");
    (world, failing, trunk, ann)
}

#[test]
fn a_full_disk_at_the_charge_costs_nothing_and_says_so() {
    let (world, failing, trunk, mut ann) = with_failing();
    for pin in ["123456", "000000"] {
        let prepared = ann.prepare_verify(&world, &trunk, pin).unwrap();
        failing.arm(1, CommitFault::Full);
        let reply = prepared.send(&trunk).unwrap();
        let outcome = ann.open(&world, &trunk, &prepared, &reply).outcome;
        assert_eq!(outcome, Outcome::Refused(Refusal::NotDurable), "{pin}: nothing was decided");
    }
    assert_eq!(ann.outstanding(&world, &trunk), 0);
    assert!(trunk.status().ready);
    assert_eq!(ann.verify(&world, &trunk, "123456").unwrap(), Outcome::PinVerified);
}

#[test]
fn a_full_disk_at_the_settle_is_a_service_fault_whatever_the_pin_and_the_try_stays_charged() {
    let (world, failing, trunk, mut ann) = with_failing();
    for (tries, pin) in [(1, "123456"), (2, "000000")] {
        let prepared = ann.prepare_verify(&world, &trunk, pin).unwrap();
        failing.arm(2, CommitFault::Full);
        let reply = prepared.send(&trunk).unwrap();
        let outcome = ann.open(&world, &trunk, &prepared, &reply).outcome;
        assert_eq!(outcome, Outcome::ServiceFault, "{pin}: the verdict is not told");
        assert_eq!(ann.outstanding(&world, &trunk), tries);
    }
    assert_eq!(ann.verify(&world, &trunk, "123456").unwrap(), Outcome::PinVerified);
    assert_eq!(ann.outstanding(&world, &trunk), 0);
}

#[test]
fn a_really_full_disk_refuses_and_the_wallet_works_again_when_there_is_room() {
    let world = World::new();
    let mut parts = world.parts(Hooks::default());
    let sqlite = world.sqlite();
    parts.records = pinseal_store::records::Records::new(sqlite.clone());
    let trunk = pinseal_host::Trunk::start(crate::world::enclave(crate::world::PASSPHRASE), parts).unwrap();
    let mut ann = Client::new("ann");
    ann.register(&world, &trunk, "123456");
    sqlite.limit_pages(0).unwrap();
    let mut refused = 0;
    for _ in 0..12 {
        match ann.verify(&world, &trunk, "123456").unwrap() {
            Outcome::Refused(Refusal::NotDurable) | Outcome::ServiceFault => refused += 1,
            Outcome::PinVerified => {}
            other => panic!("{other:?}"),
        }
        if refused == 2 {
            break;
        }
    }
    assert_eq!(refused, 2, "the limit was never reached");
    sqlite.limit_pages(10_000).unwrap();
    assert_eq!(ann.verify(&world, &trunk, "123456").unwrap(), Outcome::PinVerified);
}

/// EIO at charge or settle, before or after the commit reached the disk: everything stops, the next boot finds out, and no
/// try is bought back.
#[test]
fn an_input_output_error_stops_the_host_and_the_next_boot_reconciles() {
    for (nth, fault, outstanding) in [
        (1, CommitFault::ErrorLost, 0),
        (1, CommitFault::ErrorStored, 1),
        (2, CommitFault::ErrorLost, 1),
        (2, CommitFault::ErrorStored, 1),
    ] {
        let (world, failing, trunk, mut ann) = with_failing();
        let prepared = ann.prepare_verify(&world, &trunk, "000000").unwrap();
        let (stopped, wait) = std::sync::mpsc::channel();
        trunk.on_stop(move |stop| stopped.send(stop).unwrap());
        failing.arm(nth, fault);
        assert_eq!(prepared.send(&trunk).unwrap_err(), CallError::Storage);
        assert!(matches!(wait.recv().unwrap(), Stop::Storage(_)));
        assert_eq!(prepared.send(&trunk).unwrap_err(), CallError::Storage, "nothing is answered any more");
        trunk.close();

        let trunk = world.boot().unwrap();
        assert_eq!(ann.outstanding(&world, &trunk), outstanding, "{nth} {fault:?}");
        assert_eq!(ann.verify(&world, &trunk, "123456").unwrap(), Outcome::PinVerified);
    }
}

#[test]
fn stopping_the_host_between_charge_and_answer_buys_no_try_back() {
    let (world, failing, mut trunk, mut ann) = with_failing();
    let mut charged = 0;
    loop {
        world.clock.pass(3_600);
        let prepared = ann.prepare_verify(&world, &trunk, "000000").unwrap();
        failing.arm(1, CommitFault::ErrorStored);
        match prepared.send(&trunk) {
            Err(CallError::Storage) => charged += 1,
            Ok(reply) => {
                let outcome = ann.open(&world, &trunk, &prepared, &reply).outcome;
                assert_eq!(outcome, Outcome::Refused(Refusal::Locked));
                break;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(charged <= DEVICE_OUTSTANDING_MAX, "the cap does not hold");
        trunk.close();
        trunk = world.boot_with(Hooks { commit: Some(failing.clone()), anchor: None }).unwrap();
    }
    assert_eq!(charged, DEVICE_OUTSTANDING_MAX);
}

/// Fails one step of the anchor as often as told.
struct FailingAnchor {
    step: FileStep,
    left: AtomicU32,
}

impl FileHook for FailingAnchor {
    fn step(&self, step: FileStep) -> io::Result<()> {
        let fails = step == self.step
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
    }
}

#[test]
fn an_anchor_that_fails_once_is_asked_again_and_one_that_keeps_failing_stops_the_host() {
    for step in [FileStep::Write, FileStep::Sync] {
        let world = World::new();
        let hook = Arc::new(FailingAnchor { step, left: AtomicU32::new(0) });
        let trunk = world.boot_with(Hooks { commit: None, anchor: Some(hook.clone()) }).unwrap();
        let mut ann = Client::new("ann");
        ann.register(&world, &trunk, "123456");
        hook.left.store(1, Ordering::SeqCst);
        assert_eq!(ann.verify(&world, &trunk, "123456").unwrap(), Outcome::PinVerified, "{step:?}");

        let prepared = ann.prepare_verify(&world, &trunk, "000000").unwrap();
        hook.left.store(u32::MAX, Ordering::SeqCst);
        assert_eq!(prepared.send(&trunk).unwrap_err(), CallError::Storage, "{step:?}");
        assert!(matches!(trunk.status().stopped, Some(Stop::Anchor(_))));
        trunk.close();

        // The database is one ahead, or anchored after all: either way the charge counts.
        let trunk = world.boot().unwrap();
        assert_eq!(ann.outstanding(&world, &trunk), 1, "{step:?}");
    }
}
