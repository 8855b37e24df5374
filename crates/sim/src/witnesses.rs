//! L4: quorums of four witnesses, three of which must cosign. They sign for real; what they compare is the line of checkpoints, each of
//! which names the one before, for every log (the first one, and one for each restore) by itself.
//!
//! One of each four is the adversary's and cosigns whatever it is asked to. That is one less than the claim allows for (2k - n = 2), and
//! covers a witness that was put back. At each step another one may be down, and catches up later.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::cosignature::{Quorum, Witness, cosign};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::note::{KeyKind, VerifierKey, read_note};

use crate::anchor::{Advance, Anchor, Weather};

/// k.
const REQUIRED: usize = 3;
/// What cosignatures say the time is; nobody judges it.
const TIME: u64 = 1_800_000_000;

/// Who vouches together, by number: four; those with the first exchanged; four that share nobody with them; and four that nobody ever
/// set up, because the operators mistyped.
pub(crate) const QUORUMS: [[usize; 4]; 4] = [[0, 1, 2, 3], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]];
/// Place of the mistyped ones.
pub(crate) const MISTYPED: usize = 3;
/// The adversary's: one in each quorum.
const CORRUPT: [usize; 3] = [0, 4, 5];
/// From this number on nobody is there.
const ABSENT: usize = 9;
/// Witnesses there are.
const WITNESSES: usize = 13;

struct Key {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    (0..WITNESSES)
        .map(|number| {
            let seed = [number as u8 + 1; 32];
            let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("every 32 bytes are a seed");
            let public = Ed25519Public::from_slice(pair.public_key().as_ref()).expect("a public key has 32 bytes");
            let name = format!("witness.test/w{:02}", number + 1);
            let key = VerifierKey::new(&name, KeyKind::Cosignature, public).expect("a name without spaces");
            Key { pair, key }
        })
        .collect()
});

/// The quorum with this number, as deployments are sealed to it.
pub(crate) fn quorum(number: usize) -> Quorum {
    let members = QUORUMS[number].iter();
    let named = members.filter_map(|member| Witness::from_verifier_key(&KEYS[*member].key)).collect();
    Quorum { required: REQUIRED as u8, witnesses: named }
}

/// A member's line over a note.
fn line(member: usize, note: &[u8]) -> String {
    let Key { pair, key } = &KEYS[member];
    let (text, _) = read_note(note).expect("a note that an enclave signed");
    let sign = |message: &[u8]| {
        let mut signature = [0; 64];
        signature.copy_from_slice(pair.sign(message).as_ref());
        signature
    };
    cosign(key, TIME, text.as_bytes(), sign).to_string()
}

/// All of them, whichever quorum they belong to.
struct Pool {
    /// By member: the checkpoint it cosigned last, by log.
    held: Vec<BTreeMap<u32, Hash32>>,
    /// Of every checkpoint that was shown to a witness, the one before it.
    before: HashMap<Hash32, Hash32>,
    /// Who cosigned which note.
    cosigned: HashMap<Vec<u8>, BTreeSet<usize>>,
    /// By quorum: the newest checkpoint that it can be shown to vouch for, by log.
    holds: [BTreeMap<u32, Vec<u8>>; QUORUMS.len()],
    past: Vec<[BTreeMap<u32, Vec<u8>>; QUORUMS.len()]>,
    /// What each quorum vouched for at some time.
    vouched: HashSet<(usize, Vec<u8>)>,
    /// Every receipt that ever was, by quorum: the adversary keeps them all.
    receipts: HashMap<(usize, Vec<u8>), Vec<u8>>,
    /// Logs that their operators were told of.
    trusted: BTreeSet<u32>,
    /// Hosts ask whomever they like, and may leave the witnesses split.
    splits: bool,
}

/// One quorum as an anchor.
pub(crate) struct Witnesses {
    pool: Rc<RefCell<Pool>>,
    number: usize,
}

impl Witnesses {
    /// Every quorum; those of the first one have cosigned `first`, where a deployment begins with them.
    pub(crate) fn all(first: Option<&[u8]>, splits: bool) -> Vec<Self> {
        let mut pool = Pool {
            held: vec![BTreeMap::new(); WITNESSES],
            before: HashMap::new(),
            cosigned: HashMap::new(),
            holds: Default::default(),
            past: Vec::new(),
            vouched: HashSet::new(),
            receipts: HashMap::new(),
            trusted: BTreeSet::from([0]),
            splits,
        };
        if let Some((note, checkpoint)) = first.and_then(|note| Some((note, Checkpoint::read_unverified(note).ok()?))) {
            for member in QUORUMS[0] {
                pool.held[member].insert(0, checkpoint.hash());
            }
            pool.holds[0].insert(0, note.to_vec());
            pool.vouched.insert((0, note.to_vec()));
            pool.cosigned.insert(note.to_vec(), BTreeSet::from(QUORUMS[0]));
        }
        let pool = Rc::new(RefCell::new(pool));
        (0..QUORUMS.len()).map(|number| Self { pool: Rc::clone(&pool), number }).collect()
    }
}

impl Pool {
    fn continues(&self, checkpoint: Hash32, held: Hash32) -> bool {
        let mut at = checkpoint;
        while at != held {
            match self.before.get(&at) {
                Some(before) => at = *before,
                None => return false,
            }
        }
        true
    }

    /// Whether a member that is honest and up cosigns: it knows the log, and the checkpoint continues what it cosigned last.
    fn agrees(&self, member: usize, checkpoint: &Checkpoint) -> bool {
        self.trusted.contains(&checkpoint.restores)
            && self.held[member].get(&checkpoint.restores).is_none_or(|held| self.continues(checkpoint.hash(), *held))
    }

    /// Everybody who answers cosigns, or says what it holds.
    fn ask(&mut self, number: usize, note: &[u8], checkpoint: &Checkpoint) -> Option<Vec<u8>> {
        let hash = checkpoint.hash();
        self.before.insert(hash, checkpoint.previous);
        // Twice as many numbers as witnesses: half of the time nobody is down.
        let down = usize::from(hash.0[0]) % (2 * QUORUMS[number].len());
        let mut lines = Vec::new();
        let mut signed = Vec::new();
        for (place, member) in QUORUMS[number].into_iter().enumerate() {
            if member >= ABSENT {
                continue;
            }
            if CORRUPT.contains(&member) {
                lines.push(line(member, note));
            } else if place != down && self.agrees(member, checkpoint) {
                self.held[member].insert(checkpoint.restores, hash);
                signed.push(member);
                lines.push(line(member, note));
            } else if place != down && !self.splits {
                // Whom the first one refuses asks no other.
                break;
            }
        }
        self.cosigned.entry(note.to_vec()).or_default().extend(signed);
        self.sync(note, checkpoint.restores);
        (lines.len() >= REQUIRED).then(|| [note, lines.concat().as_bytes()].concat())
    }

    /// What does not lead up to what a quorum holds now, nobody in it remembers to have vouched for.
    fn forget_vouched(&mut self) {
        let mut vouched = core::mem::take(&mut self.vouched);
        vouched.retain(|(number, note)| {
            let read = |note: &[u8]| Checkpoint::read_unverified(note).ok();
            let Some(old) = read(note) else { return false };
            let held = self.holds[*number].get(&old.restores).and_then(|held| read(held));
            held.is_some_and(|held| self.continues(held.hash(), old.hash()))
        });
        self.vouched = vouched;
    }

    /// A note that enough members of a quorum cosigned is held by that quorum, whoever asked them: the adversary's own adds its line.
    fn sync(&mut self, note: &[u8], restores: u32) {
        let cosigned = &self.cosigned[note];
        let vouches =
            |members: &[usize; 4]| members.iter().filter(|one| CORRUPT.contains(one) || cosigned.contains(one)).count();
        let reached: Vec<usize> = (0..QUORUMS.len()).filter(|number| vouches(&QUORUMS[*number]) >= REQUIRED).collect();
        // Whoever asks for an old one again moves nobody.
        let newly: Vec<usize> =
            reached.into_iter().filter(|number| self.vouched.insert((*number, note.to_vec()))).collect();
        if newly.is_empty() {
            return;
        }
        self.past.push(self.holds.clone());
        for number in newly {
            self.holds[number].insert(restores, note.to_vec());
        }
    }
}

impl Anchor for Witnesses {
    fn level(&self) -> AnchorLevel {
        AnchorLevel::L4
    }

    /// What they hold is the host's word. Where it lies, it says what the enclave wants to hear.
    fn read(&mut self, database: &[u8], weather: Weather) -> Option<Vec<u8>> {
        match weather {
            Weather::Unreachable => None,
            Weather::Stale => Some(database.to_vec()),
            Weather::Fine | Weather::LostReply => Some(self.holds(crate::anchor::restores(database))),
        }
    }

    fn advance(&mut self, previous: &[u8], next: &[u8], weather: Weather) -> Advance {
        if weather == Weather::Unreachable {
            return Advance::Silence;
        }
        let Ok(checkpoint) = Checkpoint::read_unverified(next) else { return Advance::Silence };
        let held = self.holds(checkpoint.restores);
        let mut pool = self.pool.borrow_mut();
        let key = (self.number, next.to_vec());
        // As `pinseal_anchor::WitnessAnchor` does: who sees that another instance was faster asks nobody.
        let is_next = pool.splits || held == previous || held == next;
        // Where they were put back, whoever has their receipt has to ask again: they do not hold what it says.
        let is_forgotten = held == previous;
        if is_next
            && (is_forgotten || !pool.receipts.contains_key(&key))
            && let Some(receipt) = pool.ask(self.number, next, &checkpoint)
        {
            pool.receipts.insert(key.clone(), receipt);
        }
        match (pool.receipts.get(&key), weather) {
            (_, Weather::LostReply) => Advance::Silence,
            (Some(receipt), _) => Advance::Receipt(receipt.clone()),
            (None, _) => Advance::Lost(held),
        }
    }

    fn holds(&self, restores: u32) -> Vec<u8> {
        self.pool.borrow().holds[self.number].get(&restores).cloned().unwrap_or_default()
    }

    fn is_split(&self, restores: u32) -> bool {
        let pool = self.pool.borrow();
        let held = pool.holds[self.number].get(&restores);
        let held = held.and_then(|note| Checkpoint::read_unverified(note).ok()).map(|read| read.hash());
        let honest = QUORUMS[self.number].into_iter().filter(|member| !CORRUPT.contains(member));
        let own = honest.filter_map(|member| pool.held[member].get(&restores));
        own.into_iter().any(|own| held.is_none_or(|held| !pool.continues(held, *own)))
    }

    fn trust(&mut self, restores: u32) {
        self.pool.borrow_mut().trusted.insert(restores);
    }

    /// Every witness forgets: more than the claim allows for.
    fn roll_back(&mut self, back: usize) -> bool {
        let mut pool = self.pool.borrow_mut();
        let Some(place) = pool.past.len().checked_sub(back + 1) else { return false };
        let before = pool.past[place].clone();
        let held = core::mem::replace(&mut pool.holds, before);
        pool.past.truncate(place);
        let hash = |note: &Vec<u8>| Checkpoint::read_unverified(note).map(|read| read.hash()).ok();
        for (number, members) in QUORUMS.iter().enumerate() {
            // What a quorum never vouched for since, its witnesses still hold.
            if pool.holds[number] == held[number] {
                continue;
            }
            let held = pool.holds[number].iter().filter_map(|(log, note)| Some((*log, hash(note)?)));
            let held: BTreeMap<u32, Hash32> = held.collect();
            for member in members {
                pool.held[*member].clone_from(&held);
            }
        }
        pool.forget_vouched();
        true
    }

    /// Under the note a quorum's lines over the old one; or the line of the adversary's own witness, as often as it likes.
    fn forge(&self, note: &[u8], old: &[u8], _: usize) -> Vec<u8> {
        let pool = self.pool.borrow();
        let stolen = pool.receipts.get(&(self.number, old.to_vec())).and_then(|receipt| receipt.strip_prefix(old));
        let members = QUORUMS[self.number];
        let own = || {
            let corrupt = members.into_iter().find(|member| CORRUPT.contains(member));
            corrupt.map(|member| line(member, note).repeat(members.len()).into_bytes()).unwrap_or_default()
        };
        [note, &stolen.map_or_else(own, <[u8]>::to_vec)].concat()
    }
}
