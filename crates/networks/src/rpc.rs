//! JSON-RPC 2.0 towards nodes that may be slow, wrong or hostile.
//!
//! A read is tried on every endpoint and, if all fail, once more, unless it is in a caller's words and took too long; the bytes
//! of a signed transaction are shown to each endpoint at most once per call, because only they mean the same however often
//! they arrive.

mod exchange;
mod quantity;
mod refusal;
mod wire;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use pinseal_protocol::ids::Hash32;
use pinseal_protocol::intent::ChainId;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::registry::{Caip2, Network, RpcUrl};
pub(crate) use quantity::{Bytes, Hash, Quantity, Quantity64, hex_bytes, hex_quantity};
pub use refusal::{PeerText, Refusal, Rejection};

/// Rounds over the endpoints before a read fails.
const READ_ROUNDS: u32 = 2;
/// Pause before the second round, so that a node that restarts or throttles gets a moment.
const ROUND_PAUSE: Duration = Duration::from_millis(150);

/// Bounds of one exchange with a node.
#[derive(Debug, Clone, Copy)]
pub struct RpcLimits {
    /// From the first byte sent to the last byte read.
    pub exchange_time_max: Duration,
    /// Over all endpoints and rounds of one call.
    pub call_time_max: Duration,
    /// Bytes of an answer. A block with its transactions stays below four MiB.
    pub answer_len_max: usize,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            exchange_time_max: Duration::from_secs(8),
            call_time_max: Duration::from_secs(20),
            answer_len_max: 4 * 1024 * 1024,
        }
    }
}

/// Why a call brought no result.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// No endpoint gave a usable answer: the peers' fault or the network's. The caller may try again.
    #[error("no node of {network} gave a usable answer; the last one asked was {endpoint}")]
    Unavailable {
        /// The network.
        network: Caip2,
        /// Origin of the endpoint asked last, or "none".
        endpoint: String,
        /// What was wrong there.
        #[source]
        fault: EndpointFault,
    },
    /// A node understood the request and refused it. Trying again does not help.
    #[error("the node refused")]
    Refused(#[source] Refusal),
}

impl RpcError {
    /// True if the last answer was unusable in itself: what was asked may be to blame, and not the nodes.
    pub const fn is_of_one_answer(&self) -> bool {
        matches!(self, Self::Unavailable { fault: EndpointFault::TooLong | EndpointFault::Malformed(_), .. })
    }
}

/// What is wrong with an endpoint's answer; always the peer's fault.
#[derive(Debug, thiserror::Error)]
pub enum EndpointFault {
    /// The registry has no endpoint for the network; the operator's fault.
    #[error("no endpoint is configured")]
    NoEndpoint,
    /// No connection, or it broke.
    #[error("not reachable")]
    Unreachable(#[source] reqwest::Error),
    /// No whole answer within [`RpcLimits::exchange_time_max`].
    #[error("no answer in time")]
    TimedOut,
    /// Longer than [`RpcLimits::answer_len_max`].
    #[error("answer too long")]
    TooLong,
    /// The node asks for fewer requests.
    #[error("the node throttles")]
    Throttled,
    /// An HTTP status that carries no JSON-RPC answer.
    #[error("HTTP status {0}")]
    Status(u16),
    /// Not a JSON-RPC answer, or a result of another form than the method's.
    #[error("malformed answer: {0}")]
    Malformed(&'static str),
    /// The answer belongs to another request.
    #[error("answer to another request")]
    WrongId,
    /// The node serves another chain than the registry says.
    #[error("the node serves chain {found}, the registry says {expected}")]
    WrongChain {
        /// From the registry.
        expected: ChainId,
        /// From `eth_chainId`.
        found: ChainId,
    },
}

impl EndpointFault {
    /// True if the request surely never left.
    fn is_undelivered(&self) -> bool {
        matches!(self, Self::Unreachable(error) if error.is_connect())
    }
}

/// What became of a transaction's bytes.
#[derive(Debug)]
pub(crate) enum Sent {
    /// A node took it into its pool.
    Accepted,
    /// A node refused it.
    Refused {
        /// Why.
        refusal: Refusal,
        /// False if an earlier endpoint may have taken it.
        is_sole: bool,
    },
    /// Nobody gave a usable answer; a node may hold it all the same.
    Unclear(RpcError),
}

/// The endpoints of one network.
#[derive(Debug)]
pub(crate) struct RpcClient {
    network: Caip2,
    endpoints: Vec<Endpoint>,
    http: reqwest::Client,
    limits: RpcLimits,
    next_id: AtomicU64,
    preferred: AtomicUsize,
    epoch: AtomicU64,
}

#[derive(Debug)]
struct Endpoint {
    url: RpcUrl,
    is_verified: AtomicBool,
}

impl RpcClient {
    pub(crate) fn new(network: &Network, http: reqwest::Client, limits: RpcLimits) -> Self {
        Self::with_urls(network.caip2.clone(), &network.rpc_urls, http, limits)
    }

    pub(crate) fn with_urls(network: Caip2, urls: &[RpcUrl], http: reqwest::Client, limits: RpcLimits) -> Self {
        let endpoint = |url: &RpcUrl| Endpoint { url: url.clone(), is_verified: AtomicBool::new(false) };
        Self {
            network,
            endpoints: urls.iter().map(endpoint).collect(),
            http,
            limits,
            next_id: AtomicU64::new(1),
            preferred: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
        }
    }

    /// Grows whenever a connection failed: what was learned about a local chain may then be about another one.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Reads something; safe to ask again, so every endpoint is tried.
    pub(crate) async fn read<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, RpcError> {
        self.read_for(Asker::Us, method, &params).await
    }

    /// As [`RpcClient::read`], in a caller's words. Where an endpoint took too long there is no second round: it is most likely the question that
    /// takes so long, and asking it once more would hold up the nodes, and whoever waits for them.
    pub(crate) async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, RpcError> {
        self.read_for(Asker::Caller, method, &params).await
    }

    async fn read_for<T: DeserializeOwned>(&self, asker: Asker, method: &str, params: &Value) -> Result<T, RpcError> {
        let mut last = None;
        let rounds = self.read_rounds(asker, method, params, &mut last);
        match tokio::time::timeout(self.limits.call_time_max, rounds).await {
            Ok(result) => result,
            Err(_) => {
                let (endpoint, _) = last.unwrap_or((String::from("none"), EndpointFault::TimedOut));
                Err(self.unavailable(endpoint, EndpointFault::TimedOut))
            }
        }
    }

    async fn read_rounds<T: DeserializeOwned>(
        &self,
        asker: Asker,
        method: &str,
        params: &Value,
        last: &mut Option<(String, EndpointFault)>,
    ) -> Result<T, RpcError> {
        let mut took_too_long = false;
        for round in 0..READ_ROUNDS {
            if round > 0 {
                if took_too_long && asker == Asker::Caller {
                    break;
                }
                tokio::time::sleep(ROUND_PAUSE).await;
            }
            for (index, endpoint) in self.in_order() {
                match self.read_from(endpoint, method, params).await {
                    Ok(result) => {
                        self.preferred.store(index, Ordering::Relaxed);
                        return Ok(result);
                    }
                    Err(Fault::Refused(refusal)) => return Err(RpcError::Refused(refusal)),
                    Err(Fault::Endpoint(fault)) => {
                        took_too_long |= matches!(fault, EndpointFault::TimedOut);
                        *last = Some((self.note(endpoint, method, &fault), fault));
                    }
                }
            }
        }
        let (endpoint, fault) = last.take().unwrap_or((String::from("none"), EndpointFault::NoEndpoint));
        Err(self.unavailable(endpoint, fault))
    }

    async fn read_from<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        method: &str,
        params: &Value,
    ) -> Result<T, Fault> {
        self.verify(endpoint).await?;
        self.typed(endpoint, method, params).await
    }

    /// Asks the first endpoint once: for what is not safe to ask again.
    pub(crate) async fn once<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, RpcError> {
        let Some(endpoint) = self.endpoints.first() else {
            return Err(self.unavailable(String::from("none"), EndpointFault::NoEndpoint));
        };
        self.read_from(endpoint, method, &params).await.map_err(|fault| match fault {
            Fault::Refused(refusal) => RpcError::Refused(refusal),
            Fault::Endpoint(fault) => self.unavailable(self.note(endpoint, method, &fault), fault),
        })
    }

    /// Shows a signed transaction to the endpoints, each at most once, until one takes or refuses it.
    pub(crate) async fn send_raw(&self, raw: &[u8], hash: Hash32) -> Sent {
        let tried = tokio::time::timeout(self.limits.call_time_max, self.send_raw_round(raw, hash)).await;
        tried.unwrap_or_else(|_| Sent::Unclear(self.unavailable(String::from("none"), EndpointFault::TimedOut)))
    }

    async fn send_raw_round(&self, raw: &[u8], hash: Hash32) -> Sent {
        let params = json!([hex_bytes(raw)]);
        let mut is_sole = true;
        let mut last = (String::from("none"), EndpointFault::NoEndpoint);
        for (_, endpoint) in self.in_order() {
            if let Err(fault) = self.verify(endpoint).await {
                // The transaction itself was not on the wire yet.
                last = (self.note(endpoint, "eth_chainId", &fault), fault);
                continue;
            }
            let fault = match self.typed::<Hash>(endpoint, "eth_sendRawTransaction", &params).await {
                Ok(answered) if answered.0 == hash => return Sent::Accepted,
                Ok(_) => EndpointFault::Malformed("another hash than the transaction's"),
                Err(Fault::Refused(refusal)) => return Sent::Refused { refusal, is_sole },
                Err(Fault::Endpoint(fault)) => fault,
            };
            is_sole &= fault.is_undelivered();
            last = (self.note(endpoint, "eth_sendRawTransaction", &fault), fault);
        }
        Sent::Unclear(self.unavailable(last.0, last.1))
    }

    /// Asks an endpoint for its chain id before anything else, and again after it was away.
    async fn verify(&self, endpoint: &Endpoint) -> Result<(), EndpointFault> {
        if endpoint.is_verified.load(Ordering::Acquire) {
            return Ok(());
        }
        let found: Quantity64 = match self.typed(endpoint, "eth_chainId", &json!([])).await {
            Ok(found) => found,
            // A node that refuses to name its chain is as good as none.
            Err(Fault::Refused(_)) => return Err(EndpointFault::Malformed("eth_chainId refused")),
            Err(Fault::Endpoint(fault)) => return Err(fault),
        };
        let expected = self.network.chain_id();
        if found.0 != expected.0 {
            return Err(EndpointFault::WrongChain { expected, found: ChainId(found.0) });
        }
        endpoint.is_verified.store(true, Ordering::Release);
        Ok(())
    }

    async fn typed<T: DeserializeOwned>(&self, endpoint: &Endpoint, method: &str, params: &Value) -> Result<T, Fault> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let result = exchange::exchange(&self.http, &endpoint.url, &self.limits, id, method, params).await;
        if let Err(Fault::Endpoint(EndpointFault::Unreachable(_))) = &result {
            endpoint.is_verified.store(false, Ordering::Release);
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        serde_json::from_value(result?).map_err(|_| EndpointFault::Malformed("result of another form").into())
    }

    /// Endpoints, the one that answered last first.
    fn in_order(&self) -> impl Iterator<Item = (usize, &Endpoint)> {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let (before, from) = self.endpoints.split_at(preferred.min(self.endpoints.len()));
        let numbered_from = from.iter().enumerate().map(move |(index, endpoint)| (preferred + index, endpoint));
        numbered_from.chain(before.iter().enumerate())
    }

    fn note(&self, endpoint: &Endpoint, method: &str, fault: &EndpointFault) -> String {
        let origin = endpoint.url.origin();
        tracing::warn!(network = %self.network, endpoint = %origin, method, %fault, "node gave no usable answer");
        origin
    }

    fn unavailable(&self, endpoint: String, fault: EndpointFault) -> RpcError {
        RpcError::Unavailable { network: self.network.clone(), endpoint, fault }
    }
}

/// Whose words a question is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Us,
    Caller,
}

/// How one exchange failed.
#[derive(Debug)]
enum Fault {
    /// The next endpoint may do better.
    Endpoint(EndpointFault),
    /// The node has spoken.
    Refused(Refusal),
}

impl From<EndpointFault> for Fault {
    fn from(fault: EndpointFault) -> Self {
        Self::Endpoint(fault)
    }
}

/// The HTTP client all networks share: no redirects, since a node has no reason to send its callers elsewhere, and no
/// proxy from the environment.
pub(crate) fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("pinseal/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(8)
        .build()
}

/// For the fuzz targets: what [`exchange`] makes of a body.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_answer(body: &[u8], id: u64) -> Result<Result<Value, Refusal>, EndpointFault> {
    wire::answer(body, id).map(|answer| match answer {
        wire::Answer::Result(result) => Ok(result),
        wire::Answer::Error(refusal) => Err(refusal),
    })
}
