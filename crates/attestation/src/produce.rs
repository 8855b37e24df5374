//! Making evidence, inside the enclave.

use aws_lc_rs::digest;
use aws_lc_rs::signature::Ed25519KeyPair;
use pinseal_protocol::cbor;
use pinseal_protocol::ids::{Hash32, Measurement, Nonce, UnixSeconds};

use crate::document::{DEVELOPMENT_KEY_LABEL, Document, SoftwarePayload, software_signing_input};

/// A software evidence document (canonical CBOR), signed by the public development key.
///
/// Deterministic: the same four values give the same bytes.
pub fn software(measurement: Measurement, user_data: Hash32, nonce: Nonce, time: UnixSeconds) -> Vec<u8> {
    let payload = cbor::to_vec(&SoftwarePayload { measurement, user_data, nonce, time });
    let signature = development_key().sign(&software_signing_input(&payload)).as_ref().to_vec();
    cbor::to_vec(&Document::Software { payload, signature })
}

/// The key everybody has.
fn development_key() -> Ed25519KeyPair {
    let seed = digest::digest(&digest::SHA256, DEVELOPMENT_KEY_LABEL.as_bytes());
    Ed25519KeyPair::from_seed_unchecked(seed.as_ref())
        .expect("a SHA-256 value is 32 bytes, and every such seed is a key")
}
