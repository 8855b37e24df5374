//! Host side of anchors: I/O only, receipts are verified in the enclave.
//!
//! An anchor holds one signed checkpoint and replaces it by compare-and-swap. What it is worth, and against whom, depends on
//! its level ([`AnchorLevel`]); every level passes the same conformance suite in its tests.

mod anchor;
#[cfg(test)]
mod conformance;
mod file;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod memory;
mod tpm;
mod witnesses;

pub use anchor::{AdvanceError, Anchor, Cosigned, LoadError, Receipt};
pub use file::{FileAnchor, FileHook, FileStep};
pub use memory::MemoryAnchor;
pub use pinseal_protocol::configuration::AnchorLevel;
pub use tpm::{NoPlace, TpmAnchor, TpmError, TpmPlace, attestation_key};
pub use witnesses::{MemberError, Proofs, WitnessAnchor, Witnesses, WitnessesError, nothing_held};
