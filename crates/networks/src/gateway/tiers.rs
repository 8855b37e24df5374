//! What a network's transactions cost, remembered for a moment: whoever has an app's key may ask, and the nodes are the operator's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pinseal_protocol::ids::UnixSeconds;
use tokio::sync::Mutex;

use super::GatewayError;
use super::chain::Chain;
use crate::fees::{self, FeeTiers};

/// How long tiers are given out without asking again: a quarter of a block on Ethereum, whose fees move once a block.
const REMEMBERED_SECONDS: u64 = 3;

/// The tiers of one network as they were last read.
#[derive(Default)]
pub(super) struct Tiers {
    /// With the time at which they were asked for, and the number of the question.
    known: Arc<Mutex<Option<(FeeTiers, UnixSeconds, u64)>>>,
    /// Questions that are over.
    over: AtomicU64,
}

impl Chain {
    /// What a transaction costs now, or did a moment ago. The nodes are asked once for all who come meanwhile, who get what comes of it. A
    /// question goes on when its asker goes away, so that nobody makes the nodes answer one that nobody remembers.
    pub(super) async fn tiers(self: &Arc<Self>, now: UnixSeconds) -> Result<FeeTiers, GatewayError> {
        let over = self.tiers.over.load(Ordering::Acquire);
        let mut known = Arc::clone(&self.tiers.known).lock_owned().await;
        let number = self.tiers.over.load(Ordering::Acquire);
        // One that came to its end meanwhile is as good as one of their own, however long ago it began: nodes that take longer than an answer is
        // remembered would otherwise be asked by one after the other, each in vain.
        let has_waited = number != over;
        match &*known {
            Some((tiers, read_at, _)) if is_fresh(*read_at, now) => return Ok(*tiers),
            Some((tiers, _, of)) if has_waited && *of == number => return Ok(*tiers),
            _ if has_waited => return Err(GatewayError::Unanswered),
            _ => {}
        }
        let chain = Arc::clone(self);
        let asking = tokio::spawn(async move {
            let asked = fees::fees(&chain.rpc, &chain.network).await;
            let number = chain.tiers.over.fetch_add(1, Ordering::AcqRel) + 1;
            if let Ok(tiers) = &asked {
                *known = Some((*tiers, now, number));
            }
            asked
        });
        // The task only ends without a result if it panicked or the runtime shuts down.
        asking.await.unwrap_or(Err(GatewayError::Unanswered))
    }
}

/// Also not from the future, should the clock have been set back.
fn is_fresh(read_at: UnixSeconds, now: UnixSeconds) -> bool {
    (read_at.0..read_at.0.saturating_add(REMEMBERED_SECONDS)).contains(&now.0)
}
