//! Wrong PIN against right PIN: whoever watches the clock, on the wire or on the machine, must not learn the verdict.
//!
//! Each wallet gets a wrong and a right one, in random order, so that no device holds more than two wrong ones and none ever waits; a
//! right one gives the try back. Time is compared request by request, one at a time, from the sealed request to its whole answer. CPU
//! time is compared run by run of equal verdicts, because what a request leaves to be done afterwards would be booked on the next one.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::clock::CpuClock;
use crate::statistics::{Confidence, paired_ratio};
use crate::user::{Choice, User, Verdict, random};

/// Wrong PINs one wallet is given in all: below the 100 of its PIN's life, which nothing gives back.
const WRONG_EACH_MAX: usize = 90;
/// Requests of one verdict in a row where CPU time is compared.
const RUN: usize = 16;

/// What was compared.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Comparison {
    /// Pairs of requests.
    pub(crate) pairs: usize,
    /// Time of a wrong one over that of a right one.
    pub(crate) wall: Confidence,
    /// CPU time of host and enclave for a wrong one over that for a right one.
    pub(crate) cpu: Confidence,
}

/// How often each wallet was given a wrong PIN.
pub(crate) struct Compare {
    wrong_each: usize,
    wall: Vec<(f64, f64)>,
    cpu: Vec<(f64, f64)>,
}

impl Compare {
    pub(crate) const fn new() -> Self {
        Self { wrong_each: 0, wall: Vec::new(), cpu: Vec::new() }
    }

    /// Half of the time on pairs by the clock, half on pairs of runs by CPU time; ends early when the PINs' lives would.
    pub(crate) async fn measure(
        &mut self,
        users: &mut [User],
        time: Duration,
        clocks: &[(&'static str, CpuClock)],
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < time / 2 && self.wrong_each < WRONG_EACH_MAX {
            self.wrong_each += 1;
            for user in users.iter_mut() {
                self.pair(user).await?;
                if begun.elapsed() >= time / 2 {
                    break;
                }
            }
        }
        let begun = Instant::now();
        while begun.elapsed() < time / 2 && self.wrong_each < WRONG_EACH_MAX {
            self.wrong_each += 1;
            for some in users.chunks_mut(RUN) {
                self.runs(some, clocks).await?;
                if begun.elapsed() >= time / 2 {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn pair(&mut self, user: &mut User) -> anyhow::Result<()> {
        let wrong_first = random::<1>()?[0] & 1 == 1;
        let mut times = [0.0; 2];
        for choice in order(wrong_first) {
            attempt(user, choice).await?;
            times[usize::from(choice == Choice::Right)] = user.exchange().as_secs_f64();
        }
        // A right one last, so that no try stays charged.
        if !wrong_first {
            attempt(user, Choice::Right).await?;
        }
        self.wall.push((times[0], times[1]));
        Ok(())
    }

    async fn runs(&mut self, users: &mut [User], clocks: &[(&'static str, CpuClock)]) -> anyhow::Result<()> {
        let wrong_first = random::<1>()?[0] & 1 == 1;
        let mut spent = [0.0; 2];
        for choice in order(wrong_first) {
            let before = total(clocks)?;
            for user in users.iter_mut() {
                attempt(user, choice).await?;
            }
            spent[usize::from(choice == Choice::Right)] = total(clocks)?.saturating_sub(before).as_secs_f64();
        }
        if !wrong_first {
            for user in users.iter_mut() {
                attempt(user, Choice::Right).await?;
            }
        }
        self.cpu.push((spent[0], spent[1]));
        Ok(())
    }

    /// What came of it; nothing of nothing.
    pub(crate) fn result(&self) -> anyhow::Result<Comparison> {
        let wall = paired_ratio(&self.wall).context("no pairs")?;
        let cpu = paired_ratio(&self.cpu).context("no runs")?;
        Ok(Comparison { pairs: self.wall.len(), wall, cpu })
    }
}

const fn order(wrong_first: bool) -> [Choice; 2] {
    if wrong_first { [Choice::Wrong, Choice::Right] } else { [Choice::Right, Choice::Wrong] }
}

async fn attempt(user: &mut User, choice: Choice) -> anyhow::Result<()> {
    let expected = if choice == Choice::Right { Verdict::Signed } else { Verdict::WrongPin };
    let verdict = user.sign(choice).await?;
    ensure!(verdict == expected, "{verdict:?} to a {choice:?} PIN");
    Ok(())
}

fn total(clocks: &[(&'static str, CpuClock)]) -> anyhow::Result<Duration> {
    clocks.iter().map(|(_, clock)| clock.now()).sum()
}
