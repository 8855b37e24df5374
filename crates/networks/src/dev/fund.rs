//! Coins from nowhere, on the local chain only.

use std::time::Duration;

use alloy_primitives::U256;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::intent::EvmAddress;
use serde::Deserialize;
use serde_json::json;

use super::LOCAL_NETWORK;
use crate::registry::{Caip2, RpcUrl};
use crate::rpc::{self, Hash, Quantity64, RpcClient, RpcError, RpcLimits, hex_quantity};

/// How long a development node may take to mine; it mines at once.
const MINED_TIME_MAX: Duration = Duration::from_secs(20);
/// How often its receipt is asked for.
const POLL_PERIOD: Duration = Duration::from_millis(25);

/// Why an address was not funded.
#[derive(Debug, thiserror::Error)]
pub enum FundError {
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Http(#[source] reqwest::Error),
    /// No development node answers there, or it refuses.
    #[error("the development node did not send")]
    Rpc(#[from] RpcError),
    /// The node holds no unlocked account, so it is no development node.
    #[error("the node has no unlocked account")]
    NoAccount,
    /// Sent, but not mined in time: a node that does not mine by itself.
    #[error("the transfer was not mined in time")]
    NotMined,
    /// Mined and reverted: the address is a contract that takes no coins.
    #[error("the transfer was reverted")]
    Reverted,
}

#[derive(Deserialize)]
struct Receipt {
    status: Quantity64,
}

/// Sends `wei` from the node's first unlocked account and waits until it is mined.
///
/// # Errors
/// [`FundError`]; a node of another chain id than the local one's is refused.
pub async fn fund(rpc: &RpcUrl, address: EvmAddress, wei: U256) -> Result<Hash32, FundError> {
    let http = rpc::http_client().map_err(FundError::Http)?;
    let network = Caip2::parse(LOCAL_NETWORK).map_err(|_| FundError::NoAccount)?;
    let client = RpcClient::with_urls(network, core::slice::from_ref(rpc), http, RpcLimits::default());

    let accounts: Vec<String> = client.read("eth_accounts", json!([])).await?;
    let from = accounts.first().ok_or(FundError::NoAccount)?;
    let transfer = json!([{"from": from, "to": format!("0x{address}"), "value": hex_quantity(wei)}]);
    let Hash(hash) = client.once("eth_sendTransaction", transfer).await?;
    match tokio::time::timeout(MINED_TIME_MAX, receipt(&client, hash)).await {
        Ok(Ok(receipt)) if receipt.status.0 == 1 => Ok(hash),
        Ok(Ok(_)) => Err(FundError::Reverted),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(FundError::NotMined),
    }
}

async fn receipt(client: &RpcClient, hash: Hash32) -> Result<Receipt, RpcError> {
    let mut poll = tokio::time::interval(POLL_PERIOD);
    loop {
        poll.tick().await;
        let found: Option<Receipt> = client.read("eth_getTransactionReceipt", json!([format!("0x{hash}")])).await?;
        if let Some(receipt) = found {
            return Ok(receipt);
        }
    }
}
