//! What a host says of the transactions that this device signed, and keeping it.

use std::collections::HashMap;

use pinseal_chains::evm::transaction::SignedTransaction;
use pinseal_protocol::ids::Hash32;

use super::TransactionError;
use super::prepared::Handover;
use crate::api::{ApiError, PAGE_ITEMS_MAX, Page, Transaction, TransactionStatus};
use crate::client::Client;
use crate::outgoing::{Full, Learnt, Ledger, Next, Standing};
use crate::profile::{Profile, ProfileError};
use crate::values::{Address, EvmBytes, Network};

/// How many of them the host is asked about one by one. Of the rest of those that it does not list nothing is learnt.
const ASKED_MAX: usize = 16;
/// The host's code for a transaction that it knows nothing of.
const UNKNOWN: &str = "transaction_unknown";

/// What a host said of a transaction, `None` where it knows none.
type Heard = (Hash32, Option<TransactionStatus>);

impl Client {
    /// One transaction, as the host says. Its owner is taken to have seen it.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn transaction(&self, network: &Network, hash: Hash32) -> Result<Transaction, ApiError> {
        self.ask(network, hash, Learnt::Shown).await
    }

    /// What this system sent from an address, newest first, as the host says. Its owner is taken to have seen it, and to miss what should be
    /// there.
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
        let before = self.outgoing().await?;
        let page = self.api().transactions(network, address, limit, cursor).await?;
        let listed: Vec<Heard> = page.items.iter().filter_map(named).collect();
        let is_whole = cursor.is_none() && page.next_cursor.is_none();
        let is_missing = |hash: &Hash32| is_whole && listed.iter().all(|(listed, _)| listed != hash);
        let missing: Vec<_> = before.of(network, address).map(|entry| entry.hash).filter(is_missing).collect();
        self.learn(before, listed, Learnt::Shown, missing).await?;
        Ok(page)
    }

    /// The nonce of an account's transaction that waits, for [`super::TransactionRequest::in_place_of`]: from what this device signed, or
    /// from the signed bytes, never from what the host says beside them.
    ///
    /// # Errors
    /// [`TransactionError::NotReplaceable`]; [`TransactionError::Misreported`] if the host shows another one, or another nonce.
    pub async fn nonce_of_waiting(
        &self,
        network: &Network,
        from: Address,
        hash: Hash32,
    ) -> Result<u64, TransactionError> {
        let told = match self.transaction(network, hash).await {
            Err(error) if error.code() == Some(UNKNOWN) => return Err(TransactionError::NotReplaceable(hash)),
            told => told?,
        };
        if told.hash.0 != hash.0 {
            return Err(TransactionError::Misreported(hash));
        }
        if told.status != TransactionStatus::Pending {
            return Err(TransactionError::NotReplaceable(hash));
        }
        let nonce = match (self.outgoing().await?.get(&hash), &told.raw) {
            (Some(kept), _) => (kept.network == *network && kept.from == from).then_some(kept.nonce),
            (None, None) => None,
            (None, Some(raw)) => {
                let signed = SignedTransaction::parse(&raw.0).ok().filter(|signed| *signed.hash() == hash);
                let signed = signed.ok_or(TransactionError::Misreported(hash))?;
                let (nonce, chain) = (signed.transaction().nonce, signed.transaction().chain);
                (*signed.sender() == from.0 && network.chain_id() == Some(chain)).then_some(nonce)
            }
        };
        let nonce = nonce.ok_or(TransactionError::NotReplaceable(hash))?;
        if told.nonce == nonce { Ok(nonce) } else { Err(TransactionError::Misreported(hash)) }
    }

    /// What this device signed and keeps; in the order of signing.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub async fn outgoing(&self) -> Result<Ledger, ProfileError> {
        Ok(self.profile().await?.outgoing)
    }

    /// Asks the host what became of an account's transactions that are kept, and tells nobody. Where none are, it is not asked.
    pub(super) async fn hear_of_outgoing(&self, network: &Network, from: Address) -> Result<(), TransactionError> {
        let before = self.outgoing().await?;
        if before.of(network, from).next().is_none() {
            return Ok(());
        }
        let page = self.api().transactions(network, from, PAGE_ITEMS_MAX, None).await?;
        let mut heard: Vec<Heard> = page.items.iter().filter_map(named).collect();
        let listed: HashMap<Hash32, _> = heard.iter().copied().collect();
        // What is in a block is older than the page, most likely.
        let is_asked = |standing| matches!(standing, Standing::Unsent | Standing::Waiting);
        let unlisted = before.of(network, from).filter(|entry| !listed.contains_key(&entry.hash));
        let unlisted: Vec<_> = unlisted.filter(|entry| is_asked(entry.standing)).collect();
        // The newest: whoever pays again has just been told of one.
        for entry in unlisted.iter().rev().take(ASKED_MAX) {
            let told = self.api().transaction(network, &text(entry.hash)).await;
            match (status(entry.hash, &told), told) {
                (Some(status), _) => heard.push((entry.hash, status)),
                (None, Err(error)) => return Err(error.into()),
                (None, Ok(_)) => return Err(TransactionError::Misreported(entry.hash)),
            }
        }
        self.learn(before, heard, Learnt::Heard, Vec::new()).await?;
        Ok(())
    }

    /// Keeps what is about to be handed to the host, unless something that its owner was not shown stands against it by now: a second program
    /// may have signed meanwhile.
    pub(super) async fn keep(&self, kept: &Handover) -> Result<(), TransactionError> {
        let Handover { entry, replaces, moves_nothing, beside, accepted } = kept.clone();
        let keep = move |ledger: &mut Ledger| {
            if ledger.get(&entry.hash).is_none() {
                let next = Next {
                    network: &entry.network,
                    from: entry.from,
                    nonce: entry.nonce,
                    replaces,
                    content: entry.content,
                };
                let verdict = ledger.verdict(&next);
                let repeated = verdict.beside.into_iter().filter(|other| other.content == entry.content);
                let mut unseen: Vec<_> = verdict.stops.into_iter().chain(repeated).collect();
                unseen.retain(|other| !moves_nothing && !beside.contains(&other.hash));
                if !unseen.is_empty() {
                    return Err(TransactionError::Unsettled(unseen));
                }
            }
            accepted.iter().for_each(|hash| ledger.forget(hash));
            ledger.sign(entry).map_err(|Full| TransactionError::TooManyUnsettled)
        };
        let kept = self.vault().update(move |profile| keep(&mut profile.outgoing)).await;
        if let Err(TransactionError::Unsettled(entries)) = &kept {
            self.doubt(entries.iter().map(|entry| entry.hash).collect()).await?;
        }
        kept
    }

    /// The host took it. Where that cannot be written down it stays in doubt, which asks for more care than is needed, and never for less.
    pub(super) async fn answered(&self, hash: Hash32, status: TransactionStatus) {
        let answered = move |profile: &mut Profile| {
            profile.outgoing.learn(&hash, Learnt::Answered, Some(status));
            Ok::<_, ProfileError>(())
        };
        let _ = self.vault().update(answered).await;
    }

    /// Their owner may believe from now on that they failed.
    pub(super) async fn doubt(&self, hashes: Vec<Hash32>) -> Result<(), ProfileError> {
        let doubt = move |profile: &mut Profile| {
            hashes.iter().for_each(|hash| profile.outgoing.doubt(hash));
            Ok(())
        };
        self.vault().update(doubt).await
    }

    /// One transaction, as the host says.
    pub(super) async fn ask(&self, network: &Network, hash: Hash32, learnt: Learnt) -> Result<Transaction, ApiError> {
        let before = self.outgoing().await?;
        let told = self.api().transaction(network, &text(hash)).await;
        if let Some(status) = status(hash, &told) {
            self.learn(before, vec![(hash, status)], learnt, Vec::new()).await?;
        }
        told
    }

    /// Writes down what was learnt by a question: what was heard, and what is missing of what should have been. What another program learnt since
    /// it was asked is newer.
    async fn learn(
        &self,
        before: Ledger,
        heard: Vec<Heard>,
        learnt: Learnt,
        missing: Vec<Hash32>,
    ) -> Result<(), ProfileError> {
        let write = move |profile: &mut Profile| {
            let found = profile.outgoing.clone();
            let is_as_before = |hash: &Hash32| found.get(hash) == before.get(hash);
            for (hash, status) in heard.iter().filter(|(hash, _)| is_as_before(hash)) {
                profile.outgoing.learn(hash, learnt, *status);
            }
            missing.iter().filter(|hash| is_as_before(hash)).for_each(|hash| profile.outgoing.doubt(hash));
            Ok(())
        };
        self.vault().update(write).await
    }
}

fn text(hash: Hash32) -> EvmBytes {
    EvmBytes(hash.0.to_vec())
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
