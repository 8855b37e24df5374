//! One child process: its descriptors, its log, its end.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// A process that is to end does so within this, or the test fails.
const END_SECONDS: i64 = 60;

/// Where the two programs lie: `CARGO_TARGET_DIR` or the workspace's own, in the directory of the profile this test was built in.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let built = own.ancestors().nth(2).unwrap().join(name);
    assert!(
        built.is_file(),
        "{} is not built: cargo build -p pinseal-cli -p pinseal-enclaved --features \
         pinseal-cli/fault-points,pinseal-enclaved/fault-points",
        built.display()
    );
    built
}

/// What to start. Descriptor 0 is `connection`, 3 reads the file `hand`, 4 is `listener`: a shell puts them there, so that no
/// descriptor is ever open for a process that is started at the same moment by another thread.
pub struct Recipe<'a> {
    pub name: &'static str,
    pub command: Vec<String>,
    pub connection: OwnedFd,
    pub hand: &'a Path,
    pub listener: Option<OwnedFd>,
    pub log: PathBuf,
    pub fault: Option<&'a str>,
}

/// A running child; killed when dropped.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl Recipe<'_> {
    pub fn start(self) -> Process {
        let mut command = Command::new("sh");
        command.arg("-c").arg("log=$1 hand=$2; shift 2; exec \"$@\" 3<\"$hand\" 4<&2 2>>\"$log\"").arg("sh");
        command.arg(&self.log).arg(self.hand).args(&self.command);
        command.stdin(Stdio::from(self.connection)).stdout(Stdio::piped());
        command.stderr(self.listener.map_or_else(Stdio::null, Stdio::from));
        match self.fault {
            Some(fault) => command.env("PINSEAL_FAULT", fault),
            None => command.env_remove("PINSEAL_FAULT"),
        };
        command.env_remove("RUST_LOG").env_remove("PINSEAL_SMTP");
        let child = command.spawn().unwrap();
        Process { name: self.name, child, log: self.log, status: None }
    }
}

impl Process {
    pub fn output(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        if let Some(status) = self.status {
            return status;
        }
        let watched = pidfd_open(self.pid(), PidfdFlags::empty()).unwrap();
        let patience = Timespec { tv_sec: END_SECONDS, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&watched, PollFlags::IN)], Some(&patience)).unwrap();
        assert_eq!(ended, 1, "the {} does not end (built without fault points?)\n{}", self.name, self.log());
        let status = self.child.wait().unwrap();
        self.status = Some(status);
        status
    }

    /// Waits for its end and checks that a fault point made it.
    pub fn crashed(&mut self) {
        let status = self.ended();
        assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "the {}: {status}\n{}", self.name, self.log());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A new, empty log file.
pub fn log(directory: &Path, name: &str) -> PathBuf {
    let path = directory.join(format!("{name}.log"));
    let _: File = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    path
}
