//! Creation is resumed or refused, whatever it was interrupted by.

use std::fs;

use pinseal_anchor::{Anchor as _, AnchorLevel, MemoryAnchor};
use pinseal_host::{CreateError, Trunk, configuration, create};
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::wire::Halt;
use pinseal_store::deployment::DeploymentFile;

use crate::world::{Client, Hooks, PASSPHRASE, World, enclave};

#[test]
fn a_deployment_is_created_once() {
    let world = World::new();
    let root = fs::read(world.directory.join("root.sealed")).unwrap();
    assert!(matches!(world.create(), Err(CreateError::Exists)));
    assert_eq!(fs::read(world.directory.join("root.sealed")).unwrap(), root);
    assert_eq!(configuration(&world.deployment()).unwrap().unwrap(), world.configuration);
    assert_eq!(world.deployment().read(DeploymentFile::Genesis).unwrap(), None);
}

#[test]
fn another_configuration_is_refused_before_the_enclave_is_asked() {
    let mut world = World::new();
    world.configuration.policy.any_chain_authorization = true;
    assert!(matches!(world.create(), Err(CreateError::OtherConfiguration)));
    world.configuration.anchor = AnchorLevel::L0;
    assert!(matches!(world.create(), Err(CreateError::AnchorLevel)));
}

#[test]
fn an_enclave_that_refuses_leaves_no_deployment() {
    let mut world = World::empty();
    world.configuration.argon2.memory_kib = 1;
    match world.create() {
        Err(CreateError::Halted { halt, .. }) => assert_eq!(halt, Halt::ConfigurationInvalid),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.deployment().read(DeploymentFile::Root).unwrap(), None);
}

/// Files and database as a crash after each step leaves them.
#[test]
fn an_interrupted_creation_is_finished_by_the_next_start() {
    for crash_after in ["root", "genesis", "anchor"] {
        let whole = World::new();
        let genesis = whole.anchor().load().unwrap().unwrap();
        let world = World::over(&whole.directory, whole.pkcs8().to_vec());
        world.deployment().write_new(DeploymentFile::Genesis, &genesis).unwrap();
        if crash_after != "anchor" {
            fs::remove_file(world.anchor_path()).unwrap();
        }
        if crash_after == "root" {
            for suffix in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(format!("{}{suffix}", world.database().display()));
            }
        }
        let trunk = world.boot().unwrap();
        let mut ann = Client::new("ann");
        assert!(matches!(ann.register(&world, &trunk, "123456"), Outcome::Registered(_)), "{crash_after}");
        assert_eq!(world.deployment().read(DeploymentFile::Genesis).unwrap(), None);
    }
}

#[test]
fn a_creation_interrupted_before_the_root_starts_over() {
    let world = World::empty();
    world.deployment().write_new(DeploymentFile::Genesis, b"of a root that was never stored").unwrap();
    world.create().unwrap();
    world.boot().unwrap();
}

#[test]
fn a_creation_over_the_database_or_anchor_of_another_deployment_is_refused() {
    let other = World::new();
    let world = World::empty();
    fs::copy(other.anchor_path(), world.anchor_path()).unwrap();
    assert!(matches!(world.create(), Err(CreateError::RootMissing)));
    assert_eq!(world.deployment().read(DeploymentFile::Root).unwrap(), None);
}

#[test]
fn memory_anchors_boot_again_and_again_because_they_claim_nothing() {
    let mut world = World::empty();
    world.configuration.anchor = AnchorLevel::L0;
    world.configuration.floor = AnchorLevel::L0;
    let mut anchor = MemoryAnchor::default();
    let (deployment, records) = (world.deployment(), world.records());
    create(enclave(PASSPHRASE), &deployment, &records, &mut anchor, &world.configuration, &*world.clock).unwrap();
    let mut ann = Client::new("ann");
    for boots in 0..3 {
        let mut parts = world.parts(Hooks::default());
        parts.anchor = Box::new(MemoryAnchor::default());
        let trunk = Trunk::start(enclave(PASSPHRASE), parts).unwrap();
        if boots == 0 {
            ann.register(&world, &trunk, "123456");
        }
        assert_eq!(ann.verify(&world, &trunk, "123456").unwrap(), Outcome::PinVerified);
        trunk.close();
    }
}
