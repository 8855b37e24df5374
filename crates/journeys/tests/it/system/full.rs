//! A disk that is full when the test says so.

use std::sync::atomic::{AtomicU32, Ordering};

use pinseal_store::{CommitFault, CommitHook};

/// Refuses one commit of a batch.
#[derive(Debug, Default)]
pub(crate) struct FullDisk(AtomicU32);

impl FullDisk {
    /// The `nth` batch from now on finds no room; 1 is the next one.
    pub(crate) fn refuse(&self, nth: u32) {
        self.0.store(nth, Ordering::SeqCst);
    }

    /// True once that batch was refused.
    pub(crate) fn has_refused(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

impl CommitHook for FullDisk {
    fn before_commit(&self) -> Option<CommitFault> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        (left == Ok(1)).then_some(CommitFault::Full)
    }
}
