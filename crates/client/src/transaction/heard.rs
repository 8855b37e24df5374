//! What a host says of the transactions that this device signed, and keeping it.

use std::collections::HashMap;

use pinseal_chains::evm::transaction::SignedTransaction;
use pinseal_protocol::ids::Hash32;

use super::TransactionError;
use crate::api::{ApiError, PAGE_ITEMS_MAX, Page, Transaction, TransactionStatus};
use crate::client::Client;
use crate::outgoing::{Full, Ledger, Outgoing, Standing};
use crate::profile::ProfileError;
use crate::values::{Address, EvmBytes, Network};

/// How many of them the host is asked about one by one. The rest of those that it does not list counts as unknown to it.
const ASKED_MAX: usize = 16;
/// The host's code for a transaction that it knows nothing of.
const UNKNOWN: &str = "transaction_unknown";

/// What a host said of a transaction, `None` where it knows none.
type Heard = (Hash32, Option<TransactionStatus>);

impl Client {
    /// One transaction, as the host says.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn transaction(&self, network: &Network, hash: &EvmBytes) -> Result<Transaction, ApiError> {
        let told = self.api().transaction(network, hash).await;
        if let Ok(hash) = <[u8; 32]>::try_from(&*hash.0)
            && let Some(status) = status(Hash32(hash), &told)
        {
            self.heard(vec![(Hash32(hash), status)]).await?;
        }
        told
    }

    /// What this system sent from an address, newest first, as the host says.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn transactions(
        &self,
        network: &Network,
        address: Address,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Transaction>, ApiError> {
        let page = self.api().transactions(network, address, limit, cursor).await?;
        self.heard(page.items.iter().filter_map(named).collect()).await?;
        Ok(page)
    }

    /// The nonce of an account's transaction that waits, for [`super::TransactionRequest::in_place_of`]: from what this device signed, or from
    /// the signed bytes, never from what the host says beside them.
    ///
    /// # Errors
    /// [`TransactionError::NotReplaceable`]; [`TransactionError::OtherTransaction`] if the host shows another one, or another nonce.
    pub async fn nonce_of_waiting(
        &self,
        network: &Network,
        from: Address,
        hash: Hash32,
    ) -> Result<u64, TransactionError> {
        let told = match self.transaction(network, &EvmBytes(hash.0.to_vec())).await {
            Err(error) if error.code() == Some(UNKNOWN) => return Err(TransactionError::NotReplaceable(hash)),
            told => told?,
        };
        if told.hash.0 != hash.0 {
            return Err(TransactionError::OtherTransaction);
        }
        if told.status != TransactionStatus::Pending {
            return Err(TransactionError::NotReplaceable(hash));
        }
        let nonce = match self.outgoing().await?.get(&hash) {
            Some(kept) => (kept.network == *network && kept.from == from).then_some(kept.nonce),
            None => {
                let raw = told.raw.as_ref().and_then(|raw| SignedTransaction::parse(&raw.0).ok());
                let raw = raw.filter(|raw| *raw.hash() == hash).ok_or(TransactionError::OtherTransaction)?;
                let own = *raw.sender() == from.0 && network.chain_id() == Some(raw.transaction().chain);
                own.then_some(raw.transaction().nonce)
            }
        };
        let nonce = nonce.ok_or(TransactionError::NotReplaceable(hash))?;
        if told.nonce == nonce { Ok(nonce) } else { Err(TransactionError::OtherTransaction) }
    }

    /// What this device signed and keeps, since it may still be carried out; in the order of signing.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub async fn outgoing(&self) -> Result<Ledger, ProfileError> {
        Ok(self.profile().await?.outgoing)
    }

    /// Asks the host what became of an account's transactions that are kept. Where none are, it is not asked.
    pub(super) async fn hear_of_outgoing(&self, network: &Network, from: Address) -> Result<(), TransactionError> {
        let ledger = self.outgoing().await?;
        let mut kept = ledger.of(network, from).peekable();
        if kept.peek().is_none() {
            return Ok(());
        }
        let page = self.api().transactions(network, from, PAGE_ITEMS_MAX, None).await?;
        let listed: HashMap<Hash32, _> = page.items.iter().filter_map(named).collect();
        let mut heard = Vec::new();
        let mut asked = 0;
        for entry in kept {
            heard.push((
                entry.hash,
                match listed.get(&entry.hash) {
                    Some(status) => *status,
                    // Older than the page, most likely; it says nothing new of what is in a block.
                    None if entry.standing == Standing::Mined => continue,
                    None if asked == ASKED_MAX => None,
                    None => {
                        asked += 1;
                        let told = self.api().transaction(network, &EvmBytes(entry.hash.0.to_vec())).await;
                        match (status(entry.hash, &told), told) {
                            (Some(status), _) => status,
                            (None, Err(error)) => return Err(error.into()),
                            (None, Ok(_)) => return Err(TransactionError::OtherTransaction),
                        }
                    }
                },
            ));
        }
        Ok(self.heard(heard).await?)
    }

    /// Keeps what is about to be handed to the host.
    pub(super) async fn keep(&self, signed: Outgoing, accepted: Vec<Hash32>) -> Result<(), TransactionError> {
        let keep = move |ledger: &mut Ledger| {
            accepted.iter().for_each(|hash| ledger.forget(hash));
            ledger.sign(signed)
        };
        self.vault()
            .update(move |profile| keep(&mut profile.outgoing).map_err(|Full| TransactionError::TooManyUnsettled))
            .await
    }

    /// The host took it. Where that cannot be written down it stays in doubt, which asks for more care than is needed, and never for less.
    pub(super) async fn heard_answer(&self, sent: &Transaction) {
        let Ok(hash) = <[u8; 32]>::try_from(&*sent.hash.0) else { return };
        let status = sent.status;
        let answered = move |ledger: &mut Ledger| ledger.answered(&Hash32(hash), status);
        let _ = self.change_outgoing(answered).await;
    }

    async fn heard(&self, heard: Vec<Heard>) -> Result<(), ProfileError> {
        let hear = move |ledger: &mut Ledger| heard.iter().for_each(|(hash, status)| ledger.heard(hash, *status));
        self.change_outgoing(hear).await
    }

    async fn change_outgoing(&self, change: impl FnOnce(&mut Ledger) + Send) -> Result<(), ProfileError> {
        self.vault()
            .update(|profile| {
                change(&mut profile.outgoing);
                Ok(())
            })
            .await
    }
}

fn named(told: &Transaction) -> Option<Heard> {
    let hash = <[u8; 32]>::try_from(&*told.hash.0).ok()?;
    Some((Hash32(hash), Some(told.status)))
}

/// What an answer about one transaction says of it; `None` if it says nothing.
fn status(hash: Hash32, told: &Result<Transaction, ApiError>) -> Option<Option<TransactionStatus>> {
    match told {
        Ok(told) => named(told).filter(|(named, _)| *named == hash).map(|(_, status)| status),
        Err(error) if error.code() == Some(UNKNOWN) => Some(None),
        Err(_) => None,
    }
}
