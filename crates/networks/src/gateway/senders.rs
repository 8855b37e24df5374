//! One turn at a time per sender.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pinseal_protocol::intent::EvmAddress;
use pinseal_store::gateway::NetworkId;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Entries after which those nobody waits at are removed.
const SWEEP_AT: usize = 1024;

type Key = (NetworkId, EvmAddress);

/// Whoever writes what became of a sender's transaction holds the sender's turn: a broadcast that takes a refusal for
/// the last word and a tracker that sends the same bytes again would otherwise contradict each other.
#[derive(Default)]
pub(super) struct Senders(Mutex<HashMap<Key, Weak<AsyncMutex<()>>>>);

impl Senders {
    /// Waits for the turn; it ends when the guard is dropped.
    pub(super) async fn turn(&self, network: &NetworkId, sender: EvmAddress) -> OwnedMutexGuard<()> {
        self.lock_of((network.clone(), sender)).lock_owned().await
    }

    fn lock_of(&self, key: Key) -> Arc<AsyncMutex<()>> {
        // The map is consistent between any two statements, so a panic elsewhere does not spoil it.
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() >= SWEEP_AT {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        if let Some(lock) = locks.get(&key).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::new(AsyncMutex::new(()));
        locks.insert(key, Arc::downgrade(&lock));
        lock
    }
}
