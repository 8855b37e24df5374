//! The world between two moves, and what is checked at every message: databases, anchor, enclaves, people and their books.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pinseal_fuzzing::harness::device::{Device, Sealed};
use pinseal_fuzzing::harness::host::Disk;
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::history::LoggedWrite;
use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::reply::{Outcome, Tries};
use pinseal_protocol::request::Method;
use pinseal_protocol::tpm::TpmNonce;

use crate::anchor::{Anchor, places};
use crate::books::{Change, Key};
use crate::breaker::Gauge;
use crate::instance::Instance;
use crate::lines::{Line, Past, beginning};
use crate::operators::{Given, own_level};
use crate::scene::Scene;
use crate::tenure::{Shape, Tenure};
use crate::tpm::{CHIPS, Owned};
use crate::violation::{Invariant, Violation};

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
    /// L2, the TPM owned by the adversary: everything is claimed.
    Tpm,
    /// L2, the TPM's own state put back, as a virtual one's is, with the caps counted: shows what is not claimed.
    TpmRestoredCounted,
    /// L4, one of four witnesses the adversary's: everything is claimed, whatever the host says.
    Witnesses,
    /// As `Witnesses`, by hosts that ask whichever of them they like: safe all the same, but nobody need be served any more.
    WitnessesSplit,
    /// L4, all witnesses put back, with the caps counted: shows what is not claimed.
    WitnessesRestoredCounted,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::File,
        Self::FileRestored,
        Self::FileRestoredCounted,
        Self::MemoryCounted,
        Self::Tpm,
        Self::TpmRestoredCounted,
        Self::Witnesses,
        Self::WitnessesSplit,
        Self::WitnessesRestoredCounted,
    ];

    /// The anchor's level.
    pub const fn level(self) -> AnchorLevel {
        match self {
            Self::MemoryCounted => AnchorLevel::L0,
            Self::Tpm | Self::TpmRestoredCounted => AnchorLevel::L2,
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
            Self::Tpm => "L2",
            Self::TpmRestoredCounted => "L2, TPM rolled back, caps counted",
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
        matches!(
            self,
            Self::FileRestored | Self::FileRestoredCounted | Self::TpmRestoredCounted | Self::WitnessesRestoredCounted
        )
    }

    const fn counts_caps_always(self) -> bool {
        matches!(
            self,
            Self::FileRestoredCounted | Self::MemoryCounted | Self::TpmRestoredCounted | Self::WitnessesRestoredCounted
        )
    }
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
    /// The restore that it accepts.
    pub(crate) accepts: Option<u32>,
    pub(crate) sealed: Arc<Sealed>,
    /// What its device had seen.
    pub(crate) receipt: Option<Vec<u8>>,
    /// What was anchored last when it was made.
    pub(crate) tip: Vec<u8>,
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

/// An entry that an enclave asked to have written, and the checkpoint that it was to be under.
pub(crate) struct Booked {
    pub(crate) wallet: UserIdHash,
    pub(crate) write: LoggedWrite,
    pub(crate) note: Vec<u8>,
}

/// What a signed checkpoint adds to the one before.
pub(crate) struct Step {
    pub(crate) previous: Vec<u8>,
    pub(crate) writes: Vec<Fact>,
    pub(crate) sequence: u64,
    /// The tenure it is of.
    pub(crate) tenure: usize,
    /// Where it has to be anchored before anything follows.
    pub(crate) judge: usize,
    /// The number of the restore that it makes.
    pub(crate) restored: Option<u32>,
    /// It says that the breaker trips.
    pub(crate) trips: bool,
    /// It says that enrolment goes on.
    pub(crate) resumes: bool,
}

/// Everything.
pub struct World {
    pub(crate) setting: Setting,
    /// Everywhere that a tenure may anchor.
    pub(crate) places: Vec<Box<dyn Anchor>>,
    /// Every tenure that an enclave began, with the roots that left.
    pub(crate) tenures: Vec<Tenure>,
    /// The one that an honest operator takes to be in force.
    pub(crate) current: usize,
    /// A change that an honest host began and did not see the end of.
    pub(crate) unfinished: Option<usize>,
    pub(crate) orders: Vec<Given>,
    /// Checkpoints that the anchor judging them held at some time, and the line they are on.
    pub(crate) placed: HashMap<Vec<u8>, usize>,
    pub(crate) lines: Vec<Line>,
    /// How the wallets stood at the images that a schedule starts with.
    pub(crate) past: HashMap<Vec<u8>, Past>,
    /// Every checkpoint signed in this schedule.
    pub(crate) steps: HashMap<Vec<u8>, Step>,
    /// Every entry of a record that a batch of this schedule brought.
    pub(crate) booked: Vec<Booked>,
    pub(crate) instances: [Option<Box<Instance>>; INSTANCES],
    /// There are at every level: a deployment may move into one.
    pub(crate) tpms: [Owned; CHIPS],
    /// At L2: the databases that lead up to where a schedule starts, from the first on, where they are few.
    pub(crate) chain: Vec<Arc<Disk>>,
    /// Every image that a database had, oldest first.
    pub(crate) library: Vec<Arc<Disk>>,
    pub(crate) devices: Vec<Device>,
    /// The highest floor of the anchor's level that each owner's client has seen.
    pub(crate) floors: Vec<Option<AnchorLevel>>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) wallets: BTreeMap<UserIdHash, &'static str>,
    pub(crate) now: u64,
    pub(crate) boots: u64,
    pub(crate) tokens: u64,
    /// Access tokens minted, by device, time and issuer's key.
    pub(crate) minted: HashMap<(usize, u64, usize), String>,
    /// Who starts an enclave when somebody asks and none runs.
    pub(crate) honest: bool,
    /// The anchor was put back: the line of a wallet may fork.
    pub(crate) rolled_back: bool,
    /// The file was put back after the deployment had risen to witnesses.
    pub(crate) stale_own: bool,
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
        let newest = scene.images.last().expect("a scene has a database");
        let tpms = core::array::from_fn(|number| match &scene.chip {
            Some(chip) if number == 0 => Owned::new(chip.clone()),
            _ => Owned::unused(number),
        });
        let shape = Shape::first(setting.level(), scene.is_low);
        let first = Tenure {
            shape,
            configuration: shape.configuration(own_level(setting.level())),
            restores: 0,
            term: None,
            roots: vec![newest.sealed_root.clone()],
            born: None,
        };
        let past = scene.images.iter().map(|image| image.note.clone()).zip(scene.past.iter().cloned());
        let past: HashMap<_, _> = past.collect();
        let now = scene.past.last().cloned().unwrap_or_default();
        let line = Line {
            tip: newest.note.clone(),
            books: beginning(&now.standings),
            gauge: Gauge::starting(now.breaker),
            is_weak: false,
        };
        Self {
            setting,
            places: places(setting, newest.note.clone(), &tpms),
            tpms,
            chain: scene.chain.clone(),
            tenures: vec![first],
            current: 0,
            unfinished: None,
            orders: Vec::new(),
            placed: past.keys().map(|note| (note.clone(), 0)).collect(),
            lines: vec![line],
            past,
            steps: HashMap::new(),
            booked: Vec::new(),
            instances: [None, None],
            library: scene.images.clone(),
            devices: scene.devices.clone(),
            floors: vec![None; scene.devices.len()],
            asked: Vec::new(),
            wallets: scene.wallets.clone(),
            now: scene.now,
            boots: 0,
            tokens: 0,
            minted: HashMap::new(),
            honest: false,
            rolled_back: false,
            stale_own: false,
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
            | Invariant::Ordered
            | Invariant::Refused => true,
            Invariant::Caps => !self.rolled_back || self.setting.counts_caps_always(),
            Invariant::Verdict
            | Invariant::Enrolled
            | Invariant::Books
            | Invariant::Current
            | Invariant::Line
            | Invariant::KeyKept
            | Invariant::Tenure
            | Invariant::Restored
            | Invariant::Breaker
            | Invariant::History => self.keeps_order(),
            Invariant::Live => !self.rolled_back && !self.setting.splits_witnesses(),
        };
        if claimed { Violation::of(invariant, detail()) } else { Ok(()) }
    }

    /// Whether anchored checkpoints follow one another: not where the anchor was put back, nor where it is each process's own memory.
    fn keeps_order(&self) -> bool {
        !self.rolled_back && self.own_level() != AnchorLevel::L0
    }

    /// As [`World::broken`], where it is a line that is concerned.
    pub(crate) fn broken_on(
        &self,
        line: usize,
        invariant: Invariant,
        detail: impl FnOnce() -> String,
    ) -> Result<(), Violation> {
        let counts = invariant == Invariant::Caps && self.setting.counts_caps_always();
        if self.lines[line].is_weak && !counts { Ok(()) } else { self.broken(invariant, detail) }
    }

    /// The tenure that a checkpoint is of; those that a schedule starts with are of the first.
    pub(crate) fn tenure_of(&self, note: &[u8]) -> usize {
        self.steps.get(note).map_or(0, |step| step.tenure)
    }

    /// What the tenure is sealed to.
    pub(crate) fn configuration(&self, tenure: usize) -> &Arc<Configuration> {
        &self.tenures[tenure].configuration
    }

    /// Where the tenure anchors.
    pub(crate) fn place(&self, tenure: usize) -> usize {
        self.tenures[tenure].shape.place()
    }

    /// What the anchor of this tenure holds of its log.
    pub(crate) fn held(&self, tenure: usize) -> Vec<u8> {
        self.places[self.place(tenure)].holds(self.tenures[tenure].restores)
    }

    /// The instance at this place, if it runs.
    pub(crate) fn instance(&mut self, at: usize) -> Option<&mut Instance> {
        self.instances[at].as_deref_mut()
    }

    /// Of a session for the next advance of the enclave at this place.
    pub(crate) fn nonce(&mut self, at: usize) -> Option<TpmNonce> {
        let place = self.instances[at].as_deref()?.place;
        self.places[place].nonce()
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
