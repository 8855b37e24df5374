//! The batch in flight: stored, anchored, told, in this order.

use std::collections::VecDeque;

use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::{Sequence, Version};
use pinseal_protocol::limits::RECENT_CHECKPOINTS;
use pinseal_protocol::log::{Entry, Frontier};
use pinseal_protocol::tpm::Authorisation;
use pinseal_protocol::wire::{Batch, BatchId, ToEnclave};
use pinseal_store::records::Newest;
use pinseal_store::vault::WritePermit;

use super::Pipeline;
use super::event::{Action, Advanced, Stored};
use crate::call::Stop;
use crate::pause::Pause;
use crate::planted::{self, Defect};

/// The version a new wallet's first record has.
const FIRST_VERSION: Version = Version(1);

/// A batch between `Commit` and `Committed`.
struct InFlight {
    batch: BatchId,
    previous: Vec<u8>,
    next: Vec<u8>,
    authorisation: Option<Authorisation>,
    frontier: Frontier,
    supersedes: bool,
    new_wallets: u64,
    /// What pauses enrolment with it.
    pauses: Option<Pause>,
}

/// Newest checkpoints whose receipts need no consistency proof: the enclave remembers [`RECENT_CHECKPOINTS`] roots of its own, and
/// moves on by a few batches at most between the host's look and its own.
const WITHOUT_PROOF: usize = RECENT_CHECKPOINTS / 2;

/// The batch in flight and what came before it.
pub(super) struct Batches {
    anchored: Newest,
    /// Sizes of the newest checkpoints of this boot, the anchored one last.
    recent: VecDeque<u64>,
    in_flight: Option<InFlight>,
    count: u64,
    /// Some anchored batch superseded records that may still be stored.
    has_superseded: bool,
    fenced: bool,
}

impl Batches {
    /// Records superseded before the last crash may still be there, so the first idle moment looks.
    pub(super) fn new(anchored: Newest) -> Self {
        let recent = VecDeque::from([anchored.checkpoint.size]);
        Self { anchored, recent, in_flight: None, count: 0, has_superseded: true, fenced: false }
    }

    pub(super) const fn anchored(&self) -> &Newest {
        &self.anchored
    }

    /// The log sizes that a proof must connect for a receipt of `seen` entries, if the enclave needs one.
    pub(super) fn proof_for(&self, seen: u64) -> Option<(u64, u64)> {
        let size = self.anchored.checkpoint.size;
        let needed = (1..=size).contains(&seen) && !self.recent.contains(&seen);
        needed.then_some((seen, size))
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    pub(super) const fn is_fenced(&self) -> bool {
        self.fenced
    }

    /// What may be dropped now, asked once.
    pub(super) fn droppable(&mut self) -> Option<Sequence> {
        if self.in_flight.is_some() || self.fenced || !std::mem::take(&mut self.has_superseded) {
            return None;
        }
        Some(self.anchored.checkpoint.sequence)
    }
}

impl Pipeline {
    /// (1) One transaction. A record of a call without a grant for its wallet refuses the whole batch.
    pub(super) fn commit(&mut self, batch: Batch) {
        if self.batches.in_flight.is_some() {
            return self.stop(Stop::Protocol("two batches in flight"));
        }
        if *batch.previous != self.batches.anchored.note {
            return self.stop(Stop::Protocol("a batch that does not follow the anchored checkpoint"));
        }
        let Some(permits) = self.permits(&batch) else {
            self.actions.push(Action::Send(ToEnclave::Aborted { batch: batch.batch }));
            return;
        };
        let new_wallets = batch.records.iter().filter(|record| record.version == FIRST_VERSION).count() as u64;
        self.batches.in_flight = Some(InFlight {
            batch: batch.batch,
            previous: batch.previous.to_vec(),
            next: batch.checkpoint.to_vec(),
            authorisation: batch.authorisation,
            frontier: batch.frontier.clone(),
            supersedes: batch.records.len() as u64 > new_wallets,
            new_wallets,
            pauses: self.pause_in(&batch),
        });
        let anchored = self.batches.anchored.checkpoint.sequence;
        self.actions.push(Action::Store { batch, permits, anchored });
    }

    /// The pause that a batch begins with: its entry comes first.
    fn pause_in(&self, batch: &Batch) -> Option<Pause> {
        let entry: Entry = cbor::from_slice(batch.entries.first()?).ok()?;
        Pause::of(self.batches.anchored.checkpoint.size, &entry)
    }

    fn permits(&mut self, batch: &Batch) -> Option<Vec<WritePermit>> {
        batch
            .records
            .iter()
            .map(|record| {
                let open = self.calls.get_mut(&record.call)?;
                open.enrols = false;
                let grant = open.grant.as_mut()?;
                if *grant.wallet() != record.wallet { None } else { grant.permit().ok() }
            })
            .collect()
    }

    /// (2) The anchor, or the end of the batch.
    pub(super) fn stored(&mut self, batch: BatchId, stored: Stored) {
        let Some(in_flight) = self.batches.in_flight.take_if(|in_flight| in_flight.batch == batch) else { return };
        match stored {
            Stored::Yes if planted::is(Defect::TellsBeforeAnchor) => {
                let receipt = in_flight.next.clone();
                self.batches.in_flight = Some(in_flight);
                self.advanced(batch, Advanced::Receipt(receipt, None));
            }
            Stored::Yes => {
                let (previous, next) = (in_flight.previous.clone(), in_flight.next.clone());
                let authorisation = in_flight.authorisation;
                self.batches.in_flight = Some(in_flight);
                self.actions.push(Action::Advance { batch, previous, next, authorisation });
            }
            Stored::No if planted::is(Defect::AnchorsTheUnstored) => {
                self.batches.in_flight = Some(in_flight);
                self.stored(batch, Stored::Yes);
            }
            Stored::Unknown(_) if planted::is(Defect::AbortsTheUnknown) => {
                self.actions.push(Action::Send(ToEnclave::Aborted { batch }));
            }
            Stored::No => self.actions.push(Action::Send(ToEnclave::Aborted { batch })),
            Stored::Discontinuous => self.stop(Stop::Protocol("a batch that does not continue the stored log")),
            Stored::Unknown(cause) => self.stop(Stop::Storage(cause)),
        }
    }

    /// (3) The enclave is told and answers. If another instance holds the anchor, the enclave sees that in the receipt.
    pub(super) fn advanced(&mut self, batch: BatchId, advanced: Advanced) {
        let Some(done) = self.batches.in_flight.take_if(|in_flight| in_flight.batch == batch) else { return };
        match advanced {
            Advanced::Lost(_) if planted::is(Defect::FenceMissing) => {
                let receipt = done.next.clone();
                self.batches.in_flight = Some(done);
                self.advanced(batch, Advanced::Receipt(receipt, None));
            }
            Advanced::Receipt(receipt, nonce) => {
                let Ok(checkpoint) = Checkpoint::read_unverified(&done.next) else {
                    return self.stop(Stop::Protocol("a batch without a checkpoint"));
                };
                if self.batches.recent.len() == WITHOUT_PROOF {
                    self.batches.recent.pop_front();
                }
                self.batches.recent.push_back(checkpoint.size);
                self.batches.anchored = Newest { note: done.next, checkpoint, frontier: done.frontier };
                self.batches.count += 1;
                self.batches.has_superseded |= done.supersedes;
                self.wallets += done.new_wallets;
                self.paused = done.pauses.or(self.paused);
                self.actions.push(Action::Send(ToEnclave::Committed { batch, receipt: receipt.into(), nonce }));
            }
            Advanced::Lost(holds) => {
                self.batches.fenced = true;
                self.actions.push(Action::Send(ToEnclave::Committed { batch, receipt: holds.into(), nonce: None }));
            }
            Advanced::Failed(cause) => self.stop(Stop::Anchor(cause)),
        }
    }
}
