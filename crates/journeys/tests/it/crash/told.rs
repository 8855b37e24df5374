//! What operators are told: what an order does, what became of one that failed, and that nothing of it was half written.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::changed::{change, started};
use super::deployment::{Deployment, run, run_with_fault};
use super::user::{User, WRONG_PIN, is_wrong_pin, pin, runtime, status};
use super::witnessed::{Cosigner, Stand, trusted, witness};

fn place(one: &Cosigner) -> String {
    format!("{} http://{}", one.key, one.at)
}

fn settings(deployment: &Deployment) -> String {
    std::fs::read_to_string(deployment.host().join("server.toml")).unwrap()
}

fn log_key(deployment: &Deployment) -> String {
    std::fs::read_to_string(deployment.host().join("log.vkey")).unwrap()
}

/// Runs an operators' command for people: what it prints, and what it says beside and at the end.
fn told(command: &[&str], data: &Path, more: &[&str]) -> (Output, String, String) {
    let done = run(&[command, &["--data", data.to_str().unwrap()], more].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).split_whitespace().collect::<Vec<_>>().join(" ");
    let (out, err) = (text(&done.stdout), text(&done.stderr));
    (done, out, err)
}

fn contains_all(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
}

#[test]
fn a_change_that_fails_writes_no_setting_and_a_finished_one_leaves_none_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let deployment = Deployment::new();
    let cosigners: Vec<_> = (1..=4).map(|number| Cosigner::new(scratch.path(), number)).collect();
    let places: Vec<_> = cosigners.iter().map(place).collect();
    let added: Vec<_> = places[..3].iter().flat_map(|place| ["--add-witness", place]).collect();
    let before = deployment.files();
    let (done, out, err) = told(&["config", "change", "--yes"], &deployment.data, &added);
    assert!(!done.status.success());
    for place in &places[..3] {
        contains_all(&out, &[place.as_str()]);
    }
    // Three of three: said before it is sealed.
    contains_all(
        &err,
        &[
            "warning: all 3 witnesses have to cosign",
            "nothing was changed",
            "0 of 3 cosignatures",
            "pinseal witness trust",
        ],
    );
    assert!(!err.contains("unknown"), "one true sentence: {err}");
    let after = deployment.files();
    for (path, content) in &before {
        assert!(path.to_str().unwrap().contains("sqlite") || after.get(path) == Some(content), "{}", path.display());
    }
    assert!(!after.keys().any(|path| path.to_str().unwrap().contains("next")), "{:?}", after.keys());

    let log = log_key(&deployment);
    for one in &cosigners {
        witness(&["trust", &log], &one.directory);
    }
    let (done, _, err) =
        told(&["config", "change", "--yes"], &deployment.data, &[&added[..], &["--witnesses-required", "2"]].concat());
    assert!(done.status.success() && !err.contains("warning"), "{err}");
    for place in &places[..3] {
        contains_all(&settings(&deployment), &[place.split_once(' ').unwrap().1]);
    }
    started(&deployment).0.stop();

    // One goes and another comes, and it dies with the new root on disk: the files alone finish it, the settings among them.
    let lost = cosigners[0].key.name();
    let data = deployment.data.to_str().unwrap();
    let swap = ["config", "change", "--yes", "--data", data, "--remove-witness", lost, "--add-witness", &places[3]];
    assert!(!run_with_fault(&swap, "change.after_root:1").status.success());
    assert!(settings(&deployment).contains(lost), "not before it is finished");
    deployment.start().stop();
    let settled = settings(&deployment);
    assert!(!settled.contains(lost) && settled.contains(cosigners[3].key.name()), "{settled}");
}

#[test]
fn a_restore_that_stops_is_ordered_says_so_and_is_undone_by_the_database_before_it() {
    runtime().block_on(async {
        let Stand { deployment, mut cosigners, scratch } = trusted();
        let life = deployment.start();
        let (ann, _) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let backup = deployment.database();
        let life = deployment.start();
        assert!(is_wrong_pin(&ann.attested(&life.door).await.verify_pin(&pin(WRONG_PIN)).await));
        life.stop();
        let newest = deployment.database();
        deployment.put_back(&backup);
        let fresh = Cosigner::new(scratch.path(), 5);
        let lost = cosigners[0].key.name().to_owned();
        cosigners[0].kill();
        let swap = ["--remove-witness", &lost, "--add-witness", &place(&fresh), "--witnesses-required", "4"];
        let (done, out, err) = told(&["restore", "--yes"], &deployment.data, &swap);
        assert!(!done.status.success());
        contains_all(&out, &[&format!("- {lost}"), &format!("+ {}", fresh.key.name())]);
        contains_all(
            &err,
            &[
                "warning: all 4 witnesses",
                "the restore is ordered and in this database's log",
                "pinseal witness trust",
                "`pinseal up`, or the same command again, finishes it",
                "put back the database that lay here before",
            ],
        );
        // It is, and the order with it: nothing of it is left to be carried out another day.
        deployment.put_back(&newest);
        cosigners[0].start();
        let life = deployment.start();
        assert_eq!(status(&ann.attested(&life.door).await).await.tries.left, 4);
        life.stop();
        assert!(!deployment.files().keys().any(|path| path.ends_with("order.cbor")));

        // And where nothing is lost, that is said before anything is done.
        let before = deployment.files();
        let (done, _, err) = told(&["restore"], &deployment.data, &[]);
        assert_eq!(done.status.code(), Some(8), "{err}");
        contains_all(&err, &["warning: nothing is lost here: the anchor holds this very state", "nobody to ask"]);
        assert_eq!(deployment.files(), before);
    });
}

#[test]
fn a_restore_that_waits_is_shown_with_everything_else() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let profile = deployment.scratch().join("profile");
        let state = |url: &str| {
            let app = deployment.app();
            let done = run(&[
                "status",
                "--development",
                "--server",
                url,
                "--app-id",
                &app.id,
                "--app-key",
                app.key.expose_secret(),
                "--profile",
                profile.to_str().unwrap(),
            ]);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (done.status.code(), text(&done.stdout), text(&done.stderr))
        };
        let life = deployment.start();
        let (code, out, err) = state(&life.door.url);
        assert_eq!(code, Some(0), "{err}");
        assert!(!out.contains("restores"), "{out}");
        life.stop();
        let restored = run(&["restore", "--yes", "--json", "--data", deployment.data.to_str().unwrap()]);
        assert!(restored.status.success(), "{restored:?}");
        let life = deployment.start();
        let (code, out, err) = state(&life.door.url);
        assert_eq!(code, Some(7), "{err}");
        contains_all(&out, &["Service", "checkpoint", "1 of an older state", "accept-restore", "Enclave"]);
        assert!(err.contains("state_restored"), "{err}");
        let said: Value = reqwest::get(format!("{}/readyz", life.door.url)).await.unwrap().json().await.unwrap();
        assert_eq!(said["anchor"]["restores"], 1, "{said}");
        life.stop();
    });
}

#[test]
fn a_breaker_changes_without_a_word_of_witnesses() {
    let deployment = Deployment::new();
    let before = settings(&deployment);
    change(&deployment.data, &["--breaker", "500"]);
    assert_eq!(settings(&deployment), before);
}
