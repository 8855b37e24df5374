//! The end of every schedule: all faults stop, the operator starts an honest host on the newest database, and the users follow
//! instructions.

use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;

use crate::anchor::Weather;
use crate::books::Books;
use crate::boot::WHOLE;
use crate::people::{Plan, What};
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
        let Some(image) = self.newest_image() else {
            return self.broken(Invariant::Live, || "no database continues the anchor".to_owned());
        };
        self.boot(0, image, true, Weather::Fine, WHOLE)?;
        if self.instances[0].is_none() {
            return self.broken(Invariant::Live, || "the newest database does not boot".to_owned());
        }
        // Bob only where something happened to him; Ada always.
        let is_asked = |user: &str, books: &Books| user == "ada" || books.is_touched();
        let users = self.books.iter().filter(|(user, books)| is_asked(user, books));
        for user in users.map(|(user, _)| *user).collect::<Vec<_>>() {
            self.get_in(user)?;
            self.look_back(user)?;
        }
        Ok(())
    }

    fn get_in(&mut self, user: &'static str) -> Result<(), Violation> {
        let standing = self.books[user].now();
        let what = match (standing.active, standing.pending) {
            (Some(_), _) => What::Verify,
            (None, Some(_)) => What::Confirm,
            _ => return Ok(()),
        };
        let own =
            |place: &usize| self.devices[*place].user == user && standing.enrolled.contains(&self.devices[*place].key);
        let devices: Vec<usize> = (0..self.devices.len()).filter(own).take(DEVICES_TRIED).collect();
        for device in devices {
            let open = self.books[user].now().left(self.devices[device].key) > 0;
            let outcome = self.insist(Plan { device, what, right: true, heard: true })?;
            match outcome {
                Some(Outcome::PinVerified | Outcome::Registered(_)) if open => return Ok(()),
                Some(Outcome::PinVerified | Outcome::Registered(_)) => {
                    self.broken(Invariant::Caps, || format!("{user} gets in at a cap"))?;
                }
                Some(Outcome::Refused(Refusal::Locked | Refusal::WalletLocked | Refusal::PinSpent)) if !open => {}
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
