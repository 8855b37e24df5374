//! Whole-system tests over real processes, and the rules of the crate graph.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking and are no public interface"
)]

mod apps;
mod attack;
mod canary;
mod caps;
mod crash;
mod holders;
mod hostile;
mod layering;
mod peers;
mod system;
