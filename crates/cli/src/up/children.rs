//! The supervisor's child processes: guarded, each with a log file, stopped in order.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::RawFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child as Process, ChildStdout};

use super::users::User;
use crate::data_dir;
use crate::failure::{Failure, Outcome};
use crate::guard;

/// A log file this long is put aside as `.old` at the next start.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How much of a log's end is read to explain a failure.
const TAIL_BYTES: u64 = 4_096;
/// Lines of a log shown to explain a failure.
const TAIL_LINES: usize = 5;
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
    log: PathBuf,
}

impl Recipe<'_> {
    /// Starts it. Call on the main thread only, see [`guard::command`].
    pub(super) fn start<I: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = I>) -> Outcome<Child> {
        let log = self.logs.join(format!("{}.log", self.name));
        let (errors, output) = open_log(&log)?;
        let mut command = guard::command(self.program, self.kept)?;
        // The URL may hold the mail server's password; the host alone is told, on a pipe.
        command.env_remove("PINSEAL_SMTP");
        command.args(arguments).stdin(self.stdin).stderr(errors);
        command.stdout(if self.talks { Stdio::piped() } else { Stdio::from(output) });
        // A group of its own: Ctrl-C on the terminal reaches the supervisor alone, which then stops its children in order.
        command.process_group(0);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        let process = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::failed("start", format!("cannot start the {}: {error}", self.name)))?;
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

    /// Waits for its end. May be cancelled and called again.
    pub(super) async fn ended(&mut self) -> Option<ExitStatus> {
        self.process.wait().await.ok()
    }

    /// Tells it to stop, and makes it.
    pub(super) async fn stop(&mut self) {
        self.tell(Signal::TERM);
        if tokio::time::timeout(PATIENCE, self.process.wait()).await.is_err() {
            self.tell(Signal::KILL);
            let _ = self.process.wait().await;
        }
    }

    /// Waits for it to stop by itself, and makes it stop if it does not.
    pub(super) async fn settle(&mut self) {
        if tokio::time::timeout(PATIENCE, self.process.wait()).await.is_err() {
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
        let tail = tail(&self.log);
        let what =
            if tail.is_empty() { String::new() } else { format!("; its last words:\n    {}", tail.join("\n    ")) };
        Failure::failed("child_ended", format!("the {} {how}{what}", self.name))
            .advise(format!("read {}", self.log.display()))
    }
}

fn open_log(path: &Path) -> Outcome<(File, File)> {
    if path.symlink_metadata().is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        let mut old = path.as_os_str().to_owned();
        old.push(".old");
        std::fs::rename(path, &old).map_err(|error| Failure::file("rename", path, &error))?;
    }
    let open = || -> std::io::Result<(File, File)> {
        let file =
            OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(data_dir::NO_LINK).open(path)?;
        Ok((file.try_clone()?, file))
    };
    open().map_err(|error| Failure::file("open", path, &error))
}

/// The last lines of a log; of JSON lines only what they say.
fn tail(path: &Path) -> Vec<String> {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)).map(|line| spoken(line)).collect()
}

fn spoken(line: &str) -> String {
    let value: Option<serde_json::Value> = serde_json::from_str(line).ok();
    let member =
        |name: &str| value.as_ref().and_then(|value| value.get(name)).and_then(|text| text.as_str()).map(str::to_owned);
    member("message").or_else(|| member("event")).unwrap_or_else(|| line.to_owned())
}

/// Makes the directory of the log files.
///
/// # Errors
/// It cannot be made.
pub(super) fn logs(root: &Path) -> Outcome<PathBuf> {
    let logs = root.join("logs");
    data_dir::make_own_directory(&logs, 0o700)?;
    Ok(logs)
}
