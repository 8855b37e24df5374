//! The enclave against a host and clients in one process: every promise that needs no socket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking and are no public interface"
)]

use pinseal_probe::RecordingAllocator;

mod boot;
mod breaker;
mod change;
mod crash;
mod guesses;
mod history;
mod hostile;
mod journey;
mod next;
mod overload;
mod reads;
mod receipts;
mod refusals;
mod remains;
mod restore;
mod restored;
mod root;
mod shape;
mod tpm;
mod tpm_moved;
mod witnesses;
mod world;

/// Records nothing unless a test asks for it, see [`remains`].
#[global_allocator]
static ALLOCATOR: RecordingAllocator = RecordingAllocator;
