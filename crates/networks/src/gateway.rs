//! The gateway: everything the host does on a chain.

mod balance;
mod broadcast;
mod call;
mod chain;
mod height;
mod history;
mod prepare;
mod queue;
mod replace;
mod rota;
mod senders;
mod stumbles;
mod tiers;
mod tracker;

use std::sync::Arc;

use pinseal_store::StoreError;
use pinseal_store::clock::{Clock, SystemClock};
use pinseal_store::gateway::GatewayStore;

use crate::fees::FeeTiers;
use crate::registry::{Network, Registry, UnknownNetwork};
use crate::rpc::{self, RpcError, RpcLimits};
pub use balance::{Balances, TOKENS_MAX, Token, TokenBalance, TokenFault};
pub use broadcast::{BroadcastError, BroadcastRequest, IdempotencyKey};
pub use call::{CALLABLE_METHODS, CallError, PARAMS_LEN_MAX};
use chain::Chain;
#[cfg(feature = "fuzzing")]
pub(crate) use chain::reads_as_chain_objects;
pub use history::{HISTORY_PAGE_MAX, HistoryPage, HistoryRequest};
pub use prepare::{PrepareError, PrepareRequest, Prepared, Reserved};
pub use queue::{Gap, NonceView};
use senders::Senders;
use stumbles::Stumbles;
pub use tracker::TrackReport;

/// How long a prepared nonce is held: for a signature and its way here, repeats included. Whoever is still reading holds none
/// ([`Gateway::propose`]).
const RESERVATION_SECONDS: u64 = 120;

/// What an operator may set.
#[derive(Clone)]
pub struct GatewayConfig {
    /// Bounds towards nodes.
    pub limits: RpcLimits,
    /// How long a prepared nonce is held.
    pub reservation_seconds: u64,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self { limits: RpcLimits::default(), reservation_seconds: RESERVATION_SECONDS, clock: Arc::new(SystemClock) }
    }
}

impl core::fmt::Debug for GatewayConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("GatewayConfig")
            .field("limits", &self.limits)
            .field("reservation_seconds", &self.reservation_seconds)
            .finish_non_exhaustive()
    }
}

/// Why a gateway cannot be set up; the machine's fault (no TLS roots, no file descriptors).
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up")]
pub struct SetupError(#[source] reqwest::Error);

/// Why something could not be read from a chain or written down.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// No such network; the caller's fault.
    #[error(transparent)]
    UnknownNetwork(#[from] UnknownNetwork),
    /// The nodes'; see [`RpcError`] for whether to try again.
    #[error("the network's nodes gave no result")]
    Rpc(#[from] RpcError),
    /// The nodes gave whoever asked the same at the same time no result; the peers' fault. Try again later.
    #[error("the network's nodes gave nobody a result")]
    Unanswered,
    /// A node's answer that cannot be true or would cost the user dearly; the peer's fault. Try again later.
    #[error("a node answered with {0}")]
    Implausible(&'static str),
    /// More tokens than [`TOKENS_MAX`] in one question; the caller's fault.
    #[error("more than {TOKENS_MAX} tokens")]
    TooManyTokens,
    /// Our fault; nothing was sent.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Everything the host does on a chain. Clones share one state.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    chains: Vec<Arc<Chain>>,
    store: Arc<dyn GatewayStore>,
    clock: Arc<dyn Clock>,
    reservation_seconds: u64,
    senders: Senders,
    stumbles: Stumbles,
}

impl core::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Gateway").field("registry", &self.inner.registry).finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway over a registry and a store. No node is asked anything yet.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(registry: Registry, store: Arc<dyn GatewayStore>, config: GatewayConfig) -> Result<Self, SetupError> {
        let http = rpc::http_client().map_err(SetupError)?;
        let chain = |network| Arc::new(Chain::new(network, http.clone(), config.limits));
        let chains = registry.networks().iter().map(chain).collect();
        Ok(Self {
            inner: Arc::new(Inner {
                registry,
                chains,
                store,
                clock: config.clock,
                reservation_seconds: config.reservation_seconds,
                senders: Senders::default(),
                stumbles: Stumbles::default(),
            }),
        })
    }

    /// Every network of the registry.
    pub fn networks(&self) -> &[Network] {
        self.inner.registry.networks()
    }

    /// A network by CAIP-2 id or alias.
    pub fn network(&self, name: &str) -> Option<&Network> {
        self.inner.registry.network(name)
    }

    /// What a transaction costs there now, or did three seconds ago, or when the nodes were last asked where they take longer.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn fees(&self, network: &str) -> Result<FeeTiers, GatewayError> {
        self.chain(network)?.tiers(self.inner.clock.now()).await
    }

    /// Height of the newest block; shows that the network's nodes answer.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn block_number(&self, network: &str) -> Result<u64, GatewayError> {
        self.chain(network)?.head(self.inner.clock.now()).await
    }

    /// The same as a node last told it, for whatever reason it was asked, where it was asked within this many seconds; or however long ago, without a
    /// bound. No node is asked now.
    pub fn height_told(&self, network: &str, within_seconds: Option<u64>) -> Option<u64> {
        self.chain(network).ok()?.height.told(within_seconds, self.inner.clock.now())
    }

    fn chain(&self, name: &str) -> Result<&Arc<Chain>, UnknownNetwork> {
        let network = self.inner.registry.network(name).ok_or(UnknownNetwork)?;
        self.inner.chains.iter().find(|chain| chain.network.caip2 == network.caip2).ok_or(UnknownNetwork)
    }

    /// Runs blocking work on the store without holding up the other tasks.
    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn GatewayStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(&self.inner.store);
        // The task only ends without a result if it panicked or the runtime shuts down; either way nothing more is written.
        tokio::task::spawn_blocking(move || work(store.as_ref())).await.unwrap_or(Err(StoreError::Stopped))
    }
}
