//! The npm package's anvil as a child process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::registry::{RpcUrl, RpcUrlError};

/// Where `npm install` in `peers/` puts the program itself, below the project's folder. The package's own command forks
/// this one; started directly, one process id is the whole node.
pub const ANVIL_BINARY: &str = "peers/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";

/// How long a node may take to listen; it takes about a second.
const START_TIME_MAX: Duration = Duration::from_secs(30);
/// Lines of a banner before a node that does not say where it listens counts as broken.
const BANNER_LINES_MAX: usize = 1_000;

/// What to start a node with.
#[derive(Debug, Clone, Default)]
pub struct AnvilOptions {
    /// Loopback port; 0 takes a free one.
    pub port: u16,
    /// Further arguments, such as `--state FILE` or `--no-mining`.
    pub arguments: Vec<String>,
}

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum AnvilError {
    /// The program is not installed; the operator runs `make setup`.
    #[error("{} is not there: run make setup", .0.display())]
    NotInstalled(PathBuf),
    /// The program cannot be started.
    #[error("anvil cannot be started")]
    Spawn(#[source] std::io::Error),
    /// It ended before it listened, mostly because the port is taken.
    #[error("anvil ended before it listened: {0}")]
    Ended(String),
    /// It did not listen within 30 seconds.
    #[error("anvil did not listen in time")]
    TimedOut,
    /// It listens at an address that is none.
    #[error("anvil does not say where it listens")]
    Address(#[source] RpcUrlError),
}

/// A running node on loopback with chain id 31337; stopped when dropped.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    url: RpcUrl,
}

impl Anvil {
    /// Starts a node and waits until it listens.
    ///
    /// # Errors
    /// [`AnvilError`]; no process is left behind.
    pub async fn spawn(binary: &Path, options: &AnvilOptions) -> Result<Self, AnvilError> {
        if !binary.is_file() {
            return Err(AnvilError::NotInstalled(binary.to_owned()));
        }
        let mut child = Command::new(binary)
            .args(["--host", "127.0.0.1", "--chain-id", "31337", "--hardfork", "prague", "--port"])
            .arg(options.port.to_string())
            .args(&options.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(AnvilError::Spawn)?;
        let Some(stdout) = child.stdout.take() else { return Err(AnvilError::Ended(String::new())) };
        let mut lines = BufReader::new(stdout).lines();
        let found = tokio::time::timeout(START_TIME_MAX, listening(&mut lines)).await;
        let Some(address) = found.map_err(|_| AnvilError::TimedOut)? else {
            return Err(AnvilError::Ended(last_words(&mut child).await));
        };
        drain(lines, &mut child);
        let url = RpcUrl::parse(&format!("http://{address}")).map_err(AnvilError::Address)?;
        Ok(Self { child, url })
    }

    /// Where it answers.
    pub const fn url(&self) -> &RpcUrl {
        &self.url
    }

    /// Where it answers, as text; on loopback and without a key.
    pub fn url_text(&self) -> String {
        self.url.origin()
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the process ends by itself, which it should not.
    pub async fn ended(&mut self) {
        // Whatever the wait says, there is no process to be waited for any more.
        let _ = self.child.wait().await;
    }

    /// Stops it and waits for its end.
    pub async fn stop(mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill().await;
    }
}

async fn listening(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    for _ in 0..BANNER_LINES_MAX {
        let line = lines.next_line().await.ok()??;
        if let Some(address) = line.trim().strip_prefix("Listening on ") {
            return Some(address.to_owned());
        }
    }
    None
}

/// A node logs every call; a full pipe would stop it.
fn drain(mut stdout: Lines<BufReader<ChildStdout>>, child: &mut Child) {
    tokio::spawn(async move { while let Ok(Some(_)) = stdout.next_line().await {} });
    if let Some(stderr) = child.stderr.take() {
        let mut stderr = BufReader::new(stderr).lines();
        tokio::spawn(async move { while let Ok(Some(_)) = stderr.next_line().await {} });
    }
}

async fn last_words(child: &mut Child) -> String {
    let Some(stderr) = child.stderr.take() else { return String::new() };
    let mut lines = BufReader::new(stderr).lines();
    let mut last = String::new();
    let read = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if !line.trim().is_empty() {
                last = line;
            }
        }
    };
    // A process that closed its output but lives on is killed by the drop of `child`.
    let _ = tokio::time::timeout(Duration::from_secs(1), read).await;
    last
}
