//! Where schedules start: states that take many honest moves to reach, made once.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use pinseal_fuzzing::harness::base;
use pinseal_fuzzing::harness::device::{Device, PIN};
use pinseal_fuzzing::harness::host::Disk;
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::UserIdHash;

use crate::books::{Books, Standing};
use crate::breaker::Breaker;
use crate::lines::{Past, step_sequence};
use crate::moves::Move;
use crate::operators::own_level;
use crate::people::What;
use crate::tenure::Shape;
use crate::tpm::{self, Chip};
use crate::world::{Setting, World};

/// Devices there are.
pub(crate) const DEVICES: usize = 9;
/// Their names in traces: two of Ada's, three that an adversary with her login invented; Bob's and Cyd's, and one each that an adversary
/// with their logins invented.
pub(crate) const NAMES: [&str; DEVICES] = [
    "Ada's laptop",
    "Ada's phone",
    "stranger 1",
    "stranger 2",
    "stranger 3",
    "Bob's laptop",
    "stranger at Bob's",
    "Cyd's laptop",
    "stranger at Cyd's",
];
/// Whose they are, and the numbers of their keys.
const OWNERS: [(&str, usize); DEVICES] =
    [("ada", 1), ("ada", 2), ("ada", 3), ("ada", 5), ("ada", 6), ("bob", 4), ("bob", 8), ("cyd", 9), ("cyd", 10)];

/// One that an adversary invented for each login.
pub(crate) const STRANGERS: [usize; 3] = [STRANGER, AT_BOBS, AT_CYDS];

const LAPTOP: usize = 0;
const PHONE: usize = 1;
const STRANGER: usize = 2;
const BOB: usize = 5;
const AT_BOBS: usize = 6;
const CYD: usize = 7;
const AT_CYDS: usize = 8;

/// Images of the database kept of the past of a scene: what a backup may hold.
const IMAGES_KEPT: usize = 4;

/// Most images of which all are kept: so many enclaves are started to bring an index up again.
const CHAIN_MAX: usize = 40;

/// A state to start from.
pub struct Scene {
    /// Its name in reports.
    pub name: &'static str,
    pub(crate) images: Vec<Arc<Disk>>,
    pub(crate) devices: Vec<Device>,
    /// How everything stood at each image.
    pub(crate) past: Vec<Past>,
    /// At L2: the TPM.
    pub(crate) chip: Option<Chip>,
    /// At L2: every image from the first on, where they are few.
    pub(crate) chain: Vec<Arc<Disk>>,
    /// The breaker's maximum is as low as it can be.
    pub(crate) is_low: bool,
    pub(crate) wallets: BTreeMap<UserIdHash, &'static str>,
    pub(crate) now: u64,
}

static L0: LazyLock<Vec<Scene>> = LazyLock::new(|| scenes(AnchorLevel::L0));
static L1: LazyLock<Vec<Scene>> = LazyLock::new(|| scenes(AnchorLevel::L1));
static L2: LazyLock<Vec<Scene>> = LazyLock::new(|| scenes(AnchorLevel::L2));
static L4: LazyLock<Vec<Scene>> = LazyLock::new(|| scenes(AnchorLevel::L4));

thread_local! {
    /// States in place of the sound ones, on this thread.
    static REMADE: Cell<Option<&'static [Scene]>> = const { Cell::new(None) };
}

/// Makes the states anew by what runs on this thread now: a defect that the sound ones cannot show is in them then. They are never
/// freed; one defect needs them.
pub(crate) fn remake(level: AnchorLevel) {
    REMADE.set(Some(Vec::leak(scenes(level))));
}

/// The sound states again.
pub(crate) fn forget_remade() {
    REMADE.set(None);
}

/// The states of this level's deployment. Made by a sound enclave: not for the first time while a defect is planted.
pub(crate) fn all(level: AnchorLevel) -> &'static [Scene] {
    if let Some(remade) = REMADE.get() {
        return remade;
    }
    match level {
        AnchorLevel::L0 => &L0,
        AnchorLevel::L2 => &L2,
        AnchorLevel::L4 => &L4,
        _ => &L1,
    }
}

fn scenes(level: AnchorLevel) -> Vec<Scene> {
    let fresh = empty(level, false).then("fresh", level, &registrations());
    let guess = |who, times| Move::Guess { at: 0, who, times };
    let worn = [guess(LAPTOP, 4), guess(STRANGER, 3)];
    let crowded = [guess(STRANGER, 5), guess(PHONE, 4)];
    // A success gives the device's own tries back, and nothing of the PIN's life.
    let given_back =
        Move::Ask { at: 0, who: LAPTOP, what: What::Verify, right: true, heard: true, waits: true, whole: true };
    let old: Vec<Move> = (0..24).flat_map(|_| [guess(LAPTOP, 4), given_back]).chain([guess(LAPTOP, 2)]).collect();
    let derived =
        [fresh.then("worn", level, &worn), fresh.then("crowded", level, &crowded), fresh.then("old", level, &old)];
    // Strangers have been at other wallets: two more tries, and the breaker trips.
    let crowd = [(BOB, What::Confirm), (CYD, What::Register(PIN)), (CYD, What::Confirm)].map(follow);
    let crowd = registrations().into_iter().chain(crowd).chain([guess(AT_CYDS, 5), guess(AT_BOBS, 3)]);
    let watched = empty(level, true).then("watched", level, &crowd.collect::<Vec<_>>());
    [fresh].into_iter().chain(derived).chain([watched]).collect()
}

/// Somebody does as they should.
const fn follow((who, what): (usize, What)) -> Move {
    Move::Ask { at: 0, who, what, right: true, heard: true, waits: true, whole: true }
}

/// Ada has a wallet with two devices, Bob has prepared one.
fn registrations() -> Vec<Move> {
    let asks =
        [(LAPTOP, What::Register(PIN)), (LAPTOP, What::Confirm), (PHONE, What::Enrol), (BOB, What::Register(PIN))];
    asks.map(follow).to_vec()
}

/// Nobody has a wallet.
fn empty(level: AnchorLevel, is_low: bool) -> Scene {
    let configuration = cbor::to_vec(&*Shape::first(level, is_low).configuration(own_level(level)));
    let (genesis, chip) = if level == AnchorLevel::L2 {
        let (genesis, chip) = tpm::create(&configuration, base::START).expect("the TPM takes the genesis");
        (genesis, Some(chip))
    } else {
        (base::create(&configuration, base::START).expect("the configuration is sound"), None)
    };
    let genesis = Arc::new(genesis);
    let standings = ["ada", "bob", "cyd"].map(|user| (user, Standing::default()));
    Scene {
        name: "empty",
        chain: if chip.is_some() { vec![Arc::clone(&genesis)] } else { Vec::new() },
        chip,
        images: vec![genesis],
        devices: OWNERS.into_iter().map(|(user, key)| Device::new(user, key)).collect(),
        past: vec![Past { standings: BTreeMap::from(standings), breaker: Breaker::default() }],
        is_low,
        wallets: BTreeMap::new(),
        now: base::START,
    }
}

impl Scene {
    /// The state after these moves.
    fn then(&self, name: &'static str, level: AnchorLevel, moves: &[Move]) -> Self {
        let setting = match level {
            AnchorLevel::L0 => Setting::MemoryCounted,
            AnchorLevel::L1 => Setting::File,
            AnchorLevel::L2 => Setting::Tpm,
            AnchorLevel::L4 => Setting::Witnesses,
        };
        let mut world = World::new(self, setting, false);
        for one in moves {
            world.play(*one).unwrap_or_else(|violation| panic!("making the scene {name}: {violation}"));
        }
        let chip = (level == AnchorLevel::L2).then(|| world.tpms[0].chip());
        let later = world.library.iter().skip(self.images.len());
        let chain: Vec<_> = self.chain.iter().chain(later.filter(|_| chip.is_some())).cloned().collect();
        let chain = if self.chain.is_empty() || chain.len() > CHAIN_MAX { Vec::new() } else { chain };
        let kept = world.library.len().saturating_sub(IMAGES_KEPT);
        let images = world.library.split_off(kept);
        let past = |image: &Arc<Disk>| {
            let (sequence, line) = (step_sequence(&image.note), &world.lines[0]);
            let at = |books: &Books| books.until(sequence).now().clone();
            let standings = line.books.iter().map(|(user, books)| (*user, at(books))).collect();
            Past { standings, breaker: line.gauge.until(sequence).now() }
        };
        Self {
            name,
            past: images.iter().map(past).collect(),
            is_low: self.is_low,
            chip,
            chain,
            images,
            devices: world.devices,
            wallets: world.wallets,
            now: world.now,
        }
    }
}
