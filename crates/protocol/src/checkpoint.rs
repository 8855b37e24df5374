//! Signed checkpoints in C2SP form (tlog-checkpoint over signed-note, Ed25519 signature type 0x01).
//!
//! ```text
//! pinseal.dev/<deployment in hex>[/<restores>]
//! <size>
//! <base64 root>
//! sequence <n>
//! previous <base64 SHA-256 of the previous checkpoint's text>
//! time <unix seconds>
//! state <base64 HMAC over the accumulator of all records>
//! breaker <base64 of the sealed count of strangers' wrong PINs>
//! [tpm <base64 what the TPM's index holds before this checkpoint>]
//!
//! — pinseal.dev/<deployment in hex>[/<restores>] <base64 (key hash || signature)>
//! ```
//! Each restore by the operators begins a log with an origin of its own, because a log never goes back: `restores` counts them, and is absent
//! before the first. The extension lines after the root are ours; any C2SP reader skips them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::ids::{DeploymentId, Hash32, Sequence, UnixSeconds};
use crate::manifest::Ed25519Public;
use crate::note::{KeyKind, SignatureLine, VerifierKey, read_note};

/// Longest note accepted, in bytes; ours are about 570.
pub const NOTE_BYTES_MAX: usize = 1_024;
/// An Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

crate::ids::byte_newtype! {
    /// What the enclave's circuit breaker stands at, sealed to the enclave: 16 random bytes, commitment and tag, and 17 bytes of content.
    SealedBreaker, 81
}

/// What one checkpoint says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Deployment.
    pub deployment: DeploymentId,
    /// How often the operators had put an older state back by then.
    pub restores: u32,
    /// Leaves.
    pub size: u64,
    /// Merkle tree hash.
    pub root: Hash32,
    /// Number of this checkpoint.
    pub sequence: Sequence,
    /// [`Checkpoint::hash`] of the one before, zero for the genesis.
    pub previous: Hash32,
    /// The enclave's clock of delays, in seconds: starts at the deployment's first time and never goes back.
    pub time: UnixSeconds,
    /// Outer MAC of the record accumulator; meaningless to everybody but the enclave.
    pub state: Hash32,
    /// The breaker; opens for the enclave alone, and has the same size whatever it says.
    pub breaker: SealedBreaker,
    /// What the TPM's index holds before this checkpoint, at L2 and there only.
    pub tpm: Option<Hash32>,
}

/// Why a note is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not in exactly the form above.
    #[error("not a checkpoint of this deployment")]
    Malformed,
    /// Not signed by this key.
    #[error("checkpoint signature does not verify")]
    Signature,
}

impl Checkpoint {
    /// The signed text, ending in a newline.
    pub fn text(&self) -> String {
        let tpm = self.tpm.map(|held| format!("tpm {}\n", STANDARD.encode(held.0))).unwrap_or_default();
        format!(
            "{}\n{}\n{}\nsequence {}\nprevious {}\ntime {}\nstate {}\nbreaker {}\n{tpm}",
            origin(&self.deployment, self.restores),
            self.size,
            STANDARD.encode(self.root.0),
            self.sequence.0,
            STANDARD.encode(self.previous.0),
            self.time.0,
            STANDARD.encode(self.state.0),
            STANDARD.encode(self.breaker.0),
        )
    }

    /// SHA-256 of [`Checkpoint::text`]; names this checkpoint.
    pub fn hash(&self) -> Hash32 {
        Hash32(Sha256::digest(self.text().as_bytes()).into())
    }

    /// What the TPM's index holds once it has taken this checkpoint, at L2: SHA-256(held before || hash).
    pub fn held_after(&self) -> Option<Hash32> {
        self.tpm.map(|before| crate::tpm::extended(&before, &self.hash()))
    }

    /// The note: text and one signature line, the signature made by `sign` over the text.
    pub fn to_note(&self, key: &Ed25519Public, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Vec<u8> {
        let (text, key) = (self.text(), log_verifier_key(&self.deployment, self.restores, key));
        let signature = sign(text.as_bytes()).to_vec();
        let line = SignatureLine { name: key.name().to_owned(), id: key.id(), signature };
        format!("{text}\n{line}").into_bytes()
    }

    /// Reads a note without checking the signature: for a host, which trusts its enclave.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn read_unverified(note: &[u8]) -> Result<Self, NoteError> {
        parse(note).map(|(checkpoint, _)| checkpoint)
    }

    /// Reads a note and verifies that `key` signed it for `deployment`.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn verify(note: &[u8], deployment: &DeploymentId, key: &Ed25519Public) -> Result<Self, NoteError> {
        let (checkpoint, signed) = parse(note)?;
        if checkpoint.deployment != *deployment {
            return Err(NoteError::Malformed);
        }
        let is_by_log = signed.is_by(&log_verifier_key(deployment, checkpoint.restores, key));
        if !is_by_log || !key.verifies(checkpoint.text().as_bytes(), &signed.signature) {
            return Err(NoteError::Signature);
        }
        Ok(checkpoint)
    }
}

/// The log's verifier key: what witnesses and auditors are given.
pub fn log_verifier_key(deployment: &DeploymentId, restores: u32, key: &Ed25519Public) -> VerifierKey {
    let name = origin(deployment, restores);
    VerifierKey::new(&name, KeyKind::Ed25519, *key).expect("hex and digits after a fixed prefix are a key name")
}

/// Origin line and key name.
pub fn origin(deployment: &DeploymentId, restores: u32) -> String {
    if restores == 0 { format!("pinseal.dev/{deployment}") } else { format!("pinseal.dev/{deployment}/{restores}") }
}

/// Deployment and number of restores of a log that has such an origin; `None` for any other text.
pub fn log_of(text: &str) -> Option<(DeploymentId, u32)> {
    read_origin(text).filter(|(deployment, restores)| origin(deployment, *restores) == text)
}

/// Deployment and number of restores in an origin; strict only together with what compares the whole text.
fn read_origin(origin: &str) -> Option<(DeploymentId, u32)> {
    let rest = origin.strip_prefix("pinseal.dev/")?;
    let (deployment, restores) = match rest.split_once('/') {
        Some((deployment, restores)) => (deployment, restores.parse().ok()?),
        None => (rest, 0),
    };
    Some((DeploymentId::from_hex(deployment)?, restores))
}

fn parse(note: &[u8]) -> Result<(Checkpoint, SignatureLine), NoteError> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(NoteError::Malformed);
    }
    read(note).ok_or(NoteError::Malformed)
}

/// Strict: what is read, written again, gives the same bytes.
fn read(note: &[u8]) -> Option<(Checkpoint, SignatureLine)> {
    let (text, signatures) = read_note(note).ok()?;
    let [signature] = <[SignatureLine; 1]>::try_from(signatures).ok()?;
    let mut lines = text.split('\n');
    let hash = |text: &str| Hash32::from_slice(&STANDARD.decode(text).ok()?);
    let (deployment, restores) = read_origin(lines.next()?)?;
    let checkpoint = Checkpoint {
        deployment,
        restores,
        size: lines.next()?.parse().ok()?,
        root: hash(lines.next()?)?,
        sequence: Sequence(lines.next()?.strip_prefix("sequence ")?.parse().ok()?),
        previous: hash(lines.next()?.strip_prefix("previous ")?)?,
        time: UnixSeconds(lines.next()?.strip_prefix("time ")?.parse().ok()?),
        state: hash(lines.next()?.strip_prefix("state ")?)?,
        breaker: SealedBreaker::from_slice(&STANDARD.decode(lines.next()?.strip_prefix("breaker ")?).ok()?)?,
        tpm: match lines.next()?.strip_prefix("tpm ") {
            Some(held) => Some(hash(held)?),
            None => None,
        },
    };
    let canonical = signature.name == origin(&deployment, restores)
        && signature.signature.len() == SIGNATURE_BYTES
        && checkpoint.text() == text;
    canonical.then_some((checkpoint, signature))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::key_id;

    /// golang.org/x/mod/sumdb/note: verifier key `PeterNeumann+c74f20a3+ARpc2QcU...`.
    #[test]
    fn the_key_hash_is_that_of_the_published_signed_note() {
        let key =
            Ed25519Public::from_hex("1a5cd907143c384c41e830c5bce12aa8817ec5649aaabf2c31388b35b2d744d6").expect("hex");
        assert_eq!(key_id("PeterNeumann", KeyKind::Ed25519, &key), [0xc7, 0x4f, 0x20, 0xa3]);
    }
}
