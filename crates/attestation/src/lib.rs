//! Attestation evidence: made by the enclave (`produce`), checked by clients (`verify`).
//!
//! Evidence binds a manifest to an enclave image and to the asker's nonce. The two halves sit behind separate features, so that a
//! client cannot produce and the enclave's tree holds no verifier it does not use.
//!
//! The only kind here is [`Document::Software`]. It has the shape of real evidence and none of its weight: see [`document`].

pub mod document;
#[cfg(feature = "produce")]
pub mod produce;
#[cfg(feature = "verify")]
pub mod verify;

pub use document::{Document, EvidenceKind, SoftwarePayload};
