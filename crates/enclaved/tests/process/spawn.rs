//! Starting the process the way a supervisor does, and talking to it the way a host does.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use pinseal_protocol::ids::Measurement;
use pinseal_protocol::wire::{FromEnclave, ToEnclave, frame, frame_length, parse};
use tempfile::TempDir;

const IMAGE: &str = env!("CARGO_BIN_EXE_pinseal-enclaved");

pub(crate) const NOBODY: u32 = 65_534;

/// Longest silence before a test gives up; nothing waits for it to pass.
const SILENCE_SECONDS_MAX: u64 = 60;

pub(crate) fn binary() -> Command {
    let mut command = Command::new(IMAGE);
    command.stdin(Stdio::null());
    command
}

pub(crate) fn image_hash() -> Measurement {
    Measurement::from_slice(digest(&SHA256, &std::fs::read(IMAGE).unwrap()).as_ref()).unwrap()
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Leaves a descriptor open in the processes started from here.
pub(crate) fn make_inheritable(descriptor: &impl AsFd) {
    rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty()).unwrap();
}

pub(crate) fn inheritable_file() -> File {
    let file = File::open("/dev/zero").unwrap();
    make_inheritable(&file);
    file
}

pub(crate) fn number(descriptor: &impl AsRawFd) -> String {
    descriptor.as_raw_fd().to_string()
}

/// A pipe that holds `text` and then ends. A pipe takes far more than the longest passphrase without a reader.
pub(crate) fn pipe_with(text: &str) -> std::io::PipeReader {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    reader
}

/// A process about to be started.
pub(crate) struct Enclaved {
    passphrase: String,
    arguments: Vec<String>,
    user: Option<u32>,
    locked_memory: bool,
    fault: Option<String>,
    passphrase_on_stdin: bool,
}

impl Enclaved {
    pub(crate) fn new(passphrase: &str) -> Self {
        Self {
            passphrase: passphrase.to_owned(),
            arguments: Vec::new(),
            user: None,
            locked_memory: true,
            fault: None,
            passphrase_on_stdin: false,
        }
    }

    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    pub(crate) fn run_by(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// As a user who may lock no memory; root could raise its limit again.
    pub(crate) fn without_locked_memory(mut self) -> Self {
        self.locked_memory = false;
        self.user = is_root().then_some(NOBODY);
        self
    }

    pub(crate) fn passphrase_on_stdin(mut self) -> Self {
        self.passphrase_on_stdin = true;
        self
    }

    pub(crate) fn fault(mut self, fault: &str) -> Self {
        self.fault = Some(fault.to_owned());
        self
    }

    /// Starts it with one end of a pair of sockets.
    pub(crate) fn start(self) -> Started {
        let (ours, theirs) = UnixStream::pair().unwrap();
        make_inheritable(&theirs);
        let process = self.spawn(vec!["--socket-fd".into(), number(&theirs).into()]);
        process.connected_to(ours)
    }

    /// Starts it and has it talk, so that what it does first is done.
    pub(crate) fn conversing_until<T>(self, talk: impl FnOnce(&mut Started) -> T) -> Started {
        let mut started = self.start();
        talk(&mut started);
        started
    }

    pub(crate) fn on_listener(self, listener: &UnixListener) -> Process {
        self.spawn(vec!["--socket-fd".into(), number(listener).into()])
    }

    pub(crate) fn on_path(self, path: &Path) -> Process {
        self.spawn(vec!["--socket".into(), path.into()])
    }

    fn spawn(self, socket: Vec<OsString>) -> Process {
        let passphrase = pipe_with(&self.passphrase);
        make_inheritable(&passphrase);
        let (image, directory) = self.image();
        let mut command = match self.locked_memory {
            true => Command::new(image),
            false => {
                let mut command = Command::new("prlimit");
                command.args(["--memlock=0:0", "--"]).arg(image);
                command
            }
        };
        let descriptor = if self.passphrase_on_stdin { "0".to_owned() } else { number(&passphrase) };
        command.args(socket).args(["--passphrase-fd", &descriptor]).args(&self.arguments);
        command.stdin(passphrase.try_clone().unwrap()).stdout(Stdio::null()).stderr(Stdio::piped());
        if !self.passphrase_on_stdin {
            command.stdin(Stdio::null());
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        if let Some(fault) = &self.fault {
            command.env("PINSEAL_FAULT", fault);
        }
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Process { child, log, read: String::new(), _directory: directory }
    }

    /// The program, where the user it runs as can reach it.
    fn image(&self) -> (PathBuf, Option<TempDir>) {
        if self.user.is_none() {
            return (IMAGE.into(), None);
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let image = directory.path().join("pinseal-enclaved");
        std::fs::copy(IMAGE, &image).unwrap();
        (image, Some(directory))
    }
}

/// A started process, not yet connected.
pub(crate) struct Process {
    child: Child,
    log: BufReader<ChildStderr>,
    read: String,
    _directory: Option<TempDir>,
}

impl Process {
    /// Connects as soon as the process says that it waits for its host.
    pub(crate) fn wait_for_socket(&mut self, path: &Path) -> UnixStream {
        while !self.read.contains("\"event\":\"waiting_for_host\"") {
            assert_ne!(self.log.read_line(&mut self.read).unwrap(), 0, "it ended: {}", self.read);
        }
        UnixStream::connect(path).unwrap()
    }

    pub(crate) fn connected_to(self, stream: UnixStream) -> Started {
        stream.set_read_timeout(Some(Duration::from_secs(SILENCE_SECONDS_MAX))).unwrap();
        Started { process: self, stream: Some(stream) }
    }

    /// The end of a process that never had a host.
    pub(crate) fn unconnected_end(self) -> End {
        Started { process: self, stream: None }.end()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended in most tests; a failed one leaves nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process with its host.
pub(crate) struct Started {
    process: Process,
    stream: Option<UnixStream>,
}

/// How it ended.
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    #[cfg_attr(not(feature = "fault-points"), expect(dead_code, reason = "only crash tests end it by a signal"))]
    pub(crate) signal: Option<i32>,
    pub(crate) log: String,
    /// What it had still said to the host.
    pub(crate) said: Vec<u8>,
}

impl Started {
    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        self.stream.as_ref().unwrap()
    }

    pub(crate) fn proc_text(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.pid())).unwrap()
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.as_ref().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn say(&mut self, message: &ToEnclave) {
        self.write(&frame(message).unwrap());
    }

    pub(crate) fn hear(&mut self) -> FromEnclave {
        let mut stream = self.stream.as_ref().unwrap();
        let mut prefix = [0; 4];
        stream.read_exact(&mut prefix).unwrap();
        let mut body = vec![0; frame_length(prefix).unwrap()];
        stream.read_exact(&mut body).unwrap();
        parse(&body).unwrap()
    }

    /// Goes away, as a host that was killed does.
    pub(crate) fn hang_up(&mut self) {
        let stream = self.stream.take().unwrap();
        // Fails if the process went first, which the test is going to see.
        let _ = stream.shutdown(Shutdown::Both);
    }

    /// Waits for the process to end by itself.
    pub(crate) fn end(mut self) -> End {
        let mut said = Vec::new();
        if let Some(mut stream) = self.stream.take() {
            match stream.read_to_end(&mut said) {
                Ok(_) => {}
                // It ended without having read all it was sent.
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
            }
        }
        let mut log = std::mem::take(&mut self.process.read);
        self.process.log.read_to_string(&mut log).unwrap();
        let status = self.process.child.wait().unwrap();
        End { code: status.code(), signal: status.signal(), log, said }
    }
}
