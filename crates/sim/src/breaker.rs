//! Strangers' tries over all wallets, added up from outside along a line of anchored checkpoints: written a second time and more simply than
//! the enclave's breaker.

use std::collections::BTreeMap;

/// What stands after one checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Breaker {
    /// Strangers' tries charged and not given back.
    pub(crate) outstanding: u64,
    /// The least that was outstanding since the operators last resumed.
    base: u64,
    tripped: bool,
}

/// What one checkpoint does to strangers' tries.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moved {
    pub(crate) charged: u64,
    pub(crate) given_back: u64,
}

impl Moved {
    /// One wallet's count goes from `before` to `after`.
    pub(crate) fn add(&mut self, before: u32, after: u32) {
        self.charged += u64::from(after.saturating_sub(before));
        self.given_back += u64::from(before.saturating_sub(after));
    }
}

impl Breaker {
    /// What is wrong with a checkpoint that moves this much, where it says that the breaker trips or not.
    pub(crate) fn judge(&self, moved: Moved, maximum: u32, trips: bool) -> Option<String> {
        let (reached, ceiling) = (self.outstanding + moved.charged, self.base + u64::from(maximum));
        if self.tripped && moved.charged > 0 {
            return Some("a stranger's try is charged after the breaker has tripped, and nobody resumed".to_owned());
        }
        if reached > ceiling {
            return Some(format!("{reached} tries of strangers are outstanding, the ceiling is {ceiling}"));
        }
        let wanted = !self.tripped && reached == ceiling;
        let said = |trips| if trips { "trips" } else { "does not trip" };
        (trips != wanted).then(|| {
            format!("by the log it {}, with {reached} outstanding of {ceiling} it {}", said(trips), said(wanted))
        })
    }

    /// What stands after it.
    pub(crate) fn after(self, moved: Moved, trips: bool) -> Self {
        let outstanding = (self.outstanding + moved.charged).saturating_sub(moved.given_back);
        Self { outstanding, base: self.base.min(outstanding), tripped: self.tripped || trips }
    }

    /// What stands once the operators have let enrolment go on.
    pub(crate) const fn resumed(self) -> Self {
        Self { base: self.outstanding, tripped: false, ..self }
    }
}

/// What stood after every checkpoint of a line, by its number.
#[derive(Debug, Clone)]
pub(crate) struct Gauge {
    start: Breaker,
    after: BTreeMap<u64, Breaker>,
}

impl Gauge {
    /// From here on.
    pub(crate) const fn starting(start: Breaker) -> Self {
        Self { start, after: BTreeMap::new() }
    }

    /// After the newest checkpoint.
    pub(crate) fn now(&self) -> Breaker {
        self.after.last_key_value().map_or(self.start, |(_, stands)| *stands)
    }

    /// Up to a checkpoint: what a state that is put back has.
    pub(crate) fn until(&self, sequence: u64) -> Self {
        Self { start: self.start, after: self.after.range(..=sequence).map(|(at, stands)| (*at, *stands)).collect() }
    }

    /// A checkpoint is anchored.
    pub(crate) fn note(&mut self, sequence: u64, stands: Breaker) {
        self.after.insert(sequence, stands);
    }
}
