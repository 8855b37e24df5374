//! The `pinseal` program as people and scripts meet it: help texts, exit codes, a system that starts, is used, and leaves nothing
//! behind. Everything runs as real processes on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

#[path = "cli/demo.rs"]
mod demo;
#[path = "cli/evidence.rs"]
mod evidence;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/operators.rs"]
mod operators;
#[path = "cli/process.rs"]
mod process;
#[path = "cli/system.rs"]
mod system;
#[path = "cli/undumped.rs"]
mod undumped;
#[path = "cli/usage.rs"]
mod usage;
#[path = "cli/walk.rs"]
mod walk;
