//! What a host says of the transactions that this device signed, and keeping it.

use pinseal_chains::evm::transaction::SignedTransaction;
use pinseal_protocol::ids::Hash32;

use super::TransactionError;
use super::prepared::Handover;
use crate::api::{ApiError, PAGE_ITEMS_MAX, Transaction, TransactionStatus};
use crate::client::Client;
use crate::outgoing::{Content, Full, Known, Learnt, Ledger, Next, Outgoing};
use crate::profile::{Profile, ProfileError};
use crate::values::{Address, EvmBytes, Network};

/// How many of an account the host is asked about one by one, and of other accounts; and for how many lists where there is no room. Of the rest of
/// those that it does not list nothing is learnt.
const ASKED_MAX: usize = 16;
/// The host's code for a transaction that it knows nothing of.
const UNKNOWN: &str = "transaction_unknown";

/// What was sent from an account, as the host says: a page of it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Newest first.
    pub items: Vec<Transaction>,
    /// Names the next page, if there is one.
    pub next_cursor: Option<String>,
    /// What this device signed and should be there, in the order of signing.
    pub unlisted: Vec<Outgoing>,
}

impl Client {
    /// One transaction, as the host says. Its owner is taken to have seen it.
    ///
    /// # Errors
    /// [`ApiError`]; [`ApiError::Misreported`] where it is not what this device signed.
    pub async fn transaction(&self, network: &Network, hash: Hash32) -> Result<Transaction, ApiError> {
        Ok(self.ask(network, hash, |_| Learnt::Shown).await?.0)
    }

    /// What this system sent from an address, newest first, as the host says. Its owner is taken to have seen it, and to miss what should be
    /// there.
    ///
    /// # Errors
    /// [`ApiError`]; [`ApiError::Misreported`] where something in it is not what this device signed.
    pub async fn transactions(
        &self,
        network: &Network,
        address: Address,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Listed, ApiError> {
        let before = self.outgoing().await?;
        let page = self.api().transactions(network, address, limit, cursor).await?;
        let mut unlisted = Vec::new();
        if cursor.is_none() {
            // The newest comes first: what was sent after one that is there is not further down. Nor is anything behind a page that is not full.
            let mut is_above = page.next_cursor.is_none() || page.items.len() < limit.clamp(1, PAGE_ITEMS_MAX) as usize;
            for entry in before.of(network, address) {
                let is_listed = page.items.iter().any(|row| *row.hash.0 == entry.hash.0);
                is_above |= is_listed;
                if is_above && !is_listed {
                    unlisted.push(entry.clone());
                }
            }
        }
        let missing = unlisted.iter().map(|entry| entry.hash).collect();
        self.learn_rows(before, &page.items, Learnt::Shown, missing).await?;
        Ok(Listed { items: page.items, next_cursor: page.next_cursor, unlisted })
    }

    /// The nonce of an account's transaction that waits, for [`super::TransactionRequest::in_place_of`]: from what this device signed, or
    /// from the signed bytes, never from what the host says beside them.
    ///
    /// # Errors
    /// [`TransactionError::NotReplaceable`]; [`ApiError::Misreported`] if the host shows another one, or another nonce.
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
        if told.status != TransactionStatus::Pending {
            return Err(TransactionError::NotReplaceable(hash));
        }
        let nonce = match (self.outgoing().await?.get(&hash), &told.raw) {
            (Some(kept), _) => (kept.network == *network && kept.from == from).then_some(kept.nonce),
            (None, None) => None,
            (None, Some(raw)) => {
                let signed = SignedTransaction::parse(&raw.0).ok().filter(|signed| *signed.hash() == hash);
                let signed = signed.ok_or(ApiError::Misreported(hash))?;
                let (nonce, chain) = (signed.transaction().nonce, signed.transaction().chain);
                (*signed.sender() == from.0 && network.chain_id() == Some(chain)).then_some(nonce)
            }
        };
        let nonce = nonce.ok_or(TransactionError::NotReplaceable(hash))?;
        if told.nonce == nonce { Ok(nonce) } else { Err(ApiError::Misreported(hash).into()) }
    }

    /// What this device signed and keeps; in the order of signing.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub async fn outgoing(&self) -> Result<Ledger, ProfileError> {
        Ok(self.profile().await?.outgoing)
    }

    /// Asks the host what became of what is kept of an account, and of what does the same elsewhere in the wallet, and tells nobody. Where there is
    /// nothing it is not asked.
    pub(super) async fn hear_of_outgoing(
        &self,
        network: &Network,
        from: Address,
        content: Content,
    ) -> Result<(), TransactionError> {
        let profile = self.profile().await?;
        let (accounts, before) = (self.addresses_in(&profile), profile.outgoing);
        // What is in a block is older than the page, most likely, or its chain was set back.
        let is_open = |entry: &&Outgoing| !entry.is_in_block() || entry.known == Known::Doubtful;
        if before.of(network, from).next().is_some() {
            let page = self.api().transactions(network, from, PAGE_ITEMS_MAX, None).await?;
            let is_unlisted = |entry: &&Outgoing| page.items.iter().all(|row| *row.hash.0 != entry.hash.0);
            let unlisted = before.of(network, from).filter(is_unlisted).filter(is_open);
            let unlisted: Vec<_> = unlisted.map(|entry| entry.hash).collect();
            self.learn_rows(before.clone(), &page.items, Learnt::Heard, Vec::new()).await?;
            // The newest: whoever pays again has just been told of one.
            for hash in unlisted.into_iter().rev().take(ASKED_MAX) {
                self.hear_of(network, hash).await?;
            }
        }
        let is_elsewhere = |entry: &&Outgoing| entry.network != *network || entry.from != from;
        let elsewhere = before.entries().iter().filter(|entry| accounts.contains(&entry.from)).filter(is_elsewhere);
        let elsewhere: Vec<_> = elsewhere.filter(|entry| entry.content == content).filter(is_open).collect();
        for entry in elsewhere.into_iter().rev().take(ASKED_MAX) {
            // Where nothing is learnt it stands as it stood.
            let _ = self.hear_of(&entry.network, entry.hash).await;
        }
        Ok(())
    }

    /// Asks the host what became of the wallet's oldest that are in no block, wherever they were signed, and tells nobody: there may be room then.
    pub(super) async fn hear_of_oldest(&self) -> Result<(), ProfileError> {
        let profile = self.profile().await?;
        let (accounts, before) = (self.addresses_in(&profile), profile.outgoing);
        let is_open = |entry: &&Outgoing| accounts.contains(&entry.from) && !entry.is_in_block();
        let open: Vec<_> = before.entries().iter().filter(is_open).collect();
        let mut lists: Vec<(&Network, Address)> = Vec::new();
        for entry in &open {
            let list = (&entry.network, entry.from);
            if !lists.contains(&list) {
                lists.push(list);
            }
        }
        let mut listed = Vec::new();
        for (network, from) in lists.into_iter().take(ASKED_MAX) {
            // Where nothing is learnt they stand as they stood.
            if let Ok(page) = self.api().transactions(network, from, PAGE_ITEMS_MAX, None).await {
                let _ = self.learn_rows(before.clone(), &page.items, Learnt::Heard, Vec::new()).await;
                listed.extend(page.items.into_iter().map(|row| row.hash));
            }
        }
        let is_unlisted = |entry: &&Outgoing| listed.iter().all(|hash| *hash.0 != entry.hash.0);
        for entry in open.into_iter().filter(is_unlisted).take(ASKED_MAX) {
            let _ = self.hear_of(&entry.network, entry.hash).await;
        }
        Ok(())
    }

    /// Asks the host what became of one, and tells nobody.
    pub(super) async fn hear_of(&self, network: &Network, hash: Hash32) -> Result<(), ApiError> {
        match self.ask(network, hash, |_| Learnt::Heard).await {
            Err(error) if error.code() == Some(UNKNOWN) => Ok(()),
            told => told.map(drop),
        }
    }

    /// Keeps what is about to be handed to the host, unless something that its owner was not shown stands against it by now: a second program
    /// may have signed meanwhile.
    pub(super) async fn keep(&self, kept: &Handover) -> Result<(), TransactionError> {
        let Handover { entry, replaces, shown, accepted } = kept.clone();
        let own = self.clone();
        let keep = move |profile: &mut Profile| {
            // Nothing is kept for somebody else, and nothing of theirs is told.
            own.api().admits(profile)?;
            let accounts = own.addresses_in(profile);
            if profile.outgoing.get(&entry.hash).is_none() {
                let next = Next {
                    network: &entry.network,
                    from: entry.from,
                    nonce: entry.nonce,
                    replaces,
                    content: entry.content,
                    accounts: &accounts,
                    accepted: &accepted,
                };
                let verdict = profile.outgoing.verdict(&next);
                let gives_way = |other: &Outgoing| shown.instead.iter().any(|told| told.hash == other.hash);
                if verdict.is_nonce_refused || !verdict.instead.iter().all(gives_way) {
                    return Err(TransactionError::NonceTaken(entry.nonce));
                }
                let unseen = verdict.unseen(&next, &shown);
                if !unseen.is_empty() {
                    return Err(TransactionError::Unsettled(unseen.into_iter().cloned().collect()));
                }
            }
            profile.outgoing.sign(entry, &accounts, &accepted).map_err(|Full| TransactionError::TooManyUnsettled)
        };
        let kept = self.vault().update(keep).await;
        if let Err(TransactionError::Unsettled(entries)) = &kept {
            self.tell(entries).await?;
        }
        kept
    }

    /// The host took it. Where that cannot be written down it stays in doubt, which asks for more care than is needed, and never for less.
    pub(super) async fn answered(&self, hash: Hash32, status: TransactionStatus) {
        let _ = self.change(|ledger| ledger.learn(&hash, Learnt::Answered, Some(status))).await;
    }

    /// Their owner is told that these stop what they want to sign.
    pub(super) async fn tell(&self, entries: &[Outgoing]) -> Result<(), ProfileError> {
        self.change(|ledger| entries.iter().for_each(|entry| ledger.tell(&entry.hash))).await
    }

    /// Its owner may believe from now on that it failed.
    pub(super) async fn doubt(&self, hash: Hash32) -> Result<(), ProfileError> {
        self.change(|ledger| ledger.doubt(&hash)).await
    }

    /// Their owner waits for what comes of these, and is asked before they pay the same once more until they were told. For whoever ends a
    /// [wait](Self::wait_for) by force, or signs nothing because they wait.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub async fn await_end(&self, hashes: &[Hash32]) -> Result<(), ProfileError> {
        self.change(|ledger| hashes.iter().for_each(|hash| ledger.await_end(hash))).await
    }

    async fn change(&self, change: impl FnOnce(&mut Ledger) + Send) -> Result<(), ProfileError> {
        let change = |profile: &mut Profile| {
            change(&mut profile.outgoing);
            Ok(())
        };
        self.vault().update(change).await
    }

    /// One transaction, as the host says, if that is what was signed. What its owner knows by that depends on what it is. With it comes whether
    /// something else was learnt of it meanwhile, so that nothing was by this.
    pub(super) async fn ask(
        &self,
        network: &Network,
        hash: Hash32,
        learnt: impl Fn(Option<TransactionStatus>) -> Learnt,
    ) -> Result<(Transaction, bool), ApiError> {
        let before = self.outgoing().await?;
        match self.api().transaction(network, &text(hash)).await {
            Ok(told) if told.network == *network && *told.hash.0 == hash.0 => {
                let rows = core::slice::from_ref(&told);
                let is_late = self.learn_rows(before, rows, learnt(Some(told.status)), Vec::new()).await?;
                Ok((told, is_late))
            }
            Ok(_) => {
                self.change(|ledger| ledger.doubt(&hash)).await?;
                Err(ApiError::Misreported(hash))
            }
            Err(error) => {
                if error.code() == Some(UNKNOWN) {
                    let learnt = learnt(None);
                    let write = |ledger: &mut Ledger| {
                        learn(ledger, &before, &hash, learnt, None);
                    };
                    self.change(write).await?;
                }
                Err(error)
            }
        }
    }

    /// Writes down what rows say of those that are kept, and what is missing of what should have been there. What another program learnt since it was
    /// asked is newer, and true is whether there was such; what their owner may believe now is true all the same. Those under a nonce that a row calls
    /// not sent are denied by it.
    ///
    /// # Errors
    /// [`ApiError::Misreported`] if a row shows something else than was signed: nothing is learnt then but that this one is in doubt.
    async fn learn_rows(
        &self,
        before: Ledger,
        rows: &[Transaction],
        learnt: Learnt,
        missing: Vec<Hash32>,
    ) -> Result<bool, ApiError> {
        let write = |profile: &mut Profile| {
            let found = profile.outgoing.clone();
            let of_kept = rows.iter().filter_map(|row| {
                let hash = <[u8; 32]>::try_from(&*row.hash.0).map(Hash32).ok()?;
                Some((found.get(&hash)?, row))
            });
            let of_kept: Vec<_> = of_kept.collect();
            let ledger = &mut profile.outgoing;
            let mut wrong = of_kept.iter().filter(|(kept, row)| !is_signed(kept, row)).peekable();
            if let Some((first, _)) = wrong.peek() {
                let first = first.hash;
                wrong.for_each(|(kept, _)| ledger.doubt(&kept.hash));
                return Ok(Err(first));
            }
            let mut is_late = false;
            for (kept, row) in &of_kept {
                is_late |= learn(ledger, &before, &kept.hash, learnt, Some(row.status));
            }
            let denied = rows.iter().filter(|_| learnt != Learnt::Heard).flat_map(|row| denied(row, &found));
            denied.chain(missing).for_each(|hash| ledger.doubt(&hash));
            Ok::<_, ProfileError>(Ok(is_late))
        };
        self.vault().update(write).await?.map_err(ApiError::Misreported)
    }
}

/// Learns something of one, unless something else was learnt of it since the ledger stood as `before`: then only what denies it. True then.
fn learn(
    ledger: &mut Ledger,
    before: &Ledger,
    hash: &Hash32,
    learnt: Learnt,
    status: Option<TransactionStatus>,
) -> bool {
    let is_late = ledger.get(hash) != before.get(hash);
    if is_late {
        ledger.learn_late(hash, learnt, status);
    } else {
        ledger.learn(hash, learnt, status);
    }
    is_late
}

fn text(hash: Hash32) -> EvmBytes {
    EvmBytes(hash.0.to_vec())
}

/// Kept ones under a nonce that was not sent, as a host says of one that waits for it.
fn denied(told: &Transaction, kept: &Ledger) -> Vec<Hash32> {
    let Some(gap) = told.waits_for else { return Vec::new() };
    kept.of(&told.network, told.from).filter(|entry| entry.nonce == gap.nonce).map(|entry| entry.hash).collect()
}

/// Whether what is shown under a kept one's hash is what was signed, but for the call data, which is not shown.
pub(super) fn is_signed(kept: &Outgoing, told: &Transaction) -> bool {
    let Content { to, value, .. } = kept.content;
    (&kept.network, kept.from, kept.nonce, to, value) == (&told.network, told.from, told.nonce, told.to, told.value)
}
