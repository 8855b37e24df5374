//! What is forgotten where one more is to be kept.

use super::{Content, Full, Ledger, Outgoing, Slot, Standing, Stops};
use crate::values::Address;

/// Most transactions of a wallet that a profile keeps. A host takes as many of one user that wait.
pub const OUTGOING_MAX: usize = 256;
/// Places beyond those for what takes the place of one that is kept, or pays nobody: the ways out for whoever has no other left.
pub(super) const SPARE_MAX: usize = 16;
/// Most transactions that a profile keeps: those of four wallets that all wait. Nobody takes another person's places before.
pub const LEDGER_MAX: usize = 4 * OUTGOING_MAX;

impl Ledger {
    /// Room for one more under a nonce, of the wallet that has these accounts. First goes what its owner meant something beside while it waits; then
    /// what is settled. What waits or is in doubt stays, and what has the very nonce.
    pub(super) fn make_room(&mut self, slot: Slot<'_>, content: &Content, accounts: &[Address]) -> Result<(), Full> {
        let (_, from, _) = slot;
        let is_own = |entry: &Outgoing| entry.from == from || accounts.contains(&entry.from);
        let is_way_out = content.moves_nothing(from) || self.0.iter().any(|kept| kept.slot() == slot);
        let places = if is_way_out { OUTGOING_MAX + SPARE_MAX } else { OUTGOING_MAX };
        loop {
            let has_place = self.0.iter().filter(|entry| is_own(entry)).count() < places;
            if has_place && self.0.len() < LEDGER_MAX {
                return Ok(());
            }
            let may_go = |entry: &Outgoing| entry.slot() != slot && (has_place || is_own(entry));
            let order = [Standing::Final, Standing::Mined, Standing::Reverted];
            if !self.forget_accepted(may_go) && !order.into_iter().any(|standing| self.forget_oldest(standing, may_go))
            {
                return Err(Full);
            }
        }
    }

    /// Forgets the oldest nonce that holds one that stands so, may go and stops nothing new, with all under it. False if there is none.
    pub(super) fn forget_oldest(&mut self, standing: Standing, may_go: impl Fn(&Outgoing) -> bool) -> bool {
        let is_quiet = |entry: &Outgoing| self.rivals(entry).all(|other| self.stops(other) != Stops::Anything);
        let is_wanted = |entry: &&Outgoing| entry.standing == standing && may_go(entry) && is_quiet(entry);
        let oldest = self.0.iter().find(is_wanted).cloned();
        if let Some(oldest) = &oldest {
            self.0.retain(|entry| entry.slot() != oldest.slot());
        }
        oldest.is_some()
    }

    /// Forgets the oldest that waits, stays accepted and may go. False if there is none.
    fn forget_accepted(&mut self, may_go: impl Fn(&Outgoing) -> bool) -> bool {
        let is_wanted = |entry: &Outgoing| entry.stays_accepted && entry.standing == Standing::Waiting && may_go(entry);
        let oldest = self.0.iter().position(is_wanted);
        if let Some(oldest) = oldest {
            self.0.remove(oldest);
        }
        oldest.is_some()
    }
}
