//! A running system in a directory of its own, and its end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::Shown;
use crate::data_dir::{self, ClientDefaults, DataDir};
use crate::failure::{Exit, Failure, Outcome};
use crate::guard;

/// Starting takes a few seconds; a slow machine gets time.
const START: Duration = Duration::from_secs(180);
/// The supervisor gives each of its children fifteen seconds.
const STOP: Duration = Duration::from_secs(75);

/// Where the demo plays.
#[derive(Debug)]
pub(super) struct Stage {
    root: PathBuf,
    supervisor: Option<Child>,
    pids: Vec<(String, u64)>,
    defaults: Option<ClientDefaults>,
}

impl Stage {
    /// A new directory under the system's temporary one.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn make() -> Outcome<Self> {
        let mut name = [0_u8; 8];
        getrandom::fill(&mut name).map_err(|error| Failure::failed("randomness", format!("no randomness: {error}")))?;
        let root = std::env::temp_dir().join(format!("pinseal-demo-{}", hex::encode(name)));
        data_dir::make_directory(&root, 0o700)?;
        Ok(Self { root, supervisor: None, pids: Vec::new(), defaults: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.root
    }

    /// What the running system offers.
    ///
    /// # Errors
    /// It does not run.
    pub(super) fn defaults(&self) -> Outcome<&ClientDefaults> {
        self.defaults.as_ref().ok_or_else(|| Failure::failed("demo", "the system does not run"))
    }

    /// Starts `pinseal up` on free ports.
    pub(super) async fn start(&mut self) -> Shown {
        let own = std::env::current_exe()
            .map_err(|error| Failure::failed("program", format!("cannot find the own program file: {error}")))?;
        let log = self.root.join("up.log");
        let errors = File::create(&log).map_err(|error| Failure::file("make", &log, &error))?;
        let data = self.root.join("data");
        let mut command = guard::command(&own, None, &[])?;
        command.args(["up", "--json", "--port", "0", "--mailbox-port", "0", "--node-port", "0", "--data"]).arg(&data);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn();
        let mut child = child.map_err(|error| Failure::failed("start", format!("cannot start the system: {error}")))?;
        let output = child.stdout.take();
        self.supervisor = Some(child);
        let line = async {
            let mut lines = BufReader::new(output?).lines();
            lines.next_line().await.ok()?
        };
        let line = tokio::time::timeout(START, line)
            .await
            .map_err(|_| Failure::failed("start", "the system does not start serving"))?;
        let ready: serde_json::Value =
            line.and_then(|line| serde_json::from_str(&line).ok()).ok_or_else(|| Self::reason(&log))?;
        self.pids = ready
            .get("pids")
            .and_then(|pids| pids.as_object())
            .map(|pids| pids.iter().filter_map(|(name, pid)| Some((name.clone(), pid.as_u64()?))).collect())
            .unwrap_or_default();
        self.defaults = DataDir::at(&data).client_defaults()?;
        let processes: Vec<String> =
            self.pids.iter().map(|(name, pid)| format!("{} {pid}", name.replace('_', " "))).collect();
        let lines = vec![
            format!("processes  {}", processes.join(", ")),
            format!(
                "wallet API {}, mailbox {}",
                self.defaults()?.server,
                self.defaults()?.mailbox.as_deref().unwrap_or("none")
            ),
        ];
        Ok((lines, ()))
    }

    /// Why the system did not start: its one line of JSON on standard error.
    fn reason(log: &Path) -> Failure {
        let text = data_dir::read(log).ok().flatten().unwrap_or_default();
        let error = text.lines().rev().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let member = |name: &str| error.as_ref()?.get("error")?.get(name)?.as_str().map(str::to_owned);
        Failure {
            exit: Exit::Failure,
            code: member("code").unwrap_or_else(|| "start".to_owned()),
            sentence: member("message").unwrap_or_else(|| format!("the system did not start: {}", text.trim())),
            advice: member("advice"),
            trace_id: None,
        }
    }

    /// Stops the system, checks that none of its processes is left, and removes the directory.
    pub(super) async fn clear(&mut self, keep: bool) -> Shown {
        if let Some(mut supervisor) = self.supervisor.take() {
            if let Some(pid) = supervisor.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
            if tokio::time::timeout(STOP, supervisor.wait()).await.is_err() {
                let _ = supervisor.kill().await;
                return Err(Failure::failed("stop", "the system did not stop in time and was killed"));
            }
        }
        let left: Vec<String> = self
            .pids
            .iter()
            .filter(|(_, pid)| Path::new(&format!("/proc/{pid}")).exists())
            .map(|(name, pid)| format!("{name} {pid}"))
            .collect();
        if !left.is_empty() {
            return Err(Failure::failed("stop", format!("processes are left: {}", left.join(", "))));
        }
        let mut lines = vec![format!("all {} processes have ended", self.pids.len())];
        if keep {
            lines.push(format!("data kept in {}", self.root.display()));
        } else {
            std::fs::remove_dir_all(&self.root).map_err(|error| Failure::file("remove", &self.root, &error))?;
        }
        Ok((lines, ()))
    }
}
