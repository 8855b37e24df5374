//! Reading from a chain on a caller's behalf.

use serde_json::Value;

use super::{Gateway, GatewayError};

/// Methods callers may use: they read, and nothing else. Everything that signs, sends or changes a node is absent.
pub const CALLABLE_METHODS: &[&str] = &[
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_gasPrice",
    "eth_getBalance",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getBlockReceipts",
    "eth_getBlockTransactionCountByHash",
    "eth_getBlockTransactionCountByNumber",
    "eth_getCode",
    "eth_getLogs",
    "eth_getProof",
    "eth_getStorageAt",
    "eth_getTransactionByBlockHashAndIndex",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_maxPriorityFeePerGas",
    "eth_syncing",
    "net_version",
];

/// Longest parameters: a contract's creation code in hex and some room.
pub const PARAMS_LEN_MAX: usize = 256 * 1024;

/// Why a call was not made, or brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Not one of [`CALLABLE_METHODS`]; the caller's fault.
    #[error("the method is not offered")]
    NotOffered,
    /// Not an array, or longer than [`PARAMS_LEN_MAX`]; the caller's fault.
    #[error("parameters are an array of at most {PARAMS_LEN_MAX} bytes")]
    Params,
    /// Anything else; a node's refusal is inside.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

impl Gateway {
    /// Calls a reading method and hands its result through.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(&self, network: &str, method: &str, params: Value) -> Result<Value, CallError> {
        let chain = self.chain(network).map_err(GatewayError::from)?;
        if !CALLABLE_METHODS.contains(&method) {
            return Err(CallError::NotOffered);
        }
        if !params.is_array() || params.to_string().len() > PARAMS_LEN_MAX {
            return Err(CallError::Params);
        }
        Ok(chain.rpc.call(method, params).await.map_err(GatewayError::from)?)
    }
}
