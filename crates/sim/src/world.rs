//! The world between two moves, and what is checked at every message: databases, anchor, enclaves, people and their books.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use pinseal_fuzzing::harness::base;
use pinseal_fuzzing::harness::device::{Device, Sealed};
use pinseal_fuzzing::harness::host::Disk;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::reply::{Outcome, Tries};
use pinseal_protocol::request::Method;

use crate::anchor::{Anchor, anchor};
use crate::books::{Books, Change, Key};
use crate::instance::Instance;
use crate::scene::Scene;
use crate::violation::{Invariant, Violation};
use crate::witnesses::quorum;

/// Enclaves that may run at once: a fork is two.
pub(crate) const INSTANCES: usize = 2;

/// What a schedule may do to the anchor, and what is claimed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// L1, its anchor file never put back: everything is claimed.
    File,
    /// L1, its anchor file put back with the database: only that returning clients notice.
    FileRestored,
    /// As `FileRestored`, with the caps counted all the same: shows what is not claimed.
    FileRestoredCounted,
    /// L0 with the caps counted: shows that it claims nothing.
    MemoryCounted,
    /// L4, one of four witnesses the adversary's: everything is claimed, whatever the host says.
    Witnesses,
    /// As `Witnesses`, by hosts that ask whichever of them they like: safe all the same, but nobody need be served any more.
    WitnessesSplit,
    /// L4, all witnesses put back, with the caps counted: shows what is not claimed.
    WitnessesRestoredCounted,
}

impl Setting {
    /// The anchor's level.
    pub const fn level(self) -> AnchorLevel {
        match self {
            Self::MemoryCounted => AnchorLevel::L0,
            Self::Witnesses | Self::WitnessesSplit | Self::WitnessesRestoredCounted => AnchorLevel::L4,
            _ => AnchorLevel::L1,
        }
    }

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "L1",
            Self::FileRestored => "L1, anchor restored",
            Self::FileRestoredCounted => "L1, anchor restored, caps counted",
            Self::MemoryCounted => "L0, caps counted",
            Self::Witnesses => "L4",
            Self::WitnessesSplit => "L4, witnesses split",
            Self::WitnessesRestoredCounted => "L4, witnesses restored, caps counted",
        }
    }

    /// Whether hosts may leave the witnesses split between histories.
    pub const fn splits_witnesses(self) -> bool {
        matches!(self, Self::WitnessesSplit)
    }

    /// Whether the adversary may put the anchor back.
    pub const fn restores_anchor(self) -> bool {
        matches!(self, Self::FileRestored | Self::FileRestoredCounted | Self::WitnessesRestoredCounted)
    }

    const fn counts_caps_always(self) -> bool {
        matches!(self, Self::FileRestoredCounted | Self::MemoryCounted | Self::WitnessesRestoredCounted)
    }
}

/// What a deployment of this level is sealed to.
pub(crate) fn configuration(level: AnchorLevel) -> Configuration {
    let witnesses = (level == AnchorLevel::L4).then(quorum);
    Configuration { anchor: level, floor: level, witnesses, ..base::configuration() }
}

/// A sealed request somebody made.
pub(crate) struct Asked {
    /// Its device, by place among the people's.
    pub(crate) device: usize,
    pub(crate) key: Key,
    pub(crate) user: &'static str,
    pub(crate) method: Method,
    /// The PIN it carries.
    pub(crate) pin: Option<u8>,
    pub(crate) change: Change,
    pub(crate) sealed: Arc<Sealed>,
    /// What its device had seen.
    pub(crate) receipt: Option<Vec<u8>>,
    /// Version of the record when it was begun.
    pub(crate) begun_at: u64,
    /// Whether its device gets the reply.
    pub(crate) heard: bool,
    /// It was charged, or stored where nothing is charged.
    pub(crate) decided: bool,
    /// Its device was told that nothing comes of it.
    pub(crate) refused: bool,
    /// ... by a host that says so only of what is certainly not stored.
    pub(crate) not_durable: bool,
    /// Whether its PIN was right where its last write is anchored.
    pub(crate) verdict: Option<bool>,
    pub(crate) answer: Option<Answered>,
}

/// The newest reply to a request.
pub(crate) struct Answered {
    pub(crate) outcome: Outcome,
    pub(crate) tries: Option<Tries>,
    pub(crate) receipt: Vec<u8>,
}

/// One record write of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Fact {
    pub(crate) request: usize,
    /// First or second of its request.
    pub(crate) number: usize,
    pub(crate) version: u64,
}

/// What a signed checkpoint adds to the one before.
pub(crate) struct Step {
    pub(crate) previous: Vec<u8>,
    pub(crate) writes: Vec<Fact>,
}

/// Everything.
pub struct World {
    pub(crate) setting: Setting,
    pub(crate) configuration: Configuration,
    pub(crate) anchor: Box<dyn Anchor>,
    /// Checkpoints that the anchor held at some time.
    pub(crate) anchored: HashSet<Vec<u8>>,
    /// Every checkpoint signed in this schedule.
    pub(crate) steps: HashMap<Vec<u8>, Step>,
    pub(crate) instances: [Option<Box<Instance>>; INSTANCES],
    /// Every image that a database had, oldest first.
    pub(crate) library: Vec<Arc<Disk>>,
    pub(crate) devices: Vec<Device>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) books: BTreeMap<&'static str, Books>,
    pub(crate) wallets: BTreeMap<UserIdHash, &'static str>,
    pub(crate) now: u64,
    pub(crate) boots: u64,
    pub(crate) tokens: u64,
    /// Access tokens minted, by device and time.
    pub(crate) minted: HashMap<(usize, u64), String>,
    /// Who starts an enclave when somebody asks and none runs.
    pub(crate) honest: bool,
    /// The anchor was put back: the line of a wallet may fork.
    pub(crate) rolled_back: bool,
    start_sequence: u64,
    log: Option<Vec<String>>,
    pub(crate) counts: Counts,
}

/// How much happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Enclaves that came to serve.
    pub boots: u64,
    /// Checkpoints anchored.
    pub batches: u64,
    /// PINs answered as right.
    pub right: u64,
    /// PINs answered as wrong.
    pub wrong: u64,
    /// Requests refused.
    pub refused: u64,
    /// Enclaves that halted.
    pub halted: u64,
}

impl World {
    /// The world at the start of a schedule.
    pub fn new(scene: &Scene, setting: Setting, tracing: bool) -> Self {
        let configuration = configuration(setting.level());
        let newest = scene.images.last().expect("a scene has a database");
        let books = scene.books.iter().map(|(user, standing)| (*user, Books::starting(standing.clone()))).collect();
        Self {
            setting,
            configuration,
            anchor: anchor(setting, newest.note.clone()),
            anchored: HashSet::from([newest.note.clone()]),
            steps: HashMap::new(),
            instances: [None, None],
            start_sequence: newest.checkpoint().sequence.0,
            library: scene.images.clone(),
            devices: scene.devices.clone(),
            asked: Vec::new(),
            books,
            wallets: scene.wallets.clone(),
            now: scene.now,
            boots: 0,
            tokens: 0,
            minted: HashMap::new(),
            honest: false,
            rolled_back: false,
            log: tracing.then(Vec::new),
            counts: Counts::default(),
        }
    }

    /// A line of the trace.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(line());
        }
    }

    /// What was said since the last time.
    pub fn take_log(&mut self) -> Vec<String> {
        self.log.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// How much happened.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Reports a broken promise, where it is one.
    pub(crate) fn broken(&self, invariant: Invariant, detail: impl FnOnce() -> String) -> Result<(), Violation> {
        let claimed = match invariant {
            // What one enclave alone keeps, whatever it was booted on.
            Invariant::Anchored
            | Invariant::Shape
            | Invariant::Once
            | Invariant::Fresh
            | Invariant::Receipt
            | Invariant::Refused => true,
            Invariant::Caps => !self.rolled_back || self.setting.counts_caps_always(),
            Invariant::Verdict
            | Invariant::Enrolled
            | Invariant::Books
            | Invariant::Line
            | Invariant::KeyKept
            | Invariant::History => !self.rolled_back,
            Invariant::Live => !self.rolled_back && !self.setting.splits_witnesses(),
        };
        if claimed { Violation::of(invariant, detail()) } else { Ok(()) }
    }

    /// The anchor holds `note` now: what it commits to has happened.
    pub(crate) fn note_anchored(&mut self, note: &[u8]) -> Result<(), Violation> {
        if self.anchor.holds() != note || !self.anchored.insert(note.to_vec()) {
            return Ok(());
        }
        self.counts.batches += 1;
        let writes = self.steps.get(note).map_or_else(Vec::new, |step| step.writes.clone());
        for fact in writes {
            self.happened(fact)?;
        }
        Ok(())
    }

    fn happened(&mut self, fact: Fact) -> Result<(), Violation> {
        let asked = &self.asked[fact.request];
        let (user, key, method, pin, change) = (asked.user, asked.key, asked.method, asked.pin, asked.change);
        if asked.not_durable {
            self.broken(Invariant::Refused, || format!("request {} was told that nothing of it counts", fact.request))?;
        }
        let standing = self.books.entry(user).or_default().now();
        let (follows, enrolled) = (standing.version + 1 == fact.version, standing.enrolled.contains(&key));
        if !follows {
            let detail = format!("version {} of {user}'s record follows version {}", fact.version, standing.version);
            self.broken(Invariant::Line, || detail)?;
        }
        let may_be_tested = enrolled || matches!(method, Method::EnrolDevice | Method::RegisterPrepare);
        if !may_be_tested {
            self.broken(Invariant::Enrolled, || format!("{} charged for a device not enrolled", method.name()))?;
        }
        let books = self.books.entry(user).or_default();
        match (method, fact.number) {
            (Method::RegisterPrepare, _) => {
                let Change::NewPin(pin) = change else { unreachable!("a new wallet has a PIN") };
                books.prepared(fact.request, key, pin);
            }
            (_, 1) => books.charged(fact.request, key),
            _ => {
                let pin = pin.unwrap_or(u8::MAX);
                let right = books.settled(fact.request, key, method, pin, change);
                self.asked[fact.request].verdict = Some(right);
            }
        }
        Ok(())
    }

    /// Whether the checkpoint `note` continues `ancestor`.
    pub(crate) fn descends(&self, note: &[u8], ancestor: &[u8]) -> bool {
        let sequence = |note: &[u8]| Checkpoint::read_unverified(note).map_or(0, |read| read.sequence.0);
        let goal = sequence(ancestor);
        if goal <= self.start_sequence {
            return true;
        }
        let mut at = note;
        while sequence(at) > goal {
            match self.steps.get(at) {
                Some(step) => at = &step.previous,
                None => return false,
            }
        }
        at == ancestor
    }

    /// The instance at this place, if it runs.
    pub(crate) fn instance(&mut self, at: usize) -> Option<&mut Instance> {
        self.instances[at].as_deref_mut()
    }

    /// The process ends.
    pub(crate) fn kill(&mut self, at: usize) {
        self.instances[at] = None;
    }

    /// Keeps an image of a database that was just written.
    pub(crate) fn keep_image(&mut self, at: usize) {
        let image = self.instances[at].as_ref().map(|instance| Arc::clone(&instance.disk));
        self.library.extend(image);
    }
}
