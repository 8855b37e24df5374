//! Every message of every enclave, and what must hold of it.

use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::history::LoggedWrite;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::log::Entry;
use pinseal_protocol::manifest::Manifest;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, Reply, SealedReply, Status};
use pinseal_protocol::request::Method;
use pinseal_protocol::tpm::Authorisation;
use pinseal_protocol::wire::{Batch, BatchId, CallId, FromEnclave, ToEnclave};

use crate::anchor::{OWN, restores};
use crate::instance::{Changing, Flight};
use crate::lines::step_sequence;
use crate::operators::Given;
use crate::tenure::{Born, Tenure};
use crate::violation::{Invariant, Violation};
use crate::world::{Answered, Booked, Fact, Step, World};

/// Bytes of a sealed record, whatever it holds, and of a log entry about it.
const OUTER_BYTES: usize = 3_237;
const ENTRY_BYTES: usize = 178;

impl World {
    /// Hands a message to an enclave and checks everything that comes back.
    pub(crate) fn send(&mut self, at: usize, message: ToEnclave) -> Result<Vec<FromEnclave>, Violation> {
        let Some(instance) = self.instance(at) else { return Ok(Vec::new()) };
        let settled = match &message {
            ToEnclave::Committed { batch, .. } | ToEnclave::Aborted { batch } if *batch != BatchId(0) => {
                instance.flight.take_if(|flight| flight.batch.batch == *batch)
            }
            _ => None,
        };
        let is_told = matches!(message, ToEnclave::Committed { .. });
        let effects = instance.enclave.step(message, &mut instance.environment);
        match settled {
            Some(flight) if is_told && goes_on(&effects) => instance.told(&flight.batch),
            // The adversary's database does not keep what the enclave was told is not there.
            Some(Flight { before: Some(before), .. }) if !is_told && !instance.is_honest() => instance.disk = before,
            _ => {}
        }
        for effect in &effects {
            self.watch(at, effect)?;
        }
        Ok(effects)
    }

    fn watch(&mut self, at: usize, effect: &FromEnclave) -> Result<(), Violation> {
        match effect {
            FromEnclave::Commit(batch) => {
                self.gave(&batch.checkpoint, batch.authorisation);
                self.watch_batch(at, batch)
            }
            FromEnclave::RollForward { checkpoint, authorisation, .. } => {
                self.gave(checkpoint, *authorisation);
                Ok(())
            }
            FromEnclave::Ready { manifest, .. } => self.watch_ready(at, manifest),
            FromEnclave::Begun { call, begun } => {
                if let Some(instance) = self.instance(at) {
                    instance.begun.insert(*call, begun.clone());
                }
                Ok(())
            }
            FromEnclave::Replied { call, reply } => self.judge(at, *call, reply),
            FromEnclave::Refused { call, refusal } => self.watch_refusal(at, *call, *refusal),
            FromEnclave::Halted { halt, .. } => {
                self.counts.halted += 1;
                let halt = *halt;
                if let Some(instance) = self.instance(at) {
                    instance.halted = Some(halt);
                }
                self.say(|| format!("the enclave halts ({halt:?})"));
                Ok(())
            }
            FromEnclave::Changed { sealed_root } => self.watch_changed(at, sealed_root),
            _ => Ok(()),
        }
    }

    /// Nobody knows for which TPM an enclave meant it.
    fn gave(&self, note: &[u8], authorisation: Option<Authorisation>) {
        if authorisation.is_some() {
            self.tpms.iter().for_each(|tpm| tpm.gave(note, authorisation));
        }
    }

    fn watch_batch(&mut self, at: usize, batch: &Batch) -> Result<(), Violation> {
        let Some(instance) = self.instance(at) else { return Ok(()) };
        let is_trip = |entry: &[u8]| matches!(cbor::from_slice(entry), Ok(Entry::Tripped { .. }));
        let trips = batch.entries.first().is_some_and(|entry| is_trip(entry));
        let boots = usize::from(batch.batch == BatchId(1)) + usize::from(trips);
        // Nobody wrote: it says that somebody read.
        let is_bare = batch.records.is_empty() && boots == 0;
        let is_read = |entry: &[u8]| matches!(cbor::from_slice(entry), Ok(Entry::Read { .. }));
        let two = instance.flight.is_some();
        let mut writes = Vec::new();
        for write in &batch.records {
            let Some(call) = instance.calls.get_mut(&write.call) else {
                return self.broken(Invariant::Shape, || "a write of no request".to_owned());
            };
            call.notes.push(batch.checkpoint.to_vec());
            writes.push(Fact { request: call.request, number: call.notes.len(), version: write.version.0 });
        }
        instance.flight = Some(Flight { batch: batch.clone(), before: None, said: None });
        let sizes = batch.records.iter().all(|write| write.outer.len() == OUTER_BYTES)
            && if is_bare {
                batch.entries.len() == 1 && batch.entries.iter().all(|entry| is_read(entry))
            } else {
                batch.entries.len() == batch.records.len() + boots
                    && batch.entries.iter().skip(boots).all(|entry| entry.len() == ENTRY_BYTES)
            };
        if two || !sizes {
            self.broken(Invariant::Shape, || "a batch of another size than all others".to_owned())?;
        }
        self.keep_entries(batch);
        for fact in &writes {
            self.watch_write(*fact)?;
        }
        self.watch_step(at, batch, writes, trips)
    }

    /// The entries leave the enclave before they are in the log, if ever they are.
    fn keep_entries(&mut self, batch: &Batch) {
        let size = Checkpoint::read_unverified(&batch.checkpoint).map_or(0, |checkpoint| checkpoint.size);
        let first = size.saturating_sub(batch.entries.len() as u64);
        for (index, entry) in (first..).zip(&batch.entries) {
            if let Ok(Entry::Record { wallet, version, outer, detail }) = cbor::from_slice(entry) {
                let write = LoggedWrite { version, outer, detail, index, path: Vec::new() };
                self.booked.push(Booked { wallet, write, note: batch.checkpoint.to_vec() });
            }
        }
    }

    /// A checkpoint is signed: it follows from a state of the tenure that the enclave was started for.
    fn watch_step(&mut self, at: usize, batch: &Batch, writes: Vec<Fact>, trips: bool) -> Result<(), Violation> {
        let Some(instance) = self.instances[at].as_deref() else { return Ok(()) };
        let (own, changing) = (instance.tenure, instance.changing);
        if self.tenure_of(&batch.previous) != own {
            self.broken(Invariant::Tenure, || "a root opens a state of another tenure".to_owned())?;
        }
        let (tenure, judge, restored, resumes) = match changing {
            None => (own, self.place(own), None, false),
            Some(changing) => {
                let (tenure, resumes) = self.watch_configured(changing, own, batch)?;
                let restores = self.tenures[tenure].restores;
                (tenure, changing.judge, changing.restores.then_some(restores), resumes)
            }
        };
        let (previous, sequence) = (batch.previous.to_vec(), step_sequence(&batch.checkpoint));
        let step = Step { previous, writes, sequence, tenure, judge, restored, trips, resumes };
        self.steps.insert(batch.checkpoint.to_vec(), step);
        Ok(())
    }

    /// A change is begun: as somebody ordered, for this root, this configuration and this state. The tenure that begins, and whether
    /// enrolment goes on in it.
    fn watch_configured(&mut self, changing: Changing, from: usize, batch: &Batch) -> Result<(usize, bool), Violation> {
        let entry = batch.entries.last().and_then(|entry| cbor::from_slice(entry).ok());
        let Some(Entry::Configured { term, order, configuration, restores, resumed, .. }) = entry else {
            self.broken(Invariant::Shape, || "a change without its entry".to_owned())?;
            return Ok((from, false));
        };
        let before = self.tenures[from].restores;
        let is_ordered = |given: &Given| {
            let content = &given.content;
            let follows =
                Checkpoint::read_unverified(&batch.previous).is_ok_and(|read| read.hash() == content.checkpoint);
            !given.is_forged
                && content.hash() == order
                && (content.root, content.configuration) == (changing.root, configuration)
                && content.resumes == resumed
                && content.previous == self.configuration(from).hash()
                && content.restores.map_or(restores == before, |number| number == restores && number > before)
                && follows
        };
        if !self.orders.iter().any(is_ordered) {
            self.broken(Invariant::Ordered, || "a change is begun that nobody ordered like that".to_owned())?;
        }
        self.watch_base(changing, from, order)?;
        let born = Born { note: batch.checkpoint.to_vec(), from, order, judge: changing.judge };
        self.tenures.push(Tenure {
            shape: changing.next,
            configuration: changing.next.configuration(self.own_level()),
            restores,
            term: Some(term),
            roots: Vec::new(),
            born: Some(born),
        });
        Ok((self.tenures.len() - 1, resumed))
    }

    /// Where a TPM's index is to be gone on in, the TPM that was ordered held what was ordered to go on from, when that was ordered or since.
    fn watch_base(&self, changing: Changing, from: usize, order: Hash32) -> Result<(), Violation> {
        let begins = changing.restores || !changing.next.has_tpm_of(self.tenures[from].shape);
        let Some(seat) = changing.next.seat().filter(|_| begins) else { return Ok(()) };
        let Some(given) = self.orders.iter().find(|given| given.content.hash() == order) else { return Ok(()) };
        if self.tpms[seat.chip].held_since(seat, given.marks[seat.chip]) {
            return Ok(());
        }
        let detail =
            "a change is begun that goes on from what the TPM's index did not hold when it was ordered, nor since";
        self.broken(Invariant::Ordered, || detail.to_owned())
    }

    /// A root leaves: the anchor that judges holds the first checkpoint of its tenure.
    fn watch_changed(&mut self, at: usize, sealed_root: &[u8]) -> Result<(), Violation> {
        let Some(instance) = self.instance(at) else { return Ok(()) };
        if let Some(changing) = &mut instance.changing {
            changing.is_done = true;
        }
        let flight = instance.flight.as_ref().map(|flight| flight.batch.checkpoint.to_vec());
        let note = flight.unwrap_or_else(|| instance.note.clone());
        self.say(|| "the root of a new tenure leaves".to_owned());
        let tenure = self.tenure_of(&note);
        let birth = self.tenures[tenure].born.as_ref().is_some_and(|born| born.note == note);
        if !birth || !self.is_anchored(&note) {
            self.broken(Invariant::Tenure, || "a root leaves that no anchor has vouched for".to_owned())?;
        }
        self.tenures[tenure].roots.push(sealed_root.to_vec());
        self.take_over(tenure);
        Ok(())
    }

    /// Whether the tenure is the one in force from now on: that of the newest restore, and there the newest.
    fn take_over(&mut self, tenure: usize) {
        let line = |tenure: usize| {
            self.tenures[tenure].born.as_ref().and_then(|born| self.placed.get(&born.note)).copied().unwrap_or(0)
        };
        if self.lines[line(tenure)].is_weak {
            return;
        }
        let (now, then) = (&self.tenures[tenure], &self.tenures[self.current]);
        let is_restore = now.born.as_ref().is_some_and(|born| self.steps[&born.note].restored.is_some());
        if now.restores > then.restores {
            self.current = tenure;
        } else if now.restores == then.restores && (is_restore || line(tenure) == line(self.current)) {
            self.current = self.current.max(tenure);
        }
    }

    /// An order is carried out once.
    pub(crate) fn watch_once(&mut self, note: &[u8]) -> Result<(), Violation> {
        let born = self.tenures[self.tenure_of(note)].born.as_ref().filter(|born| born.note == note);
        let Some(born) = born else { return Ok(()) };
        let (named, judge) = (born.order, born.judge);
        let Some(given) = self.orders.iter_mut().find(|given| given.content.hash() == named) else { return Ok(()) };
        let before = given.made.replace(note.to_vec());
        let is_own = self.rolled_back || (judge == OWN && self.stale_own);
        if before.is_none_or(|before| before == note) || is_own {
            return Ok(());
        }
        self.broken(Invariant::Ordered, || "an order makes a second state the state".to_owned())
    }

    fn watch_write(&mut self, fact: Fact) -> Result<(), Violation> {
        let asked = &mut self.asked[fact.request];
        let (request, method) = (fact.request, asked.method);
        if fact.number > usize::from(method.writes()) {
            return self.broken(Invariant::Shape, || format!("request {request} writes {} times", fact.number));
        }
        if fact.number > 1 {
            return Ok(());
        }
        let (again, refused, begun) = (asked.decided, asked.refused, asked.begun_at);
        asked.decided = true;
        if again {
            self.broken(Invariant::Once, || format!("request {request} is charged a second time"))?;
        }
        if refused {
            self.broken(Invariant::Once, || format!("request {request} was refused, and is charged now"))?;
        }
        if begun + 1 != fact.version {
            let detail =
                format!("request {request} was begun on version {begun} and is charged on {}", fact.version - 1);
            self.broken(Invariant::Fresh, || detail)?;
        }
        Ok(())
    }

    fn watch_ready(&mut self, at: usize, manifest: &[u8]) -> Result<(), Violation> {
        self.counts.boots += 1;
        let manifest: Manifest = cbor::from_slice(manifest).expect("the enclave's manifest is canonical");
        let anchored = self.is_anchored(&manifest.checkpoint)
            && self.steps.get(manifest.checkpoint.as_slice()).is_some_and(|boot| boot.writes.is_empty());
        if let Some(instance) = self.instance(at) {
            instance.manifest = Some(manifest);
        }
        self.say(|| "the enclave serves".to_owned());
        if anchored {
            return Ok(());
        }
        self.broken(Invariant::Anchored, || "an enclave serves whose BOOT entry is not anchored".to_owned())
    }

    fn watch_refusal(&mut self, at: usize, call: CallId, refusal: Refusal) -> Result<(), Violation> {
        self.counts.refused += 1;
        let wrote = self.instance(at).and_then(|instance| instance.calls.get(&call)).map(|call| !call.notes.is_empty());
        self.say(|| format!("refused: {refusal}"));
        match wrote {
            Some(false) => Ok(()),
            _ => self.broken(Invariant::Shape, || "a refusal in clear after a write".to_owned()),
        }
    }

    /// A sealed reply has left the enclave: whoever made the request can read it.
    fn judge(&mut self, at: usize, call: CallId, sealed: &SealedReply) -> Result<(), Violation> {
        let Some(call) = self.instance(at).and_then(|instance| instance.calls.get(&call)) else {
            return self.broken(Invariant::Shape, || "a reply to no request".to_owned());
        };
        let (request, notes) = (call.request, call.notes.clone());
        let secrets = &self.asked[request].sealed;
        if sealed.ciphertext.len() != secrets.reply_bytes {
            self.broken(Invariant::Shape, || "a reply's size does not follow from its request".to_owned())?;
        }
        let Ok(reply) = secrets.opener.open(sealed) else {
            return self.broken(Invariant::Shape, || "a reply that does not open".to_owned());
        };
        self.say(|| format!("request {request} is answered: {}", told(&reply.outcome)));
        if !self.is_anchored(&reply.receipt) {
            self.broken(Invariant::Anchored, || "a reply's receipt was never anchored".to_owned())?;
        }
        self.judge_receipt(at, request, &reply.outcome)?;
        self.judge_moment(at, request, &reply)?;
        self.judge_outcome(at, request, &notes, &reply.outcome)?;
        self.judge_tries(at, request, &reply)?;
        let honest = self.instance(at).is_some_and(|instance| instance.is_honest());
        let Reply { outcome, tries, receipt, .. } = reply;
        self.asked[request].answer = Some(Answered { outcome, tries, receipt: receipt.to_vec() });
        if self.asked[request].heard && !honest {
            self.hear(at, request);
        }
        Ok(())
    }

    /// Nothing is told to a device by a state that does not continue what it has seen, and by one of another restore only that it agreed.
    fn judge_receipt(&mut self, at: usize, request: usize, outcome: &Outcome) -> Result<(), Violation> {
        let asked = &self.asked[request];
        let (Some(seen), Some(instance)) = (&asked.receipt, self.instances[at].as_deref()) else { return Ok(()) };
        let (before, now) = (restores(seen), restores(&instance.note));
        let agrees = asked.method == Method::AcceptRestore && before < now;
        let continues = before == now && self.descends(&instance.note, seen);
        if agrees || continues || matches!(outcome, Outcome::Refused(_)) {
            return Ok(());
        }
        let detail = format!(
            "a device that has seen checkpoint {} of restore {before} is told something by a state at {} of restore {now} that does not continue it",
            step_sequence(seen),
            step_sequence(&instance.note)
        );
        self.broken(Invariant::Receipt, || detail)
    }

    /// What is answered and not refused is true of a state that has all that was anchored when it was asked: an enclave that another one has
    /// taken the place of tells nobody how things stood before.
    fn judge_moment(&self, at: usize, request: usize, reply: &Reply) -> Result<(), Violation> {
        let tip = &self.asked[request].tip;
        if matches!(reply.outcome, Outcome::Refused(_)) || self.descends(&reply.receipt, tip) {
            return Ok(());
        }
        let detail = format!(
            "request {request} is answered from checkpoint {}, made when {} was anchored",
            step_sequence(&reply.receipt),
            step_sequence(tip)
        );
        self.broken_on(self.line(at), Invariant::Current, || detail)
    }

    fn judge_outcome(
        &mut self,
        at: usize,
        request: usize,
        notes: &[Vec<u8>],
        outcome: &Outcome,
    ) -> Result<(), Violation> {
        let honest = self.instance(at).is_some_and(|instance| instance.is_honest());
        let asked = &mut self.asked[request];
        match outcome {
            Outcome::Refused(refusal) => {
                self.counts.refused += 1;
                // A second copy is refused while the first is under way.
                asked.refused |= *refusal != Refusal::AlreadyAnswered;
                asked.not_durable |= *refusal == Refusal::NotDurable && honest;
                if notes.is_empty() || *refusal == Refusal::NotDurable {
                    return Ok(());
                }
                self.broken(Invariant::Shape, || format!("request {request} was charged and refused ({refusal})"))
            }
            Outcome::ServiceFault => Ok(()),
            Outcome::Status(status) => self.judge_status(at, request, status),
            Outcome::Accounts(_) | Outcome::History(_) => Ok(()),
            _ => self.judge_decided(at, request, notes, outcome),
        }
    }

    fn judge_decided(
        &mut self,
        at: usize,
        request: usize,
        notes: &[Vec<u8>],
        outcome: &Outcome,
    ) -> Result<(), Violation> {
        let asked = &self.asked[request];
        let (method, verdict) = (asked.method, asked.verdict);
        let wrong = *outcome == Outcome::WrongPin;
        if notes.len() != usize::from(method.writes()) {
            self.broken(Invariant::Shape, || format!("{} decided after {} writes", method.name(), notes.len()))?;
        }
        if !notes.iter().all(|note| self.is_anchored(note)) {
            self.broken(Invariant::Anchored, || format!("request {request} is answered before it is anchored"))?;
        }
        let is_tested = !matches!(method, Method::RegisterPrepare | Method::AcceptRestore);
        if is_tested && verdict != Some(!wrong) {
            self.broken(Invariant::Verdict, || format!("request {request}: the PIN was called {}", told(outcome)))?;
        }
        if !wrong {
            self.counts.right += 1;
            return Ok(());
        }
        self.counts.wrong += 1;
        self.told_wrong(at, request)
    }

    /// Whether the enclave stands where the anchor does, so that books and record are of one moment.
    fn is_current(&self, at: usize) -> bool {
        self.instances[at].as_deref().is_some_and(|instance| instance.note == self.held(instance.tenure))
    }

    fn judge_tries(&mut self, at: usize, request: usize, reply: &Reply) -> Result<(), Violation> {
        let (Some(tries), true) = (reply.tries, self.is_current(at)) else { return Ok(()) };
        if reply.outcome == Outcome::ServiceFault {
            return Ok(());
        }
        let asked = &self.asked[request];
        let Some(standing) = self.standing(at, asked.user) else { return Ok(()) };
        let counted = (standing.left(asked.key), standing.life_left(asked.key));
        let said = (u32::from(tries.left), u32::from(tries.life_left));
        if said == counted {
            return Ok(());
        }
        let detail = format!("(left, left in life) are said to be {said:?}, and are {counted:?} by the books");
        self.broken_on(self.line(at), Invariant::Books, || detail)
    }

    fn judge_status(&mut self, at: usize, request: usize, status: &Status) -> Result<(), Violation> {
        if !self.is_current(at) {
            return Ok(());
        }
        let Some(standing) = self.standing(at, self.asked[request].user) else { return Ok(()) };
        let key = |device| self.devices.iter().find(|known| known.id() == device).map_or(0, |known| known.key);
        let devices = status.devices.iter().map(|device| (key(device.device), u32::from(device.outstanding)));
        let agree = u32::from(status.outstanding) == standing.outstanding()
            && u32::from(status.unenrolled_outstanding) == standing.unenrolled()
            && (!status.enrolled || status.devices.len() == standing.enrolled.len())
            && devices.into_iter().all(|(key, count)| count == standing.of_device(key));
        if agree {
            return Ok(());
        }
        let detail = format!("the record counts {} tries, the books {}", status.outstanding, standing.outstanding());
        self.broken_on(self.line(at), Invariant::Books, || detail)
    }
}

/// Whether the enclave took what it was told.
fn goes_on(effects: &[FromEnclave]) -> bool {
    !effects.iter().any(|effect| matches!(effect, FromEnclave::Halted { .. }))
}

/// An outcome in the words of the protocol.
pub(crate) fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Refused(refusal) => format!("refused ({refusal})"),
        Outcome::WrongPin => "wrong PIN".to_owned(),
        Outcome::Prepared => "prepared".to_owned(),
        Outcome::Registered(_) => "registered".to_owned(),
        Outcome::PinVerified => "PIN verified".to_owned(),
        Outcome::Signed(_) => "signed".to_owned(),
        Outcome::PinChanged => "PIN changed".to_owned(),
        Outcome::DeviceEnrolled => "device enrolled".to_owned(),
        Outcome::DeviceRevoked => "device revoked".to_owned(),
        Outcome::TriesCleared => "tries cleared".to_owned(),
        Outcome::Status(_) => "status".to_owned(),
        Outcome::Accounts(_) => "addresses".to_owned(),
        Outcome::ServiceFault => "service fault".to_owned(),
        Outcome::History(_) => "history".to_owned(),
        Outcome::RestoreAccepted => "restore accepted".to_owned(),
    }
}
