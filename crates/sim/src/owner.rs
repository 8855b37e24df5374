//! What the owner of a TPM can do to it, and with everything that was ever signed for it.

use core::fmt;
use std::sync::Arc;

use pinseal_fuzzing::harness::host::Disk;
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::wire::ToEnclave;

use crate::anchor::{OWN, Weather};
use crate::boot::WHOLE;
use crate::instance::Instance;
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
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redefine => f.write_str("the TPM's index is defined anew"),
            Self::Clear => f.write_str("the TPM is cleared"),
            Self::Replay { back } => write!(f, "the authorisation {back} before the last is used"),
            Self::Rebuild { back } => {
                write!(f, "the TPM's index is defined anew and brought up to a database {back} writes old")
            }
        }
    }
}

impl World {
    /// Without effect where there is no TPM.
    pub(crate) fn owner_does(&mut self, deed: Deed) -> Result<(), Violation> {
        let Some(tpm) = self.tpm.clone() else { return Ok(()) };
        match deed {
            Deed::Redefine => tpm.redefine(),
            Deed::Clear => tpm.clear(),
            Deed::Replay { back } => {
                if let Some(held) = tpm.replay(back) {
                    self.say(|| "the index takes it, and holds a checkpoint".to_owned());
                    if !self.library.iter().any(|image| image.note == held) {
                        // Let in before it was stored: perhaps nobody ever has it.
                        tpm.spoil();
                    }
                    return self.note_anchored(&held);
                }
            }
            Deed::Rebuild { back } => return self.rebuild(back),
        }
        Ok(())
    }

    fn rebuild(&mut self, back: usize) -> Result<(), Violation> {
        let (Some(tpm), Some(target)) = (self.tpm.clone(), self.library.iter().rev().nth(back).map(Arc::clone)) else {
            return Ok(());
        };
        let path = self.path(&target.note);
        tpm.redefine();
        for image in path {
            if tpm.let_in(&image.note) {
                continue;
            }
            self.have_authorised(&image)?;
            if !tpm.let_in(&image.note) {
                self.say(|| "the index defined anew takes nothing more".to_owned());
                return Ok(());
            }
        }
        self.say(|| "the index defined anew holds what the database says".to_owned());
        let tenure = self.boots_under(&target, 0);
        self.boot(0, target, tenure, false, Weather::Fine, WHOLE)
    }

    /// The databases that lead up to this checkpoint, from the first on; none where they were not kept.
    fn path(&self, note: &[u8]) -> Vec<Arc<Disk>> {
        let (mut at, mut later) = (note, Vec::new());
        while let Some(step) = self.steps.get(at) {
            let Some(image) = self.library.iter().find(|image| image.note == at) else { return Vec::new() };
            later.push(Arc::clone(image));
            at = &step.previous;
        }
        let Some(place) = self.chain.iter().position(|image| image.note == at) else { return Vec::new() };
        self.chain[..=place].iter().cloned().chain(later.into_iter().rev()).collect()
    }

    /// An enclave is started on this database and told that the index holds what was there before its newest checkpoint.
    fn have_authorised(&mut self, image: &Arc<Disk>) -> Result<(), Violation> {
        let tenure = self.boots_under(image, 0);
        let before = Checkpoint::read_unverified(&image.note).ok().and_then(|read| read.tpm);
        let (Some(root), Some(before)) = (self.tenures[tenure].roots.last().cloned(), before) else { return Ok(()) };
        self.boots += 1;
        let instance = Instance::new(1_000 + self.boots, Arc::clone(image), self.now, tenure, OWN);
        self.instances[0] = Some(Box::new(instance));
        let boot = ToEnclave::Boot {
            configuration: cbor::to_vec(&**self.configuration(tenure)).into(),
            sealed_root: root.into(),
            checkpoint: image.note.clone().into(),
            frontier: image.frontier.clone(),
            anchored: before.0.to_vec().into(),
            time: UnixSeconds(self.now),
            change: None,
            nonce: self.places[OWN].nonce(),
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
