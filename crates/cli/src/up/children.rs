//! The supervisor's child processes: guarded, each with a log file, stopped in order.

use std::ffi::OsStr;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child as Process, ChildStdout};

use super::logs::Log;
use super::users::User;
use crate::failure::{Failure, Outcome};
use crate::guard;
use crate::run_settings::SMTP;

/// A child that was told to stop is killed after this long; the host gives open requests ten seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// What to start.
pub(super) struct Recipe<'a> {
    /// Name in messages and of the log file.
    pub(super) name: &'static str,
    /// Program file.
    pub(super) program: &'a Path,
    /// Its user, if not our own.
    pub(super) user: Option<&'a User>,
    /// Standard input.
    pub(super) stdin: Stdio,
    /// Descriptors it inherits besides its standard streams.
    pub(super) kept: &'a [RawFd],
    /// Standard output goes to us rather than to the log.
    pub(super) talks: bool,
    /// Directory of the log files.
    pub(super) logs: &'a Path,
}

/// A running child.
#[derive(Debug)]
pub(super) struct Child {
    name: &'static str,
    process: Process,
    log: Log,
}

impl Recipe<'_> {
    /// Starts it. Call on the main thread only, see [`guard::command`].
    pub(super) fn start<I: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = I>) -> Outcome<Child> {
        let failed = |error| Failure::failed("start", format!("cannot start the {}: {error}", self.name));
        let (log, errors) = Log::open(self.logs.join(format!("{}.log", self.name)))?;
        let mut command = guard::command(self.program, self.user, self.kept)?;
        // The URL may hold the mail server's password; the host alone is told, on a pipe.
        command.env_remove(SMTP);
        let output = if self.talks { Stdio::piped() } else { errors.try_clone().map_err(failed)?.into() };
        command.args(arguments).stdin(self.stdin).stdout(output).stderr(errors);
        // A group of its own: Ctrl-C on the terminal reaches the supervisor alone, which then stops its children in order.
        command.process_group(0);
        // With it go our copies of the pipe's end: the log ends when the child has closed its own.
        let process = tokio::process::Command::from(command).kill_on_drop(true).spawn().map_err(failed)?;
        Ok(Child { name: self.name, process, log })
    }
}

impl Child {
    /// Its process id, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// What it says to us; once.
    pub(super) fn output(&mut self) -> Option<ChildStdout> {
        self.process.stdout.take()
    }

    /// Waits for its end, and until its log holds all that it said. May be cancelled and called again.
    pub(super) async fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.wait().await.ok();
        self.log.written().await;
        status
    }

    /// Tells it to stop, and makes it.
    pub(super) async fn stop(&mut self) {
        self.tell(Signal::TERM);
        if tokio::time::timeout(PATIENCE, self.process.wait()).await.is_err() {
            self.tell(Signal::KILL);
        }
        self.ended().await;
    }

    /// Waits for it to stop by itself, and makes it stop if it does not.
    pub(super) async fn settle(&mut self) {
        if tokio::time::timeout(PATIENCE, self.ended()).await.is_err() {
            self.stop().await;
        }
    }

    fn tell(&self, signal: Signal) {
        if let Some(pid) = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// The failure "it ended", with the end of its log.
    pub(super) fn failure(&self, status: Option<ExitStatus>) -> Failure {
        let how = status.map_or_else(|| "ended".to_owned(), |status| format!("ended ({status})"));
        let tail = self.log.tail();
        let what =
            if tail.is_empty() { String::new() } else { format!("; its last words:\n    {}", tail.join("\n    ")) };
        Failure::failed("child_ended", format!("the {} {how}{what}", self.name))
            .advise(format!("read {}", self.log.path().display()))
    }
}
