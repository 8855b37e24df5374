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
    known: Arc<Mutex<Option<(FeeTiers, UnixSeconds)>>>,
    /// Questions that brought nothing.
    failures: AtomicU64,
}

impl Chain {
    /// What a transaction costs now, or did a moment ago. The nodes are asked once for all who come meanwhile, who get what comes of it. A
    /// question goes on when its asker goes away, so that nobody makes the nodes answer one that nobody remembers.
    pub(super) async fn tiers(self: &Arc<Self>, now: UnixSeconds) -> Result<FeeTiers, GatewayError> {
        let failures = self.tiers.failures.load(Ordering::Acquire);
        let mut known = Arc::clone(&self.tiers.known).lock_owned().await;
        if let Some((tiers, _)) = known.filter(|(_, read_at)| is_fresh(*read_at, now)) {
            return Ok(tiers);
        }
        if self.tiers.failures.load(Ordering::Acquire) != failures {
            return Err(GatewayError::Unanswered);
        }
        let chain = Arc::clone(self);
        let asking = tokio::spawn(async move {
            let asked = fees::fees(&chain.rpc, &chain.network).await;
            match &asked {
                Ok(tiers) => *known = Some((*tiers, now)),
                Err(_) => drop(chain.tiers.failures.fetch_add(1, Ordering::Release)),
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
