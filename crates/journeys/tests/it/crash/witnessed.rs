//! L4: four real witnesses, three of which must cosign, under a deployment that dies, forks and is put back.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use pinseal_client::{Attested, OperationError};
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::cosignature::{Quorum, Witness};
use pinseal_protocol::note::VerifierKey;
use serde_json::Value;
use tempfile::TempDir;

use super::deployment::{CONFIGURATION, Deployment, Life, UNTRIED, run};
use super::process::program;
use super::user::{PIN, User, WRONG_PIN, is_wrong_pin, pin, runtime, sign, status};

const REQUIRED: u8 = 3;

/// One `pinseal witness serve`; killed when dropped.
pub struct Cosigner {
    pub directory: PathBuf,
    pub key: VerifierKey,
    /// Address and port, the same in every life.
    pub at: String,
    child: Option<Child>,
}

impl Cosigner {
    pub fn new(scratch: &Path, number: u8) -> Self {
        let directory = scratch.join(format!("witness{number}"));
        let name = format!("witness.test/w{number}");
        let made = witness(&["init", "--name", &name], &directory);
        let mut cosigner = Self {
            key: made["verifier_key"].as_str().unwrap().parse().unwrap(),
            directory,
            at: "127.0.0.1:0".into(),
            child: None,
        };
        cosigner.start();
        cosigner
    }

    pub fn start(&mut self) {
        let mut child = Command::new(program("pinseal"))
            .args(["witness", "serve", "--json", "--listen", &self.at, "--directory"])
            .arg(&self.directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        said["url"].as_str().unwrap().strip_prefix("http://").unwrap().clone_into(&mut self.at);
        self.child = Some(child);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Takes what it remembers away while it is dead, as no command does.
    pub fn forget(&self) {
        let memory = rusqlite::Connection::open(self.directory.join("witness.sqlite")).unwrap();
        memory.execute_batch("DELETE FROM cosigned; DELETE FROM logs").unwrap();
    }

    fn size(&self) -> u64 {
        witness(&["status"], &self.directory)["logs"][0]["size"].as_u64().unwrap()
    }

    /// Puts an older copy of its directory in place while it is dead.
    fn put_back(&mut self, older: &Path) {
        self.kill();
        std::fs::remove_dir_all(&self.directory).unwrap();
        copy(older, &self.directory);
        self.start();
    }
}

impl Drop for Cosigner {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn witness(command: &[&str], directory: &Path) -> Value {
    let mut arguments = vec!["witness"];
    arguments.extend(command);
    arguments.extend(["--json", "--directory", directory.to_str().unwrap()]);
    let done = run(&arguments);
    assert!(done.status.success(), "{done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap().path();
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() { copy(&entry, &target) } else { std::fs::copy(&entry, &target).map(drop).unwrap() }
    }
}

pub struct Stand {
    pub deployment: Deployment,
    pub cosigners: Vec<Cosigner>,
    pub scratch: TempDir,
}

/// For whoever kills and puts back: one witness that may be rolled back, another that may be down, two that are left alone.
impl Stand {
    fn kept(&self) -> PathBuf {
        self.scratch.path().join("kept")
    }

    /// Keeps a copy of the first witness's directory.
    pub fn keep_first_witness(&mut self) {
        let kept = self.kept();
        if kept.exists() {
            std::fs::remove_dir_all(&kept).unwrap();
        }
        self.cosigners[0].kill();
        copy(&self.cosigners[0].directory, &kept);
        self.cosigners[0].start();
    }

    /// Puts that copy back, if there is one.
    pub fn put_first_witness_back(&mut self) {
        let kept = self.kept();
        if kept.exists() {
            self.cosigners[0].put_back(&kept);
        }
    }

    pub fn kill_second_witness(&mut self) {
        self.cosigners[1].kill();
    }

    /// Starts those that do not run.
    pub fn start_all(&mut self) {
        self.cosigners.iter_mut().filter(|one| one.child.is_none()).for_each(Cosigner::start);
    }
}

/// A deployment sealed to three of four witnesses, none of which knows it yet.
fn sealed() -> Stand {
    let scratch = tempfile::tempdir().unwrap();
    let cosigners: Vec<_> = (1..=4).map(|number| Cosigner::new(scratch.path(), number)).collect();
    let deployment = Deployment::prepared(|host| {
        let path = host.join(CONFIGURATION);
        let mut configuration: Configuration = cbor::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let witnesses = cosigners.iter().map(|one| Witness::from_verifier_key(&one.key).unwrap()).collect();
        (configuration.anchor, configuration.floor) = (AnchorLevel::L4, AnchorLevel::L4);
        configuration.witnesses = Some(Quorum { required: REQUIRED, witnesses });
        std::fs::write(path, cbor::to_vec(&configuration)).unwrap();
        let settings = host.join("server.toml");
        let mut text = std::fs::read_to_string(&settings).unwrap();
        text.push_str("\n[witnesses]\n");
        for one in &cosigners {
            text.push_str(&format!("\"{}\" = \"http://{}\"\n", one.key.name(), one.at));
        }
        std::fs::write(settings, text).unwrap();
    });
    Stand { deployment, cosigners, scratch }
}

pub fn trusted() -> Stand {
    let stand = sealed();
    let log = std::fs::read_to_string(stand.deployment.host().join("log.vkey")).unwrap();
    for one in &stand.cosigners {
        witness(&["trust", &log], &one.directory);
    }
    stand
}

/// Both ended by themselves; the host's last word, and the enclave's exit code.
fn last_word(mut life: Life) -> (Value, Option<i32>) {
    let word = life.word();
    assert_eq!(life.host.ended().code(), Some(1), "{word}");
    let enclave = life.enclave.ended().code();
    (word, enclave)
}

/// A proxy in front of all of them that has lost its backends: that is no end of anything.
#[test]
fn witnesses_that_answer_as_if_nothing_were_known_are_waited_for_and_then_it_goes_on() {
    runtime().block_on(async {
        let stand = trusted();
        let life = stand.deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = proxy.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for mut stream in proxy.incoming().flatten() {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        let settings = stand.deployment.host().join("server.toml");
        let good = std::fs::read_to_string(&settings).unwrap();
        let behind = stand.cosigners.iter().fold(good.clone(), |text, one| text.replace(&one.at, &at));
        std::fs::write(&settings, behind).unwrap();
        let refused = stand.deployment.refused();
        // The code that `pinseal up` waits at, and the exit code that lets it.
        assert_eq!((refused.code.as_str(), refused.enclave), ("witnesses", Some(UNTRIED)), "{refused:?}");
        assert!(refused.sentence.contains("hold nothing of this log"), "{refused:?}");
        std::fs::write(&settings, good).unwrap();
        let life = stand.deployment.start();
        assert_eq!(sign(&ann.attested(&life.door).await, PIN, b"they are back").await.unwrap(), address);
        life.stop();
    });
}

#[test]
fn a_log_that_witnesses_do_not_know_is_not_served_and_the_operator_is_told_which_key_to_hand_out() {
    let stand = sealed();
    // The genesis is in the database already, so this is not a refusal that leaves everything as it was.
    let refused = stand.deployment.try_start(None).map(|_| ()).unwrap_err();
    assert_eq!(refused.code, "witnesses", "{refused:?}");
    assert!(refused.sentence.contains("0 of 3 cosignatures"), "{refused:?}");
    for one in &stand.cosigners {
        assert!(refused.sentence.contains(&format!("{} does not know this log", one.key.name())), "{refused:?}");
    }
}

#[test]
fn a_minority_of_witnesses_may_be_dead_and_without_a_quorum_no_pin_is_judged() {
    runtime().block_on(async {
        let mut stand = trusted();
        let life = stand.deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        stand.cosigners[0].kill();
        let attested = ann.attested(&life.door).await;
        assert_eq!(attested.manifest().anchor, AnchorLevel::L4);
        assert_eq!(attested.manifest().witnesses.as_ref().unwrap().witnesses.len(), 4);
        assert_eq!(sign(&attested, PIN, b"three of four").await.unwrap(), address);
        shows_its_anchor(&life.door.url, &stand.cosigners).await;

        stand.cosigners[1].kill();
        let answer = attested.verify_pin(&pin(WRONG_PIN)).await;
        assert!(!is_wrong_pin(&answer) && answer.is_err(), "no verdict leaves: {answer:?}");
        let (word, enclave) = last_word(life);
        // Nobody can have gained a guess by it, so that the supervisor need not count it.
        assert_eq!((word["failed"]["code"].as_str(), enclave), (Some("witnesses"), Some(UNTRIED)), "{word}");
        assert!(word["failed"]["sentence"].as_str().unwrap().contains("2 of 3 cosignatures"), "{word}");
        assert!(
            word["failed"]["advice"].as_str().unwrap().contains("a quorum of the witnesses has to answer"),
            "{word}"
        );
        let refused = stand.deployment.try_start(None).map(|_| ()).unwrap_err();
        let told = (refused.host, refused.enclave, refused.code.as_str());
        assert_eq!(told, (Some(1), Some(UNTRIED), "witnesses"), "{refused:?}");
        assert!(refused.advice.contains("a quorum of the witnesses has to answer"), "{refused:?}");

        // With a quorum again it goes on where it stood: the charge that was stored stands, nothing else is lost.
        stand.cosigners[1].start();
        let life = stand.deployment.start();
        let attested = ann.attested(&life.door).await;
        assert_eq!(status(&attested).await.tries.left, 4, "charged, and never answered");
        assert_eq!(sign(&attested, PIN, b"after").await.unwrap(), address);
        stand.cosigners[0].start();
        assert_eq!(sign(&attested, PIN, b"all four").await.unwrap(), address);
        let newest = stand.cosigners.iter().map(Cosigner::size).max().unwrap();
        assert!(stand.cosigners.iter().filter(|one| one.size() == newest).count() >= usize::from(REQUIRED));
        life.stop();
    });
}

/// With the first of four witnesses dead.
async fn shows_its_anchor(url: &str, cosigners: &[Cosigner]) {
    let ask = async |path: &str| reqwest::get(format!("{url}{path}")).await.unwrap().text().await.unwrap();
    let names: Vec<&str> = cosigners.iter().map(|one| one.key.name()).collect();
    let said: Value = serde_json::from_str(&ask("/readyz").await).unwrap();
    let anchor = &said["anchor"];
    assert_eq!((&said["anchor_level"], &anchor["level"]), (&"L4".into(), &"L4".into()), "{said}");
    assert!(anchor["level"].as_str() >= anchor["floor"].as_str(), "never below the floor: {said}");
    let shown = serde_json::json!({ "required": REQUIRED, "all": 4, "names": names, "cosigned": 3 });
    assert_eq!(anchor["witnesses"], shown);
    assert!(anchor["age_seconds"].as_u64().unwrap() < 300, "{anchor}");
    let metrics = ask("/metrics").await;
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in\n{metrics}")).parse().unwrap()
    };
    // Registration and one signature: one, two and two writes, each in a batch of its own.
    assert_eq!(value("pinseal_batches_total"), 5.0);
    for name in ["records", "wait_seconds", "store_seconds", "anchor_seconds"] {
        assert_eq!(value(&format!("pinseal_batch_{name}_count")), 5.0, "{name}");
        assert_eq!(value(&format!("pinseal_batch_{name}_bucket{{le=\"+Inf\"}}")), 5.0, "{name}");
    }
    assert_eq!(value("pinseal_batch_records_bucket{le=\"1\"}"), 5.0, "one record each");
    assert!(value("pinseal_batch_anchor_seconds_sum") > 0.0);
    assert_eq!(value("pinseal_enclave_witnesses_cosigned"), 3.0);
}

/// What L1 cannot promise: everything the operator has, put back whole, together with one witness's file.
#[test]
fn an_older_state_put_back_whole_with_a_minority_of_witnesses_is_refused_at_boot() {
    runtime().block_on(async {
        let mut stand = trusted();
        let life = stand.deployment.start();
        let (ann, _) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let (older, then) = (stand.deployment.database(), stand.deployment.stored());
        let kept = stand.scratch.path().join("older");
        stand.cosigners[2].kill();
        copy(&stand.cosigners[2].directory, &kept);
        stand.cosigners[2].start();

        let life = stand.deployment.start();
        let attested = ann.attested(&life.door).await;
        for _ in 0..2 {
            assert!(is_wrong_pin(&attested.verify_pin(&pin(WRONG_PIN)).await));
        }
        life.stop();
        let (newest, now) = (stand.deployment.database(), stand.deployment.stored());

        stand.deployment.put_back(&older);
        stand.cosigners[2].put_back(&kept);
        let refused = stand.deployment.refused();
        assert_eq!(refused.code, "state_older", "{refused:?}");
        let missing = format!("log entries {} to {} are missing", then.size + 1, now.size);
        assert!(refused.sentence.contains(&missing), "{refused:?}");

        stand.deployment.put_back(&newest);
        let life = stand.deployment.start();
        let attested = ann.attested(&life.door).await;
        assert_eq!(status(&attested).await.tries.left, 3, "two wrong PINs are not forgotten");
        life.stop();
    });
}

/// A copy of everything, booted beside the original: the original is fenced before it answers what it is asked next.
fn is_fenced_before_it_answers<T: core::fmt::Debug, E: core::fmt::Debug>(ask: impl AsyncFn(&Attested) -> Result<T, E>) {
    runtime().block_on(async {
        let stand = trusted();
        let life = stand.deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let first = stand.deployment.start();
        let there = ann.attested(&first.door).await;
        assert!(is_wrong_pin(&there.verify_pin(&pin(WRONG_PIN)).await));

        // The copy continues the log with its BOOT entry, so the original's next step continues nothing.
        let fork = stand.scratch.path().join("fork");
        copy(&stand.deployment.host(), &fork);
        let (second, word) = stand.deployment.launch_on(&fork, None);
        assert_eq!(word, "ready");
        let answer = ask(&there).await;
        assert!(answer.is_err(), "{answer:?}");
        let (word, _) = last_word(first);
        assert_eq!(word["failed"]["code"], "fenced", "{word}");

        let here = ann.attested(&second.door).await;
        assert_eq!(status(&here).await.tries.left, 4, "what was answered before the fork counts here");
        assert_eq!(sign(&here, PIN, b"one goes on").await.unwrap(), address);
        second.stop();
    });
}

#[test]
fn a_fork_beside_the_running_deployment_fences_one_of_the_two() {
    is_fenced_before_it_answers(async |there| match there.verify_pin(&pin(WRONG_PIN)).await {
        // Said by the enclave.
        Err(OperationError::WrongPin { tries }) => Ok(tries),
        answer => answer,
    });
}

/// What was tried since is in the log of the other one.
#[test]
fn a_fork_beside_the_running_deployment_is_shown_by_no_status_of_before() {
    is_fenced_before_it_answers(async |there| there.status().await);
}

#[test]
fn a_fork_beside_the_running_deployment_is_shown_by_no_history_of_before() {
    is_fenced_before_it_answers(async |there| there.history(None).await);
}
