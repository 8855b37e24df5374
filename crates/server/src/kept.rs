//! Secrets kept on purpose: a test that looks for secrets in this process's memory must find these before it counts.
//!
//! With the feature `fault-points` and `PINSEAL_KEEP_SECRETS` in the environment, a copy of each secret that passes here stays on the
//! heap for as long as the process lives. Without the feature there is no code here.

/// Keeps a copy, if a test asked for it.
#[cfg(not(feature = "fault-points"))]
pub(crate) const fn keep(_: &str) {}

/// Keeps a copy, if a test asked for it.
#[cfg(feature = "fault-points")]
pub(crate) fn keep(secret: &str) {
    use std::sync::{LazyLock, Mutex, PoisonError};

    static KEPT: LazyLock<Option<Mutex<Vec<String>>>> =
        LazyLock::new(|| std::env::var_os("PINSEAL_KEEP_SECRETS").map(|_| Mutex::default()));

    if let Some(kept) = KEPT.as_ref() {
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(secret.to_owned());
    }
}
