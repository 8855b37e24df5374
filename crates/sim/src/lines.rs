//! What has happened, in the order in which the anchors came to hold it: one line, and another for each restore, which begins at the
//! state that was put back.

use std::collections::BTreeMap;

use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::request::Method;

use crate::anchor::OWN;
use crate::books::{Books, Change, Standing};
use crate::breaker::{Breaker, Gauge, Moved};
use crate::violation::{Invariant, Violation};
use crate::world::{Fact, World};

/// A line of anchored checkpoints, and the wallets' books along it.
pub(crate) struct Line {
    /// The newest of them.
    pub(crate) tip: Vec<u8>,
    pub(crate) books: BTreeMap<&'static str, Books>,
    /// Strangers' tries over all of them.
    pub(crate) gauge: Gauge,
    /// It follows from an anchor that was put back, from before a rise to witnesses: nothing is claimed of it.
    pub(crate) is_weak: bool,
}

/// How everything stood at an image that a schedule starts with.
#[derive(Clone, Default)]
pub(crate) struct Past {
    pub(crate) standings: BTreeMap<&'static str, Standing>,
    pub(crate) breaker: Breaker,
}

/// The books of everybody, beginning at these standings.
pub(crate) fn beginning(standings: &BTreeMap<&'static str, Standing>) -> BTreeMap<&'static str, Books> {
    standings.iter().map(|(user, standing)| (*user, Books::starting(standing.clone()))).collect()
}

impl World {
    /// Some anchor may hold `note` now. Where it is the one that judges, what the note commits to has happened.
    pub(crate) fn note_anchored(&mut self, note: &[u8]) -> Result<(), Violation> {
        let Some(step) = self.steps.get(note) else { return Ok(()) };
        if !self.places[step.judge].has(note) || self.placed.contains_key(note) {
            return Ok(());
        }
        let mut lead_up = self.skipped(note);
        while let Some(before) = lead_up.pop() {
            self.anchored(&before)?;
        }
        self.anchored(note)
    }

    /// Witnesses who cosign a checkpoint vouch for every one that leads up to it, also where a host did not ask them for it. Newest first.
    fn skipped(&self, note: &[u8]) -> Vec<Vec<u8>> {
        let judge = self.steps[note].judge;
        let (mut at, mut skipped) = (&self.steps[note], Vec::new());
        while self.places[judge].level() == AnchorLevel::L4 && at.restored.is_none() {
            match self.steps.get(&at.previous) {
                Some(before) if before.judge == judge && !self.placed.contains_key(&at.previous) => {
                    skipped.push(at.previous.clone());
                    at = before;
                }
                _ => break,
            }
        }
        skipped
    }

    fn anchored(&mut self, note: &[u8]) -> Result<(), Violation> {
        self.counts.batches += 1;
        self.watch_once(note)?;
        let line = self.line_for(note)?;
        self.placed.insert(note.to_vec(), line);
        self.lines[line].tip = note.to_vec();
        self.facts_of(note, line)
    }

    /// Whether the anchor that judges has held this checkpoint.
    pub(crate) fn is_anchored(&self, note: &[u8]) -> bool {
        self.placed.contains_key(note)
    }

    /// The line that a newly anchored checkpoint belongs to.
    fn line_for(&mut self, note: &[u8]) -> Result<usize, Violation> {
        let step = &self.steps[note];
        let (previous, judge, restored) = (step.previous.clone(), step.judge, step.restored);
        if let Some(restores) = restored {
            let is_weak = self.stale_own && judge == OWN;
            return self.fork(&previous, Some((restores, step_sequence(note))), is_weak);
        }
        let Some(line) = self.placed.get(&previous).copied() else {
            self.broken(Invariant::Line, || "what an anchored checkpoint follows is not anchored".to_owned())?;
            return Ok(self.current_line());
        };
        if self.lines[line].tip == previous {
            return Ok(line);
        }
        if self.stale_own && judge == OWN {
            return self.fork(&previous, None, true);
        }
        self.broken(Invariant::Line, || "two anchored checkpoints follow one".to_owned())?;
        Ok(line)
    }

    /// A line that begins at `from`, whether or not that was ever anchored.
    fn fork(&mut self, from: &[u8], restored: Option<(u32, u64)>, is_weak: bool) -> Result<usize, Violation> {
        let (mut at, mut unplaced) = (from.to_vec(), Vec::new());
        while !self.placed.contains_key(&at) {
            let Some(step) = self.steps.get(&at) else { break };
            let before = step.previous.clone();
            unplaced.push(core::mem::replace(&mut at, before));
        }
        let (books, gauge) = match (self.past.get(&at), self.placed.get(&at)) {
            (Some(past), _) => (beginning(&past.standings), Gauge::starting(past.breaker)),
            (None, Some(line)) => {
                let (line, sequence) = (&self.lines[*line], step_sequence(&at));
                let books = line.books.iter().map(|(user, books)| (*user, books.until(sequence))).collect();
                (books, line.gauge.until(sequence))
            }
            (None, None) => (BTreeMap::new(), Gauge::starting(Breaker::default())),
        };
        self.lines.push(Line { tip: from.to_vec(), books, gauge, is_weak });
        let line = self.lines.len() - 1;
        for note in unplaced.into_iter().rev() {
            self.facts_of(&note, line)?;
        }
        if let Some((restores, sequence)) = restored {
            self.lines[line].books.values_mut().for_each(|books| books.restored(restores, sequence));
        }
        Ok(line)
    }

    /// What a checkpoint commits to happens on this line.
    fn facts_of(&mut self, note: &[u8], line: usize) -> Result<(), Violation> {
        let step = &self.steps[note];
        let (writes, sequence, tenure) = (step.writes.clone(), step.sequence, step.tenure);
        let (trips, resumes) = (step.trips, step.resumes);
        let before = self.lines[line].gauge.now();
        let before = if resumes { before.resumed() } else { before };
        let mut moved = Moved::default();
        for fact in writes {
            let user = self.asked[fact.request].user;
            let strangers = |world: &Self| world.lines[line].books.get(user).map_or(0, |books| books.now().strangers());
            let had = strangers(self);
            self.happened(line, fact, sequence)?;
            moved.add(had, strangers(self));
        }
        if let Some(wrong) = before.judge(moved, self.configuration(tenure).breaker, trips) {
            self.broken_on(line, Invariant::Breaker, || wrong)?;
        }
        self.lines[line].gauge.note(sequence, before.after(moved, trips));
        Ok(())
    }

    fn happened(&mut self, line: usize, fact: Fact, sequence: u64) -> Result<(), Violation> {
        let asked = &self.asked[fact.request];
        let (user, key, method, pin, change) = (asked.user, asked.key, asked.method, asked.pin, asked.change);
        if asked.not_durable {
            self.broken(Invariant::Refused, || format!("request {} was told that nothing of it counts", fact.request))?;
        }
        let standing = self.lines[line].books.entry(user).or_default().now();
        let restores = standing.restores();
        let (follows, enrolled) = (standing.version + 1 == fact.version, standing.enrolled.contains(&key));
        let is_test = method != Method::AcceptRestore && method != Method::RegisterPrepare && fact.number == 1;
        let forbidden = standing.forbids(key).filter(|_| is_test);
        if !follows {
            let detail = format!("version {} of {user}'s record follows version {}", fact.version, standing.version);
            self.broken_on(line, Invariant::Line, || detail)?;
        }
        if let Some(why) = forbidden {
            self.broken_on(line, Invariant::Restored, || format!("a PIN of {user}'s restored wallet is tested {why}"))?;
        }
        let may_be_tested = enrolled || matches!(method, Method::EnrolDevice | Method::RegisterPrepare);
        if !may_be_tested {
            let detail = format!("{} charged for a device not enrolled", method.name());
            self.broken_on(line, Invariant::Enrolled, || detail)?;
        }
        if self.asked[fact.request].accepts.is_some_and(|accepts| accepts != restores) {
            let detail = format!("an acceptance of another restore than {restores} counts");
            self.broken_on(line, Invariant::Restored, || detail)?;
        }
        let books = self.lines[line].books.entry(user).or_default();
        match (method, fact.number) {
            (Method::RegisterPrepare, _) => {
                let Change::NewPin(pin) = change else { unreachable!("a new wallet has a PIN") };
                books.prepared(fact.request, key, pin, sequence);
            }
            (Method::AcceptRestore, _) => books.accepted(fact.request, key, sequence),
            (_, 1) => books.charged(fact.request, key, sequence),
            _ => {
                let pin = pin.unwrap_or(u8::MAX);
                let right = books.settled(fact.request, key, method, pin, change, sequence);
                self.asked[fact.request].verdict = Some(right);
            }
        }
        Ok(())
    }

    /// A wrong PIN was answered by the enclave at this place: it counts on every line that has it.
    pub(crate) fn told_wrong(&mut self, at: usize, request: usize) -> Result<(), Violation> {
        let asked = &self.asked[request];
        let (user, key, method) = (asked.user, asked.key, asked.method);
        let mut known = false;
        for line in 0..self.lines.len() {
            let Some(books) = self.lines[line].books.get_mut(user) else { continue };
            match books.told_wrong(request) {
                Ok(has) => known |= has,
                Err(violation) => self.broken_on(line, violation.invariant, || violation.detail)?,
            }
        }
        if known {
            return Ok(());
        }
        let line = self.line(at);
        match self.lines[line].books.entry(user).or_default().told_unanchored(request, key, method) {
            Ok(()) => Ok(()),
            Err(violation) => self.broken_on(line, violation.invariant, || violation.detail),
        }
    }

    /// The line that the enclave at this place goes on with; the one in force where none runs.
    pub(crate) fn line(&self, at: usize) -> usize {
        let placed = self.instances[at].as_deref().and_then(|instance| self.placed.get(&instance.note));
        placed.copied().unwrap_or_else(|| self.current_line())
    }

    /// The line of the tenure in force.
    pub(crate) fn current_line(&self) -> usize {
        let born = self.tenures[self.current].born.as_ref();
        born.and_then(|born| self.placed.get(&born.note)).copied().unwrap_or(0)
    }

    /// A wallet as the enclave at this place has it.
    pub(crate) fn standing(&self, at: usize, user: &str) -> Option<&Standing> {
        self.lines[self.line(at)].books.get(user).map(Books::now)
    }

    /// Whether the checkpoint `note` continues `ancestor`.
    pub(crate) fn descends(&self, note: &[u8], ancestor: &[u8]) -> bool {
        let mut at = note;
        while at != ancestor {
            match self.steps.get(at) {
                Some(step) => at = &step.previous,
                // What everybody has seen before a schedule begins is one history.
                None => return !self.steps.contains_key(ancestor) && step_sequence(ancestor) <= step_sequence(at),
            }
        }
        true
    }
}

/// The number of a checkpoint.
pub(crate) fn step_sequence(note: &[u8]) -> u64 {
    Checkpoint::read_unverified(note).map_or(0, |read| read.sequence.0)
}
