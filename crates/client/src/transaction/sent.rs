//! A signed transaction on its way.

use core::time::Duration;

use pinseal_protocol::ids::Hash32;
use pinseal_protocol::intent::Signed;

use super::heard::is_signed;
use super::prepared::Handover;
use super::{PreparedTransaction, TransactionError};
use crate::api::{ApiError, SENDS_MAX, Transaction, TransactionStatus};
use crate::client::Client;
use crate::evidence::Attested;
use crate::operation::OperationError;
use crate::outgoing::Learnt;
use crate::pin::Pin;
use crate::profile::UserName;
use crate::values::{EvmBytes, Network};

/// First wait between two looks at a transaction.
const POLL_WAIT_MIN: Duration = Duration::from_millis(250);
/// Longest wait, about a third of a block of the slowest network of the registry.
const POLL_WAIT_MAX: Duration = Duration::from_secs(4);
/// Looks for a transaction after a broadcast without a clear answer.
const LOOKS_MAX: u32 = 5;

/// A signed transaction, checked against what was approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTransaction {
    raw: Vec<u8>,
    kept: Handover,
    /// Who was logged in when it was signed: nobody else hands it over, or asks for it.
    user: Option<UserName>,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// In a block.
    Mined,
    /// In a block that will not go away.
    Final,
}

/// How long to wait. A host that does not answer is waited for longer, as long as any request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    polls: u32,
    seconds: u64,
}

impl Patience {
    /// For so many looks.
    pub const fn polls(polls: u32) -> Self {
        Self { polls, seconds: u64::MAX }
    }

    /// So long.
    pub const fn seconds(seconds: u64) -> Self {
        Self { polls: u32::MAX, seconds }
    }
}

/// Why waiting ended without what was waited for.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Not yet. Wait again or look later.
    #[error("the transaction is not there yet")]
    NotYet(Box<Transaction>),
    /// It will not be mined: dropped by the network or replaced by another one.
    #[error("the transaction was dropped or replaced")]
    Gone(Box<Transaction>),
    /// It was mined and reverted; the fee is paid.
    #[error("the transaction was mined but reverted")]
    Failed(Box<Transaction>),
    /// The host talks about another transaction.
    #[error("the server reports another transaction")]
    Other,
    /// The host could not be asked.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl SignedTransaction {
    /// The bytes to broadcast, by any node. What does not go by way of [`Client::broadcast`] this device does not keep.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Its hash.
    pub const fn hash(&self) -> Hash32 {
        self.kept.entry.hash
    }

    /// Its network.
    pub const fn network(&self) -> &Network {
        &self.kept.entry.network
    }

    fn hash_text(&self) -> EvmBytes {
        EvmBytes(self.hash().0.to_vec())
    }
}

impl Attested {
    /// Signs a prepared transaction.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn sign_transaction(
        &self,
        pin: &Pin,
        prepared: &PreparedTransaction,
    ) -> Result<SignedTransaction, OperationError> {
        let user = self.client().api().user();
        if prepared.user.as_ref().is_some_and(|prepared| Some(prepared) != user) {
            return Err(ApiError::UserChanged.into());
        }
        let results = self.sign(pin, core::slice::from_ref(&prepared.intent)).await?;
        match <[Signed; 1]>::try_from(results) {
            Ok([Signed::EvmTransaction { raw, hash }]) => {
                let kept = prepared.handover(hash, self.client().environment().now());
                Ok(SignedTransaction { raw: raw.into(), kept, user: user.cloned() })
            }
            _ => Err(OperationError::Unexpected),
        }
    }
}

impl Client {
    /// Sends a signed transaction. Its hash is the idempotency key: sending it twice sends it once. So the same bytes go out again
    /// while it is unclear what became of them, and then the transaction is looked for. The profile keeps it before the host has it, until it
    /// is settled.
    ///
    /// # Errors
    /// [`TransactionError`]; [`TransactionError::OutcomeUnknown`] unless the first answer was a refusal, or nothing left this device. Unless it
    /// [was never handed over](TransactionError::was_never_handed_over), it may be carried out.
    pub async fn broadcast(&self, signed: &SignedTransaction) -> Result<Transaction, TransactionError> {
        let own = self.of_some(signed.user.as_ref());
        match own.keep(&signed.kept).await {
            Err(TransactionError::TooManyUnsettled) => {
                Box::pin(own.hear_of_oldest()).await?;
                own.keep(&signed.kept).await?;
            }
            kept => kept?,
        }
        let sent = own.send(signed).await?;
        own.answered(signed.hash(), sent.status).await;
        Ok(sent)
    }

    async fn send(&self, signed: &SignedTransaction) -> Result<Transaction, TransactionError> {
        let hash = signed.hash_text();
        let own = |sent: Transaction| {
            let is_own = sent.hash == hash && is_signed(&signed.kept.entry, &sent);
            if is_own { Ok(sent) } else { Err(TransactionError::OtherTransaction) }
        };
        let send = || self.api().broadcast(signed.network(), &signed.raw, signed.hash().to_string());
        let (mut wait, mut sends, mut is_out) = (POLL_WAIT_MIN, 0, false);
        let error = loop {
            let lack = match send().await {
                Ok(sent) => return own(sent),
                Err(lack) => lack,
            };
            sends += 1;
            // Once one is out even a refusal proves nothing: the first may still be under way.
            is_out |= lack.is_out;
            if !is_out && (sends == SENDS_MAX || !lack.error.leaves_outcome_open()) {
                return Err(lack.error.into());
            }
            if sends == SENDS_MAX {
                break lack.error;
            }
            self.environment().sleep(wait).await;
            wait = (wait * 2).min(POLL_WAIT_MAX);
        };
        for _ in 0..LOOKS_MAX {
            if let Ok(seen) = self.api().transaction(signed.network(), &hash).await {
                return own(seen);
            }
            self.environment().sleep(wait).await;
            wait = (wait * 2).min(POLL_WAIT_MAX);
        }
        Err(TransactionError::OutcomeUnknown { hash: signed.hash(), error })
    }

    /// Looks at a transaction until it is there, with growing waits. What is reported is the host's word. Until its owner was told that it is there,
    /// however this ends, they are asked before they pay the same again. Give it patience rather than dropping it: whoever drops it just when the answer
    /// comes calls [`Client::await_end`].
    ///
    /// # Errors
    /// [`WaitError`].
    pub async fn wait_for(
        &self,
        signed: &SignedTransaction,
        until: Until,
        patience: Patience,
    ) -> Result<Transaction, WaitError> {
        let (own, hash) = (self.of_some(signed.user.as_ref()), signed.hash());
        let mut wait = POLL_WAIT_MIN;
        let mut polls = 0;
        let give_up = self.environment().now().0.saturating_add(patience.seconds);
        self.await_end(&[hash]).await.map_err(ApiError::from)?;
        // Its owner is told what ends the wait, and nothing before.
        let learnt = |status| match (status, until) {
            (Some(TransactionStatus::Pending), _) | (Some(TransactionStatus::Mined), Until::Final) => Learnt::Heard,
            _ => Learnt::Followed,
        };
        loop {
            polls += 1;
            let seen = own.ask(signed.network(), hash, learnt).await;
            let last = polls >= patience.polls || self.environment().now().0 >= give_up;
            match seen {
                // Somebody else learnt of it meanwhile, and this would be told and not known to be.
                Ok((_, true)) if !last => {}
                Ok((seen, _)) => match (seen.status, until) {
                    (TransactionStatus::Final, _) | (TransactionStatus::Mined, Until::Mined) => return Ok(seen),
                    (TransactionStatus::Failed, _) => return Err(WaitError::Failed(Box::new(seen))),
                    (TransactionStatus::Dropped | TransactionStatus::Replaced, _) => {
                        return Err(WaitError::Gone(Box::new(seen)));
                    }
                    _ if last => return Err(WaitError::NotYet(Box::new(seen))),
                    _ => {}
                },
                Err(ApiError::Misreported(_)) => return Err(WaitError::Other),
                Err(error) if last || !error.is_retryable() => {
                    // Whatever else it says, its owner hears that it did not go on.
                    self.doubt(hash).await.map_err(ApiError::from)?;
                    return Err(error.into());
                }
                Err(_) => {}
            }
            self.environment().sleep(wait).await;
            wait = (wait * 2).min(POLL_WAIT_MAX);
        }
    }
}
