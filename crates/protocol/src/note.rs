//! Signed notes and verifier keys (C2SP signed-note v1.0.0), as far as checkpoints and their cosignatures need them.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::manifest::Ed25519Public;

/// Signature lines read of one note; more are refused. The standard asks for 16 at least.
pub const SIGNATURES_MAX: usize = 64;
/// Longest key name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest signature with its key id: that of ML-DSA-44 with a timestamp is 2,432 bytes, and may stand beside ours.
const SIGNED_BYTES_MAX: usize = 4_096;

/// What a key signs, by the standard's signature type byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// 0x01: Ed25519 over the note's text. How a log signs its checkpoints.
    Ed25519,
    /// 0x04: Ed25519 over a checkpoint and a time (C2SP tlog-cosignature). How a witness signs them.
    Cosignature,
}

impl KeyKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Cosignature => 4,
        }
    }
}

/// Why a text is not a note or not a verifier key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteFormError {
    /// Not a signed note: control characters, no blank line, or a line behind it that is no signature.
    #[error("not a signed note")]
    Note,
    /// Not `<name>+<key id>+<base64 key>` of a known type, or its id does not fit.
    #[error("not a verifier key of a kind that is known here")]
    VerifierKey,
}

/// A verifier key ("vkey"): a name and a public key for one kind of signatures. Its text is `<name>+<key id>+<base64>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    key: Ed25519Public,
}

impl VerifierKey {
    /// `None` if `name` cannot be a key's name.
    pub fn new(name: &str, kind: KeyKind, key: Ed25519Public) -> Option<Self> {
        is_key_name(name).then(|| Self { name: name.to_owned(), kind, key })
    }

    /// Name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key.
    pub const fn key(&self) -> &Ed25519Public {
        &self.key
    }

    /// Key id: tells keys apart, proves nothing.
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, self.kind, &self.key)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut material = vec![self.kind.byte()];
        material.extend_from_slice(&self.key.0);
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), STANDARD.encode(material))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteFormError;

    fn from_str(text: &str) -> Result<Self, NoteFormError> {
        let read = || {
            let (name, rest) = text.split_once('+')?;
            let (_, material) = rest.split_once('+')?;
            let material = STANDARD.decode(material).ok()?;
            let (kind, key) = material.split_first()?;
            let kind = [KeyKind::Ed25519, KeyKind::Cosignature].into_iter().find(|known| known.byte() == *kind)?;
            Self::new(name, kind, Ed25519Public::from_slice(key)?)
        };
        // One text for one key: also the id in the middle must be the right one.
        read().filter(|key| key.to_string() == text).ok_or(NoteFormError::VerifierKey)
    }
}

/// SHA-256(name || "\n" || type || key)[:4].
pub fn key_id(name: &str, kind: KeyKind, key: &Ed25519Public) -> [u8; 4] {
    let digest: [u8; 32] =
        Sha256::new().chain_update(name).chain_update([b'\n', kind.byte()]).chain_update(key.0).finalize().into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}

/// Non-empty, of bounded length, without spaces of any kind, plus signs and control characters.
pub fn is_key_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.chars().any(|char| char.is_whitespace() || char.is_control() || char == '+')
}

/// One signature line: `— <name> <base64 of key id and signature>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    /// Name of the key.
    pub name: String,
    /// Id of the key.
    pub id: [u8; 4],
    /// The signature, in the form its kind has.
    pub signature: Vec<u8>,
}

impl SignatureLine {
    /// True if the line claims to be by `key`. Whether it is, only the signature tells.
    pub fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == key.name && self.id == key.id()
    }

    /// Reads the line without its newline.
    fn read(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let bytes = STANDARD.decode(encoded).ok()?;
        let (id, signature) = bytes.split_first_chunk::<4>()?;
        let canonical = is_key_name(name)
            && !signature.is_empty()
            && bytes.len() <= SIGNED_BYTES_MAX
            && STANDARD.encode(&bytes) == encoded;
        canonical.then(|| Self { name: name.to_owned(), id: *id, signature: signature.to_vec() })
    }
}

/// With its newline.
impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.to_vec();
        bytes.extend_from_slice(&self.signature);
        writeln!(f, "\u{2014} {} {}", self.name, STANDARD.encode(bytes))
    }
}

/// Signature lines alone, each ending in a newline, as a witness answers; none is none.
///
/// # Errors
/// [`NoteFormError::Note`]: another line among them, or more than [`SIGNATURES_MAX`].
pub fn read_signatures(text: &str) -> Result<Vec<SignatureLine>, NoteFormError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let lines = text.strip_suffix('\n').ok_or(NoteFormError::Note)?.split('\n');
    let read: Option<Vec<_>> = lines.take(SIGNATURES_MAX + 1).map(SignatureLine::read).collect();
    read.filter(|lines| lines.len() <= SIGNATURES_MAX).ok_or(NoteFormError::Note)
}

/// A note taken apart: its text, final newline included, and its signatures, one at least.
///
/// # Errors
/// [`NoteFormError::Note`].
pub fn read_note(note: &[u8]) -> Result<(&str, Vec<SignatureLine>), NoteFormError> {
    let note = core::str::from_utf8(note).map_err(|_| NoteFormError::Note)?;
    if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteFormError::Note);
    }
    let blank = note.rfind("\n\n").ok_or(NoteFormError::Note)?;
    let (text, rest) = note.split_at(blank + 1);
    let lines = read_signatures(rest.strip_prefix('\n').ok_or(NoteFormError::Note)?)?;
    if lines.is_empty() { Err(NoteFormError::Note) } else { Ok((text, lines)) }
}
