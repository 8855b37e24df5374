//! Crashes of boot itself, and the one state it mends.

use super::deployment::{Deployment, init_that_dies};
use super::user::{PIN, User, runtime, sign, status};

/// The points of a boot whose database is one checkpoint ahead, in order, then those that every boot passes.
const POINTS: &[&str] = &[
    "enclave.before_boot:1",
    "enclave.after_headers_end:1",
    "enclave.before_roll_forward:1",
    "enclave.after_roll_forward:1",
    "host.before_commit:1",
    "host.after_commit:1",
    "host.after_anchor:1",
    "enclave.before_commit:1",
    "enclave.after_commit:1",
    "enclave.before_ready:1",
    "enclave.after_ready:1",
    "host.before_drop_old:1",
];

#[test]
fn a_database_exactly_one_checkpoint_ahead_is_rolled_forward_whatever_dies_meanwhile() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();

        // Third commit of this life: BOOT, the charge, and then the settling write that is never anchored.
        let mut life = deployment.start_with("host.after_commit:3");
        let attested = ann.attested(&life.door).await;
        sign(&attested, PIN, b"stored, not anchored").await.unwrap_err();
        life.host.crashed();
        life.enclave.ended();
        let (stored, anchored) = (deployment.stored(), deployment.anchored());
        assert_eq!((stored.sequence.0, stored.previous), (anchored.sequence.0 + 1, anchored.hash()));

        for point in POINTS {
            let (mut life, _) = deployment.launch(Some(point));
            let process = if point.starts_with("host.") { &mut life.host } else { &mut life.enclave };
            process.crashed();
            life.host.ended();
            life.enclave.ended();
        }
        let life = deployment.start();
        let attested = ann.attested(&life.door).await;
        let seen = status(&attested).await;
        assert_eq!((seen.status.outstanding, seen.tries.left), (0, 5), "the settling write was rolled forward");
        assert_eq!(sign(&attested, PIN, b"after").await.unwrap(), address);
        life.stop();
        assert_eq!(deployment.stored(), deployment.anchored());
    });
}

#[test]
fn a_database_two_checkpoints_ahead_is_not_rolled_forward() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let life = deployment.start();
        let (ann, _) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let anchor = std::fs::read(deployment.anchor()).unwrap();
        let life = deployment.start();
        let attested = ann.attested(&life.door).await;
        sign(&attested, PIN, b"two checkpoints").await.unwrap();
        life.stop();
        let newest = std::fs::read(deployment.anchor()).unwrap();
        std::fs::write(deployment.anchor(), anchor).unwrap();
        let refused = deployment.refused();
        assert_eq!(refused.code, "state_forked", "{refused:?}");
        std::fs::write(deployment.anchor(), newest).unwrap();
        deployment.start().stop();
    });
}

/// The points of a creation before there is a root, all of which lead back to the beginning.
const BEFORE_ROOT: &[&str] =
    &["host.before_enclave_send:1", "enclave.before_create:1", "enclave.after_create:1", "enclave.before_created:1"];
/// Those after it, which leave something to finish.
const AFTER_ROOT: &[&str] = &["create.after_root:1", "create.after_genesis:1"];

#[test]
fn a_creation_that_dies_is_begun_again_or_finished_by_the_first_boot() {
    let deployment = Deployment::prepared(|host| {
        for fault in BEFORE_ROOT {
            init_that_dies(host.parent().unwrap(), fault);
            assert!(!host.join("root.sealed").exists(), "{fault}");
        }
    });
    deployment.start().stop();
    for fault in AFTER_ROOT {
        let mut root = Vec::new();
        let deployment = Deployment::prepared(|host| {
            init_that_dies(host.parent().unwrap(), fault);
            root = std::fs::read(host.join("root.sealed")).unwrap();
        });
        deployment.start().stop();
        assert_eq!(std::fs::read(deployment.host().join("root.sealed")).unwrap(), root, "{fault}: another root");
    }
}
