//! Secrets kept on purpose: a test that looks for secrets in this process's memory must find these before it counts.
//!
//! With the feature `fault-points`, and only after [`keep_secrets`] was called, a copy of each secret that passes here stays on the
//! heap for as long as the process lives. Without the feature there is no code here.

/// Keeps a copy, if a test asked for it.
#[cfg(not(feature = "fault-points"))]
pub(crate) const fn keep(_: &[u8]) {}

#[cfg(feature = "fault-points")]
pub use enabled::keep_secrets;

#[cfg(feature = "fault-points")]
pub(crate) use enabled::keep;

#[cfg(feature = "fault-points")]
mod enabled {
    use std::sync::{Mutex, PoisonError};

    static KEPT: Mutex<Option<Vec<Box<[u8]>>>> = Mutex::new(None);

    /// From now on secrets are kept. For tests alone.
    pub fn keep_secrets() {
        *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    /// Keeps a copy, if a test asked for it.
    pub(crate) fn keep(secret: &[u8]) {
        if let Some(kept) = KEPT.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            kept.push(secret.into());
        }
    }
}
