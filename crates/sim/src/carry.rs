//! Carrying an order out, as an honest host does or as the adversary likes: on any state, under any root, at either stage, with any
//! receipt, the host dying or pausing at any step.

use std::sync::Arc;

use pinseal_fuzzing::harness::host::Disk;
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::order::root_hash;
use pinseal_protocol::tpm::NOTHING;
use pinseal_protocol::wire::{Change, ChangeStage, ToEnclave};

use crate::anchor::{Advance, OWN, Weather, continues};
use crate::boot::WHOLE;
use crate::instance::{Changing, Instance};
use crate::tenure::{Home, Seat, Shape};
use crate::violation::Violation;
use crate::world::World;

/// Which stage the enclave is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// As it is.
    True,
    /// That nothing is in the log.
    Ordered,
    /// That the entry of another term is: of the change begun so many before the last.
    Logged(usize),
}

/// What the enclave is shown of the anchor that is to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// What it says, where an honest host would ask it.
    Asked,
    /// Nothing.
    Nothing,
    /// What the adversary can make up, of some kinds one.
    Forged(usize),
}

/// One attempt to carry an order out.
#[derive(Clone)]
pub(crate) struct Errand {
    /// Place of the order.
    pub(crate) order: usize,
    pub(crate) image: Arc<Disk>,
    /// Under whose root and configuration.
    pub(crate) tenure: usize,
    /// Which of its roots, counted back.
    pub(crate) root: usize,
    /// The configuration says that the TPM's index holds what it holds now, whatever was ordered.
    pub(crate) rebased: bool,
    pub(crate) stage: Stage,
    pub(crate) claim: Claim,
    /// The receipt for the entry is asked of the anchor that is to follow, whoever judges.
    pub(crate) asks_next: bool,
    pub(crate) is_honest: bool,
    pub(crate) weather: Weather,
    /// Steps of the host before it dies.
    pub(crate) steps: u8,
    /// It does not die then, and goes on later.
    pub(crate) pauses: bool,
}

impl World {
    /// An honest host carries out the newest order, on the state that was shown for it.
    pub(crate) fn carry_newest(&mut self, at: usize, weather: Weather, steps: u8) -> Result<(), Violation> {
        let Some(order) = self.orders.len().checked_sub(1) else { return Ok(()) };
        let (image, tenure) = (Arc::clone(&self.orders[order].image), self.orders[order].tenure);
        let begun = self.tenures.len();
        let errand = Errand { is_honest: true, weather, steps, ..Errand::honest(order, image, tenure) };
        self.carry(at, errand)?;
        let is_stored = |tenure: &usize| self.stored_birth(*tenure).is_some();
        self.unfinished =
            (begun..self.tenures.len()).find(|tenure| self.tenures[*tenure].roots.is_empty()).filter(is_stored);
        Ok(())
    }

    /// The database with the first checkpoint of a tenure as its newest.
    fn stored_birth(&self, tenure: usize) -> Option<Arc<Disk>> {
        let born = self.tenures[tenure].born.as_ref()?;
        self.library.iter().rev().find(|image| image.note == born.note).map(Arc::clone)
    }

    /// The change that the anchor in force holds and whose root nobody has: nothing boots before it is finished.
    pub(crate) fn dangling(&self) -> Option<usize> {
        let tenure = self.tenure_of(&self.held(self.current));
        self.tenures[tenure].roots.is_empty().then_some(tenure)
    }

    /// An honest host finishes what is in the log.
    pub(crate) fn finish_change(&mut self, at: usize, tenure: usize) -> Result<(), Violation> {
        let (Some(image), Some(born)) = (self.stored_birth(tenure), self.tenures[tenure].born.as_ref()) else {
            return Ok(());
        };
        let (from, named) = (born.from, born.order);
        let Some(order) = self.orders.iter().position(|given| given.content.hash() == named) else { return Ok(()) };
        self.say(|| "the change that is in the log is finished".to_owned());
        self.carry(at, Errand::honest(order, image, from))
    }

    /// Boots an enclave to carry an order out.
    pub(crate) fn carry(&mut self, at: usize, errand: Errand) -> Result<(), Violation> {
        self.kill(at);
        let given = &self.orders[errand.order];
        let (restores, order) = (given.content.restores.is_some(), given.signed.clone());
        let next = self.next(&errand);
        let roots = &self.tenures[errand.tenure].roots;
        let Some(root) = roots.iter().rev().nth(errand.root).or(roots.last()).cloned() else { return Ok(()) };
        let judge = if restores { next.place() } else { self.place(errand.tenure) };
        let Some(stage) = self.stage(&errand, restores)? else { return Ok(()) };
        // What a restore is there to set aside need not be known; where it is in a TPM already, that shows.
        let anchored = if restores && next.seat().is_none() {
            errand.image.note.clone()
        } else {
            let Some(read) = self.places[judge].read(&errand.image.note, errand.weather) else { return Ok(()) };
            read
        };
        let change =
            Change { configuration: cbor::to_vec(&*next.configuration(self.own_level())).into(), order, stage };
        let changing = Changing { next, judge, restores, root: root_hash(&root), is_done: false };
        self.boots += 1;
        let place = if errand.asks_next { next.place() } else { judge };
        let image = Arc::clone(&errand.image);
        let mut instance = Instance::new(1_000 + self.boots, Arc::clone(&image), self.now, errand.tenure, place);
        instance.changing = Some(changing);
        self.instances[at] = Some(Box::new(instance));
        let boot = ToEnclave::Boot {
            configuration: cbor::to_vec(&**self.configuration(errand.tenure)).into(),
            sealed_root: root.into(),
            checkpoint: image.note.clone().into(),
            frontier: image.frontier.clone(),
            anchored: anchored.into(),
            time: UnixSeconds(self.now),
            change: Some(change),
            nonce: self.places[place].nonce(),
        };
        let mut steps = errand.steps;
        if self.open(at, boot, &image, &mut steps)? {
            self.finish_boot(at, false, errand.pauses, &mut steps)?;
        }
        Ok(())
    }

    /// What the enclave is told is to follow.
    fn next(&self, errand: &Errand) -> Shape {
        let next = self.orders[errand.order].next;
        match next.home {
            Home::Tpm(seat) if errand.rebased => {
                Shape { home: Home::Tpm(Seat { base: self.tpms[seat.chip].value(), ..seat }), ..next }
            }
            _ => next,
        }
    }

    /// The stage that the enclave is told; `None` where the host gives up.
    fn stage(&mut self, errand: &Errand, restores: bool) -> Result<Option<ChangeStage>, Violation> {
        let given = &self.orders[errand.order];
        let begun = &self.tenures[self.tenure_of(&errand.image.note)];
        let is_its_own =
            |born: &crate::tenure::Born| born.note == errand.image.note && born.order == given.content.hash();
        let term = match errand.stage {
            Stage::True if begun.born.as_ref().is_some_and(is_its_own) => begun.term,
            Stage::True | Stage::Ordered => None,
            Stage::Logged(back) => match self.tenures.iter().rev().filter_map(|tenure| tenure.term).nth(back) {
                None => return Ok(None),
                term => term,
            },
        };
        if let Some(term) = term {
            return Ok(Some(ChangeStage::Logged { term }));
        }
        let next = self.next(errand);
        if let Some(seat) = next.seat()
            && (restores || !next.has_tpm_of(self.tenures[errand.tenure].shape))
        {
            let word = self.word(errand, seat);
            return Ok(word.map(|word| ChangeStage::Ordered { receipt: word.into() }));
        }
        if restores {
            return Ok(Some(ChangeStage::Ordered { receipt: Vec::new().into() }));
        }
        let receipt = self.claimed(errand)?;
        Ok(receipt.map(|receipt| ChangeStage::Ordered { receipt: receipt.into() }))
    }

    /// What the enclave is shown as the TPM's word for what its index holds; `None` where the host gives up.
    fn word(&mut self, errand: &Errand, seat: Seat) -> Option<Vec<u8>> {
        let (tpm, purpose) = (&self.tpms[seat.chip], self.orders[errand.order].content.hash());
        let wanted = seat.base.unwrap_or(NOTHING);
        let word = match errand.claim {
            Claim::Nothing => Vec::new(),
            Claim::Forged(kind) => tpm.forge_word(&purpose, &wanted, kind),
            Claim::Asked => tpm.word(&purpose, errand.weather),
        };
        let is_answered = !errand.is_honest || !word.is_empty();
        self.say(|| format!("the TPM says {} of its index", if is_answered { "something" } else { "nothing" }));
        is_answered.then_some(word)
    }

    /// What the enclave is shown as the word of the anchor that is to follow.
    fn claimed(&mut self, errand: &Errand) -> Result<Option<Vec<u8>>, Violation> {
        let (next, note) = (self.orders[errand.order].next.place(), errand.image.note.clone());
        if !matches!(self.places[next].level(), AnchorLevel::L2 | AnchorLevel::L4) {
            return Ok(Some(note));
        }
        match errand.claim {
            Claim::Nothing => Ok(Some(Vec::new())),
            Claim::Forged(kind) => {
                let old = self.library.iter().rev().map(|image| &image.note).find(|old| **old != note);
                Ok(Some(self.places[next].forge(&note, old.unwrap_or(&note), kind)))
            }
            Claim::Asked => {
                // Nobody who never goes back is shown a state that the enclave is going to refuse.
                let held = self.held(errand.tenure);
                let is_newest = if errand.is_honest { continues(&note, &held) } else { note == held };
                if !is_newest && !self.setting.splits_witnesses() {
                    self.say(|| "the database is not at what the anchor holds: nothing is changed".to_owned());
                    return Ok(None);
                }
                let held = self.places[next].holds(crate::anchor::restores(&note));
                let said = self.places[next].advance(&held, &note, errand.weather);
                self.say(|| format!("the anchor that is to follow says {}", crate::honest::describe(&said)));
                self.note_anchored(&note)?;
                // What was cosigned once says nothing where something else was since: only an adversary shows that.
                let is_there = self.places[next].has(&note) || !errand.is_honest;
                match said {
                    Advance::Receipt(receipt) if is_there => Ok(Some(receipt)),
                    _ if errand.is_honest => Ok(None),
                    said => Ok(Some(said.receipt().unwrap_or_default())),
                }
            }
        }
    }

    /// The anchor that the host of this enclave asks takes `next`, or not.
    pub(crate) fn advance(&mut self, at: usize, previous: &[u8], next: &[u8], weather: Weather) -> Advance {
        let Some(instance) = self.instances[at].as_deref() else { return Advance::Silence };
        let (place, tenure) = (instance.place, instance.tenure);
        if !instance.changing.is_some_and(|changing| changing.restores) {
            return self.places[place].advance(previous, next, weather);
        }
        let held = self.places[place].holds(0);
        // An order is given for the state of one root. Who carries it out once another is in force puts the file back.
        if place == OWN && held != next && self.tenure_of(&held) != tenure {
            if !self.setting.restores_anchor() {
                return Advance::Lost(held);
            }
            self.put_back();
        }
        self.places[place].restore(next, weather)
    }

    /// The file was put back.
    pub(crate) fn put_back(&mut self) {
        if self.place(self.current) == OWN {
            self.rolled_back = true;
        } else {
            self.stale_own = true;
        }
    }
}

impl Errand {
    /// As an honest host does it to the end.
    pub(crate) const fn honest(order: usize, image: Arc<Disk>, tenure: usize) -> Self {
        Self {
            order,
            image,
            tenure,
            root: 0,
            rebased: false,
            stage: Stage::True,
            claim: Claim::Asked,
            asks_next: false,
            is_honest: true,
            weather: Weather::Fine,
            steps: WHOLE,
            pauses: false,
        }
    }
}
