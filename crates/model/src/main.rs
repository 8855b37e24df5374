//! `make model`: explores every setting that something is claimed for, at the size asked for; or the settings for which nothing is claimed and
//! the planted defects, each with the fewest steps that break a promise.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

use std::process::ExitCode;
use std::time::Instant;

use pinseal_model::checkpoint::BOOTS_MAX;
use pinseal_model::{Broken, CLAIMED, Setting, UNCLAIMED, defect, explore, first_broken};

const USAGE: &str = "\
usage: pinseal-model [--tries 3] [--restarts 2] [--rights 1] [--threads 2] [--only TEXT] [--whole]
                                        explore every level that claims something; --whole counts every state, also those that are alike
       pinseal-model --defects          break a promise with each defect, and where nothing is claimed, in the fewest steps
       pinseal-model --show NAME        tell the steps of one of them";

struct Arguments {
    tries: u8,
    restarts: u8,
    rights: u8,
    threads: usize,
    only: String,
    whole: bool,
    defects: bool,
    show: Option<String>,
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let is_fine = match (&arguments.show, arguments.defects) {
        (Some(name), _) => tell_broken(|one| one == name, true),
        (None, true) => tell_broken(|_| true, false),
        (None, false) => explore_all(&arguments),
    };
    if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn explore_all(arguments: &Arguments) -> bool {
    let mut is_fine = true;
    println!("| level | states | longest way | seconds |\n|---|---|---|---|");
    for (name, anchor) in CLAIMED.iter().filter(|(name, _)| name.contains(&arguments.only)) {
        let Arguments { tries, restarts, rights, threads, whole, .. } = *arguments;
        let setting = Setting { tries, restarts, rights, is_reduced: !whole, ..Setting::full(*anchor) };
        let started = Instant::now();
        let explored = explore(setting, threads);
        let seconds = started.elapsed().as_secs_f64();
        println!("| {name} | {} | {} | {seconds:.1} |", explored.states, explored.depth);
        for broken in &explored.broken {
            println!("BROKEN: {}\n  {}", broken.promise, broken.steps.join("\n  "));
        }
        for unreached in &explored.unreached {
            println!("never: {unreached}");
        }
        is_fine &= explored.broken.is_empty();
    }
    is_fine
}

/// True if every one that is asked for breaks a promise.
fn tell_broken(which: impl Fn(&str) -> bool, whole: bool) -> bool {
    let unclaimed = UNCLAIMED.iter().map(|(name, anchor)| ((*name).to_owned(), Setting::full(*anchor)));
    let planted = defect::ALL.iter().map(|(defect, anchor, _)| {
        let level = if *anchor == pinseal_model::Anchor::File { "L1" } else { "L4" };
        (format!("{defect:?} {level}"), Setting::full(*anchor).with(*defect))
    });
    let mut found = 0;
    let mut missed = 0;
    for (name, setting) in planted.chain(unclaimed).filter(|(name, _)| which(name)) {
        match first_broken(setting) {
            Some(Broken { promise, steps, states }) => {
                found += 1;
                println!("| `{name}` | {promise} | {} | {states} |", steps.len());
                if whole {
                    println!("  {}", steps.join("\n  "));
                }
            }
            None => {
                missed += 1;
                println!("| `{name}` | NOT FOUND | | |");
            }
        }
    }
    found > 0 && missed == 0
}

impl Arguments {
    fn parse(mut given: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Self {
            tries: 3,
            restarts: 2,
            rights: 1,
            threads: 2,
            only: String::new(),
            whole: false,
            defects: false,
            show: None,
        };
        while let Some(name) = given.next() {
            match name.as_str() {
                "--tries" => arguments.tries = given.next()?.parse().ok().filter(|tries| (1..=5).contains(tries))?,
                "--restarts" => {
                    arguments.restarts = given.next()?.parse().ok().filter(|restarts| *restarts <= BOOTS_MAX - 2)?;
                }
                "--rights" => arguments.rights = given.next()?.parse().ok().filter(|rights| *rights <= 2)?,
                "--threads" => arguments.threads = given.next()?.parse().ok().filter(|threads| *threads > 0)?,
                "--only" => arguments.only = given.next()?,
                "--whole" => arguments.whole = true,
                "--defects" => arguments.defects = true,
                "--show" => arguments.show = Some(given.next()?),
                _ => return None,
            }
        }
        Some(arguments)
    }
}
