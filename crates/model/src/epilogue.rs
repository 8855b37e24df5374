//! The end of the faults: both enclaves are stopped, the operator boots the newest database, an honest host does what it is told, every
//! witness answers, and the owner enters the right PIN.

use crate::checkpoint::Checkpoint;
use crate::setting::Setting;
use crate::state::{ENCLAVES, Instance, State};

/// Batches of one boot and one request: rolled forward, BOOT, charge, settle.
const BATCHES: usize = 4;

impl Setting {
    /// True if the owner gets in from here, on whichever database is the newest, or has no try left.
    pub(crate) fn gets_in(&self, state: &State) -> bool {
        let anchored = state.held[0];
        let awaited = state.instances.iter().flatten().filter_map(Instance::awaited);
        let stored = state.signed.iter().copied().chain(awaited);
        let mut ahead = stored.filter(|stored| *stored != anchored && stored.previous() == anchored);
        self.gets_in_on(state, anchored, anchored) && ahead.all(|database| self.gets_in_on(state, anchored, database))
    }

    fn gets_in_on(&self, state: &State, anchored: Checkpoint, database: Checkpoint) -> bool {
        if !self.admits(database) {
            return true;
        }
        let mut state = state.clone();
        state.instances = [None; ENCLAVES];
        state.is_in = false;
        self.boot(&mut state, 0, database, anchored);
        for _ in 0..=BATCHES {
            match state.instances[0].and_then(|instance| instance.awaited()) {
                Some(awaited) => {
                    for place in 0..state.held.len() {
                        if self.anchor.takes(&state.held, place, awaited) {
                            self.advance(&mut state, place, awaited);
                        }
                    }
                    if !self.vouches(&state, awaited) {
                        return false;
                    }
                    self.committed(&mut state, 0);
                }
                None => self.sealed(&mut state, 0, true),
            }
            if state.is_in {
                return true;
            }
        }
        false
    }
}
