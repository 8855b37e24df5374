//! Closed loops of clients, and what they cost whom.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::clock::CpuClock;

/// One block of one measure: so many verified responses for so much CPU time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    /// Verified responses.
    pub(crate) operations: u64,
    /// From the first request to the last answer.
    pub(crate) wall: Duration,
    /// CPU time of each serving process.
    pub(crate) serving: Vec<(&'static str, Duration)>,
    /// CPU time of the load generator.
    pub(crate) client: Duration,
    /// Time of each response, ascending; empty where nothing waits for anything.
    pub(crate) latencies: Vec<Duration>,
}

impl Sample {
    /// CPU seconds of the serving processes for one response.
    pub(crate) fn cpu_each(&self) -> f64 {
        self.serving.iter().map(|(_, cpu)| *cpu).sum::<Duration>().as_secs_f64() / self.count()
    }

    /// The same with the load generator's.
    pub(crate) fn cpu_each_with_client(&self) -> f64 {
        self.cpu_each() + self.client.as_secs_f64() / self.count()
    }

    /// CPU seconds of one serving process for one response.
    pub(crate) fn part_each(&self, name: &str) -> f64 {
        let of = self.serving.iter().filter(|(part, _)| *part == name).map(|(_, cpu)| *cpu);
        of.sum::<Duration>().as_secs_f64() / self.count()
    }

    /// Responses a second on the wall clock.
    pub(crate) fn throughput(&self) -> f64 {
        self.count() / self.wall.as_secs_f64()
    }

    /// Seconds below which this share of the responses came.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        crate::statistics::quantile(&self.latencies.iter().map(Duration::as_secs_f64).collect::<Vec<_>>(), share)
    }

    fn count(&self) -> f64 {
        // Exact below 2^53.
        self.operations.max(1) as f64
    }
}

/// Clocks read before and after a block.
#[derive(Debug)]
pub(crate) struct Meter {
    serving: Vec<(&'static str, CpuClock, Duration)>,
    client: Duration,
    begun: Instant,
}

impl Meter {
    /// Starts counting.
    pub(crate) fn start(serving: &[(&'static str, CpuClock)]) -> anyhow::Result<Self> {
        let read = |(name, clock): &(&'static str, CpuClock)| anyhow::Ok((*name, *clock, clock.now()?));
        let serving = serving.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { serving, client: CpuClock::own().now()?, begun: Instant::now() })
    }

    /// Ends the block.
    pub(crate) fn stop(self, operations: u64, mut latencies: Vec<Duration>) -> anyhow::Result<Sample> {
        let wall = self.begun.elapsed();
        let client = CpuClock::own().now()?.saturating_sub(self.client);
        let cost = |(name, clock, before): (&'static str, CpuClock, Duration)| {
            anyhow::Ok((name, clock.now()?.saturating_sub(before)))
        };
        let serving = self.serving.into_iter().map(cost).collect::<Result<_, _>>()?;
        latencies.sort_unstable();
        Ok(Sample { operations, wall, serving, client, latencies })
    }
}

/// Has each of `clients` do `operation` again and again until the time is over, all at once.
pub(crate) async fn closed_loop<C: Send + 'static>(
    clients: &mut Vec<C>,
    count: usize,
    time: Duration,
    serving: &[(&'static str, CpuClock)],
    operation: impl AsyncFn(&mut C) -> anyhow::Result<()> + Clone + 'static,
) -> anyhow::Result<Sample> {
    let at_rest = clients.split_off(count.min(clients.len()));
    let meter = Meter::start(serving)?;
    let until = meter.begun + time;
    let mut running = JoinSet::new();
    for mut client in clients.drain(..) {
        let operation = operation.clone();
        running.spawn_local(async move {
            let mut latencies = Vec::new();
            while Instant::now() < until {
                let begun = Instant::now();
                operation(&mut client).await?;
                latencies.push(begun.elapsed());
            }
            anyhow::Ok((client, latencies))
        });
    }
    let mut latencies = Vec::new();
    while let Some(ended) = running.join_next().await {
        let (client, of_one) = ended.context("a client panicked")??;
        clients.push(client);
        latencies.extend(of_one);
    }
    let sample = meter.stop(latencies.len() as u64, latencies);
    clients.extend(at_rest);
    sample
}
