//! What batches cost: how large they are, how long a write waits for its batch, and how long storing and anchoring take.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pinseal_protocol::wire::{Batch, BatchId, CallId, FromEnclave, ToEnclave};

/// Bounds of times, in seconds: from a sync of a fast disk to where a caller gives up.
const SECONDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// Bounds of sizes, in records; the last is the most that a batch may have (`protocol::limits::BATCH_WRITES_MAX`).
const RECORDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// How often values were at most so large.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
    count: u64,
}

impl Distribution {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len()], sum: 0.0, count: 0 }
    }

    fn observe(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
        if let Some(count) = self.bounds.iter().position(|bound| value <= *bound).and_then(|at| self.counts.get_mut(at))
        {
            *count += 1;
        }
    }

    /// Each upper bound, and how many values were not above it.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let mut below = 0;
        let cumulate = |(bound, count): (&f64, &u64)| {
            below += count;
            (*bound, below)
        };
        self.bounds.iter().zip(&self.counts).map(cumulate).collect()
    }

    /// All values together.
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// How many there were.
    pub const fn count(&self) -> u64 {
        self.count
    }
}

/// A snapshot of everything measured since boot, the BOOT entry not counted.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchMetrics {
    /// Records of a batch.
    pub records: Distribution,
    /// Seconds from handing the enclave what it will write for (a request, or the receipt of its charge) to the batch that holds the
    /// write: the enclave's own work, and at most one batch of others.
    pub wait: Distribution,
    /// Seconds to store a batch.
    pub store: Distribution,
    /// Seconds to anchor it.
    pub anchor: Distribution,
}

/// Measures; shared by the threads that see a part each.
pub(super) struct Meter(Mutex<Measured>);

struct Measured {
    metrics: BatchMetrics,
    /// Since when each call's next write is on its way.
    since: HashMap<CallId, Instant>,
    in_flight: Option<(BatchId, Vec<CallId>)>,
}

impl Meter {
    pub(super) fn new() -> Self {
        let seconds = || Distribution::new(SECONDS);
        let metrics =
            BatchMetrics { records: Distribution::new(RECORDS), wait: seconds(), store: seconds(), anchor: seconds() };
        Self(Mutex::new(Measured { metrics, since: HashMap::new(), in_flight: None }))
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self) -> BatchMetrics {
        self.measured().metrics.clone()
    }

    /// The host says something to the enclave.
    pub(super) fn sent(&self, frame: &ToEnclave, now: Instant) {
        let mut measured = self.measured();
        match frame {
            ToEnclave::Sealed { call, .. } => {
                measured.since.insert(*call, now);
            }
            ToEnclave::Committed { batch, .. } => {
                if let Some((_, calls)) = measured.in_flight.take_if(|(id, _)| id == batch) {
                    measured.since.extend(calls.into_iter().map(|call| (call, now)));
                }
            }
            ToEnclave::Aborted { .. } => measured.in_flight = None,
            _ => {}
        }
    }

    /// The enclave has answered a call: it writes nothing more for it.
    pub(super) fn received(&self, frame: &FromEnclave) {
        if let FromEnclave::Replied { call, .. } | FromEnclave::Refused { call, .. } = frame {
            self.measured().since.remove(call);
        }
    }

    /// A batch goes to the committer.
    pub(super) fn committing(&self, batch: &Batch, now: Instant) {
        let mut measured = self.measured();
        let Measured { metrics, since, in_flight } = &mut *measured;
        metrics.records.observe(f64::from(u32::try_from(batch.records.len()).unwrap_or(u32::MAX)));
        let calls: Vec<CallId> = batch.records.iter().map(|record| record.call).collect();
        for since in calls.iter().filter_map(|call| since.remove(call)) {
            metrics.wait.observe(now.saturating_duration_since(since).as_secs_f64());
        }
        *in_flight = Some((batch.batch, calls));
    }

    pub(super) fn stored(&self, took: Duration) {
        self.measured().metrics.store.observe(took.as_secs_f64());
    }

    pub(super) fn anchored(&self, took: Duration) {
        self.measured().metrics.anchor.observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_every_bucket_that_is_not_below_it() {
        let mut sizes = Distribution::new(RECORDS);
        [1.0, 2.0, 3.0, 256.0, 257.0].into_iter().for_each(|size| sizes.observe(size));
        let buckets = sizes.buckets();
        assert_eq!(buckets[..3], [(1.0, 1), (2.0, 2), (4.0, 3)]);
        assert_eq!((buckets[8], sizes.count(), sizes.sum()), ((256.0, 4), 5, 519.0));
    }
}
