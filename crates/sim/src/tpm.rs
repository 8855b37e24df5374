//! L2: TPMs by their rules (`pinseal_software_tpm`), which the adversary owns, and everything that their host ever got out of them and out of
//! the enclave.

use std::cell::{Cell, RefCell};
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
use pinseal_protocol::token::P256Public;
use pinseal_protocol::tpm::{Authorisation, Certified, NOTHING, P256Signature, Tpm, TpmNonce, extended};
use pinseal_protocol::wire::{BatchId, FromEnclave, ToEnclave};
use pinseal_software_tpm::{ATTRIBUTES, Refused, SoftwareTpm};

use crate::anchor::{Advance, Anchor, Weather};
use crate::tenure::Seat;

/// TPMs there are: the deployment's, or that it may move into, and another one.
pub(crate) const CHIPS: usize = 2;
/// Keys that a TPM attests with, one after the other as it is cleared; the last one stays.
const LIVES: usize = 4;
/// Number of the first of those keys.
const ATTESTERS_FROM: usize = 20;
/// Authorisations for one value that a host tries, newest first.
const TRIED: usize = 3;
/// Seed of what a deployment is made with.
const CREATE_SEED: u64 = 1;

static KEYS: LazyLock<Vec<Arc<EcdsaKeyPair>>> = LazyLock::new(|| {
    let numbers = ATTESTERS_FROM..ATTESTERS_FROM + CHIPS * LIVES;
    numbers.map(|number| Arc::new(keys::pair(number))).collect()
});

thread_local! {
    /// TPMs on this thread keep a session's nonce whatever is done in it.
    static KEEPS_NONCE: Cell<bool> = const { Cell::new(false) };
}

/// Plants in every TPM of this thread that sessions outlive what is done in them, or takes it out again.
pub(crate) fn plant(keeps_nonce: bool) {
    KEEPS_NONCE.set(keeps_nonce);
}

fn new(chip: usize, life: usize) -> SoftwareTpm {
    SoftwareTpm::with_attester(Arc::clone(&KEYS[chip + CHIPS * life]))
}

/// What configurations name.
pub(crate) fn named(chip: usize, life: usize) -> Tpm {
    new(chip, life).named()
}

/// A TPM and its host's notes.
#[derive(Clone)]
pub(crate) struct Chip {
    number: usize,
    /// How often it was cleared, as far as there are keys.
    life: usize,
    tpm: SoftwareTpm,
    /// Every checkpoint there is, by what the index holds once it was let in.
    known: HashMap<[u8; 32], Vec<u8>>,
    /// What the index held before each advance.
    past: Vec<Option<[u8; 32]>>,
    /// In which life the index held what, oldest first; the last is what it holds.
    held: Vec<(usize, [u8; 32])>,
    /// Every authorisation, with what it lets in, oldest first.
    given: Vec<(Hash32, Authorisation)>,
    /// Every certification that an enclave was brought, oldest first.
    certified: Vec<Vec<u8>>,
    /// One open session is handed to whoever asks for one.
    shares: Option<Option<TpmNonce>>,
    /// Lies told so far of what the index holds.
    lies: usize,
}

/// As an anchor, and in the hands of its owner.
#[derive(Clone)]
pub(crate) struct Owned(Rc<RefCell<Chip>>);

/// Makes a deployment in a new TPM: its first database, and the TPM after it.
pub(crate) fn create(configuration: &[u8], time: u64) -> Option<(Disk, Chip)> {
    let (mut enclave, mut environment) = (enclave(), Randomness::new(CREATE_SEED));
    let owned = Owned::unused(0);
    let mut message = ToEnclave::Create { configuration: configuration.to_vec().into(), time: UnixSeconds(time) };
    loop {
        message = match enclave.step(message, &mut environment).pop()? {
            FromEnclave::Define { writer } => ToEnclave::Defined { nonce: owned.define(&writer) },
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

impl Chip {
    /// The value goes in, if this lets it in.
    fn extend(&mut self, value: &Hash32, authorisation: &Authorisation) -> Result<(), Refused> {
        self.tpm.keep_sessions(KEEPS_NONCE.get());
        self.tpm.extend(&value.0, authorisation)?;
        self.note();
        Ok(())
    }

    /// Notes what the index holds now.
    fn note(&mut self) {
        self.held.push((self.life, self.tpm.value()));
    }

    /// The newest certification of this content that there was.
    fn once_certified(&self, content: &[u8; 32]) -> Option<&Vec<u8>> {
        let says = |word: &&Vec<u8>| {
            let split = word.split_last_chunk::<{ P256Signature::LEN }>();
            let read = split.and_then(|(attest, _)| Certified::read(attest).ok());
            read.is_some_and(|read| read.content == content)
        };
        self.certified.iter().rev().find(says)
    }
}

impl Owned {
    pub(crate) fn new(chip: Chip) -> Self {
        Self(Rc::new(RefCell::new(chip)))
    }

    /// One that nobody has used yet.
    pub(crate) fn unused(number: usize) -> Self {
        Self::new(Chip {
            number,
            life: 0,
            tpm: new(number, 0),
            known: HashMap::new(),
            past: Vec::new(),
            held: vec![(0, NOTHING.0)],
            given: Vec::new(),
            certified: Vec::new(),
            shares: None,
            lies: 0,
        })
    }

    /// As it stands, for schedules to start from.
    pub(crate) fn chip(&self) -> Chip {
        Chip { past: Vec::new(), ..self.0.borrow().clone() }
    }

    /// What its index holds; nothing where it was never written, or is not there.
    pub(crate) fn value(&self) -> Option<Hash32> {
        self.0.borrow().tpm.snapshot().map(Hash32)
    }

    /// What the index held so many values ago.
    pub(crate) fn value_before(&self, back: usize) -> Option<Hash32> {
        let chip = self.0.borrow();
        let place = chip.held.len().checked_sub(back + 1)?;
        Some(Hash32(chip.held[place].1)).filter(|held| *held != NOTHING)
    }

    /// As operators who look at it now have it sealed into a configuration.
    pub(crate) fn seat(&self) -> Seat {
        let chip = self.0.borrow();
        Seat { chip: chip.number, life: chip.life, base: chip.tpm.snapshot().map(Hash32) }
    }

    /// For [`Owned::held_since`].
    pub(crate) fn mark(&self) -> usize {
        self.0.borrow().held.len() - 1
    }

    /// Whether the TPM that this names held what it says, at the mark or since.
    pub(crate) fn held_since(&self, seat: Seat, mark: usize) -> bool {
        let chip = self.0.borrow();
        chip.held.iter().skip(mark).any(|(life, held)| *life == seat.life && Some(Hash32(*held)) == seat.base)
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

    /// The enclave drew `value` for an index that was never written.
    pub(crate) fn gave_first(&self, value: Hash32, authorisation: Authorisation) {
        self.0.borrow_mut().given.push((value, authorisation));
    }

    /// The index is defined for this key, and a session opened.
    pub(crate) fn define(&self, writer: &P256Public) -> TpmNonce {
        let mut chip = self.0.borrow_mut();
        chip.tpm.define(writer, ATTRIBUTES);
        chip.note();
        chip.tpm.open()
    }

    /// The index is defined anew, as it was.
    pub(crate) fn redefine(&self) {
        let writer = self.0.borrow().given.first().map(|(_, given)| given.writer);
        if let Some(writer) = writer {
            self.define(&writer);
        }
    }

    /// TPM2_Clear: the index is gone, and the TPM attests with another key from now on.
    pub(crate) fn clear(&self) {
        let mut chip = self.0.borrow_mut();
        chip.life = (chip.life + 1).min(LIVES - 1);
        chip.tpm = new(chip.number, chip.life);
        chip.past.clear();
        chip.note();
    }

    /// From now on one open session, at first that which was opened last, is handed to whoever asks, until something was let in through it.
    pub(crate) fn share(&self) {
        let mut chip = self.0.borrow_mut();
        chip.shares = Some(chip.tpm.newest_open());
    }

    /// Tries every authorisation for what `note` would let in, each in a session of its own. True if one works.
    pub(crate) fn let_in(&self, note: &[u8]) -> bool {
        Checkpoint::read_unverified(note).is_ok_and(|checkpoint| self.let_in_value(&checkpoint.hash()))
    }

    /// As [`Owned::let_in`], of any value.
    pub(crate) fn let_in_value(&self, wanted: &Hash32) -> bool {
        let mut chip = self.0.borrow_mut();
        let given: Vec<Authorisation> =
            chip.given.iter().filter(|(value, _)| value == wanted).map(|(_, given)| *given).collect();
        given.iter().rev().take(TRIED).any(|given| {
            chip.tpm.open();
            chip.extend(wanted, given).is_ok()
        })
    }

    /// The value that an index which was never written holds `base` after.
    pub(crate) fn leads_to(&self, base: &Hash32) -> Option<Hash32> {
        self.0.borrow().given.iter().map(|(value, _)| *value).find(|value| extended(&NOTHING, value) == *base)
    }

    /// Uses the authorisation `back` before the last, once more or for the first time. The checkpoint that the index holds then, if it is
    /// one.
    pub(crate) fn replay(&self, back: usize) -> Option<Vec<u8>> {
        let mut chip = self.0.borrow_mut();
        let place = chip.given.len().checked_sub(back + 1)?;
        let (value, given) = chip.given[place];
        let before = chip.tpm.snapshot();
        chip.tpm.open();
        chip.extend(&value, &given).ok()?;
        chip.past.push(before);
        chip.known.get(&chip.tpm.value()).cloned()
    }

    /// Its word for what the index holds, asked for with that purpose; empty if it does not answer.
    pub(crate) fn word(&self, purpose: &Hash32, weather: Weather) -> Vec<u8> {
        match weather {
            Weather::Unreachable | Weather::LostReply => Vec::new(),
            Weather::Fine | Weather::Stale => self.0.borrow_mut().tpm.word(&purpose.0),
        }
    }

    /// That the index holds `wanted`, in the word of another TPM, or of another index of this one, or once certified of this one.
    pub(crate) fn forge_word(&self, purpose: &Hash32, wanted: &Hash32, kind: usize) -> Vec<u8> {
        let mut chip = self.0.borrow_mut();
        match kind % 3 {
            0 => match chip.tpm.attest() {
                Ok(mut fields) => {
                    (fields.content, fields.extra) = (wanted.0.to_vec(), purpose.0.to_vec());
                    new(other(chip.number), 0).receipt_of(&[], &fields)
                }
                Err(_) => Vec::new(),
            },
            1 => match chip.tpm.attest_ordinary(wanted.0) {
                Ok(mut fields) => {
                    fields.extra = purpose.0.to_vec();
                    chip.tpm.receipt_of(&[], &fields)
                }
                Err(_) => Vec::new(),
            },
            _ => chip.once_certified(&wanted.0).or(chip.certified.last()).cloned().unwrap_or_default(),
        }
    }
}

const fn other(chip: usize) -> usize {
    (chip + 1) % CHIPS
}

impl Anchor for Owned {
    fn level(&self) -> AnchorLevel {
        AnchorLevel::L2
    }

    /// What it holds is the host's word. Where it lies, it says by turns what was there after the database's checkpoint, what was written into
    /// it first, and what was there before that checkpoint.
    fn read(&mut self, database: &[u8], weather: Weather) -> Option<Vec<u8>> {
        let mut chip = self.0.borrow_mut();
        match weather {
            Weather::Unreachable => None,
            Weather::Stale => {
                chip.lies += 1;
                let read = Checkpoint::read_unverified(database).ok()?;
                let first = chip.held.iter().find(|(life, held)| *life == chip.life && *held != NOTHING.0);
                let wanted = match chip.lies % 3 {
                    0 => read.tpm,
                    1 => read.held_after(),
                    _ => first.map(|(_, held)| Hash32(*held)),
                };
                Some(wanted.unwrap_or(NOTHING).0.to_vec())
            }
            Weather::Fine | Weather::LostReply => Some(chip.tpm.value().to_vec()),
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
        let mut chip = self.0.borrow_mut();
        if let Some(Some(nonce)) = chip.shares.filter(|shared| shared.is_some_and(|nonce| chip.tpm.is_open(&nonce))) {
            return Some(nonce);
        }
        let nonce = chip.tpm.open();
        chip.shares = chip.shares.map(|_| Some(nonce));
        Some(nonce)
    }

    /// A virtual TPM is put back with its machine.
    fn roll_back(&mut self, back: usize) -> bool {
        let mut chip = self.0.borrow_mut();
        let Some(place) = chip.past.len().checked_sub(back + 1) else { return false };
        let before = chip.past[place];
        chip.tpm.roll_back(before);
        chip.past.truncate(place);
        chip.note();
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
                    new(other(chip.number), 0).receipt_of(note, &fields)
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
