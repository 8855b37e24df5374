//! The local EVM node (anvil).

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::children::{Child, Recipe};
use super::ports::{LOOPBACK, Port};
use crate::failure::{Failure, Outcome};

/// CAIP-2 id of the local chain.
pub(super) use pinseal_networks::dev::LOCAL_NETWORK as NETWORK;
/// The node says so when it serves, followed by its address.
const READY: &str = "Listening on ";
/// It takes a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Seconds between two writes of its state; it also writes when it stops.
const STATE_SECONDS: &str = "15";

/// A serving node.
#[derive(Debug)]
pub(super) struct Node {
    /// Its process.
    pub(super) child: Child,
    /// JSON-RPC URL.
    pub(super) url: String,
}

impl Node {
    /// Starts the node on `port` (0: any) and waits until it serves. Its chain is kept in `state`.
    ///
    /// # Errors
    /// The port is taken, or the node does not start.
    pub(super) async fn start(program: &Path, logs: &Path, state: &Path, port: u16) -> Outcome<Self> {
        // Bound for a moment only, so that a busy port is named as such.
        drop(Port::bind("local EVM node", "--node-port", LOOPBACK, port)?);
        let (port, loopback) = (port.to_string(), LOOPBACK.to_string());
        let mut arguments: Vec<&std::ffi::OsStr> =
            ["--host", &loopback, "--port", &port, "--hardfork", "prague", "--chain-id", "31337"]
                .map(AsRef::as_ref)
                .to_vec();
        arguments.extend(["--state-interval", STATE_SECONDS, "--state"].map(AsRef::<std::ffi::OsStr>::as_ref));
        arguments.push(state.as_os_str());
        let recipe =
            Recipe { name: "local EVM node", program, user: None, stdin: Stdio::null(), kept: &[], talks: true, logs };
        let mut child = recipe.start(arguments)?;
        let address = tokio::time::timeout(PATIENCE, address(&mut child)).await;
        match address {
            Ok(Ok(address)) => Ok(Self { child, url: format!("http://{address}") }),
            Ok(Err(())) => {
                let status = child.ended().await;
                Err(child.failure(status))
            }
            Err(_) => {
                child.stop().await;
                Err(Failure::failed("node_silent", "the local EVM node does not start serving"))
            }
        }
    }
}

/// Reads what the node says until it names its address, and keeps reading afterwards so that it never blocks.
async fn address(child: &mut Child) -> Result<String, ()> {
    let mut lines = BufReader::new(child.output().ok_or(())?).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(address) = line.trim().strip_prefix(READY) {
            let address = address.to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(address);
        }
    }
    Err(())
}
