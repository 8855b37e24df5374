//! Which states count as one. Each rule keeps every future, up to names:
//!
//! 1. Enclaves, and places of the anchor that are asked alike, have no order.
//! 2. What an anchor's place holds only grows. A checkpoint that can get no receipt any more, and on which no boot can get one for its
//!    BOOT entry, is forgotten; so is an enclave that can get none for anything. Whether that is so is asked of the same rule by which the
//!    enclave takes receipts, so a defect in the rule brings the forgotten back.
//! 3. A witness that lies behind everything that can still happen may as well lie just before it.
//! 4. Witnesses are asked for what some enclave waits for, not for what nobody waits for any more.
//! 5. Entries that all lines share count by the tries they leave outstanding, and BOOT entries by which are the same.
//!
//! Rules 2 and 4 leave out that witnesses are lured onto a line that never gets a quorum, or cosign what helps nobody: that binds them, and
//! whatever can be told after it can be told without it. `tests/it/reduced.rs` compares both ways of counting where the whole of it can be explored.

use core::hash::{Hash, Hasher};

use crate::anchor::Anchor;
use crate::checkpoint::{BOOTS_MAX, Checkpoint, Entry};
use crate::defect::Defect;
use crate::setting::Setting;
use crate::state::{Instance, Phase, State, Work};

impl Setting {
    /// Brings a state into the form that stands for all that are like it.
    pub(crate) fn reduce(&self, state: &mut State) {
        state.instances.sort_unstable();
        self.anchor.normalise(&mut state.held);
        if !self.is_reduced || state.broken.is_some() {
            return;
        }
        self.forget(state);
        self.catch_up(state);
        self.anchor.normalise(&mut state.held);
        let base = state.newest_common();
        state.base = base;
        if base.continues(state.line) {
            state.unspent += base.charges() - state.line.charges();
            state.line = base;
        }
    }

    /// Rule 2.
    fn forget(&self, state: &mut State) {
        for place in 0..state.instances.len() {
            if state.instances[place].is_some_and(|instance| !self.may_go_on(state, instance)) {
                state.instances[place] = None;
            }
        }
        state.instances.sort_unstable();
        let signed = core::mem::take(&mut state.signed);
        let matters = |signed: &Checkpoint| {
            let taken = || (0..state.held.len()).any(|place| self.anchor.takes(&state.held, place, *signed));
            !self.asks_for_the_awaited(state) && self.may_vouch(state, *signed) && taken()
                || state.boots < self.boots_max() && self.may_serve(state, *signed)
        };
        state.signed = signed.into_iter().filter(matters).collect();
    }

    /// Rule 4.
    pub(crate) fn asks_for_the_awaited(&self, state: &State) -> bool {
        state.is_reduced && matches!(self.anchor, Anchor::Witnesses { .. })
    }

    fn may_go_on(&self, state: &State, instance: Instance) -> bool {
        let awaited = instance.awaited().is_some_and(|awaited| self.may_vouch(state, awaited));
        match instance.phase {
            Phase::Serving { committed, .. } => awaited || self.may_vouch(state, committed.then(Entry::Charge)),
            Phase::RollingForward { .. } | Phase::Anchoring { .. } => awaited,
        }
    }

    /// Whether the BOOT entry of a boot on this database can ever get a receipt.
    pub(crate) fn may_serve(&self, state: &State, database: Checkpoint) -> bool {
        if self.has(Defect::BootEntryMissing) {
            return self.may_vouch(state, database.then(Entry::Charge));
        }
        self.may_vouch(state, database.then(self.boot_entry(state.boots + 1)))
    }

    fn may_vouch(&self, state: &State, checkpoint: Checkpoint) -> bool {
        self.anchor.may_vouch(&state.held, checkpoint, self.defect)
    }

    /// Rule 3.
    fn catch_up(&self, state: &mut State) {
        let (Anchor::Witnesses { in_order, .. }, Some(common)) = (self.anchor, state.common()) else { return };
        let first = usize::from(in_order);
        let common = if in_order { common.common(state.held[0]) } else { common };
        // Just before it: a receipt for it must not come out of nothing.
        let target = common.previous();
        for held in &mut state.held[first..] {
            if target.continues(*held) {
                *held = target;
            }
        }
    }
}

impl State {
    /// What lies on every line that can still grow.
    fn common(&self) -> Option<Checkpoint> {
        let of_instances = self.instances.iter().flatten().flat_map(|instance| {
            let committed = match instance.phase {
                Phase::RollingForward { checkpoint } => checkpoint,
                Phase::Anchoring { committed, .. } | Phase::Serving { committed, .. } => committed,
            };
            [Some(committed), instance.awaited()].into_iter().flatten()
        });
        self.signed.iter().copied().chain(of_instances).reduce(Checkpoint::common)
    }

    /// What lies on every line that is kept.
    fn newest_common(&self) -> Checkpoint {
        let held = self.held.iter().copied().reduce(Checkpoint::common).unwrap_or(Checkpoint::GENESIS);
        self.common().map_or(held, |common| common.common(held))
    }
}

/// Rule 5.
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.key().hash(hasher);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl State {
    /// What tells states apart: first every small number, then lines from where they begin to differ.
    fn key(&self) -> Vec<u128> {
        let base = self.base;
        let mut names = Names { base, known: [0; BOOTS_MAX as usize], count: 0, renames: self.is_reduced };
        let broken = self.broken.map_or(0, |promise| 1 + promise as u8);
        let numbers = [
            base.outstanding(),
            self.boots,
            self.right_tested,
            self.unspent,
            self.wrong_told,
            self.is_in.into(),
            broken,
            u8::try_from(self.signed.len()).unwrap_or(u8::MAX),
        ];
        let mut key = Vec::with_capacity(2 + 3 * self.instances.len() + self.held.len() + self.signed.len());
        key.push(numbers.iter().fold(0, |packed, number| packed << 8 | u128::from(*number)));
        for instance in &self.instances {
            let Some(Instance { boot, phase }) = instance else {
                key.push(0);
                continue;
            };
            let boot = if self.is_reduced { 0 } else { u128::from(*boot) << 8 };
            match phase {
                Phase::RollingForward { checkpoint } => key.extend([boot | 1, names.line(*checkpoint)]),
                Phase::Anchoring { committed, next, stale } => {
                    key.extend([boot | (2 + u128::from(*stale)), names.line(*committed), names.line(*next)]);
                }
                Phase::Serving { committed, work } => key.extend([boot | work_number(*work), names.line(*committed)]),
            }
        }
        key.extend(self.held.iter().map(|held| names.line(*held)));
        key.extend(self.signed.iter().map(|signed| names.line(*signed)));
        key.push(names.line(self.line));
        key
    }
}

fn work_number(work: Work) -> u128 {
    match work {
        Work::Idle => 4,
        Work::Charging { right } => 5 + u128::from(right),
        Work::Settling { right } => 7 + u128::from(right),
    }
}

/// Numbers BOOT entries as they come.
struct Names {
    base: Checkpoint,
    known: [u8; BOOTS_MAX as usize],
    count: u8,
    renames: bool,
}

impl Names {
    fn line(&mut self, checkpoint: Checkpoint) -> u128 {
        checkpoint.since(self.base).fold(0, |line, code| line << 4 | u128::from(self.name(code)))
    }

    fn name(&mut self, code: u8) -> u8 {
        let Some(known) = usize::from(code).checked_sub(1).and_then(|nonce| self.known.get_mut(nonce)) else {
            return code;
        };
        if !self.renames {
            return code;
        }
        if *known == 0 {
            self.count += 1;
            *known = self.count;
        }
        *known
    }
}
