//! What an anchor costs: whole signatures at L0, L1, L2 and L4, block by block in one run, so that what drifts drifts for all of them.
//!
//! L0 is L1 with the anchor's directory in memory: the programs serve no deployment without an anchor, and this one waits for nothing. L2 is a
//! software TPM on loopback, written as often as there are batches: what the commands cost, not what a chip takes for them or is spared. L4 is three
//! witnesses on loopback, all of which must cosign, on the same disk and the same cores; their CPU time is not counted, since others pay it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use pinseal_swtpm::Swtpm;
use serde::Serialize;
use serde_json::Value;

use crate::deployments::{Deployment, Yard};
use crate::http::Http;
use crate::load::Sample;
use crate::say;
use crate::stage::sign;
use crate::statistics::Spread;
use crate::syncs::Watch;
use crate::system::{Programs, System, terminate, witness};

/// Of L4.
const WITNESSES: usize = 3;
/// A ratio of CPU time to L0's that is meant to hold, with [`GOAL_CLIENTS`].
const GOALS: [(&str, f64); 2] = [("L1", 1.3), ("L4", 2.0)];
/// Clients of the goals.
const GOAL_CLIENTS: usize = 64;
/// A file system in memory.
const MEMORY: &str = "/dev/shm";
/// A block of a quick try.
const QUICK: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(crate) struct LevelsArguments {
    /// Rounds; each runs every block once, and every ratio is the median over the rounds
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Seconds of one block
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
    /// Numbers of clients
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 16, GOAL_CLIENTS])]
    clients: Vec<usize>,
    /// Try it for a moment; the numbers mean nothing
    #[arg(long)]
    quick: bool,
    /// Where deployments are run; on the disk that is to be measured
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    dir: PathBuf,
    /// Write the findings to this file [default: levels.json in the directory]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Of one level and so many clients: medians over the rounds, seconds.
#[derive(Debug, Serialize)]
struct Row {
    level: &'static str,
    clients: usize,
    responses: u64,
    p50: Spread,
    p99: Spread,
    cpu: Spread,
    /// Of each round's median to L0's of the same round.
    p50_to_l0: Spread,
    p99_to_l0: Spread,
    cpu_to_l0: Spread,
    /// In a pass of its own, under strace: what each thousand attempts wait for.
    counted: Counted,
}

/// Of one pass.
#[derive(Debug, Clone, Copy, Serialize)]
struct Counted {
    /// Records of a batch, on average: each attempt writes two.
    records_a_batch: f64,
    /// Times the host waits for its disk for 1,000 attempts.
    syncs_a_thousand: f64,
}

struct Level {
    name: &'static str,
    deployment: Deployment,
    _beside: Beside,
}

/// What a level needs beside the deployment; ends with it.
enum Beside {
    Nothing,
    Tpm(#[expect(dead_code, reason = "kept until it is dropped")] Swtpm),
    Witnesses(#[expect(dead_code, reason = "kept until they are dropped")] Vec<Witness>),
}

/// One `pinseal witness serve`; ended when dropped.
struct Witness(Child);

impl Drop for Witness {
    fn drop(&mut self) {
        // Has ended by itself.
        let _ = terminate(&mut self.0);
    }
}

/// A directory in memory; removed when dropped.
struct Memory(PathBuf);

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) async fn run(arguments: LevelsArguments) -> anyhow::Result<()> {
    let yard = Yard::open(&arguments.dir).await?;
    let clients = if arguments.quick { vec![1] } else { arguments.clients.clone() };
    let rounds = if arguments.quick { 1 } else { arguments.rounds.max(1) };
    let time = if arguments.quick { QUICK } else { Duration::from_secs_f64(arguments.seconds.clamp(0.01, 600.0)) };
    let people = clients.iter().copied().max().unwrap_or(1);
    let memory = Memory(Path::new(MEMORY).join(format!("pinseal-bench-{}", std::process::id())));
    let mut levels = [
        l0(&yard, people, &memory.0).await.context("L0")?,
        l1(&yard, people).await.context("L1")?,
        l2(&yard, people).await.context("L2")?,
        l4(&yard, people).await.context("L4")?,
    ];
    let mut samples: BTreeMap<(&str, usize), Vec<Sample>> = BTreeMap::new();
    for round in 0..rounds {
        say!("round {} of {rounds}", round + 1);
        for clients in &clients {
            if round % 2 == 1 {
                levels.reverse();
            }
            for level in &mut levels {
                let sample = sign(&mut level.deployment, *clients, time).await.context(level.name)?;
                ensure!(sample.operations > 0, "{}: no answer at all", level.name);
                samples.entry((level.name, *clients)).or_default().push(sample);
            }
            if round % 2 == 1 {
                levels.reverse();
            }
        }
    }
    let mut counted = BTreeMap::new();
    for mut level in levels {
        for clients in &clients {
            say!("counting at {} with {clients} clients", level.name);
            let count = count(&yard, &mut level.deployment, *clients, time).await.context(level.name)?;
            counted.insert((level.name, *clients), count);
        }
        level.deployment.system.stop()?;
    }
    let rows = rows(&samples, &counted).context("nothing was measured")?;
    print!("{}", table(&rows));
    let json = arguments.json.unwrap_or_else(|| arguments.dir.join("levels.json"));
    std::fs::write(&json, serde_json::to_string_pretty(&rows)?).with_context(|| json.display().to_string())?;
    drop(memory);
    yard.sweep()
}

async fn l0(yard: &Yard, people: usize, memory: &Path) -> anyhow::Result<Level> {
    let prepare = |data: &Path| {
        let anchor = data.join("host/anchor");
        std::fs::create_dir(memory).with_context(|| memory.display().to_string())?;
        for file in std::fs::read_dir(&anchor)?.collect::<Result<Vec<_>, _>>()? {
            std::fs::copy(file.path(), memory.join(file.file_name()))?;
        }
        std::fs::remove_dir_all(&anchor)?;
        Ok(std::os::unix::fs::symlink(memory, &anchor)?)
    };
    let deployment = yard.fresh("levels-l0", &[], people, prepare).await?;
    Ok(Level { name: "L0", deployment, _beside: Beside::Nothing })
}

async fn l1(yard: &Yard, people: usize) -> anyhow::Result<Level> {
    let deployment = yard.fresh("levels-l1", &[], people, |_| Ok(())).await?;
    Ok(Level { name: "L1", deployment, _beside: Beside::Nothing })
}

async fn l2(yard: &Yard, people: usize) -> anyhow::Result<Level> {
    let tpm = Swtpm::start().context("scripts/setup installs swtpm")?;
    let unhurried = |data: &Path| {
        let path = data.join("host/server.toml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let is_interval = |line: &str| line.starts_with("interval_milliseconds_min");
        ensure!(text.lines().any(is_interval), "server.toml sets no interval for the TPM");
        let line =
            |line: &str| if is_interval(line) { "interval_milliseconds_min = 0".to_owned() } else { line.to_owned() };
        let text: Vec<String> = text.lines().map(line).collect();
        Ok(std::fs::write(&path, text.join("\n"))?)
    };
    let deployment = yard.fresh("levels-l2", &["--tpm", &tpm.place()], people, unhurried).await?;
    Ok(Level { name: "L2", deployment, _beside: Beside::Tpm(tpm) })
}

async fn l4(yard: &Yard, people: usize) -> anyhow::Result<Level> {
    let scratch = yard.scratch("witnesses")?;
    let directories: Vec<PathBuf> = (1..=WITNESSES).map(|number| scratch.join(format!("w{number}"))).collect();
    let (mut witnesses, mut init) = (Vec::new(), Vec::new());
    for (number, directory) in directories.iter().enumerate() {
        let name = format!("witness.test/w{number}");
        let made = witness(&yard.programs, &["init", "--name", &name], directory)?;
        let (child, url) = serve_witness(&yard.programs, directory)?;
        witnesses.push(Witness(child));
        let key = made["verifier_key"].as_str().context("no verifier key")?;
        init.extend(["--witness".to_owned(), format!("{key} {url}")]);
    }
    let init: Vec<&str> = init.iter().map(String::as_str).collect();
    let trust = |data: &Path| {
        let log = std::fs::read_to_string(data.join("host/log.vkey")).context("log.vkey")?;
        directories
            .iter()
            .try_for_each(|directory| witness(&yard.programs, &["trust", log.trim()], directory).map(drop))
    };
    let deployment = yard.fresh("levels-l4", &init, people, trust).await?;
    Ok(Level { name: "L4", deployment, _beside: Beside::Witnesses(witnesses) })
}

fn serve_witness(programs: &Programs, directory: &Path) -> anyhow::Result<(Child, String)> {
    let mut command = programs.guarded(&programs.pinseal);
    command.args(["witness", "serve", "--json", "--listen", "127.0.0.1:0", "--directory"]).arg(directory);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("witness")?).read_line(&mut line)?;
    let said: Value = serde_json::from_str(&line).with_context(|| format!("a witness says {line:?}"))?;
    Ok((child, said["url"].as_str().context("no url")?.to_owned()))
}

/// Counts batches, by what the host says of itself, and waits for its disk, by strace.
async fn count(yard: &Yard, deployment: &mut Deployment, clients: usize, time: Duration) -> anyhow::Result<Counted> {
    let watch = Watch::start(&yard.programs, deployment.system.host, &yard.scratch("strace")?)?;
    let before = batches(&deployment.system).await?;
    let sample = sign(deployment, clients, time).await?;
    let batches = batches(&deployment.system).await? - before;
    let syncs = watch.stop()?;
    ensure!(batches > 0.0, "no batch at all");
    let attempts = sample.operations as f64;
    Ok(Counted { records_a_batch: 2.0 * attempts / batches, syncs_a_thousand: syncs as f64 * 1e3 / attempts })
}

async fn batches(system: &System) -> anyhow::Result<f64> {
    let answer = Http::new(&system.target.url).get("/metrics").await?;
    let text = String::from_utf8(answer.body).context("metrics")?;
    let value = text.lines().find_map(|line| line.strip_prefix("pinseal_batches_total "));
    value.and_then(|value| value.trim().parse().ok()).context("no pinseal_batches_total")
}

fn rows(
    samples: &BTreeMap<(&'static str, usize), Vec<Sample>>,
    counted: &BTreeMap<(&'static str, usize), Counted>,
) -> Option<Vec<Row>> {
    let row = |((level, clients), of): (&(&'static str, usize), &Vec<Sample>)| {
        let base = samples.get(&("L0", *clients))?;
        let spread = |value: fn(&Sample) -> f64| Spread::of(of.iter().map(value).collect());
        let ratio = |value: fn(&Sample) -> f64| {
            Spread::of(of.iter().zip(base).map(|(here, there)| value(here) / value(there)).collect())
        };
        Some(Row {
            level,
            clients: *clients,
            responses: of.iter().map(|sample| sample.operations).sum(),
            p50: spread(p50)?,
            p99: spread(p99)?,
            cpu: spread(Sample::cpu_each)?,
            p50_to_l0: ratio(p50)?,
            p99_to_l0: ratio(p99)?,
            cpu_to_l0: ratio(Sample::cpu_each)?,
            counted: *counted.get(&(*level, *clients))?,
        })
    };
    samples.iter().map(row).collect()
}

fn p50(sample: &Sample) -> f64 {
    sample.quantile(0.5)
}

fn p99(sample: &Sample) -> f64 {
    sample.quantile(0.99)
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "level clients responses   p50 ms   p99 ms   CPU ms   p50/L0   p99/L0   CPU/L0  records   syncs  goal of CPU/L0 at {GOAL_CLIENTS}\n"
    );
    for row in rows {
        let goal = GOALS.iter().find(|(level, _)| *level == row.level && row.clients == GOAL_CLIENTS);
        let goal = goal.map_or_else(String::new, |(_, most)| {
            let word = if row.cpu_to_l0.median <= *most { "kept" } else { "missed" };
            format!("{most:.1}: {word}")
        });
        let line = format!(
            "{:<5} {:>7} {:>9} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.1} {:>7.0}  {goal}",
            row.level,
            row.clients,
            row.responses,
            row.p50.median * 1e3,
            row.p99.median * 1e3,
            row.cpu.median * 1e3,
            row.p50_to_l0.median,
            row.p99_to_l0.median,
            row.cpu_to_l0.median,
            row.counted.records_a_batch,
            row.counted.syncs_a_thousand,
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str("records: of a batch; syncs: waits of the host for its disk for 1,000 attempts\n");
    text
}
