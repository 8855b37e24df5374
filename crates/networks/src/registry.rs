//! The registry of networks: one TOML file, embedded and overridable.

mod caip2;
mod parse;
mod rpc_url;

use std::path::Path;

use alloy_primitives::U256;
use pinseal_protocol::intent::ChainId;

pub use caip2::{Caip2, Caip2Error};
pub use parse::{EntryError, RegistryError};
pub use rpc_url::{RpcUrl, RpcUrlError};

/// The registry this release ships with.
const EMBEDDED: &str = include_str!("../../../networks.toml");

/// Every network of the deployment, in the file's order.
#[derive(Debug, Clone)]
pub struct Registry {
    networks: Vec<Network>,
}

/// One network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its CAIP-2 id.
    pub caip2: Caip2,
    /// Other names callers may use.
    pub aliases: Vec<String>,
    /// For people.
    pub name: String,
    /// Symbol of the native currency.
    pub symbol: String,
    /// Decimals of the native currency.
    pub decimals: u8,
    /// Endpoints, tried in this order. They may carry keys: do not show them.
    pub rpc_urls: Vec<RpcUrl>,
    /// Block explorer.
    pub explorer: Option<String>,
    /// Blocks, its own included, after which a transaction counts as final.
    pub finality_blocks: u64,
    /// Whether anything may still be sent there.
    pub status: NetworkStatus,
    /// True if its coins are worth nothing.
    pub testnet: bool,
    /// Floor of the priority fee, in wei per gas.
    pub priority_fee_min: U256,
    /// Most a node is believed when it names a fee, in wei per gas.
    pub fee_cap: U256,
    /// The development node: its URL is handed in, and it may start anew under the same chain id.
    pub local: bool,
}

/// Whether a network is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkStatus {
    /// In use.
    Active,
    /// Shown and readable, but nothing is sent there any more.
    Retired,
}

impl Network {
    /// The EIP-155 chain id.
    pub const fn chain_id(&self) -> ChainId {
        self.caip2.chain_id()
    }

    /// Where people look a transaction up (EIP-3091).
    pub fn explorer_url(&self, hash: pinseal_protocol::ids::Hash32) -> Option<String> {
        self.explorer.as_ref().map(|base| format!("{base}/tx/0x{hash}"))
    }

    fn answers_to(&self, name: &str) -> bool {
        self.caip2.as_str() == name || self.aliases.iter().any(|alias| alias == name)
    }
}

impl Registry {
    /// The registry this release ships with.
    ///
    /// # Errors
    /// [`RegistryError`] never in a release: a test parses it.
    pub fn embedded() -> Result<Self, RegistryError> {
        Self::parse(EMBEDDED, "networks.toml (embedded)")
    }

    /// The registry in a file of the operator's, which takes the embedded one's place.
    ///
    /// # Errors
    /// [`RegistryError`] names file, line and entry.
    pub fn from_path(path: &Path) -> Result<Self, RegistryError> {
        let source = path.display().to_string();
        let file = std::fs::File::open(path).map_err(|error| RegistryError::unreadable(&source, error))?;
        parse::read_bounded(file, &source).and_then(|text| Self::parse(&text, &source))
    }

    /// The registry in a text; `source` names it in errors.
    ///
    /// # Errors
    /// [`RegistryError`] names source, line and entry.
    pub fn parse(text: &str, source: &str) -> Result<Self, RegistryError> {
        parse::registry(text, source).map(|networks| Self { networks })
    }

    /// Gives a network this endpoint alone; how the local chain gets its URL at start.
    ///
    /// # Errors
    /// [`UnknownNetwork`].
    pub fn with_rpc_url(mut self, name: &str, url: RpcUrl) -> Result<Self, UnknownNetwork> {
        let network = self.networks.iter_mut().find(|network| network.answers_to(name)).ok_or(UnknownNetwork)?;
        network.rpc_urls = vec![url];
        Ok(self)
    }

    /// Every network.
    pub fn networks(&self) -> &[Network] {
        &self.networks
    }

    /// A network by CAIP-2 id or alias.
    pub fn network(&self, name: &str) -> Option<&Network> {
        self.networks.iter().find(|network| network.answers_to(name))
    }
}

/// No entry of the registry has this name; the caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown network")]
pub struct UnknownNetwork;
