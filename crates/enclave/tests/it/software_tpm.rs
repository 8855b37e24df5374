//! The rules of a TPM 2.0 that anchor level L2 rests on, from the standard's text and not from the code under test: names, policy sessions,
//! TPM2_PolicySigned, TPM2_NV_Extend, TPM2_NV_Certify, undefining, clearing. Whoever drives it may do all that an owner may.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey};
use pinseal_protocol::token::P256Public;
use pinseal_protocol::tpm::{Authorisation, Tpm, TpmNonce};
use sha2::{Digest as _, Sha256};

/// TPM2_NV_Extend.
const EXTEND: [u8; 4] = [0, 0, 1, 0x36];
/// TPM2_PolicySigned.
const SIGNED: [u8; 4] = [0, 0, 1, 0x60];
/// POLICYWRITE, NT = EXTEND, AUTHREAD, NO_DA.
pub const ATTRIBUTES: u32 = 0x0204_0048;
const HANDLE: u32 = 0x0180_0007;
const WRITTEN: u32 = 0x2000_0000;

pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

/// The policy that TPM2_PolicySigned by this key gives, with an empty policyRef.
fn signed_by(writer: &P256Public) -> [u8; 32] {
    let (x, y) = writer.0[1..].split_at(32);
    let area = sha256(&[
        &[0x00, 0x23, 0x00, 0x0b, 0x00, 0x04, 0x00, 0x40, 0x00, 0x00],
        &[0x00, 0x10, 0x00, 0x18, 0x00, 0x0b, 0x00, 0x03, 0x00, 0x10],
        &sized(x),
        &sized(y),
    ]);
    let name = [&[0, 0x0b], &area[..]].concat();
    sha256(&[&sha256(&[&[0; 32], &SIGNED, &name])])
}

/// An NV index.
#[derive(Clone)]
struct Index {
    handle: u32,
    attributes: u32,
    policy: [u8; 32],
    value: Option<[u8; 32]>,
}

impl Index {
    fn name(&self) -> Vec<u8> {
        let attributes = self.attributes | if self.value.is_some() { WRITTEN } else { 0 };
        let public = sha256(&[
            &self.handle.to_be_bytes(),
            &[0, 0x0b],
            &attributes.to_be_bytes(),
            &[0, 32],
            &self.policy,
            &[0, 32],
        ]);
        [&[0, 0x0b], &public[..]].concat()
    }
}

/// What one attestation says, each field by itself so that a test can change it.
#[derive(Clone)]
pub struct Fields {
    pub magic: Vec<u8>,
    pub kind: Vec<u8>,
    pub signer: Vec<u8>,
    pub extra: Vec<u8>,
    pub clock: Vec<u8>,
    pub firmware: Vec<u8>,
    pub name: Vec<u8>,
    pub offset: Vec<u8>,
    pub content: Vec<u8>,
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

impl Fields {
    pub fn encoded(&self) -> Vec<u8> {
        [
            self.magic.clone(),
            self.kind.clone(),
            sized(&self.signer),
            sized(&self.extra),
            self.clock.clone(),
            self.firmware.clone(),
            sized(&self.name),
            self.offset.clone(),
            sized(&self.content),
        ]
        .concat()
    }
}

/// Why a command failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// TPM_RC_NV_UNINITIALIZED, TPM_RC_HANDLE.
    NoIndex,
    /// TPM_RC_SIGNATURE, TPM_RC_VALUE, TPM_RC_POLICY_FAIL: no open session lets this in.
    Policy,
}

pub struct SoftwareTpm {
    /// Under the owner's hierarchy, which a clear makes anew.
    attester: EcdsaKeyPair,
    /// Of the index that configurations name.
    handle: u32,
    index: Option<Index>,
    sessions: Vec<[u8; 32]>,
    clock: u64,
}

impl SoftwareTpm {
    pub fn new() -> Self {
        Self::with_index(HANDLE)
    }

    /// One in which the index has another handle.
    pub fn with_index(handle: u32) -> Self {
        Self { attester: Self::key(), handle, index: None, sessions: Vec::new(), clock: 0 }
    }

    fn key() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
    }

    /// What a configuration names.
    pub fn named(&self) -> Tpm {
        Tpm { attester: P256Public::of(&self.attester), index: self.handle }
    }

    /// TPM2_StartAuthSession.
    pub fn open(&mut self) -> TpmNonce {
        // Of this TPM's own, and never twice; a key made anew stands for its randomness.
        let nonce = sha256(&[&P256Public::of(&Self::key()).0]);
        self.sessions.push(nonce);
        TpmNonce(nonce)
    }

    /// TPM2_NV_DefineSpace by the owner, of an index that this key writes; one that was there is undefined first.
    pub fn define(&mut self, writer: &P256Public, attributes: u32) {
        self.index = Some(Index { handle: self.handle, attributes, policy: signed_by(writer), value: None });
    }

    /// TPM2_Clear: owner's indices and keys are gone for good.
    pub fn clear(&mut self) {
        *self = Self { clock: self.clock, ..Self::with_index(self.handle) };
    }

    /// What the index holds; zero where it was never written.
    pub fn value(&self) -> [u8; 32] {
        self.index.as_ref().and_then(|index| index.value).unwrap_or_default()
    }

    /// Copies of the whole state, as a virtual TPM's snapshot is one.
    pub fn snapshot(&self) -> Option<[u8; 32]> {
        self.index.as_ref().and_then(|index| index.value)
    }

    pub fn roll_back(&mut self, snapshot: Option<[u8; 32]>) {
        self.index.as_mut().unwrap().value = snapshot;
    }

    /// TPM2_PolicySigned and TPM2_NV_Extend, in whatever open session they work in; that one ends.
    pub fn extend(&mut self, data: &[u8; 32], authorisation: &Authorisation) -> Result<(), Refused> {
        let index = self.index.as_mut().ok_or(Refused::NoIndex)?;
        let name = index.name();
        let parameters = sha256(&[&EXTEND, &name, &name, &sized(data)]);
        let writer = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, authorisation.writer.0);
        let fits = |nonce: &[u8; 32]| {
            let signed = [&nonce[..], &[0; 4], &parameters].concat();
            writer.verify(&signed, &authorisation.signature.0).is_ok()
        };
        let place = self.sessions.iter().position(fits).ok_or(Refused::Policy)?;
        if signed_by(&authorisation.writer) != index.policy {
            return Err(Refused::Policy);
        }
        self.sessions.remove(place);
        index.value = Some(sha256(&[&index.value.unwrap_or_default(), data]));
        Ok(())
    }

    /// TPMS_ATTEST of TPM2_NV_Certify, not signed yet.
    pub fn attest(&mut self) -> Result<Fields, Refused> {
        self.clock += 1;
        let index = self.index.as_ref().ok_or(Refused::NoIndex)?;
        let content = index.value.ok_or(Refused::NoIndex)?.to_vec();
        Ok(Fields {
            magic: vec![0xff, 0x54, 0x43, 0x47],
            kind: vec![0x80, 0x14],
            signer: [&[0, 0x0b], &[0x51; 32][..]].concat(),
            extra: Vec::new(),
            clock: [&self.clock.to_be_bytes()[..], &[0, 0, 0, 1, 0, 0, 0, 2, 1]].concat(),
            firmware: vec![0x20; 8],
            name: index.name(),
            offset: vec![0, 0],
            content,
        })
    }

    /// A restricted key signs what the TPM made, and nothing that begins as if it had.
    pub fn sign(&self, attest: &[u8]) -> Vec<u8> {
        self.attester.sign(&aws_lc_rs::rand::SystemRandom::new(), attest).unwrap().as_ref().to_vec()
    }

    /// What a host hands in as the receipt for a note.
    pub fn receipt(&mut self, note: &[u8]) -> Vec<u8> {
        let Ok(fields) = self.attest() else { return note.to_vec() };
        let attest = fields.encoded();
        [note, &attest, &self.sign(&attest)].concat()
    }

    /// The TPM's word for what its index holds, asked for with that purpose.
    pub fn word(&mut self, purpose: &[u8]) -> Vec<u8> {
        let Ok(fields) = self.attest() else { return Vec::new() };
        let attest = Fields { extra: purpose.to_vec(), ..fields }.encoded();
        [&attest[..], &self.sign(&attest)].concat()
    }
}
