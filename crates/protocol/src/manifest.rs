//! What one boot of the enclave commits to; evidence covers its hash and every sealed request is bound to it.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::cbor;
use crate::configuration::AnchorLevel;
use crate::cosignature::Quorum;
use crate::ids::{DeploymentId, Hash32};
use crate::kdf;
use crate::tpm::Tpm;

/// The only format this version writes and reads.
pub const MANIFEST_VERSION: u16 = 1;

crate::ids::byte_newtype! {
    /// An X25519 public key (HPKE).
    HpkePublic, 32
}
crate::ids::byte_newtype! {
    /// An Ed25519 public key.
    Ed25519Public, 32
}

impl Ed25519Public {
    /// True if `signature` (64 bytes) over `message` was made by this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

/// Constant from one boot to the next.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    #[n(0)]
    pub version: u16,
    /// Deployment.
    #[n(1)]
    pub deployment: DeploymentId,
    /// Receives sealed requests; its private half dies with the boot.
    #[n(2)]
    pub hpke: HpkePublic,
    /// Signs begin replies; dies with the boot.
    #[n(3)]
    pub boot: Ed25519Public,
    /// K_log: signs checkpoints and address statements; lives as long as the deployment.
    #[n(4)]
    pub log: Ed25519Public,
    /// H(configuration).
    #[n(5)]
    pub configuration: Hash32,
    /// Anchor level in use.
    #[n(6)]
    pub anchor: AnchorLevel,
    /// Level below which the deployment never runs.
    #[n(7)]
    pub floor: AnchorLevel,
    /// The signed checkpoint that holds this boot's BOOT entry.
    #[n(8)]
    pub checkpoint: ByteVec,
    /// The witnesses whose cosignatures this boot asks for, at L4.
    #[n(9)]
    pub witnesses: Option<Quorum>,
    /// The TPM whose certification this boot asks for, at L2.
    #[n(10)]
    pub tpm: Option<Tpm>,
}

impl Manifest {
    /// H(manifest): `user_data` of the evidence, `info` of the envelope.
    pub fn hash(&self) -> Hash32 {
        hash_of(&cbor::to_vec(self))
    }
}

/// H(manifest) of an encoded manifest.
pub fn hash_of(encoded: &[u8]) -> Hash32 {
    kdf::hash("pinseal manifest v1", &[encoded])
}

/// The boot keys' commitment inside the BOOT log entry.
pub fn boot_keys_hash(hpke: &HpkePublic, boot: &Ed25519Public) -> Hash32 {
    kdf::hash("pinseal boot keys v1", &[&hpke.0, &boot.0])
}
