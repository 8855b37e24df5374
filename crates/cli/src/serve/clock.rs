//! The time this host tells.
//!
//! With the feature `fault-points` and `PINSEAL_CLOCK_AHEAD=<file>` in the environment it is as many seconds ahead as the file says: for
//! tests that would have to wait for a delay, and because a host may say what time it likes.

use std::time::Duration;

use pinseal_protocol::ids::UnixSeconds;

/// Seconds this host's clock is ahead.
#[cfg(not(feature = "fault-points"))]
const fn ahead() -> u64 {
    0
}

/// Seconds this host's clock is ahead.
#[cfg(feature = "fault-points")]
fn ahead() -> u64 {
    let read = |path| std::fs::read_to_string(path).ok()?.trim().parse().ok();
    std::env::var_os("PINSEAL_CLOCK_AHEAD").and_then(read).unwrap_or(0)
}

/// For enclave, trunk and gateway.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HostClock;

impl pinseal_host::Clock for HostClock {
    fn now(&self) -> UnixSeconds {
        let UnixSeconds(now) = pinseal_host::Clock::now(&pinseal_host::SystemClock);
        UnixSeconds(now.saturating_add(ahead()))
    }
}

/// For the server.
#[derive(Debug, Default)]
pub(super) struct ServerClock(pinseal_server::SystemClock);

impl pinseal_server::Clock for ServerClock {
    fn now(&self) -> UnixSeconds {
        let UnixSeconds(now) = pinseal_server::Clock::now(&self.0);
        UnixSeconds(now.saturating_add(ahead()))
    }

    fn steady(&self) -> Duration {
        pinseal_server::Clock::steady(&self.0)
    }
}
