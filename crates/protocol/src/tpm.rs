//! TPM 2.0, anchor level L2: an NV index of type EXTEND that the enclave alone can write, and what the TPM certifies of it.
//!
//! The few structures here follow TCG "Trusted Platform Module Library", family 2.0, revision 1.59, part 2 (structures) and part 3
//! (commands). Everything that the enclave has to compute or to check is here; commands and transport are the host's (`anchor`).

mod attest;
mod index;

use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

pub use attest::{AttestError, Certified, RECEIPT_BYTES_MAX, certified, join_receipt, join_word};
pub use index::{Index, PublicArea, policy};

use crate::ids::Hash32;
use crate::token::P256Public;

/// First NV index that the TCG registry leaves to owners.
pub const INDEX_FIRST: u32 = 0x0180_0000;
/// Last one.
pub const INDEX_LAST: u32 = 0x01bf_ffff;

/// TPM_ALG_SHA256.
pub const ALG_SHA256: u16 = 0x000b;
/// TPM_ALG_ECDSA.
pub const ALG_ECDSA: u16 = 0x0018;
/// TPM_ALG_ECC.
pub const ALG_ECC: u16 = 0x0023;
/// TPM_ALG_NULL.
pub const ALG_NULL: u16 = 0x0010;
/// TPM_ECC_NIST_P256.
pub const CURVE_P256: u16 = 0x0003;
/// TPM_CC_NV_Extend.
pub const CC_NV_EXTEND: u32 = 0x0000_0136;
/// TPM_CC_PolicySigned.
pub const CC_POLICY_SIGNED: u32 = 0x0000_0160;

crate::ids::byte_newtype! {
    /// nonceTPM of a policy session. Exactly 32 bytes: what is signed over an empty one would hold in every session.
    TpmNonce, 32
}
crate::ids::byte_newtype! {
    /// An ECDSA P-256 signature, r || s.
    P256Signature, 64
}

/// The TPM that anchors a deployment, as sealed in its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Tpm {
    /// The attestation key: a restricted P-256 signing key of that TPM.
    #[n(0)]
    pub attester: P256Public,
    /// Handle of the NV index, [`INDEX_FIRST`] to [`INDEX_LAST`].
    #[n(1)]
    pub index: u32,
}

impl Tpm {
    /// True if the handle is one of those left to owners and the key has the form of one.
    pub fn is_well_formed(&self) -> bool {
        (INDEX_FIRST..=INDEX_LAST).contains(&self.index) && self.attester.0.first() == Some(&4)
    }
}

/// What lets one value be added to the index once: for PolicySigned, in the session whose nonce it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Authorisation {
    /// The enclave's key, which the index's policy names.
    #[n(0)]
    pub writer: P256Public,
    /// Its signature.
    #[n(1)]
    pub signature: P256Signature,
}

/// What an index holds before anything was added.
pub const NOTHING: Hash32 = Hash32([0; 32]);

/// What an index that held `value` holds after TPM2_NV_Extend of `data`: SHA-256(value || data).
pub fn extended(value: &Hash32, data: &Hash32) -> Hash32 {
    Hash32(Sha256::new().chain_update(value.0).chain_update(data.0).finalize().into())
}
