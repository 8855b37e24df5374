//! Anchors: what they hold, what they take, and which checkpoints a host can bring a receipt for.
//!
//! A witness that lies cosigns whatever it is asked to, so its line is always to be had and it needs no state: k of n with some liars is
//! k less them among the honest ones. Forgetting and signing two branches are less than that.
//!
//! A host keeps every receipt, so one that was to be had once always is: what was ever anchored lies on the line of what is held now,
//! since nothing honest goes back. Late receipts and lost ones are therefore moves that come late, or never.

use crate::checkpoint::Checkpoint;
use crate::defect::Defect;

/// Where freshness is kept, and what is claimed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Anchor {
    /// L1. Databases are put back, the file is not; the host reads it back and tells the truth. What it holds may be a stale read at boot.
    File,
    /// L1 under a host that runs hostile code: it says of the file what it likes. Not claimed.
    FileOnHostsWord,
    /// L4.
    Witnesses {
        /// n.
        all: u8,
        /// k.
        required: u8,
        /// Of the n, those that sign whatever they are asked.
        liars: u8,
        /// Hosts ask the first witness before the others and stop where it refuses, as `pinseal_anchor::WitnessAnchor` does. Otherwise
        /// they ask whom they like, and may leave the witnesses split.
        in_order: bool,
    },
}

impl Anchor {
    /// True if users get in again whatever was done: not where hosts may leave the witnesses split.
    pub(crate) const fn stays_live(self) -> bool {
        matches!(self, Self::File | Self::Witnesses { in_order: true, .. })
    }

    /// Places that hold what they cosigned.
    pub(crate) const fn honest(self) -> usize {
        match self {
            Self::File | Self::FileOnHostsWord => 1,
            Self::Witnesses { all, liars, .. } => all.saturating_sub(liars) as usize,
        }
    }

    /// Honest places whose word makes a checkpoint anchored.
    const fn needed(self, defect: Option<Defect>) -> usize {
        match self {
            Self::File | Self::FileOnHostsWord => 1,
            Self::Witnesses { all, liars, .. } if matches!(defect, Some(Defect::HalfIsEnough)) => {
                (all / 2).saturating_sub(liars) as usize
            }
            Self::Witnesses { required, liars, .. } => required.saturating_sub(liars) as usize,
        }
    }

    /// True if the anchor truly holds `checkpoint` or what continues it.
    pub(crate) fn is_anchored(self, held: &[Checkpoint], checkpoint: Checkpoint, defect: Option<Defect>) -> bool {
        count(held, checkpoint) >= self.needed(defect)
    }

    /// True if the host can bring something that the enclave takes for the receipt of `checkpoint`.
    pub(crate) fn vouches(self, held: &[Checkpoint], checkpoint: Checkpoint, defect: Option<Defect>) -> bool {
        self.is_enough(count(held, checkpoint), self.is_lost(held, checkpoint), defect)
    }

    /// False if that can never come to be, whatever the places are asked from now on: what they hold only grows. A true answer is no
    /// promise.
    pub(crate) fn may_vouch(self, held: &[Checkpoint], checkpoint: Checkpoint, defect: Option<Defect>) -> bool {
        let comparable = |held: &&Checkpoint| held.continues(checkpoint) || checkpoint.continues(**held);
        let refused_first = matches!(self, Self::Witnesses { in_order: true, .. }) && !comparable(&&held[0]);
        let honest = if refused_first { count(held, checkpoint) } else { held.iter().filter(comparable).count() };
        self.is_enough(honest, true, defect)
    }

    /// What the enclave, and the host on its behalf, take for enough.
    fn is_enough(self, honest: usize, is_lost: bool, defect: Option<Defect>) -> bool {
        match (self, defect) {
            (Self::FileOnHostsWord, _) | (_, Some(Defect::AnchorReceiptNotVerified)) => true,
            (Self::File, Some(Defect::TellsBeforeAnchor)) => true,
            (Self::File, Some(Defect::FenceMissing)) if is_lost => true,
            (Self::Witnesses { liars, .. }, Some(Defect::MinorityIsEnough)) => honest + usize::from(liars) >= 1,
            (Self::Witnesses { liars, .. }, Some(Defect::WitnessCountsTwice)) if honest + usize::from(liars) >= 1 => {
                true
            }
            _ => honest >= self.needed(defect),
        }
    }

    /// True if the place asked first can never take `checkpoint`: another instance was faster.
    pub(crate) fn is_lost(self, held: &[Checkpoint], checkpoint: Checkpoint) -> bool {
        !held.iter().any(|held| checkpoint.continues(*held) || held.continues(checkpoint))
    }

    /// Whether the place takes `checkpoint` now.
    pub(crate) fn takes(self, held: &[Checkpoint], place: usize, checkpoint: Checkpoint) -> bool {
        let here = held[place];
        let continues = here != checkpoint && checkpoint.continues(here);
        match self {
            // Compare-and-swap by one batch.
            Self::File | Self::FileOnHostsWord => continues && checkpoint.previous() == here,
            Self::Witnesses { in_order: true, .. } => continues && (place == 0 || held[0].continues(checkpoint)),
            Self::Witnesses { .. } => continues,
        }
    }

    /// Whether a host may tell a booting enclave that the anchor holds `told`.
    pub(crate) fn may_be_told(self, held: &[Checkpoint], told: Checkpoint) -> bool {
        match self {
            Self::File => held[0].continues(told),
            Self::FileOnHostsWord | Self::Witnesses { .. } => true,
        }
    }

    /// Puts what is held in an order of its own, where the places are alike.
    pub(crate) fn normalise(self, held: &mut [Checkpoint]) {
        let alike = match self {
            Self::Witnesses { in_order: true, .. } => &mut held[1..],
            _ => held,
        };
        alike.sort_unstable();
    }
}

fn count(held: &[Checkpoint], checkpoint: Checkpoint) -> usize {
    held.iter().filter(|held| held.continues(checkpoint)).count()
}
