//! Blocks of every peer, interleaved: a noisy machine is noisy to all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bare::{Bare, Person, at_once};
use crate::deployments::{Deployment, Yard};
use crate::load::{Meter, Sample, closed_loop};
use crate::peers::{Anvil, Caller, raw};
use crate::say;
use crate::softhsm::SoftHsm;
use crate::statistics::Spread;
use crate::user::{Choice, User, Verdict};

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) clients: Vec<usize>,
    pub(crate) only: Vec<String>,
}

impl Plan {
    /// True if the block is to be run.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only.as_str()))
    }
}

/// Samples by block, one a round.
#[derive(Debug, Default)]
pub(crate) struct Results(pub(crate) BTreeMap<String, Vec<Sample>>);

/// One kind of block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Raw,
    SoftHsm,
    Anvil(usize),
    Enclave(usize),
    Sign(usize),
}

impl Block {
    fn name(self) -> String {
        match self {
            Self::Raw => "raw".into(),
            Self::SoftHsm => "softhsm".into(),
            Self::Anvil(clients) => format!("anvil@{clients}"),
            Self::Enclave(people) => format!("enclave@{people}"),
            Self::Sign(clients) => format!("sign@{clients}"),
        }
    }
}

/// Everything that is started once and measured in turn.
struct Stage {
    deployment: Option<Deployment>,
    anvil: Option<(Anvil, Vec<Caller>)>,
    bare: Option<(Bare, Vec<Person>)>,
    softhsm: Option<SoftHsm>,
}

/// Runs the plan.
pub(crate) async fn run(yard: &Yard, plan: &Plan) -> anyhow::Result<Results> {
    let most = plan.clients.iter().copied().max().unwrap_or(1);
    let mut blocks = vec![Block::Raw, Block::SoftHsm, Block::Enclave(1), Block::Enclave(64)];
    blocks.extend(plan.clients.iter().map(|clients| Block::Anvil(*clients)));
    blocks.extend(plan.clients.iter().map(|clients| Block::Sign(*clients)));
    blocks.retain(|block| plan.wants(&block.name()));
    let mut stage = set(yard, &blocks, most).await?;
    let mut results = Results::default();
    for round in 0..plan.rounds {
        say!("round {} of {}", round + 1, plan.rounds);
        // There and back, so that what drifts does not favour whoever comes first.
        let order: Vec<Block> = if round % 2 == 0 { blocks.clone() } else { blocks.iter().rev().copied().collect() };
        for block in order {
            let sample = stage.measure(block, plan.time).await?;
            results.0.entry(block.name()).or_default().push(sample);
        }
    }
    if let Some(deployment) = stage.deployment {
        deployment.system.stop()?;
    }
    Ok(results)
}

async fn set(yard: &Yard, blocks: &[Block], most: usize) -> anyhow::Result<Stage> {
    let mut stage = Stage { deployment: None, anvil: None, bare: None, softhsm: None };
    if blocks.iter().any(|block| matches!(block, Block::Sign(_))) {
        stage.deployment = Some(yard.serve("small", most.max(256)).await?);
    }
    if blocks.iter().any(|block| matches!(block, Block::Anvil(_))) {
        let anvil = Anvil::start(&yard.programs, &yard.scratch("anvil")?).await?;
        let callers = (0..most).map(|_| anvil.caller()).collect();
        stage.anvil = Some((anvil, callers));
    }
    if blocks.contains(&Block::SoftHsm) {
        stage.softhsm = Some(SoftHsm::start(&yard.programs, &yard.scratch("softhsm")?)?);
    }
    if blocks.iter().any(|block| matches!(block, Block::Enclave(_))) {
        let mut bare = Bare::boot(|_, _, _| Ok(()), &mut at_once)?;
        let people = (0..64).map(|index| bare.register(&format!("person {index}"), &mut at_once));
        let people = people.collect::<Result<_, _>>()?;
        stage.bare = Some((bare, people));
    }
    Ok(stage)
}

impl Stage {
    async fn measure(&mut self, block: Block, time: Duration) -> anyhow::Result<Sample> {
        match (block, self) {
            (Block::Raw, _) => raw(time),
            (Block::SoftHsm, Self { softhsm: Some(signer), .. }) => signer.sign(time),
            (Block::Anvil(clients), Self { anvil: Some((anvil, callers)), .. }) => {
                closed_loop(callers, clients, time, &anvil.clocks()?, async |caller: &mut Caller| caller.sign().await)
                    .await
            }
            (Block::Enclave(people), Self { bare: Some((bare, all)), .. }) => {
                let people = all.get_mut(..people).unwrap_or_default();
                enclave(bare, people, time)
            }
            (Block::Sign(clients), Self { deployment: Some(deployment), .. }) => {
                let clocks = deployment.system.clocks()?;
                closed_loop(&mut deployment.users, clients, time, &clocks, async |user: &mut User| {
                    let verdict = user.sign(Choice::Right).await?;
                    anyhow::ensure!(verdict == Verdict::Signed, "{verdict:?}");
                    Ok(())
                })
                .await
            }
            _ => anyhow::bail!("{block:?} was not set up"),
        }
    }
}

fn enclave(bare: &mut Bare, people: &mut [Person], time: Duration) -> anyhow::Result<Sample> {
    bare.take_spent();
    let meter = Meter::start(&[])?;
    let (mut operations, begun) = (0, std::time::Instant::now());
    while begun.elapsed() < time {
        operations += bare.sign_all(people, &mut at_once)?;
    }
    let spent = bare.take_spent();
    let sample = meter.stop(operations, Vec::new())?;
    Ok(Sample { serving: vec![("enclave", spent)], client: sample.client.saturating_sub(spent), ..sample })
}

impl Results {
    /// A ratio of two blocks, one value a round.
    pub(crate) fn ratio(&self, over: &str, under: &str, of: impl Fn(&Sample) -> f64) -> Option<Spread> {
        let (over, under) = (self.0.get(over)?, self.0.get(under)?);
        Spread::of(over.iter().zip(under).map(|(over, under)| of(over) / of(under)).collect())
    }

    /// A number of one block, one value a round.
    pub(crate) fn spread(&self, name: &str, of: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.0.get(name)?.iter().map(of).collect())
    }

    /// The table on standard output.
    pub(crate) fn print(&self) {
        let unit = self.spread("raw", Sample::cpu_each).map_or(f64::NAN, |spread| spread.median);
        println!(
            "{:<14} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "block", "CPU us", "host us", "encl us", "client us", "per s", "p50 ms", "p99 ms", "vs raw", "with client"
        );
        for name in self.0.keys() {
            let of = |what: &dyn Fn(&Sample) -> f64| self.spread(name, what).map_or(f64::NAN, |spread| spread.median);
            println!(
                "{name:<14} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.2} {:>9.2} {:>9.3} {:>9.3}",
                of(&Sample::cpu_each) * 1e6,
                of(&|sample| sample.part_each("host")) * 1e6,
                of(&|sample| sample.part_each("enclave")) * 1e6,
                of(&|sample| sample.cpu_each_with_client() - sample.cpu_each()) * 1e6,
                of(&Sample::throughput),
                of(&|sample| sample.quantile(0.5)) * 1e3,
                of(&|sample| sample.quantile(0.99)) * 1e3,
                unit / of(&Sample::cpu_each),
                unit / of(&Sample::cpu_each_with_client),
            );
        }
        for (name, ratio) in [
            ("sign@64 against raw", self.ratio("raw", "sign@64", Sample::cpu_each)),
            ("sign@64 against softhsm", self.ratio("softhsm", "sign@64", Sample::cpu_each)),
            ("sign@64 against anvil@64", self.ratio("anvil@64", "sign@64", Sample::cpu_each)),
        ] {
            if let Some(Spread { median, least, greatest }) = ratio {
                println!("{name}: {median:.3} ({least:.3} to {greatest:.3})");
            }
        }
    }
}
