//! Where freshness is kept, as the simulator plays it. One implementation a level; the rest of the simulator knows the trait only.
//!
//! | level | here | faults played | claimed |
//! |---|---|---|---|
//! | L0 | [`Memory`] | forgets with the process | nothing |
//! | L1 | [`File`] | unreachable, slow, stale read, lost reply after the advance; *rolled back* | all but against *rolled back* |
//! | L2 | [`Owned`] | the same, a host that lies about what is held; the TPM's owner does what an owner may; *rolled back* | all but against *rolled back* |
//! | L4 | [`Witnesses`] | the same, a host that lies about what is held; one witness corrupt, one down; *all of them forget* | all but against *all of them forget* |
//!
//! Slow needs no code: the move that asks the anchor and the move that tells the enclave are two, with anything between.

use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::tpm::TpmNonce;

use crate::tpm::{CHIPS, Owned};
use crate::witnesses::{QUORUMS, Witnesses};
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

    /// Holds `next` in place of whatever it holds, because the operators ordered a restore. Who never goes back begins another log.
    fn restore(&mut self, next: &[u8], weather: Weather) -> Advance {
        let held = self.holds(restores(next));
        self.advance(&held, next, weather)
    }

    /// What it truly holds of the log after that many restores, empty for nothing; the host is not shown this.
    fn holds(&self, restores: u32) -> Vec<u8>;

    /// Whether it has, truly, vouched for this note.
    fn has(&self, note: &[u8]) -> bool {
        self.holds(restores(note)) == note
    }

    /// Whether some of those who vouch together hold of this log what the others do not continue.
    fn is_split(&self, _restores: u32) -> bool {
        false
    }

    /// Its operators are told of the log that the restore with this number begins.
    fn trust(&mut self, _restores: u32) {}

    /// Puts back what it held `back` advances ago. False if that is out of reach.
    fn roll_back(&mut self, back: usize) -> bool;

    /// Of a session in which the next advance is to be authorised, where only the enclave can write.
    fn nonce(&mut self) -> Option<TpmNonce> {
        None
    }

    /// What a hostile host can bring in place of the receipt of `note` without asking the anchor, from what it has of `old`; of some kinds
    /// one.
    fn forge(&self, _note: &[u8], old: &[u8], _kind: usize) -> Vec<u8> {
        old.to_vec()
    }
}

/// The place that needs nobody else, memory or the file; the witnesses of quorum q are at place q + 1.
pub const OWN: usize = 0;
/// The place of the first TPM; the others follow.
pub const TPMS: usize = 1 + QUORUMS.len();

/// Every place at which checkpoints may be anchored; the one of the setting starts with this note.
pub(crate) fn places(setting: Setting, holds: Vec<u8>, tpms: &[Owned; CHIPS]) -> Vec<Box<dyn Anchor>> {
    let (own, first): (Box<dyn Anchor>, Option<&[u8]>) = match setting.level() {
        AnchorLevel::L0 => (Box::new(Memory { holds }), None),
        AnchorLevel::L2 => (Box::new(File { holds: Vec::new(), past: Vec::new() }), None),
        AnchorLevel::L4 => (Box::new(File { holds: Vec::new(), past: Vec::new() }), Some(&holds)),
        AnchorLevel::L1 => (Box::new(File { holds, past: Vec::new() }), None),
    };
    let mut places = vec![own];
    let witnesses = Witnesses::all(first, setting.splits_witnesses());
    debug_assert_eq!(witnesses.len(), QUORUMS.len());
    places.extend(witnesses.into_iter().map(|one| Box::new(one) as Box<dyn Anchor>));
    places.extend(tpms.iter().map(|tpm| Box::new(tpm.clone()) as Box<dyn Anchor>));
    places
}

/// The restores that a note says there were.
pub(crate) fn restores(note: &[u8]) -> u32 {
    Checkpoint::read_unverified(note).map_or(0, |read| read.restores)
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

    fn holds(&self, _: u32) -> Vec<u8> {
        self.holds.clone()
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

    fn holds(&self, _: u32) -> Vec<u8> {
        self.holds.clone()
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
