//! Following what was sent until it is final.
//!
//! ```text
//! Submitted -> Pending -> Mined -> Final
//!     |           |         |
//!     |           |         +-> Pending (the block was reorganised away; the bytes are sent again)
//!     +-----------+-> Dropped (no node holds it and nodes refuse it; its nonce is free again. One that no node ever held is dropped after a day
//!     |           |   in which it was refused, in words that say nothing of it)
//!     +-----------+-> Replaced (another transaction used the nonce), settled once that one is final
//! ```
//!
//! What the tracker knows of a transaction is in the store, so a restart continues where the last process stopped; whose turn it is is not. Ticks and time
//! are handed in. A verdict that ends the watch needs depth: `Final` needs the network's finality, and a settled
//! `Replaced` needs it too and to have been seen as replaced on an earlier tick, so that a node that lags behind in
//! receipts does not end it.

use std::sync::Arc;
use std::time::Duration;

use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::intent::EvmAddress;
use pinseal_store::gateway::{TxRow, TxStatus};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::chain::Chain;
use super::{Gateway, GatewayError};
use crate::record::TxRecord;
use crate::registry::Caip2;
use crate::rpc::{Rejection, RpcError, Sent};

/// Seconds after which a pass over a network begins with no further transaction: who has just sent one waits no longer until it is looked at.
const PASS_SECONDS_MAX: u64 = 5;
/// Refusals in a row, one a tick, after which a transaction no node holds counts as dropped.
const REFUSALS_MAX: u32 = 3;
/// Seconds after which one that no node ever held counts as dropped, where it is still refused, whatever the words.
const HOPE_SECONDS: u64 = 86_400;

/// Transactions in a row that no node answered about, after which the pass over a network ends. An answer that is unusable in itself does not
/// count: it may be the transaction that nodes stumble over, and its sender must not keep the others from being followed.
const FAILURES_MAX: u32 = 3;

/// What a look at one transaction showed.
#[derive(Debug, Clone, Copy)]
struct Look {
    status: TxStatus,
    refusals: u32,
    /// No node had it.
    is_lost: bool,
}

impl Look {
    /// A node has it, or a block does.
    const fn found(status: TxStatus) -> Self {
        Self { status, refusals: 0, is_lost: false }
    }

    const fn lost(status: TxStatus, refusals: u32) -> Self {
        Self { status, refusals, is_lost: true }
    }
}

/// What one pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrackReport {
    /// Transactions looked at.
    pub checked: usize,
    /// Transactions whose status changed.
    pub changed: usize,
    /// Transactions the time did not suffice for.
    pub left: usize,
    /// Networks whose nodes gave no answer; their transactions wait for the next pass.
    pub unreachable: Vec<Caip2>,
}

impl Gateway {
    /// Follows transactions on every tick, and at once after each broadcast, until the ticks end. Each network is followed for itself: one whose
    /// nodes take their time keeps no other one waiting.
    pub async fn track(&self, mut ticks: mpsc::Receiver<()>) {
        let mut loops = JoinSet::new();
        let follow = |chain: &Arc<Chain>| {
            let (due, ticks) = mpsc::channel(1);
            let (gateway, chain) = (self.clone(), Arc::clone(chain));
            loops.spawn(async move { gateway.track_network(&chain, ticks).await });
            due
        };
        let networks: Vec<mpsc::Sender<()>> = self.inner.chains.iter().map(follow).collect();
        while ticks.recv().await.is_some() {
            // Where a tick still waits for the pass before, it stands for this one as well.
            for network in &networks {
                let _full = network.try_send(());
            }
        }
        drop(networks);
        loops.join_all().await;
    }

    async fn track_network(&self, chain: &Chain, mut ticks: mpsc::Receiver<()>) {
        loop {
            tokio::select! {
                tick = ticks.recv() => if tick.is_none() { return },
                () = chain.sent.notified() => {}
            }
            self.pass(chain).await;
        }
    }

    /// [`Gateway::track`] with a tick every `period`, for ever; dropping the future ends it.
    pub async fn track_every(&self, period: Duration) {
        let (tick, ticks) = mpsc::channel(1);
        let metronome = async {
            let mut interval = tokio::time::interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                if tick.send(()).await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(metronome, self.track(ticks));
    }

    /// One pass over the transactions that are not settled, of every network at the same time; what [`PASS_SECONDS_MAX`] does not suffice for is
    /// looked at first in the next.
    pub async fn track_once(&self) -> TrackReport {
        let mut passes = JoinSet::new();
        for chain in &self.inner.chains {
            let (gateway, chain) = (self.clone(), Arc::clone(chain));
            passes.spawn(async move { gateway.pass(&chain).await });
        }
        let mut total = TrackReport::default();
        for report in passes.join_all().await {
            total.checked += report.checked;
            total.changed += report.changed;
            total.left += report.left;
            total.unreachable.extend(report.unreachable);
        }
        total.unreachable.sort();
        total
    }

    /// Looks at one transaction now.
    ///
    /// # Errors
    /// [`GatewayError`]; the stored record is as it was.
    pub async fn refresh(&self, hash: Hash32) -> Result<Option<TxRecord>, GatewayError> {
        let Some(row) = self.with_store(move |store| store.transaction(hash)).await? else { return Ok(None) };
        if row.status.is_open() {
            let chain = self.chain(&row.network.0)?;
            self.settle_genesis(chain).await?;
            let head = chain.head(self.inner.clock.now()).await?;
            self.follow(chain, hash, row.sender, head).await?;
        }
        self.transaction(hash).await
    }

    /// One pass over a network.
    async fn pass(&self, chain: &Chain) -> TrackReport {
        let mut report = TrackReport::default();
        if let Err(error) = self.track_chain(chain, &mut report).await {
            tracing::warn!(network = %chain.network.caip2, %error, "transactions could not be followed");
            report.unreachable.push(chain.network.caip2.clone());
        }
        report
    }

    async fn track_chain(&self, chain: &Chain, report: &mut TrackReport) -> Result<(), GatewayError> {
        let id = chain.id.clone();
        let mut open = self.with_store(move |store| store.open_transactions(&id)).await?;
        let now = self.inner.clock.now();
        open.retain(|tx| !self.inner.stumbles.rests(&tx.hash, now));
        let open = chain.rota.order(open);
        if open.is_empty() {
            return Ok(());
        }
        self.settle_genesis(chain).await?;
        let head = chain.head(self.inner.clock.now()).await?;
        // From here on: what comes before takes its time in every pass, however little is looked at.
        let start = self.inner.clock.now();
        let mut failures = 0;
        for (number, tx) in open.iter().enumerate() {
            if is_over(start, self.inner.clock.now()) && number > 0 {
                report.left = open.len() - number;
                return Ok(());
            }
            report.checked += 1;
            chain.rota.looked(tx.serial);
            match self.follow(chain, tx.hash, tx.sender, head).await {
                Ok(is_changed) => {
                    report.changed += usize::from(is_changed);
                    failures = 0;
                }
                Err(error) if is_away(&error) && failures + 1 >= FAILURES_MAX => return Err(error),
                Err(error @ (GatewayError::Rpc(_) | GatewayError::Implausible(_))) => {
                    match is_away(&error) {
                        true => failures += 1,
                        false => self.inner.stumbles.note(tx.hash, self.inner.clock.now()),
                    }
                    tracing::warn!(network = %chain.network.caip2, hash = %tx.hash, %error, "not followed this time");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Looks at one transaction and writes down what is new. True if something was.
    async fn follow(&self, chain: &Chain, hash: Hash32, sender: EvmAddress, head: u64) -> Result<bool, GatewayError> {
        let _turn = self.inner.senders.turn(&chain.id, sender).await;
        // A broadcast may have changed or withdrawn it before the turn came.
        let Some(row) = self.with_store(move |store| store.transaction(hash)).await? else { return Ok(false) };
        if !row.status.is_open() {
            return Ok(false);
        }
        let Look { status, refusals, is_lost } = self.observe(chain, &row, head).await?;
        match is_lost {
            true => self.inner.stumbles.note(hash, self.inner.clock.now()),
            false => self.inner.stumbles.over(&hash),
        }
        if (status, refusals) == (row.status, row.refusals) {
            return Ok(false);
        }
        if matches!(row.status, TxStatus::Mined(_)) && !matches!(status, TxStatus::Mined(_) | TxStatus::Final(_)) {
            tracing::warn!(network = %chain.network.caip2, %hash, "the block of a transaction was reorganised away");
        }
        let (id, now) = (chain.id.clone(), self.inner.clock.now());
        self.with_store(move |store| store.record(&id, hash, status, refusals, now)).await?;
        Ok(status != row.status)
    }

    /// What the chain says about a transaction.
    async fn observe(&self, chain: &Chain, row: &TxRow, head: u64) -> Result<Look, GatewayError> {
        let now = self.inner.clock.now();
        if let Some(status) = mined(chain, row, head, now).await? {
            return Ok(Look::found(status));
        }
        if chain.count(row.sender, "latest").await? > row.nonce {
            // It may have been mined between the two questions.
            if let Some(status) = mined(chain, row, head, now).await? {
                return Ok(Look::found(status));
            }
            return Ok(Look::found(self.replaced(chain, row, head).await?));
        }
        if chain.knows(row.hash).await? {
            return Ok(Look::found(TxStatus::Pending));
        }
        if row.status == TxStatus::Dropped {
            return Ok(Look::lost(TxStatus::Dropped, row.refusals));
        }
        let is_hopeless = row.status == TxStatus::Submitted && now.0 >= row.updated.0.saturating_add(HOPE_SECONDS);
        Ok(send_again(chain, row, is_hopeless).await)
    }

    async fn replaced(&self, chain: &Chain, row: &TxRow, head: u64) -> Result<TxStatus, GatewayError> {
        let searched = row.clone();
        let by = self.with_store(move |store| store.mined_sibling(&searched)).await?;
        let was_seen = matches!(row.status, TxStatus::Replaced { .. });
        let settled = match head.checked_sub(chain.network.finality_blocks - 1) {
            Some(deep) if was_seen => chain.count(row.sender, &format!("{deep:#x}")).await? > row.nonce,
            _ => false,
        };
        Ok(TxStatus::Replaced { by, settled })
    }
}

/// True if a pass has taken its time; also where the clock was set back, and nobody knows.
fn is_over(start: UnixSeconds, now: UnixSeconds) -> bool {
    !(start.0..start.0.saturating_add(PASS_SECONDS_MAX)).contains(&now.0)
}

/// True if no node answered.
const fn is_away(error: &GatewayError) -> bool {
    matches!(error, GatewayError::Rpc(error @ RpcError::Unavailable { .. }) if !error.is_of_one_answer())
}

/// `Mined` or `Final` if there is a receipt.
async fn mined(chain: &Chain, row: &TxRow, head: u64, now: UnixSeconds) -> Result<Option<TxStatus>, GatewayError> {
    let Some(inclusion) = chain.inclusion(row.hash).await? else { return Ok(None) };
    // The block may be younger than the height this pass began with.
    let head = if inclusion.block_number > head { chain.head(now).await? } else { head };
    let depth = head.checked_sub(inclusion.block_number).map_or(0, |above| above + 1);
    Ok(Some(if depth >= chain.network.finality_blocks {
        TxStatus::Final(inclusion)
    } else {
        TxStatus::Mined(inclusion)
    }))
}

/// Sends the bytes again: no node has them, and the nonce is still free on the chain. If it is hopeless, a refusal drops it, whatever the words.
async fn send_again(chain: &Chain, row: &TxRow, is_hopeless: bool) -> Look {
    // A transaction that was mined or replaced and no longer is has to find its way back like a new one.
    let waiting = if row.status == TxStatus::Pending { TxStatus::Pending } else { TxStatus::Submitted };
    match chain.rpc.send_raw(&row.raw, row.hash).await {
        // Whether it is kept this time the next look tells.
        Sent::Accepted => Look::lost(TxStatus::Pending, 0),
        Sent::Unclear(_) => Look::lost(waiting, row.refusals),
        Sent::Refused { refusal, .. } => match refusal.rejection() {
            // There are nodes that show nobody what waits in them. Others say so of what they have just refused, for as long as a block lasts.
            Rejection::AlreadyKnown if row.refusals == 0 => Look::found(TxStatus::Pending),
            Rejection::AlreadyKnown => Look::lost(waiting, row.refusals),
            rejection if rejection.is_definite() => {
                let refusals = row.refusals.saturating_add(1);
                Look::lost(if refusals >= REFUSALS_MAX { TxStatus::Dropped } else { waiting }, refusals)
            }
            _ => Look::lost(if is_hopeless { TxStatus::Dropped } else { waiting }, row.refusals),
        },
    }
}
