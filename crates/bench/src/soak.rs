//! Half of the load a machine bears, for long, with kills: nothing may grow, nothing may be forgotten, no guess may come back.
//!
//! Three phases: the peak is measured; then enclave or host are killed at random moments, again and again, under load and wrong PINs;
//! then the load goes on undisturbed, and memory and descriptors must stay where they are. At the end the deployment is stopped and the
//! log is asked about everything that was acknowledged.

mod crowd;
mod judge;
mod senders;

use std::cmp::Ordering;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pinseal_protocol::limits::{DEVICE_OUTSTANDING_MAX, OUTSTANDING_MAX, UNENROLLED_OUTSTANDING_MAX};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::deployments::Yard;
use crate::memory::{Memory, descriptors};
use crate::say;
use crate::stage::sign;
use crate::statistics::Xorshift;
use crate::system::System;
use crate::user::{User, random};
use crowd::{Crowd, Refusals, Role, Tally, Witness};
use judge::{Judgement, judge};
use senders::{Senders, Sent};

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// People who sign.
    people: usize,
    /// People who only ever guess: their devices never see a success, so what they are answered must stay below the caps for ever.
    guessers: usize,
    /// People at whose wallets strangers guess, who have the login and no enrolled device. The last of them, with two devices that are, guesses
    /// too, so that it is the wallet's cap that stops them all.
    besieged: usize,
    /// People who send transactions.
    senders: usize,
    /// From one transaction of a sender to the next.
    pace: Duration,
    /// Wallets in the deployment.
    wallets: usize,
    /// Time the peak is measured for.
    peak: Duration,
    /// The share of the time in which there are kills.
    killing: f64,
    /// Least and most seconds between two kills.
    kill_seconds: (usize, usize),
    /// Kills in all, at most.
    kills_max: usize,
    /// How often memory and descriptors are looked at.
    look: Duration,
}

const WHOLE: Size = Size {
    people: 60,
    guessers: 4,
    besieged: 2,
    senders: 2,
    pace: Duration::from_secs(2),
    wallets: 1_000,
    peak: Duration::from_secs(10),
    killing: 0.4,
    kill_seconds: (20, 90),
    kills_max: usize::MAX,
    look: Duration::from_secs(5),
};
/// Everything once, so that the soak's own checks are seen to work.
const QUICK: Size = Size {
    people: 3,
    guessers: 1,
    besieged: 2,
    senders: 1,
    pace: Duration::from_millis(500),
    wallets: 8,
    peak: Duration::from_secs(1),
    killing: 0.7,
    kill_seconds: (2, 3),
    kills_max: 2,
    look: Duration::from_millis(250),
};
/// Devices that are not enrolled, at one wallet.
const STRANGERS: usize = 2;
/// The last share of the time, in which nothing may grow: what the host remembers of requests fills up in its first quarter of an hour.
const STEADY: f64 = 0.2;
/// Memory is judged only if so long passes undisturbed before the steady phase: the host keeps each reply for ten minutes.
const FULL: Duration = Duration::from_secs(660);
/// Growth of anonymous memory in the steady phase, KiB a minute: noise of an allocator, far below one leaked page a request.
const GROWTH_KIB_MAX: f64 = 512.0;
/// Descriptors more at the end than at the start of the steady phase: connections that happen to be open.
const DESCRIPTORS_MORE_MAX: usize = 8;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct SoakArguments {
    /// Minutes in all
    #[arg(long, value_name = "MINUTES", default_value_t = 30.0)]
    minutes: f64,
    /// Few people and frequent kills: says that the soak itself works
    #[arg(long)]
    quick: bool,
    /// `half` of the measured peak, or signatures a second
    #[arg(long, value_name = "RATE", default_value = "half")]
    rate: String,
    /// Where deployments are kept and run
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    dir: PathBuf,
    /// Write the result to this file [default: soak.json in the directory]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What a process had at one moment of the steady phase.
#[derive(Debug, Clone, Copy, Serialize)]
struct Look {
    seconds: f64,
    host: Memory,
    enclave: Memory,
    host_descriptors: usize,
    enclave_descriptors: usize,
}

/// The result.
#[derive(Debug, Serialize)]
struct Soaked {
    minutes: f64,
    peak_per_second: f64,
    rate_per_second: f64,
    kills_of_host: usize,
    kills_of_enclave: usize,
    tally: Tally,
    sent: Sent,
    host_growth_kib_a_minute: f64,
    enclave_growth_kib_a_minute: f64,
    looks: Vec<Look>,
    judgement: Judgement,
}

/// Runs it all; fails if a promise is broken.
pub(crate) async fn run(arguments: SoakArguments) -> anyhow::Result<()> {
    let yard = Yard::open(&arguments.dir).await?.with_node();
    let size = if arguments.quick { QUICK } else { WHOLE };
    let everybody = size.people + size.guessers + size.besieged;
    let mut deployment = yard.serve("soak", everybody, size.wallets).await?;
    let peak = sign(&mut deployment, everybody, size.peak).await?.throughput();
    let rate = match arguments.rate.as_str() {
        "half" => peak / 2.0,
        number => number.parse().context("--rate is `half` or a number")?,
    };
    ensure!(rate > 0.0, "the rate must be above zero");
    say!("peak {peak:.0} signatures a second; soaking at {rate:.0} for {} minutes", arguments.minutes);

    let time = Duration::from_secs_f64(arguments.minutes.max(0.1) * 60.0);
    let senders = Senders::start(&deployment.system, &yard.mailbox, size.senders, size.pace).await?;
    let crowd = Crowd::start(roles(deployment.users, size).await?, &deployment.system.target, rate);
    let (mut kills, mut looks) = ([0, 0], Vec::new());
    let outcome = disturb(&deployment.system, size, time, &mut kills, &mut looks).await;
    let (users, tally) = crowd.stop().await?;
    let killed_at = outcome?;
    // In a quick one there may be no time left for everybody.
    let lame = |one: &Witness| one.role == Role::Signer && one.signed_at <= killed_at;
    ensure!(arguments.quick || !users.iter().any(lame), "somebody signed nothing any more after the last kill");
    let sent = senders.stop(&deployment.system).await?;
    let directory = deployment.system.directory.clone();
    deployment.system.stop()?;

    let judgement = judge(&directory, &users)?;
    let soaked = Soaked {
        minutes: arguments.minutes,
        peak_per_second: peak,
        rate_per_second: rate,
        kills_of_host: kills[0],
        kills_of_enclave: kills[1],
        tally,
        sent,
        host_growth_kib_a_minute: growth(&looks, |look| look.host.anonymous),
        enclave_growth_kib_a_minute: growth(&looks, |look| look.enclave.anonymous),
        looks,
        judgement,
    };
    let json = arguments.json.unwrap_or_else(|| arguments.dir.join("soak.json"));
    std::fs::write(&json, serde_json::to_string_pretty(&soaked)?).with_context(|| json.display().to_string())?;
    yard.sweep()?;
    report(&soaked);
    check(&soaked)
}

/// What everybody does.
async fn roles(users: Vec<User>, size: Size) -> anyhow::Result<Vec<(User, Role)>> {
    let mut people = Vec::new();
    let enrolled = size.people + size.guessers;
    for (index, user) in users.into_iter().enumerate() {
        let is_last = index + 1 == enrolled + size.besieged;
        let role = match index {
            _ if index < size.people => Role::Signer,
            _ if index < enrolled || is_last => Role::Guesser,
            _ => Role::Besieged,
        };
        if index >= enrolled {
            for _ in 0..STRANGERS {
                people.push((user.on_another_device().await?, Role::Stranger));
            }
        }
        if is_last {
            let mut second = user.on_another_device().await?;
            second.enrol().await?;
            people.push((second, Role::Guesser));
        }
        people.push((user, role));
    }
    Ok(people)
}

/// Kills for a while, each of the two before either of them again, then only looks on. Says when it killed last.
async fn disturb(
    system: &System,
    size: Size,
    time: Duration,
    kills: &mut [usize; 2],
    looks: &mut Vec<Look>,
) -> anyhow::Result<Option<Instant>> {
    let mut killed_at = None;
    let begun = Instant::now();
    let mut chance = Xorshift(u64::from_le_bytes(random()?) | 1);
    let mut seconds = |between: (usize, usize)| (between.0 + chance.below(between.1 - between.0)) as u64;
    let last_kill = time.mul_f64(size.killing);
    let mut next_kill = Duration::from_secs(seconds(size.kill_seconds)).min(last_kill / 2);
    while begun.elapsed() < time {
        tokio::time::sleep(size.look.min(time.saturating_sub(begun.elapsed()))).await;
        let now = begun.elapsed();
        if now < last_kill
            && now >= next_kill
            && kills.iter().sum::<usize>() < size.kills_max
            && let Some((host, enclave)) = system.children()?
        {
            let which = match kills[0].cmp(&kills[1]) {
                Ordering::Less => 0,
                Ordering::Equal => usize::from(seconds((0, 2)) == 1),
                Ordering::Greater => 1,
            };
            kill([host, enclave][which])?;
            kills[which] += 1;
            killed_at = Some(Instant::now());
            say!("{} s: killed the {}", now.as_secs(), ["host", "enclave"][which]);
            next_kill = now + Duration::from_secs(seconds(size.kill_seconds));
        }
        if now >= time.mul_f64(1.0 - STEADY)
            && let Some((host, enclave)) = system.children()?
        {
            looks.push(Look {
                seconds: now.as_secs_f64(),
                host: Memory::of(host)?,
                enclave: Memory::of(enclave)?,
                host_descriptors: descriptors(host)?,
                enclave_descriptors: descriptors(enclave)?,
            });
        }
    }
    Ok(killed_at)
}

fn kill(pid: u32) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("process id")?;
    kill_process(pid, Signal::KILL).context("kill")
}

/// Slope of a line through the looks (least squares), KiB a minute.
fn growth(looks: &[Look], of: impl Fn(&Look) -> u64) -> f64 {
    let count = looks.len() as f64;
    let mean = |value: &dyn Fn(&Look) -> f64| looks.iter().map(value).sum::<f64>() / count.max(1.0);
    let (time, size) = (mean(&|look| look.seconds), mean(&|look| of(look) as f64));
    let (mut covariance, mut variance) = (0.0, 0.0);
    for look in looks {
        covariance += (look.seconds - time) * (of(look) as f64 - size);
        variance += (look.seconds - time).powi(2);
    }
    if variance > 0.0 { covariance / variance * 60.0 } else { 0.0 }
}

fn report(soaked: &Soaked) {
    let Soaked { tally, sent, judgement, .. } = soaked;
    println!(
        "{:.1} minutes at {:.0} of {:.0} signatures a second; host killed {} times, enclave {} times",
        soaked.minutes, soaked.rate_per_second, soaked.peak_per_second, soaked.kills_of_host, soaked.kills_of_enclave
    );
    println!(
        "{} signatures acknowledged, {} wrong PINs answered, {} without an answer, {} not sent",
        tally.signed, tally.wrong, tally.unknown, tally.failed
    );
    println!("refused to people who sign: {}", listed(&tally.signers_refused));
    println!("refused to people who guess: {}", listed(&tally.guessers_refused));
    println!(
        "growth of anonymous memory in the steady phase, KiB a minute: host {:.0}, enclave {:.0}",
        soaked.host_growth_kib_a_minute, soaked.enclave_growth_kib_a_minute
    );
    println!(
        "most wrong PINs answered to one device without a right one between: {}; to strangers at one wallet: {}; on one wallet: {}",
        tally.most_outstanding, tally.most_to_strangers, tally.most_on_a_wallet
    );
    println!(
        "{} receipts continue to the final checkpoint; {} wallets have exactly the versions that were acknowledged, or those without an \
         answer besides",
        judgement.receipts, judgement.wallets
    );
    println!(
        "{} transactions acknowledged, all of them in the service's list and known to the node, {} in blocks; {} without an answer; \
         {} attempts in their senders' histories, none missing or made up",
        sent.acknowledged, sent.mined, sent.unknown, sent.attempts
    );
}

/// What was refused, the most frequent first.
fn listed(refused: &Refusals) -> String {
    let mut refused: Vec<_> = refused.iter().collect();
    refused.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
    let listed: Vec<_> = refused.iter().map(|(code, times)| format!("{times} {code}")).collect();
    if listed.is_empty() { "nothing".into() } else { listed.join(", ") }
}

fn check(soaked: &Soaked) -> anyhow::Result<()> {
    let Tally { most_outstanding, most_to_strangers, most_on_a_wallet, .. } = soaked.tally;
    for (whose, answered, cap) in [
        ("a device", most_outstanding, DEVICE_OUTSTANDING_MAX),
        ("the strangers at a wallet", most_to_strangers, UNENROLLED_OUTSTANDING_MAX),
        ("those at a wallet", most_on_a_wallet, OUTSTANDING_MAX),
    ] {
        ensure!(answered <= usize::from(cap), "{whose} were answered {answered} wrong PINs, and the cap is {cap}");
        ensure!(answered > 0, "{whose} never guessed");
    }
    ensure!(soaked.tally.signed > 0, "nothing was signed");
    ensure!(soaked.sent.acknowledged > 0 && soaked.sent.mined > 0, "no transaction was sent, or none is in a block");
    if Duration::from_secs_f64(soaked.minutes * 60.0).mul_f64(1.0 - STEADY - WHOLE.killing) < FULL {
        println!("too short to judge memory: the host still fills its memory of the last ten minutes");
        return Ok(());
    }
    for (who, growth) in [("host", soaked.host_growth_kib_a_minute), ("enclave", soaked.enclave_growth_kib_a_minute)] {
        ensure!(growth <= GROWTH_KIB_MAX, "the {who}'s memory grows by {growth:.0} KiB a minute");
    }
    if let [first, .., last] = soaked.looks.as_slice() {
        let pairs = [
            ("host", first.host_descriptors, last.host_descriptors),
            ("enclave", first.enclave_descriptors, last.enclave_descriptors),
        ];
        for (who, before, after) in pairs {
            ensure!(after <= before + DESCRIPTORS_MORE_MAX, "the {who} had {before} descriptors and has {after}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(seconds: f64, kib: u64) -> Look {
        let memory = Memory { resident: kib, proportional: 0, anonymous: kib, peak: kib };
        Look { seconds, host: memory, enclave: memory, host_descriptors: 1, enclave_descriptors: 1 }
    }

    #[test]
    fn growth_is_the_slope_a_minute_and_noise_is_none() {
        let leaking: Vec<Look> = (0..20_u32).map(|at| look(f64::from(at) * 30.0, 1_000 + u64::from(at) * 50)).collect();
        assert!((growth(&leaking, |look| look.host.anonymous) - 100.0).abs() < 1e-6);
        let noisy: Vec<Look> = (0..20_u32).map(|at| look(f64::from(at) * 30.0, 1_000 + u64::from(at % 2))).collect();
        assert!(growth(&noisy, |look| look.enclave.anonymous).abs() < 1.0);
        assert_eq!(growth(&[], |look| look.host.anonymous), 0.0);
    }
}
