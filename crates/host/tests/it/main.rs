//! The trunk over a real socket, a real database and a real anchor file, with the real enclave behind it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking and are no public interface"
)]

mod boot;
mod commit;
mod crash;
mod creation;
mod journey;
mod restore;
mod syscalls;
mod world;
