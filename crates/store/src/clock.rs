//! Time, handed in so that tests need not wait.

use std::time::{SystemTime, UNIX_EPOCH};

use pinseal_protocol::ids::UnixSeconds;

/// Says what time it is to what the host keeps: records, reservations, the enclave.
pub trait Clock: Send + Sync {
    /// Now. May jump and come back: the enclave keeps a clock of its own for delays.
    fn now(&self) -> UnixSeconds;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixSeconds {
        // A clock before 1970 is not set at all and reads as 1970: what expires lives until it is set right.
        UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}
