//! The readers of nodes' answers, opened to the fuzz targets. What a gateway does with an answer goes through these very functions.

use alloy_primitives::U256;
use pinseal_protocol::ids::Hash32;
use serde_json::Value;

use crate::fees::{self, FeeTiers};
use crate::gateway;
use crate::registry::Network;
use crate::rpc::{self, Bytes, EndpointFault, Hash, PeerText, Quantity, Quantity64, Refusal};

/// The result of an answer to request `id`, or the refusal in it.
///
/// # Errors
/// [`EndpointFault`].
pub fn answer(body: &[u8], id: u64) -> Result<Result<Value, Refusal>, EndpointFault> {
    rpc::read_answer(body, id)
}

/// A result as a number.
pub fn quantity(result: &Value) -> Option<U256> {
    typed::<Quantity>(result).map(|quantity| quantity.0)
}

/// A result as a number of 64 bits.
pub fn quantity_64(result: &Value) -> Option<u64> {
    typed::<Quantity64>(result).map(|quantity| quantity.0)
}

/// A result as a hash.
pub fn hash(result: &Value) -> Option<Hash32> {
    typed::<Hash>(result).map(|hash| hash.0)
}

/// A result as bytes.
pub fn bytes(result: &Value) -> Option<Vec<u8>> {
    typed::<Bytes>(result).map(|bytes| bytes.0)
}

/// A result as a fee history; `None` if it is none or does not add up.
pub fn fee_tiers(result: &Value, network: &Network) -> Option<FeeTiers> {
    fees::of_history(result.clone(), network)
}

/// Whether a result reads as a receipt, a block and a transaction.
pub fn chain_objects(result: &Value) -> [bool; 3] {
    gateway::reads_as_chain_objects(result)
}

/// The reason in a reverted call's data.
pub fn revert_reason(data: &[u8]) -> Option<PeerText> {
    crate::abi::revert_reason(data)
}

fn typed<T: serde::de::DeserializeOwned>(result: &Value) -> Option<T> {
    serde_json::from_value(result.clone()).ok()
}
