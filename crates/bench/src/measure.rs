//! One run of all measures.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::MeasureArguments;
use crate::deployments::Yard;
use crate::findings::{Block, Findings, goals};
use crate::load::Sample;
use crate::machine::Machine;
use crate::rounds::{Plan, Results, run as run_rounds};
use crate::stage::{Stage, sign};
use crate::syncs::Watch;
use crate::{chart, report, say, scale};

/// Clients of the blocks that are compared with peers.
const USUAL: usize = 64;
/// Wallets of the usual deployment.
const FEW: usize = 1_000;
/// Clients that register or log in at once.
const REGISTERING: usize = 16;
/// Starts of each deployment.
const STARTS: usize = 3;
/// A block of a quick try.
const QUICK: Duration = Duration::from_millis(20);

impl Plan {
    fn of(arguments: &MeasureArguments) -> Self {
        let usual = Self {
            rounds: arguments.rounds.max(1),
            time: Duration::from_secs_f64(arguments.seconds.clamp(0.01, 600.0)),
            clients: arguments.clients.clone(),
            usual: USUAL,
            registering: REGISTERING,
            starts: STARTS,
            only: arguments.only.clone(),
            few: FEW,
            many: arguments.many.max(USUAL),
        };
        if arguments.quick {
            Self {
                rounds: 1,
                time: QUICK,
                clients: vec![1, 2],
                usual: 2,
                registering: 2,
                starts: 1,
                few: 8,
                many: 200,
                ..usual
            }
        } else {
            usual
        }
    }
}

/// Measures, prints, writes.
pub(crate) async fn run(arguments: MeasureArguments) -> anyhow::Result<()> {
    let plan = Plan::of(&arguments);
    let yard = Yard::open(&arguments.dir).await?;
    let machine = Machine::here(&arguments.dir)?;
    let mut stage = Stage::set(&yard, &plan).await?;
    let results = run_rounds(&mut stage, &yard, &plan).await?;
    let syncs = if plan.wants("syncs") { syncs(&mut stage, &yard, &plan).await? } else { BTreeMap::new() };
    let verdict = if plan.wants("verdict") { Some(stage.compare.result()?) } else { None };
    let scale = if plan.wants("scale") { Some(scale::measure(&mut stage, &yard, &plan)?) } else { None };
    stage.strike()?;
    yard.sweep()?;

    let findings = Findings {
        machine,
        rounds: plan.rounds,
        seconds_of_a_block: plan.time.as_secs_f64(),
        many: plan.many,
        blocks: blocks(&results),
        goals: goals(&results, plan.usual, verdict.as_ref(), scale.as_ref()),
        verdict,
        scale,
        syncs_for_1000: syncs,
    };
    print!("{}", report::text(&findings));
    let json = arguments.json.unwrap_or_else(|| arguments.dir.join("results.json"));
    std::fs::write(&json, serde_json::to_string_pretty(&findings)?).with_context(|| json.display().to_string())?;
    if let Some(docs) = arguments.docs {
        write_docs(&docs, &findings)?;
    }
    Ok(())
}

fn blocks(results: &Results) -> BTreeMap<String, Block> {
    let block = |(name, samples): (&String, &Vec<Sample>)| Some((name.clone(), Block::of(samples)?));
    results.0.iter().filter_map(block).collect()
}

/// A pass of its own, which is not timed.
async fn syncs(stage: &mut Stage, yard: &Yard, plan: &Plan) -> anyhow::Result<BTreeMap<usize, f64>> {
    let mut found = BTreeMap::new();
    let deployment = stage.few.as_mut().context("not set up")?;
    for clients in &plan.clients {
        say!("counting waits for the disk at {clients} clients");
        let watch = Watch::start(&yard.programs, deployment.system.host, &yard.scratch("strace")?)?;
        let sample = sign(deployment, *clients, plan.time).await?;
        let calls = watch.stop()?;
        found.insert(*clients, calls as f64 * 1_000.0 / sample.operations.max(1) as f64);
    }
    Ok(found)
}

/// Writes the page of a run made before.
pub(crate) fn page(json: &Path, docs: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(json).with_context(|| json.display().to_string())?;
    write_docs(docs, &serde_json::from_slice(&text).with_context(|| json.display().to_string())?)
}

fn write_docs(docs: &Path, findings: &Findings) -> anyhow::Result<()> {
    let (page, picture) = (docs.join("performance.md"), docs.join("performance.svg"));
    let text = std::fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let text = report::replace(&text, &report::page(findings)).context("performance.md lacks the marks")?;
    std::fs::write(&page, text).with_context(|| page.display().to_string())?;
    std::fs::write(&picture, chart::svg(findings)).with_context(|| picture.display().to_string())
}
