//! Chain gateway: registry, JSON-RPC, fees, nonces, balances, history, broadcast.
//!
//! A node is a peer that may be wrong, slow or hostile: every answer is bounded, parsed strictly and, where it decides
//! about money, checked against what this system knows. [`Gateway`] is the one entrance; [`Registry`] says which
//! networks there are; [`dev`] drives a local node.

pub mod abi;
pub mod dev;
mod fees;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod record;
mod registry;
mod rpc;

pub use alloy_primitives::U256;
pub use fees::{Fee, FeeTiers};
pub use gateway::{
    Balances, BroadcastError, BroadcastRequest, CALLABLE_METHODS, CallError, Gap, Gateway, GatewayConfig, GatewayError,
    HISTORY_PAGE_MAX, HistoryPage, HistoryRequest, IdempotencyKey, NonceView, PARAMS_LEN_MAX, PrepareError,
    PrepareRequest, Prepared, Reserved, SetupError, TOKENS_MAX, Token, TokenBalance, TokenFault, TrackReport,
};
pub use pinseal_store::clock::Clock;
pub use pinseal_store::gateway::{
    GatewayStore, Holder, Inclusion, NonceStore, Owner, Reservation, ReservationId, TxStatus,
};
pub use record::{BadCursor, Cursor, TxRecord};
pub use registry::{
    Caip2, Caip2Error, EntryError, Network, NetworkStatus, Registry, RegistryError, RpcUrl, RpcUrlError, UnknownNetwork,
};
pub use rpc::{EndpointFault, PeerText, Refusal, Rejection, RpcError, RpcLimits};
