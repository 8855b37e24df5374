//! One clock for host, server and clients, moved by the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pinseal_client::Environment;
use pinseal_client::environment::Wait;
use pinseal_protocol::ids::UnixSeconds;

const START: u64 = 1_900_000_000;

/// Time that moves when told.
#[derive(Debug, Default)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn unix(&self) -> u64 {
        START + self.0.load(Ordering::SeqCst)
    }
}

impl pinseal_host::Clock for TestClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.unix())
    }
}

impl pinseal_server::Clock for TestClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.unix())
    }

    fn steady(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// A client's world: the same clock, real randomness, waits that are over at once.
#[derive(Debug)]
pub(crate) struct World(pub(crate) Arc<TestClock>);

impl Environment for World {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.0.unix())
    }

    fn fill_random(&self, out: &mut [u8]) {
        getrandom::fill(out).unwrap();
    }

    fn sleep(&self, _: Duration) -> Wait {
        Box::pin(tokio::task::yield_now())
    }
}
