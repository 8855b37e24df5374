//! What those who run a witness or make a deployment are told.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::process::{Up, code, command, json, run, run_on_terminal, run_with_secrets, text};

#[test]
fn a_witness_that_is_there_is_named_and_the_way_to_it_is_told_with_its_directory() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let init = ["witness", "init", "--directory", "W 1", "--name", "witness.test/w1"];
    let made = run(here, &init);
    assert_eq!(code(&made), 0, "{}", text(&made));
    for command in ["witness trust --directory 'W 1' VKEY", "witness serve --directory 'W 1'"] {
        assert!(text(&made).contains(command), "{command:?} is not in {}", text(&made));
    }
    let key = json(&run(here, &["witness", "status", "--directory", "W 1", "--json"]))["verifier_key"].clone();
    let again = run(here, &init);
    assert_eq!(code(&again), 1);
    for words in ["exists", key.as_str().unwrap(), "nothing was changed", "witness status --directory 'W 1'"] {
        assert!(text(&again).contains(words), "{words:?} is not in {}", text(&again));
    }
    let shown = run(here, &["witness", "status", "--directory", "W 1"]);
    assert!(text(&shown).contains("witness trust --directory 'W 1' VKEY"), "{}", text(&shown));
    // Whoever may put an older file there makes a witness forget.
    let open = |mode| std::fs::set_permissions(here.join("W 1"), Permissions::from_mode(mode)).unwrap();
    open(0o770);
    let serve = ["witness", "serve", "--directory", "W 1", "--listen", "127.0.0.1:0"];
    for arguments in [&init[..], &["witness", "status", "--directory", "W 1"], &serve] {
        let refused = run(here, arguments);
        assert!(code(&refused) == 1 && text(&refused).contains("somebody else can have written"), "{}", text(&refused));
    }
    open(0o700);
    // Whoever forgets the directory is told that there is such an option.
    let missing = run(here, &["witness", "status"]);
    assert_eq!(code(&missing), 1);
    assert!(text(&missing).contains("--directory"), "{}", text(&missing));
}

#[test]
fn a_witness_that_lost_its_memory_does_nothing_more_under_its_key() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let init = ["witness", "init", "--directory", "W", "--name", "witness.test/w1"];
    assert_eq!(code(&run(here, &init)), 0);
    let log = json(&run(here, &["init", "--json", "--data", "D"]))["log_verifier_key"].as_str().unwrap().to_owned();
    let trust = ["witness", "trust", "--directory", "W", &log];
    assert_eq!(code(&run(here, &trust)), 0);
    std::fs::rename(here.join("W/witness.key"), here.join("key")).unwrap();
    let anew = run(here, &init);
    assert!(code(&anew) == 1 && text(&anew).contains("memory already"), "another key over it: {}", text(&anew));
    std::fs::rename(here.join("key"), here.join("W/witness.key")).unwrap();
    for file in ["witness.sqlite", "witness.sqlite-wal", "witness.sqlite-shm"] {
        let _ = std::fs::remove_file(here.join("W").join(file));
    }
    let serve = ["witness", "serve", "--directory", "W", "--listen", "127.0.0.1:0"];
    for arguments in [&trust[..], &["witness", "status", "--directory", "W"], &serve] {
        let refused = run(here, arguments);
        assert_eq!(code(&refused), 1, "{}", text(&refused));
        for words in ["memory is missing", "never an older copy", "witness init"] {
            assert!(text(&refused).contains(words), "{words:?} is not in {}", text(&refused));
        }
        assert!(!here.join("W/witness.sqlite").exists(), "{arguments:?} makes one");
    }
}

#[test]
fn a_deployment_that_cannot_be_sealed_to_its_tpm_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let made = run(scratch.path(), &["init", "--data", "D", "--tpm", "tcp://127.0.0.1:1"]);
    assert_eq!(code(&made), 1, "{}", text(&made));
    assert!(text(&made).contains("code: tpm"), "{}", text(&made));
    let data = scratch.path().join("D");
    for name in ["passphrase", "host/server.toml", "host/issuer.p8", "host/configuration.cbor"] {
        assert!(!data.join(name).exists(), "{name}");
    }
}

#[test]
fn a_passphrase_that_no_root_was_sealed_with_is_not_left_behind() {
    let scratch = tempfile::tempdir().unwrap();
    // The database's place is taken, so the host cannot make the deployment.
    std::fs::create_dir_all(scratch.path().join("D/host/pinseal.sqlite")).unwrap();
    let made = run(scratch.path(), &["init", "--data", "D"]);
    assert_eq!(code(&made), 1, "{}", text(&made));
    assert!(!scratch.path().join("D/passphrase").exists(), "{}", text(&made));
}

#[test]
fn who_seals_a_deployment_to_witnesses_of_which_none_may_fail_is_warned_before() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let place = |number: u8| {
        let (directory, name) = (format!("w{number}"), format!("witness.test/w{number}"));
        let made = json(&run(here, &["witness", "init", "--json", "--directory", &directory, "--name", &name]));
        format!("{} http://127.0.0.1:1", made["verifier_key"].as_str().unwrap())
    };
    let (one, two, three) = (place(1), place(2), place(3));
    let all = ["--witness", &one, "--witness", &two, "--witness", &three];
    let init = |data: &str, more: &[&str]| text(&run(here, &[&["init", "--data", data], &all[..], more].concat()));
    let warned = init("D", &[]);
    assert!(warned.contains("warning: all 3 witnesses have to cosign every step, so none may fail"), "{warned}");
    let spared = init("E", &["--witnesses-required", "2"]);
    assert!(spared.contains("is ready in") && !spared.contains("none may fail"), "{spared}");
}

/// A process that a failed assertion leaves behind is killed.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawned(command: &mut Command) -> Running {
    Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

#[test]
fn a_first_start_waits_until_its_witnesses_know_the_log_and_a_program_is_told_at_once() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    json(&run(here, &["witness", "init", "--json", "--name", "witness.test/w1"]));
    let serve = |at: &str| {
        let mut witness = spawned(&mut command(here, &["witness", "serve", "--json", "--listen", at]));
        let mut said = String::new();
        BufReader::new(witness.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let said: Value = serde_json::from_str(&said).unwrap();
        (witness, said["url"].as_str().unwrap().to_owned())
    };
    let (witness, url) = serve("127.0.0.1:0");
    let key = json(&run(here, &["witness", "status", "--json"]))["verifier_key"].clone();
    let place = format!("{} {url}", key.as_str().unwrap());
    let log = json(&run(here, &["init", "--json", "--witness", &place]))["log_verifier_key"].clone();
    drop(witness);

    let up =
        |more: &[&str]| command(here, &[&["up", "--port", "0", "--mailbox-port", "0", "--no-dev-node"], more].concat());
    let refused = up(&["--json"]).output().unwrap();
    let error: Value = serde_json::from_slice(&refused.stderr).unwrap_or_else(|_| panic!("{}", text(&refused)));
    assert_eq!((code(&refused), error["error"]["code"].as_str()), (1, Some("witnesses")), "{error}");

    // The app that was made for it is not made anew each time.
    let offered = || -> Value {
        let text = std::fs::read_to_string(here.join("pinseal-data/client.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["app_id"].clone()
    };
    let app = offered();
    // First nobody answers, then somebody who does not know the log, and at last a witness that does.
    let mut system = spawned(&mut up(&[]));
    let mut told = BufReader::new(system.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut waits = |why: &str| {
        let found = told.find(|line| line.contains(why));
        assert!(found.is_some() && told.any(|line| line.contains("waiting for a quorum of the witnesses")), "{why}");
    };
    waits("0 of 1");
    let (_witness, _) = serve(url.strip_prefix("http://").unwrap());
    waits("does not know this log");
    json(&run(here, &["witness", "trust", "--json", log.as_str().unwrap()]));
    let mut shown = BufReader::new(system.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(shown.any(|line| line.contains("Pinseal is running")));
    assert!(app.is_string() && offered() == app);
    kill_process(Pid::from_child(&system.0), Signal::TERM).unwrap();
    assert_eq!(system.0.wait().unwrap().code(), Some(0));

    // A log ends by its witness's operator, who agrees; at once, and for good.
    let end = |more: &[&str]| run(here, &[&["witness", "end", "--json", log.as_str().unwrap()], more].concat());
    let ended = || json(&run(here, &["witness", "status", "--json"]))["logs"][0]["ended"].clone();
    assert_eq!((code(&end(&[])), ended()), (8, Value::Bool(false)));
    assert_eq!((json(&end(&["--yes"]))["ended"].clone(), ended()), (Value::Bool(true), Value::Bool(true)));
    let refused = up(&["--json"]).output().unwrap();
    assert!(code(&refused) == 1 && text(&refused).contains("cosigns this log no more"), "{}", text(&refused));
}

#[test]
fn a_pin_given_before_what_protects_it_was_changed_goes_nowhere_and_programs_are_told_until_a_person_is() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let up = |port: &str| {
        Up::run(here, command(here, &["up", "--json", "--port", port, "--mailbox-port", "0", "--no-dev-node"]))
    };
    let with = |arguments: &[&str], secret: &str| run_with_secrets(here, arguments, secret, "");
    let system = up("0");
    let port = system.text("server").rsplit_once(':').unwrap().1.to_owned();
    json(&with(&["login", "ada@example.org", "--sign-up", "--json", "--password-fd", "3"], "correct horse 1\n"));
    json(&with(&["wallet", "create", "--json", "--pin-fd", "3"], "482913\n"));
    let change = |breaker: &str| {
        json(&run(here, &["config", "change", "--breaker", breaker, "--yes", "--json", "--data", "pinseal-data"]));
    };

    // It has seen the old protection, and waits for the PIN.
    let mut signing = command(here, &["sign-message", "shown first", "--yes", "--pin-fd", "0"]);
    let mut signing = spawned(signing.stdin(Stdio::piped()));
    let mut told = BufReader::new(signing.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(told.any(|line| line.contains("shown first")));
    assert_eq!(system.end(Signal::TERM), Some(0));
    change("7777");
    let system = up(&port);
    signing.0.stdin.take().unwrap().write_all(b"482913\n").unwrap();
    let told = told.collect::<Vec<_>>().join("\n");
    let mut signature = String::new();
    signing.0.stdout.take().unwrap().read_to_string(&mut signature).unwrap();
    assert_eq!(signing.0.wait().unwrap().code(), Some(7), "{told}");
    assert!(told.contains("code: protection_changed") && told.contains("have changed this service's"), "{told}");
    assert!(!signature.contains("0x"), "{signature}");
    let notice = || {
        let signed = with(&["sign-message", "shown first", "--yes", "--json", "--pin-fd", "3"], "482913\n");
        assert!(json(&signed)["signature"].is_string());
        (!signed.stderr.is_empty())
            .then(|| serde_json::from_slice::<Value>(&signed.stderr).unwrap()["notice"]["code"].clone())
    };
    assert_eq!((notice(), notice()), (Some("protection_changed".into()), Some("protection_changed".into())));
    // Text that goes to a file or a pipe has perhaps been seen by nobody.
    assert!(text(&run(here, &["status"])).contains("have changed this service's"));
    assert_eq!(notice(), Some("protection_changed".into()));
    assert!(text(&run_on_terminal(here, &["status"])).contains("have changed this service's"));
    assert_eq!(notice(), None);
    assert!(!text(&run_on_terminal(here, &["status"])).contains("have changed this service's"));
    assert_eq!(system.end(Signal::TERM), Some(0));
}

#[test]
fn whoever_mistypes_the_one_try_of_a_restore_is_told_what_gives_another() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let up = || Up::run(here, command(here, &["up", "--json", "--port", "0", "--mailbox-port", "0", "--no-dev-node"]));
    let with = |arguments: &[&str], secret: &str| run_with_secrets(here, arguments, secret, "");
    let system = up();
    json(&with(&["login", "ada@example.org", "--sign-up", "--json", "--password-fd", "3"], "correct horse 1\n"));
    json(&with(&["wallet", "create", "--json", "--pin-fd", "3"], "482913\n"));
    assert_eq!(system.end(Signal::TERM), Some(0));
    let restored = json(&run(here, &["restore", "--yes", "--json", "--data", "pinseal-data"]));
    assert_eq!(restored["restores"], 1);
    let system = up();
    // What there is to show is shown, to programs, too.
    let shown = run(here, &["status", "--json"]);
    assert_eq!(code(&shown), 7, "{}", text(&shown));
    let status: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&status["restore_to_accept"], &status["anchor"]["restores"]), (&Value::from(1), &Value::from(1)));
    assert!(status["wallets"] == 1 && status["wallet"].is_null(), "{status}");
    json(&run(here, &["accept-restore", "--yes", "--json"]));

    let another = |output: &std::process::Output| {
        let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|_| panic!("{}", text(output)));
        let advice = error["error"]["advice"].as_str().unwrap().to_owned();
        for words in ["another enrolled device", "accept-restore", "operators"] {
            assert!(advice.contains(words) && !advice.contains("devices clear"), "{words:?} is not in {advice:?}");
        }
        error["error"]["code"].as_str().unwrap().to_owned()
    };
    let verify = ["pin", "verify", "--json", "--pin-fd", "3"];
    let wrong = with(&verify, "193745\n");
    assert_eq!((code(&wrong), another(&wrong).as_str()), (3, "wrong_pin"));
    let late = with(&verify, "482913\n");
    assert_eq!((code(&late), another(&late).as_str()), (4, "restore_tried"));
    let way = run(here, &["status"]);
    assert!(code(&way) == 0 && text(&way).contains("accept-restore"), "{}", text(&way));
    assert_eq!(system.end(Signal::TERM), Some(0));
}
