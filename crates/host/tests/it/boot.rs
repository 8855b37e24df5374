//! What boots and what does not.

use std::fs;

use pinseal_anchor::{Anchor as _, LoadError, MemoryAnchor};
use pinseal_host::{BootError, CallError, Stop, Trunk};
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::wire::Halt;

use crate::world::{Client, PASSPHRASE, World, enclave};

/// The database file with everything in it, and the anchor.
fn snapshot(world: &World) -> (Vec<u8>, Vec<u8>) {
    // Opening folds the log into the main file.
    drop(world.sqlite());
    (fs::read(world.database()).unwrap(), fs::read(world.anchor_path()).unwrap())
}

fn put_back(world: &World, database: &[u8]) {
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", world.database().display()));
    }
    fs::write(world.database(), database).unwrap();
}

fn halt(result: Result<Trunk, BootError>) -> (Halt, String) {
    match result {
        Err(BootError::Halted { halt, detail }) => (halt, detail),
        other => panic!("{other:?}"),
    }
}

/// A deployment with one wallet; nothing holds its files.
fn registered() -> (World, Client) {
    let world = World::new();
    let mut ann = Client::new("ann");
    let trunk = world.boot().unwrap();
    ann.register(&world, &trunk, "123456");
    trunk.close();
    (world, ann)
}

#[test]
fn an_older_database_is_refused_with_the_reason() {
    let (world, mut ann) = registered();
    let (older, _) = snapshot(&world);
    let trunk = world.boot().unwrap();
    assert_eq!(ann.verify(&world, &trunk, "000000").unwrap(), Outcome::WrongPin);
    trunk.close();
    put_back(&world, &older);
    let (kind, detail) = halt(world.boot());
    assert_eq!(kind, Halt::StateOlder);
    assert!(detail.contains("log entries") && detail.contains("are missing"), "{detail}");
}

#[test]
fn a_database_exactly_one_checkpoint_ahead_is_rolled_forward() {
    let (world, mut ann) = registered();
    let (_, anchored) = snapshot(&world);
    let trunk = world.boot().unwrap();
    trunk.close();
    // The boot stored and anchored one checkpoint; without that anchoring the database is one ahead.
    fs::write(world.anchor_path(), anchored).unwrap();
    let trunk = world.boot().unwrap();
    assert_eq!(ann.verify(&world, &trunk, "123456").unwrap(), Outcome::PinVerified);
}

#[test]
fn a_database_two_checkpoints_ahead_is_refused() {
    let (world, _) = registered();
    let (_, anchored) = snapshot(&world);
    world.boot().unwrap().close();
    world.boot().unwrap().close();
    fs::write(world.anchor_path(), anchored).unwrap();
    assert_eq!(halt(world.boot()).0, Halt::StateForked);
}

#[test]
fn database_and_anchor_put_back_together_are_noticed_by_a_returning_client() {
    let (world, mut ann) = registered();
    let (older, anchored) = snapshot(&world);
    let trunk = world.boot().unwrap();
    assert_eq!(ann.verify(&world, &trunk, "000000").unwrap(), Outcome::WrongPin);
    trunk.close();
    put_back(&world, &older);
    fs::write(world.anchor_path(), anchored).unwrap();
    let trunk = world.boot().unwrap();
    let prepared = ann.prepare_verify(&world, &trunk, "000000").unwrap();
    let reply = prepared.send(&trunk).unwrap();
    let outcome = prepared.opener.open(&reply).unwrap().outcome;
    assert_eq!(outcome, Outcome::Refused(pinseal_protocol::refusal::Refusal::StateRolledBack));
    let (stopped, wait) = std::sync::mpsc::channel();
    trunk.on_stop(move |stop| stopped.send(stop).unwrap());
    assert!(matches!(wait.recv().unwrap(), Stop::Halted { halt: Halt::RolledBack, .. }));
    let refused = ann.begin(&world, &trunk, pinseal_protocol::request::Method::Status).unwrap_err();
    assert_eq!(refused, CallError::EnclaveGone(Some(Halt::RolledBack)));
    assert!(!trunk.status().ready);
}

#[test]
fn a_missing_anchor_is_not_a_fresh_start() {
    let (world, _) = registered();
    fs::remove_file(world.anchor_path()).unwrap();
    assert_eq!(halt(world.boot()).0, Halt::AnchorMissing);
    assert!(!world.anchor_path().exists());
}

#[test]
fn a_torn_anchor_is_refused_and_left_as_it_is() {
    let (world, _) = registered();
    let whole = fs::read(world.anchor_path()).unwrap();
    let torn = whole.split_at(100).0;
    fs::write(world.anchor_path(), torn).unwrap();
    assert!(matches!(world.boot(), Err(BootError::Anchor(LoadError::Damaged) | BootError::Creation(_))));
    assert_eq!(fs::read(world.anchor_path()).unwrap(), torn);
}

#[test]
fn a_missing_root_or_database_is_not_a_fresh_start() {
    let (world, _) = registered();
    let root = world.directory.join("root.sealed");
    let kept = fs::read(&root).unwrap();
    fs::remove_file(&root).unwrap();
    assert!(matches!(world.boot(), Err(BootError::RootMissing)));
    assert!(matches!(world.create(), Err(pinseal_host::CreateError::RootMissing)));
    assert!(!root.exists());
    fs::write(&root, kept).unwrap();
    let (database, _) = snapshot(&world);
    put_back(&world, &[]);
    assert!(matches!(world.boot(), Err(BootError::DatabaseMissing)));
    put_back(&world, &database);
    world.boot().unwrap();
}

#[test]
fn nothing_boots_where_nothing_was_created() {
    assert!(matches!(World::empty().boot(), Err(BootError::NoDeployment)));
}

#[test]
fn a_wrong_passphrase_a_damaged_root_and_another_configuration_have_their_own_errors() {
    let (mut world, _) = registered();
    let wrong = Trunk::start(enclave(b"wrong"), world.parts(crate::world::Hooks::default()));
    assert_eq!(halt(wrong).0, Halt::WrongPassphrase);

    let root = world.directory.join("root.sealed");
    let whole = fs::read(&root).unwrap();
    let torn = whole.split_at(whole.len() / 2).0;
    fs::write(&root, torn).unwrap();
    assert_eq!(halt(world.boot()).0, Halt::RootDamaged);
    assert_eq!(fs::read(&root).unwrap(), torn, "nothing is overwritten");
    fs::write(&root, whole).unwrap();

    world.configuration.policy.any_chain_authorization = true;
    assert_eq!(halt(world.boot()).0, Halt::RootForeign);
    world.configuration.policy.any_chain_authorization = false;
    world.boot().unwrap();
}

#[test]
fn an_anchor_of_another_level_is_refused() {
    let world = World::new();
    let mut parts = world.parts(crate::world::Hooks::default());
    parts.anchor = Box::new(MemoryAnchor::default());
    assert!(matches!(Trunk::start(enclave(PASSPHRASE), parts), Err(BootError::AnchorLevel)));
}

#[test]
fn a_tampered_record_row_is_refused() {
    let (world, _) = registered();
    drop(world.sqlite());
    let (database, _) = snapshot(&world);
    let header = world.records().headers(None, 1).unwrap()[0];
    // The header table holds wallet and hash next to each other: change one bit of the hash.
    let mut changed = database.clone();
    let place = database.windows(32).rposition(|window| window == header.outer.0).unwrap();
    let places: Vec<usize> =
        database.windows(32).enumerate().filter(|(_, window)| *window == header.outer.0).map(|(at, _)| at).collect();
    assert!(places.contains(&place));
    for at in places {
        changed[at] ^= 1;
    }
    put_back(&world, &changed);
    assert_eq!(halt(world.boot()).0, Halt::StateMismatch);
}

#[test]
fn a_second_instance_fences_the_first() {
    let (world, mut ann) = registered();
    let first = world.boot().unwrap();
    assert_eq!(ann.verify(&world, &first, "123456").unwrap(), Outcome::PinVerified);
    // The second one boots from the same files and anchors its own boot entry.
    let second = world.boot().unwrap();
    let (stopped, wait) = std::sync::mpsc::channel();
    first.on_stop(move |stop| stopped.send(stop).unwrap());
    let refused = ann.verify(&world, &first, "123456").unwrap_err();
    assert!(matches!(refused, CallError::EnclaveGone(_)), "{refused:?}");
    assert!(matches!(wait.recv().unwrap(), Stop::Halted { .. } | Stop::Protocol(_)));
    assert!(ann.verify(&world, &second, "123456").is_ok());
    assert!(world.anchor().load().unwrap().is_some());
}
