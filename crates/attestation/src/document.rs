//! The evidence document: canonical CBOR, one enum with a variant per kind.
//!
//! **Software evidence proves nothing about hardware.** It is signed with the *development key*, whose seed is the SHA-256 of
//! [`DEVELOPMENT_KEY_LABEL`], printed here for everyone: whoever reads this line can sign any measurement and any manifest. It
//! exists so that the whole path from evidence to sealed request is the one that hardware evidence takes, on a laptop and in tests.
//!
//! **Nitro evidence** is an AWS Nitro Enclaves attestation document as the hypervisor returned it. Pinseal wraps it and adds nothing.

use minicbor::{Decode, Encode};
use pinseal_protocol::ids::{Hash32, Measurement, Nonce, UnixSeconds};

/// Longest document a verifier looks at. Software evidence takes some 200 bytes; a Nitro document about 5 KiB.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024;

/// The public text whose SHA-256 is the seed of the development key.
pub const DEVELOPMENT_KEY_LABEL: &str =
    "pinseal software evidence, development key 1: public by design, proves nothing about hardware";

/// Put before the payload in what is signed, so that a signature made here means nothing anywhere else.
#[cfg(any(feature = "produce", feature = "verify"))]
const SIGNING_CONTEXT: &[u8] = b"pinseal/evidence/software/v1\0";

/// One piece of evidence, as it travels from enclave to client.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
pub enum Document {
    /// Signed by the development key; for development and tests.
    #[n(0)]
    Software {
        /// Canonical [`SoftwarePayload`]; kept as bytes so that the signature is over exactly what was sent.
        #[cbor(n(0), with = "minicbor::bytes")]
        payload: Vec<u8>,
        /// Ed25519 (RFC 8032) over the signing context and `payload`.
        #[cbor(n(1), with = "minicbor::bytes")]
        signature: Vec<u8>,
    },
    /// Signed by an AWS Nitro hypervisor. Its `user_data` is H(manifest), its `nonce` the asker's.
    #[n(1)]
    Nitro {
        /// COSE_Sign1, byte for byte as the Nitro Secure Module gave it.
        #[cbor(n(0), with = "minicbor::bytes")]
        cose: Vec<u8>,
    },
}

/// What software evidence states.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SoftwarePayload {
    /// SHA-256 of the enclave's executable, as the enclave itself read it.
    #[n(0)]
    pub measurement: Measurement,
    /// Hash of the manifest of this boot.
    #[n(1)]
    pub user_data: Hash32,
    /// The asker's nonce.
    #[n(2)]
    pub nonce: Nonce,
    /// When it was made, by the clock the enclave was told.
    #[n(3)]
    pub time: UnixSeconds,
}

/// The kinds of evidence a client can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EvidenceKind {
    /// [`Document::Software`].
    Software,
    /// [`Document::Nitro`].
    Nitro,
}

/// The bytes that are signed for a software payload.
#[cfg(any(feature = "produce", feature = "verify"))]
pub(crate) fn software_signing_input(payload: &[u8]) -> Vec<u8> {
    [SIGNING_CONTEXT, payload].concat()
}
