//! What the trunk shows of itself.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pinseal_anchor::AnchorLevel;
use pinseal_protocol::checkpoint::Checkpoint;

use crate::boot::{Booted, Hello};
use crate::call::Stop;
use crate::pipeline::{Depths, Pipeline};

/// How long storing and anchoring a batch takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitLatency {
    /// Batches measured.
    pub batches: u64,
    /// Of all of them together.
    pub total: Duration,
    /// Of the slowest one.
    pub longest: Duration,
    /// Of the last one.
    pub last: Duration,
}

/// A snapshot; no secrets in it.
#[derive(Debug, Clone)]
pub struct TrunkStatus {
    /// Serving.
    pub ready: bool,
    /// Why it does not serve any more.
    pub stopped: Option<Stop>,
    /// Encoded manifest of this boot.
    pub manifest: Vec<u8>,
    /// Measurement, release, hardening.
    pub hello: Hello,
    /// The newest checkpoint that is stored and anchored.
    pub checkpoint: Checkpoint,
    /// The same as a signed note.
    pub note: Vec<u8>,
    /// Wallets in the deployment.
    pub wallets: u64,
    /// Anchor level in use.
    pub anchor_level: AnchorLevel,
    /// Batches anchored since boot, the BOOT entry not counted.
    pub batches: u64,
    /// How much is under way.
    pub depths: Depths,
    /// Calls that wait for the trunk's thread.
    pub queued: usize,
    /// Time from the start of a transaction to its anchor's receipt.
    pub commit_latency: CommitLatency,
}

type Notify = Box<dyn FnOnce(Stop) + Send>;

/// The snapshot, and who wants to know when it stops.
pub(super) struct Board {
    state: Mutex<State>,
    closed: Condvar,
}

struct State {
    status: TrunkStatus,
    notify: Vec<Notify>,
    is_closed: bool,
}

impl Board {
    pub(super) fn new(booted: Booted, anchor_level: AnchorLevel) -> Self {
        let status = TrunkStatus {
            ready: true,
            stopped: None,
            manifest: booted.manifest,
            hello: booted.hello,
            checkpoint: booted.anchored.checkpoint,
            note: booted.anchored.note,
            wallets: booted.wallets,
            anchor_level,
            batches: 0,
            depths: Depths::default(),
            queued: 0,
            commit_latency: CommitLatency::default(),
        };
        Self { state: Mutex::new(State { status, notify: Vec::new(), is_closed: false }), closed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self, queued: usize) -> TrunkStatus {
        TrunkStatus { queued, ..self.state().status.clone() }
    }

    /// Takes over what the pipeline says.
    pub(super) fn update(&self, pipeline: &Pipeline) {
        let status = &mut self.state().status;
        status.depths = pipeline.depths();
        status.wallets = pipeline.wallets();
        status.stopped = pipeline.stopped().cloned();
        status.ready = status.stopped.is_none();
        if status.batches != pipeline.batches() {
            status.batches = pipeline.batches();
            let anchored = pipeline.anchored();
            status.checkpoint = anchored.checkpoint;
            status.note.clone_from(&anchored.note);
        }
    }

    pub(super) fn batch_took(&self, took: Duration) {
        let latency = &mut self.state().status.commit_latency;
        latency.batches += 1;
        latency.total += took;
        latency.longest = latency.longest.max(took);
        latency.last = took;
    }

    /// Tells those who want to know.
    pub(super) fn stop(&self, stop: Stop) {
        let notify = std::mem::take(&mut self.state().notify);
        // Outside the lock: whoever is told may ask for the status.
        for notify in notify {
            notify(stop.clone());
        }
    }

    /// Every thread has ended. Whoever has not been told of a stop is told now.
    pub(super) fn close(&self) {
        let stop = {
            let status = &mut self.state().status;
            status.ready = false;
            status.stopped.get_or_insert(Stop::Disconnected).clone()
        };
        self.stop(stop);
        self.state().is_closed = true;
        self.closed.notify_all();
    }

    pub(super) fn wait_closed(&self) {
        let mut state = self.state();
        while !state.is_closed {
            state = self.closed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn on_stop(&self, notify: Notify) {
        let stopped = {
            let mut state = self.state();
            match state.status.stopped.clone() {
                Some(stop) => Some((notify, stop)),
                None => {
                    state.notify.push(notify);
                    None
                }
            }
        };
        if let Some((notify, stop)) = stopped {
            notify(stop);
        }
    }
}
