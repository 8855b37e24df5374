//! The seam to the chain gateway: what the network endpoints need of it, in the form they answer.

use pinseal_store::accounts::UserId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Boxed;
use crate::problem::{Problem, table};

/// One network served.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Network)]
pub struct NetworkBody {
    /// CAIP-2 id.
    pub caip2: String,
    /// Name.
    pub name: String,
    /// Symbol of the native coin.
    pub symbol: String,
    /// Decimals of the native coin.
    pub decimals: u8,
    /// Block explorer, if there is one.
    pub explorer: Option<String>,
    /// True if its coins are worth nothing.
    pub testnet: bool,
    /// `up`, `down` or `unknown`.
    pub status: String,
}

/// What one speed costs.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = FeeTier)]
pub struct FeeTierBody {
    /// Wei per gas, decimal.
    pub max_fee_per_gas: String,
    /// Wei per gas, decimal.
    pub max_priority_fee_per_gas: String,
    /// Expected seconds until it is mined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_estimate: Option<u64>,
}

/// Fees now.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Fees)]
pub struct FeesBody {
    /// Cheap.
    pub slow: FeeTierBody,
    /// Usual.
    pub normal: FeeTierBody,
    /// Quick.
    pub fast: FeeTierBody,
    /// Base fee of the next block, wei per gas, decimal; `0` on networks without EIP-1559.
    pub base_fee: String,
    /// Gas price for networks or tools without EIP-1559, decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy_gas_price: Option<String>,
}

/// An amount of the native coin.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = NativeBalance)]
pub struct NativeBody {
    /// Base units, decimal.
    pub amount: String,
    /// Symbol.
    pub symbol: String,
    /// Decimals.
    pub decimals: u8,
}

/// What is held of a token: amount, symbol and decimals; or the problem alone.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = TokenBalance)]
pub struct TokenBody {
    /// Contract.
    pub contract: String,
    /// Base units, decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Symbol, as the contract says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// Decimals, as the contract says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u8>,
    /// Why nothing is known of this token; those beside it are told all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<TokenProblemBody>,
}

/// Why a token has no balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TokenProblem)]
#[serde(rename_all = "snake_case")]
pub enum TokenProblemBody {
    /// No contract there, or one that does not answer as ERC-20 asks.
    NotAToken,
    /// No node answered; ask again.
    Unavailable,
}

/// Balances of one address.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Balances)]
pub struct BalancesBody {
    /// CAIP-2 id.
    pub network: String,
    /// Address.
    pub address: String,
    /// Native coin.
    pub native: NativeBody,
    /// One entry per token asked for, in the order asked.
    pub tokens: Vec<TokenBody>,
}

/// What a transaction needs before it is signed.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Prepared)]
pub struct PreparedBody {
    /// CAIP-2 id.
    pub network: String,
    /// The next nonce; the caller's alone where it is reserved.
    pub nonce: u64,
    /// Estimate with a margin.
    pub gas_limit: u64,
    /// Fees now.
    pub fees: FeesBody,
    /// The sender's native balance, base units, decimal.
    pub balance: String,
    /// Names the reservation of the nonce; absent where none was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<String>,
    /// Unix seconds; afterwards the nonce may be given away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// A nonce that was not sent, which holds up a transaction that was.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Gap)]
pub struct GapBody {
    /// The lowest such nonce.
    pub nonce: u64,
    /// Unix seconds: until then somebody who is signing may still send it. Absent if nobody is; the next transaction that is prepared
    /// with `reserve` takes this nonce, and both go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// A transaction the system sent.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Tx)]
pub struct TxBody {
    /// CAIP-2 id.
    pub network: String,
    /// Transaction hash.
    pub hash: String,
    /// Sender.
    pub from: String,
    /// Recipient; null for a contract creation.
    pub to: Option<String>,
    /// Base units, decimal.
    pub value: String,
    /// Nonce.
    pub nonce: u64,
    /// `pending`, `mined`, `final`, `failed`, `dropped` or `replaced`.
    pub status: String,
    /// Block it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_number: Option<u64>,
    /// Blocks on top of it, its own included: at least so many, where no node says at once how high the chain is.
    pub confirmations: u64,
    /// Unix seconds.
    pub submitted_at: u64,
    /// Base units, decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee_paid: Option<String>,
    /// Why a `pending` one cannot come into a block yet, where it waits for an earlier one that was not sent, and a node says at once that it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<GapBody>,
    /// The signed bytes, 0x-hex, of a `pending` one that is asked for by its hash: whoever replaces it reads its nonce there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}

/// A page of transactions, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = TxPage)]
pub struct TxPageBody {
    /// Transactions.
    pub items: Vec<TxBody>,
    /// Cursor of the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// A transaction to prepare.
#[derive(Debug, Clone)]
pub struct PrepareCall {
    /// CAIP-2 id.
    pub network: String,
    /// Sender.
    pub from: String,
    /// Recipient.
    pub to: Option<String>,
    /// Base units, decimal.
    pub value: String,
    /// Call data, 0x-hex.
    pub data: Option<String>,
    /// A nonce of the caller's choice, to replace a transaction.
    pub nonce: Option<u64>,
    /// Whether the nonce is reserved.
    pub reserve: bool,
}

/// Why the gateway did not do it.
#[derive(Debug, thiserror::Error)]
pub enum NetworksError {
    /// The deployment does not serve this network.
    #[error("unknown network")]
    UnknownNetwork,
    /// A value has the wrong form; which one.
    #[error("{0} has the wrong form")]
    Invalid(&'static str),
    /// No such transaction.
    #[error("unknown transaction")]
    UnknownTransaction,
    /// No such reservation.
    #[error("unknown reservation")]
    UnknownReservation,
    /// The account does not hold value and fees.
    #[error("insufficient funds")]
    Funds,
    /// The user has too many transactions that wait for finality.
    #[error("too many transactions wait")]
    Waiting,
    /// The node refuses the transaction; why, in words for the sender.
    #[error("rejected: {0}")]
    Rejected(String),
    /// The node refuses a call.
    #[error("refused: {reason}")]
    Refused {
        /// Why, in its words.
        reason: String,
        /// What the contract returned, where the call reverted.
        data: Option<Vec<u8>>,
    },
    /// No node answers: a fault that passes.
    #[error("no node answers")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The gateway failed: a service fault.
    #[error("the gateway failed")]
    Fault(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<NetworksError> for Problem {
    fn from(error: NetworksError) -> Self {
        match error {
            NetworksError::UnknownNetwork => table::NETWORK_UNKNOWN.into(),
            NetworksError::Invalid(what) => crate::input::invalid(what),
            NetworksError::UnknownTransaction => table::TRANSACTION_UNKNOWN.into(),
            NetworksError::UnknownReservation => table::RESERVATION_UNKNOWN.into(),
            NetworksError::Funds => table::FUNDS_INSUFFICIENT.into(),
            NetworksError::Waiting => table::TRANSACTIONS_WAITING.into(),
            NetworksError::Rejected(reason) => Self::from(table::TRANSACTION_REJECTED).detail(reason),
            NetworksError::Refused { reason, data } => {
                Self::from(table::RPC_REFUSED).detail(reason).data(data.as_deref())
            }
            NetworksError::Unavailable(source) => {
                tracing::warn!(trace_id = %crate::problem::trace_id(), cause = %source, "no node answers");
                Self::from(table::NETWORK_UNAVAILABLE).retry_after(2)
            }
            NetworksError::Fault(source) => Self::fault(source.as_ref()),
        }
    }
}

type Answer<'a, T> = Boxed<'a, Result<T, NetworksError>>;

/// Places among the requests that wait for nodes, for questions an answer is better with and does without.
pub trait Room: Send + Sync {
    /// A place for one question to this network's nodes, until it is dropped; none where all are taken.
    fn place(&self, network: &str) -> Option<Box<dyn Send>>;
}

/// What the network endpoints need.
pub trait Networks: Send + Sync {
    /// Networks served.
    fn list(&self) -> Answer<'_, Vec<NetworkBody>>;
    /// The one name, its CAIP-2 id, of a network that is served, whatever it was called by. Asks no node.
    fn caip2(&self, network: &str) -> Option<String>;
    /// Fees now.
    fn fees(&self, network: String) -> Answer<'_, FeesBody>;
    /// Balances of one address.
    fn balances(&self, network: String, address: String, tokens: Vec<String>) -> Answer<'_, BalancesBody>;
    /// Reserves a nonce and estimates.
    fn prepare(&self, call: PrepareCall) -> Answer<'_, PreparedBody>;
    /// The sender of a signed transaction, 0x and 40 lower-case hex digits.
    fn sender(&self, network: &str, raw: &str) -> Result<String, NetworksError>;
    /// Sends a signed transaction of this user. The same transaction again is no second one.
    fn broadcast(&self, network: String, raw: String, user: UserId) -> Answer<'_, TxBody>;
    /// One transaction, if one of these addresses sent it; no node is asked for another's.
    fn transaction(&self, network: String, hash: String, of: Vec<String>) -> Answer<'_, TxBody>;
    /// Transactions of one address, newest first, as they are written down. What nodes say beside it is asked for in a place of `room` and for a
    /// moment only, and left out where it does not come.
    fn history<'a>(
        &'a self,
        network: Option<String>,
        address: String,
        limit: usize,
        cursor: Option<String>,
        room: &'a dyn Room,
    ) -> Answer<'a, TxPageBody>;
    /// Calls a method of the network's nodes that only reads; [`NetworksError::Invalid`] names one that is not offered.
    fn call(&self, network: String, method: String, params: serde_json::Value) -> Answer<'_, serde_json::Value>;
    /// Gives a reserved nonce back.
    fn release(&self, reservation_id: String) -> Answer<'_, ()>;
}
