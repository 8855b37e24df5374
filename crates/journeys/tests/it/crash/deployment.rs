//! A deployment on disk, and the lives of enclave and host on it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Output};
use std::sync::Arc;

use pinseal_anchor::{Anchor as _, FileAnchor};
use pinseal_client::{AppCredentials, Platform, SecretText};
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::pin::Argon2Parameters;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::process::{Process, Recipe, log, program};

/// The cheapest PIN factor a client accepts: these tests are about order, not about cost.
const PIN_COST: Argon2Parameters = Argon2Parameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

/// A deployment with one app, and the mail catcher its host sends to.
pub struct Deployment {
    scratch: TempDir,
    pub data: PathBuf,
    app: AppCredentials,
    mailbox: String,
    /// Started in front of the host: a tracer.
    pub wrapper: Vec<String>,
    _catcher: Process,
}

/// What a client needs to know of one life of a deployment.
#[derive(Clone)]
pub struct Door {
    pub url: String,
    pub app: Arc<AppCredentials>,
    /// Mailbox page.
    pub mailbox: String,
}

/// Enclave and host from start to end.
pub struct Life {
    pub enclave: Process,
    pub host: Process,
    pub door: Door,
    words: BufReader<ChildStdout>,
}

/// Why enclave and host did not start to serve.
#[derive(Debug)]
pub struct Refused {
    pub code: String,
    pub sentence: String,
    pub advice: String,
    /// Exit code of the host.
    pub host: Option<i32>,
    /// Exit code of the enclave.
    pub enclave: Option<i32>,
}

impl Deployment {
    pub fn new() -> Self {
        Self::prepared(|_| {})
    }

    /// As [`Deployment::new`], after `prepare` was shown the host's directory: there is nothing in it but configuration and keys.
    pub fn prepared(prepare: impl FnOnce(&Path)) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let data = scratch.path().join("data");
        init(&data);
        // The same again with cheaper PINs: without its root a deployment is made anew from the files that are there.
        let host = data.join("host");
        for gone in ["root.sealed", "log.vkey", "pinseal.sqlite", "anchor/checkpoint"] {
            std::fs::remove_file(host.join(gone)).unwrap();
        }
        for side in ["pinseal.sqlite-wal", "pinseal.sqlite-shm"] {
            let _ = std::fs::remove_file(host.join(side));
        }
        let mut configuration: Configuration =
            cbor::from_slice(&std::fs::read(host.join(CONFIGURATION)).unwrap()).unwrap();
        configuration.argon2 = PIN_COST;
        std::fs::write(host.join(CONFIGURATION), cbor::to_vec(&configuration)).unwrap();
        without_limits(&host.join("server.toml"));
        prepare(&host);
        if !host.join("root.sealed").exists() {
            init(&data);
        }
        let app = create_app(&data);
        let (catcher, mailbox, settings) = start_catcher(scratch.path());
        std::fs::write(scratch.path().join("settings"), settings).unwrap();
        Self { scratch, data, app, mailbox, wrapper: Vec::new(), _catcher: catcher }
    }

    pub fn app(&self) -> &AppCredentials {
        &self.app
    }

    pub fn host(&self) -> PathBuf {
        self.data.join("host")
    }

    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Starts enclave and host and waits until they serve.
    pub fn start(&self) -> Life {
        self.try_start(None).unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    /// As [`Deployment::start`], with a fault point armed.
    pub fn start_with(&self, fault: &str) -> Life {
        self.try_start(Some(fault)).unwrap_or_else(|refused| panic!("{fault}: {refused:?}"))
    }

    /// Starts enclave and host, which must refuse to serve and change no file of the deployment.
    pub fn refused(&self) -> Refused {
        // Any process that opens the database copies its log into the main file, as this one does now.
        drop(pinseal_store::Sqlite::open(&self.host().join("pinseal.sqlite")));
        let before = self.files();
        let refused = match self.try_start(None) {
            Err(refused) => refused,
            Ok(_) => panic!("it serves"),
        };
        let after = self.files();
        let changed: Vec<_> =
            before.keys().chain(after.keys()).filter(|name| before.get(*name) != after.get(*name)).collect();
        assert!(changed.is_empty(), "{changed:?} changed; {refused:?}");
        assert_ne!(refused.host, Some(0), "{refused:?}");
        assert!(!refused.sentence.is_empty(), "{refused:?}");
        refused
    }

    pub fn try_start(&self, fault: Option<&str>) -> Result<Life, Refused> {
        let (mut life, word) = self.launch(fault);
        if word == "ready" {
            return Ok(life);
        }
        let host = life.host.ended().code();
        let enclave = life.enclave.ended().code();
        let text = |name: &str| word["failed"][name].as_str().unwrap_or_default().to_owned();
        Err(Refused { code: text("code"), sentence: text("sentence"), advice: text("advice"), host, enclave })
    }

    /// Starts enclave and host and gives the host's first word, null if it ended without one.
    pub fn launch(&self, fault: Option<&str>) -> (Life, Value) {
        self.launch_on(&self.host(), fault)
    }

    /// As [`Deployment::launch`], over a copy of the host's directory.
    pub fn launch_on(&self, host_directory: &Path, fault: Option<&str>) -> (Life, Value) {
        let scratch = self.scratch();
        let (enclave_end, host_end) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let enclave = Recipe {
            name: "enclave",
            command: [program("pinseal-enclaved").to_str().unwrap(), "--socket-fd", "0", "--passphrase-fd", "3"]
                .map(str::to_owned)
                .to_vec(),
            connection: enclave_end.into(),
            hand: &self.data.join("passphrase"),
            listener: None,
            log: log(scratch, "enclave"),
            fault,
        }
        .start();
        let mut command = self.wrapper.clone();
        command.push(program("pinseal").to_str().unwrap().to_owned());
        command.extend(["serve", "--directory", host_directory.to_str().unwrap()].map(str::to_owned));
        command.extend(["--enclave-fd", "0", "--run-fd", "3", "--listen-fd", "4"].map(str::to_owned));
        let mut host = Recipe {
            name: "host",
            command,
            connection: host_end.into(),
            hand: &scratch.join("settings"),
            // The only copy goes to the host, so that nobody waits in line once it is gone.
            listener: Some(listener.into()),
            log: log(scratch, "host"),
            // Whatever wraps it looks into it, which it would let only root do.
            fault: fault.or((!self.wrapper.is_empty()).then_some("every.stay_dumpable:1")),
        }
        .start();
        let mut words = BufReader::new(host.output());
        let word = next_word(&mut words);
        let door = Door { url, app: Arc::new(self.app.duplicate()), mailbox: self.mailbox.clone() };
        (Life { enclave, host, door, words }, word)
    }

    /// Every file of the host's directory by its path, without the database's empty side files.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.host(), &mut files);
        files.retain(|path, content| {
            !(is_side_file(path) && (content.is_empty() || path.ends_with("pinseal.sqlite-shm")))
        });
        files
    }

    /// A copy of the database as it lies there; take it while the host is stopped.
    pub fn database(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = self.files();
        files.retain(|path, _| path.file_name().unwrap().to_str().unwrap().starts_with("pinseal.sqlite"));
        files
    }

    /// Puts a database back in place of what lies there.
    pub fn put_back(&self, database: &BTreeMap<PathBuf, Vec<u8>>) {
        for name in ["pinseal.sqlite", "pinseal.sqlite-wal", "pinseal.sqlite-shm"] {
            let _ = std::fs::remove_file(self.host().join(name));
        }
        for (path, content) in database {
            std::fs::write(path, content).unwrap();
        }
    }

    pub fn anchor(&self) -> PathBuf {
        self.host().join("anchor/checkpoint")
    }

    /// What the anchor holds, signed.
    pub fn anchored_note(&self) -> Vec<u8> {
        FileAnchor::new(&self.anchor()).load().unwrap().unwrap()
    }

    /// What the anchor holds.
    pub fn anchored(&self) -> Checkpoint {
        Checkpoint::read_unverified(&self.anchored_note()).unwrap()
    }

    /// The newest checkpoint of the database.
    pub fn stored(&self) -> Checkpoint {
        let database = pinseal_store::Sqlite::open(&self.host().join("pinseal.sqlite")).unwrap();
        pinseal_store::records::Records::new(database).newest().unwrap().unwrap().checkpoint
    }
}

/// Exit codes of an enclave whose host is gone: whether PINs were tested on its word alone (L0, L1), or none was.
const GONE: i32 = 0;
pub const UNTRIED: i32 = 77;

/// True for the exit code of an enclave that ended because its host did.
pub fn has_lost_its_host(code: Option<i32>) -> bool {
    matches!(code, Some(GONE | UNTRIED))
}

impl Life {
    /// Both end by themselves because the host is told to stop.
    pub fn stop(mut self) {
        self.host.signal(Signal::TERM);
        assert_eq!(self.host.ended().code(), Some(0), "{}", self.host.log());
        let code = self.enclave.ended().code();
        assert!(has_lost_its_host(code), "{code:?}\n{}", self.enclave.log());
    }

    /// The host's next word, null if it ends without one.
    pub fn word(&mut self) -> Value {
        next_word(&mut self.words)
    }
}

/// Name of the sealed configuration.
pub const CONFIGURATION: &str = "configuration.cbor";

fn next_word(words: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    words.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_default()
}

fn is_side_file(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.ends_with("-wal") || path.ends_with("-shm"))
}

fn collect(directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
}

/// Copies a directory with owners, modes and links. Where the other one is there, what has the same name in it is replaced.
pub fn copied(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-aT").args([from, to]).status().unwrap().success());
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// As [`run`], with a fault point armed in every process it starts.
pub fn run_with_fault(arguments: &[&str], fault: &str) -> Output {
    command(arguments).env("PINSEAL_FAULT", fault).output().unwrap()
}

/// Makes a deployment with a fault point armed, and must not say that it is done.
pub fn init_that_dies(data: &Path, fault: &str) {
    let made = command(&["init", "--data", data.to_str().unwrap()]).env("PINSEAL_FAULT", fault).output().unwrap();
    assert!(!made.status.success(), "{fault}: {made:?}");
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program("pinseal"));
    command.args(arguments).env("NO_COLOR", "1").env_remove("PINSEAL_FAULT").env_remove("PINSEAL_SMTP");
    command
}

/// Makes a deployment.
pub fn init(data: &Path) {
    let made = run(&["init", "--json", "--data", data.to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn create_app(data: &Path) -> AppCredentials {
    let made = run(&["app", "create", "--json", "--name", "Crash", "--server", "--data", data.to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let key = SecretText::new(text(&made["keys"][0]["app_key"]));
    AppCredentials { id: text(&made["app_id"]), key, platform: Platform::Server }
}

/// Every client here has the same address; limits have tests of their own.
fn without_limits(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let generous = |line: &str| match line.split_once(" = ") {
        Some((name, _)) if name.contains("_per_") => format!("{name} = 1000000"),
        _ => line.to_owned(),
    };
    let text: Vec<String> = text.lines().map(generous).collect();
    std::fs::write(path, text.join("\n")).unwrap();
}

/// The mail catcher, its page, and the settings that tell a host of it.
fn start_catcher(scratch: &Path) -> (Process, String, String) {
    let smtp = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = serde_json::json!({ "smtp": format!("smtp://{}", smtp.local_addr().unwrap()), "node": null });
    let mailbox = format!("http://{}", http.local_addr().unwrap());
    let catcher = Recipe {
        name: "mail catcher",
        command: [program("pinseal").to_str().unwrap(), "mail-catcher", "--smtp-fd", "0", "--http-fd", "4"]
            .map(str::to_owned)
            .to_vec(),
        connection: smtp.into(),
        hand: Path::new("/dev/null"),
        listener: Some(http.into()),
        log: log(scratch, "catcher"),
        fault: None,
    }
    .start();
    (catcher, mailbox, settings.to_string())
}
