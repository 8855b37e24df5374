//! Points at which a crash test aborts the process.
//!
//! With the feature `fault-points` and `PINSEAL_FAULT=<point>:<n>` in the environment, the process aborts when it passes
//! that point for the n-th time (from 1), the passes of boot included. Without the feature there is no code here.

/// Every point of this crate, in the order a batch passes them, then those of a creation, of a change, and of another TPM's index that is written for
/// the first time.
pub const POINTS: &[&str] = &[
    "host.before_enclave_send",
    "host.before_commit",
    "host.after_commit",
    "host.after_anchor",
    "host.before_reply",
    "host.before_drop_old",
    "create.after_root",
    "create.after_genesis",
    "change.given_up",
    "change.before_root",
    "change.after_root",
    "change.between",
    "prime.before_define",
    "prime.after_define",
    "prime.before_extend",
    "prime.after_extend",
];

/// Passes a point.
#[cfg(not(feature = "fault-points"))]
pub(crate) const fn point(_name: &'static str) {}

/// Passes a point.
#[cfg(feature = "fault-points")]
pub(crate) fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSES: AtomicU64 = AtomicU64::new(0);

    debug_assert!(POINTS.contains(&name), "an undeclared fault point");
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("PINSEAL_FAULT").ok()?;
        let (point, count) = text.split_once(':')?;
        Some((point.to_owned(), count.parse().ok()?))
    });
    if let Some((armed, count)) = armed
        && armed == name
        && PASSES.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        std::process::abort();
    }
}
