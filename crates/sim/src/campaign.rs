//! Many schedules, one after another.

use std::collections::BTreeMap;

use crate::schedule::{Failure, Schedule, run};
use crate::world::{Counts, Setting};

/// Schedules from `seed` on, one for each number.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// Seed of the first.
    pub seed: u64,
    /// How many.
    pub schedules: u64,
    /// Under this setting, or one that each seed chooses.
    pub setting: Option<Setting>,
}

/// What came of a campaign.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Schedules played, the failing one included.
    pub schedules: u64,
    /// By setting and theme.
    pub kinds: BTreeMap<String, u64>,
    /// Moves played.
    pub moves: u64,
    /// What happened in them.
    pub counts: Counts,
    /// The first schedule that broke a promise; nothing is played after it.
    pub failure: Option<Failure>,
}

impl Campaign {
    /// Plays until a promise breaks or nothing is left; `progress` is told after every schedule.
    pub fn run(self, mut progress: impl FnMut(&Summary)) -> Summary {
        let mut summary = Summary::default();
        for number in 0..self.schedules {
            let schedule = Schedule::draw(self.seed.wrapping_add(number), self.setting);
            summary.schedules += 1;
            summary.moves += schedule.moves.len() as u64;
            *summary.kinds.entry(format!("{}, {:?}", schedule.setting.name(), schedule.theme)).or_default() += 1;
            match run(&schedule) {
                Ok(counts) => summary.counts.add(&counts),
                Err(violation) => {
                    summary.failure = Some(Failure { schedule, violation });
                    break;
                }
            }
            progress(&summary);
        }
        summary
    }
}

impl Counts {
    const fn add(&mut self, other: &Self) {
        self.boots += other.boots;
        self.batches += other.batches;
        self.right += other.right;
        self.wrong += other.wrong;
        self.refused += other.refused;
        self.halted += other.halted;
    }
}
