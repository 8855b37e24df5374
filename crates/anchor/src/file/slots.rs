//! The form of the anchor's file: two slots of one block each.
//!
//! `slot = "PINSEAL ANCHOR 1\n" || generation (8) || length (2) || note || zeros || SHA-256 of all before`. The valid slot of the higher generation is in
//! force. A slot that does not add up was being overwritten when the machine stopped; if neither adds up, the file is not an anchor's.

use pinseal_protocol::checkpoint::{Checkpoint, NOTE_BYTES_MAX};
use sha2::{Digest as _, Sha256};

/// A block of every disk and file system in use, so that a write never touches the other slot's block.
const SLOT_BYTES: usize = 4_096;
/// Length of the file, always.
pub(super) const FILE_BYTES: usize = 2 * SLOT_BYTES;
/// Where each slot begins.
const OFFSETS: [u64; 2] = [0, SLOT_BYTES as u64];
const MAGIC: &[u8; 17] = b"PINSEAL ANCHOR 1\n";
const HEAD_BYTES: usize = MAGIC.len() + 8 + 2;
const DIGEST_BYTES: usize = 32;

const _: () = assert!(HEAD_BYTES + NOTE_BYTES_MAX + DIGEST_BYTES <= SLOT_BYTES, "a note fits into its slot");

/// The slot in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slots {
    /// 0 or 1.
    place: usize,
    generation: u64,
    note: Vec<u8>,
}

impl Slots {
    /// A new file that holds `note`.
    pub(crate) fn first(note: &[u8]) -> Vec<u8> {
        let mut file = slot(1, note);
        file.resize(FILE_BYTES, 0);
        file
    }

    /// Reads a whole file.
    pub(crate) fn parse(file: &[u8]) -> Option<Self> {
        if file.len() != FILE_BYTES {
            return None;
        }
        let slots = file.chunks_exact(SLOT_BYTES).enumerate();
        slots.filter_map(|(place, slot)| parse_slot(place, slot)).max_by_key(|slot| slot.generation)
    }

    /// The checkpoint in force.
    pub(crate) fn newest(&self) -> &[u8] {
        &self.note
    }

    /// The slot in force, and where it is.
    pub(crate) fn present(&self) -> (u64, Vec<u8>) {
        (OFFSETS[self.place], slot(self.generation, &self.note))
    }

    /// What to write, and where, so that `note` is in force.
    pub(crate) fn following(&self, note: &[u8]) -> (u64, Vec<u8>) {
        (OFFSETS[1 - self.place], slot(self.generation.saturating_add(1), note))
    }
}

fn slot(generation: u64, note: &[u8]) -> Vec<u8> {
    let length = u16::try_from(note.len()).unwrap_or(u16::MAX);
    let mut slot = Vec::with_capacity(FILE_BYTES);
    slot.extend_from_slice(MAGIC);
    slot.extend_from_slice(&generation.to_be_bytes());
    slot.extend_from_slice(&length.to_be_bytes());
    slot.extend_from_slice(note);
    slot.resize(SLOT_BYTES - DIGEST_BYTES, 0);
    let digest = Sha256::digest(&slot);
    slot.extend_from_slice(&digest);
    slot
}

/// There is one encoding of a slot. None has the last generation, so that another one always follows.
fn parse_slot(place: usize, bytes: &[u8]) -> Option<Slots> {
    let (generation, body) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
    let (length, body) = body.split_first_chunk()?;
    let note = body.get(..usize::from(u16::from_be_bytes(*length)))?;
    let generation = u64::from_be_bytes(*generation);
    Checkpoint::read_unverified(note).ok()?;
    let is_whole = generation < u64::MAX && slot(generation, note) == bytes;
    is_whole.then(|| Slots { place, generation, note: note.to_vec() })
}
