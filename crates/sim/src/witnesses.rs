//! L4: four witnesses, three of which must cosign. They sign for real; what they compare is the line of checkpoints, each of which
//! names the one before.
//!
//! One of the four is the adversary's and cosigns whatever it is asked to. That is one less than the claim allows for (2k - n = 2), and
//! covers a witness that was put back. At each step another one may be down, and catches up later.

use std::collections::HashMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::cosignature::{Quorum, Witness, cosign};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::note::{KeyKind, VerifierKey, read_note};

use crate::anchor::{Advance, Anchor, Weather};

/// n.
const WITNESSES: u8 = 4;
/// k.
const REQUIRED: usize = 3;
/// The adversary's.
const CORRUPT: usize = 0;
/// What cosignatures say the time is; nobody judges it.
const TIME: u64 = 1_800_000_000;

/// The quorum that deployments at L4 are sealed to.
pub(crate) fn quorum() -> Quorum {
    let named = members().iter().filter_map(|member| Witness::from_verifier_key(&member.key)).collect();
    Quorum { required: REQUIRED as u8, witnesses: named }
}

struct Member {
    pair: Ed25519KeyPair,
    key: VerifierKey,
    /// The checkpoint it cosigned last, by hash.
    held: Hash32,
    past: Vec<Hash32>,
}

fn members() -> Vec<Member> {
    (1..=WITNESSES)
        .map(|number| {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]).expect("every 32 bytes are a seed");
            let public = Ed25519Public::from_slice(pair.public_key().as_ref()).expect("a public key has 32 bytes");
            let name = format!("witness.test/w{number}");
            let key = VerifierKey::new(&name, KeyKind::Cosignature, public).expect("a name without spaces");
            Member { pair, key, held: Hash32([0; 32]), past: Vec::new() }
        })
        .collect()
}

impl Member {
    fn line(&self, note: &[u8]) -> String {
        let (text, _) = read_note(note).expect("a note that an enclave signed");
        let sign = |message: &[u8]| {
            let mut signature = [0; 64];
            signature.copy_from_slice(self.pair.sign(message).as_ref());
            signature
        };
        cosign(&self.key, TIME, text.as_bytes(), sign).to_string()
    }

    fn take(&mut self, checkpoint: Hash32) {
        self.past.push(core::mem::replace(&mut self.held, checkpoint));
    }
}

/// The anchor.
pub(crate) struct Witnesses {
    members: Vec<Member>,
    /// The newest checkpoint with a quorum.
    holds: Vec<u8>,
    past: Vec<Vec<u8>>,
    /// Every receipt that ever was: the adversary keeps them all.
    receipts: HashMap<Vec<u8>, Vec<u8>>,
    /// Of every checkpoint that was shown to a witness, the one before it.
    before: HashMap<Hash32, Hash32>,
    /// Hosts ask whomever they like, and may leave the witnesses split.
    splits: bool,
}

impl Witnesses {
    /// All of them have cosigned this note.
    pub(crate) fn new(holds: Vec<u8>, splits: bool) -> Self {
        let mut members = members();
        if let Ok(checkpoint) = Checkpoint::read_unverified(&holds) {
            members.iter_mut().for_each(|member| member.held = checkpoint.hash());
        }
        Self { members, holds, past: Vec::new(), receipts: HashMap::new(), before: HashMap::new(), splits }
    }

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

    /// Everybody who answers cosigns, or says what it holds.
    fn ask(&mut self, note: &[u8], checkpoint: &Checkpoint) -> Option<Vec<u8>> {
        let hash = checkpoint.hash();
        self.before.insert(hash, checkpoint.previous);
        // Twice as many numbers as witnesses: half of the time nobody is down.
        let down = usize::from(hash.0[0]) % (2 * self.members.len());
        let mut lines = Vec::new();
        for place in 0..self.members.len() {
            if place == CORRUPT {
                lines.push(self.members[place].line(note));
            } else if place != down && self.continues(hash, self.members[place].held) {
                self.members[place].take(hash);
                lines.push(self.members[place].line(note));
            } else if place != down && !self.splits {
                // Whom the first one refuses asks no other.
                break;
            }
        }
        (lines.len() >= REQUIRED).then(|| [note, lines.concat().as_bytes()].concat())
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
            Weather::Fine | Weather::LostReply => Some(self.holds.clone()),
        }
    }

    fn advance(&mut self, previous: &[u8], next: &[u8], weather: Weather) -> Advance {
        if weather == Weather::Unreachable {
            return Advance::Silence;
        }
        // As `pinseal_anchor::WitnessAnchor` does: who sees that another instance was faster asks nobody.
        let is_next = self.holds != next && (self.splits || self.holds == previous);
        if is_next
            && let Ok(checkpoint) = Checkpoint::read_unverified(next)
            && let Some(receipt) = self.ask(next, &checkpoint)
        {
            self.past.push(core::mem::replace(&mut self.holds, next.to_vec()));
            self.receipts.insert(next.to_vec(), receipt);
        }
        match (self.receipts.get(next), weather) {
            (_, Weather::LostReply) => Advance::Silence,
            (Some(receipt), _) => Advance::Receipt(receipt.clone()),
            (None, _) => Advance::Lost(self.holds.clone()),
        }
    }

    fn holds(&self) -> &[u8] {
        &self.holds
    }

    /// Every witness forgets: more than the claim allows for.
    fn roll_back(&mut self, back: usize) -> bool {
        let Some(place) = self.past.len().checked_sub(back + 1) else { return false };
        self.holds.clone_from(&self.past[place]);
        self.past.truncate(place);
        let Ok(checkpoint) = Checkpoint::read_unverified(&self.holds) else { return false };
        for member in &mut self.members {
            member.past.clear();
            member.held = checkpoint.hash();
        }
        true
    }

    /// Under the note a quorum's lines over the old one; or the line of the adversary's own witness, as often as it likes.
    fn forge(&self, note: &[u8], old: &[u8]) -> Vec<u8> {
        let stolen = self.receipts.get(old).and_then(|receipt| receipt.strip_prefix(old));
        let own = || self.members[CORRUPT].line(note).repeat(WITNESSES.into()).into_bytes();
        [note, &stolen.map_or_else(own, <[u8]>::to_vec)].concat()
    }
}
