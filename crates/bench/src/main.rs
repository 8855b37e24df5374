//! `pinseal-bench`: what a signature costs, against named peers, on this machine.

mod bare;
mod chart;
mod clock;
mod deployments;
mod durable;
mod findings;
mod http;
mod levels;
mod load;
mod machine;
mod mailbox;
mod measure;
mod memory;
mod peers;
mod populate;
mod report;
mod rounds;
mod scale;
mod soak;
mod softhsm;
mod stage;
mod statistics;
mod syncs;
mod system;
mod user;
mod verdict;

use std::path::PathBuf;

use clap::Parser;

/// Says something about the progress, on standard error.
macro_rules! say {
    ($($part:tt)*) => { eprintln!("bench: {}", format_args!($($part)*)) };
}
pub(crate) use say;

/// Measures whole signatures over the real programs, block by block beside their peers. CPU times are those of whole processes for
/// each response that was opened and whose signature was recovered and compared. See docs/performance.md.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    measure: MeasureArguments,
    #[command(subcommand)]
    command: Option<Subcommand>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MeasureArguments {
    /// Rounds; each runs every block once and those that goals compare three times, side by side; every ratio is the median over these
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub(crate) rounds: usize,
    /// Seconds of one block
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub(crate) seconds: f64,
    /// Only what begins so: raw, softhsm, enclave, durable, anvil, sign, begin, many, verdict, register, login, syncs, scale; with a number of
    /// clients, like sign@64; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Numbers of clients
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    pub(crate) clients: Vec<usize>,
    /// Wallets of the large deployment
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) many: usize,
    /// Try every measure for a moment; the numbers mean nothing
    #[arg(long)]
    pub(crate) quick: bool,
    /// Where deployments are kept and run; on the disk that is to be measured
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub(crate) dir: PathBuf,
    /// Write the findings to this file [default: results.json in the directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the chart and the tables into this directory's performance.svg and performance.md
    #[arg(long, value_name = "DIR")]
    pub(crate) docs: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Run a system for long under load, wrong PINs and kills, and check what it promises
    Soak(soak::SoakArguments),
    /// Measure signatures at L0, L1, L2 and L4 beside each other
    Levels(levels::LevelsArguments),
    /// Write the chart and the tables of a run made before
    Page {
        /// Its findings
        #[arg(long, value_name = "FILE", default_value = "target/bench/results.json")]
        json: PathBuf,
        /// Directory of performance.svg and performance.md
        #[arg(long, value_name = "DIR", default_value = "docs")]
        docs: PathBuf,
    },
    /// The signing process of the software HSM
    #[command(hide = true)]
    SofthsmSigner,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // One thread: the load generator shares the machine with what it measures, and children are tied to the thread that starts them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    match arguments.command {
        Some(Subcommand::Page { json, docs }) => measure::page(&json, &docs),
        Some(Subcommand::SofthsmSigner) => softhsm::signer(),
        Some(Subcommand::Levels(levels)) => local.block_on(&runtime, levels::run(levels)),
        Some(Subcommand::Soak(soak)) => local.block_on(&runtime, soak::run(soak)),
        None => local.block_on(&runtime, measure::run(arguments.measure)),
    }
}
