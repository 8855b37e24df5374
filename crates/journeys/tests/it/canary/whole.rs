//! A whole system as an operator starts it: `pinseal up`, its children, its data directory, its logs at their most talkative.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use pinseal_client::{AppCredentials, Platform, SecretText};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::memory::{STAY_DUMPABLE, may_read_anything};
use super::recorder::Recorder;
use crate::crash::program;

/// Known to the test and to the person who starts the system.
pub(super) const PASSPHRASE: &str = "seventeen \"brass\" canaries\\in a mine 4711";

/// A running system. Everything it writes lies in one directory.
pub(super) struct Whole {
    scratch: TempDir,
    /// What its processes are told in their environment.
    told: Vec<(&'static str, String)>,
    supervisor: Child,
    _output: BufReader<ChildStdout>,
    pub(super) ready: Value,
    pub(super) recorder: Recorder,
}

impl Whole {
    /// Makes a deployment and starts it, so that this test can read its processes; `keep` is what they are told to keep, for the proof that it
    /// is found. Then they are left open to core images, too.
    pub(super) fn start(keep: Option<&str>) -> Self {
        let mut told: Vec<_> = keep.map(|what| ("PINSEAL_KEEP_SECRETS", what.to_owned())).into_iter().collect();
        if keep.is_some() || !may_read_anything() {
            told.push(("PINSEAL_FAULT", STAY_DUMPABLE.to_owned()));
        }
        Self::told(told)
    }

    /// The same with every measure, whether this test can read its processes or not.
    pub(super) fn as_shipped() -> Self {
        Self::told(Vec::new())
    }

    /// The same, its mail sent by way of `url`.
    pub(super) fn mailing_by(url: String) -> Self {
        let mut told = vec![("PINSEAL_SMTP", url)];
        told.extend((!may_read_anything()).then(|| ("PINSEAL_FAULT", STAY_DUMPABLE.to_owned())));
        Self::told(told)
    }

    fn told(told: Vec<(&'static str, String)>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let recorder = Recorder::start();
        let made = run(&mut with_passphrase(scratch.path(), &["init", "--json"]));
        assert!(made.status.success(), "{}", text(&made));
        open_for_tests(&scratch.path().join("pinseal-data/host/server.toml"), &recorder.url);
        let (supervisor, output, ready) = up(scratch.path(), "0", &told);
        recorder.forward_to(ready["server"].as_str().unwrap());
        let whole = Self { scratch, told, supervisor, _output: output, ready, recorder };
        whole.lead_clients_to_the_relay();
        whole
    }

    /// Client commands beside it find the relay.
    fn lead_clients_to_the_relay(&self) {
        let (offered, server) = (self.directory().join("pinseal-data/client.json"), self.said("server"));
        let offer = std::fs::read_to_string(&offered).unwrap();
        assert!(offer.contains(server), "{offer}");
        std::fs::write(&offered, offer.replace(server, &self.recorder.url)).unwrap();
    }

    /// Stops; the operators change the configuration, and then restore the state there is; and it goes on where it was. What they were told.
    pub(super) fn change_and_restore(&mut self) -> [Output; 2] {
        self.end();
        let change = ["config", "change", "--breaker", "900", "--yes", "--json"];
        let said = [&change[..], &["restore", "--yes", "--json"]].map(|arguments| {
            let output = run(with_passphrase(self.directory(), arguments).env("RUST_LOG", "trace"));
            assert!(output.status.success(), "{arguments:?}: {}", text(&output));
            output
        });
        let port = self.said("server").rsplit_once(':').unwrap().1.to_owned();
        let (supervisor, output, ready) = up(self.scratch.path(), &port, &self.told);
        (self.supervisor, self._output, self.ready) = (supervisor, output, ready);
        self.lead_clients_to_the_relay();
        said
    }

    pub(super) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    pub(super) fn host_directory(&self) -> PathBuf {
        self.scratch.path().join("pinseal-data/host")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.host_directory().join("pinseal.sqlite")
    }

    pub(super) fn said(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.ready))
    }

    pub(super) fn app(&self) -> AppCredentials {
        let key = SecretText::new(self.said("app_key").to_owned());
        AppCredentials { id: self.said("app_id").to_owned(), key, platform: Platform::Server }
    }

    /// The processes by name, the supervisor among them.
    pub(super) fn pids(&self) -> Vec<(String, u32)> {
        let pids = self.ready["pids"].as_object().unwrap();
        let running = pids.iter().filter_map(|(name, pid)| Some((name.clone(), u32::try_from(pid.as_u64()?).unwrap())));
        running.collect()
    }

    pub(super) fn pid(&self, name: &str) -> u32 {
        self.pids().into_iter().find(|(known, _)| known == name).expect(name).1
    }

    /// A client command beside this system, its secrets on descriptors.
    pub(super) fn client(&self, arguments: &[&str], secret: &str) -> Command {
        let mut command = handing(self.scratch.path(), arguments, secret);
        if !may_read_anything() {
            command.env("PINSEAL_FAULT", STAY_DUMPABLE);
        }
        command
    }

    /// Everything ends because the supervisor is told to stop.
    pub(super) fn stop(mut self) -> TempDir {
        self.end();
        std::mem::replace(&mut self.scratch, tempfile::tempdir().unwrap())
    }

    fn end(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.pid("supervisor")).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(self.supervisor.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        // Its children follow it by themselves.
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

const UP: &[&str] = &["up", "--json", "--no-dev-node", "--mailbox-port", "0", "--port"];
const UP_LOG: &str = "up.log";

/// Starts it on a port: the supervisor, and what it says when everything serves.
fn up(directory: &Path, port: &str, told: &[(&str, String)]) -> (Child, BufReader<ChildStdout>, Value) {
    let mut arguments = [UP, &[port]].concat();
    if told.iter().any(|(_, value)| *value == STAY_DUMPABLE) {
        arguments.extend(["--allow-missing", "not_dumpable"]);
    }
    let mut command = with_passphrase(directory, &arguments);
    command
        .env("RUST_LOG", "trace")
        .stdout(Stdio::piped())
        .stderr(log(directory))
        .envs(told.iter().map(|(name, value)| (name, value)));
    // A group of its own, so that a signal to it reaches nobody else.
    let mut supervisor = command.process_group(0).spawn().unwrap();
    let mut output = BufReader::new(supervisor.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let ready = serde_json::from_str(&line)
        .unwrap_or_else(|_| panic!("{}", std::fs::read_to_string(directory.join(UP_LOG)).unwrap()));
    (supervisor, output, ready)
}

pub(super) fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// Both streams, for messages.
pub(super) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn log(directory: &Path) -> File {
    File::options().append(true).create(true).open(directory.join(UP_LOG)).unwrap()
}

fn with_passphrase(directory: &Path, arguments: &[&str]) -> Command {
    handing(directory, &[arguments, &["--passphrase-fd", "3"]].concat(), PASSPHRASE)
}

/// The program with a secret on descriptor 3, out of a pipe, so that no file ever holds it. A shell puts it there, and only for the
/// program.
fn handing(directory: &Path, arguments: &[&str], secret: &str) -> Command {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writeln!(writer, "{secret}").unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$@\" 3<&0 0</dev/null", "sh"]);
    command.arg(program("pinseal")).args(arguments).current_dir(directory).stdin(Stdio::from(reader));
    command.env("HOME", directory).env("NO_COLOR", "1");
    for variable in [
        "XDG_CONFIG_HOME",
        "PINSEAL_SERVER",
        "PINSEAL_APP_ID",
        "PINSEAL_APP_KEY",
        "PINSEAL_PROFILE",
        "PINSEAL_SMTP",
        "PINSEAL_FAULT",
        "PINSEAL_KEEP_SECRETS",
        "RUST_LOG",
    ] {
        command.env_remove(variable);
    }
    command
}

/// The relay's URL is one of the system's own, and limits have tests of their own.
fn open_for_tests(path: &Path, url: &str) {
    let settings = std::fs::read_to_string(path).unwrap();
    let lines = settings.lines().map(|line| match line.split_once(" = ") {
        Some(("public_urls", _)) => format!("public_urls = [\"{url}\"]"),
        Some((name, _)) if name.contains("_per_") => format!("{name} = 1000000"),
        _ => line.to_owned(),
    });
    let changed: Vec<String> = lines.collect();
    assert!(changed.iter().any(|line| line.contains(url)), "{settings}");
    std::fs::write(path, changed.join("\n")).unwrap();
}
