//! One network at run time.

use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::intent::EvmAddress;
use pinseal_store::gateway::{Amount, Genesis, Inclusion, NetworkId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify};

use super::balance::{Descriptions, VIEW_ANSWER_LEN_MAX};
use super::height::Height;
use super::rota::Rota;
use super::tiers::Tiers;
use super::{Gateway, GatewayError};
use crate::registry::Network;
use crate::rpc::{Hash, Quantity, Quantity64, RpcClient, RpcLimits, hex_quantity};
use alloy_primitives::U256;

/// Most transactions of one sender a node is believed to hold in its pool; pools take 16 to 64 by default.
const POOLED_MAX: u64 = 4_096;

/// A network, its endpoints and what was learned about them.
pub(super) struct Chain {
    pub(super) network: Network,
    pub(super) id: NetworkId,
    pub(super) rpc: RpcClient,
    /// For questions to contracts, which anybody writes: their answers are cut short.
    pub(super) views: RpcClient,
    /// How tokens describe themselves.
    pub(super) descriptions: Descriptions,
    /// What transactions cost.
    pub(super) tiers: Tiers,
    /// How high it is, as nodes last told.
    pub(super) height: Height,
    /// Rung when something was sent, so that a local chain's instant block is seen at once.
    pub(super) sent: Notify,
    /// Whose transaction is looked at next.
    pub(super) rota: Rota,
    /// Epoch of the client at which the local chain's first block was compared.
    genesis_seen: Mutex<Option<u64>>,
}

/// A receipt, as far as it decides anything.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    transaction_hash: Hash,
    block_hash: Hash,
    block_number: Quantity64,
    status: Quantity64,
    gas_used: Quantity64,
    #[serde(default)]
    effective_gas_price: Option<Quantity>,
}

#[derive(Debug, Deserialize)]
struct Block {
    hash: Hash,
}

#[derive(Debug, Deserialize)]
struct Transaction {
    hash: Hash,
}

/// For the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(crate) fn reads_as_chain_objects(result: &Value) -> [bool; 3] {
    [
        serde_json::from_value::<Receipt>(result.clone()).is_ok(),
        serde_json::from_value::<Block>(result.clone()).is_ok(),
        serde_json::from_value::<Transaction>(result.clone()).is_ok(),
    ]
}

/// How many transactions of a sender the chain knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    /// Mined.
    pub(super) latest: u64,
    /// Mined, or in the node's pool without a gap.
    pub(super) pending: u64,
}

impl Chain {
    pub(super) fn new(network: &Network, http: reqwest::Client, limits: RpcLimits) -> Self {
        Self {
            network: network.clone(),
            id: NetworkId(network.caip2.to_string()),
            views: RpcClient::new(
                network,
                http.clone(),
                RpcLimits { answer_len_max: limits.answer_len_max.min(VIEW_ANSWER_LEN_MAX), ..limits },
            ),
            descriptions: Descriptions::default(),
            tiers: Tiers::default(),
            rpc: RpcClient::new(network, http, limits),
            height: Height::default(),
            sent: Notify::new(),
            rota: Rota::default(),
            genesis_seen: Mutex::new(None),
        }
    }

    /// Height of the newest block, which is remembered as asked for now.
    pub(super) async fn head(&self, now: UnixSeconds) -> Result<u64, GatewayError> {
        let height = self.rpc.read::<Quantity64>("eth_blockNumber", json!([])).await?.0;
        self.height.note(height, now);
        Ok(height)
    }

    /// Native balance.
    pub(super) async fn balance(&self, address: EvmAddress) -> Result<U256, GatewayError> {
        Ok(self.rpc.read::<Quantity>("eth_getBalance", json!([hex_address(address), "latest"])).await?.0)
    }

    /// Transactions of a sender up to `block`, which is a tag or a height.
    pub(super) async fn count(&self, address: EvmAddress, block: &str) -> Result<u64, GatewayError> {
        Ok(self.rpc.read::<Quantity64>("eth_getTransactionCount", json!([hex_address(address), block])).await?.0)
    }

    /// Mined and pooled transactions of a sender.
    pub(super) async fn counts(&self, address: EvmAddress) -> Result<Counts, GatewayError> {
        let (latest, pending) = tokio::try_join!(self.count(address, "latest"), self.count(address, "pending"))?;
        // A block may be mined between the two answers, which lets `pending` look smaller.
        let pending = pending.max(latest);
        if pending - latest > POOLED_MAX {
            return Err(GatewayError::Implausible("more pooled transactions than a pool holds"));
        }
        Ok(Counts { latest, pending })
    }

    /// Where a transaction was mined.
    pub(super) async fn inclusion(&self, hash: Hash32) -> Result<Option<Inclusion>, GatewayError> {
        let receipt: Option<Receipt> = self.rpc.read("eth_getTransactionReceipt", json!([format!("0x{hash}")])).await?;
        let Some(receipt) = receipt else { return Ok(None) };
        if receipt.transaction_hash.0 != hash {
            return Err(GatewayError::Implausible("the receipt of another transaction"));
        }
        if receipt.status.0 > 1 {
            return Err(GatewayError::Implausible("a receipt with an unknown status"));
        }
        if i64::try_from(receipt.block_number.0).is_err() || i64::try_from(receipt.gas_used.0).is_err() {
            return Err(GatewayError::Implausible("a receipt beyond what any chain counts to, and the store keeps"));
        }
        Ok(Some(Inclusion {
            block_number: receipt.block_number.0,
            block_hash: receipt.block_hash.0,
            success: receipt.status.0 == 1,
            gas_used: receipt.gas_used.0,
            gas_price: receipt.effective_gas_price.map(|price| Amount(price.0.to_be_bytes())),
        }))
    }

    /// True if a node has the transaction, mined or in its pool.
    pub(super) async fn knows(&self, hash: Hash32) -> Result<bool, GatewayError> {
        let known: Option<Transaction> =
            self.rpc.read("eth_getTransactionByHash", json!([format!("0x{hash}")])).await?;
        match known {
            Some(transaction) if transaction.hash.0 == hash => Ok(true),
            Some(_) => Err(GatewayError::Implausible("another transaction than asked for")),
            None => Ok(false),
        }
    }

    async fn block_hash(&self, number: u64) -> Result<Option<Hash32>, GatewayError> {
        let block: Option<Block> =
            self.rpc.read("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await?;
        Ok(block.map(|block| block.hash.0))
    }
}

impl Gateway {
    /// Before anything about a local chain is read from or written to the store: is it still the same chain? A
    /// development node starts anew, or from an older state file, under the same chain id, and nonces of the chain that
    /// is gone would block every send.
    pub(super) async fn settle_genesis(&self, chain: &Chain) -> Result<(), GatewayError> {
        if !chain.network.local {
            return Ok(());
        }
        let mut seen = chain.genesis_seen.lock().await;
        let epoch = chain.rpc.epoch();
        if *seen == Some(epoch) {
            return Ok(());
        }
        let genesis = chain.block_hash(0).await?.ok_or(GatewayError::Implausible("no first block"))?;
        let id = chain.id.clone();
        let is_anew = self.with_store(move |store| store.observe_genesis(&id, genesis)).await? == Genesis::Changed;
        if is_anew || self.is_put_back(chain).await? {
            let id = chain.id.clone();
            self.with_store(move |store| store.forget(&id)).await?;
            chain.height.forget();
            tracing::info!(network = %chain.network.caip2, "the local chain is another one; its old transactions are gone");
        }
        *seen = Some(epoch);
        Ok(())
    }

    /// True if a block that was final is no longer there.
    async fn is_put_back(&self, chain: &Chain) -> Result<bool, GatewayError> {
        let id = chain.id.clone();
        let Some((number, hash)) = self.with_store(move |store| store.last_final_block(&id)).await? else {
            return Ok(false);
        };
        Ok(chain.block_hash(number).await? != Some(hash))
    }
}

/// An address as JSON-RPC wants it.
pub(super) fn hex_address(address: EvmAddress) -> String {
    format!("0x{address}")
}

/// The call object of `eth_call` and `eth_estimateGas`.
pub(super) fn call_object(from: Option<EvmAddress>, to: Option<EvmAddress>, value: U256, data: &[u8]) -> Value {
    let mut call = serde_json::Map::new();
    if let Some(from) = from {
        call.insert("from".into(), hex_address(from).into());
    }
    if let Some(to) = to {
        call.insert("to".into(), hex_address(to).into());
    }
    if !value.is_zero() {
        call.insert("value".into(), hex_quantity(value).into());
    }
    if !data.is_empty() {
        call.insert("data".into(), crate::rpc::hex_bytes(data).into());
    }
    call.into()
}
