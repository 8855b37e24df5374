//! What was signed and may still be carried out, so that nothing is paid for twice.
//!
//! A host says whether a transaction was sent, and names the next nonce. One that lies has a payment approved again under another nonce, and
//! carries out both. Two transactions of one account under the same nonce exclude each other, so a client keeps what it signed, with where it
//! stands by the host's word and whether its owner may believe that it failed. What was in doubt once stays so, also when it is in a block
//! later: its owner is told before anything is signed beside it. `vectors/client/outgoing.json` is the rule, case by case.
//!
//! What a host gains by calling mined what is not is that its owner does not pay again.

use pinseal_protocol::ids::{Hash32, UnixSeconds};
use sha2::{Digest as _, Sha256};

use crate::api::TransactionStatus;
use crate::values::{Address, Amount, Network};

/// Most transactions that a profile keeps. A host takes as many of one user that wait.
pub const OUTGOING_MAX: usize = 256;
/// Most nonces that are final kept among them, for what is signed or said of them after that.
const FINAL_MAX: usize = 16;
/// Longest [`Outgoing::summary`].
const SUMMARY_CHARS_MAX: usize = 300;

/// A signed transaction that is not settled, or was lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Network.
    pub network: Network,
    /// The account that signed.
    pub from: Address,
    /// Its nonce: of those under one, one can be carried out.
    pub nonce: u64,
    /// Its hash.
    pub hash: Hash32,
    /// Names recipient, value and call data: [`content`].
    pub content: Hash32,
    /// What it does, in the words in which it was approved; nothing of it is the host's.
    pub summary: String,
    /// By this device's clock.
    pub signed_at: UnixSeconds,
    /// Where it stands, by the host's word.
    pub standing: Standing,
    /// Its owner may believe that it failed, or was not sent.
    pub in_doubt: bool,
}

impl Outgoing {
    /// In a block, and did there what it says.
    const fn is_done(&self) -> bool {
        matches!(self.standing, Standing::Mined | Standing::Final)
    }

    /// In a block: nothing else under its nonce can be carried out then.
    const fn is_in_block(&self) -> bool {
        self.is_done() || matches!(self.standing, Standing::Reverted)
    }

    /// In no block, and its owner may believe that it never will be.
    const fn is_doubtful(&self) -> bool {
        self.in_doubt || matches!(self.standing, Standing::Unsent)
    }

    fn is_beside(&self, other: &Self) -> bool {
        (&self.network, self.from, self.nonce) == (&other.network, other.from, other.nonce)
    }

    const fn stand(&mut self, status: Option<TransactionStatus>) {
        use TransactionStatus::{Dropped, Failed, Final, Mined, Pending, Replaced};
        if !matches!(self.standing, Standing::Final) {
            self.standing = match status {
                Some(Pending) => Standing::Waiting,
                Some(Mined) => Standing::Mined,
                Some(Failed) => Standing::Reverted,
                Some(Final) => Standing::Final,
                Some(Dropped | Replaced) | None => Standing::Unsent,
            };
        }
    }
}

/// Where a signed transaction stands, by the host's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not with the network; or nobody has answered yet.
    Unsent,
    /// A host took it.
    Waiting,
    /// In a block.
    Mined,
    /// In a block, where it did nothing.
    Reverted,
    /// In a block that will not go away.
    Final,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Unsent, Self::Waiting, Self::Mined, Self::Reverted, Self::Final];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsent => "unsent",
            Self::Waiting => "waiting",
            Self::Mined => "mined",
            Self::Reverted => "reverted",
            Self::Final => "final",
        }
    }
}

/// How something was learnt of a kept transaction, and what its owner knows by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learnt {
    /// The host's own answer to being given it; the owner is told.
    Answered,
    /// The owner waited for it, and is told what came of it.
    Followed,
    /// It was in a list that the owner may have read, or not.
    Shown,
    /// Nobody was told.
    Heard,
}

/// What the transactions kept mean for the next one, each in the order in which they were signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// May be carried out beside it, or were, without their owner knowing.
    pub stops: Vec<Outgoing>,
    /// Wait, and will be carried out beside it.
    pub beside: Vec<Outgoing>,
    /// Have its nonce: it takes their place.
    pub instead: Vec<Outgoing>,
    /// No honest host names this nonce: it is used up, or that of one that waits and is not to be replaced.
    pub is_nonce_refused: bool,
}

/// As many transactions are kept as may be, and none of them can be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// What is to be signed next.
#[derive(Debug, Clone, Copy)]
pub struct Next<'a> {
    /// Network.
    pub network: &'a Network,
    /// The account that signs.
    pub from: Address,
    /// Its nonce.
    pub nonce: u64,
    /// The nonce was asked for, and not named by the host.
    pub replaces: bool,
    /// What it does.
    pub content: Hash32,
}

/// The transactions of a profile, in the order in which they were signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger(Vec<Outgoing>);

impl Ledger {
    /// Those of a file; `None` if there are more than a profile keeps.
    pub(crate) fn of_file(entries: Vec<Outgoing>) -> Option<Self> {
        (entries.len() <= OUTGOING_MAX).then_some(Self(entries))
    }

    /// All of them.
    pub fn entries(&self) -> &[Outgoing] {
        &self.0
    }

    /// One of them.
    pub fn get(&self, hash: &Hash32) -> Option<&Outgoing> {
        self.0.iter().find(|entry| entry.hash == *hash)
    }

    /// Those of an account on a network.
    pub fn of<'a>(&'a self, network: &'a Network, from: Address) -> impl Iterator<Item = &'a Outgoing> {
        self.0.iter().filter(move |entry| entry.network == *network && entry.from == from)
    }

    /// Keeps one that is about to be handed to a host, once more or for the first time: until that has answered it is in doubt.
    ///
    /// # Errors
    /// [`Full`]; otherwise room is made by the oldest nonce that is settled and stops nothing new.
    pub fn sign(&mut self, mut entry: Outgoing) -> Result<(), Full> {
        if let Some(kept) = self.0.iter_mut().find(|kept| kept.hash == entry.hash) {
            kept.in_doubt = true;
            return Ok(());
        }
        while self.0.len() >= OUTGOING_MAX {
            self.make_room()?;
        }
        entry.summary = entry.summary.chars().take(SUMMARY_CHARS_MAX).collect();
        (entry.standing, entry.in_doubt) = (Standing::Unsent, true);
        self.0.push(entry);
        Ok(())
    }

    /// Whether one more can be kept.
    pub fn has_room(&self) -> bool {
        self.0.len() < OUTGOING_MAX || self.clone().make_room().is_ok()
    }

    /// What a host says of one; `None` if it says that it knows of none.
    pub fn learn(&mut self, hash: &Hash32, learnt: Learnt, status: Option<TransactionStatus>) {
        use TransactionStatus::{Final, Mined, Pending};
        let Some(entry) = self.0.iter_mut().find(|entry| entry.hash == *hash) else { return };
        entry.stand(status);
        entry.in_doubt = match (learnt, status) {
            (Learnt::Heard, _) | (Learnt::Followed, Some(Pending)) | (Learnt::Shown, Some(Pending | Mined | Final)) => {
                entry.in_doubt
            }
            (Learnt::Answered, Some(Pending | Mined | Final)) | (Learnt::Followed, Some(Mined | Final)) => false,
            _ => true,
        };
        if self.0.iter().filter(|entry| entry.standing == Standing::Final).count() > FINAL_MAX {
            self.forget_oldest(Standing::Final);
        }
    }

    /// Its owner was stopped by it, or shown a list without it: they may believe that it failed.
    pub fn doubt(&mut self, hash: &Hash32) {
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.hash == *hash) {
            entry.in_doubt = true;
        }
    }

    /// Its owner has looked elsewhere, and pays beside it.
    pub fn forget(&mut self, hash: &Hash32) {
        self.0.retain(|entry| entry.hash != *hash || entry.is_done());
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.hash == *hash) {
            entry.in_doubt = false;
        }
    }

    /// What the kept ones mean for the next one.
    pub fn verdict(&self, next: &Next<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        for entry in self.of(next.network, next.from) {
            if entry.nonce == next.nonce {
                let is_taken = !entry.is_doubtful() && !next.replaces;
                verdict.is_nonce_refused |= entry.is_in_block() || is_taken;
                if !entry.is_in_block() {
                    verdict.instead.push(entry.clone());
                }
            } else if self.stops(entry, Some(&next.content)) {
                verdict.stops.push(entry.clone());
            } else if !self.beside(entry).any(Outgoing::is_in_block) {
                verdict.beside.push(entry.clone());
            }
        }
        verdict
    }

    /// Whether something under another nonce may be paid for twice because of this one. `None` stands for what was never signed.
    fn stops(&self, entry: &Outgoing, content: Option<&Hash32>) -> bool {
        let is_same = content == Some(&entry.content);
        let others = || self.beside(entry).filter(|other| other.hash != entry.hash);
        let is_last = self.beside(entry).last().is_some_and(|last| last.hash == entry.hash);
        if entry.is_done() {
            return entry.in_doubt;
        }
        if entry.standing == Standing::Reverted {
            return is_same;
        }
        if others().any(Outgoing::is_in_block) {
            // Which of them is in a block is the host's word.
            let is_done = others().any(|other| other.is_done() && other.content == entry.content);
            return !is_done && (is_same || (is_last && entry.in_doubt));
        }
        if !entry.is_doubtful() {
            return false;
        }
        // Its owner signed the last one in place of the others: what they know of that is what they go by.
        let is_last_doubtful = self.beside(entry).last().is_some_and(Outgoing::is_doubtful);
        let waits = |other: &Outgoing| !other.is_doubtful() && other.content == entry.content;
        is_last_doubtful || (is_same && !others().any(waits))
    }

    /// All under its nonce, itself among them.
    fn beside<'a>(&'a self, entry: &'a Outgoing) -> impl Iterator<Item = &'a Outgoing> {
        self.0.iter().filter(move |other| other.is_beside(entry))
    }

    /// Forgets the oldest nonce that holds one that stands so and stops nothing new, with all under it. False if there is none.
    fn forget_oldest(&mut self, standing: Standing) -> bool {
        let is_quiet = |entry: &Outgoing| !self.beside(entry).any(|other| self.stops(other, None));
        let oldest = self.0.iter().find(|entry| entry.standing == standing && is_quiet(entry)).cloned();
        if let Some(oldest) = &oldest {
            self.0.retain(|entry| !entry.is_beside(oldest));
        }
        oldest.is_some()
    }

    fn make_room(&mut self) -> Result<(), Full> {
        let order = [Standing::Final, Standing::Mined, Standing::Reverted];
        if order.into_iter().any(|standing| self.forget_oldest(standing)) { Ok(()) } else { Err(Full) }
    }
}

/// Names what a transaction does: recipient (`None` creates a contract), value and call data.
pub fn content(to: Option<Address>, value: Amount, input: &[u8]) -> Hash32 {
    let mut hash = Sha256::new();
    hash.update([u8::from(to.is_some())]);
    hash.update(to.map_or([0; 20], |to| to.0.0));
    hash.update(value.0.to_be_bytes::<32>());
    hash.update(input);
    Hash32(hash.finalize().into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
mod tests {
    use std::collections::BTreeMap;

    use pinseal_protocol::intent::EvmAddress;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct File {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        steps: Vec<Step>,
        next: NextCase,
        stops: Vec<String>,
        beside: Vec<String>,
        instead: Vec<String>,
        refused: bool,
    }

    type Told = BTreeMap<String, String>;

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    enum Step {
        Signed { hash: String, nonce: u64, content: String },
        Answered(Told),
        Followed(Told),
        Shown(Told),
        Heard(Told),
        Omitted(String),
        Told(String),
        Forgotten(String),
    }

    #[derive(Deserialize)]
    struct NextCase {
        nonce: u64,
        content: String,
        replaces: bool,
    }

    const FROM: Address = Address(EvmAddress([7; 20]));

    fn network() -> Network {
        "eip155:31337".parse().unwrap()
    }

    fn named(name: &str) -> Hash32 {
        Hash32(Sha256::digest(name).into())
    }

    fn entry(name: &str, nonce: u64, what: &str) -> Outgoing {
        Outgoing {
            network: network(),
            from: FROM,
            nonce,
            hash: named(name),
            content: named(what),
            summary: name.to_owned(),
            signed_at: UnixSeconds(1),
            standing: Standing::Final,
            in_doubt: false,
        }
    }

    fn take(ledger: &mut Ledger, step: Step) {
        let (learnt, told) = match step {
            Step::Signed { hash, nonce, content } => return ledger.sign(entry(&hash, nonce, &content)).unwrap(),
            Step::Omitted(hash) | Step::Told(hash) => return ledger.doubt(&named(&hash)),
            Step::Forgotten(hash) => return ledger.forget(&named(&hash)),
            Step::Answered(told) => (Learnt::Answered, told),
            Step::Followed(told) => (Learnt::Followed, told),
            Step::Shown(told) => (Learnt::Shown, told),
            Step::Heard(told) => (Learnt::Heard, told),
        };
        for (hash, status) in told {
            let status = match status.as_str() {
                "unknown" => None,
                status => Some(serde_json::from_value(status.into()).unwrap()),
            };
            ledger.learn(&named(&hash), learnt, status);
        }
    }

    fn judged(ledger: &Ledger, nonce: u64, content: &str) -> Verdict {
        let (network, content) = (network(), named(content));
        ledger.verdict(&Next { network: &network, from: FROM, nonce, replaces: false, content })
    }

    fn names(entries: Vec<Outgoing>) -> Vec<String> {
        entries.into_iter().map(|entry| entry.summary).collect()
    }

    #[test]
    fn what_was_signed_before_is_judged_as_the_vectors_say() {
        let file: File = serde_json::from_str(include_str!("../../../vectors/client/outgoing.json")).unwrap();
        assert!(file.cases.len() >= 100);
        for case in file.cases {
            let mut ledger = Ledger::default();
            // Neither another account's nor another network's are any business of this one.
            ledger.sign(Outgoing { from: Address(EvmAddress([8; 20])), ..entry("theirs", 5, "one") }).unwrap();
            ledger.sign(Outgoing { network: "eip155:1".parse().unwrap(), ..entry("there", 5, "one") }).unwrap();
            case.steps.into_iter().for_each(|step| take(&mut ledger, step));
            let (network, content) = (network(), named(&case.next.content));
            let NextCase { nonce, replaces, .. } = case.next;
            let found = ledger.verdict(&Next { network: &network, from: FROM, nonce, replaces, content });
            let expected = (case.stops, case.beside, case.instead, case.refused);
            let found = (names(found.stops), names(found.beside), names(found.instead), found.is_nonce_refused);
            assert_eq!(found, expected, "{}", case.name);
        }
    }

    #[test]
    fn room_is_made_by_what_is_settled_and_by_nothing_else() {
        use TransactionStatus::{Failed, Final, Mined, Pending};
        let mut ledger = Ledger::default();
        for nonce in 0..OUTGOING_MAX as u64 {
            ledger.sign(entry(&nonce.to_string(), nonce, "one")).unwrap();
        }
        assert_eq!(ledger.sign(entry("more", 999, "one")), Err(Full));
        ledger.sign(entry("3", 3, "one")).unwrap();
        // Mined by the host's word alone, while its owner may believe that it failed.
        ledger.learn(&named("5"), Learnt::Heard, Some(Mined));
        assert_eq!(ledger.sign(entry("more", 999, "one")), Err(Full));
        for (number, status) in [(7, Failed), (9, Mined), (11, Final), (13, Pending)] {
            ledger.learn(&named(&number.to_string()), Learnt::Answered, Some(status));
        }
        for (number, gone) in ["11", "9", "7"].into_iter().enumerate() {
            ledger.sign(entry(&format!("more {number}"), 1_000, "one")).unwrap();
            assert_eq!(ledger.get(&named(gone)), None);
        }
        assert_eq!(ledger.sign(entry("once", 1_001, "one")), Err(Full));
        assert_eq!(ledger.entries().len(), OUTGOING_MAX);
    }

    #[test]
    fn a_nonce_is_forgotten_as_a_whole_and_only_its_own() {
        use TransactionStatus::{Final, Mined};
        let mut ledger = Ledger::default();
        ledger.sign(Outgoing { from: Address(EvmAddress([8; 20])), ..entry("theirs", 5, "one") }).unwrap();
        for name in ["replaced", "replacement"] {
            ledger.sign(entry(name, 5, name)).unwrap();
        }
        ledger.learn(&named("replacement"), Learnt::Answered, Some(Mined));
        for nonce in 100..100 + OUTGOING_MAX as u64 - 2 {
            ledger.sign(entry(&nonce.to_string(), nonce, "one")).unwrap();
        }
        assert!(ledger.get(&named("replaced")).is_none() && ledger.get(&named("replacement")).is_none());
        assert!(ledger.get(&named("theirs")).is_some());
        for nonce in 100..120 {
            ledger.learn(&named(&nonce.to_string()), Learnt::Answered, Some(Final));
        }
        let last = ledger.entries().iter().filter(|entry| entry.standing == Standing::Final).map(|entry| entry.nonce);
        assert_eq!(last.collect::<Vec<_>>(), (104..120).collect::<Vec<_>>());
        // What its owner does not know of is not forgotten.
        for nonce in 120..140 {
            ledger.learn(&named(&nonce.to_string()), Learnt::Heard, Some(Final));
        }
        assert!((120..140).all(|nonce: u64| ledger.get(&named(&nonce.to_string())).is_some()));
        assert_eq!(judged(&ledger, 1, "two").stops.len(), OUTGOING_MAX - 2 - 20);
    }

    #[test]
    fn content_is_recipient_value_and_call_data() {
        let same = content(Some(FROM), Amount::default(), b"x");
        assert_eq!(same, content(Some(FROM), Amount::default(), b"x"));
        for other in [
            content(Some(Address(EvmAddress([8; 20]))), Amount::default(), b"x"),
            content(Some(FROM), "1".parse().unwrap(), b"x"),
            content(Some(FROM), Amount::default(), b"y"),
        ] {
            assert_ne!(same, other);
        }
        assert_ne!(
            content(None, Amount::default(), b""),
            content(Some(Address(EvmAddress([0; 20]))), Amount::default(), b"")
        );
    }
}
