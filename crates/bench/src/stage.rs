//! Everything that is started once and measured in turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::task::JoinSet;

use crate::bare::{Bare, Forgetful, Person};
use crate::deployments::{Deployment, Yard};
use crate::durable::Durable;
use crate::load::{Meter, Sample, closed_loop};
use crate::peers::{Anvil, Caller, raw};
use crate::rounds::{Block, Plan};
use crate::say;
use crate::softhsm::SoftHsm;
use crate::user::{Choice, User, Verdict};
use crate::verdict::Compare;

/// Wallets of the enclave alone.
pub(crate) const PEOPLE: usize = 64;
/// A block of the comparison takes so many times as long: two per cent are to be told apart in the noise of single requests.
const COMPARED_LONGER: u32 = 5;
/// People in a deployment beyond those the load needs, at least so many for the comparison of verdicts: each gets few wrong PINs.
const COMPARED_MIN: usize = 64;

/// Servers, peers and clients; what a plan does not need is not started.
pub(crate) struct Stage {
    pub(crate) few: Option<Deployment>,
    pub(crate) many: Option<Deployment>,
    anvil: Option<(Anvil, Vec<Caller>)>,
    bare: Option<(Bare, Vec<Person>)>,
    durable: Option<Durable>,
    softhsm: Option<SoftHsm>,
    pub(crate) compare: Compare,
    strangers: usize,
}

impl Stage {
    /// Starts what the plan needs.
    pub(crate) async fn set(yard: &Yard, plan: &Plan) -> anyhow::Result<Self> {
        let blocks = plan.blocks();
        let needs = |which: &dyn Fn(&Block) -> bool| blocks.iter().any(which);
        let mut stage = Self {
            few: None,
            many: None,
            anvil: None,
            bare: None,
            durable: None,
            softhsm: None,
            compare: Compare::new(),
            strangers: 0,
        };
        let served = |block: &Block| {
            matches!(block, Block::Sign(_) | Block::Afresh(_) | Block::Verdict | Block::Register(_) | Block::LogIn(_))
        };
        if needs(&served) || plan.wants("syncs") || plan.wants("scale") {
            say!("starting {} wallets", plan.few);
            let people = plan.most().max(COMPARED_MIN.min(plan.few));
            stage.few = Some(yard.serve("few", people, plan.few).await?);
        }
        if needs(&|block| matches!(block, Block::Many(_))) || plan.wants("scale") {
            say!("starting {} wallets", plan.many);
            stage.many = Some(yard.serve("many", plan.usual, plan.many).await?);
        }
        if needs(&|block| matches!(block, Block::Anvil(_))) {
            let anvil = Anvil::start(&yard.programs, &yard.scratch("anvil")?).await?;
            let callers = (0..plan.most()).map(|_| anvil.caller()).collect();
            stage.anvil = Some((anvil, callers));
        }
        if needs(&|block| *block == Block::SoftHsm) {
            stage.softhsm = Some(SoftHsm::start(&yard.programs, &yard.scratch("softhsm")?)?);
        }
        if needs(&|block| matches!(block, Block::Enclave(_))) {
            let mut bare = Bare::boot(&mut Forgetful)?;
            let people = (0..PEOPLE).map(|index| bare.register(&format!("person {index}"), &mut Forgetful));
            let people = people.collect::<Result<_, _>>()?;
            stage.bare = Some((bare, people));
        }
        if needs(&|block| *block == Block::Durable) {
            stage.durable = Some(Durable::start(&yard.scratch("durable")?)?);
        }
        Ok(stage)
    }

    /// One block; nothing where it keeps its own account.
    pub(crate) async fn measure(
        &mut self,
        block: Block,
        time: Duration,
        yard: &Yard,
    ) -> anyhow::Result<Option<Sample>> {
        let sample = match (block, self) {
            (Block::Raw, _) => raw(time)?,
            (Block::SoftHsm, Self { softhsm: Some(signer), .. }) => signer.sign(time)?,
            (Block::Durable, Self { durable: Some(durable), .. }) => durable.sign(time)?,
            (Block::Anvil(clients), Self { anvil: Some((anvil, callers)), .. }) => {
                closed_loop(callers, clients, time, &anvil.clocks()?, async |caller: &mut Caller| caller.sign().await)
                    .await?
            }
            (Block::Enclave(people), Self { bare: Some((bare, all)), .. }) => {
                enclave(bare, all.get_mut(..people).unwrap_or_default(), time)?
            }
            (Block::Sign(clients), Self { few: Some(deployment), .. })
            | (Block::Many(clients), Self { many: Some(deployment), .. }) => sign(deployment, clients, time).await?,
            (Block::Afresh(clients), Self { few: Some(deployment), .. }) => {
                sign_afresh(deployment, clients, time).await?
            }
            (Block::Verdict, Self { few: Some(deployment), compare, .. }) => {
                let clocks = deployment.system.clocks()?;
                compare.measure(&mut deployment.users, time * COMPARED_LONGER, &clocks).await?;
                return Ok(None);
            }
            (Block::Register(clients), Self { few: Some(deployment), strangers, .. }) => {
                register(deployment, yard, strangers, clients).await?
            }
            (Block::LogIn(clients), Self { few: Some(deployment), .. }) => {
                let clocks = deployment.system.clocks()?;
                closed_loop(&mut deployment.users, clients, time, &clocks, async |user: &mut User| user.log_in().await)
                    .await?
            }
            _ => bail!("was not set up"),
        };
        Ok(Some(sample))
    }

    /// Stops the servers in order.
    pub(crate) fn strike(self) -> anyhow::Result<()> {
        for deployment in [self.few, self.many].into_iter().flatten() {
            deployment.system.stop()?;
        }
        Ok(())
    }
}

/// Whole signatures of so many clients.
pub(crate) async fn sign(deployment: &mut Deployment, clients: usize, time: Duration) -> anyhow::Result<Sample> {
    signatures(deployment, clients, time, async |user: &mut User| user.sign(Choice::Right).await).await
}

/// The same with a `begin` before each.
async fn sign_afresh(deployment: &mut Deployment, clients: usize, time: Duration) -> anyhow::Result<Sample> {
    signatures(deployment, clients, time, async |user: &mut User| user.sign_afresh(Choice::Right).await).await
}

async fn signatures(
    deployment: &mut Deployment,
    clients: usize,
    time: Duration,
    one: impl AsyncFn(&mut User) -> anyhow::Result<Verdict> + Clone + 'static,
) -> anyhow::Result<Sample> {
    ensure!(clients <= deployment.users.len(), "{clients} clients, {} people", deployment.users.len());
    let clocks = deployment.system.clocks()?;
    closed_loop(&mut deployment.users, clients, time, &clocks, async move |user: &mut User| {
        let verdict = one(user).await?;
        ensure!(verdict == Verdict::Signed, "{verdict:?}");
        Ok(())
    })
    .await
}

fn enclave(bare: &mut Bare, people: &mut [Person], time: Duration) -> anyhow::Result<Sample> {
    bare.take_spent();
    let meter = Meter::start(&[])?;
    let (mut operations, begun) = (0, Instant::now());
    while begun.elapsed() < time {
        operations += bare.sign_all(people, &mut Forgetful)?;
    }
    let spent = bare.take_spent();
    let sample = meter.stop(operations, Vec::new())?;
    Ok(Sample { serving: vec![("enclave", spent)], client: sample.client.saturating_sub(spent), ..sample })
}

/// New people register a wallet each, all at once; what comes before, sign-up, login and Argon2id, is not counted.
async fn register(
    deployment: &Deployment,
    yard: &Yard,
    strangers: &mut usize,
    clients: usize,
) -> anyhow::Result<Sample> {
    let mut people = Vec::with_capacity(clients);
    for _ in 0..clients {
        *strangers += 1;
        let email = format!("stranger-{strangers}@bench.example.org");
        let target = &deployment.system.target;
        let mut person = User::stranger(target, Arc::clone(&deployment.boot), &yard.mailbox, &email).await?;
        person.log_in().await?;
        person.compute_factor().await?;
        people.push(person);
    }
    let meter = Meter::start(&deployment.system.clocks()?)?;
    let mut running = JoinSet::new();
    for mut person in people {
        running.spawn_local(async move {
            let begun = Instant::now();
            person.register_wallet().await?;
            anyhow::Ok(begun.elapsed())
        });
    }
    let mut latencies = Vec::with_capacity(clients);
    while let Some(ended) = running.join_next().await {
        latencies.push(ended.context("a registration panicked")??);
    }
    meter.stop(latencies.len() as u64, latencies)
}
