//! L2: a real software TPM under a deployment that dies, is put back, loses its index, and is restored in the same TPM or another.

use std::path::Path;
use std::time::Duration;

use pinseal_anchor::{Anchor as _, TpmAnchor, TpmPlace, attestation_key};
use pinseal_client::operation::Acceptance;
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::tpm::{INDEX_FIRST, INDEX_LAST, Tpm};
use pinseal_swtpm::Swtpm;
use serde_json::Value;

use super::changed::{change, started};
use super::deployment::{CONFIGURATION, Deployment, run, run_with_fault};
use super::user::{PIN, User, WRONG_PIN, is_wrong_pin, pin, runtime, sign, status};
use super::witnessed::{Cosigner, witness};

fn started_tpm() -> Swtpm {
    Swtpm::start().expect("scripts/setup installs swtpm")
}

/// The index that a deployment of this name has in every TPM.
fn index(configuration: &Configuration) -> u32 {
    let number = configuration.deployment.0.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    INDEX_FIRST | number & (INDEX_LAST - INDEX_FIRST)
}

/// A deployment in that TPM, made by the programs themselves.
fn anchored(tpm: &Swtpm) -> Deployment {
    let attester = attestation_key(TpmPlace::Tcp(tpm.address())).unwrap();
    Deployment::prepared(|host| {
        let path = host.join(CONFIGURATION);
        let mut configuration: Configuration = cbor::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        (configuration.anchor, configuration.floor) = (AnchorLevel::L2, AnchorLevel::L2);
        configuration.tpm = Some(Tpm { attester, index: index(&configuration) });
        std::fs::write(path, cbor::to_vec(&configuration)).unwrap();
        let settings = host.join("server.toml");
        let mut text = std::fs::read_to_string(&settings).unwrap();
        text.push_str(&format!("\n[tpm]\nplace = \"{}\"\ninterval_milliseconds_min = 0\n", tpm.place()));
        std::fs::write(settings, text).unwrap();
    })
}

#[test]
fn a_wallet_lives_in_a_tpm_through_kills_and_an_older_database_is_refused() {
    runtime().block_on(async {
        let mut tpm = started_tpm();
        let deployment = anchored(&tpm);
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        let attested = ann.attested(&life.door).await;
        assert_eq!(attested.manifest().anchor, AnchorLevel::L2);
        let index = attested.manifest().tpm.unwrap().index;
        assert_eq!(sign(&attested, PIN, b"in the TPM").await.unwrap(), address);
        let shown: Value = reqwest_json(&format!("{}/readyz", life.door.url)).await;
        assert_eq!((&shown["anchor"]["level"], &shown["anchor"]["tpm"]["index"]), (&"L2".into(), &index.into()));
        // Both are killed, the machine loses power: what was written is there, and one more goes in.
        drop(life);
        let older = deployment.database();
        let address = tpm.address();
        tpm.kill().unwrap();
        let refused = deployment.refused();
        assert_eq!(refused.code, "tpm", "{refused:?}");
        tpm.restart().unwrap();
        assert_eq!(tpm.address(), address, "its port is free again");
        let life = deployment.start();
        let attested = ann.attested(&life.door).await;
        assert!(is_wrong_pin(&attested.verify_pin(&pin(WRONG_PIN)).await));
        assert_eq!(status(&attested).await.tries.left, 4);
        drop(life);
        // The try does not come back with the database.
        let newest = deployment.database();
        deployment.put_back(&older);
        let refused = deployment.refused();
        assert_eq!(refused.code, "state_forked", "{refused:?}");
        deployment.put_back(&newest);
        let life = deployment.start();
        let attested = ann.attested(&life.door).await;
        assert_eq!(status(&attested).await.tries.left, 4);
        drop(life);
        // An index that is gone does not come back, whatever is put back beside it.
        assert!(tpm.undefine(index).unwrap());
        for database in [&older, &newest] {
            deployment.put_back(database);
            let refused = deployment.refused();
            assert_eq!(refused.code, "anchor_missing", "{refused:?}");
        }
    });
}

async fn reqwest_json(url: &str) -> Value {
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

/// Between database and TPM, and between TPM and enclave: the next life goes on.
#[test]
fn a_host_that_dies_on_either_side_of_the_tpm_is_gone_on_from() {
    runtime().block_on(async {
        let tpm = started_tpm();
        let deployment = anchored(&tpm);
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        for fault in ["host.after_commit:2", "host.after_anchor:2"] {
            let life = deployment.start_with(fault);
            let attested = ann.attested(&life.door).await;
            assert!(attested.verify_pin(&pin(WRONG_PIN)).await.is_err());
            drop(life);
            let life = deployment.start();
            let attested = ann.attested(&life.door).await;
            assert_eq!(sign(&attested, PIN, fault.as_bytes()).await.unwrap(), address);
            life.stop();
        }
    });
}

fn configuration(deployment: &Deployment) -> Configuration {
    cbor::from_slice(&std::fs::read(deployment.host().join(CONFIGURATION)).unwrap()).unwrap()
}

fn restore_command<'a>(data: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut command = vec!["restore", "--yes", "--json", "--data", data.to_str().unwrap()];
    command.extend(more);
    command
}

fn restored(data: &Path, more: &[&str]) -> Value {
    let done = run(&restore_command(data, more));
    assert!(done.status.success(), "{done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

/// The code it fails with.
fn refused_restore(data: &Path, more: &[&str]) -> String {
    let done = run(&restore_command(data, more));
    assert!(!done.status.success(), "{done:?}");
    let said: Value = serde_json::from_slice(&done.stderr).unwrap_or_else(|_| panic!("{done:?}"));
    said["error"]["code"].as_str().unwrap().to_owned()
}

/// The newest database is lost for good: an older one becomes the state on the same TPM, whatever dies meanwhile.
#[test]
fn a_lost_database_is_restored_in_its_tpm_and_a_restore_that_dies_is_finished_or_did_not_happen() {
    runtime().block_on(async {
        let tpm = started_tpm();
        let deployment = anchored(&tpm);
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let faults = [
            ("host.before_commit:1", false),
            ("host.after_commit:1", true),
            ("host.after_anchor:1", true),
            ("change.between:1", true),
        ];
        for (round, (fault, happens)) in faults.into_iter().enumerate() {
            let backup = deployment.database();
            let life = deployment.start();
            assert!(is_wrong_pin(&ann.attested(&life.door).await.verify_pin(&pin(WRONG_PIN)).await));
            life.stop();
            deployment.put_back(&backup);
            assert_eq!(deployment.refused().code, "state_forked", "{fault}");
            let before = configuration(&deployment);
            let died = run_with_fault(&restore_command(&deployment.data, &[]), fault);
            assert!(!died.status.success(), "{fault}: {died:?}");
            if !happens {
                assert_eq!(deployment.refused().code, "state_forked", "{fault}");
                // Under another number: nobody knows whom the one that died got to.
                assert_eq!(restored(&deployment.data, &[])["restores"], round + 2);
            }
            let (life, _) = started(&deployment);
            let after = configuration(&deployment);
            assert_ne!(after.base, before.base, "{fault}: it goes on from what the index held");
            assert_eq!(after.tpm, before.tpm, "{fault}");
            let attested = ann.attested(&life.door).await;
            assert_eq!(attested.restored(), Some(u32::try_from(round).unwrap() + 2), "{fault}");
            assert!(matches!(attested.accept_restore().await, Ok(Acceptance::Device(_))), "{fault}");
            assert_eq!(status(&attested).await.tries.left, 1, "{fault}");
            assert_eq!(sign(&attested, PIN, fault.as_bytes()).await.unwrap(), address, "{fault}");
            life.stop();
        }
    });
}

/// The board died, and the TPM with it; database and root are there, or a backup of them.
#[test]
fn a_lost_tpm_is_replaced_and_so_is_one_that_was_cleared() {
    runtime().block_on(async {
        let mut old = started_tpm();
        let deployment = anchored(&old);
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        old.kill().unwrap();
        assert_eq!(deployment.refused().code, "tpm");
        assert_eq!(refused_restore(&deployment.data, &[]), "tpm", "which one, the operators say");
        let new = started_tpm();
        let said = restored(&deployment.data, &["--tpm", &new.place()]);
        assert_eq!(said["restores"], 1);
        assert!(said["tpm_base"].is_string(), "{said}");
        for restores in 1..3 {
            let life = deployment.start();
            let attested = ann.attested(&life.door).await;
            let named = attested.manifest().tpm.unwrap();
            assert_eq!(named.attester, attestation_key(TpmPlace::Tcp(new.address())).unwrap());
            assert!(matches!(attested.accept_restore().await, Ok(Acceptance::Device(_))));
            assert_eq!(sign(&attested, PIN, b"in another TPM").await.unwrap(), address);
            life.stop();
            if restores == 1 {
                // Cleared, the same chip is another one, at the same place.
                assert!(new.clear().unwrap());
                assert_eq!(deployment.refused().code, "anchor_missing");
                assert_eq!(restored(&deployment.data, &["--tpm", &new.place()])["restores"], 2);
            }
        }
        // The chip that was replaced, should it live again, has nothing that it was asked for.
        old.restart().unwrap();
        deployment.start().stop();
    });
}

/// From its own file into a TPM, from there into another one, and out to witnesses: nobody has to agree, and nothing is forgotten.
#[test]
fn a_deployment_moves_between_tpms_and_its_tries_move_with_it() {
    runtime().block_on(async {
        let (one, two, scratch) = (started_tpm(), started_tpm(), tempfile::tempdir().unwrap());
        let deployment = Deployment::new();
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        assert!(is_wrong_pin(&ann.attested(&life.door).await.verify_pin(&pin(WRONG_PIN)).await));
        life.stop();
        let mut olders = Vec::new();
        for tpm in [&one, &two] {
            let older = deployment.database();
            let said = change(&deployment.data, &["--tpm", &tpm.place()]);
            assert_eq!((said["anchor"].as_str(), said["floor"].as_str()), (Some("L2"), Some("L2")));
            let (life, _) = started(&deployment);
            let attested = ann.attested(&life.door).await;
            assert_eq!(attested.restored(), None, "there is nothing to accept");
            assert_eq!(status(&attested).await.tries.left, 4, "what was charged stays charged");
            life.stop();
            olders.push(older);
        }
        let newest = deployment.database();
        for older in &olders {
            deployment.put_back(older);
            assert_eq!(deployment.refused().code, "state_forked", "an older state under the new root");
        }
        deployment.put_back(&newest);
        // What was changed before is anchored in the TPM like everything.
        let said = change(&deployment.data, &["--new-issuer-key", "--breaker", "500"]);
        assert_eq!(said["breaker"], 500);
        // Nothing is shown to witnesses that the TPM does not hold yet.
        started(&deployment).0.stop();
        let cosigners: Vec<_> = (1..=3).map(|number| Cosigner::new(scratch.path(), number)).collect();
        let log = std::fs::read_to_string(deployment.host().join("log.vkey")).unwrap();
        let places: Vec<_> = cosigners.iter().map(|one| format!("{} http://{}", one.key, one.at)).collect();
        for one in &cosigners {
            witness(&["trust", &log], &one.directory);
        }
        let added: Vec<_> = places.iter().flat_map(|place| ["--add-witness", place]).collect();
        let said = change(&deployment.data, &added);
        assert_eq!((said["anchor"].as_str(), said["tpm"].is_null()), (Some("L4"), true));
        let (life, _) = started(&deployment);
        assert_eq!(sign(&ann.attested(&life.door).await, PIN, b"under witnesses").await.unwrap(), address);
        life.stop();
    });
}

/// What the deployment's index in that TPM holds, if it was ever written.
fn held(tpm: &Swtpm, index: u32) -> Option<Vec<u8>> {
    let at = || TpmPlace::Tcp(tpm.address());
    let named = Tpm { attester: attestation_key(at()).unwrap(), index };
    TpmAnchor::new(at(), named, Duration::ZERO).load().unwrap()
}

/// On either side of each of the two things that are done to a TPM before anything is ordered for it.
const PRIMING: [&str; 4] =
    ["prime.before_define:1", "prime.after_define:1", "prime.before_extend:1", "prime.after_extend:1"];

/// The host dies, and the TPM loses power with it.
fn dies_priming(tpm: &mut Swtpm, command: &[&str], index: u32, fault: &str) {
    let died = run_with_fault(command, fault);
    assert!(!died.status.success(), "{fault}: {died:?}");
    tpm.kill().unwrap();
    tpm.restart().unwrap();
    assert_eq!(held(tpm, index).is_some(), fault.starts_with("prime.after_extend"), "{fault}");
}

/// Ahead of the order another TPM's index is written for the first time. What dies there has changed nothing of the deployment, and the repeated order does
/// what is left of it.
#[test]
fn an_index_whose_first_write_dies_is_written_by_the_repeated_order_and_nothing_else_has_happened() {
    runtime().block_on(async {
        let (mut one, mut two) = (started_tpm(), started_tpm());
        let deployment = Deployment::new();
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        assert!(is_wrong_pin(&ann.attested(&life.door).await.verify_pin(&pin(WRONG_PIN)).await));
        life.stop();
        let (before, place) = (configuration(&deployment), one.place());
        let data = deployment.data.to_str().unwrap().to_owned();
        let into = ["config", "change", "--yes", "--json", "--data", &data, "--tpm", &place];
        let handle = index(&before);
        for fault in PRIMING {
            dies_priming(&mut one, &into, handle, fault);
            assert_eq!(configuration(&deployment), before, "{fault}: nothing was ordered");
            let (life, finished) = started(&deployment);
            assert!(!finished, "{fault}: there is nothing to finish");
            assert_eq!(status(&ann.attested(&life.door).await).await.tries.left, 4, "{fault}");
            life.stop();
            if fault == "prime.after_define:1" {
                // As if it had died once more, when the index that was never written was taken away and not defined anew yet.
                assert!(one.undefine(handle).unwrap());
            }
        }
        let primed = held(&one, handle);
        change(&deployment.data, &["--tpm", &place]);
        assert_eq!(configuration(&deployment).base.map(|base| base.0.to_vec()), primed, "it is not written again");
        let (life, _) = started(&deployment);
        let attested = ann.attested(&life.door).await;
        assert_eq!(status(&attested).await.tries.left, 4);
        assert_eq!(sign(&attested, PIN, b"in the TPM").await.unwrap(), address);
        life.stop();
        // And where the order is a restore, because that TPM is lost.
        one.kill().unwrap();
        let place = two.place();
        let into = restore_command(&deployment.data, &["--tpm", &place]);
        for fault in [PRIMING[1], PRIMING[3]] {
            dies_priming(&mut two, &into, handle, fault);
            assert_eq!(deployment.refused().code, "tpm", "{fault}: the old TPM is the one in force");
        }
        let primed = held(&two, handle);
        assert_eq!(restored(&deployment.data, &["--tpm", &place])["restores"], 1);
        assert_eq!(configuration(&deployment).base.map(|base| base.0.to_vec()), primed);
        let life = deployment.start();
        let attested = ann.attested(&life.door).await;
        assert!(matches!(attested.accept_restore().await, Ok(Acceptance::Device(_))));
        assert_eq!(sign(&attested, PIN, b"in another TPM").await.unwrap(), address);
        life.stop();
    });
}
