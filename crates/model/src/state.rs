//! One state of everything: enclaves, anchor, what was ever signed, and what a witness from outside has counted.

use crate::checkpoint::{Checkpoint, Entry};
use crate::promise::Promise;

/// Enclaves that may run at once.
pub const ENCLAVES: usize = 2;

/// What an enclave is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// The database was one checkpoint ahead of what the anchor was said to hold.
    RollingForward {
        /// What the anchor is to hold.
        checkpoint: Checkpoint,
    },
    /// The BOOT entry is in flight.
    Anchoring {
        /// The database's checkpoint.
        committed: Checkpoint,
        /// With the BOOT entry.
        next: Checkpoint,
        /// A receipt for `next` was to be had before it was asked for.
        stale: bool,
    },
    /// It has told its manifest.
    Serving {
        /// The newest checkpoint it has a receipt for.
        committed: Checkpoint,
        /// The one request it works on.
        work: Work,
    },
}

/// An operation's stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// None.
    Idle,
    /// The charge is in flight.
    Charging {
        /// The PIN is right; nobody has looked yet.
        right: bool,
    },
    /// The settling write is in flight.
    Settling {
        /// The verdict, not told yet.
        right: bool,
    },
}

impl Work {
    /// What the batch in flight appends.
    pub(crate) const fn entry(self) -> Option<Entry> {
        match self {
            Self::Idle => None,
            Self::Charging { .. } => Some(Entry::Charge),
            Self::Settling { right } => Some(Entry::Settle(right)),
        }
    }
}

/// A running enclave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instance {
    /// Its boot, counted from one.
    pub boot: u8,
    /// What it is at.
    pub phase: Phase,
}

impl Instance {
    /// The checkpoint it waits to have a receipt for.
    pub fn awaited(&self) -> Option<Checkpoint> {
        match self.phase {
            Phase::RollingForward { checkpoint } => Some(checkpoint),
            Phase::Anchoring { next, .. } => Some(next),
            Phase::Serving { committed, work } => work.entry().map(|entry| committed.then(entry)),
        }
    }
}

/// Everything.
#[derive(Debug, Clone)]
pub struct State {
    /// Every checkpoint that an enclave signed and that can still matter, ascending: the host keeps them all, as databases it can put
    /// back and as notes it can show to the anchor.
    pub signed: Vec<Checkpoint>,
    /// What each honest place of the anchor holds.
    pub held: Vec<Checkpoint>,
    /// Those that run, in an order of their own.
    pub instances: [Option<Instance>; ENCLAVES],
    /// Boots so far.
    pub boots: u8,
    /// Right PINs tested.
    pub right_tested: u8,
    /// The longest line under which a PIN was tested.
    pub line: Checkpoint,
    /// Charges on that line, less the PINs tested.
    pub unspent: u8,
    /// Verdicts told: wrong.
    pub wrong_told: u8,
    /// The last step told the owner that the PIN is right.
    pub is_in: bool,
    /// What the last step broke; nothing follows.
    pub broken: Option<Promise>,
    /// States are told apart by what can still come of them ([`crate::reduce`]), not by every entry.
    pub(crate) is_reduced: bool,
    /// Where lines begin to differ, as far as that tells states apart.
    pub(crate) base: Checkpoint,
}

impl State {
    /// Nothing has happened.
    pub(crate) fn new(places: usize, is_reduced: bool) -> Self {
        Self {
            signed: vec![Checkpoint::GENESIS],
            held: vec![Checkpoint::GENESIS; places],
            instances: [None; ENCLAVES],
            boots: 0,
            right_tested: 0,
            line: Checkpoint::GENESIS,
            unspent: 0,
            wrong_told: 0,
            is_in: false,
            broken: None,
            is_reduced,
            base: Checkpoint::GENESIS,
        }
    }

    /// An enclave signed it.
    pub(crate) fn sign(&mut self, checkpoint: Checkpoint) {
        if let Err(place) = self.signed.binary_search(&checkpoint) {
            self.signed.insert(place, checkpoint);
        }
    }

    /// The first promise a step breaks is the one that counts.
    pub(crate) fn break_promise(&mut self, promise: Promise) {
        self.broken.get_or_insert(promise);
    }

    /// The enclave of that boot, if it runs.
    pub(crate) fn place_of(&self, boot: u8) -> Option<usize> {
        self.instances.iter().position(|instance| instance.is_some_and(|instance| instance.boot == boot))
    }
}
