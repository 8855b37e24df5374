//! The simulator: that it holds, and that it finds.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics where it fails")]

use pinseal_sim::{Campaign, trace};

#[test]
fn scratch() {
    let n = std::env::var("N").map_or(200, |n| n.parse().unwrap());
    let seed = std::env::var("SEED").map_or(1, |n| n.parse().unwrap());
    let start = std::time::Instant::now();
    let summary = Campaign { seed, schedules: n, setting: None }.run(|_| {});
    eprintln!("{:?} {summary:#?}", start.elapsed());
    if let Some(failure) = summary.failure {
        let small = pinseal_sim::shrink(&failure);
        eprintln!("{}", trace(&small.schedule).join("\n"));
        panic!();
    }
}

#[test]
fn planted() {
    for (defect, setting) in pinseal_sim::planted::ALL {
        let start = std::time::Instant::now();
        match defect.find(*setting, 1, 3000) {
            Some(found) => eprintln!(
                "{:28} {:5} {:?} {}",
                defect.name(),
                found.schedules,
                start.elapsed(),
                found.failure.violation
            ),
            None => eprintln!("{:28} NOT FOUND {:?}", defect.name(), start.elapsed()),
        }
    }
}
