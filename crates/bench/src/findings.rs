//! Everything one run found out, as it is written to JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::load::Sample;
use crate::machine::Machine;
use crate::memory::Memory;
use crate::rounds::Results;
use crate::statistics::Spread;
use crate::verdict::Comparison;

/// One run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Findings {
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    pub(crate) seconds_of_a_block: f64,
    /// Wallets of the large deployment.
    pub(crate) many: usize,
    pub(crate) blocks: BTreeMap<String, Block>,
    pub(crate) goals: Vec<Goal>,
    pub(crate) verdict: Option<Comparison>,
    pub(crate) scale: Option<Scale>,
    /// Calls that wait for the disk for each thousand signatures, by clients.
    pub(crate) syncs_for_1000: BTreeMap<usize, f64>,
}

/// One kind of block: medians over the rounds, with the least and the greatest.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Block {
    /// CPU microseconds of the serving processes for one verified response.
    pub(crate) serving_us: Spread,
    pub(crate) host_us: Spread,
    pub(crate) enclave_us: Spread,
    /// Of the load generator: sealing, opening, verifying.
    pub(crate) client_us: Spread,
    pub(crate) per_second: Spread,
    pub(crate) p50_ms: Spread,
    pub(crate) p99_ms: Spread,
    /// Verified responses over all rounds.
    pub(crate) responses: u64,
}

/// A small deployment beside a large one.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Scale {
    /// From the start of the supervisor to the first word of the host, seconds.
    pub(crate) small_start: Spread,
    pub(crate) large_start: Spread,
    /// What the boot check of the additional wallets takes, seconds.
    pub(crate) boot_check: Spread,
    pub(crate) small_host: Memory,
    pub(crate) small_enclave: Memory,
    pub(crate) large_host: Memory,
    pub(crate) large_enclave: Memory,
    pub(crate) enclave_bytes_per_wallet: f64,
}

/// What was aimed at, and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Goal {
    pub(crate) name: String,
    pub(crate) aim: Aim,
    pub(crate) found: Spread,
    pub(crate) met: bool,
}

/// A bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
    Within(f64, f64),
}

impl Aim {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::Within(low, high) => (low..=high).contains(&value),
        }
    }
}

impl core::fmt::Display for Aim {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "at least {bound}"),
            Self::AtMost(bound) => write!(f, "at most {bound}"),
            Self::Within(low, high) => write!(f, "{low} to {high}"),
        }
    }
}

impl Block {
    /// Of its samples.
    pub(crate) fn of(samples: &[Sample]) -> Option<Self> {
        let spread = |what: &dyn Fn(&Sample) -> f64| Spread::of(samples.iter().map(what).collect());
        Some(Self {
            serving_us: spread(&|sample| sample.cpu_each() * 1e6)?,
            host_us: spread(&|sample| sample.part_each("host") * 1e6)?,
            enclave_us: spread(&|sample| sample.part_each("enclave") * 1e6)?,
            client_us: spread(&|sample| (sample.cpu_each_with_client() - sample.cpu_each()) * 1e6)?,
            per_second: spread(&Sample::throughput)?,
            p50_ms: spread(&|sample| sample.quantile(0.5) * 1e3)?,
            p99_ms: spread(&|sample| sample.quantile(0.99) * 1e3)?,
            responses: samples.iter().map(|sample| sample.operations).sum(),
        })
    }
}

/// The goals that this run can say something about.
pub(crate) fn goals(results: &Results, usual: usize, verdict: Option<&Comparison>, scale: Option<&Scale>) -> Vec<Goal> {
    let sign = format!("sign@{usual}");
    // Work for one CPU second of the serving processes: the inverse ratio of CPU time for one response.
    let against = |peer: &str| results.ratio(peer, &sign, Sample::cpu_each);
    let p50 = |sample: &Sample| sample.quantile(0.5);
    let found = [
        ("whole signatures at 64 clients, of libsecp256k1 alone", Aim::AtLeast(0.10), against("raw")),
        ("whole signatures at 64 clients, of anvil's eth_sign", Aim::AtLeast(0.35), against(&format!("anvil@{usual}"))),
        ("whole signatures at 64 clients, of SoftHSM2's C_Sign", Aim::AtLeast(2.0), against("softhsm")),
        (
            "time of a wrong PIN, of a right one",
            Aim::Within(0.98, 1.02),
            verdict.map(|found| {
                let wall = found.wall;
                Spread { median: wall.estimate, least: wall.low, greatest: wall.high }
            }),
        ),
        (
            "whole signatures over many wallets, of over a thousand",
            Aim::AtLeast(0.9),
            results.ratio(&sign, &format!("many@{usual}"), Sample::cpu_each),
        ),
        (
            "enclave memory for each wallet, bytes",
            Aim::AtMost(150.0),
            scale.map(|scale| Spread::of(vec![scale.enclave_bytes_per_wallet]).unwrap_or(scale.boot_check)),
        ),
        ("boot check of many wallets, seconds", Aim::AtMost(10.0), scale.map(|scale| scale.boot_check)),
        (
            "p50 at one client, of its two durable commits alone",
            Aim::AtMost(2.5),
            results.ratio("sign@1", "durable", p50),
        ),
    ];
    let goal = |(name, aim, found): (&'static str, Aim, Option<Spread>)| {
        found.map(|found| Goal { name: name.to_owned(), aim, met: aim.holds(found.median), found })
    };
    found.into_iter().filter_map(goal).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::time::Duration;

    use super::*;

    fn sample(micros: u64) -> Sample {
        let serving = vec![("one", Duration::from_micros(micros * 10))];
        Sample { operations: 10, wall: Duration::from_secs(1), serving, ..Sample::default() }
    }

    #[test]
    fn a_goal_takes_its_ratio_within_each_round_and_its_median_over_them() {
        let mut results = Results::default();
        // The machine is twice as slow in the second round, for both.
        results.0.insert("raw".into(), vec![sample(30), sample(60), sample(30)]);
        results.0.insert("sign@2".into(), vec![sample(299), sample(598), sample(400)]);
        let found = goals(&results, 2, None, None);
        assert_eq!(found.len(), 1);
        assert!((found[0].found.median - 30.0 / 299.0).abs() < 1e-9 && found[0].met, "{found:?}");
        assert!((found[0].found.least - 0.075).abs() < 1e-9, "{found:?}");
        results.0.insert("sign@2".into(), vec![sample(301), sample(602), sample(400)]);
        assert!(!goals(&results, 2, None, None)[0].met);
    }

    #[test]
    fn a_bound_holds_on_its_own_value() {
        assert!(Aim::AtLeast(2.0).holds(2.0) && !Aim::AtLeast(2.0).holds(1.99));
        assert!(Aim::AtMost(2.5).holds(2.5) && !Aim::AtMost(2.5).holds(2.51));
        assert!(Aim::Within(0.98, 1.02).holds(0.98) && !Aim::Within(0.98, 1.02).holds(1.03));
        assert!(!Aim::AtLeast(0.1).holds(f64::NAN) && !Aim::AtMost(0.1).holds(f64::NAN));
    }
}
