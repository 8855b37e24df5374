//! The end of every schedule: all faults stop, the operator starts an honest host on the newest database, and the users follow
//! instructions.

use std::sync::Arc;

use pinseal_fuzzing::harness::host::Disk;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;

use crate::anchor::{Weather, restores};
use crate::books::Books;
use crate::boot::WHOLE;
use crate::operators::{Goal, Lie, Number, Wish};
use crate::people::{Plan, What};
use crate::tenure::Tenure;
use crate::violation::{Invariant, Violation};
use crate::watch::told;
use crate::world::{INSTANCES, World};

/// Times a user repeats what is retryable, waiting as long as they are told.
const PATIENCE: usize = 4;
/// Devices of one user that are tried.
const DEVICES_TRIED: usize = 2;

impl World {
    /// Everybody gets in again, unless the caps say otherwise.
    ///
    /// # Errors
    /// [`Invariant::Live`], [`Invariant::KeyKept`], or whatever else breaks on the way.
    pub fn epilogue(&mut self) -> Result<(), Violation> {
        if self.rolled_back {
            return Ok(());
        }
        self.say(|| "> everything heals, and users follow instructions".to_owned());
        for at in 0..INSTANCES {
            self.kill(at);
        }
        self.start(0, true)?;
        if self.instances[0].is_none() {
            self.replace_the_tpm()?;
        }
        let (place, number) = (self.place(self.current), self.tenures[self.current].restores);
        let is_split = self.instances[0].is_none() || self.places[place].is_split(number);
        let split = self.numbered_twice().filter(|_| is_split);
        if let Some(newer) = self.contradicted().max(split).max(self.promised_more()) {
            self.put_in_order(newer)?;
        }
        if self.instances[0].is_none() {
            return self.broken(Invariant::Live, || "the newest database does not boot".to_owned());
        }
        // Bob only where something happened to him; Ada always.
        let is_asked = |user: &str, books: &Books| user == "ada" || books.is_touched();
        let users = self.lines[self.line(0)].books.iter().filter(|(user, books)| is_asked(user, books));
        for user in users.map(|(user, _)| *user).collect::<Vec<_>>() {
            self.get_in(user)?;
            self.look_back(user)?;
        }
        Ok(())
    }

    /// The highest restore of which a device has seen what the state in force does not continue: two restores were given one number, or one
    /// was carried out that is not in force.
    fn contradicted(&self) -> Option<u32> {
        let tip = &self.lines[self.current_line()].tip;
        let now = restores(tip);
        let seen = self.devices.iter().filter_map(|device| device.receipt.as_ref());
        let against = seen.filter(|seen| restores(seen) >= now && !self.descends(tip, seen));
        against.map(|seen| restores(seen)).max()
    }

    /// The restore in force, where a client has seen a higher floor than that of its configuration: two restores were given one number, and
    /// one of them was a rise to witnesses.
    fn promised_more(&self) -> Option<u32> {
        let floor = self.configuration(self.current).floor;
        let has_more = self.floors.iter().flatten().any(|promised| *promised > floor);
        has_more.then(|| restores(&self.lines[self.current_line()].tip))
    }

    /// The highest number that two restores were begun with: it is one log for witnesses that both have in common, and may split them.
    fn numbered_twice(&self) -> Option<u32> {
        let is_restore = |tenure: &&Tenure| {
            let born = tenure.born.as_ref().and_then(|born| self.steps.get(&born.note));
            born.is_some_and(|step| step.restored.is_some())
        };
        let mut numbers: Vec<u32> = self.tenures.iter().filter(is_restore).map(|tenure| tenure.restores).collect();
        numbers.sort_unstable();
        numbers.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).max()
    }

    /// The operators make the state in force the state, by a restore with a number above all that anybody has seen.
    fn put_in_order(&mut self, above: u32) -> Result<(), Violation> {
        self.kill(0);
        self.say(|| "a client holds what the state does not continue: the operators restore it once more".to_owned());
        let Some(image) = self.newest_image() else { return Ok(()) };
        // Under witnesses, where a client has seen some.
        let to = self.promised_more().map_or(Goal::Same, |_| Goal::Witnesses(0));
        self.order(Wish::Restore { to, number: Number::Above(above) }, image, Lie::None);
        self.carry_newest(0, Weather::Fine, WHOLE)?;
        self.start(0, true)
    }

    /// Nothing goes on in a TPM that was spoilt: the operators restore what is left of the newest state, in that TPM where its index is one that an
    /// enclave wrote, or else in what is there, as docs/tpm.md tells them to.
    fn replace_the_tpm(&mut self) -> Result<(), Violation> {
        let Some(seat) = self.tenures[self.current].shape.seat() else { return Ok(()) };
        let Some(image) = self.newest_left() else { return Ok(()) };
        self.say(|| "nothing starts: the operators restore what is left".to_owned());
        let now = self.tpms[seat.chip].seat();
        let is_there = now.life == seat.life && now.base.is_some();
        if !is_there && !self.prime_honestly(seat.chip, &mut { WHOLE }) {
            return Ok(());
        }
        let to = if is_there { Goal::Same } else { Goal::Tpm(seat.chip) };
        let above = self.tenures.iter().map(|tenure| tenure.restores).max().unwrap_or_default();
        self.order(Wish::Restore { to, number: Number::Above(above) }, image, Lie::None);
        self.carry_newest(0, Weather::Fine, WHOLE)?;
        self.start(0, true)
    }

    /// The newest database of the tenure in force that was ever stored, whatever its TPM has taken since.
    pub(crate) fn newest_left(&self) -> Option<Arc<Disk>> {
        let mut at = self.lines[self.current_line()].tip.as_slice();
        loop {
            let image = self.library.iter().rev().find(|image| image.note == at);
            if let Some(image) = image.filter(|_| self.tenure_of(at) == self.current) {
                return Some(Arc::clone(image));
            }
            at = &self.steps.get(at)?.previous;
        }
    }

    fn get_in(&mut self, user: &'static str) -> Result<(), Violation> {
        let standing = self.standing(0, user).cloned().unwrap_or_default();
        let what = match (standing.active, standing.pending) {
            (Some(_), _) => What::Verify,
            (None, Some(_)) => What::Confirm,
            _ => return Ok(()),
        };
        let own =
            |place: &usize| self.devices[*place].user == user && standing.enrolled.contains(&self.devices[*place].key);
        let devices: Vec<usize> = (0..self.devices.len()).filter(own).take(DEVICES_TRIED).collect();
        for device in devices {
            self.agree(device)?;
            let open = self.standing(0, user).is_some_and(|standing| standing.left(self.devices[device].key) > 0);
            let outcome = self.insist(Plan { device, what, right: true, heard: true })?;
            match outcome {
                Some(Outcome::PinVerified | Outcome::Registered(_)) if open => return Ok(()),
                Some(Outcome::PinVerified | Outcome::Registered(_)) => {
                    self.broken(Invariant::Caps, || format!("{user} gets in at a cap"))?;
                }
                // Its client asks for nothing before it has agreed, and it has used the try for that.
                None if !open && self.is_behind(0, device) => {}
                Some(Outcome::Refused(
                    Refusal::Locked | Refusal::WalletLocked | Refusal::PinSpent | Refusal::RestoreTried,
                )) if !open => {}
                Some(Outcome::WrongPin | Outcome::Refused(Refusal::RecordDamaged) | Outcome::ServiceFault) => {
                    self.broken(Invariant::KeyKept, || format!("{user}'s right PIN does not open the wallet"))?;
                }
                other => {
                    let said = other.map_or("nothing".to_owned(), |outcome| told(&outcome));
                    self.broken(Invariant::Live, || format!("{user} has tries left, and is told: {said}"))?;
                }
            }
        }
        Ok(())
    }

    /// The device is told of a restore, and its owner agrees.
    fn agree(&mut self, device: usize) -> Result<(), Violation> {
        let (user, key) = (self.devices[device].user, self.devices[device].key);
        let standing = self.standing(0, user).cloned().unwrap_or_default();
        let waits = standing.is_closed() && !standing.has_accepted(key);
        if !waits && !self.is_behind(0, device) {
            return Ok(());
        }
        let outcome = self.insist(Plan { device, what: What::Accept(0), right: true, heard: true })?;
        match outcome {
            Some(Outcome::RestoreAccepted) => Ok(()),
            Some(Outcome::Refused(Refusal::RestoreTried)) if standing.left(key) == 0 => Ok(()),
            other => {
                let said = other.map_or("nothing".to_owned(), |outcome| told(&outcome));
                self.broken(Invariant::Live, || format!("{user} agrees to the restore, and is told: {said}"))
            }
        }
    }

    /// Asks until it is decided, waiting where that is the instruction.
    pub(crate) fn insist(&mut self, plan: Plan) -> Result<Option<Outcome>, Violation> {
        let mut last = None;
        for _ in 0..PATIENCE {
            let before = self.asked.len();
            self.ask(0, plan)?;
            self.finish(0)?;
            let answer = self.asked.get(before).and_then(|asked| asked.answer.as_ref());
            let Some(answer) = answer else { return Ok(last) };
            let delay = answer.tries.map_or(0, |tries| tries.delay_seconds);
            last = Some(answer.outcome.clone());
            match &answer.outcome {
                Outcome::Refused(Refusal::Delayed) => {
                    if let Some(instance) = self.instance(0) {
                        instance.now = instance.now.saturating_add(u64::from(delay));
                    }
                }
                Outcome::Refused(refusal) if refusal.is_retryable() => {}
                _ => break,
            }
        }
        Ok(last)
    }
}
