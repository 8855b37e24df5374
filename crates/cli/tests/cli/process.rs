//! Running the program, and systems it starts.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;

/// A process that was told to end does so within this, or the test fails.
const END_SECONDS: i64 = 60;

/// The program under test.
pub(crate) fn program() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_pinseal"));
    assert!(
        program.with_file_name("pinseal-enclaved").is_file(),
        "pinseal-enclaved is not built: cargo build -p pinseal-enclaved (make test does it)"
    );
    program
}

/// The program in a directory, with nothing of the tester's own settings.
pub(crate) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command.env("HOME", directory).env("NO_COLOR", "1");
    for variable in [
        "XDG_CONFIG_HOME",
        "PINSEAL_SERVER",
        "PINSEAL_APP_ID",
        "PINSEAL_APP_KEY",
        "PINSEAL_PROFILE",
        "PINSEAL_SMTP",
        "RUST_LOG",
    ] {
        command.env_remove(variable);
    }
    command
}

/// Runs to the end.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().unwrap()
}

/// Runs with secrets on descriptors 3 and 4, as a shell script would.
pub(crate) fn run_with_secrets(directory: &Path, arguments: &[&str], third: &str, fourth: &str) -> Output {
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (third, fourth) = (file(".third", third), file(".fourth", fourth));
    let inner = command(directory, arguments);
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg("third=$1 fourth=$2; shift 2; exec \"$@\" 3<\"$third\" 4<\"$fourth\"")
        .arg("sh")
        .arg(third)
        .arg(fourth);
    within(&mut shell, &inner, directory);
    shell.output().unwrap()
}

/// Has a shell's arguments end with a command, and gives it that command's surroundings.
fn within(shell: &mut Command, inner: &Command, directory: &Path) {
    shell.arg(inner.get_program()).args(inner.get_args()).current_dir(directory).stdin(Stdio::null());
    surround(shell, inner);
}

/// Gives a command the environment of another.
fn surround(outer: &mut Command, inner: &Command) {
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
}

/// Runs with all it says on a terminal of its own, which is the output that is returned.
pub(crate) fn run_on_terminal(directory: &Path, arguments: &[&str]) -> Output {
    let inner = command(directory, arguments);
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", "exec \"$PROGRAM\" $ARGUMENTS", "/dev/null"]);
    terminal.env("PROGRAM", inner.get_program()).env("ARGUMENTS", arguments.join(" "));
    terminal.current_dir(directory).stdin(Stdio::null());
    surround(&mut terminal, &inner);
    terminal.output().unwrap()
}

/// Exit code.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// All that was said, as if no line had been broken.
pub(crate) fn flowed(output: &Output) -> String {
    text(output).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Both streams, for messages.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The one JSON value on standard output of a command that must succeed.
pub(crate) fn json(output: &Output) -> Value {
    assert_eq!(code(output), 0, "{}", text(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("not one JSON value: {}", text(output)))
}

/// A system on free ports.
pub(crate) const UP: &[&str] = &["up", "--json", "--port", "0", "--mailbox-port", "0", "--node-port", "0"];

/// Has the processes of an `up` stay open to others of their user, where this test is not root and could not look into them.
pub(crate) fn open_to_this_test(up: &mut Command) {
    if !rustix::process::geteuid().is_root() {
        up.args(["--allow-missing", "not_dumpable"]).env("PINSEAL_FAULT", "every.stay_dumpable:1");
    }
}

/// A running `pinseal up`.
pub(crate) struct Up {
    child: Child,
    _output: BufReader<ChildStdout>,
    /// What it said when it was ready.
    pub(crate) ready: Value,
}

impl Up {
    /// Starts on `directory/pinseal-data` and free ports; returns when it serves.
    pub(crate) fn start(directory: &Path) -> Self {
        Self::run(directory, command(directory, UP))
    }

    /// The same with the sealing passphrase of a file on descriptor 9, as a shell hands it over; its processes can be looked into.
    pub(crate) fn start_with_passphrase(directory: &Path, passphrase: &Path) -> Self {
        let mut inner = command(directory, &[UP, &["--passphrase-fd", "9"]].concat());
        open_to_this_test(&mut inner);
        let mut shell = Command::new("sh");
        shell.args(["-c", "file=$1; shift; exec \"$@\" 9<\"$file\"", "sh"]).arg(passphrase);
        within(&mut shell, &inner, directory);
        Self::run(directory, shell)
    }

    /// Starts what a command says, which is `up` in one way or another.
    pub(crate) fn run(directory: &Path, mut command: Command) -> Self {
        let log = directory.join("up.log");
        command.stdout(Stdio::piped()).stderr(File::options().append(true).create(true).open(&log).unwrap());
        // A group of its own, so that a signal to it reaches nobody else.
        command.process_group(0);
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("up did not get ready: {}", std::fs::read_to_string(&log).unwrap()));
        Self { child, _output: output, ready }
    }

    /// A text of the ready line.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {}", self.ready))
    }

    /// Process id of one of its parts.
    pub(crate) fn pid(&self, name: &str) -> Pid {
        let pid = self.ready["pids"][name].as_i64().unwrap_or_else(|| panic!("no pid of {name} in {}", self.ready));
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
    }

    /// Every process of the system.
    pub(crate) fn pids(&self) -> Vec<(String, Pid)> {
        let pids = self.ready["pids"].as_object().unwrap();
        let running = pids.iter().filter(|(_, pid)| !pid.is_null());
        running.map(|(name, _)| (name.clone(), self.pid(name))).collect()
    }

    /// Sends a signal to the supervisor and waits for the end of every process of the system. Gives the supervisor's exit code.
    pub(crate) fn end(mut self, signal: Signal) -> Option<i32> {
        let watched: Vec<(String, Watch)> = self.pids().into_iter().map(|(name, pid)| (name, Watch::of(pid))).collect();
        kill_process(self.pid("supervisor"), signal).unwrap();
        let code = self.child.wait().unwrap().code();
        for (name, watch) in watched {
            watch.ended(&name);
        }
        code
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Only after a failed assertion; its children follow it by themselves.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Watches one process; holds on to the very process even if its number is used again.
pub(crate) struct Watch(Option<rustix::fd::OwnedFd>);

impl Watch {
    /// A process; it may have ended already.
    pub(crate) fn of(pid: Pid) -> Self {
        Self(pidfd_open(pid, PidfdFlags::empty()).ok())
    }

    /// Waits for its end.
    pub(crate) fn ended(&self, name: &str) {
        let Some(fd) = &self.0 else { return };
        let timeout = Timespec { tv_sec: END_SECONDS, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)).unwrap();
        assert_eq!(ready, 1, "{name} does not end");
    }
}

/// Status and body of a GET.
pub(crate) fn get(url: &str, headers: &[(&str, &str)]) -> (u16, String) {
    exchange("GET", url, headers, "")
}

/// The result of a JSON-RPC call.
pub(crate) fn rpc(url: &str, method: &str, parameters: &Value) -> Value {
    let body = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters }).to_string();
    let (status, answer) = exchange("POST", url, &[("Content-Type", "application/json")], &body);
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert!(answer["error"].is_null(), "{answer}");
    answer["result"].clone()
}

fn exchange(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').map_or((rest, "/".to_owned()), |(host, path)| (host, format!("/{path}")));
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    // HTTP/1.0: the answer comes whole and the connection closes.
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(body);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no HTTP answer: {answer:?}"));
    (status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
}
