//! The sealed configuration changes, over real processes that die at every step, and users notice nothing but the new names.

use std::path::Path;

use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use serde_json::Value;

use super::deployment::{CONFIGURATION, Deployment, Life, run, run_with_fault};
use super::user::{PIN, User, WRONG_PIN, is_wrong_pin, pin, runtime, sign, status};
use super::witnessed::{Cosigner, Stand, trusted, witness};

const ROOT: &str = "root.sealed";

fn change(data: &Path, what: &[&str]) -> Value {
    let mut arguments = vec!["config", "change", "--yes", "--json", "--data", data.to_str().unwrap()];
    arguments.extend(what);
    let done = run(&arguments);
    assert!(done.status.success(), "{done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

/// The code it fails with.
fn refused(data: &Path, what: &[&str]) -> String {
    let mut arguments = vec!["config", "change", "--yes", "--json", "--data", data.to_str().unwrap()];
    arguments.extend(what);
    let done = run(&arguments);
    assert!(!done.status.success(), "{done:?}");
    let said: Value = serde_json::from_slice(&done.stderr).unwrap_or_else(|_| panic!("{done:?}"));
    said["error"]["code"].as_str().unwrap().to_owned()
}

fn configuration(deployment: &Deployment) -> Configuration {
    cbor::from_slice(&std::fs::read(deployment.host().join(CONFIGURATION)).unwrap()).unwrap()
}

fn place(one: &Cosigner) -> String {
    format!("{} http://{}", one.key, one.at)
}

/// Started, after an interrupted change was finished where there is one; whether there was.
fn started(deployment: &Deployment) -> (Life, bool) {
    let (mut life, word) = deployment.launch(None);
    if word == "ready" {
        return (life, false);
    }
    assert_eq!(word, "changed", "{}", life.host.log());
    assert_eq!((life.host.ended().code(), life.enclave.ended().code()), (Some(0), Some(0)));
    (deployment.start(), true)
}

#[test]
fn a_witness_that_is_lost_for_good_is_replaced_and_nobody_loses_a_wallet_or_gains_a_try() {
    runtime().block_on(async {
        let Stand { deployment, mut cosigners, scratch } = trusted();
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        assert!(is_wrong_pin(&ann.attested(&life.door).await.verify_pin(&pin(WRONG_PIN)).await));
        life.stop();
        let old = [CONFIGURATION, ROOT].map(|name| std::fs::read(deployment.host().join(name)).unwrap());
        let lost = cosigners[0].key.name().to_owned();
        cosigners[0].kill();

        let fresh = Cosigner::new(scratch.path(), 5);
        let swap = ["--remove-witness", &lost, "--add-witness", &place(&fresh), "--witnesses-required", "3"];
        // Two of the three that are left could cosign, but a fourth that knows nothing of the log is no member yet.
        let log = std::fs::read_to_string(deployment.host().join("log.vkey")).unwrap();
        cosigners[1].kill();
        assert_eq!(refused(&deployment.data, &swap), "witnesses");
        cosigners[1].start();
        witness(&["trust", &log], &fresh.directory);
        let said = change(&deployment.data, &swap);
        assert_eq!(said["witnesses"]["required"], 3);

        let (life, _) = started(&deployment);
        let attested = ann.attested(&life.door).await;
        let names: Vec<_> =
            attested.manifest().witnesses.as_ref().unwrap().witnesses.iter().map(|one| one.name.clone()).collect();
        assert!(names.contains(&fresh.key.name().to_owned()) && !names.contains(&lost), "{names:?}");
        assert_eq!(status(&attested).await.tries.left, 4, "what was charged before stays charged");
        assert_eq!(sign(&attested, PIN, b"with another witness").await.unwrap(), address);
        // The new one counts: without it and one more there is no quorum.
        drop(fresh);
        cosigners[1].kill();
        assert!(attested.verify_pin(&pin(PIN)).await.is_err());
        drop(life);
        cosigners[1].start();
        for (name, content) in [CONFIGURATION, ROOT].iter().zip(old) {
            std::fs::write(deployment.host().join(name), content).unwrap();
        }
        assert_eq!(deployment.refused().code, "state_mismatch", "the old root opens nothing any more");
    });
}

#[test]
fn a_deployment_rises_from_its_own_file_to_witnesses_and_never_falls_back() {
    runtime().block_on(async {
        let scratch = tempfile::tempdir().unwrap();
        let deployment = Deployment::new();
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let cosigners: Vec<_> = (1..=3).map(|number| Cosigner::new(scratch.path(), number)).collect();
        let places: Vec<_> = cosigners.iter().map(place).collect();
        let added: Vec<_> = places.iter().flat_map(|place| ["--add-witness", place]).collect();
        let before = deployment.files();
        assert_eq!(refused(&deployment.data, &added), "witnesses", "they do not know the log");
        let after = deployment.files();
        let sealed = |files: &std::collections::BTreeMap<_, Vec<u8>>| {
            [CONFIGURATION, ROOT, "anchor/checkpoint"].map(|name| files[&deployment.host().join(name)].clone())
        };
        assert_eq!(sealed(&before), sealed(&after));
        assert!(!after.keys().any(|path| path.to_str().unwrap().contains("next")), "nothing is left over");

        let log = std::fs::read_to_string(deployment.host().join("log.vkey")).unwrap();
        for one in &cosigners {
            witness(&["trust", &log], &one.directory);
        }
        let said = change(&deployment.data, &added);
        assert_eq!((said["anchor"].as_str(), said["floor"].as_str()), (Some("L4"), Some("L4")));
        let (life, _) = started(&deployment);
        let attested = ann.attested(&life.door).await;
        assert_eq!(attested.manifest().anchor, AnchorLevel::L4);
        assert_eq!(sign(&attested, PIN, b"under witnesses").await.unwrap(), address);
        life.stop();
        let names: Vec<_> = cosigners.iter().flat_map(|one| ["--remove-witness", one.key.name()]).collect();
        assert_eq!(refused(&deployment.data, &names), "usage");
        assert_eq!(refused(&deployment.data, &[]), "usage", "nothing to change");
    });
}

#[test]
fn a_change_that_dies_at_any_step_is_finished_by_the_next_start_or_did_not_happen() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let faults = [
            ("host.before_commit:1", false),
            ("host.after_commit:1", true),
            ("host.after_anchor:1", true),
            ("change.before_root:1", true),
            ("change.after_root:1", true),
            ("change.between:1", true),
        ];
        for (fault, happens) in faults {
            let before = configuration(&deployment);
            let data = deployment.data.to_str().unwrap();
            let died =
                run_with_fault(&["config", "change", "--yes", "--json", "--new-issuer-key", "--data", data], fault);
            assert!(!died.status.success(), "{fault}: {died:?}");
            let (life, finished) = started(&deployment);
            let after = configuration(&deployment);
            assert_eq!(after != before, happens, "{fault}");
            // With the new root on disk the files alone finish it.
            let by_enclave = ["host.after_commit:1", "host.after_anchor:1", "change.before_root:1"].contains(&fault);
            assert_eq!(finished, by_enclave, "{fault}");
            assert_eq!(sign(&ann.attested(&life.door).await, PIN, fault.as_bytes()).await.unwrap(), address, "{fault}");
            life.stop();
            assert!(
                !deployment.files().keys().any(|path| happens && path.to_str().unwrap().contains("next")),
                "{fault}"
            );
        }
    });
}

#[test]
fn another_passphrase_orders_nothing() {
    let deployment = Deployment::new();
    let before = deployment.files();
    let stored = deployment.data.join("passphrase");
    let good = std::fs::read(&stored).unwrap();
    std::fs::write(&stored, "not the passphrase of this deployment\n").unwrap();
    assert_eq!(refused(&deployment.data, &["--new-issuer-key"]), "wrong_passphrase");
    std::fs::write(&stored, good).unwrap();
    let after = deployment.files();
    for name in [CONFIGURATION, ROOT, "issuer.p8", "anchor/checkpoint"] {
        let path = deployment.host().join(name);
        assert_eq!(before[&path], after[&path], "{name}");
    }
    deployment.start().stop();
}
