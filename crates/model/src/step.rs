//! The steps, one function each, named as in the product: what the enclave does with a message, and what the anchor takes.

use crate::checkpoint::{Checkpoint, Entry};
use crate::defect::Defect;
use crate::promise::Promise;
use crate::setting::Setting;
use crate::state::{Instance, Phase, State, Work};

impl Setting {
    /// `Boot`: an enclave starts on a database, in the place of one that runs or of none, and is told what the anchor holds. Ends it
    /// with anything but these two cases: equal, and one ahead.
    pub(crate) fn boot(&self, state: &mut State, place: usize, database: Checkpoint, anchored: Checkpoint) {
        state.boots += 1;
        let boot = state.boots;
        if database != anchored && !self.has(Defect::NotRolledForward) {
            let phase = Phase::RollingForward { checkpoint: database };
            state.instances[place] = Some(Instance { boot, phase });
            return;
        }
        self.start(state, place, boot, database);
    }

    /// `Serving::start`: the BOOT entry is to be anchored.
    fn start(&self, state: &mut State, place: usize, boot: u8, committed: Checkpoint) {
        if self.has(Defect::BootEntryMissing) {
            let phase = Phase::Serving { committed, work: Work::Idle };
            state.instances[place] = Some(Instance { boot, phase });
            return;
        }
        let next = committed.then(self.boot_entry(boot));
        let stale = self.anchor.is_anchored(&state.held, next, self.defect);
        state.sign(next);
        let phase = if self.has(Defect::ServesBeforeBootAnchored) {
            state.break_promise(Promise::BootFresh);
            Phase::Serving { committed, work: Work::Idle }
        } else {
            Phase::Anchoring { committed, next, stale }
        };
        state.instances[place] = Some(Instance { boot, phase });
    }

    /// The BOOT entry of that boot.
    pub(crate) fn boot_entry(&self, boot: u8) -> Entry {
        Entry::Boot(if self.has(Defect::BootNonceMissing) { 0 } else { boot - 1 })
    }

    /// `Sealed`: a request that tests a PIN. The guard admits or refuses; admitted, the charge goes out as a `Commit`.
    pub(crate) fn sealed(&self, state: &mut State, place: usize, right: bool) {
        let Some(Instance { boot, phase: Phase::Serving { committed, work: Work::Idle } }) = state.instances[place]
        else {
            return;
        };
        if self.has(Defect::CheckBeforeCharge) && !right {
            state.break_promise(Promise::ChargeFirst);
            return;
        }
        state.sign(committed.then(Entry::Charge));
        let phase = Phase::Serving { committed, work: Work::Charging { right } };
        state.instances[place] = Some(Instance { boot, phase });
    }

    /// `Guard::admit`, on the record as the committed line determines it.
    pub(crate) fn admits(&self, committed: Checkpoint) -> bool {
        let outstanding = if self.has(Defect::RecordNotBound) { 0 } else { committed.outstanding() };
        outstanding < self.tries + u8::from(self.has(Defect::DeviceCapOff))
    }

    /// `Committed` with a receipt that vouches for what the enclave waits for.
    pub(crate) fn committed(&self, state: &mut State, place: usize) {
        let Some(Instance { boot, phase }) = state.instances[place] else { return };
        let phase = match phase {
            Phase::RollingForward { checkpoint } => return self.start(state, place, boot, checkpoint),
            Phase::Anchoring { next, stale, .. } => {
                if stale || !self.is_anchored(state, next) {
                    state.break_promise(Promise::BootFresh);
                }
                Phase::Serving { committed: next, work: Work::Idle }
            }
            Phase::Serving { committed, work: Work::Charging { right } } => {
                let charged = committed.then(Entry::Charge);
                self.test(state, charged, right);
                Phase::Serving { committed: charged, work: self.settle(state, charged, right) }
            }
            Phase::Serving { committed, work: Work::Settling { right } } => {
                let settled = committed.then(Entry::Settle(right));
                self.tell(state, settled, right);
                Phase::Serving { committed: settled, work: Work::Idle }
            }
            Phase::Serving { work: Work::Idle, .. } => return,
        };
        state.instances[place] = Some(Instance { boot, phase });
    }

    /// The settling write goes out.
    fn settle(&self, state: &mut State, charged: Checkpoint, right: bool) -> Work {
        let settled = charged.then(Entry::Settle(right));
        if self.has(Defect::WriteOnlyOnFailure) && right {
            self.tell(state, settled, right);
            return Work::Idle;
        }
        state.sign(settled);
        if self.has(Defect::ReplyBeforeAnchor) {
            self.tell(state, settled, right);
        }
        Work::Settling { right }
    }

    /// `Aborted`: the host says, truly or not, that the batch in flight was not stored.
    pub(crate) fn aborted(&self, state: &mut State, place: usize) {
        let Some(Instance { boot, phase: Phase::Serving { committed, work } }) = state.instances[place] else { return };
        if let Work::Settling { right } = work
            && self.has(Defect::AbortTellsVerdict)
        {
            self.tell(state, committed.then(Entry::Settle(right)), right);
        }
        let phase = Phase::Serving { committed, work: Work::Idle };
        state.instances[place] = Some(Instance { boot, phase });
    }

    /// `Anchor::advance`, or one witness's answer to `add-checkpoint`.
    pub(crate) fn advance(&self, state: &mut State, place: usize, checkpoint: Checkpoint) {
        state.held[place] = checkpoint;
    }

    /// The PIN is tested under this charge.
    fn test(&self, state: &mut State, charged: Checkpoint, right: bool) {
        if !self.is_anchored(state, charged) {
            state.break_promise(Promise::ChargeFirst);
        }
        state.right_tested += u8::from(right);
        if charged.continues(state.line) {
            state.unspent += charged.charges() - state.line.charges();
            state.line = charged;
        } else if !state.line.continues(charged) {
            state.break_promise(Promise::OneLine);
        }
        match state.unspent.checked_sub(1) {
            Some(unspent) => state.unspent = unspent,
            None => state.break_promise(Promise::OneBudget),
        }
    }

    /// A verdict leaves the enclave.
    fn tell(&self, state: &mut State, settled: Checkpoint, right: bool) {
        if !self.is_anchored(state, settled) {
            state.break_promise(Promise::SettleFirst);
        }
        if right {
            state.is_in = true;
            return;
        }
        state.wrong_told += 1;
        if state.wrong_told > self.wrong_max(state) {
            state.break_promise(Promise::Caps);
        }
    }

    /// Wrong answers that may have been told: the tries, and for every right PIN, which takes one itself, as many but one again.
    pub(crate) fn wrong_max(&self, state: &State) -> u8 {
        self.tries + state.right_tested * (self.tries - 1)
    }

    pub(crate) fn is_anchored(&self, state: &State, checkpoint: Checkpoint) -> bool {
        self.anchor.is_anchored(&state.held, checkpoint, self.defect)
    }

    pub(crate) fn vouches(&self, state: &State, checkpoint: Checkpoint) -> bool {
        self.anchor.vouches(&state.held, checkpoint, self.defect)
    }
}
