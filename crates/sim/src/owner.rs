//! What the owner of a TPM can do to it, and with everything that was ever signed for it.

use core::fmt;
use std::sync::Arc;

use pinseal_enclave::{Environment, LockedBytes, Passphrase};
use pinseal_fuzzing::harness::host::{Disk, enclave};
use pinseal_fuzzing::harness::randomness::Randomness;
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::pin::Argon2Parameters;
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::wire::{FromEnclave, ToEnclave};
use zeroize::Zeroizing;

use crate::anchor::{TPMS, Weather};
use crate::boot::{WHOLE, spend};
use crate::instance::Instance;
use crate::tenure::Tenure;
use crate::tpm::{CHIPS, named};
use crate::violation::Violation;
use crate::world::World;

/// What the owner does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// The index is undefined and defined anew, as it was.
    Redefine,
    /// TPM2_Clear.
    Clear,
    /// An authorisation is used, once more or for the first time, in a session opened for it.
    Replay {
        /// How many before the last.
        back: usize,
    },
    /// The index is defined anew and brought up again, checkpoint by checkpoint from the first on, each let in by whatever authorisation
    /// there is, or by one that an enclave gives which is told that the index holds what was there before it. Then an enclave is started.
    Rebuild {
        /// How many images back the database is that this leads to.
        back: usize,
    },
    /// An enclave is had to write the index for the first time; one that was written already is defined anew before.
    Prime {
        /// What it gave is used.
        uses: bool,
    },
    /// One open session is handed to every enclave that asks for one, until something was let in through it.
    Share,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redefine => f.write_str("its index is defined anew"),
            Self::Clear => f.write_str("it is cleared"),
            Self::Replay { back } => write!(f, "the authorisation {back} before the last is used"),
            Self::Rebuild { back } => {
                write!(f, "its index is defined anew and brought up to a database {back} writes old")
            }
            Self::Prime { uses: true } => f.write_str("its index is defined anew, and an enclave writes it"),
            Self::Prime { uses: false } => {
                f.write_str("its index is defined anew, and what lets a first value in is kept")
            }
            Self::Share => f.write_str("from now on one session is handed to every enclave"),
        }
    }
}

/// Randomness of which an adversary could wish the 32 bytes that are drawn next.
struct Luck {
    drawn: Hash32,
    rest: Randomness,
}

impl Environment for Luck {
    fn fill_random(&mut self, out: &mut [u8]) {
        if out.len() == self.drawn.0.len() {
            out.copy_from_slice(&self.drawn.0);
        } else {
            self.rest.fill_random(out);
        }
    }

    fn fill_second_random(&mut self, out: &mut [u8]) {
        self.rest.fill_second_random(out);
    }

    fn lock(&mut self, secret: Zeroizing<Vec<u8>>) -> LockedBytes {
        self.rest.lock(secret)
    }

    fn stretch(
        &mut self,
        passphrase: &Passphrase,
        salt: &[u8; 32],
        cost: &Argon2Parameters,
    ) -> Option<SecretBytes<32>> {
        self.rest.stretch(passphrase, salt, cost)
    }
}

/// What an index has to take, one after the other, to hold what it held for a database.
#[derive(Default)]
struct Way {
    /// What it was primed to hold, where the operators ordered to go on from that.
    base: Option<Hash32>,
    images: Vec<Arc<Disk>>,
}

impl World {
    /// Without effect where nobody has anything to do with that TPM yet.
    pub(crate) fn owner_does(&mut self, chip: usize, deed: Deed) -> Result<(), Violation> {
        let tpm = self.tpms[chip].clone();
        match deed {
            Deed::Redefine => tpm.redefine(),
            Deed::Clear => tpm.clear(),
            Deed::Replay { back } => {
                if let Some(held) = tpm.replay(back) {
                    self.say(|| "the index takes it, and holds a checkpoint".to_owned());
                    return self.note_anchored(&held);
                }
            }
            Deed::Rebuild { back } => return self.rebuild(chip, back),
            Deed::Prime { uses } => {
                self.prime(chip, None, uses, &mut { WHOLE });
            }
            Deed::Share => (0..CHIPS).for_each(|chip| self.tpms[chip].share()),
        }
        Ok(())
    }

    /// An index that was never written is written by an enclave, as an honest operator has it done before an order. False if the host died over
    /// it.
    pub(crate) fn prime_honestly(&mut self, chip: usize, steps: &mut u8) -> bool {
        if self.tpms[chip].value().is_some() {
            return true;
        }
        self.say(|| "the TPM's index is written for the first time".to_owned());
        self.prime(chip, None, true, steps);
        self.tpms[chip].value().is_some()
    }

    /// The index is defined anew, and an enclave, which may draw `luck`, lets something into it. The host dies after `steps` of its own.
    fn prime(&mut self, chip: usize, luck: Option<Hash32>, uses: bool, steps: &mut u8) {
        let Tenure { configuration, roots, .. } = &self.tenures[self.current];
        let Some(root) = roots.last().cloned() else { return };
        let tpm = named(chip, self.tpms[chip].seat().life);
        let asked =
            ToEnclave::Prime { configuration: cbor::to_vec(&**configuration).into(), sealed_root: root.into(), tpm };
        self.boots += 1;
        let (mut enclave, rest) = (enclave(), Randomness::new(1_000 + self.boots));
        let mut environment: Box<dyn Environment> = match luck {
            Some(drawn) => Box::new(Luck { drawn, rest }),
            None => Box::new(rest),
        };
        let needed = enclave.step(asked, &mut *environment).pop();
        let Some(FromEnclave::Define { writer }) = needed else { return };
        if !spend(steps) {
            return;
        }
        let nonce = self.tpms[chip].define(&writer);
        if !spend(steps) {
            return;
        }
        let given = enclave.step(ToEnclave::Defined { nonce }, &mut *environment).pop();
        let Some(FromEnclave::Primed { value, authorisation }) = given else { return };
        self.tpms[chip].gave_first(value, authorisation);
        if uses {
            self.tpms[chip].let_in_value(&value);
        }
    }

    fn rebuild(&mut self, chip: usize, back: usize) -> Result<(), Violation> {
        let Some(target) = self.library.iter().rev().nth(back).map(Arc::clone) else { return Ok(()) };
        let way = self.way(chip, &target.note);
        self.tpms[chip].redefine();
        if !self.go(chip, &way)? {
            self.say(|| "the index defined anew takes nothing more".to_owned());
            return Ok(());
        }
        self.say(|| "the index defined anew holds what the database says".to_owned());
        let tenure = self.boots_under(&target, 0);
        self.boot(0, target, tenure, false, Weather::Fine, WHOLE)
    }

    /// Brings an index that was just defined anew up again. False if that does not work.
    fn go(&mut self, chip: usize, way: &Way) -> Result<bool, Violation> {
        let read = |image: &Arc<Disk>| Checkpoint::read_unverified(&image.note).ok();
        let first = match way.base {
            Some(base) => self.tpms[chip].leads_to(&base),
            None => way.images.first().and_then(read).map(|genesis| genesis.hash()),
        };
        let Some(first) = first else { return Ok(false) };
        if !self.tpms[chip].let_in_value(&first) {
            // Perhaps another enclave draws it.
            self.prime(chip, Some(first), true, &mut { WHOLE });
        }
        let begins = way.base.or_else(|| way.images.first().and_then(read)?.held_after());
        if self.tpms[chip].value() != begins {
            let Some(genesis) = way.images.first().filter(|_| way.base.is_none()) else { return Ok(false) };
            self.tpms[chip].redefine();
            self.have_authorised(chip, genesis)?;
            if !self.tpms[chip].let_in(&genesis.note) {
                return Ok(false);
            }
        }
        for image in way.images.iter().skip(usize::from(way.base.is_none())) {
            if self.tpms[chip].let_in(&image.note) {
                continue;
            }
            self.have_authorised(chip, image)?;
            if !self.tpms[chip].let_in(&image.note) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The databases that lead up to this checkpoint in that TPM, from the first on; none where they were not kept.
    fn way(&self, chip: usize, note: &[u8]) -> Way {
        let (mut at, mut later) = (note, Vec::new());
        while let Some(step) = self.steps.get(at).filter(|step| step.judge == TPMS + chip) {
            let Some(image) = self.library.iter().find(|image| image.note == at) else { return Way::default() };
            later.push(Arc::clone(image));
            let before = Checkpoint::read_unverified(at).ok().and_then(|read| read.tpm);
            let base = self.tenures[step.tenure].shape.seat().and_then(|seat| seat.base);
            if base.is_some() && before == base {
                later.reverse();
                return Way { base, images: later };
            }
            at = &step.previous;
        }
        let Some(place) = self.chain.iter().position(|image| image.note == at) else { return Way::default() };
        Way { base: None, images: self.chain[..=place].iter().cloned().chain(later.into_iter().rev()).collect() }
    }

    /// An enclave is started on this database and told that the index holds what was there before its newest checkpoint.
    fn have_authorised(&mut self, chip: usize, image: &Arc<Disk>) -> Result<(), Violation> {
        let tenure = self.boots_under(image, 0);
        let before = Checkpoint::read_unverified(&image.note).ok().and_then(|read| read.tpm);
        let (Some(root), Some(before)) = (self.tenures[tenure].roots.last().cloned(), before) else { return Ok(()) };
        self.boots += 1;
        let place = TPMS + chip;
        let instance = Instance::new(1_000 + self.boots, Arc::clone(image), self.now, tenure, place);
        self.instances[0] = Some(Box::new(instance));
        let boot = ToEnclave::Boot {
            configuration: cbor::to_vec(&**self.configuration(tenure)).into(),
            sealed_root: root.into(),
            checkpoint: image.note.clone().into(),
            frontier: image.frontier.clone(),
            anchored: before.0.to_vec().into(),
            time: UnixSeconds(self.now),
            change: None,
            nonce: self.places[place].nonce(),
        };
        for message in [boot, ToEnclave::Headers { headers: image.headers() }, ToEnclave::HeadersEnd] {
            if self.instance(0).is_some_and(|instance| !instance.is_over()) {
                self.send(0, message)?;
            }
        }
        self.kill(0);
        Ok(())
    }
}
