//! L2: a TPM by its rules (`pinseal_software_tpm`), which the adversary owns, and everything that its host ever got out of it and out of the
//! enclave.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::signature::EcdsaKeyPair;
use pinseal_fuzzing::harness::host::{Disk, enclave};
use pinseal_fuzzing::harness::keys;
use pinseal_fuzzing::harness::randomness::Randomness;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::tpm::{Authorisation, Tpm, TpmNonce};
use pinseal_protocol::wire::{BatchId, FromEnclave, ToEnclave};
use pinseal_software_tpm::{ATTRIBUTES, SoftwareTpm};

use crate::anchor::{Advance, Anchor, Weather};

/// Numbers of the keys of the TPM that configurations name, and of another one.
const ATTESTERS: [usize; 2] = [10, 11];
/// Authorisations for one checkpoint that a host tries, newest first.
const TRIED: usize = 3;
/// Seed of what a deployment is made with.
const CREATE_SEED: u64 = 1;

static KEYS: LazyLock<[Arc<EcdsaKeyPair>; 2]> = LazyLock::new(|| ATTESTERS.map(|number| Arc::new(keys::pair(number))));

fn new(place: usize) -> SoftwareTpm {
    SoftwareTpm::with_attester(Arc::clone(&KEYS[place]))
}

/// What configurations name.
pub(crate) fn named() -> Tpm {
    new(0).named()
}

/// The TPM and its host's notes.
#[derive(Clone)]
pub(crate) struct Chip {
    tpm: SoftwareTpm,
    /// Every checkpoint there is, by what the index holds once it was let in.
    known: HashMap<[u8; 32], Vec<u8>>,
    /// What the index held before each advance.
    past: Vec<Option<[u8; 32]>>,
    /// Every authorisation, with what it lets in, oldest first.
    given: Vec<(Hash32, Authorisation)>,
    /// Every certification that an enclave was brought, oldest first.
    certified: Vec<Vec<u8>>,
    /// The owner has done what ends the line of values for good.
    is_spoilt: bool,
}

/// As an anchor, and in the hands of its owner.
#[derive(Clone)]
pub(crate) struct Owned(Rc<RefCell<Chip>>);

/// Makes a deployment in a new TPM: its first database, and the TPM after it.
pub(crate) fn create(configuration: &[u8], time: u64) -> Option<(Disk, Chip)> {
    let (mut enclave, mut environment) = (enclave(), Randomness::new(CREATE_SEED));
    let owned = Owned(Rc::new(RefCell::new(Chip {
        tpm: new(0),
        known: HashMap::new(),
        past: Vec::new(),
        given: Vec::new(),
        certified: Vec::new(),
        is_spoilt: false,
    })));
    let mut message = ToEnclave::Create { configuration: configuration.to_vec().into(), time: UnixSeconds(time) };
    loop {
        message = match enclave.step(message, &mut environment).pop()? {
            FromEnclave::Define { writer } => {
                let mut chip = owned.0.borrow_mut();
                chip.tpm.define(&writer, ATTRIBUTES);
                ToEnclave::Defined { nonce: chip.tpm.open() }
            }
            FromEnclave::RollForward { previous, checkpoint, authorisation } => {
                owned.gave(&checkpoint, authorisation);
                let said = owned.clone().advance(&previous, &checkpoint, Weather::Fine);
                let receipt = said.receipt().unwrap_or_default();
                ToEnclave::Committed { batch: BatchId(0), receipt: receipt.into(), nonce: None }
            }
            FromEnclave::Created { sealed_root, genesis, .. } => {
                let (sealed_root, note) = (sealed_root.to_vec(), genesis.to_vec());
                let chip = owned.0.borrow().clone();
                return Some((Disk { sealed_root, anchored: note.clone(), note, ..Disk::default() }, chip));
            }
            _ => return None,
        };
    }
}

impl Owned {
    pub(crate) fn new(chip: Chip) -> Self {
        Self(Rc::new(RefCell::new(chip)))
    }

    /// As it stands, for schedules to start from.
    pub(crate) fn chip(&self) -> Chip {
        Chip { past: Vec::new(), ..self.0.borrow().clone() }
    }

    /// The enclave signed `note`, and let it in or not.
    pub(crate) fn gave(&self, note: &[u8], authorisation: Option<Authorisation>) {
        let Ok(checkpoint) = Checkpoint::read_unverified(note) else { return };
        let mut chip = self.0.borrow_mut();
        if let Some(after) = checkpoint.held_after() {
            chip.known.insert(after.0, note.to_vec());
        }
        chip.given.extend(authorisation.map(|given| (checkpoint.hash(), given)));
    }

    /// Whether its owner ended the line of values.
    pub(crate) fn is_spoilt(&self) -> bool {
        self.0.borrow().is_spoilt
    }

    /// Its owner ended the line of values.
    pub(crate) fn spoil(&self) {
        self.0.borrow_mut().is_spoilt = true;
    }

    /// The index is defined anew, as it was.
    pub(crate) fn redefine(&self) {
        let mut chip = self.0.borrow_mut();
        let Some(writer) = chip.given.first().map(|(_, given)| given.writer) else { return };
        chip.tpm.define(&writer, ATTRIBUTES);
        chip.is_spoilt = true;
    }

    /// TPM2_Clear.
    pub(crate) fn clear(&self) {
        let mut chip = self.0.borrow_mut();
        chip.tpm.clear();
        chip.is_spoilt = true;
    }

    /// Tries every authorisation for what `note` would let in, each in a session of its own. True if one works.
    pub(crate) fn let_in(&self, note: &[u8]) -> bool {
        let Ok(checkpoint) = Checkpoint::read_unverified(note) else { return false };
        let mut chip = self.0.borrow_mut();
        let hash = checkpoint.hash();
        let given: Vec<Authorisation> =
            chip.given.iter().filter(|(value, _)| *value == hash).map(|(_, given)| *given).collect();
        given.iter().rev().take(TRIED).any(|given| {
            chip.tpm.open();
            chip.tpm.extend(&hash.0, given).is_ok()
        })
    }

    /// Uses the authorisation `back` before the last, once more or for the first time. The checkpoint that the index holds then, if it is
    /// one.
    pub(crate) fn replay(&self, back: usize) -> Option<Vec<u8>> {
        let mut chip = self.0.borrow_mut();
        let place = chip.given.len().checked_sub(back + 1)?;
        let (value, given) = chip.given[place];
        let before = chip.tpm.snapshot();
        chip.tpm.open();
        chip.tpm.extend(&value.0, &given).ok()?;
        chip.past.push(before);
        let held = chip.known.get(&chip.tpm.value()).cloned();
        chip.is_spoilt |= held.is_none();
        held
    }
}

impl Anchor for Owned {
    fn level(&self) -> AnchorLevel {
        AnchorLevel::L2
    }

    /// What it holds is the host's word. Where it lies, it says what the enclave wants to hear.
    fn read(&mut self, database: &[u8], weather: Weather) -> Option<Vec<u8>> {
        let wanted = || Some(Checkpoint::read_unverified(database).ok()?.held_after()?.0.to_vec());
        match weather {
            Weather::Unreachable => None,
            Weather::Stale => wanted(),
            Weather::Fine | Weather::LostReply => Some(self.0.borrow().tpm.value().to_vec()),
        }
    }

    /// As `pinseal_anchor::TpmAnchor` does: who sees that the index holds something else lets nothing in.
    fn advance(&mut self, _: &[u8], next: &[u8], weather: Weather) -> Advance {
        let checkpoint = Checkpoint::read_unverified(next).ok();
        let values = checkpoint.and_then(|read| read.tpm.zip(read.held_after()));
        let (Some((before, after)), true) = (values, weather != Weather::Unreachable) else { return Advance::Silence };
        let held = self.0.borrow().tpm.snapshot();
        if held.unwrap_or_default() != after.0 {
            if held.unwrap_or_default() != before.0 {
                return Advance::Lost(held.unwrap_or_default().to_vec());
            }
            if !self.let_in(next) {
                return Advance::Silence;
            }
            self.0.borrow_mut().past.push(held);
        }
        if weather == Weather::LostReply {
            return Advance::Silence;
        }
        let mut chip = self.0.borrow_mut();
        let receipt = chip.tpm.receipt(next);
        chip.certified.extend(receipt.strip_prefix(next).map(<[u8]>::to_vec));
        Advance::Receipt(receipt)
    }

    fn holds(&self, _: u32) -> Vec<u8> {
        let chip = self.0.borrow();
        chip.known.get(&chip.tpm.value()).cloned().unwrap_or_default()
    }

    fn nonce(&mut self) -> Option<TpmNonce> {
        Some(self.0.borrow_mut().tpm.open())
    }

    /// A virtual TPM is put back with its machine.
    fn roll_back(&mut self, back: usize) -> bool {
        let mut chip = self.0.borrow_mut();
        let Some(place) = chip.past.len().checked_sub(back + 1) else { return false };
        let before = chip.past[place];
        chip.tpm.roll_back(before);
        chip.past.truncate(place);
        true
    }

    /// What the index ought to hold, certified by another TPM, or of another index of this one; or what this TPM does certify of it, now or
    /// long ago.
    fn forge(&self, note: &[u8], old: &[u8], kind: usize) -> Vec<u8> {
        let mut chip = self.0.borrow_mut();
        let wanted = Checkpoint::read_unverified(note).ok().and_then(|read| read.held_after());
        let Some(wanted) = wanted else { return old.to_vec() };
        match kind % 5 {
            0 => match chip.tpm.attest() {
                Ok(mut fields) => {
                    fields.content = wanted.0.to_vec();
                    new(1).receipt_of(note, &fields)
                }
                Err(_) => note.to_vec(),
            },
            1 => match chip.tpm.attest_ordinary(wanted.0) {
                Ok(fields) => chip.tpm.receipt_of(note, &fields),
                Err(_) => note.to_vec(),
            },
            2 => chip.tpm.receipt(note),
            3 => {
                let place = chip.certified.len().checked_sub(1 + kind / 5);
                let certified = place.and_then(|place| chip.certified.get(place));
                [note, certified.map_or(&[], Vec::as_slice)].concat()
            }
            _ => note.to_vec(),
        }
    }
}
