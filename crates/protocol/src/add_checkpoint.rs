//! The body of `add-checkpoint` (C2SP tlog-witness): written by logs, read by witnesses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ids::Hash32;

/// Lines of a consistency proof; the standard allows no more.
pub const PROOF_LINES_MAX: usize = 63;

/// A checkpoint, and the proof that it continues one of `old_size` leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint<'a> {
    /// What the sender believes was cosigned last; 0 for nothing.
    pub old_size: u64,
    /// RFC 6962 consistency proof.
    pub proof: Vec<Hash32>,
    /// The checkpoint as a signed note.
    pub note: &'a [u8],
}

/// The body is not of that form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an add-checkpoint request")]
pub struct RequestError;

impl<'a> AddCheckpoint<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn read(body: &'a [u8]) -> Result<Self, RequestError> {
        let text = core::str::from_utf8(body).map_err(|_| RequestError)?;
        let (head, note) = text.split_once("\n\n").ok_or(RequestError)?;
        let mut lines = head.split('\n');
        let old_size = lines.next().and_then(|line| read_size(line.strip_prefix("old ")?)).ok_or(RequestError)?;
        let proof: Vec<_> =
            lines.take(PROOF_LINES_MAX + 1).map(read_hash).collect::<Option<_>>().ok_or(RequestError)?;
        if proof.len() > PROOF_LINES_MAX {
            return Err(RequestError);
        }
        Ok(Self { old_size, proof, note: note.as_bytes() })
    }

    /// Writes it.
    pub fn to_body(&self) -> Vec<u8> {
        let mut out = format!("old {}\n", self.old_size).into_bytes();
        for hash in &self.proof {
            out.extend_from_slice(STANDARD.encode(hash.0).as_bytes());
            out.push(b'\n');
        }
        out.push(b'\n');
        out.extend_from_slice(self.note);
        out
    }
}

/// A decimal number without sign and leading zeros, below 2^63 as databases keep it.
pub fn read_size(text: &str) -> Option<u64> {
    let size: u64 = text.parse().ok()?;
    (size.to_string() == text && size < 1 << 63).then_some(size)
}

fn read_hash(line: &str) -> Option<Hash32> {
    let hash = Hash32::from_slice(&STANDARD.decode(line).ok()?)?;
    (STANDARD.encode(hash.0) == line).then_some(hash)
}
