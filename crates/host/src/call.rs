//! What a caller gets: an answer or one of a few typed errors.

use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::request::SignedBeginReply;
use pinseal_protocol::wire::Halt;
use pinseal_store::vault::VaultError;

/// Answer to a `begin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginAnswer {
    /// The caller's wallet, as the enclave names it: what a storage token is issued for.
    pub wallet: UserIdHash,
    /// For the client.
    pub reply: SignedBeginReply,
}

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The enclave (or, for `Busy` and `Malformed`, the host in its stead) refused; no try was charged.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The storage token does not open the wallet's record. The caller begins again.
    #[error("storage token refused: {0}")]
    StorageToken(VaultError),
    /// Too much is under way. Nothing was started; repeat later.
    #[error("overloaded")]
    Overloaded,
    /// The enclave has not booted yet. Repeat later.
    #[error("not ready")]
    NotReady,
    /// The enclave stopped, with its last word if it had one. The process is about to restart; a request that was under way
    /// may have been charged.
    #[error("the enclave has stopped")]
    EnclaveGone(Option<Halt>),
    /// The database or the anchor failed. As with `EnclaveGone`, a request under way may have been charged.
    #[error("storage failed")]
    Storage,
    /// No answer in time. An identical resend gets it once it is there.
    #[error("no answer in time")]
    Timeout,
}

/// Why the trunk stopped for good. The process exits and a restart boots again from durable state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stop {
    /// The enclave said why.
    #[error("the enclave halted ({halt:?}): {detail}")]
    Halted {
        /// Why.
        halt: Halt,
        /// For the operator.
        detail: String,
    },
    /// The connection to the enclave ended without a word.
    #[error("the enclave is gone")]
    Disconnected,
    /// The enclave broke the conversation.
    #[error("the enclave broke the protocol: {0}")]
    Protocol(&'static str),
    /// Whether a batch is stored is unknown: fail closed, the next boot finds out.
    #[error("the database failed: {0}")]
    Storage(String),
    /// The anchor cannot be advanced: fail closed, the next boot rolls it forward.
    #[error("the anchor failed: {0}")]
    Anchor(String),
}

impl Stop {
    /// What callers are told.
    pub const fn call_error(&self) -> CallError {
        match self {
            Self::Halted { halt, .. } => CallError::EnclaveGone(Some(*halt)),
            Self::Disconnected | Self::Protocol(_) => CallError::EnclaveGone(None),
            Self::Storage(_) | Self::Anchor(_) => CallError::Storage,
        }
    }
}
