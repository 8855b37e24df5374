//! A restore replaces what the anchor's file holds of the time before it, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pinseal_anchor::Anchor as _;
use pinseal_enclave::{Environment as _, Passphrase};
use pinseal_host::{
    BootError, ChangeError, ChangeParts, Clock as _, Earlier, change, finish_change, order_change, root_in_force,
};
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::order::{ORDER_COST, ORDER_VERSION, Order};
use pinseal_store::deployment::DeploymentFile;
use pinseal_store::records::Records;
use pinseal_store::{CommitFault, CommitHook};
use zeroize::Zeroizing;

use crate::world::{PASSPHRASE, SystemRandom, World, enclave};

/// Everything in the data directory but the anchor's file, which is on a disk of its own.
struct Copy(Vec<(PathBuf, Vec<u8>)>);

fn is_anchor(path: &Path) -> bool {
    path.file_name().unwrap().to_str().unwrap().starts_with("anchor.note")
}

fn files(world: &World) -> Vec<PathBuf> {
    let files = fs::read_dir(&world.directory).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file() && !is_anchor(path)).collect()
}

impl Copy {
    fn of(world: &World) -> Self {
        Self(files(world).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect())
    }

    fn put_back(&self, world: &World) {
        files(world).into_iter().for_each(|path| fs::remove_file(path).unwrap());
        self.0.iter().for_each(|(path, content)| fs::write(path, content).unwrap());
    }
}

fn order_restore(world: &World, restores: u32) {
    let (deployment, records) = (world.deployment(), world.records());
    let order = Order {
        version: ORDER_VERSION,
        deployment: world.configuration.deployment,
        root: root_in_force(&deployment).unwrap(),
        previous: world.configuration.hash(),
        configuration: world.configuration.hash(),
        checkpoint: records.newest().unwrap().unwrap().checkpoint.hash(),
        time: world.clock.now(),
        restores: Some(restores),
        resumes: false,
    };
    let salt = Hash32([3; 32]);
    let passphrase = Passphrase::new(Zeroizing::new(PASSPHRASE.to_vec()));
    let stretched = SystemRandom.stretch(&passphrase, &salt.0, &ORDER_COST).unwrap();
    order_change(&deployment, &records, &world.configuration, &order.sign(salt, &stretched), Earlier::Stays).unwrap();
}

fn carry_out(world: &World) -> Result<(), ChangeError> {
    carry_out_in(world, &world.records())
}

fn carry_out_in(world: &World, records: &Records) -> Result<(), ChangeError> {
    let (mut anchor, mut next_anchor) = (world.anchor(), world.anchor());
    let parts = ChangeParts {
        deployment: &world.deployment(),
        records,
        anchor: &mut anchor,
        next_anchor: &mut next_anchor,
        clock: &*world.clock,
    };
    change(enclave(PASSPHRASE), parts).map(drop)
}

fn held(world: &World) -> Checkpoint {
    Checkpoint::read_unverified(&world.anchor().load().unwrap().unwrap()).unwrap()
}

fn serve(world: &World) {
    world.boot().unwrap().close();
}

/// A world whose newest database is lost, an older one in its place.
fn lost() -> World {
    let world = World::new();
    serve(&world);
    let backup = Copy::of(&world);
    serve(&world);
    backup.put_back(&world);
    world
}

#[test]
fn an_order_is_not_carried_out_again_over_what_followed_it() {
    let world = lost();
    order_restore(&world, 1);
    let before = Copy::of(&world);
    carry_out(&world).unwrap();
    assert!(finish_change(&world.deployment()).unwrap());
    serve(&world);
    let anchored = held(&world);
    before.put_back(&world);
    assert!(matches!(carry_out(&world), Err(ChangeError::RestoredSince(1))));
    assert_eq!(held(&world), anchored, "what was tried since is not forgotten");
    assert_eq!(world.deployment().read(DeploymentFile::Order).unwrap(), None, "the order is withdrawn");

    order_restore(&world, 2);
    carry_out(&world).unwrap();
    assert_eq!(held(&world).restores, 2);
}

/// A disk without room for the entry.
struct Full;

impl CommitHook for Full {
    fn before_commit(&self) -> Option<CommitFault> {
        Some(CommitFault::Full)
    }
}

#[test]
fn an_order_that_finds_no_room_is_withdrawn_and_says_so() {
    let world = lost();
    order_restore(&world, 1);
    let before = world.records().newest().unwrap();
    let full = carry_out_in(&world, &Records::with_hook(world.sqlite(), Arc::new(Full)));
    assert!(matches!(full, Err(ChangeError::Boot(BootError::NoRoom(_)))), "{full:?}");
    assert_eq!(world.records().newest().unwrap(), before);
    assert_eq!(world.deployment().read(DeploymentFile::Order).unwrap(), None, "nothing is open");
    // With room again it is ordered again.
    order_restore(&world, 1);
    carry_out(&world).unwrap();
    assert_eq!(held(&world).restores, 1);
}

#[test]
fn a_restore_that_was_begun_is_finished_but_not_over_what_followed_it() {
    let world = lost();
    order_restore(&world, 1);
    carry_out(&world).unwrap();
    // As a crash leaves it that comes before the new root is on disk.
    fs::remove_file(world.deployment().path(DeploymentFile::NextRoot)).unwrap();
    let begun = Copy::of(&world);
    carry_out(&world).unwrap();
    assert!(finish_change(&world.deployment()).unwrap());
    serve(&world);
    let anchored = held(&world);
    begun.put_back(&world);
    assert!(matches!(carry_out(&world), Err(ChangeError::RestoredSince(1))));
    assert_eq!(held(&world), anchored, "what was tried since is not forgotten");
}

#[test]
fn the_anchor_of_another_deployment_is_not_replaced() {
    let (mut other, world) = (World::empty(), lost());
    other.configuration.deployment.0[0] ^= 1;
    other.create().unwrap();
    order_restore(&world, 1);
    fs::copy(other.anchor_path(), world.anchor_path()).unwrap();
    assert!(matches!(carry_out(&world), Err(ChangeError::NextForeign)));
    assert_eq!(held(&world), held(&other));
}
