//! The sealed configuration changes, over real processes that die at every step, and users notice nothing but the new names.

use std::path::Path;

use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use serde_json::Value;

use pinseal_client::OperationError;
use pinseal_client::operation::{Acceptance, Words};
use pinseal_client::receipt::ReceiptError;
use pinseal_protocol::refusal::Refusal;

use super::deployment::{CONFIGURATION, Deployment, Life, UNTRIED, copied, run, run_with_fault};
use super::user::{PIN, User, WRONG_PIN, is_wrong_pin, new_pin, pin, runtime, sign, status};
use super::witnessed::{Cosigner, Stand, trusted, witness};

const ROOT: &str = "root.sealed";

pub(super) fn change(data: &Path, what: &[&str]) -> Value {
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
    failed(&run(&arguments)).0
}

/// Code and text that a command fails with.
pub(super) fn failed(done: &std::process::Output) -> (String, String) {
    assert!(!done.status.success(), "{done:?}");
    let said: Value = serde_json::from_slice(&done.stderr).unwrap_or_else(|_| panic!("{done:?}"));
    (said["error"]["code"].as_str().unwrap().to_owned(), said.to_string())
}

pub(super) fn configuration(deployment: &Deployment) -> Configuration {
    cbor::from_slice(&std::fs::read(deployment.host().join(CONFIGURATION)).unwrap()).unwrap()
}

pub(super) fn place(one: &Cosigner) -> String {
    format!("{} http://{}", one.key, one.at)
}

/// Started, after an interrupted change was finished where there is one; whether there was.
pub(super) fn started(deployment: &Deployment) -> (Life, bool) {
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
        // The settings with them: they name no witness any more that is none.
        let old = [CONFIGURATION, ROOT, "server.toml"].map(|name| std::fs::read(deployment.host().join(name)).unwrap());
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
        for (name, content) in [CONFIGURATION, ROOT, "server.toml"].iter().zip(old) {
            std::fs::write(deployment.host().join(name), content).unwrap();
        }
        assert_eq!(deployment.refused().code, "state_mismatch", "the old root opens nothing any more");
    });
}

/// One that was made anew answers, and cosigns nothing of a log that it was not told of. The change is stored before it is cosigned, so it has to be asked
/// before.
#[test]
fn a_change_that_its_old_witnesses_would_not_cosign_is_refused_before_anything_is_stored() {
    runtime().block_on(async {
        let mut stand = trusted();
        let life = stand.deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let log = std::fs::read_to_string(stand.deployment.host().join("log.vkey")).unwrap();
        let fresh = [5, 6].map(|number| Cosigner::new(stand.scratch.path(), number));
        fresh.iter().for_each(|one| drop(witness(&["trust", &log], &one.directory)));
        let lost = [0, 1].map(|number: usize| stand.cosigners[number].key.name().to_owned());
        stand.keep_first_witness();
        stand.kill_second_witness();
        stand.cosigners[0].kill();
        stand.cosigners[0].forget();
        stand.cosigners[0].start();

        let places = fresh.each_ref().map(place);
        let mut swap = vec!["--witnesses-required", "3"];
        lost.iter().for_each(|name| swap.extend(["--remove-witness", name]));
        places.iter().for_each(|place| swap.extend(["--add-witness", place]));
        assert_eq!(refused(&stand.deployment.data, &swap), "witnesses");

        // Nothing is in the log: with its memory back the old quorum goes on, and carries the change.
        stand.put_first_witness_back();
        let life = stand.deployment.start();
        assert_eq!(sign(&ann.attested(&life.door).await, PIN, b"as before").await.unwrap(), address);
        life.stop();
        change(&stand.deployment.data, &swap);
        let (life, _) = started(&stand.deployment);
        assert_eq!(sign(&ann.attested(&life.door).await, PIN, b"and after").await.unwrap(), address);
        life.stop();
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

/// What L1 is for: no command that changes something else hides that an older database was put back.
#[test]
fn a_change_neither_moves_nor_makes_the_anchor_of_an_older_database() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let life = deployment.start();
        let (ann, _) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let older = deployment.database();
        let life = deployment.start();
        assert!(is_wrong_pin(&ann.attested(&life.door).await.verify_pin(&pin(WRONG_PIN)).await));
        life.stop();
        deployment.put_back(&older);
        let anchor = std::fs::read(deployment.anchor()).unwrap();
        assert_eq!(refused(&deployment.data, &["--new-issuer-key"]), "state_older");
        assert_eq!(std::fs::read(deployment.anchor()).unwrap(), anchor);
        std::fs::remove_file(deployment.anchor()).unwrap();
        assert_eq!(refused(&deployment.data, &["--new-issuer-key"]), "anchor_missing");
        assert!(!deployment.anchor().exists());
        std::fs::write(deployment.anchor(), anchor).unwrap();
        assert_eq!(deployment.refused().code, "state_older");
    });
}

/// What it comes to when the person in front of it takes the PIN for granted.
pub(super) fn is_refused(answer: &Result<pinseal_protocol::reply::Tries, OperationError>, wanted: Refusal) -> bool {
    matches!(answer, Err(OperationError::Refused { refusal }) if *refusal == wanted)
}

fn restore(data: &Path) -> u64 {
    let done = run(&["restore", "--yes", "--json", "--data", data.to_str().unwrap()]);
    assert!(done.status.success(), "{done:?}");
    serde_json::from_slice::<Value>(&done.stdout).unwrap()["restores"].as_u64().unwrap()
}

#[test]
fn a_database_that_is_lost_is_restored_from_a_backup_and_opens_by_its_owners_consent() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        let (bob, _) = User::registered(&life.door, "bob@example.org").await;
        life.stop();
        let backup = deployment.database();
        let life = deployment.start();
        for _ in 0..2 {
            assert!(is_wrong_pin(&ann.attested(&life.door).await.verify_pin(&pin(WRONG_PIN)).await));
        }
        let (eve, _) = User::registered(&life.door, "eve@example.org").await;
        life.stop();
        deployment.put_back(&backup);
        assert_eq!(deployment.refused().code, "state_older");

        assert_eq!(restore(&deployment.data), 1);
        let (life, _) = started(&deployment);
        // Evidence is good, and the client knows before it asks for a PIN.
        let attested = ann.attested(&life.door).await;
        assert_eq!(attested.restored(), Some(1));
        let told = attested.verify_pin(&pin(PIN)).await;
        assert!(matches!(told, Err(OperationError::Receipt(ReceiptError::Restored { shown: 1 }))), "{told:?}");
        // A device that remembers nothing gets no further.
        let stranger = ann.another_device(&life.door).await;
        let enrolled = stranger.attested(&life.door).await.enrol_device(&pin(PIN), "thief").await;
        assert!(is_refused(&enrolled, Refusal::RestoreNotAccepted), "{enrolled:?}");

        assert!(matches!(attested.accept_restore().await, Ok(Acceptance::Device(_))));
        assert!(is_wrong_pin(&attested.verify_pin(&pin(WRONG_PIN)).await));
        let tried = attested.verify_pin(&pin(PIN)).await;
        assert!(is_refused(&tried, Refusal::RestoreTried), "{tried:?}");
        // Eve came after the backup: nobody knows her. Signed up anew she is another user, and this device trusts her old wallet alone.
        let eve = eve.signed_up_again(&life.door).await;
        let accepted = eve.attested(&life.door).await.accept_restore().await;
        assert!(matches!(accepted, Err(OperationError::WalletChanged)), "{accepted:?}");
        let fresh = eve.another_device(&life.door).await;
        let eves = fresh.attested(&life.door).await;
        assert!(eves.register(&new_pin(PIN), Words::Twelve, "laptop").await.is_ok());
        assert!(eves.verify_pin(&pin(PIN)).await.is_ok());
        // Bob takes his time.
        let bobs = bob.attested(&life.door).await;
        assert!(matches!(bobs.accept_restore().await, Ok(Acceptance::Device(_))));
        assert!(bobs.verify_pin(&pin(PIN)).await.is_ok());
        life.stop();

        // For Ann the operators restore once more: the same state, a new number, one more try for whoever accepts.
        assert_eq!(restore(&deployment.data), 2);
        let (life, _) = started(&deployment);
        let attested = ann.attested(&life.door).await;
        assert!(matches!(attested.accept_restore().await, Ok(Acceptance::Device(_))));
        assert_eq!(sign(&attested, PIN, b"restored").await.unwrap(), address);
        let before = status(&attested).await;
        assert_eq!(before.status.unenrolled_outstanding, 5, "what strangers tried since the backup, nobody knows");
        assert!(is_wrong_pin(&attested.verify_pin(&pin(WRONG_PIN)).await));
        assert!(attested.clear_tries(&pin(PIN)).await.is_ok());
        let cleared = status(&attested).await;
        assert_eq!((cleared.tries.left, cleared.status.unenrolled_outstanding), (5, 0), "open as ever");
        life.stop();

        // The backup alone is no state any more.
        deployment.put_back(&backup);
        assert_eq!(deployment.refused().code, "state_older");
        std::fs::remove_file(deployment.anchor()).unwrap();
        assert_eq!(deployment.refused().code, "anchor_missing");
    });
}

/// At L4 a log never goes back: the restored one is a log of its own, which each witness has to be told of.
#[test]
fn under_witnesses_a_restore_is_a_new_log_and_the_old_witnesses_may_be_gone() {
    runtime().block_on(async {
        let Stand { deployment, mut cosigners, scratch } = trusted();
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let backup = deployment.database();
        let life = deployment.start();
        assert!(is_wrong_pin(&ann.attested(&life.door).await.verify_pin(&pin(WRONG_PIN)).await));
        life.stop();
        let lost = scratch.path().join("said to be lost");
        copied(&deployment.host(), &lost);
        deployment.put_back(&backup);
        assert_eq!(deployment.refused().code, "state_older");

        // Half of the witnesses are lost with the database.
        cosigners[0].kill();
        cosigners[1].kill();
        let fresh: Vec<_> = (5..=6).map(|number| Cosigner::new(scratch.path(), number)).collect();
        let places: Vec<_> = fresh.iter().map(place).collect();
        let names: Vec<_> = cosigners[..2].iter().map(|one| one.key.name().to_owned()).collect();
        let data = deployment.data.to_str().unwrap();
        let mut command = vec!["restore", "--yes", "--json", "--data", data];
        command.extend(places.iter().flat_map(|place| ["--add-witness", place]));
        command.extend(names.iter().flat_map(|name| ["--remove-witness", name]));
        let done = run(&command);
        let said: Value = serde_json::from_slice(&done.stderr).unwrap_or_else(|_| panic!("{done:?}"));
        assert_eq!(said["error"]["code"], "witnesses", "nobody knows the new log: {said}");
        let log = said.to_string();
        let from = log.find("pinseal.dev/").unwrap();
        let log: String = log[from..].chars().take_while(|c| !matches!(c, '\'' | '"' | '\\')).collect();
        assert!(log.contains("/1+"), "{log}");
        for one in cosigners[2..].iter().chain(&fresh) {
            witness(&["trust", &log], &one.directory);
        }
        let (life, finished) = started(&deployment);
        assert!(finished, "what was in the log is finished by the next start");
        assert_eq!(std::fs::read_to_string(deployment.host().join("log.vkey")).unwrap().trim(), log);
        let attested = ann.attested(&life.door).await;
        assert_eq!((attested.restored(), attested.manifest().anchor), (Some(1), AnchorLevel::L4));
        assert!(matches!(attested.accept_restore().await, Ok(Acceptance::Device(_))));
        assert_eq!(sign(&attested, PIN, b"restored").await.unwrap(), address);
        life.stop();
        let life = deployment.start();
        assert!(ann.attest(&life.door).await.is_ok_and(|attested| attested.restored().is_none()));
        life.stop();

        // Whoever kept all that was there before it, the witnesses that went too, gets no quorum for it from those that stayed.
        std::fs::remove_dir_all(deployment.host()).unwrap();
        copied(&lost, &deployment.host());
        cosigners[0].start();
        cosigners[1].start();
        let Err(refused) = deployment.try_start(None) else { panic!("it serves") };
        assert_eq!((refused.code.as_str(), refused.enclave), ("witnesses", Some(UNTRIED)), "{refused:?}");
        assert!(refused.sentence.contains("cosigns this log no more"), "{refused:?}");
    });
}

/// The host's directory belongs to the host's user; the command runs as root and touches nothing in it.
#[test]
fn a_host_of_its_own_user_is_changed_by_that_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let deployment = Deployment::new();
    let data = deployment.data.to_str().unwrap();
    std::process::Command::new("chown").args(["-R", "nobody", deployment.host().to_str().unwrap()]).status().unwrap();
    for path in [deployment.scratch(), &deployment.data] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let root = std::fs::read(deployment.host().join(ROOT)).unwrap();
    let done =
        run(&["config", "change", "--yes", "--json", "--new-issuer-key", "--host-user", "nobody", "--data", data]);
    assert!(done.status.success(), "{done:?}");
    assert_ne!(std::fs::read(deployment.host().join(ROOT)).unwrap(), root);
    let nobody = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(deployment.host()).unwrap());
    for entry in std::fs::read_dir(deployment.host()).unwrap() {
        let entry = entry.unwrap();
        let owner = std::os::unix::fs::MetadataExt::uid(&entry.metadata().unwrap());
        assert_eq!(owner, nobody, "{}", entry.path().display());
    }
}
