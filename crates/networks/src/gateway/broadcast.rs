//! Sending a signed transaction, at most once as far as the user's money is concerned.
//!
//! The transaction is written down and its nonce bound before a node sees it. After that it is never answered with an
//! error unless a node surely does not hold it: a caller who hears "failed" signs another one with another nonce, and
//! both would be mined. Where the outcome is not known the answer is [`TxStatus::Submitted`], and the tracker finds out.

use alloy_primitives::U256;
use pinseal_chains::evm::TransactionError;
use pinseal_chains::evm::transaction::SignedTransaction;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::intent::ChainId;
use pinseal_store::StoreError;
use pinseal_store::gateway::{Amount, NewTransaction, Owner, Submit, TxRow, TxStatus};

use super::chain::Chain;
use super::{Gateway, GatewayError};
use crate::record::TxRecord;
use crate::registry::{NetworkStatus, UnknownNetwork};
use crate::rpc::{PeerText, Rejection, Sent};

/// Longest idempotency key.
const IDEMPOTENCY_KEY_LEN_MAX: usize = 128;
/// Largest nonce that is kept; no account reaches it.
const NONCE_KEPT_MAX: u64 = i64::MAX as u64 - 1;

/// A caller's name for one send: 1 to 128 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// A key, or `None` if it is empty, too long or not printable ASCII.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=IDEMPOTENCY_KEY_LEN_MAX).contains(&text.len());
        (fits && text.bytes().all(|c| c.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }
}

/// A signed transaction to be sent.
#[derive(Debug, Clone)]
pub struct BroadcastRequest {
    /// CAIP-2 id or alias.
    pub network: String,
    /// EIP-2718 envelope or legacy transaction with EIP-155.
    pub raw: Vec<u8>,
    /// Whose it is: how many may wait is counted by it.
    pub owner: Owner,
    /// The caller's name for this send, unique per network and sender.
    pub idempotency: Option<IdempotencyKey>,
    /// The transaction with the same nonce that this one is meant to replace.
    pub replaces: Option<Hash32>,
}

/// Why a transaction was not sent. Every variant means: no node holds it because of this call.
#[derive(Debug, thiserror::Error)]
pub enum BroadcastError {
    /// Nothing is sent to a retired network; the caller's fault.
    #[error("the network is retired")]
    Retired,
    /// The bytes are no signed transaction; the caller's fault.
    #[error("not a signed transaction")]
    Transaction(#[from] TransactionError),
    /// Signed for another chain; the caller's fault.
    #[error("signed for {found}, sent to {expected}")]
    WrongNetwork {
        /// The network named.
        expected: ChainId,
        /// The chain signed for.
        found: ChainId,
    },
    /// A nonce no account reaches; the caller's fault.
    #[error("nonce out of range")]
    NonceOutOfRange,
    /// Another transaction of the sender has this nonce; prepare again, or name it as replaced.
    #[error("the nonce belongs to transaction 0x{by}")]
    NonceTaken {
        /// That transaction.
        by: Hash32,
    },
    /// A final transaction used the nonce; prepare again.
    #[error("the nonce was used")]
    NonceUsed,
    /// The idempotency key came with another transaction before; the caller's fault.
    #[error("the idempotency key was used for transaction 0x{first}")]
    KeyReused {
        /// That transaction.
        first: Hash32,
    },
    /// Too many transactions of this owner wait, or too long ones; wait too.
    #[error("too many transactions wait for finality")]
    TooManyOpen,
    /// A node refused it and no other one saw it; its nonce is free again.
    #[error("the node refused the transaction: {message}")]
    Rejected {
        /// What it means.
        rejection: Rejection,
        /// The node's words.
        message: PeerText,
    },
    /// Anything else before it was sent.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

impl From<UnknownNetwork> for BroadcastError {
    fn from(error: UnknownNetwork) -> Self {
        Self::Gateway(error.into())
    }
}

impl From<StoreError> for BroadcastError {
    fn from(error: StoreError) -> Self {
        Self::Gateway(error.into())
    }
}

impl Gateway {
    /// Sends a signed transaction. The same bytes twice give the same record; the second time nothing new is sent if a
    /// node has them.
    ///
    /// # Errors
    /// [`BroadcastError`].
    pub async fn broadcast(&self, request: BroadcastRequest) -> Result<TxRecord, BroadcastError> {
        let chain = self.chain(&request.network)?;
        if chain.network.status == NetworkStatus::Retired {
            return Err(BroadcastError::Retired);
        }
        let signed = SignedTransaction::parse(&request.raw)?;
        let (expected, found) = (chain.network.chain_id(), signed.transaction().chain);
        if expected != found {
            return Err(BroadcastError::WrongNetwork { expected, found });
        }
        if signed.transaction().nonce > NONCE_KEPT_MAX {
            return Err(BroadcastError::NonceOutOfRange);
        }
        self.settle_genesis(chain).await?;

        let _turn = self.inner.senders.turn(&chain.id, *signed.sender()).await;
        let new = self.new_transaction(chain, &signed, request);
        self.inner.stumbles.over(signed.hash());
        let row = match self.with_store(move |store| store.submit(new)).await? {
            Submit::New(row) => self.send(chain, row, true).await?,
            Submit::Known(row) if row.status == TxStatus::Submitted => self.send(chain, row, false).await?,
            Submit::Known(row) => row,
            Submit::NonceTaken { by } => return Err(BroadcastError::NonceTaken { by }),
            Submit::NonceUsed => return Err(BroadcastError::NonceUsed),
            Submit::KeyReused { first } => return Err(BroadcastError::KeyReused { first }),
            Submit::TooManyOpen => return Err(BroadcastError::TooManyOpen),
        };
        chain.sent.notify_one();
        Ok(TxRecord::new(row, chain.network.caip2.clone(), Some(&chain.network)))
    }

    fn new_transaction(&self, chain: &Chain, signed: &SignedTransaction, request: BroadcastRequest) -> NewTransaction {
        let transaction = signed.transaction();
        NewTransaction {
            network: chain.id.clone(),
            hash: *signed.hash(),
            sender: *signed.sender(),
            owner: request.owner,
            nonce: transaction.nonce,
            recipient: transaction.to,
            value: Amount(U256::to_be_bytes(&transaction.value)),
            raw: request.raw,
            idempotency: request.idempotency.map(|key| key.0),
            replaces: request.replaces,
            now: self.inner.clock.now(),
        }
    }

    /// Shows a recorded transaction to the nodes. `is_first` is true if none can have seen it before.
    async fn send(&self, chain: &Chain, row: TxRow, is_first: bool) -> Result<TxRow, BroadcastError> {
        let (refusal, is_sole) = match chain.rpc.send_raw(&row.raw, row.hash).await {
            Sent::Accepted => return Ok(self.mark_pending(row).await),
            Sent::Refused { refusal, is_sole } => (refusal, is_sole),
            Sent::Unclear(error) => {
                tracing::warn!(network = %chain.network.caip2, hash = %row.hash, %error, "sent with unknown outcome");
                return Ok(row);
            }
        };
        // "Already known" and "nonce too low" are also what a node says that has this very transaction.
        match chain.knows(row.hash).await {
            Ok(true) => return Ok(self.mark_pending(row).await),
            Ok(false) => {}
            Err(_) => return Ok(row),
        }
        let rejection = refusal.rejection();
        if !(is_first && is_sole && rejection.is_definite()) {
            return Ok(row);
        }
        let (network, hash) = (row.network.clone(), row.hash);
        match self.with_store(move |store| store.withdraw(&network, hash)).await {
            Ok(true) => Err(BroadcastError::Rejected { rejection, message: refusal.message().clone() }),
            // Still recorded, so it may still be sent again: not an error for the caller.
            Ok(false) | Err(_) => Ok(row),
        }
    }

    /// The node has it; if that cannot be written down now, the tracker will find out again.
    async fn mark_pending(&self, row: TxRow) -> TxRow {
        let (network, hash, now) = (row.network.clone(), row.hash, self.inner.clock.now());
        match self.with_store(move |store| store.record(&network, hash, TxStatus::Pending, 0, now)).await {
            Ok(Some(row)) => row,
            Ok(None) | Err(_) => row,
        }
    }
}
