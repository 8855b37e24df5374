//! The rules of a TPM 2.0 that anchor level L2 rests on, from the standard's text and not from the code under test: names, policy sessions,
//! TPM2_PolicySigned, TPM2_NV_Extend, TPM2_NV_Certify, undefining, clearing. Whoever drives it may do all that an owner may. Nothing
//! released links it.
#![allow(clippy::expect_used, reason = "what cannot fail in a model, for the same key and lengths every time")]

use std::sync::Arc;

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
/// OWNERWRITE, OWNERREAD: an ordinary index, which the owner writes with whatever they like.
const ORDINARY: u32 = 0x0002_0002;
const HANDLE: u32 = 0x0180_0007;
const WRITTEN: u32 = 0x2000_0000;

/// SHA-256 over all parts.
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
    /// Empty where there is none.
    policy: Vec<u8>,
    value: Option<[u8; 32]>,
}

impl Index {
    fn name(&self) -> Vec<u8> {
        let attributes = self.attributes | if self.value.is_some() { WRITTEN } else { 0 };
        let public = sha256(&[
            &self.handle.to_be_bytes(),
            &[0, 0x0b],
            &attributes.to_be_bytes(),
            &sized(&self.policy),
            &[0, 32],
        ]);
        [&[0, 0x0b], &public[..]].concat()
    }
}

/// What one attestation says, each field by itself so that a test can change it.
#[derive(Clone)]
pub struct Fields {
    /// TPM_GENERATED_VALUE.
    pub magic: Vec<u8>,
    /// TPM_ST_ATTEST_NV.
    pub kind: Vec<u8>,
    /// The qualified name of the key that signs.
    pub signer: Vec<u8>,
    /// What the caller put in.
    pub extra: Vec<u8>,
    /// Clock, resets, restarts, safe.
    pub clock: Vec<u8>,
    /// The firmware's version.
    pub firmware: Vec<u8>,
    /// The index's name.
    pub name: Vec<u8>,
    /// Where the content begins.
    pub offset: Vec<u8>,
    /// What the index holds there.
    pub content: Vec<u8>,
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("fields are short").to_be_bytes(), bytes].concat()
}

impl Fields {
    /// TPMS_ATTEST.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// TPM_RC_NV_UNINITIALIZED, TPM_RC_HANDLE.
    NoIndex,
    /// TPM_RC_SIGNATURE, TPM_RC_VALUE, TPM_RC_POLICY_FAIL: no open session lets this in.
    Policy,
}

/// A TPM with one index that a key's policy guards. A clone is a copy of the whole TPM, as a virtual one's snapshot is.
#[derive(Clone)]
pub struct SoftwareTpm {
    /// Under the owner's hierarchy, which a clear makes anew.
    attester: Arc<EcdsaKeyPair>,
    /// Of the index that configurations name.
    handle: u32,
    index: Option<Index>,
    sessions: Vec<[u8; 32]>,
    /// Against the standard, a session outlives what was done in it.
    keeps_sessions: bool,
    /// Sessions ever opened.
    opened: u64,
    clock: u64,
}

impl Default for SoftwareTpm {
    fn default() -> Self {
        Self::new()
    }
}

impl SoftwareTpm {
    /// One that nobody has used yet.
    pub fn new() -> Self {
        let attester = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("the machine has randomness");
        Self::with_attester(Arc::new(attester))
    }

    /// As [`SoftwareTpm::new`], whose attestation key is this one.
    pub const fn with_attester(attester: Arc<EcdsaKeyPair>) -> Self {
        Self { attester, handle: HANDLE, index: None, sessions: Vec::new(), keeps_sessions: false, opened: 0, clock: 0 }
    }

    /// As [`SoftwareTpm::new`], with another handle for the index.
    pub fn with_index(handle: u32) -> Self {
        Self { handle, ..Self::new() }
    }

    /// What a configuration names.
    pub fn named(&self) -> Tpm {
        Tpm { attester: P256Public::of(&self.attester), index: self.handle }
    }

    /// TPM2_StartAuthSession. Its nonce is this TPM's own, and no session ever had it.
    pub fn open(&mut self) -> TpmNonce {
        self.opened += 1;
        let nonce = sha256(&[&P256Public::of(&self.attester).0, &self.opened.to_be_bytes()]);
        self.sessions.push(nonce);
        TpmNonce(nonce)
    }

    /// Whether nothing was done yet in that session.
    pub fn is_open(&self, nonce: &TpmNonce) -> bool {
        self.sessions.contains(&nonce.0)
    }

    /// Of the session that was opened last, if nothing was done yet in it.
    pub fn newest_open(&self) -> Option<TpmNonce> {
        self.sessions.last().copied().map(TpmNonce)
    }

    /// From now on the nonce of a session stays the same whatever is done in it: no TPM, but what one must not be.
    pub const fn keep_sessions(&mut self, keeps: bool) {
        self.keeps_sessions = keeps;
    }

    /// TPM2_NV_DefineSpace by the owner, of an index that this key writes; one that was there is undefined first.
    pub fn define(&mut self, writer: &P256Public, attributes: u32) {
        let policy = signed_by(writer).to_vec();
        self.index = Some(Index { handle: self.handle, attributes, policy, value: None });
    }

    /// TPM2_Clear: owner's indices and keys are gone for good.
    pub fn clear(&mut self) {
        *self = Self { clock: self.clock, ..Self::with_index(self.handle) };
    }

    /// What the index holds; zero where it was never written.
    pub fn value(&self) -> [u8; 32] {
        self.snapshot().unwrap_or_default()
    }

    /// What the index holds, of which a virtual TPM's snapshot is a copy.
    pub fn snapshot(&self) -> Option<[u8; 32]> {
        self.index.as_ref().and_then(|index| index.value)
    }

    /// A snapshot is put back. What a chip does not do.
    pub fn roll_back(&mut self, snapshot: Option<[u8; 32]>) {
        if let Some(index) = &mut self.index {
            index.value = snapshot;
        }
    }

    /// TPM2_PolicySigned and TPM2_NV_Extend, in whatever open session they work in; that one ends. What is signed is over that session's
    /// nonce, or over none, which holds in every session.
    ///
    /// # Errors
    /// [`Refused`]; nothing was changed.
    pub fn extend(&mut self, data: &[u8; 32], authorisation: &Authorisation) -> Result<(), Refused> {
        let index = self.index.as_mut().ok_or(Refused::NoIndex)?;
        let name = index.name();
        let parameters = sha256(&[&EXTEND, &name, &name, &sized(data)]);
        let writer = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, authorisation.writer.0);
        let is_signed = |nonce: &[u8]| {
            let signed = [nonce, &[0; 4], &parameters].concat();
            writer.verify(&signed, &authorisation.signature.0).is_ok()
        };
        let any = self.sessions.len().checked_sub(1).filter(|_| is_signed(&[]));
        let place = any.or_else(|| self.sessions.iter().rposition(|nonce| is_signed(nonce))).ok_or(Refused::Policy)?;
        if signed_by(&authorisation.writer).as_slice() != index.policy {
            return Err(Refused::Policy);
        }
        if !self.keeps_sessions {
            self.sessions.remove(place);
        }
        index.value = Some(sha256(&[&index.value.unwrap_or_default(), data]));
        Ok(())
    }

    /// TPMS_ATTEST of TPM2_NV_Certify, not signed yet.
    ///
    /// # Errors
    /// [`Refused::NoIndex`] also for an index that was never written.
    pub fn attest(&mut self) -> Result<Fields, Refused> {
        let index = self.index.clone().ok_or(Refused::NoIndex)?;
        self.attest_to(&index)
    }

    /// As [`SoftwareTpm::attest`], of an ordinary index that the owner has defined at another handle and written with this.
    ///
    /// # Errors
    /// None.
    pub fn attest_ordinary(&mut self, content: [u8; 32]) -> Result<Fields, Refused> {
        let (handle, policy, value) = (HANDLE + 1, Vec::new(), Some(content));
        self.attest_to(&Index { handle, attributes: ORDINARY, policy, value })
    }

    fn attest_to(&mut self, index: &Index) -> Result<Fields, Refused> {
        self.clock += 1;
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
        let signed = self.attester.sign(&aws_lc_rs::rand::SystemRandom::new(), attest);
        signed.expect("a P-256 key pair signs").as_ref().to_vec()
    }

    /// What a host hands in as the receipt for a note.
    pub fn receipt(&mut self, note: &[u8]) -> Vec<u8> {
        let Ok(fields) = self.attest() else { return note.to_vec() };
        self.receipt_of(note, &fields)
    }

    /// A note and these fields, signed.
    pub fn receipt_of(&self, note: &[u8], fields: &Fields) -> Vec<u8> {
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
