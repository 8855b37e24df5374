//! The server's network seam over the chain gateway.

mod bodies;
mod refusals;
mod replacements;
mod surroundings;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use pinseal_chains::evm::transaction::SignedTransaction;
use pinseal_client::{Address, Amount};
use pinseal_networks::dev::LOCAL_NETWORK;
use pinseal_networks::{
    BroadcastRequest, Cursor, Gateway, GatewayConfig, HistoryRequest, Owner, PrepareRequest, Registry, ReservationId,
    RpcUrl, TxRecord,
};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::secret::SecretBytes;
use pinseal_server::{
    BalancesBody, Boxed, FeesBody, NetworkBody, Networks, NetworksError, PrepareCall, PreparedBody, Room, TxBody,
    TxPageBody,
};
use pinseal_store::Sqlite;
use pinseal_store::accounts::UserId;
use sha2::Sha256;

use super::clock::HostClock;
use crate::deployment::{HostDir, chain};
use crate::failure::{Failure, Outcome};
use refusals::{broadcast, gateway, history, prepare};
use replacements::Replacements;
use surroundings::{Placed, Surroundings};

/// Bytes of the tag on a reservation's public name.
const TAG_BYTES: usize = 16;

/// How often sent transactions are looked at; besides, at once after each broadcast.
const TRACK: Duration = Duration::from_secs(2);

type Answer<'a, T> = Boxed<'a, Result<T, NetworksError>>;

/// The chain gateway, for the API.
pub(super) struct ChainNetworks {
    gateway: Gateway,
    /// What the last question to each network showed.
    seen: Mutex<HashMap<String, &'static str>>,
    /// Tags the names of reservations, so that nobody gives back a nonce that is not theirs by counting. New with every start; a
    /// reservation from before expires by itself.
    reservations: SecretBytes<32>,
    replacements: Replacements,
}

impl ChainNetworks {
    /// Over the operator's registry, or the one this release ships with. `node` is the local chain's URL.
    ///
    /// # Errors
    /// The registry is not usable.
    pub(super) fn open(directory: &HostDir, store: Sqlite, node: Option<&str>) -> Outcome<Self> {
        let path = directory.networks();
        let registry = if path.exists() { Registry::from_path(&path) } else { Registry::embedded() };
        let mut registry = registry
            .map_err(|error| Failure::failed("networks", chain(&error)).advise("mend the file; nothing was started"))?;
        if let Some(node) = node {
            let refused = |error: &dyn std::error::Error| {
                Failure::failed("networks", format!("the local node's URL is not usable: {}", chain(error)))
            };
            let url = RpcUrl::parse(node).map_err(|error| refused(&error))?;
            registry = registry.with_rpc_url(LOCAL_NETWORK, url).map_err(|error| refused(&error))?;
        }
        let config = GatewayConfig { clock: Arc::new(HostClock), ..GatewayConfig::default() };
        let gateway = Gateway::new(registry, Arc::new(store), config)
            .map_err(|error| Failure::failed("networks", chain(&error)))?;
        let mut key = SecretBytes::<32>::zeroed();
        getrandom::fill(key.expose_secret_mut())
            .map_err(|error| Failure::failed("randomness", format!("no randomness: {error}")))?;
        Ok(Self { gateway, seen: Mutex::default(), reservations: key, replacements: Replacements::default() })
    }

    /// Follows sent transactions to their end, until the task is aborted.
    pub(super) fn track(&self) -> tokio::task::JoinHandle<()> {
        let gateway = self.gateway.clone();
        tokio::spawn(async move { gateway.track_every(TRACK).await })
    }

    fn note<T>(&self, network: &str, outcome: Result<T, NetworksError>) -> Result<T, NetworksError> {
        let state = match &outcome {
            Ok(_) => "up",
            Err(NetworksError::Unavailable(_)) => "down",
            Err(_) => return outcome,
        };
        if let Some(known) = self.gateway.network(network) {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(known.caip2.to_string(), state);
        }
        outcome
    }

    /// The public name of a reservation.
    fn named(&self, id: ReservationId) -> String {
        format!("{:x}.{}", id.0, hex::encode(self.tag(id)))
    }

    /// The reservation of a public name; none if we did not give that name out.
    fn reservation(&self, name: &str) -> Option<ReservationId> {
        let id = ReservationId(u64::from_str_radix(name.split_once('.')?.0, 16).ok()?);
        let mut mac = self.mac();
        mac.update(&id.0.to_be_bytes());
        let tag = hex::decode(name.split_once('.')?.1).ok()?;
        (tag.len() == TAG_BYTES && mac.verify_truncated_left(&tag).is_ok()).then_some(id)
    }

    /// What these bytes were prepared to replace.
    fn replaces(&self, network: &str, raw: &[u8]) -> Option<Hash32> {
        let signed = SignedTransaction::parse(raw).ok()?;
        let network = self.gateway.network(network)?.caip2.to_string();
        let place = (network, Address(*signed.sender()), signed.transaction().nonce);
        self.replacements.asked(&place, Instant::now())
    }

    fn tag(&self, id: ReservationId) -> Vec<u8> {
        let mut mac = self.mac();
        mac.update(&id.0.to_be_bytes());
        mac.finalize().into_bytes().iter().copied().take(TAG_BYTES).collect()
    }

    #[allow(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(self.reservations.expose_secret()).expect("HMAC takes a key of any length")
    }

    /// A transaction as the API shows it.
    async fn shown(&self, record: TxRecord) -> TxBody {
        let known = Surroundings::of(&self.gateway, std::slice::from_ref(&record), &Placed).await;
        known.shown(&self.gateway, &record)
    }
}

fn address(text: &str, what: &'static str) -> Result<Address, NetworksError> {
    text.parse().map_err(|_| NetworksError::Invalid(what))
}

fn hex_bytes(text: &str, what: &'static str) -> Result<Vec<u8>, NetworksError> {
    text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok()).ok_or(NetworksError::Invalid(what))
}

impl Networks for ChainNetworks {
    fn list(&self) -> Answer<'_, Vec<NetworkBody>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let body = |network| bodies::network(network, &seen);
        Box::pin(std::future::ready(Ok(self.gateway.networks().iter().map(body).collect())))
    }

    fn caip2(&self, network: &str) -> Option<String> {
        self.gateway.network(network).map(|network| network.caip2.to_string())
    }

    fn fees(&self, network: String) -> Answer<'_, FeesBody> {
        Box::pin(async move {
            let tiers = self.gateway.fees(&network).await.map_err(gateway);
            Ok(bodies::fees(&self.note(&network, tiers)?))
        })
    }

    fn balances(&self, network: String, address: String, tokens: Vec<String>) -> Answer<'_, BalancesBody> {
        Box::pin(async move {
            let holder = self::address(&address, "address")?;
            let contracts = tokens
                .iter()
                .map(|token| self::address(token, "token").map(|token| token.0))
                .collect::<Result<Vec<_>, _>>()?;
            let balances = self.gateway.balance(&network, holder.0, &contracts).await.map_err(gateway);
            let balances = self.note(&network, balances)?;
            let known = self.gateway.network(&network).ok_or(NetworksError::UnknownNetwork)?;
            Ok(bodies::balances(known, holder, balances))
        })
    }

    fn prepare(&self, call: PrepareCall) -> Answer<'_, PreparedBody> {
        Box::pin(async move {
            let from = address(&call.from, "from")?;
            let request = PrepareRequest {
                network: call.network.clone(),
                from: from.0,
                to: call.to.as_deref().map(|to| address(to, "to").map(|to| to.0)).transpose()?,
                value: call.value.parse::<Amount>().map_err(|_| NetworksError::Invalid("value"))?.0,
                data: call.data.as_deref().map(|data| hex_bytes(data, "data")).transpose()?.unwrap_or_default(),
            };
            let prepared = match call.nonce {
                Some(nonce) => self.gateway.prepare_replacement(request, nonce).await,
                None if call.reserve => self.gateway.prepare(request).await,
                None => self.gateway.propose(request).await,
            };
            let prepared = self.note(&call.network, prepared.map_err(prepare))?;
            if let Some(hash) = prepared.replaces {
                let place = (prepared.network.to_string(), from, prepared.nonce);
                self.replacements.ask(place, hash, Instant::now());
            }
            Ok(bodies::prepared(&prepared, prepared.reserved.map(|reserved| self.named(reserved.id))))
        })
    }

    fn sender(&self, _: &str, raw: &str) -> Result<String, NetworksError> {
        let signed = SignedTransaction::parse(&hex_bytes(raw, "raw")?).map_err(|_| NetworksError::Invalid("raw"))?;
        Ok(format!("0x{}", signed.sender()))
    }

    fn broadcast(&self, network: String, raw: String, user: UserId) -> Answer<'_, TxBody> {
        Box::pin(async move {
            // The server keeps the idempotency key; the same bytes are the same transaction in any case.
            let raw = hex_bytes(&raw, "raw")?;
            let replaces = self.replaces(&network, &raw);
            let owner = Owner(user.as_str().to_owned());
            let request = BroadcastRequest { network: network.clone(), raw, owner, idempotency: None, replaces };
            let record = self.gateway.broadcast(request).await.map_err(broadcast);
            let record = self.note(&network, record)?;
            Ok(self.shown(record).await)
        })
    }

    fn transaction(&self, network: String, hash: String, of: Vec<String>) -> Answer<'_, TxBody> {
        Box::pin(async move {
            let hash = Hash32::from_slice(&hex_bytes(&hash, "hash")?).ok_or(NetworksError::Invalid("hash"))?;
            let known = self.gateway.network(&network).ok_or(NetworksError::UnknownNetwork)?;
            let found = self.gateway.transaction(hash).await.map_err(gateway)?;
            let is_shown = |record: &TxRecord| {
                let sender = format!("0x{}", record.sender);
                record.network == known.caip2 && of.iter().any(|own| own.eq_ignore_ascii_case(&sender))
            };
            let record = found.filter(is_shown).ok_or(NetworksError::UnknownTransaction)?;
            let raw = format!("0x{}", hex::encode(&record.raw));
            let shown = self.shown(record).await;
            let raw = (shown.status == bodies::PENDING).then_some(raw);
            Ok(TxBody { raw, ..shown })
        })
    }

    fn history<'a>(
        &'a self,
        network: Option<String>,
        address: String,
        limit: usize,
        cursor: Option<String>,
        room: &'a dyn Room,
    ) -> Answer<'a, TxPageBody> {
        Box::pin(async move {
            let request = HistoryRequest {
                network,
                address: self::address(&address, "address")?.0,
                cursor: cursor
                    .map(|cursor| cursor.parse::<Cursor>())
                    .transpose()
                    .map_err(|_| NetworksError::Invalid("cursor"))?,
                limit: u32::try_from(limit).unwrap_or(u32::MAX),
            };
            let page = self.gateway.history(request).await.map_err(history)?;
            let known = Surroundings::of(&self.gateway, &page.transactions, room).await;
            let items = page.transactions.iter().map(|record| known.shown(&self.gateway, record)).collect();
            Ok(TxPageBody { items, next_cursor: page.next.map(|cursor| cursor.to_string()) })
        })
    }

    fn call(&self, network: String, method: String, params: serde_json::Value) -> Answer<'_, serde_json::Value> {
        Box::pin(async move {
            let answer = self.gateway.call(&network, &method, params).await.map_err(refusals::call);
            self.note(&network, answer)
        })
    }

    fn release(&self, reservation_id: String) -> Answer<'_, ()> {
        Box::pin(async move {
            let id = self.reservation(&reservation_id).ok_or(NetworksError::UnknownReservation)?;
            let released = self.gateway.release(id).await.map_err(|error| NetworksError::Fault(Box::new(error)))?;
            if released { Ok(()) } else { Err(NetworksError::UnknownReservation) }
        })
    }
}
