//! Less and less of a failing schedule, as long as it breaks the same promise.

use crate::moves::Move;
use crate::schedule::{Failure, Schedule, run};

/// Runs spent on one failure.
const RUNS_MAX: usize = 600;

/// The smallest schedule found that breaks the same promise: without moves that are not needed, and with fewer repetitions.
pub fn shrink(failure: &Failure) -> Failure {
    let mut shrinker = Shrinker { best: failure.clone(), runs: 0 };
    let mut before = usize::MAX;
    while shrinker.size() < before && shrinker.runs < RUNS_MAX {
        before = shrinker.size();
        shrinker.drop_moves();
        shrinker.lower_counts();
    }
    shrinker.best
}

struct Shrinker {
    best: Failure,
    runs: usize,
}

impl Shrinker {
    fn size(&self) -> usize {
        self.best.schedule.moves.iter().map(weight).sum()
    }

    fn try_moves(&mut self, moves: Vec<Move>) -> bool {
        if self.runs >= RUNS_MAX {
            return false;
        }
        self.runs += 1;
        let schedule = Schedule { moves, ..self.best.schedule.clone() };
        match run(&schedule) {
            Err(violation) if violation.invariant == self.best.violation.invariant => {
                self.best = Failure { schedule, violation };
                true
            }
            _ => false,
        }
    }

    /// In ever smaller pieces, from the end.
    fn drop_moves(&mut self) {
        let mut piece = self.best.schedule.moves.len().div_ceil(2).max(1);
        loop {
            let mut end = self.best.schedule.moves.len();
            while end > 0 {
                let start = end.saturating_sub(piece);
                let mut moves = self.best.schedule.moves.clone();
                moves.drain(start..end);
                self.try_moves(moves);
                end = start;
            }
            if piece == 1 {
                return;
            }
            piece /= 2;
        }
    }

    fn lower_counts(&mut self) {
        for place in 0..self.best.schedule.moves.len() {
            while let Some(lower) = lowered(self.best.schedule.moves[place]) {
                let mut moves = self.best.schedule.moves.clone();
                moves[place] = lower;
                if !self.try_moves(moves) {
                    break;
                }
            }
        }
    }
}

const fn weight(one: &Move) -> usize {
    match one {
        Move::Guess { times, .. } | Move::Brute { times, .. } | Move::Revive { times, .. } => *times as usize,
        _ => 1,
    }
}

const fn lowered(one: Move) -> Option<Move> {
    match one {
        Move::Guess { at, who, times } if times > 1 => Some(Move::Guess { at, who, times: times - 1 }),
        Move::Brute { at, who, times, steps, back } if times > 1 => {
            Some(Move::Brute { at, who, times: times - 1, steps, back })
        }
        Move::Revive { at, back, who, times } if times > 1 => Some(Move::Revive { at, back, who, times: times - 1 }),
        _ => None,
    }
}
