//! The circuit breaker: a bound on the wrong PINs of strangers, the devices that are not enrolled, over all wallets together.
//!
//! The guard gives them five tries at each wallet. Who can mint tokens or has stolen many logins has as many wallets to try at; this bounds
//! the sum. Counted are the strangers' tries outstanding: charged and not given back. Honest people bring the sum down again by themselves,
//! with a right PIN or a clear; who guesses at random does not. No clock takes part: time is the host's word.
//!
//! Invariants:
//!
//! - `outstanding` is the sum of [`crate::guard::Guard::strangers`] over all records of the same state;
//! - no charge takes it beyond the ceiling, `base` plus the configured maximum: a stranger is refused while what is outstanding and what is
//!   being charged leave no room;
//! - the batch with the charge that reaches the ceiling trips the breaker, before that charge's PIN is tested; nothing but the operators'
//!   order resets it;
//! - what a verdict gives back counts from the batch after its own on: whether a batch trips says nothing about the verdicts in it, which
//!   are not anchored yet.

use pinseal_protocol::aead::SealingKey;
use pinseal_protocol::checkpoint::SealedBreaker;
use pinseal_protocol::ids::{Hash32, Sequence};
use pinseal_protocol::kdf;

use crate::environment::{Environment, random};
use crate::planted::{self, Defect};

/// Bytes of the random part of a sealed breaker; with the checkpoint before it, it makes the key.
const RANDOM_BYTES: usize = 16;
/// Whether it tripped, what is outstanding, the base.
const PLAIN_BYTES: usize = 17;

/// What the breaker stands at. Part of the state that a checkpoint commits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Breaker {
    /// Strangers' tries outstanding, over all wallets.
    outstanding: u64,
    /// The least that was outstanding since the operators last resumed.
    base: u64,
    tripped: bool,
}

/// What one write, or all of a batch, does to strangers' tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Moved {
    pub(crate) charged: u64,
    pub(crate) given_back: u64,
}

impl Moved {
    /// From one wallet's count to its next.
    pub(crate) fn between(before: u8, after: u8) -> Self {
        Self { charged: after.saturating_sub(before).into(), given_back: before.saturating_sub(after).into() }
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            charged: self.charged.saturating_add(other.charged),
            given_back: self.given_back.saturating_add(other.given_back),
        }
    }
}

/// Whether a stranger may have a PIN tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// The charges under way leave no room; what becomes of them decides.
    Full,
    Tripped,
}

impl Breaker {
    const fn ceiling(&self, maximum: u32) -> u64 {
        self.base.saturating_add(maximum as u64)
    }

    /// Asked before a charge; `charging` tries are being charged and not yet anchored.
    pub(crate) fn gate(&self, maximum: u32, charging: u64) -> Gate {
        if planted::is(Defect::BreakerOff) {
            return Gate::Open;
        }
        let charging = if planted::is(Defect::BreakerOvershoots) { 0 } else { charging };
        match self.outstanding.saturating_add(charging) < self.ceiling(maximum) {
            _ if self.tripped => Gate::Tripped,
            true => Gate::Open,
            false => Gate::Full,
        }
    }

    /// Takes over what a batch moves; true if that trips the breaker.
    pub(crate) fn apply(&mut self, moved: Moved, maximum: u32) -> bool {
        let reached = self.outstanding.saturating_add(moved.charged);
        let told = if planted::is(Defect::BreakerTellsVerdict) { moved.given_back } else { 0 };
        let trips =
            !self.tripped && reached.saturating_sub(told) >= self.ceiling(maximum) && !planted::is(Defect::BreakerOff);
        self.tripped |= trips;
        self.outstanding = reached.saturating_sub(moved.given_back);
        self.base = self.base.min(self.outstanding);
        trips
    }

    /// The operators have looked: what is outstanding now is what they know of.
    pub(crate) const fn resume(&mut self) {
        self.base = self.outstanding;
        self.tripped = false;
    }

    /// A key seals once: the random part is drawn anew for every batch, by every instance for itself.
    pub(crate) fn seal(&self, key: &SealingKey, follows: &Follows, environment: &mut dyn Environment) -> SealedBreaker {
        let random: [u8; RANDOM_BYTES] = random(environment);
        let [outstanding, base] = [self.outstanding, self.base].map(u64::to_be_bytes);
        let plain = [&[u8::from(self.tripped)], outstanding.as_slice(), &base].concat();
        let sealed = key.seal(&follows.info(&random), &[], &plain);
        let mut out = [0; SealedBreaker::LEN];
        for (slot, byte) in out.iter_mut().zip(random.into_iter().chain(sealed)) {
            *slot = byte;
        }
        SealedBreaker(out)
    }

    /// What [`Breaker::seal`] sealed for the same place in the log.
    pub(crate) fn open(sealed: &SealedBreaker, key: &SealingKey, follows: &Follows) -> Option<Self> {
        let (random, sealed) = sealed.0.split_first_chunk::<RANDOM_BYTES>()?;
        let plain = key.open(&follows.info(random), &[], sealed).ok()?;
        let plain: &[u8; PLAIN_BYTES] = plain.as_slice().try_into().ok()?;
        let (tripped, rest) = plain.split_first()?;
        let (outstanding, base) = rest.split_first_chunk()?;
        if planted::is(Defect::BreakerForgottenAtBoot) {
            return Some(Self::default());
        }
        Some(Self {
            outstanding: u64::from_be_bytes(*outstanding),
            base: u64::from_be_bytes(base.try_into().ok()?),
            tripped: match tripped {
                0 => false,
                1 => true,
                _ => return None,
            },
        })
    }
}

/// The place in the log that a sealed breaker belongs to.
pub(crate) struct Follows {
    pub(crate) sequence: Sequence,
    pub(crate) previous: Hash32,
}

impl Follows {
    fn info(&self, random: &[u8; RANDOM_BYTES]) -> [u8; 32] {
        kdf::hash("pinseal breaker v1", &[random, &self.sequence.0.to_be_bytes(), &self.previous.0]).0
    }
}

#[cfg(test)]
mod tests;
