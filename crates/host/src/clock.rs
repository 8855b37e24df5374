//! Time as the host tells it to the enclave.

use std::time::{SystemTime, UNIX_EPOCH};

use pinseal_protocol::ids::UnixSeconds;

/// Says what time it is. Tests inject their own.
pub trait Clock: Send + Sync {
    /// Now. May jump and come back: the enclave keeps a clock of its own for delays.
    fn now(&self) -> UnixSeconds;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixSeconds {
        // A clock before 1970 is not set at all.
        UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}
