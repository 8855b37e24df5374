//! Clock, randomness and waiting, handed in so that tests decide them.

use core::convert::Infallible;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use pinseal_protocol::ids::UnixSeconds;
use rand_core::{TryCryptoRng, TryRng};

/// A wait that ends by itself.
pub type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the client needs from the world besides the network and its profile.
///
/// The device key and its signatures take their randomness from `aws-lc-rs` itself, which offers no other way.
pub trait Environment: core::fmt::Debug + Send + Sync + 'static {
    /// The device's clock.
    fn now(&self) -> UnixSeconds;
    /// Fills `out` with unpredictable bytes.
    fn fill_random(&self, out: &mut [u8]);
    /// Waits for `duration`.
    fn sleep(&self, duration: Duration) -> Wait;
}

/// The real world.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Environment for System {
    fn now(&self) -> UnixSeconds {
        // A clock before 1970 makes all evidence look as if from the future, which is refused.
        UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    fn fill_random(&self, out: &mut [u8]) {
        getrandom::fill(out)
            .expect("an operating system that runs this program has randomness; without it nothing may go on");
    }

    fn sleep(&self, duration: Duration) -> Wait {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Random bytes of an array's length.
pub(crate) fn random<const N: usize>(environment: &dyn Environment) -> [u8; N] {
    let mut out = [0_u8; N];
    environment.fill_random(&mut out);
    out
}

/// An [`Environment`] where HPKE wants a generator.
pub(crate) struct Random<'a>(pub(crate) &'a dyn Environment);

impl TryRng for Random<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(random(self.0)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(random(self.0)))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_random(out);
        Ok(())
    }
}

impl TryCryptoRng for Random<'_> {}
