//! How high a chain is, as its nodes last told.

use std::sync::{Mutex, PoisonError};

use pinseal_protocol::ids::UnixSeconds;

/// The height that was told last, and when it was asked for.
#[derive(Default)]
pub(super) struct Height(Mutex<Option<(u64, UnixSeconds)>>);

impl Height {
    pub(super) fn note(&self, height: u64, asked_at: UnixSeconds) {
        self.set(Some((height, asked_at)));
    }

    /// The chain is another one.
    pub(super) fn forget(&self) {
        self.set(None);
    }

    /// What was told, where it was asked for within this many seconds; or however long ago, without a bound.
    pub(super) fn told(&self, within_seconds: Option<u64>, now: UnixSeconds) -> Option<u64> {
        let (height, asked_at) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        // Nor from the future, should the clock have been set back.
        let is_fresh = |seconds| (asked_at.0..asked_at.0.saturating_add(seconds)).contains(&now.0);
        within_seconds.is_none_or(is_fresh).then_some(height)
    }

    // It is written whole, so a poisoned lock guards something sound.
    fn set(&self, told: Option<(u64, UnixSeconds)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }
}
