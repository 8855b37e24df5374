//! `pinseal-bench`: what a signature costs, against named peers, on this machine.

mod bare;
mod clock;
mod deployments;
mod http;
mod load;
mod mailbox;
mod peers;
mod rounds;
mod softhsm;
mod statistics;
mod system;
mod user;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Says something about the progress, on standard error.
macro_rules! say {
    ($($part:tt)*) => { eprintln!("bench: {}", format_args!($($part)*)) };
}
pub(crate) use say;

/// Measures whole signatures over the real programs, block by block beside their peers. CPU times are those of whole processes for
/// each response that was opened and whose signature was recovered and compared. See docs/performance.md.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Rounds; each runs every block once, and every ratio is the median over the rounds
    #[arg(long, value_name = "N", default_value_t = 7)]
    rounds: usize,
    /// Seconds of one block
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
    /// Only blocks whose name begins so, like `sign@64`, `raw`, `anvil`; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Numbers of clients
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    clients: Vec<usize>,
    /// Where deployments are kept and run; on the disk that is to be measured
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    dir: PathBuf,
    #[command(subcommand)]
    command: Option<Subcommand>,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// The signing process of the software HSM
    #[command(hide = true)]
    SofthsmSigner,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Subcommand::SofthsmSigner) = arguments.command {
        return softhsm::signer();
    }
    // One thread: the load generator shares the machine with what it measures, and children are tied to the thread that starts them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, run(arguments))
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let plan = rounds::Plan {
        rounds: arguments.rounds.max(1),
        time: Duration::from_secs_f64(arguments.seconds.max(0.01)),
        clients: arguments.clients,
        only: arguments.only,
    };
    let yard = deployments::Yard::open(&arguments.dir).await?;
    let results = rounds::run(&yard, &plan).await?;
    results.print();
    yard.sweep()
}
