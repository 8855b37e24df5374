//! Canonical messages, sealed envelope, transcript, manifest, log and checkpoint formats. No I/O.
//!
//! Everything that travels between client, host and enclave, or lies in storage, is defined here once, together with the
//! checks a receiver makes. `docs/PROTOCOL.md` tells the story per operation.

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

pub mod add_checkpoint;
pub mod aead;
pub mod cbor;
pub mod challenge;
pub mod checkpoint;
pub mod configuration;
pub mod constant_time;
pub mod cosignature;
pub mod dpop;
pub mod envelope;
pub mod frames;
pub mod history;
pub mod hpke;
pub mod ids;
pub mod intent;
pub mod kdf;
pub mod limits;
pub mod log;
pub mod manifest;
pub mod note;
pub mod order;
pub mod pin;
pub mod refusal;
pub mod reply;
pub mod request;
pub mod secret;
pub mod stack;
pub mod token;
pub mod tpm;
pub mod verified;
pub mod wire;
