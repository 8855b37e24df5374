//! `make sim`: as many schedules as asked, from one seed. A failing one is shrunk and told line by line; its seed replays it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

use std::process::ExitCode;
use std::time::Instant;

use pinseal_sim::{Campaign, Failure, Schedule, Setting, Summary, planted, shrink, trace};

/// Schedules between two lines of progress.
const PROGRESS_EVERY: u64 = 1_000;
/// Schedules in which a planted defect is looked for.
const PLANTED_BUDGET: u64 = 5_000;

const USAGE: &str = "\
usage: pinseal-sim [--schedules N] [--seed S] [--json]   play N schedules (10000) from seed S (1)
                   [--setting NAME]                      ... all under this one, named as in reports: L1, L2, L4 and so on
       pinseal-sim --trace S                            tell the one schedule of seed S
       pinseal-sim --planted [--seed S]                 find every planted defect, as a table
       pinseal-sim --show DEFECT [--seed S]             find one, and tell what is left of the schedule";

struct Arguments {
    schedules: u64,
    seed: u64,
    json: bool,
    planted: bool,
    show: Option<String>,
    trace: Option<u64>,
    setting: Option<Setting>,
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if let Some(seed) = arguments.trace {
        println!("{}", trace(&Schedule::draw(seed, arguments.setting)).join("\n"));
        return ExitCode::SUCCESS;
    }
    if let Some(name) = &arguments.show {
        return show(name, arguments.seed);
    }
    if arguments.planted {
        return find_planted(arguments.seed);
    }
    let started = Instant::now();
    let campaign = Campaign { seed: arguments.seed, schedules: arguments.schedules, setting: arguments.setting };
    let summary = campaign.run(|summary| {
        if summary.schedules % PROGRESS_EVERY == 0 {
            let seconds = started.elapsed().as_secs();
            eprintln!("sim: {} of {} schedules in {seconds} s", summary.schedules, arguments.schedules);
        }
    });
    let shrunk = summary.failure.as_ref().map(shrink);
    if arguments.json {
        println!("{}", as_json(&summary, shrunk.as_ref(), arguments.seed));
    } else {
        tell(&summary, shrunk.as_ref(), started);
    }
    if summary.failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut parsed =
            Self { schedules: 10_000, seed: 1, json: false, planted: false, show: None, trace: None, setting: None };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--schedules" => parsed.schedules = words.next()?.parse().ok()?,
                "--seed" => parsed.seed = words.next()?.parse().ok()?,
                "--trace" => parsed.trace = Some(words.next()?.parse().ok()?),
                "--json" => parsed.json = true,
                "--setting" => {
                    let name = words.next()?;
                    parsed.setting = Some(Setting::ALL.into_iter().find(|setting| setting.name() == name)?);
                }
                "--planted" => parsed.planted = true,
                "--show" => parsed.show = Some(words.next()?),
                _ => return None,
            }
        }
        Some(parsed)
    }
}

fn tell(summary: &Summary, shrunk: Option<&Failure>, started: Instant) {
    for (kind, count) in &summary.kinds {
        println!("{count:>8}  {kind}");
    }
    let counts = summary.counts;
    println!(
        "{} schedules, {} moves, {} boots, {} batches anchored, {} PINs called right, {} wrong, {} refusals, {} halts, {:.1} s",
        summary.schedules,
        summary.moves,
        counts.boots,
        counts.batches,
        counts.right,
        counts.wrong,
        counts.refused,
        counts.halted,
        started.elapsed().as_secs_f64()
    );
    match (&summary.failure, shrunk) {
        (Some(failure), Some(shrunk)) => {
            let seed = failure.schedule.seed;
            println!("BROKEN by seed {seed}: {}\nreplay: make sim SEED={seed} SCHEDULES=1\n", failure.violation);
            println!("{}", trace(&shrunk.schedule).join("\n"));
        }
        _ => println!("every promise held"),
    }
}

fn as_json(summary: &Summary, shrunk: Option<&Failure>, seed: u64) -> serde_json::Value {
    let failure = summary.failure.as_ref().zip(shrunk).map(|(failure, shrunk)| {
        serde_json::json!({
            "seed": failure.schedule.seed,
            "invariant": failure.violation.invariant.name(),
            "detail": failure.violation.detail,
            "trace": trace(&shrunk.schedule),
        })
    });
    let counts = summary.counts;
    serde_json::json!({
        "seed": seed,
        "schedules": summary.schedules,
        "kinds": summary.kinds,
        "moves": summary.moves,
        "boots": counts.boots,
        "batches": counts.batches,
        "right": counts.right,
        "wrong": counts.wrong,
        "refused": counts.refused,
        "halted": counts.halted,
        "failure": failure,
    })
}

fn find_planted(seed: u64) -> ExitCode {
    let mut missed = 0;
    println!("| defect | found after | by | left |\n|---|---|---|---|");
    for (defect, setting) in planted::ALL {
        let is_one_of_many = planted::ALL.iter().filter(|(other, _)| other == defect).count() > 1;
        let level = if is_one_of_many { format!(" at {}", setting.name()) } else { String::new() };
        let name = format!("`{}`{level}", defect.name());
        let Some(found) = defect.find(*setting, seed, PLANTED_BUDGET) else {
            missed += 1;
            println!("| {name} | not in {PLANTED_BUDGET} | | |");
            continue;
        };
        let shrunk = defect.during(*setting, || shrink(&found.failure));
        let (by, left) = (found.failure.violation.invariant.name(), shrunk.schedule.moves.len());
        println!("| {name} | {} | {by} | {left} |", found.schedules);
    }
    if missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn show(name: &str, seed: u64) -> ExitCode {
    let Some((defect, setting)) = planted::ALL.iter().find(|(defect, _)| defect.name() == name) else {
        let names: Vec<String> = planted::ALL.iter().map(|(defect, _)| defect.name()).collect();
        eprintln!("no such defect; there are: {}", names.join(", "));
        return ExitCode::from(2);
    };
    let Some(found) = defect.find(*setting, seed, PLANTED_BUDGET) else { return ExitCode::FAILURE };
    println!("found by schedule {}, which is number {} from seed {seed}", found.failure.schedule.seed, found.schedules);
    let lines = defect.during(*setting, || trace(&shrink(&found.failure).schedule));
    println!("{}", lines.join("\n"));
    ExitCode::SUCCESS
}
