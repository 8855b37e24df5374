//! Calls about networks, balances and transactions.

use serde::Serialize;

use super::exchange::{Authorization, Call};
use super::types::{Empty, Items, PrepareResponse};
use super::{Api, ApiError, Balances, Fees, NetworkInfo, Page, Transaction};
use crate::environment;
use crate::transaction::TransactionRequest;
use crate::values::{Address, Amount, EvmBytes, Network};

/// Most items asked for in one page.
pub const PAGE_ITEMS_MAX: u32 = 100;

#[derive(Serialize)]
struct Prepare<'a> {
    network: &'a Network,
    from: Address,
    to: Address,
    value: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<EvmBytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<u64>,
    reserve: bool,
}

#[derive(Serialize)]
struct Broadcast<'a> {
    network: &'a Network,
    raw: EvmBytes,
}

/// Why a broadcast has no answer that shows the transaction.
pub(crate) struct BroadcastError {
    /// What came in place of it.
    pub(crate) error: ApiError,
    /// The server was sent it and has not refused it: what became of it is not known.
    pub(crate) is_out: bool,
}

#[derive(Serialize)]
struct Release<'a> {
    reservation_id: &'a str,
}

impl Api {
    /// The registry.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn networks(&self) -> Result<Vec<NetworkInfo>, ApiError> {
        let answer: Items<NetworkInfo> = self.exchange(&Call::get(&["v1", "networks"]), Authorization::App).await?;
        Ok(answer.items)
    }

    /// Fees of a network.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn fees(&self, network: &Network) -> Result<Fees, ApiError> {
        self.exchange(&Call::get(&["v1", "networks", network.as_str(), "fees"]), Authorization::App).await
    }

    /// Native and token balances of an address.
    ///
    /// # Errors
    /// [`ApiError`]; [`ApiError::Malformed`] for an answer about another network, address or list of tokens.
    pub async fn balances(
        &self,
        network: &Network,
        address: Address,
        tokens: &[Address],
    ) -> Result<Balances, ApiError> {
        let mut call = Call::get(&["v1", "balances"]).query("network", network).query("address", address);
        for token in tokens {
            call = call.query("token", token);
        }
        let balances: Balances = self.authorized(&call).await?;
        let same = balances.network == *network
            && balances.address == address
            && balances.tokens.iter().map(|token| &token.contract).eq(tokens);
        same.then_some(balances).ok_or(ApiError::Malformed("balances of something else"))
    }

    pub(crate) async fn prepare(
        &self,
        from: Address,
        request: &TransactionRequest,
        reserve: bool,
    ) -> Result<PrepareResponse, ApiError> {
        let TransactionRequest { network, to, value, nonce, .. } = request;
        let data = (!request.data.is_empty()).then(|| EvmBytes(request.data.clone()));
        let body = Prepare { network, from, to: *to, value: *value, data, nonce: *nonce, reserve };
        let key = hex::encode(environment::random::<16>(&*self.inner.environment));
        self.creating(Call::post(&["v1", "tx", "prepare"], &body)?, key).await
    }

    /// Sends once; the caller repeats it.
    pub(crate) async fn broadcast(
        &self,
        network: &Network,
        raw: &[u8],
        key: String,
    ) -> Result<Transaction, BroadcastError> {
        let body = Broadcast { network, raw: EvmBytes(raw.to_vec()) };
        let call = Call::post(&["v1", "tx", "broadcast"], &body);
        let call = call.map_err(|error| BroadcastError { error, is_out: false })?.idempotent(key);
        let answer = self.authorized(&call).await;
        answer.map_err(|error| BroadcastError { is_out: call.has_left() && !error.is_refusal(), error })
    }

    /// One transaction. What it says is to be kept: [`crate::Client::transaction`].
    pub(crate) async fn transaction(&self, network: &Network, hash: &EvmBytes) -> Result<Transaction, ApiError> {
        let hash = hash.to_string();
        self.authorized(&Call::get(&["v1", "tx", network.as_str(), &hash])).await
    }

    /// What this system sent from an address, newest first, and nothing else. What it says is to be kept: [`crate::Client::transactions`].
    pub(crate) async fn transactions(
        &self,
        network: &Network,
        address: Address,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Transaction>, ApiError> {
        let mut call = Call::get(&["v1", "tx"])
            .query("network", network)
            .query("address", address)
            .query("limit", limit.clamp(1, PAGE_ITEMS_MAX));
        if let Some(cursor) = cursor {
            call = call.query("cursor", cursor);
        }
        let page: Page<Transaction> = self.authorized(&call).await?;
        let is_asked = |row: &Transaction| row.network == *network && row.from == address;
        if page.items.iter().all(is_asked) {
            Ok(page)
        } else {
            Err(ApiError::Malformed("transactions of another account"))
        }
    }

    pub(crate) async fn release(&self, reservation_id: &str) -> Result<(), ApiError> {
        let _: Empty = self.authorized(&Call::post(&["v1", "tx", "release"], &Release { reservation_id })?).await?;
        Ok(())
    }
}
