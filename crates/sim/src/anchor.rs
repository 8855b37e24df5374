//! Where freshness is kept, as the simulator plays it. One implementation a level; the rest of the simulator knows the trait only.
//!
//! | level | here | faults played | claimed |
//! |---|---|---|---|
//! | L0 | [`Memory`] | forgets with the process | nothing |
//! | L1 | [`File`] | unreachable, slow, stale read, lost reply after the advance; *rolled back* | all but against *rolled back* |
//! | L4 | [`Witnesses`] | the same, a host that lies about what is held; one witness corrupt, one down; *all of them forget* | all but against *all of them forget* |
//!
//! Slow needs no code: the move that asks the anchor and the move that tells the enclave are two, with anything between.

use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::AnchorLevel;

use crate::witnesses::Witnesses;
use crate::world::Setting;

/// How a place that keeps something answers once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// As it should.
    Fine,
    /// Not at all; nothing was changed.
    Unreachable,
    /// It did what it was asked, and the answer was lost.
    LostReply,
    /// A read shows what was there before.
    Stale,
}

/// What became of an advance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advance {
    /// For the enclave to verify.
    Receipt(Vec<u8>),
    /// It holds something else.
    Lost(Vec<u8>),
    /// No answer.
    Silence,
}

/// An anchor and everything that can go wrong with it.
pub trait Anchor {
    /// Against whom it holds.
    fn level(&self) -> AnchorLevel;

    /// What a booting host is shown; `None` if it cannot be read. `database` is the note of the database that it boots on.
    fn read(&mut self, database: &[u8], weather: Weather) -> Option<Vec<u8>>;

    /// Replaces `previous` by `next`, as `pinseal_anchor::Anchor` promises: repeating what succeeded gives the receipt again.
    fn advance(&mut self, previous: &[u8], next: &[u8], weather: Weather) -> Advance;

    /// What it truly holds; the host is not shown this.
    fn holds(&self) -> &[u8];

    /// Puts back what it held `back` advances ago. False if that is out of reach.
    fn roll_back(&mut self, back: usize) -> bool;

    /// What a hostile host can bring in place of the receipt of `note` without asking the anchor, from what it has of `old`.
    fn forge(&self, _note: &[u8], old: &[u8]) -> Vec<u8> {
        old.to_vec()
    }
}

/// An anchor that starts with this note.
pub fn anchor(setting: Setting, holds: Vec<u8>) -> Box<dyn Anchor> {
    match setting.level() {
        AnchorLevel::L0 => Box::new(Memory { holds }),
        AnchorLevel::L4 => Box::new(Witnesses::new(holds, setting.splits_witnesses())),
        _ => Box::new(File { holds, past: Vec::new() }),
    }
}

/// L0: the process's memory, which every start begins anew.
struct Memory {
    holds: Vec<u8>,
}

impl Anchor for Memory {
    fn level(&self) -> AnchorLevel {
        AnchorLevel::L0
    }

    fn read(&mut self, database: &[u8], _: Weather) -> Option<Vec<u8>> {
        self.holds = database.to_vec();
        Some(self.holds.clone())
    }

    fn advance(&mut self, previous: &[u8], next: &[u8], weather: Weather) -> Advance {
        swap(&mut self.holds, previous, next, weather)
    }

    fn holds(&self) -> &[u8] {
        &self.holds
    }

    fn roll_back(&mut self, _: usize) -> bool {
        false
    }
}

/// L1: a second file.
struct File {
    holds: Vec<u8>,
    past: Vec<Vec<u8>>,
}

impl Anchor for File {
    fn level(&self) -> AnchorLevel {
        AnchorLevel::L1
    }

    fn read(&mut self, _: &[u8], weather: Weather) -> Option<Vec<u8>> {
        match weather {
            Weather::Fine | Weather::LostReply => Some(self.holds.clone()),
            Weather::Stale => Some(self.past.last().unwrap_or(&self.holds).clone()),
            Weather::Unreachable => None,
        }
    }

    fn advance(&mut self, previous: &[u8], next: &[u8], weather: Weather) -> Advance {
        let before = self.holds.clone();
        let answer = swap(&mut self.holds, previous, next, weather);
        if self.holds != before {
            self.past.push(before);
        }
        answer
    }

    fn holds(&self) -> &[u8] {
        &self.holds
    }

    fn roll_back(&mut self, back: usize) -> bool {
        let Some(place) = self.past.len().checked_sub(back + 1) else { return false };
        self.holds.clone_from(&self.past[place]);
        self.past.truncate(place);
        true
    }
}

fn swap(holds: &mut Vec<u8>, previous: &[u8], next: &[u8], weather: Weather) -> Advance {
    if weather == Weather::Unreachable {
        return Advance::Silence;
    }
    if holds.as_slice() == previous {
        *holds = next.to_vec();
    }
    match weather {
        Weather::LostReply => Advance::Silence,
        _ if holds.as_slice() == next => Advance::Receipt(holds.clone()),
        _ => Advance::Lost(holds.clone()),
    }
}

/// Whether a database with this note is the one that the anchor names, or exactly one checkpoint ahead of it.
pub fn continues(database: &[u8], anchored: &[u8]) -> bool {
    let read = |note: &[u8]| Checkpoint::read_unverified(note).ok();
    let (Some(here), Some(there)) = (read(database), read(anchored)) else { return false };
    here == there || (here.previous == there.hash() && here.sequence.0 == there.sequence.0 + 1)
}
