//! The whole system in one thread from one seed: real enclaves, the real host pipeline, people who seal for real, databases that can be
//! put back, an anchor that can fail, and an adversary who decides what happens next.
//!
//! [`Schedule`] draws a start and moves from a seed, [`run`] plays them and checks every [`Invariant`] at every message, [`shrink`]
//! leaves of a failing schedule what a person can read. [`planted`] holds the defects that must be found. `docs/simulation.md` says what
//! is simulated, what is claimed, and what is not.
#![allow(clippy::cast_possible_truncation, reason = "draws are cut to size on purpose")]
#![allow(clippy::expect_used, reason = "a simulator fails by panicking")]

pub mod anchor;
pub mod books;
mod boot;
mod breaker;
mod campaign;
mod carry;
mod epilogue;
mod history;
mod honest;
mod instance;
mod lines;
mod moves;
mod operators;
mod owner;
mod pair;
mod people;
pub mod planted;
mod play;
mod random;
mod scene;
mod schedule;
mod shrink;
mod tenure;
mod tpm;
mod violation;
mod watch;
mod witnesses;
mod world;

pub use campaign::{Campaign, Summary};
pub use carry::{Claim, Stage};
pub use moves::{Move, Theme};
pub use operators::{Goal, Lie, Number, Wish};
pub use owner::Deed;
pub use pair::Brought;
pub use people::{Company, What};
pub use random::Random;
pub use scene::Scene;
pub use schedule::{Failure, Schedule, run, trace};
pub use shrink::shrink;
pub use violation::{Invariant, Violation};
pub use world::{Counts, Setting, World};
