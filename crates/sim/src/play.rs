//! Carrying moves out.

use std::sync::Arc;

use pinseal_host::pipeline::Action;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::wire::ToEnclave;

use crate::anchor::Weather;
use crate::boot::WHOLE;
use crate::instance::Call;
use crate::moves::Move;
use crate::people::{Company, Plan, What};
use crate::violation::Violation;
use crate::world::{INSTANCES, World};

/// Longest delay, in seconds; who guesses in earnest waits it out.
const HOUR: i64 = 3_600;
/// Things that may wait at one honest host; more means that it goes round in circles.
const WORK_MAX: usize = 400;

impl World {
    /// Carries a move out.
    ///
    /// # Errors
    /// The promise it breaks.
    pub fn play(&mut self, one: Move) -> Result<(), Violation> {
        self.say(|| format!("> {one}"));
        match one {
            Move::Ask { at, who, what, right, heard, waits, whole } => {
                let at = self.alive(at)?;
                if waits {
                    self.pass(at, HOUR);
                }
                self.ask(at, Plan { device: who, what, right, heard })?;
                if whole { self.finish(at) } else { Ok(()) }
            }
            Move::Hold { at, who, what, right } => {
                let at = self.alive(at)?;
                self.hold(at, Plan { device: who, what, right, heard: true }).map(drop)
            }
            Move::Replay { at, back, company } => self.replay(self.running(at), back, company),
            Move::Flip { at, back, bit } => self.flip(self.running(at), back, bit),
            Move::Step { at, steps, weather } => {
                let at = self.running(at);
                self.steps(at, steps)?;
                self.fault(at, weather)
            }
            Move::Finish { at } => self.finish(self.running(at)),
            Move::Abort { at, steps } => {
                let at = self.running(at);
                self.steps(at, steps)?;
                self.abort(at)
            }
            Move::Foreign { at, steps, back } => {
                let at = self.running(at);
                self.steps(at, steps)?;
                self.bring_foreign(at, back)
            }
            Move::Guess { at, who, times } => self.guess(at, who, times),
            Move::Brute { at, who, times, steps, back } => self.brute(at, who, times, steps, back),
            Move::Clock { at, by } => {
                self.pass(at, by);
                Ok(())
            }
            Move::Kill { at } => {
                self.kill(at);
                Ok(())
            }
            Move::Boot { at, back, mixed, honest, weather, steps } => {
                let Some(image) = self.image(back, mixed) else { return Ok(()) };
                self.boot(at, image, honest, weather, steps)
            }
            Move::RollBack { back } => {
                self.rolled_back |= self.anchor.roll_back(back);
                let Some(image) = self.newest_image() else { return Ok(()) };
                self.boot(0, image, self.honest, Weather::Fine, WHOLE)
            }
        }
    }

    /// The instance meant, or the other one if that alone runs.
    fn running(&self, at: usize) -> usize {
        let runs = |at: &usize| self.instances[*at].is_some();
        (0..INSTANCES).map(|step| (at + step) % INSTANCES).find(runs).unwrap_or(at)
    }

    /// The instance meant, or the other one; if none runs, one is started on the newest database.
    pub(crate) fn alive(&mut self, at: usize) -> Result<usize, Violation> {
        let at = self.running(at);
        if self.instances[at].is_some() {
            return Ok(at);
        }
        if let Some(image) = self.newest_image() {
            self.boot(at, image, self.honest, Weather::Fine, WHOLE)?;
        }
        Ok(at)
    }

    /// The image `back` writes old; `mixed`: only its records, under the newest checkpoint.
    fn image(&self, back: usize, mixed: bool) -> Option<Arc<pinseal_fuzzing::harness::host::Disk>> {
        let newest = self.newest_image()?;
        if back == 0 {
            return Some(newest);
        }
        let old = self.library.len().checked_sub(back + 1).and_then(|place| self.library.get(place))?;
        if !mixed {
            return Some(Arc::clone(old));
        }
        let mut image = newest;
        Arc::make_mut(&mut image).records.clone_from(&old.records);
        Some(image)
    }

    /// Begins, seals, hands in.
    pub(crate) fn ask(&mut self, at: usize, plan: Plan) -> Result<(), Violation> {
        if self.instance(at).is_some_and(|instance| instance.is_honest()) {
            return self.ask_honest(at, plan);
        }
        if let Some(request) = self.hold(at, plan)? {
            self.submit(at, request, Company::Newest)?;
            self.bury(at);
        }
        Ok(())
    }

    /// Begins and seals.
    fn hold(&mut self, at: usize, plan: Plan) -> Result<Option<usize>, Violation> {
        if self.instance(at).is_some_and(|instance| instance.is_honest()) {
            return Ok(None);
        }
        let begin = self.begin(at, plan)?;
        Ok(begin.and_then(|begin| self.seal(at, plan, &begin)))
    }

    fn replay(&mut self, at: usize, back: usize, company: Company) -> Result<(), Violation> {
        let Some(request) = self.asked.len().checked_sub(back + 1) else { return Ok(()) };
        if self.instance(at).is_some_and(|instance| instance.is_honest()) {
            return self.ask_sealed(at, request);
        }
        self.submit(at, request, company)?;
        if company != Company::Newest {
            self.submit(at, request, Company::Newest)?;
        }
        self.bury(at);
        Ok(())
    }

    fn flip(&mut self, at: usize, back: usize, bit: usize) -> Result<(), Violation> {
        let Some(request) = self.asked.len().checked_sub(back + 1) else { return Ok(()) };
        let sealed = Arc::clone(&self.asked[request].sealed);
        let Some(instance) = self.instance(at).filter(|instance| !instance.is_honest()) else { return Ok(()) };
        let mut flipped = sealed.request.clone();
        let bit = bit % (flipped.ciphertext.len() * 8);
        flipped.ciphertext[bit / 8] ^= 1 << (bit % 8);
        let call = instance.next_call();
        instance.calls.insert(call, Call { request, notes: Vec::new() });
        let outer = instance.records.get(&sealed.wallet).map(|(_, outer)| outer.clone());
        self.hand_in(at, call, flipped, outer)
    }

    fn step(&mut self, at: usize, weather: Weather) -> Result<(), Violation> {
        if self.instance(at).is_some_and(|instance| instance.is_honest()) {
            self.work(at, weather).map(drop)
        } else {
            self.carry_on(at, weather)
        }
    }

    /// The next thing at an honest host asks neither database nor anchor to change.
    fn waits_for_nobody(&mut self, at: usize) -> bool {
        let honest = self.instance(at).and_then(|instance| instance.honest());
        let next = honest.and_then(|honest| honest.todo.front());
        matches!(next, Some(Action::Load { .. } | Action::Send(_)))
    }

    /// The next thing that database or anchor answers is answered so.
    fn fault(&mut self, at: usize, weather: Weather) -> Result<(), Violation> {
        for _ in 0..WORK_MAX {
            if weather == Weather::Fine || !self.waits_for_nobody(at) {
                break;
            }
            self.step(at, Weather::Fine)?;
        }
        self.step(at, weather)?;
        // What the host makes of it.
        while weather != Weather::Fine && self.waits_for_nobody(at) {
            self.step(at, Weather::Fine)?;
        }
        Ok(())
    }

    fn steps(&mut self, at: usize, steps: u8) -> Result<(), Violation> {
        (0..steps).try_for_each(|_| self.step(at, Weather::Fine))
    }

    /// Everything that waits at an instance, without faults.
    pub(crate) fn finish(&mut self, at: usize) -> Result<(), Violation> {
        for _ in 0..WORK_MAX {
            let Some(instance) = self.instance(at) else { return Ok(()) };
            if instance.is_honest() {
                if !self.work(at, Weather::Fine)? {
                    return Ok(());
                }
            } else if instance.flight.is_some() {
                self.carry_on(at, Weather::Fine)?;
            } else {
                return Ok(());
            }
        }
        Ok(())
    }

    fn abort(&mut self, at: usize) -> Result<(), Violation> {
        let Some(instance) = self.instance(at).filter(|instance| !instance.is_honest()) else { return Ok(()) };
        let Some(batch) = instance.flight.as_ref().map(|flight| flight.batch.batch) else { return Ok(()) };
        self.send(at, ToEnclave::Aborted { batch })?;
        self.bury(at);
        Ok(())
    }

    /// At L1 the host process may lie about everything but what the anchor holds: never the very note that is not there yet. At L4 it
    /// may bring what it likes.
    fn bring_foreign(&mut self, at: usize, back: usize) -> Result<(), Violation> {
        let image = self.library.len().checked_sub(back + 1).and_then(|place| self.library.get(place));
        let Some(old) = image.map(|image| image.note.clone()) else { return Ok(()) };
        let Some(instance) = self.instance(at).filter(|instance| !instance.is_honest()) else { return Ok(()) };
        let Some(flight) = &instance.flight else { return Ok(()) };
        let (batch, note) = (flight.batch.batch, flight.batch.checkpoint.to_vec());
        if note == old && self.anchor.level() != AnchorLevel::L4 {
            return Ok(());
        }
        let receipt = self.anchor.forge(&note, &old);
        self.send(at, ToEnclave::Committed { batch, receipt: receipt.into(), nonce: None })?;
        self.bury(at);
        Ok(())
    }

    /// A wrong PIN, asked in the way that is open to the device.
    fn wrong(&self, who: usize) -> Plan {
        let device = &self.devices[who];
        let enrolled = self.books.get(device.user).is_some_and(|books| books.now().enrolled.contains(&device.key));
        let what = if enrolled { What::Verify } else { What::Enrol };
        Plan { device: who, what, right: false, heard: false }
    }

    /// The clock of a host moves; the world's goes by the furthest.
    fn pass(&mut self, at: usize, by: i64) {
        let Some(instance) = self.instance(at) else { return };
        instance.now = instance.now.saturating_add_signed(by);
        let told = instance.now;
        self.now = self.now.max(told);
    }

    fn guess(&mut self, at: usize, who: usize, times: u8) -> Result<(), Violation> {
        for _ in 0..times {
            let at = self.alive(at)?;
            let plan = self.wrong(who);
            self.ask(at, plan)?;
            self.finish(at)?;
            let answer = self.asked.last().and_then(|asked| asked.answer.as_ref());
            if answer.is_some_and(|answer| answer.outcome == Outcome::Refused(Refusal::Delayed)) {
                self.pass(at, HOUR);
                self.ask(at, plan)?;
                self.finish(at)?;
            }
        }
        Ok(())
    }

    fn brute(&mut self, at: usize, who: usize, times: u8, steps: u8, back: usize) -> Result<(), Violation> {
        for _ in 0..times {
            let at = self.alive(at)?;
            self.pass(at, HOUR);
            let plan = self.wrong(who);
            self.ask(at, plan)?;
            self.steps(at, steps)?;
            self.kill(at);
            // An older database does not boot; the newest one does.
            if let Some(image) = self.image(back, false) {
                self.boot(at, image, false, Weather::Fine, WHOLE)?;
            }
        }
        Ok(())
    }
}
