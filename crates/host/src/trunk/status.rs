//! What the trunk shows of itself.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pinseal_anchor::{AnchorLevel, Cosigned};
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::cosignature::Quorum;
use pinseal_protocol::manifest::Manifest;
use pinseal_protocol::tpm::Tpm;

use super::meter::{BatchMetrics, Meter};
use crate::boot::{Booted, Hello};
use crate::call::Stop;
use crate::pause::Pause;
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

/// Where freshness is kept: level, floor and witnesses as the manifest states them, the rest as seen here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorState {
    /// Level in use.
    pub level: AnchorLevel,
    /// Level below which the deployment never runs.
    pub floor: AnchorLevel,
    /// The witnesses, at L4.
    pub witnesses: Option<Quorum>,
    /// The TPM, at L2.
    pub tpm: Option<Tpm>,
    /// Of them, those that cosigned the checkpoint they were last asked to.
    pub cosigned: usize,
    /// Since the newest checkpoint was anchored.
    pub age: Duration,
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
    /// Since when enrolment is paused.
    pub paused: Option<Pause>,
    /// Enrolments turned away since, in this boot.
    pub turned_away: u64,
    /// Where freshness is kept.
    pub anchor: AnchorState,
    /// Batches anchored since boot, the BOOT entry not counted.
    pub batches: u64,
    /// How much is under way.
    pub depths: Depths,
    /// Calls that wait for the trunk's thread.
    pub queued: usize,
    /// Time from the start of a transaction to its anchor's receipt.
    pub commit_latency: CommitLatency,
    /// What batches cost.
    pub batch_metrics: BatchMetrics,
}

type Notify = Box<dyn FnOnce(Stop) + Send>;
type NotifyPaused = Box<dyn FnOnce(Pause) + Send>;

/// The snapshot, and who wants to know when it stops.
pub(super) struct Board {
    state: Mutex<State>,
    closed: Condvar,
    pub(super) meter: Meter,
    cosigned: Option<Cosigned>,
}

struct State {
    status: TrunkStatus,
    anchored_at: Instant,
    notify: Vec<Notify>,
    notify_paused: Vec<NotifyPaused>,
    is_closed: bool,
}

impl Board {
    pub(super) fn new(booted: Booted, manifest: &Manifest, cosigned: Option<Cosigned>) -> Self {
        let meter = Meter::new();
        let anchor = AnchorState {
            level: manifest.anchor,
            floor: manifest.floor,
            witnesses: manifest.witnesses.clone(),
            tpm: manifest.tpm,
            cosigned: 0,
            age: Duration::ZERO,
        };
        let status = TrunkStatus {
            ready: true,
            stopped: None,
            manifest: booted.manifest,
            hello: booted.hello,
            checkpoint: booted.anchored.checkpoint,
            note: booted.anchored.note,
            wallets: booted.wallets,
            paused: booted.paused,
            turned_away: 0,
            anchor,
            batches: 0,
            depths: Depths::default(),
            queued: 0,
            commit_latency: CommitLatency::default(),
            batch_metrics: meter.read(),
        };
        let state = State {
            status,
            anchored_at: Instant::now(),
            notify: Vec::new(),
            notify_paused: Vec::new(),
            is_closed: false,
        };
        Self { state: Mutex::new(state), closed: Condvar::new(), meter, cosigned }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self, queued: usize) -> TrunkStatus {
        let (mut status, anchored_at) = {
            let state = self.state();
            (state.status.clone(), state.anchored_at)
        };
        status.anchor.age = anchored_at.elapsed();
        status.anchor.cosigned = self.cosigned.as_ref().map_or(0, |cosigned| cosigned());
        TrunkStatus { queued, batch_metrics: self.meter.read(), ..status }
    }

    /// Takes over what the pipeline says.
    pub(super) fn update(&self, pipeline: &Pipeline) {
        let mut state = self.state();
        let State { status, anchored_at, .. } = &mut *state;
        status.depths = pipeline.depths();
        status.wallets = pipeline.wallets();
        status.paused = pipeline.paused();
        status.turned_away = pipeline.turned_away();
        status.stopped = pipeline.stopped().cloned();
        status.ready = status.stopped.is_none();
        if status.batches != pipeline.batches() {
            status.batches = pipeline.batches();
            *anchored_at = Instant::now();
            let anchored = pipeline.anchored();
            status.checkpoint = anchored.checkpoint;
            status.note.clone_from(&anchored.note);
        }
        if let Some(pause) = status.paused {
            let notify = std::mem::take(&mut state.notify_paused);
            drop(state);
            notify.into_iter().for_each(|notify| notify(pause));
        }
    }

    /// Calls `notify` once, when enrolment is paused; at once if it is.
    pub(super) fn on_pause(&self, notify: NotifyPaused) {
        let mut state = self.state();
        match state.status.paused {
            Some(pause) => {
                drop(state);
                notify(pause);
            }
            None => state.notify_paused.push(notify),
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
