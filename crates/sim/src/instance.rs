//! One running enclave, and the host around it: the real pipeline, or nobody but the adversary.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pinseal_enclave::Enclave;
use pinseal_fuzzing::harness::host::{Disk, enclave};
use pinseal_fuzzing::harness::randomness::Randomness;
use pinseal_host::Pipeline;
use pinseal_host::pipeline::{Action, Ticket};
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::{Hash32, UserIdHash};
use pinseal_protocol::log::Consistency;
use pinseal_protocol::manifest::Manifest;
use pinseal_protocol::wire::{Batch, Begun, CallId, Halt, Header};
use pinseal_store::vault::Vault;

use crate::anchor::Advance;
use crate::people::Plan;
use crate::tenure::Shape;

/// A boot of an enclave on a copy of a database.
pub(crate) struct Instance {
    pub(crate) enclave: Enclave,
    pub(crate) environment: Randomness,
    /// The tenure whose root and configuration it was started with.
    pub(crate) tenure: usize,
    /// Where it is told that its checkpoints are anchored.
    pub(crate) place: usize,
    /// What it was started to change.
    pub(crate) changing: Option<Changing>,
    /// Present once it serves.
    pub(crate) manifest: Option<Manifest>,
    /// Its database.
    pub(crate) disk: Arc<Disk>,
    /// The newest checkpoint that the enclave was told is anchored.
    pub(crate) note: Vec<u8>,
    /// Records as the enclave knows them.
    pub(crate) records: BTreeMap<UserIdHash, (Header, Vec<u8>)>,
    /// What this host says the time is.
    pub(crate) now: u64,
    pub(crate) flight: Option<Flight>,
    pub(crate) calls: BTreeMap<CallId, Call>,
    pub(crate) begun: BTreeMap<CallId, Begun>,
    pub(crate) host: Host,
    pub(crate) halted: Option<Halt>,
    last_call: u64,
}

/// A change that an enclave was started for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changing {
    /// What is to follow.
    pub(crate) next: Shape,
    /// Where its entry has to be anchored, by the protocol.
    pub(crate) judge: usize,
    /// Whether an older state is put back by it.
    pub(crate) restores: bool,
    /// The root's file.
    pub(crate) root: Hash32,
    /// The root has left.
    pub(crate) is_done: bool,
}

/// Who runs the enclave.
pub(crate) enum Host {
    /// The adversary, message by message.
    Hostile,
    /// The real pipeline.
    Honest(Box<Honest>),
}

/// The real pipeline and what it has asked to be done.
pub(crate) struct Honest {
    pub(crate) pipeline: Pipeline,
    pub(crate) vault: Arc<Vault>,
    pub(crate) todo: VecDeque<Action>,
    pub(crate) waiting: BTreeMap<Ticket, Waiting>,
    pub(crate) tickets: u64,
}

/// What a caller of the pipeline waits for.
pub(crate) enum Waiting {
    Begin(Plan),
    Sealed(usize),
}

/// A batch that the enclave asked for.
pub(crate) struct Flight {
    pub(crate) batch: Batch,
    /// The database before it was stored.
    pub(crate) before: Option<Arc<Disk>>,
    /// What the anchor said.
    pub(crate) said: Option<Advance>,
}

/// A sealed request that was handed in.
pub(crate) struct Call {
    pub(crate) request: usize,
    /// Checkpoints of the batches that hold its writes, in order.
    pub(crate) notes: Vec<Vec<u8>>,
}

impl Instance {
    pub(crate) fn new(seed: u64, disk: Arc<Disk>, now: u64, tenure: usize, place: usize) -> Self {
        Self {
            tenure,
            place,
            changing: None,
            enclave: enclave(),
            environment: Randomness::new(seed),
            manifest: None,
            note: disk.note.clone(),
            records: disk.records.clone(),
            disk,
            now,
            flight: None,
            calls: BTreeMap::new(),
            begun: BTreeMap::new(),
            host: Host::Hostile,
            halted: None,
            last_call: 0,
        }
    }

    /// Whether it will ever say anything more.
    pub(crate) fn is_over(&self) -> bool {
        self.halted.is_some() || self.changing.is_some_and(|changing| changing.is_done)
    }

    pub(crate) const fn is_honest(&self) -> bool {
        matches!(self.host, Host::Honest(_))
    }

    pub(crate) const fn honest(&mut self) -> Option<&mut Honest> {
        match &mut self.host {
            Host::Honest(honest) => Some(honest),
            Host::Hostile => None,
        }
    }

    pub(crate) const fn next_call(&mut self) -> CallId {
        self.last_call += 1;
        CallId(self.last_call)
    }

    /// Stores the batch in flight.
    pub(crate) fn store(&mut self, batch: &Batch) {
        let before = Arc::clone(&self.disk);
        Arc::make_mut(&mut self.disk).store(batch);
        if let Some(flight) = &mut self.flight {
            flight.before = Some(before);
        }
    }

    /// The enclave knows that the batch is anchored.
    pub(crate) fn told(&mut self, batch: &Batch) {
        self.note = batch.checkpoint.to_vec();
        for write in &batch.records {
            let header = Header { wallet: write.wallet, version: write.version, outer: write.hash };
            self.records.insert(write.wallet, (header, write.outer.to_vec()));
        }
    }

    /// Proof that the log as the enclave knows it continues that of `old_size` entries.
    pub(crate) fn consistency(&self, old_size: u64) -> Option<Consistency> {
        let size = Checkpoint::read_unverified(&self.note).ok()?.size;
        let mut node = |level, index| self.disk.nodes.get(&(level, index)).copied().ok_or(());
        Consistency::prove(old_size, size, &mut node).ok().flatten()
    }
}
