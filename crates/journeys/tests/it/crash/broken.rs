//! A disk that fails to sync (EIO): nobody knows what is stored, so the host stops, and the next boot finds out.
//!
//! A tracer makes the n-th sync fail, one after the other, until an operation gets through.

use std::collections::BTreeSet;
use std::path::Path;

use pinseal_client::OperationError;

use super::deployment::{Deployment, Life};
use super::user::{PIN, User, WRONG_PIN, is_wrong_pin, pin, runtime, sign, status};

/// Syncs of the database in one boot and one operation, at most.
const SYNCS_MAX: u32 = 12;
/// How often one is failed after the other. What else is written shares a sync with a batch or has one of its own, so the n-th is not always the same.
const SWEEPS_MAX: u32 = 4;
/// Boot's checkpoint, the charge's and the one that settles.
const BOOT: u64 = 1;
const CHARGE: u64 = 2;
const SETTLE: u64 = 3;

/// A tracer under which syncs of one file fail; which ones is counted in each thread.
fn failing(file: &Path, calls: &str, when: &str) -> Vec<String> {
    let trace = format!("trace={calls}");
    let inject = format!("inject={calls}:error=EIO:when={when}");
    let file = file.to_str().unwrap();
    ["strace", "-f", "-qq", "-o", "/dev/null", "-P", file, "-e", &trace, "-e", &inject].map(str::to_owned).to_vec()
}

/// In a life with a good disk: how many tries are charged, and that all is well.
async fn charged(deployment: &mut Deployment, user: &User) -> u8 {
    deployment.wrapper.clear();
    let life = deployment.start();
    let attested = user.attested(&life.door).await;
    let outstanding = status(&attested).await.status.outstanding;
    sign(&attested, PIN, b"good disk").await.unwrap();
    life.stop();
    outstanding
}

/// A wrong PIN on a disk that fails; the host must stop without a verdict.
async fn wrong_pin(life: &mut Life, user: &User) -> Result<(), OperationError> {
    let attested = user.attested(&life.door).await;
    let answer = attested.verify_pin(&pin(WRONG_PIN)).await.map(drop);
    if !is_wrong_pin(&answer) {
        let word = life.word();
        assert_eq!(word["failed"]["code"], "enclave_stopped", "{word}");
        assert_eq!(life.host.ended().code(), Some(1));
        life.enclave.ended();
    }
    answer
}

#[test]
fn a_database_that_fails_to_sync_shows_no_verdict_and_forgets_no_charge() {
    runtime().block_on(async {
        let mut deployment = Deployment::new();
        let life = deployment.start();
        let (ann, _) = User::registered(&life.door, "ann@example.org").await;
        life.stop();

        let (mut stopped_at, mut sweeps) = (BTreeSet::new(), 1);
        let mut syncs = 1..=SYNCS_MAX;
        while let Some(when) = syncs.next() {
            let before = deployment.anchored().sequence.0;
            deployment.wrapper =
                failing(&deployment.host().join("pinseal.sqlite-wal"), "fsync,fdatasync", &when.to_string());
            let Ok(mut life) = deployment.try_start(None) else {
                stopped_at.insert(BOOT);
                assert_eq!(charged(&mut deployment, &ann).await, 0);
                continue;
            };
            if is_wrong_pin(&wrong_pin(&mut life, &ann).await) {
                // Every sync of this operation was good.
                if stopped_at == BTreeSet::from([BOOT, CHARGE, SETTLE]) {
                    return;
                }
                assert!(sweeps < SWEEPS_MAX, "{stopped_at:?} at {when}");
                drop(life);
                assert_eq!(charged(&mut deployment, &ann).await, 1, "at {when}");
                (syncs, sweeps) = (1..=SYNCS_MAX, sweeps + 1);
                continue;
            }
            // The kernel kept what it could not promise: the checkpoint that was being written is there.
            let step = deployment.stored().sequence.0 - before;
            stopped_at.insert(step);
            assert_eq!(charged(&mut deployment, &ann).await, u8::from(step >= CHARGE), "at {when}");
        }
        panic!("more than {SYNCS_MAX} syncs");
    });
}

#[test]
fn an_anchor_that_fails_to_sync_at_settle_shows_no_verdict_and_forgets_no_charge() {
    runtime().block_on(async {
        let mut deployment = Deployment::new();
        let life = deployment.start();
        let (ann, _) = User::registered(&life.door, "ann@example.org").await;
        life.stop();

        // One sync of the new note's data an advance: boot's thread makes one, and the committer's second is the settling write's.
        // From then on every one fails, so that trying again does not help.
        let before = deployment.anchored().sequence.0;
        deployment.wrapper = failing(&deployment.anchor(), "fdatasync", "2+");
        let mut life = deployment.start();
        let answer = wrong_pin(&mut life, &ann).await;
        assert!(!is_wrong_pin(&answer), "{answer:?}");
        // The kernel kept what it could not promise.
        assert_eq!(deployment.anchored().sequence.0, before + SETTLE);
        assert_eq!(deployment.stored().sequence.0, before + SETTLE);
        assert_eq!(charged(&mut deployment, &ann).await, 1);
    });
}
