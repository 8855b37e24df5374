//! The file of an anchor at L1, after whatever a disk or a hand makes of it.

use arbitrary::{Arbitrary, Unstructured};
use pinseal_anchor::fuzzing::{file_holds, file_write, first_file};
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::Sequence;
use pinseal_protocol::manifest::Ed25519Public;
use sha2::{Digest as _, Sha256};

use crate::harness::base::BASE;
use crate::inputs::{Edit, apply};

/// As the file's form says: two slots of a block, each magic, generation, length, note, zeros and hash.
const SLOT_BYTES: usize = 4_096;
const MAGIC: &[u8] = b"PINSEAL ANCHOR 1\n";
/// Advances of one history, and damaged bytes, at most.
const ADVANCES_MAX: u8 = 6;
const DAMAGE_MAX: usize = 16;
/// Sectors of a slot: what a disk writes whole or not.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Arbitrary)]
struct FileInput {
    advances: u8,
    /// Which sectors of the last advance reached the disk.
    written: u8,
    damage: Vec<(u16, u8)>,
    slots: [SlotInput; 2],
}

/// A slot made from its parts.
#[derive(Debug, Arbitrary)]
struct SlotInput {
    generation: u64,
    magic: Option<(u8, u8)>,
    note: Vec<Edit>,
    length: Option<u16>,
    padding: Option<(u16, u8)>,
    hash: Option<(u8, u8)>,
}

fn note(number: u8) -> Vec<u8> {
    let checkpoint = Checkpoint { sequence: Sequence(u64::from(number)), ..BASE.peopled.checkpoint() };
    checkpoint.to_note(&Ed25519Public([1; 32]), |_| [number; 64])
}

/// Files of any bytes, after every history of advances, with the last one torn, with bytes damaged, and made from parts: what is in force is what was
/// written whole last, and where that is damaged the one before it or nothing; a slot has one encoding.
pub fn anchor_file(data: &[u8]) {
    assert!(data.len() == 2 * SLOT_BYTES || file_holds(data).is_none(), "a file has one length");
    let Ok(input) = FileInput::arbitrary_take_rest(Unstructured::new(data)) else { return };
    history(&input);
    parts(&input.slots);
}

fn history(input: &FileInput) {
    let mut file = first_file(&note(0));
    // What each slot holds, newest last.
    let mut held: Vec<(usize, u8)> = vec![(0, 0)];
    for number in 1..=input.advances % (ADVANCES_MAX + 1) {
        let (place, slot) = written(&file, Some(&note(number)));
        assert_ne!(place, held[held.len() - 1].0, "what is in force is not written over");
        let is_last = number == input.advances % (ADVANCES_MAX + 1);
        let at = place * SLOT_BYTES;
        let before = file[at..at + SLOT_BYTES].to_vec();
        for (sector, bytes) in slot.chunks(SECTOR_BYTES).enumerate() {
            if !is_last || input.written >> sector & 1 == 0 {
                let at = at + sector * SECTOR_BYTES;
                file[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
        if file[at..at + SLOT_BYTES] != before[..] {
            held.retain(|(other, _)| *other != place);
        }
        if file[at..at + SLOT_BYTES] == slot[..] {
            held.push((place, number));
        }
        holds(&file, held.last());
        if file_holds(&file).is_some() {
            let (place, slot) = written(&file, None);
            assert_eq!(file[place * SLOT_BYTES..][..SLOT_BYTES], slot[..], "what is made durable is there already");
        }
    }
    let whole = file.clone();
    for (place, value) in input.damage.iter().take(DAMAGE_MAX) {
        file[usize::from(*place) % (2 * SLOT_BYTES)] ^= value;
    }
    held.retain(|(place, _)| file[place * SLOT_BYTES..][..SLOT_BYTES] == whole[place * SLOT_BYTES..][..SLOT_BYTES]);
    holds(&file, held.last());
    file.pop();
    holds(&file, None);
}

#[track_caller]
fn holds(file: &[u8], expected: Option<&(usize, u8)>) {
    assert_eq!(file_holds(file), expected.map(|(_, number)| note(*number)));
}

/// Slot and content of what is to be written.
fn written(file: &[u8], next: Option<&[u8]>) -> (usize, Vec<u8>) {
    let (offset, slot) = file_write(file, next).expect("it is an anchor's");
    assert_eq!((offset as usize % SLOT_BYTES, slot.len()), (0, SLOT_BYTES));
    (offset as usize / SLOT_BYTES, slot)
}

fn parts(slots: &[SlotInput; 2]) {
    let [(left, one), (right, other)] = [slots[0].made(), slots[1].made()];
    let file = [left, right].concat();
    // Of two with one generation, which no history makes, it may be either.
    let newest = match (one, other) {
        (Some((first, _)), Some((second, _))) if first == second => return,
        (Some((first, note)), Some((second, _))) if first > second => Some(note),
        (_, Some((_, note))) | (Some((_, note)), None) => Some(note),
        (None, None) => None,
    };
    assert_eq!(file_holds(&file), newest);
    if newest.is_some() {
        let mut after = file.clone();
        let (place, slot) = written(&file, Some(&note(9)));
        after[place * SLOT_BYTES..][..SLOT_BYTES].copy_from_slice(&slot);
        if slots.iter().all(|slot| slot.generation < u64::MAX - 1) {
            assert_eq!(file_holds(&after), Some(note(9)));
        }
    }
}

impl SlotInput {
    /// The slot, and what it holds if it is a valid one.
    fn made(&self) -> (Vec<u8>, Option<(u64, Vec<u8>)>) {
        let mut note = apply(&note(7), &self.note);
        note.truncate(2 * SLOT_BYTES / 3);
        let mut magic = MAGIC.to_vec();
        let mut is_valid = self.generation < u64::MAX && Checkpoint::read_unverified(&note).is_ok();
        if let Some((place, value)) = self.magic {
            magic[usize::from(place) % MAGIC.len()] ^= value;
            is_valid &= value == 0;
        }
        let length = self.length.unwrap_or(note.len() as u16);
        is_valid &= usize::from(length) == note.len();
        let mut slot = [magic.as_slice(), &self.generation.to_be_bytes()[..], &length.to_be_bytes(), &note].concat();
        let padding = slot.len();
        slot.resize(SLOT_BYTES - 32, 0);
        if let Some((place, value)) = self.padding {
            let end = slot.len();
            slot[padding + usize::from(place) % (end - padding)] ^= value;
            is_valid &= value == 0;
        }
        let mut hash = Sha256::digest(&slot).to_vec();
        if let Some((place, value)) = self.hash {
            hash[usize::from(place) % 32] ^= value;
            is_valid &= value == 0;
        }
        slot.extend(hash);
        (slot, is_valid.then_some((self.generation, note)))
    }
}
