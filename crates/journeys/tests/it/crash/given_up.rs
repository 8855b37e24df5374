//! A change that cannot be finished is given up by a restore of the state before it, whatever is left of its order.

use pinseal_client::operation::Acceptance;
use serde_json::Value;

use super::changed::{change, configuration, failed, place, started};
use super::deployment::{Deployment, copied, run, run_with_fault};
use super::user::{PIN, User, WRONG_PIN, is_wrong_pin, pin, runtime, sign};
use super::witnessed::{Cosigner, trusted, witness};

/// The old witnesses are lost after the change was stored and before they cosigned it: nothing finishes it any more.
#[test]
fn a_change_that_can_never_be_finished_is_given_up_by_a_restore_of_the_state_before_it() {
    runtime().block_on(async {
        let mut stand = trusted();
        let life = stand.deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        assert!(is_wrong_pin(&ann.attested(&life.door).await.verify_pin(&pin(WRONG_PIN)).await));
        life.stop();
        let data = stand.deployment.data.to_str().unwrap().to_owned();
        let before = (stand.deployment.stored(), configuration(&stand.deployment));
        let died =
            run_with_fault(&["config", "change", "--yes", "--breaker", "101", "--data", &data], "host.after_commit:1");
        assert!(!died.status.success(), "{died:?}");
        assert_eq!(stand.deployment.stored().size, before.0.size + 1);
        stand.cosigners.iter_mut().take(2).for_each(Cosigner::kill);

        let mut restore = vec!["restore", "--yes", "--json", "--data", &data, "--witnesses-required", "3"];
        let fresh = [5, 6].map(|number| Cosigner::new(stand.scratch.path(), number));
        let lost = [0, 1].map(|number: usize| stand.cosigners[number].key.name().to_owned());
        let places = fresh.each_ref().map(place);
        lost.iter().for_each(|name| restore.extend(["--remove-witness", name]));
        places.iter().for_each(|place| restore.extend(["--add-witness", place]));
        // Without being told to, a restore finishes the change first, and cannot.
        let stuck = run(&restore);
        assert!(!stuck.status.success(), "{stuck:?}");
        assert!(String::from_utf8_lossy(&stuck.stderr).contains("--give-up-change"), "{stuck:?}");
        assert_eq!(stand.deployment.stored().size, before.0.size + 1, "nothing is given up by the way");

        // Nor with another passphrase: whoever cannot order gives nothing up.
        let stored = stand.deployment.data.join("passphrase");
        let good = std::fs::read(&stored).unwrap();
        std::fs::write(&stored, "not the passphrase of this deployment\n").unwrap();
        let wrong = run(&[&restore[..], &["--give-up-change"]].concat());
        assert!(String::from_utf8_lossy(&wrong.stderr).contains("wrong_passphrase"), "{wrong:?}");
        std::fs::write(&stored, good).unwrap();
        assert_eq!(stand.deployment.stored().size, before.0.size + 1);

        // The witnesses know nothing of the restored log yet: the order stands, and the change is out of the log.
        restore.push("--give-up-change");
        let untold = run(&restore);
        assert!(!untold.status.success(), "{untold:?}");
        assert_eq!(configuration(&stand.deployment), before.1);
        let stored = stand.deployment.stored();
        assert_eq!(
            (stored.restores, stored.size, stored.previous),
            (1, before.0.size + 1, before.0.hash()),
            "it follows the state before the change"
        );
        // A restore that was begun is given up like any change, and the next has another number: some witness might know of the first.
        let again = run(&[&restore[..], &["--number", "1"]].concat());
        assert!(String::from_utf8_lossy(&again.stderr).contains("there were 1 restores already"), "{again:?}");
        // Also where that dies before it has ordered the next.
        assert!(!run_with_fault(&restore, "change.given_up:1").status.success());
        assert_eq!(stand.deployment.stored(), before.0);
        let again = run(&restore[..restore.len() - 1]);
        assert!(!again.status.success(), "{again:?}");
        let stored = stand.deployment.stored();
        assert_eq!((stored.restores, stored.size, stored.previous), (2, before.0.size + 1, before.0.hash()));
        let again = run(&restore);
        assert!(!again.status.success(), "{again:?}");
        let said = String::from_utf8_lossy(&again.stderr).into_owned();
        assert!(said.contains("the earlier change is out of the log; the restore is ordered"), "{said}");
        let stored = stand.deployment.stored();
        assert_eq!((stored.restores, stored.size, stored.previous), (3, before.0.size + 1, before.0.hash()));
        let log = std::fs::read_to_string(stand.deployment.host().join("log.next.vkey")).unwrap();
        for one in stand.cosigners.iter().skip(2).chain(&fresh) {
            witness(&["trust", &log], &one.directory);
        }
        let (life, _) = started(&stand.deployment);
        let attested = ann.attested(&life.door).await;
        assert!(matches!(attested.accept_restore().await, Ok(Acceptance::Device(_))));
        let attested = ann.attested(&life.door).await;
        assert_eq!(sign(&attested, PIN, b"after all").await.unwrap(), address);
        life.stop();
        let after = configuration(&stand.deployment);
        assert_eq!(after.breaker, before.1.breaker, "the change did not happen");
        assert!(after.witnesses.unwrap().witnesses.iter().all(|one| !lost.contains(&one.name)));
    });
}

/// Giving up dies between log and order, and is asked for where there is nothing to give up.
#[test]
fn giving_up_a_change_may_die_and_be_asked_for_again() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let data = deployment.data.to_str().unwrap();
        let change = ["config", "change", "--yes", "--breaker", "101", "--data", data];
        let give_up = ["restore", "--yes", "--json", "--give-up-change", "--data", data];
        let code = |done: &std::process::Output| failed(done).0;
        // Nothing is in the log: an ordinary restore would close every wallet.
        assert_eq!(code(&run(&give_up)), "usage");
        // What can be finished is finished.
        let first = ["config", "change", "--yes", "--breaker", "100", "--data", data];
        assert!(!run_with_fault(&first, "host.after_commit:1").status.success());
        let finished: Value = serde_json::from_slice(&run(&give_up).stdout).unwrap();
        assert_eq!(
            (&finished["finished_earlier"], &finished["gave_up_change"]),
            (&true.into(), &false.into()),
            "{finished}"
        );
        deployment.start().stop();
        let (stored, sealed) = (deployment.stored(), configuration(&deployment));

        assert!(!run_with_fault(&change, "host.after_commit:1").status.success());
        assert_ne!(deployment.stored(), stored);
        // The anchor's disk is gone: nothing is given up before there is a place for what is restored.
        let (disk, place) = (deployment.scratch().join("disk"), deployment.host().join("anchor"));
        std::fs::rename(&place, &disk).unwrap();
        let changed = deployment.stored();
        let stuck = run(&give_up);
        assert!(
            code(&stuck) == "anchor" && String::from_utf8_lossy(&stuck.stderr).contains("nothing was given up"),
            "{stuck:?}"
        );
        assert_eq!(deployment.stored(), changed);
        std::fs::create_dir(&place).unwrap();
        assert!(!run_with_fault(&give_up, "change.given_up:1").status.success());
        assert_eq!(deployment.stored(), stored, "as it was before the change");
        std::fs::remove_dir_all(&place).unwrap();
        std::fs::rename(&disk, &place).unwrap();
        // It starts, as if nothing had been ordered: the anchor has not seen the change.
        let life = deployment.start();
        assert_eq!(sign(&ann.attested(&life.door).await, PIN, b"as before").await.unwrap(), address);
        life.stop();
        assert_eq!(configuration(&deployment), sealed);
        // Without the word a restore finishes what there is, and says that it restored nothing else.
        assert!(!run_with_fault(&change, "host.after_anchor:1").status.success());
        let finished = run(&["restore", "--yes", "--json", "--data", data]);
        let said: Value = serde_json::from_slice(&finished.stdout).unwrap();
        assert_eq!((&said["finished_earlier"], &said["restores"]), (&true.into(), &0.into()), "{said}");
        assert_eq!(configuration(&deployment).breaker, 101);
        deployment.start().stop();
    });
}

/// A copy of the disk was made while a change, or a restore, was half done; it was finished, and people went on. Then that copy is all that is left.
#[test]
fn what_was_half_done_in_a_copy_and_finished_elsewhere_is_given_up_by_a_restore_of_the_state_before_it() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let data = deployment.data.to_str().unwrap();
        let restore = ["restore", "--yes", "--json", "--data", data];
        let give_up = [&restore[..], &["--give-up-change"]].concat();
        let change = ["config", "change", "--yes", "--breaker", "101", "--data", data];
        for (command, code, number) in [(&change[..], "state_older", 1), (&restore, "restored_since", 3)] {
            assert!(!run_with_fault(command, "host.after_commit:1").status.success());
            let half = deployment.scratch().join(code);
            copied(&deployment.host(), &half);
            let (life, finished) = started(&deployment);
            assert!(finished);
            if code == "restored_since" {
                let accepted = ann.attested(&life.door).await.accept_restore().await;
                assert!(matches!(accepted, Ok(Acceptance::Device(_))));
            }
            assert_eq!(sign(&ann.attested(&life.door).await, PIN, b"went on").await.unwrap(), address);
            life.stop();
            // The anchor lives on a disk of its own.
            std::fs::remove_dir_all(half.join("anchor")).unwrap();
            copied(&deployment.host().join("anchor"), &half.join("anchor"));
            std::fs::remove_dir_all(deployment.host()).unwrap();
            copied(&half, &deployment.host());

            let stuck = failed(&run(&restore));
            assert!(stuck.0 == code && stuck.1.contains("--give-up-change"), "{stuck:?}");
            let done = run(&give_up);
            assert!(done.status.success(), "{done:?}");
            let said: Value = serde_json::from_slice(&done.stdout).unwrap();
            assert_eq!((&said["gave_up_change"], &said["restores"]), (&true.into(), &number.into()), "{said}");
            // It is finished, which here the enclave alone can tell.
            let stored = deployment.stored();
            let again = failed(&run(&give_up));
            assert!(again.0 == "state_mismatch" && again.1.contains("without --give-up-change"), "{again:?}");
            assert_eq!(deployment.stored(), stored);
            let (life, _) = started(&deployment);
            assert!(matches!(ann.attested(&life.door).await.accept_restore().await, Ok(Acceptance::Device(_))));
            assert_eq!(sign(&ann.attested(&life.door).await, PIN, b"and on").await.unwrap(), address);
            life.stop();
        }
        // A restore changes no configuration: without its order the log's name alone tells that it is half done.
        assert!(!run_with_fault(&restore, "host.after_commit:1").status.success());
        std::fs::remove_file(deployment.host().join("order.cbor")).unwrap();
        let to = deployment.scratch().join("backup");
        for command in [&restore[..], &["backup", "--json", "--data", data, "--to", to.to_str().unwrap()]] {
            let said = failed(&run(command));
            assert!(
                said.1.contains("its order is gone") && said.1.contains("--give-up-change"),
                "{command:?}: {said:?}"
            );
        }
        let said: Value = serde_json::from_slice(&run(&give_up).stdout).unwrap();
        assert_eq!((&said["gave_up_change"], &said["restores"]), (&true.into(), &5.into()), "{said}");
        started(&deployment).0.stop();
    });
}

/// It is in no log, so nothing comes of it: it keeps nobody from anything, and is taken away.
#[test]
fn an_order_that_is_damaged_before_it_is_carried_out_is_as_good_as_none() {
    let deployment = Deployment::new();
    let data = deployment.data.to_str().unwrap();
    let order = |breaker| ["config", "change", "--yes", "--json", "--breaker", breaker, "--data", data];
    let files = ["order.cbor", "configuration.next.cbor"].map(|name| deployment.host().join(name));
    for (number, damaged) in files.iter().enumerate() {
        assert!(!run_with_fault(&order("101"), "host.before_commit:1").status.success());
        std::fs::write(damaged, b"damaged").unwrap();
        let shown = run(&["config", "show", "--json", "--data", data]);
        assert!(String::from_utf8_lossy(&shown.stdout).contains(r#""change_unfinished":false"#), "{shown:?}");
        let to = deployment.scratch().join(format!("backup {number}"));
        let made = run(&["backup", "--data", data, "--to", to.to_str().unwrap()]);
        assert!(made.status.success(), "{made:?}");
        if number == 0 {
            deployment.start().stop();
            assert!(files.iter().all(|file| !file.exists()));
        } else {
            change(&deployment.data, &["--breaker", "102"]);
            assert_eq!(configuration(&deployment).breaker, 102);
        }
    }
}

/// Without its order a change in the log is finished by nobody. That of a finished one is not there either: then the enclave knows.
#[test]
fn a_change_whose_order_is_lost_is_given_up_and_a_finished_one_is_not() {
    runtime().block_on(async {
        let mut stand = trusted();
        let life = stand.deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let data = stand.deployment.data.to_str().unwrap().to_owned();
        let give_up = ["restore", "--yes", "--json", "--give-up-change", "--data", &data];
        change(&stand.deployment.data, &["--breaker", "101"]);
        let finished = stand.deployment.stored();
        assert_eq!(failed(&run(&give_up)).0, "usage", "the configuration in force tells that it is finished");
        assert_eq!(stand.deployment.stored(), finished);
        stand.deployment.start().stop();

        let before = stand.deployment.stored();
        let next = ["config", "change", "--yes", "--breaker", "102", "--data", &data];
        for damage in [false, true] {
            let died = run_with_fault(&next, "host.after_commit:1");
            assert!(!died.status.success(), "{died:?}");
            let order = stand.deployment.host().join("order.cbor");
            if damage {
                std::fs::write(order, b"damaged").unwrap()
            } else {
                std::fs::remove_file(order).unwrap()
            }
            // Every command says what leads on, and none touches it.
            let to = stand.deployment.scratch().join("backup");
            for (command, code) in [
                (&["backup", "--json", "--data", &data, "--to", to.to_str().unwrap()][..], "backup"),
                (&["restore", "--yes", "--json", "--data", &data], "change"),
                (&["config", "change", "--yes", "--json", "--breaker", "103", "--data", &data], "change"),
            ] {
                let said = failed(&run(command));
                assert!(said.0 == code && said.1.contains("--give-up-change"), "{command:?}: {said:?}");
            }
            let shown = run(&["config", "show", "--json", "--data", &data]);
            assert!(String::from_utf8_lossy(&shown.stdout).contains(r#""change_unfinished":true"#), "{shown:?}");
            let shown = run(&["config", "show", "--data", &data]);
            assert!(String::from_utf8_lossy(&shown.stderr).contains("--give-up-change"), "{shown:?}");
            let refused = stand.deployment.refused();
            assert!(refused.code == "state_mismatch" && refused.advice.contains("--give-up-change"), "{refused:?}");
            let log = std::fs::read_to_string(stand.deployment.host().join("log.vkey")).unwrap();
            let restores = stand.deployment.stored().restores + 1;
            // The command says which log the witnesses have to be told of.
            let told = run(&["restore", "--give-up-change", "--data", &data]);
            let told = String::from_utf8_lossy(&told.stdout).into_owned();
            let key = told.lines().find_map(|line| line.trim().strip_prefix("log key")).unwrap().trim().to_owned();
            assert!(key.contains(&format!("/{restores}+")) && key != log, "{told}");
            stand.start_all();
            for one in &stand.cosigners {
                witness(&["trust", &key], &one.directory);
            }
            let done = run(&give_up);
            assert!(done.status.success(), "{done:?}");
            let said: Value = serde_json::from_slice(&done.stdout).unwrap();
            assert_eq!((&said["gave_up_change"], &said["restores"]), (&true.into(), &restores.into()), "{said}");
            let life = stand.deployment.start();
            let attested = ann.attested(&life.door).await;
            assert!(matches!(attested.accept_restore().await, Ok(Acceptance::Device(_))));
            assert_eq!(sign(&ann.attested(&life.door).await, PIN, b"given up").await.unwrap(), address);
            life.stop();
            assert_eq!(configuration(&stand.deployment).breaker, 101, "the change did not happen");
        }
        assert!(stand.deployment.stored().size > before.size);
    });
}
