//! The only place the server learns the time, so that tests hand it in.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinseal_protocol::ids::UnixSeconds;

/// Wall time for tokens and codes, steady time for rates and durations.
pub trait Clock: Send + Sync {
    /// Unix time.
    fn now(&self) -> UnixSeconds;
    /// Time since some fixed moment; never goes back.
    fn steady(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock(Instant);

/// Starts the steady clock.
impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixSeconds {
        // Before 1970 every token is refused as not yet issued or expired, which is the safe answer.
        UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    fn steady(&self) -> Duration {
        self.0.elapsed()
    }
}
