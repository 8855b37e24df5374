//! A deployment on disk and the real programs that serve it, started as their users start them.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::clock::CpuClock;

/// Rates are not what is measured, and 256 clients come from one address. Everything else stays as it is shipped.
const LIMITS: [(&str, i64); 10] = [
    ("requests_per_minute", 1_000_000_000),
    ("requests_per_user_per_minute", 1_000_000_000),
    ("writing_operations_per_user_per_day", 1_000_000_000),
    ("logins_per_minute", 1_000_000_000),
    ("logins_per_account_per_quarter", 1_000_000),
    ("logins_per_account_anywhere_per_quarter", 1_000_000),
    ("connections_per_address_max", 1_024),
    ("requests_in_flight_max", 1_024),
    ("passwords_waiting_max", 1_024),
    ("mails_waiting_max", 1_024),
];

/// A soak kills for as long as it lasts.
const RESTARTS: &str = "100000";

/// The programs under measurement, as they lie beside this one.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) pinseal: PathBuf,
    /// The EVM node, where npm has put it.
    pub(crate) anvil: Option<PathBuf>,
}

impl Programs {
    /// Beside this program; the node inside the checkout.
    ///
    /// # Errors
    /// The programs are not built.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("own program file")?;
        let pinseal = own.with_file_name("pinseal");
        for program in [&pinseal, &own.with_file_name("pinseal-enclaved")] {
            ensure!(program.is_file(), "{} is missing: run `make bench`", program.display());
        }
        let inside = "peers/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";
        let anvil = own.ancestors().map(|directory| directory.join(inside)).find(|path| path.is_file());
        Ok(Self { pinseal, anvil })
    }

    /// A command that ends with this process, whatever ends this process. Spawn it on the main thread.
    pub(crate) fn guarded(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.pinseal);
        command.args(["guard", "--parent", &std::process::id().to_string(), "--"]).arg(program);
        command
    }
}

/// What an app needs to call the API.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) app_id: String,
    pub(crate) app_key: String,
}

/// Makes a deployment in `directory`, with limits that let one address do everything.
pub(crate) fn init(programs: &Programs, directory: &Path, more: &[&str]) -> anyhow::Result<()> {
    let made = Command::new(&programs.pinseal)
        .args(["init", "--data"])
        .arg(directory)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .context("pinseal init")?;
    ensure!(made.status.success(), "pinseal init: {}", String::from_utf8_lossy(&made.stderr));
    settle(directory)
}

/// A command to a witness's directory, and what it says.
pub(crate) fn witness(programs: &Programs, command: &[&str], directory: &Path) -> anyhow::Result<Value> {
    let done = Command::new(&programs.pinseal)
        .arg("witness")
        .args(command)
        .args(["--json", "--directory"])
        .arg(directory)
        .stdin(Stdio::null())
        .output()
        .context("pinseal witness")?;
    ensure!(done.status.success(), "pinseal witness: {}", String::from_utf8_lossy(&done.stderr));
    Ok(serde_json::from_slice(&done.stdout)?)
}

/// Gives a deployment the limits that a bench takes.
fn settle(directory: &Path) -> anyhow::Result<()> {
    let path = directory.join("host").join("server.toml");
    let text = std::fs::read_to_string(&path).context("server.toml")?;
    let mut settings: toml::Table = toml::from_str(&text).context("server.toml")?;
    let limits = settings.entry("limits").or_insert_with(|| toml::Table::new().into());
    let limits = limits.as_table_mut().context("limits is no table")?;
    for (name, value) in LIMITS {
        limits.insert(name.into(), value.into());
    }
    std::fs::write(&path, toml::to_string(&settings).context("server.toml")?).context("server.toml")
}

/// A running `pinseal up`.
#[derive(Debug)]
pub(crate) struct System {
    supervisor: Child,
    _words: BufReader<ChildStdout>,
    pub(crate) target: Target,
    pub(crate) directory: PathBuf,
    pub(crate) host: u32,
    pub(crate) enclave: u32,
    /// JSON-RPC URL of the local EVM node, where there is one.
    pub(crate) node: Option<String>,
    /// From the start of the supervisor to the host's word that it serves.
    pub(crate) started_in: Duration,
}

impl System {
    /// Serves the deployment in `directory` on a free port, with a local EVM node beside it or without.
    pub(crate) fn start(programs: &Programs, directory: &Path, smtp: &str, with_node: bool) -> anyhow::Result<Self> {
        let log = directory.join("up.log");
        let errors = File::options().append(true).create(true).open(&log).context("up.log")?;
        let mut command = programs.guarded(&programs.pinseal);
        command
            .args(["up", "--json", "--port", "0", "--restarts", RESTARTS, "--smtp", smtp, "--data"])
            .arg(directory)
            .args(if with_node { ["--node-port", "0"].as_slice() } else { &["--no-dev-node"] });
        command.env("RUST_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let begun = Instant::now();
        let mut supervisor = command.spawn().context("pinseal up")?;
        let mut words = BufReader::new(supervisor.stdout.take().context("pinseal up")?);
        let mut line = String::new();
        words.read_line(&mut line).context("pinseal up")?;
        let started_in = begun.elapsed();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            let _ = supervisor.wait();
            bail!("pinseal up does not serve: {}", std::fs::read_to_string(&log).unwrap_or_default());
        };
        let text = |name: &str| ready[name].as_str().map(str::to_owned).with_context(|| format!("{name} in {ready}"));
        let pid = |name: &str| {
            let pid = ready["pids"][name].as_u64().and_then(|pid| u32::try_from(pid).ok());
            pid.with_context(|| format!("pid of {name} in {ready}"))
        };
        let target = Target { url: text("server")?, app_id: text("app_id")?, app_key: text("app_key")? };
        let (host, enclave, node) = (pid("host")?, pid("enclave")?, text("node").ok());
        Ok(Self { supervisor, _words: words, target, directory: directory.to_owned(), host, enclave, node, started_in })
    }

    /// The CPU clocks of the two serving processes.
    pub(crate) fn clocks(&self) -> anyhow::Result<Vec<(&'static str, CpuClock)>> {
        Ok(vec![("host", CpuClock::of(self.host)?), ("enclave", CpuClock::of(self.enclave)?)])
    }

    /// Host and enclave as they run now: the supervisor starts them anew after a kill. `None` while one of them is missing.
    pub(crate) fn children(&self) -> anyhow::Result<Option<(u32, u32)>> {
        let supervisor = self.supervisor.id();
        let listed = std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"));
        let (mut host, mut enclave) = (None, None);
        for pid in listed.context("children of the supervisor")?.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            // A name is cut to 15 characters; a child that has just ended has none.
            match std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim() {
                "pinseal" => host = Some(pid),
                "pinseal-enclave" => enclave = Some(pid),
                _ => {}
            }
        }
        Ok(host.zip(enclave))
    }

    /// Stops everything in order and waits for it.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        terminate(&mut self.supervisor)
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // Has ended already after `stop`.
        let _ = terminate(&mut self.supervisor);
    }
}

/// Asks one process of ours to end, and waits for it.
pub(crate) fn terminate(child: &mut Child) -> anyhow::Result<()> {
    if child.try_wait().context("wait")?.is_some() {
        return Ok(());
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("process id")?;
    kill_process(pid, Signal::TERM).context("stop a process")?;
    child.wait().context("wait for a process")?;
    Ok(())
}
