//! `make sim`: as many schedules as asked, from one seed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

fn main() {}
