//! Blocks of every peer, interleaved: a noisy machine is noisy to all of them. What a goal compares stands side by side, in several short
//! turns: a machine whose pace changes within a minute would decide by itself otherwise.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::deployments::Yard;
use crate::load::Sample;
use crate::say;
use crate::stage::{PEOPLE, Stage};
use crate::statistics::Spread;

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Of one block.
    pub(crate) time: Duration,
    pub(crate) clients: Vec<usize>,
    /// Clients of the blocks that are compared with peers.
    pub(crate) usual: usize,
    /// Clients that register or log in at once.
    pub(crate) registering: usize,
    /// Starts of each deployment; the median counts.
    pub(crate) starts: usize,
    pub(crate) only: Vec<String>,
    /// Wallets of the two deployments.
    pub(crate) few: usize,
    pub(crate) many: usize,
}

impl Plan {
    /// True if what is called so is to be run.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only.as_str()))
    }

    /// The greatest number of clients.
    pub(crate) fn most(&self) -> usize {
        self.clients.iter().copied().chain([self.usual, self.registering]).max().unwrap_or(1)
    }

    /// Every kind of block, once.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = self.compared();
        blocks.extend(self.others());
        blocks
    }

    /// What one round runs, in order, and for how long: there and back, so that what drifts does not favour whoever comes first.
    fn round(&self, number: usize) -> Vec<(Block, Duration)> {
        let mut order: Vec<_> = self.others().into_iter().map(|block| (block, self.time)).collect();
        for turn in 0..TURNS {
            let mut compared = self.compared();
            if turn % 2 == 1 {
                compared.reverse();
            }
            order.extend(compared.into_iter().map(|block| (block, self.time / 2)));
        }
        if number % 2 == 1 {
            order.reverse();
        }
        order
    }

    /// The blocks that goals compare.
    fn compared(&self) -> Vec<Block> {
        self.wanted(vec![
            Block::Durable,
            Block::Sign(1),
            Block::Raw,
            Block::Sign(self.usual),
            Block::SoftHsm,
            Block::Anvil(self.usual),
            Block::Many(self.usual),
        ])
    }

    fn others(&self) -> Vec<Block> {
        let clients = || self.clients.iter().copied();
        let mut others = vec![Block::Enclave(1), Block::Enclave(PEOPLE)];
        others.extend(clients().filter(|clients| *clients != self.usual).map(Block::Anvil));
        others.extend(clients().filter(|clients| ![1, self.usual].contains(clients)).map(Block::Sign));
        others.extend([
            Block::Afresh(self.usual),
            Block::Verdict,
            Block::Register(self.registering),
            Block::LogIn(self.registering),
        ]);
        self.wanted(others)
    }

    fn wanted(&self, mut blocks: Vec<Block>) -> Vec<Block> {
        blocks.retain(|block| self.wants(&block.name()));
        blocks
    }
}

/// How often a round runs what goals compare, each time for half as long as the others.
pub(crate) const TURNS: usize = 3;

/// Samples by block, in the order in which they were taken.
#[derive(Debug, Default)]
pub(crate) struct Results(pub(crate) BTreeMap<String, Vec<Sample>>);

/// One kind of block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// The library alone.
    Raw,
    SoftHsm,
    Anvil(usize),
    /// The enclave's state machine alone, so many requests in one batch.
    Enclave(usize),
    /// Two commits alone.
    Durable,
    Sign(usize),
    /// The same with a `begin` before each signature.
    Afresh(usize),
    /// The same over many wallets.
    Many(usize),
    /// Wrong PINs beside right ones.
    Verdict,
    Register(usize),
    LogIn(usize),
}

impl Block {
    /// As it is called in reports.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Raw => "raw".into(),
            Self::SoftHsm => "softhsm".into(),
            Self::Anvil(clients) => format!("anvil@{clients}"),
            Self::Enclave(people) => format!("enclave@{people}"),
            Self::Durable => "durable".into(),
            Self::Sign(clients) => format!("sign@{clients}"),
            Self::Afresh(clients) => format!("begin@{clients}"),
            Self::Many(clients) => format!("many@{clients}"),
            Self::Verdict => "verdict".into(),
            Self::Register(clients) => format!("register@{clients}"),
            Self::LogIn(clients) => format!("login@{clients}"),
        }
    }
}

/// Runs the rounds of the plan.
pub(crate) async fn run(stage: &mut Stage, yard: &Yard, plan: &Plan) -> anyhow::Result<Results> {
    let mut results = Results::default();
    let begun = Instant::now();
    for round in 0..plan.rounds {
        say!("round {} of {}, after {} s", round + 1, plan.rounds, begun.elapsed().as_secs());
        for (block, time) in plan.round(round) {
            let name = block.name();
            let sample = stage.measure(block, time, yard).await.with_context(|| format!("block {name}"))?;
            let Some(sample) = sample else { continue };
            ensure!(sample.operations > 0, "block {name} had no answer at all");
            results.0.entry(name).or_default().push(sample);
        }
    }
    Ok(results)
}

impl Results {
    /// A ratio of two blocks that stood side by side, one value a turn.
    pub(crate) fn ratio(&self, over: &str, under: &str, of: impl Fn(&Sample) -> f64) -> Option<Spread> {
        let (over, under) = (self.0.get(over)?, self.0.get(under)?);
        Spread::of(over.iter().zip(under).map(|(over, under)| of(over) / of(under)).collect())
    }
}
