//! Witnesses' cosignatures (C2SP tlog-cosignature, Ed25519) and the quorum an enclave asks for.
//!
//! A witness says with its cosignature that a checkpoint continues everything it has cosigned of this log before. With k of n
//! witnesses and k > n/2 any two quorums share 2k - n of them: two checkpoints of which neither continues the other are both
//! cosigned only if that many witnesses lie, or forget what they cosigned.

use minicbor::{Decode, Encode};

use crate::manifest::Ed25519Public;
use crate::note::{KeyKind, SignatureLine, VerifierKey, is_key_name, read_note, read_signatures};

/// Witnesses of one deployment: enough for any quorum somebody would run, and few enough to check at every batch.
pub const WITNESSES_MAX: usize = 16;
/// Longest receipt: a note, and a line of at most 240 bytes for each witness.
pub const RECEIPT_BYTES_MAX: usize = 8 * 1024;
/// Largest time a cosignature may state, in seconds since 1970.
const TIME_MAX: u64 = (1 << 63) - 1;

/// One witness, as the sealed configuration knows it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Witness {
    /// Key name, like `witness.example/w1`.
    #[n(0)]
    pub name: String,
    /// Its key for cosignatures.
    #[n(1)]
    pub key: Ed25519Public,
}

impl Witness {
    /// The witness of a verifier key; `None` if it is for something else.
    pub fn from_verifier_key(key: &VerifierKey) -> Option<Self> {
        (key.kind() == KeyKind::Cosignature).then(|| Self { name: key.name().to_owned(), key: *key.key() })
    }

    /// As a verifier key; `None` if the name cannot be one.
    pub fn verifier_key(&self) -> Option<VerifierKey> {
        VerifierKey::new(&self.name, KeyKind::Cosignature, self.key)
    }
}

/// k of n witnesses. A checkpoint counts as anchored when k of them cosigned it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Quorum {
    /// k.
    #[n(0)]
    pub required: u8,
    /// The n witnesses, by name.
    #[n(1)]
    pub witnesses: Vec<Witness>,
}

/// Why a quorum is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// k is not more than half of n, or more than n: two quorums might share no witness.
    #[error("a quorum must be more than half of the witnesses, and no more than there are")]
    Majority,
    /// None, more than [`WITNESSES_MAX`], or not in ascending order of their names, each name and each key once.
    #[error("a quorum needs 1 to {WITNESSES_MAX} witnesses, ascending by name, each name and key once")]
    Witnesses,
}

impl Quorum {
    /// Checks everything but the encoding.
    ///
    /// # Errors
    /// The first [`QuorumError`] found.
    pub fn check(&self) -> Result<(), QuorumError> {
        let n = self.witnesses.len();
        let mut keys: Vec<_> = self.witnesses.iter().map(|witness| witness.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let ascending =
            self.witnesses.iter().zip(self.witnesses.iter().skip(1)).all(|(one, next)| one.name < next.name);
        let named = self.witnesses.iter().all(|witness| is_key_name(&witness.name));
        if !(1..=WITNESSES_MAX).contains(&n) || keys.len() != n || !ascending || !named {
            return Err(QuorumError::Witnesses);
        }
        let required = usize::from(self.required);
        if required * 2 > n && required <= n { Ok(()) } else { Err(QuorumError::Majority) }
    }

    /// How many witnesses must lie or forget before a guess can be bought back: 2k - n.
    pub fn tolerance(&self) -> usize {
        (usize::from(self.required) * 2).saturating_sub(self.witnesses.len())
    }

    /// True if `receipt` is `note`, byte for byte, followed by signature lines, and k different witnesses of the quorum
    /// cosigned the note's text. Lines of others are skipped; one that claims to be a witness's and does not verify spoils
    /// the receipt.
    pub fn is_met_by(&self, note: &[u8], receipt: &[u8]) -> bool {
        if receipt.len() > RECEIPT_BYTES_MAX {
            return false;
        }
        let met = || {
            let lines = read_signatures(core::str::from_utf8(receipt.strip_prefix(note)?).ok()?).ok()?;
            let (text, _) = read_note(note).ok()?;
            let mut cosigned = 0;
            for key in self.witnesses.iter().filter_map(Witness::verifier_key) {
                let mut by_key = lines.iter().filter(|line| line.is_by(&key)).peekable();
                let stated = by_key.peek().is_some();
                if by_key.any(|line| read_time(line, &key, text.as_bytes()).is_none()) {
                    return None;
                }
                cosigned += usize::from(stated);
            }
            Some(cosigned >= usize::from(self.required))
        };
        met() == Some(true)
    }
}

/// What a witness signs: header, time, and the checkpoint's whole text with its final newline.
pub fn signed_message(time: u64, text: &[u8]) -> Vec<u8> {
    let mut out = format!("cosignature/v1\ntime {time}\n").into_bytes();
    out.extend_from_slice(text);
    out
}

/// The line of a cosignature made at `time` over a checkpoint's text, the signature made by `sign`.
pub fn cosign(key: &VerifierKey, time: u64, text: &[u8], sign: impl FnOnce(&[u8]) -> [u8; 64]) -> SignatureLine {
    let mut signature = time.to_be_bytes().to_vec();
    signature.extend_from_slice(&sign(&signed_message(time, text)));
    SignatureLine { name: key.name().to_owned(), id: key.id(), signature }
}

/// The time a cosignature states, if `key` made it over this text; `None` otherwise.
pub fn read_time(line: &SignatureLine, key: &VerifierKey, text: &[u8]) -> Option<u64> {
    let (time, signature) = line.signature.split_first_chunk::<8>()?;
    let time = u64::from_be_bytes(*time);
    let valid = key.kind() == KeyKind::Cosignature
        && line.is_by(key)
        && (1..=TIME_MAX).contains(&time)
        && key.key().verifies(&signed_message(time, text), signature);
    valid.then_some(time)
}
