//! The model as `stateright` explores it: every action the adversary has in every state, breadth first, so that what breaks a promise is
//! found with the fewest steps.

use core::fmt;

use stateright::{Model, Property};

use crate::anchor::Anchor;
use crate::checkpoint::Checkpoint;
use crate::promise::Promise;
use crate::setting::Setting;
use crate::state::{ENCLAVES, Instance, Phase, State, Work};

/// What the adversary does next. A process that is killed is one that another boot replaces, or that nothing happens to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An enclave is started in a place, whatever ran there.
    Boot {
        /// Of two.
        place: usize,
        /// What ran there, and is killed.
        killed: Option<u8>,
        /// Its number.
        boot: u8,
        /// The database it is given.
        database: Checkpoint,
        /// What it is told that the anchor holds.
        anchored: Checkpoint,
    },
    /// A right or wrong PIN.
    Sealed {
        /// To whom.
        boot: u8,
        /// The owner's.
        right: bool,
    },
    /// The anchor, or one witness, takes a checkpoint.
    Advance {
        /// Which place of the anchor.
        place: usize,
        /// What.
        checkpoint: Checkpoint,
    },
    /// A receipt is handed over.
    Committed {
        /// To whom.
        boot: u8,
        /// For what it waits for.
        checkpoint: Checkpoint,
    },
    /// The host brings what the anchor holds instead, and the enclave halts.
    Fenced {
        /// Which.
        boot: u8,
    },
    /// A batch is said not to be stored.
    Aborted {
        /// To whom.
        boot: u8,
        /// The checkpoint it takes back.
        checkpoint: Checkpoint,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot { boot, database, anchored, killed, .. } => {
                write!(f, "Boot: enclave {boot}")?;
                if let Some(killed) = killed {
                    write!(f, ", in the place of {killed},")?;
                }
                write!(f, " on database [{database}], told that the anchor holds [{anchored}]")
            }
            Self::Sealed { boot, right: true } => {
                write!(f, "Sealed: the owner's right PIN to enclave {boot}, which asks to Commit a charge")
            }
            Self::Sealed { boot, right: false } => {
                write!(f, "Sealed: a wrong PIN to enclave {boot}, which asks to Commit a charge")
            }
            Self::Advance { place, checkpoint } => {
                write!(f, "advance: place {place} of the anchor takes [{checkpoint}]")
            }
            Self::Committed { boot, checkpoint } => {
                write!(f, "Committed: enclave {boot} gets a receipt for [{checkpoint}]")
            }
            Self::Fenced { boot } => write!(f, "Fenced: enclave {boot} is shown what the anchor holds, and halts"),
            Self::Aborted { boot, checkpoint } => write!(f, "Aborted: enclave {boot} takes [{checkpoint}] back"),
        }
    }
}

impl Setting {
    fn boots(&self, state: &State, actions: &mut Vec<Action>) {
        // An enclave is started in the first free place, or in the place of one that runs.
        let free = state.instances.iter().filter(|instance| instance.is_none()).count();
        for place in free.saturating_sub(1)..ENCLAVES {
            for database in state.signed.iter().filter(|database| !self.is_reduced || self.may_serve(state, **database))
            {
                let mut boot = |anchored: Checkpoint| {
                    let boot = state.boots + 1;
                    let killed = state.instances[place].map(|instance| instance.boot);
                    actions.push(Action::Boot { place, killed, boot, database: *database, anchored });
                };
                let equal = self.anchor.may_be_told(&state.held, *database);
                if equal {
                    boot(*database);
                }
                let previous = database.previous();
                let ahead = previous != *database && self.anchor.may_be_told(&state.held, previous);
                // Rolled forward to what is anchored is as good as told the truth.
                if ahead && !(equal && self.is_anchored(state, *database)) {
                    boot(previous);
                }
            }
        }
    }

    fn serves(&self, state: &State, actions: &mut Vec<Action>) {
        let working = state.instances.iter().flatten();
        let owners = working
            .filter(|instance| matches!(instance.phase, Phase::Serving { work: Work::Charging { right: true }, .. }))
            .count();
        for instance in state.instances.iter().flatten() {
            let boot = instance.boot;
            let Some(checkpoint) = instance.awaited() else {
                let Phase::Serving { committed, work: Work::Idle } = instance.phase else { continue };
                if self.admits(committed) {
                    actions.push(Action::Sealed { boot, right: false });
                    if usize::from(state.right_tested) + owners < usize::from(self.rights) {
                        actions.push(Action::Sealed { boot, right: true });
                    }
                }
                continue;
            };
            if self.vouches(state, checkpoint) {
                actions.push(Action::Committed { boot, checkpoint });
            }
            if self.anchor.is_lost(&state.held, checkpoint) {
                actions.push(Action::Fenced { boot });
            }
            if matches!(instance.phase, Phase::Serving { .. }) {
                actions.push(Action::Aborted { boot, checkpoint });
            }
        }
    }

    fn advances(&self, state: &State, actions: &mut Vec<Action>) {
        for place in 0..state.held.len() {
            let alike = place > 0 && state.held[place] == state.held[place - 1];
            let in_order = matches!(self.anchor, Anchor::Witnesses { in_order: true, .. });
            if alike && !(in_order && place == 1) {
                continue;
            }
            let mut take = |checkpoint: Checkpoint| {
                if self.anchor.takes(&state.held, place, checkpoint) {
                    actions.push(Action::Advance { place, checkpoint });
                }
            };
            if self.asks_for_the_awaited(state) {
                state.instances.iter().flatten().filter_map(Instance::awaited).for_each(&mut take);
            } else {
                state.signed.iter().copied().for_each(&mut take);
            }
        }
    }
}

impl Model for Setting {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.anchor.honest(), self.is_reduced)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        if state.boots < self.boots_max() {
            self.boots(state, actions);
        }
        self.serves(state, actions);
        self.advances(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = State { is_in: false, ..state.clone() };
        match action {
            Action::Boot { place, database, anchored, .. } => self.boot(&mut next, place, database, anchored),
            Action::Sealed { boot, right } => self.sealed(&mut next, state.place_of(boot)?, right),
            Action::Advance { place, checkpoint } => self.advance(&mut next, place, checkpoint),
            Action::Committed { boot, .. } => self.committed(&mut next, state.place_of(boot)?),
            Action::Fenced { boot } => next.instances[state.place_of(boot)?] = None,
            Action::Aborted { boot, .. } => self.aborted(&mut next, state.place_of(boot)?),
        }
        self.reduce(&mut next);
        Some(next)
    }

    fn format_action(&self, action: &Action) -> String {
        action.to_string()
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(Promise::Caps.name(), |_, state: &State| state.broken != Some(Promise::Caps)),
            Property::always(Promise::ChargeFirst.name(), |_, state: &State| {
                state.broken != Some(Promise::ChargeFirst)
            }),
            Property::always(Promise::SettleFirst.name(), |_, state: &State| {
                state.broken != Some(Promise::SettleFirst)
            }),
            Property::always(Promise::BootFresh.name(), |_, state: &State| state.broken != Some(Promise::BootFresh)),
            Property::always(Promise::OneBudget.name(), |_, state: &State| state.broken != Some(Promise::OneBudget)),
            Property::always(Promise::OneLine.name(), |_, state: &State| state.broken != Some(Promise::OneLine)),
            Property::sometimes("the owner gets in", |_, state: &State| state.is_in),
            Property::sometimes("every try is used up", |setting: &Self, state: &State| {
                state.right_tested == setting.rights && state.wrong_told == setting.wrong_max(state)
            }),
            Property::sometimes("two enclaves serve at once", |_, state: &State| {
                state.instances.iter().flatten().filter(|one| matches!(one.phase, Phase::Serving { .. })).count()
                    == ENCLAVES
            }),
            Property::sometimes("a database is rolled forward", |_, state: &State| {
                state.instances.iter().flatten().any(|one| matches!(one.phase, Phase::RollingForward { .. }))
            }),
        ];
        if !self.is_reduced {
            // Otherwise it is forgotten as soon as nothing can come of it.
            properties.push(Property::sometimes("an enclave is fenced", |setting: &Self, state: &State| {
                let mut awaited = state.instances.iter().flatten().filter_map(|instance| instance.awaited());
                awaited.any(|awaited| setting.anchor.is_lost(&state.held, awaited))
            }));
        }
        if self.anchor.stays_live() {
            properties.push(Property::always(Promise::Live.name(), |setting: &Self, state: &State| {
                state.broken.is_some() || setting.gets_in(state)
            }));
        }
        properties
    }
}
