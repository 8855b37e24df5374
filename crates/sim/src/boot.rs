//! Booting on any image, with the host dying at any step of it.

use std::sync::Arc;

use pinseal_fuzzing::harness::host::Disk;
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::wire::{BatchId, FromEnclave, ToEnclave};

use crate::anchor::{Advance, Weather, continues};
use crate::instance::Instance;
use crate::tenure::Seat;
use crate::violation::Violation;
use crate::world::World;

/// Steps of a boot that its host lives through, where nothing cuts it short.
pub(crate) const WHOLE: u8 = u8::MAX;

impl World {
    /// The image that an honest operator boots on: the one the anchor names, or the one just ahead of it.
    pub(crate) fn newest_image(&self) -> Option<Arc<Disk>> {
        self.image_of(self.current)
    }

    /// As [`World::newest_image`], of any tenure.
    pub(crate) fn image_of(&self, tenure: usize) -> Option<Arc<Disk>> {
        let held = self.held(tenure);
        let is_newest = |image: &&Arc<Disk>| {
            let leads = match self.tenures[tenure].shape.seat() {
                Some(seat) => self.leads_in(seat, tenure, &image.note),
                None => continues(&image.note, &held),
            };
            self.tenure_of(&image.note) == tenure && leads
        };
        self.library.iter().rev().find(is_newest).map(Arc::clone)
    }

    /// Whether a TPM's index holds this checkpoint, or what it goes in on top of, or what this tenure begins on top of.
    fn leads_in(&self, seat: Seat, tenure: usize, note: &[u8]) -> bool {
        let Some(held) = self.tpms[seat.chip].value() else { return false };
        let born = self.tenures[tenure].born.as_ref();
        let begins = seat.base == Some(held) && born.is_some_and(|born| born.note == note);
        let read = Checkpoint::read_unverified(note).ok();
        begins || read.is_some_and(|read| read.tpm == Some(held) || read.held_after() == Some(held))
    }

    /// Starts an enclave on the newest database, after whatever change has to be finished first.
    pub(crate) fn start(&mut self, at: usize, honest: bool) -> Result<(), Violation> {
        if honest && let Some(begun) = self.unfinished.take() {
            self.finish_change(at, begun)?;
        }
        if let Some(begun) = self.dangling() {
            self.finish_change(at, begun)?;
        }
        match self.newest_image() {
            Some(image) => self.boot(at, image, self.current, honest, Weather::Fine, WHOLE),
            None => Ok(()),
        }
    }

    /// Starts an enclave on this image, under the root and configuration of this tenure. The host dies after `steps` of its own.
    pub(crate) fn boot(
        &mut self,
        at: usize,
        image: Arc<Disk>,
        tenure: usize,
        honest: bool,
        weather: Weather,
        steps: u8,
    ) -> Result<(), Violation> {
        self.boot_until(at, image, tenure, (honest, false), weather, steps)
    }

    /// As [`World::boot`], by an `honest` host or not; one that `pauses` does not die then, and goes on later.
    pub(crate) fn boot_until(
        &mut self,
        at: usize,
        image: Arc<Disk>,
        tenure: usize,
        (honest, pauses): (bool, bool),
        weather: Weather,
        mut steps: u8,
    ) -> Result<(), Violation> {
        self.kill(at);
        let Some(root) = self.tenures[tenure].roots.last().cloned() else {
            self.say(|| "there is no root for this".to_owned());
            return Ok(());
        };
        let place = self.place(tenure);
        // Memory takes any database for the newest.
        self.rolled_back |=
            self.places[place].level() == AnchorLevel::L0 && !continues(&image.note, &self.places[place].holds(0));
        let Some(anchored) = self.places[place].read(&image.note, weather) else {
            self.say(|| "the anchor cannot be read".to_owned());
            return Ok(());
        };
        self.boots += 1;
        // Every boot has its own randomness, whatever moves came before.
        let seed = 1_000 + self.boots;
        self.instances[at] = Some(Box::new(Instance::new(seed, Arc::clone(&image), self.now, tenure, place)));
        let boot = ToEnclave::Boot {
            configuration: cbor::to_vec(&**self.configuration(tenure)).into(),
            sealed_root: root.into(),
            checkpoint: image.note.clone().into(),
            frontier: image.frontier.clone(),
            anchored: anchored.into(),
            time: UnixSeconds(self.now),
            change: None,
            nonce: self.places[place].nonce(),
        };
        if self.open(at, boot, &image, &mut steps)? {
            self.finish_boot(at, honest, pauses, &mut steps)?;
        }
        Ok(())
    }

    /// Hands over everything that is stored; false if the host died over it.
    pub(crate) fn open(&mut self, at: usize, boot: ToEnclave, image: &Disk, steps: &mut u8) -> Result<bool, Violation> {
        self.note_anchored(&image.note)?;
        self.send(at, boot)?;
        for message in [ToEnclave::Headers { headers: image.headers() }, ToEnclave::HeadersEnd] {
            if self.instance(at).is_none_or(|instance| instance.is_over()) {
                break;
            }
            let effects = self.send(at, message)?;
            let Some(FromEnclave::RollForward { previous, checkpoint, .. }) = effects.into_iter().next() else {
                continue;
            };
            if !self.roll_forward(at, &previous, &checkpoint, steps)? {
                self.kill(at);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// False if the host died over it.
    fn roll_forward(
        &mut self,
        at: usize,
        previous: &[u8],
        checkpoint: &[u8],
        steps: &mut u8,
    ) -> Result<bool, Violation> {
        if !spend(steps) {
            return Ok(false);
        }
        self.say(|| "the database is one checkpoint ahead: the anchor is rolled forward".to_owned());
        let said = self.advance(at, previous, checkpoint, Weather::Fine);
        self.note_anchored(checkpoint)?;
        let (Advance::Receipt(receipt) | Advance::Lost(receipt)) = said else { return Ok(false) };
        if !spend(steps) {
            return Ok(false);
        }
        let nonce = self.nonce(at);
        self.send(at, ToEnclave::Committed { batch: BatchId(0), receipt: receipt.into(), nonce })?;
        Ok(true)
    }

    pub(crate) fn finish_boot(
        &mut self,
        at: usize,
        honest: bool,
        pauses: bool,
        steps: &mut u8,
    ) -> Result<(), Violation> {
        while self.instance(at).is_some_and(|instance| !instance.is_over() && instance.flight.is_some()) {
            if !spend(steps) {
                if pauses {
                    self.say(|| "the host waits".to_owned());
                    return Ok(());
                }
                self.say(|| "the host dies while it boots".to_owned());
                self.kill(at);
                return Ok(());
            }
            self.carry_on(at, Weather::Fine)?;
        }
        let ready = |instance: &mut Instance| instance.halted.is_none() && instance.manifest.is_some();
        if !self.instance(at).is_some_and(ready) {
            self.kill(at);
        } else if honest {
            self.employ(at);
        }
        Ok(())
    }

    /// The adversary's host does the next thing with the batch in flight: store, anchor, tell.
    pub(crate) fn carry_on(&mut self, at: usize, weather: Weather) -> Result<(), Violation> {
        let Some(instance) = self.instance(at) else { return Ok(()) };
        let Some(flight) = &mut instance.flight else { return Ok(()) };
        let batch = flight.batch.clone();
        if flight.before.is_none() {
            if weather != Weather::Unreachable {
                instance.store(&batch);
                self.keep_image(at);
                self.say(|| "a batch is stored".to_owned());
            }
            return Ok(());
        }
        let Some(receipt) = flight.said.take().and_then(Advance::receipt) else {
            let said = self.advance(at, &batch.previous, &batch.checkpoint, weather);
            self.say(|| format!("the anchor says {}", crate::honest::describe(&said)));
            if let Some(flight) = self.instance(at).and_then(|instance| instance.flight.as_mut()) {
                flight.said = Some(said);
            }
            return self.note_anchored(&batch.checkpoint);
        };
        let nonce = self.nonce(at);
        self.send(at, ToEnclave::Committed { batch: batch.batch, receipt: receipt.into(), nonce })?;
        self.bury(at);
        Ok(())
    }

    /// A halted enclave's process ends.
    pub(crate) fn bury(&mut self, at: usize) {
        if self.instance(at).is_some_and(|instance| instance.is_over()) {
            self.kill(at);
        }
    }
}

/// One of the steps that a host lives through; false if there is none left.
pub(crate) fn spend(steps: &mut u8) -> bool {
    match *steps {
        WHOLE => true,
        0 => false,
        _ => {
            *steps -= 1;
            true
        }
    }
}

impl Advance {
    /// What the enclave is told, if the anchor said anything.
    pub(crate) fn receipt(self) -> Option<Vec<u8>> {
        match self {
            Self::Receipt(receipt) | Self::Lost(receipt) => Some(receipt),
            Self::Silence => None,
        }
    }
}
