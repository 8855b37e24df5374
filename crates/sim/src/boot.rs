//! Booting on any image, with the host dying at any step of it.

use std::sync::Arc;

use pinseal_fuzzing::harness::host::Disk;
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::wire::{BatchId, FromEnclave, ToEnclave};

use crate::anchor::{Advance, Weather, continues};
use crate::instance::Instance;
use crate::violation::Violation;
use crate::world::World;

/// Steps of a boot that its host lives through, where nothing cuts it short.
pub(crate) const WHOLE: u8 = u8::MAX;

impl World {
    /// The image that an honest operator boots on: the one the anchor names, or the one just ahead of it.
    pub(crate) fn newest_image(&self) -> Option<Arc<Disk>> {
        self.library.iter().rev().find(|image| continues(&image.note, self.anchor.holds())).map(Arc::clone)
    }

    /// Starts an enclave on this image. The host dies after `steps` of its own.
    pub(crate) fn boot(
        &mut self,
        at: usize,
        image: Arc<Disk>,
        honest: bool,
        weather: Weather,
        mut steps: u8,
    ) -> Result<(), Violation> {
        self.kill(at);
        // Memory takes any database for the newest.
        self.rolled_back |= self.anchor.level() == AnchorLevel::L0 && !continues(&image.note, self.anchor.holds());
        let Some(anchored) = self.anchor.read(&image.note, weather) else {
            self.say(|| "the anchor cannot be read".to_owned());
            return Ok(());
        };
        self.note_anchored(&image.note)?;
        self.boots += 1;
        // Every boot has its own randomness, whatever moves came before.
        let seed = 1_000 + self.boots;
        self.instances[at] = Some(Box::new(Instance::new(seed, Arc::clone(&image), self.now)));
        let boot = ToEnclave::Boot {
            configuration: cbor::to_vec(&self.configuration).into(),
            sealed_root: image.sealed_root.clone().into(),
            checkpoint: image.note.clone().into(),
            frontier: image.frontier.clone(),
            anchored: anchored.into(),
            time: UnixSeconds(self.now),
            change: None,
            nonce: None,
        };
        self.send(at, boot)?;
        for message in [ToEnclave::Headers { headers: image.headers() }, ToEnclave::HeadersEnd] {
            if self.instance(at).is_none_or(|instance| instance.halted.is_some()) {
                break;
            }
            let effects = self.send(at, message)?;
            let Some(FromEnclave::RollForward { previous, checkpoint, .. }) = effects.into_iter().next() else {
                continue;
            };
            if !self.roll_forward(at, &previous, &checkpoint, &mut steps)? {
                self.kill(at);
                return Ok(());
            }
        }
        self.finish_boot(at, honest, &mut steps)
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
        let said = self.anchor.advance(previous, checkpoint, Weather::Fine);
        self.note_anchored(checkpoint)?;
        let (Advance::Receipt(receipt) | Advance::Lost(receipt)) = said else { return Ok(false) };
        if !spend(steps) {
            return Ok(false);
        }
        self.send(at, ToEnclave::Committed { batch: BatchId(0), receipt: receipt.into(), nonce: None })?;
        Ok(true)
    }

    fn finish_boot(&mut self, at: usize, honest: bool, steps: &mut u8) -> Result<(), Violation> {
        while self.instance(at).is_some_and(|instance| instance.halted.is_none() && instance.flight.is_some()) {
            if !spend(steps) {
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
            let said = self.anchor.advance(&batch.previous, &batch.checkpoint, weather);
            self.say(|| format!("the anchor says {}", crate::honest::describe(&said)));
            if let Some(flight) = self.instance(at).and_then(|instance| instance.flight.as_mut()) {
                flight.said = Some(said);
            }
            return self.note_anchored(&batch.checkpoint);
        };
        self.send(at, ToEnclave::Committed { batch: batch.batch, receipt: receipt.into(), nonce: None })?;
        self.bury(at);
        Ok(())
    }

    /// A halted enclave's process ends.
    pub(crate) fn bury(&mut self, at: usize) {
        if self.instance(at).is_some_and(|instance| instance.halted.is_some()) {
            self.kill(at);
        }
    }
}

fn spend(steps: &mut u8) -> bool {
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
