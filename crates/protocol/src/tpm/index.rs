//! The index: its public area, its name, who may write it, and what is signed to let one value in.

use sha2::{Digest as _, Sha256};

use super::{ALG_ECC, ALG_ECDSA, ALG_NULL, ALG_SHA256, CC_NV_EXTEND, CC_POLICY_SIGNED, CURVE_P256, TpmNonce};
use crate::ids::Hash32;
use crate::token::P256Public;

/// TPMA_NV: written by policy, type EXTEND, read without authorisation, no dictionary attack counter. Not OWNERWRITE, AUTHWRITE, PPWRITE, ORDERLY,
/// POLICY_DELETE or one of *_STCLEAR: nobody writes it but who satisfies the policy, and what is written is there when the TPM answers.
const ATTRIBUTES: u32 = POLICYWRITE | NT_EXTEND | AUTHREAD | NO_DA;
const POLICYWRITE: u32 = 1 << 3;
const NT_EXTEND: u32 = 4 << 4;
const AUTHREAD: u32 = 1 << 18;
const NO_DA: u32 = 1 << 25;
/// Set by the TPM with the first write.
const WRITTEN: u32 = 1 << 29;
/// A SHA-256 value.
const DATA_BYTES: u16 = 32;
/// A name: algorithm and SHA-256.
const NAME_BYTES: usize = 34;

/// A TPM name (part 1, 16): algorithm, and hash of a public area.
pub(super) type Name = [u8; NAME_BYTES];

fn name(public: &[u8]) -> Name {
    let mut name = [0; NAME_BYTES];
    let (algorithm, hash) = name.split_at_mut(2);
    algorithm.copy_from_slice(&ALG_SHA256.to_be_bytes());
    hash.copy_from_slice(&Sha256::digest(public));
    name
}

/// TPMT_PUBLIC of a P-256 key that signs with ECDSA over SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicArea(Vec<u8>);

impl PublicArea {
    /// TPMA_OBJECT: userWithAuth, sign. Nothing else may be set for a key of which a TPM knows the public half alone.
    const WRITER: u32 = 1 << 6 | 1 << 18;

    /// Of the enclave's key that writes the index, as TPM2_LoadExternal takes it.
    pub fn of_writer(key: &P256Public) -> Self {
        let mut area = Vec::with_capacity(88);
        area.extend_from_slice(&ALG_ECC.to_be_bytes());
        area.extend_from_slice(&ALG_SHA256.to_be_bytes());
        area.extend_from_slice(&Self::WRITER.to_be_bytes());
        area.extend_from_slice(&0_u16.to_be_bytes());
        for number in [ALG_NULL, ALG_ECDSA, ALG_SHA256, CURVE_P256, ALG_NULL] {
            area.extend_from_slice(&number.to_be_bytes());
        }
        let (_, coordinates) = key.0.split_at(1);
        for coordinate in coordinates.chunks(32) {
            area.extend_from_slice(&32_u16.to_be_bytes());
            area.extend_from_slice(coordinate);
        }
        Self(area)
    }

    /// The encoded area.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn name(&self) -> Name {
        name(&self.0)
    }
}

/// authPolicy of the index: TPM2_PolicySigned by `writer`, with an empty policyRef.
pub fn policy(writer: &P256Public) -> Hash32 {
    let first = Sha256::new()
        .chain_update([0; 32])
        .chain_update(CC_POLICY_SIGNED.to_be_bytes())
        .chain_update(PublicArea::of_writer(writer).name())
        .finalize();
    Hash32(Sha256::digest(first).into())
}

/// One NV index that `writer` alone may extend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    handle: u32,
    writer: P256Public,
}

impl Index {
    /// The index of that handle and that key.
    pub const fn new(handle: u32, writer: P256Public) -> Self {
        Self { handle, writer }
    }

    /// Its handle.
    pub const fn handle(&self) -> u32 {
        self.handle
    }

    /// TPMS_NV_PUBLIC, as TPM2_NV_DefineSpace takes it.
    pub fn public(&self) -> Vec<u8> {
        self.area(ATTRIBUTES)
    }

    /// TPMS_NV_PUBLIC once something was written.
    pub fn public_written(&self) -> Vec<u8> {
        self.area(ATTRIBUTES | WRITTEN)
    }

    fn area(&self, attributes: u32) -> Vec<u8> {
        let mut area = Vec::with_capacity(46);
        area.extend_from_slice(&self.handle.to_be_bytes());
        area.extend_from_slice(&ALG_SHA256.to_be_bytes());
        area.extend_from_slice(&attributes.to_be_bytes());
        area.extend_from_slice(&32_u16.to_be_bytes());
        area.extend_from_slice(&policy(&self.writer).0);
        area.extend_from_slice(&DATA_BYTES.to_be_bytes());
        area
    }

    /// Its name once something was written, as a certification states it.
    pub(super) fn name_written(&self) -> Name {
        name(&self.public_written())
    }

    /// cpHashA of the one TPM2_NV_Extend that adds `value`; `is_first` as below.
    pub fn parameters(&self, value: &Hash32, is_first: bool) -> [u8; 32] {
        let name = name(&if is_first { self.public() } else { self.public_written() });
        Sha256::new()
            .chain_update(CC_NV_EXTEND.to_be_bytes())
            .chain_update(name)
            .chain_update(name)
            .chain_update(DATA_BYTES.to_be_bytes())
            .chain_update(value.0)
            .finalize()
            .into()
    }

    /// What the writer signs so that `value` can be added once, in the session of `nonce`: aHash of TPM2_PolicySigned before hashing.
    ///
    /// `is_first` says whether the index was never written. An index that was defined anew has another name than one in use, so no signature
    /// for the one lets anything into the other.
    pub fn to_be_signed(&self, nonce: &TpmNonce, value: &Hash32, is_first: bool) -> Vec<u8> {
        // nonceTPM, expiration (none), cpHashA, policyRef (empty). All lengths are fixed, so it reads in one way only.
        [&nonce.0[..], &0_u32.to_be_bytes(), &self.parameters(value, is_first)].concat()
    }
}
