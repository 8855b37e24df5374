//! The enclave as a sans-I/O state machine: boot, record, guard, log, policy, sign.
//!
//! [`Enclave::step`] takes one message of the host and returns the messages it causes. Time comes with each message, randomness
//! and locked memory through [`Environment`]; nothing here reads a clock, a file or a socket. Every byte that comes in is hostile.

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod accumulator;
mod boot;
mod breaker;
mod challenge;
mod change;
mod create;
mod enclave;
mod environment;
mod guard;
mod history;
mod kept;
mod ledger;
mod operation;
mod passphrase;
#[cfg(feature = "planted")]
pub mod planted;
#[cfg(not(feature = "planted"))]
mod planted;
#[cfg(feature = "populate")]
pub mod populate;
mod prime;
mod receipt;
mod record;
mod root;
#[cfg(test)]
mod secrets;
mod serving;
mod unlock;
mod waiting;
mod writer;

pub use enclave::{Enclave, Identity};
pub use environment::{Environment, LockedBytes};
pub use guard::{Caller, Guard};
#[cfg(feature = "fault-points")]
pub use kept::{Kept, keep_secrets};
pub use passphrase::Passphrase;
pub use record::RECORD_BYTES;
pub use root::KEY_LABELS;
