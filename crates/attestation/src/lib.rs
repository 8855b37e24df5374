//! Attestation evidence: made by the enclave (`produce`), checked by clients (`verify`).
//!
//! Evidence binds a manifest to an enclave image and to the asker's nonce. The two halves sit behind separate features, so that a
//! client cannot produce and the enclave's tree holds no verifier it does not use.
//!
//! There are two kinds. [`Document::Software`] has the shape of real evidence and none of its weight: see [`document`].
//! [`Document::Nitro`] is AWS Nitro Enclaves evidence; it is verified here, and not produced yet.

pub mod document;
#[cfg(feature = "test-root")]
#[doc(hidden)]
#[allow(missing_docs, clippy::unwrap_used, reason = "a test fails by panicking, and reads what it bends")]
pub mod forge;
#[cfg(feature = "produce")]
pub mod produce;
#[cfg(feature = "verify")]
pub mod verify;

pub use document::{Document, EvidenceKind, SoftwarePayload};
