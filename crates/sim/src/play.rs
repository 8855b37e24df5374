//! Carrying moves out.

use std::sync::Arc;

use pinseal_fuzzing::harness::host::Disk;
use pinseal_host::pipeline::Action;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::wire::ToEnclave;

use crate::anchor::{OWN, Weather};
use crate::boot::WHOLE;
use crate::carry::Errand;
use crate::instance::Call;
use crate::moves::Move;
use crate::operators::{Goal, Lie, Wish};
use crate::people::{Company, Plan, What};
use crate::scene::STRANGERS;
use crate::tenure::Tenure;
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
            Move::Storm { at, right } => {
                let at = self.alive(at)?;
                self.pass(at, HOUR);
                STRANGERS
                    .into_iter()
                    .try_for_each(|device| self.ask(at, Plan { device, what: What::Enrol, right, heard: false }))
            }
            Move::Brute { at, who, times, steps, back } => self.brute(at, who, times, steps, back),
            Move::Clock { at, by } => {
                self.pass(at, by);
                Ok(())
            }
            Move::Kill { at } => {
                self.kill(at);
                Ok(())
            }
            Move::Boot { at, back, mixed, honest, tenure, weather, steps } => {
                if honest && back == 0 && !mixed && (self.unfinished.is_some() || self.dangling().is_some()) {
                    return self.start(at, honest);
                }
                let Some(image) = self.image(back, mixed) else { return Ok(()) };
                let tenure = self.boots_under(&image, tenure);
                self.boot(at, image, tenure, honest, weather, steps)
            }
            Move::RollBack { back } => self.roll_back(back),
            Move::Order { wish, back, lie } => {
                let Some(image) = self.image(back, false) else { return Ok(()) };
                self.order(wish, image, lie);
                Ok(())
            }
            Move::Arrange { at, wish, back, weather, steps } => {
                self.kill(at);
                self.arrange(at, wish, back, weather, steps)
            }
            Move::Carry {
                at,
                order,
                image,
                tenure,
                root,
                rebased,
                stage,
                claim,
                asks_next,
                weather,
                steps,
                pauses,
            } => {
                let Some(place) = self.orders.len().checked_sub(order + 1) else { return Ok(()) };
                let given = &self.orders[place];
                let (shown, rooted) = (Arc::clone(&given.image), given.tenure);
                let image = image.map_or(Some(shown), |back| self.image(back, false));
                let Some(image) = image else { return Ok(()) };
                let tenure = if tenure == 0 { rooted } else { self.other_tenure(tenure).unwrap_or(rooted) };
                let place = Errand { root, rebased, stage, claim, asks_next, ..Errand::honest(place, image, tenure) };
                self.carry(at, Errand { is_honest: false, weather, steps, pauses, ..place })
            }
            Move::Twice { at, wish, lie } => self.carry_twice(at, wish, lie),
            Move::Revive { at, back, who, times } => self.revive(at, back, who, times),
            Move::Owner { chip, deed } => self.owner_does(chip, deed),
            Move::Pair { first, who, brought } => self.pair(first, who, brought),
            Move::Forget { who } => {
                self.devices[who].receipt = None;
                Ok(())
            }
        }
    }

    /// As docs/tpm.md tells operators to: an index is written before anything is ordered, and nothing is ordered for one that is gone.
    fn arrange(
        &mut self,
        at: usize,
        wish: Wish,
        back: usize,
        weather: Weather,
        mut steps: u8,
    ) -> Result<(), Violation> {
        let left = || self.newest_left().filter(|_| matches!(wish, Wish::Restore { .. }));
        let Some(image) = self.image(back, false).or_else(left) else { return Ok(()) };
        let stays = matches!(wish, Wish::Restore { to: Goal::Same, .. });
        let own = self.tenures[self.tenure_of(&image.note)].shape.seat().filter(|_| stays);
        let is_gone = own.is_some_and(|seat| self.tpms[seat.chip].value().is_none());
        if is_gone || wish.wants().is_some_and(|chip| !self.prime_honestly(chip, &mut steps)) {
            self.say(|| "there is no index to go on in, and nothing is ordered".to_owned());
            return Ok(());
        }
        self.order(wish, image, Lie::None);
        self.carry_newest(at, weather, steps)
    }

    /// A device agrees to the restore in force, and then guesses at the log from before it.
    fn revive(&mut self, at: usize, back: usize, who: usize, times: u8) -> Result<(), Violation> {
        let Some(tenure) = self.other_tenure(back + 1) else { return Ok(()) };
        if self.tenures[tenure].restores < self.tenures[self.current].restores {
            let at = self.alive(at)?;
            self.whole(at, Plan { device: who, what: What::Accept(0), right: true, heard: true })?;
        }
        let Some(image) = self.image_of(tenure) else { return Ok(()) };
        self.boot(at, image, tenure, false, Weather::Fine, WHOLE)?;
        if self.instances[at].is_some() { self.guess(at, who, times) } else { Ok(()) }
    }

    /// One order, two beginnings, and the one under the root of the other.
    fn carry_twice(&mut self, at: usize, wish: Wish, lie: Lie) -> Result<(), Violation> {
        let Some(image) = self.newest_image() else { return Ok(()) };
        let before = self.orders.len();
        self.order(wish, Arc::clone(&image), lie);
        let Some(order) = self.orders.len().checked_sub(1).filter(|order| *order == before) else { return Ok(()) };
        let tenure = self.boots_under(&image, 0);
        let errand = Errand { is_honest: false, ..Errand::honest(order, image, tenure) };
        let stored = self.library.len();
        self.carry(at, Errand { steps: 1, ..errand.clone() })?;
        let Some(first) = self.library.get(stored).cloned() else { return Ok(()) };
        let rooted = self.rooted().count();
        self.carry(at, errand)?;
        let (second, now) = (self.rooted().next_back(), self.rooted().count());
        match second.filter(|_| now > rooted) {
            Some(second) => self.boot(at, first, second, false, Weather::Fine, WHOLE),
            None => Ok(()),
        }
    }

    /// The tenure that goes with a database, or another one that has a root.
    pub(crate) fn boots_under(&self, image: &Disk, other: usize) -> usize {
        let own = self.tenure_of(&image.note);
        // A change that is in the log without its root: what was in force before.
        let own = match &self.tenures[own] {
            Tenure { roots, born: Some(born), .. } if roots.is_empty() => born.from,
            _ => own,
        };
        if other == 0 { own } else { self.other_tenure(other).unwrap_or(own) }
    }

    /// Counted back from the newest one with a root; 1 is that one.
    fn other_tenure(&self, back: usize) -> Option<usize> {
        self.rooted().rev().nth(back - 1)
    }

    /// The anchor is put back, and an enclave started on what goes with it.
    fn roll_back(&mut self, back: usize) -> Result<(), Violation> {
        let moves_on = matches!(self.setting.level(), AnchorLevel::L2 | AnchorLevel::L4);
        let place = if moves_on { self.place(self.current) } else { OWN };
        if self.places[place].roll_back(back) {
            self.put_back_at(place);
        }
        let is_by_value = self.places[place].level() != AnchorLevel::L4;
        let tenure = if is_by_value { self.tenure_of(&self.places[place].holds(0)) } else { self.current };
        let Some(image) = self.image_of(tenure) else { return Ok(()) };
        if self.rolled_back {
            self.current = tenure;
        }
        self.boot(0, image, tenure, self.honest, Weather::Fine, WHOLE)
    }

    fn put_back_at(&mut self, place: usize) {
        if place == OWN {
            self.put_back();
        } else {
            self.rolled_back = true;
        }
    }

    /// The instance meant, or the other one if that alone runs.
    fn running(&self, at: usize) -> usize {
        let runs = |at: &usize| self.instances[*at].is_some();
        (0..INSTANCES).map(|step| (at + step) % INSTANCES).find(runs).unwrap_or(at)
    }

    /// The instance meant, or the other one; if none serves, one is started on the newest database.
    pub(crate) fn alive(&mut self, at: usize) -> Result<usize, Violation> {
        let places = || (0..INSTANCES).map(|step| (at + step) % INSTANCES);
        let serves = |at: &usize| self.instances[*at].as_deref().is_some_and(|instance| instance.changing.is_none());
        if let Some(at) = places().find(serves) {
            return Ok(at);
        }
        // An enclave that changes the configuration is left alone where there is room.
        let at = places().find(|at| self.instances[*at].is_none()).unwrap_or(at);
        self.start(at, self.honest)?;
        Ok(at)
    }

    /// The image `back` writes old; `mixed`: only its records, under the newest checkpoint.
    fn image(&self, back: usize, mixed: bool) -> Option<Arc<Disk>> {
        if back == 0 {
            return self.newest_image();
        }
        let old = self.library.len().checked_sub(back + 1).and_then(|place| self.library.get(place))?;
        if !mixed {
            return Some(Arc::clone(old));
        }
        let mut image = self.newest_image()?;
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
        let Some(instance) = self.instances[at].as_deref().filter(|instance| !instance.is_honest()) else {
            return Ok(());
        };
        let Some(flight) = &instance.flight else { return Ok(()) };
        let is_stored = flight.before.is_some();
        let (batch, note) = (flight.batch.batch, flight.batch.checkpoint.to_vec());
        let anchor = &self.places[instance.place];
        if note == old && anchor.level() < AnchorLevel::L2 {
            return Ok(());
        }
        let receipt = anchor.forge(&note, &old, back);
        if !is_stored {
            self.step(at, Weather::Fine)?;
        }
        let nonce = self.nonce(at);
        self.send(at, ToEnclave::Committed { batch, receipt: receipt.into(), nonce })?;
        self.bury(at);
        Ok(())
    }

    /// A wrong PIN, asked in the way that is open to the device.
    pub(crate) fn wrong(&self, at: usize, who: usize) -> Plan {
        let device = &self.devices[who];
        let enrolled = self.standing(at, device.user).is_some_and(|standing| standing.enrolled.contains(&device.key));
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
            let plan = self.wrong(at, who);
            match self.whole(at, plan)? {
                Some(Refusal::Delayed) => self.pass(at, HOUR),
                // Whoever has the device agrees to everything.
                Some(Refusal::StateRestored | Refusal::RestoreNotAccepted | Refusal::RestoreTried) => {
                    self.whole(at, Plan { what: What::Accept(0), right: true, heard: true, ..plan })?;
                }
                _ => continue,
            }
            self.whole(at, plan)?;
        }
        Ok(())
    }

    /// Asks, and has the host carry it through; why it was refused, if it was.
    fn whole(&mut self, at: usize, plan: Plan) -> Result<Option<Refusal>, Violation> {
        let before = self.asked.len();
        self.ask(at, plan)?;
        self.finish(at)?;
        Ok(self.asked.get(before).and_then(|asked| asked.answer.as_ref()).and_then(|answer| match answer.outcome {
            Outcome::Refused(refusal) => Some(refusal),
            _ => None,
        }))
    }

    fn brute(&mut self, at: usize, who: usize, times: u8, steps: u8, back: usize) -> Result<(), Violation> {
        for _ in 0..times {
            let at = self.alive(at)?;
            self.pass(at, HOUR);
            let plan = self.wrong(at, who);
            let device = &self.devices[who];
            let standing = self.standing(at, device.user);
            if standing.is_some_and(|standing| standing.is_closed() && !standing.has_accepted(device.key)) {
                self.whole(at, Plan { what: What::Accept(0), right: true, heard: true, ..plan })?;
            }
            self.ask(at, plan)?;
            self.steps(at, steps)?;
            self.kill(at);
            // An older database does not boot; the newest one does.
            if let Some(image) = self.image(back, false) {
                let tenure = self.boots_under(&image, 0);
                self.boot(at, image, tenure, false, Weather::Fine, WHOLE)?;
            }
        }
        Ok(())
    }
}
