//! What was signed and may still be carried out, so that nothing is paid for twice.
//!
//! A host says whether a transaction was sent, and names the next nonce. One that lies has a payment approved again under another nonce, and
//! carries out both. Two transactions of one account under the same nonce exclude each other, so a client keeps what it signed, with where it
//! stands by the host's word and what its owner knows of it. Where they may have believed once that it failed, they are told before anything is
//! signed beside it, also when it is in a block by then. `vectors/client/outgoing.json` is the rule, case by case.
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
    /// What it does.
    pub content: Content,
    /// What it does, in the words in which it was approved; nothing of it is the host's.
    pub summary: String,
    /// By this device's clock.
    pub signed_at: UnixSeconds,
    /// Where it stands, by the host's word.
    pub standing: Standing,
    /// What its owner knows of it.
    pub known: Known,
}

impl Outgoing {
    /// In a block, and did there what it says.
    const fn is_done(&self) -> bool {
        self.standing.is_done()
    }

    /// In a block: nothing else under its nonce can be carried out then.
    pub(crate) const fn is_in_block(&self) -> bool {
        self.is_done() || matches!(self.standing, Standing::Reverted)
    }

    /// In no block, and its owner may believe that it never will be.
    const fn is_doubtful(&self) -> bool {
        matches!(self.known, Known::Doubtful) || matches!(self.standing, Standing::Unsent)
    }

    fn is_accepted(&self, accepted: &[Accepted], beside: Slot<'_>) -> bool {
        let stands = |standing: Standing| standing == self.standing || (standing.is_done() && self.is_done());
        self.slot() != beside && accepted.iter().any(|one| one.hash == self.hash && stands(one.standing))
    }

    /// The nonce that it has, of its account on its network.
    const fn slot(&self) -> Slot<'_> {
        (&self.network, self.from, self.nonce)
    }

    const fn stand(&mut self, status: Option<TransactionStatus>) {
        use TransactionStatus::{Dropped, Failed, Final, Mined, Pending, Replaced};
        self.standing = match status {
            Some(Pending) => Standing::Waiting,
            Some(Mined) => Standing::Mined,
            Some(Failed) => Standing::Reverted,
            Some(Final) => Standing::Final,
            Some(Dropped | Replaced) | None => Standing::Unsent,
        };
    }
}

/// A nonce of an account on a network: of the transactions that have it one can be carried out.
type Slot<'a> = (&'a Network, Address, u64);

/// What a transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Recipient or contract; `None` creates a contract.
    pub to: Option<Address>,
    /// Native currency moved.
    pub value: Amount,
    /// SHA-256 of the call data.
    pub input: Hash32,
}

impl Content {
    /// What goes to `to` with this call data.
    pub fn new(to: Option<Address>, value: Amount, input: &[u8]) -> Self {
        Self { to, value, input: Hash32(Sha256::digest(input).into()) }
    }
}

/// What the owner of a signed transaction knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// They may believe that it failed, or was not sent.
    Doubtful,
    /// That it was sent, and not what came of it: they began to wait, and were not told.
    Awaited,
    /// What there is to know.
    Told,
}

impl Known {
    /// All of it.
    pub const ALL: [Self; 3] = [Self::Doubtful, Self::Awaited, Self::Told];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Doubtful => "doubtful",
            Self::Awaited => "awaited",
            Self::Told => "told",
        }
    }
}

/// One that was signed earlier and, as its owner has seen elsewhere, is no reason against the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its hash.
    pub hash: Hash32,
    /// Where it stood when they were told of it. Of one that stands elsewhere by now nothing was accepted; what is mined becomes final.
    pub standing: Standing,
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

    const fn is_done(self) -> bool {
        matches!(self, Self::Mined | Self::Final)
    }

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

impl Learnt {
    /// Whether the owner may believe by it that the transaction failed.
    const fn denies(self, status: Option<TransactionStatus>) -> bool {
        use TransactionStatus::{Dropped, Failed, Replaced};
        !matches!(self, Self::Heard) && matches!(status, Some(Dropped | Replaced | Failed) | None)
    }
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
    /// Did the same, and were carried out, which their owner was told: this one is meant to be done once more.
    pub again: Vec<Outgoing>,
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
    pub content: Content,
    /// All accounts of the wallet that signs. Others of the profile are somebody else's.
    pub accounts: &'a [Address],
    /// What is no reason against it.
    pub accepted: &'a [Accepted],
}

impl Next<'_> {
    const fn slot(&self) -> Slot<'_> {
        (self.network, self.from, self.nonce)
    }

    fn is_here(&self, entry: &Outgoing) -> bool {
        entry.network == *self.network && entry.from == self.from
    }
}

/// Beside what a transaction is not signed unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stops {
    Nothing,
    /// What does the same.
    Same,
    Anything,
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

    /// Keeps one that is about to be handed to a host, once more or for the first time: until that has answered it is in doubt. What was accepted for
    /// it is forgotten, or its owner knows of it, if it is done.
    ///
    /// # Errors
    /// [`Full`], and nothing has changed; otherwise room is made by the oldest nonce that is settled and stops nothing new.
    pub fn sign(&mut self, mut entry: Outgoing, accepted: &[Accepted]) -> Result<(), Full> {
        let mut after = self.clone();
        after.accept(accepted, entry.slot());
        if let Some(kept) = after.0.iter_mut().find(|kept| kept.hash == entry.hash) {
            kept.known = Known::Doubtful;
        } else {
            after.make_room()?;
            entry.summary = entry.summary.chars().take(SUMMARY_CHARS_MAX).collect();
            (entry.standing, entry.known) = (Standing::Unsent, Known::Doubtful);
            after.0.push(entry);
        }
        *self = after;
        Ok(())
    }

    /// Whether one more can be kept.
    pub fn has_room(&self, next: &Next<'_>) -> bool {
        let mut after = self.clone();
        after.accept(next.accepted, next.slot());
        after.make_room().is_ok()
    }

    fn accept(&mut self, accepted: &[Accepted], beside: Slot<'_>) {
        self.0.retain(|entry| entry.is_done() || !entry.is_accepted(accepted, beside));
        let done = self.0.iter_mut().filter(|entry| entry.is_accepted(accepted, beside));
        done.for_each(|entry| entry.known = Known::Told);
    }

    /// What a host says of one; `None` if it says that it knows of none.
    pub fn learn(&mut self, hash: &Hash32, learnt: Learnt, status: Option<TransactionStatus>) {
        use TransactionStatus::{Final, Mined, Pending};
        let Some(entry) = self.get_mut(hash) else { return };
        entry.stand(status);
        match (learnt, status) {
            _ if learnt.denies(status) => entry.known = Known::Doubtful,
            (Learnt::Answered, Some(Pending)) | (Learnt::Answered | Learnt::Followed, Some(Mined | Final)) => {
                entry.known = Known::Told;
            }
            _ => {}
        }
        if self.0.iter().filter(|entry| entry.standing == Standing::Final).count() > FINAL_MAX {
            self.forget_oldest(Standing::Final);
        }
    }

    /// The same, by an answer that was on its way while something else was learnt: where it stands is known better by now, but its owner may
    /// believe what they were told.
    pub fn learn_late(&mut self, hash: &Hash32, learnt: Learnt, status: Option<TransactionStatus>) {
        if learnt.denies(status) {
            self.doubt(hash);
        }
    }

    /// Its owner, who was told that it was sent, waits for what comes of it, or was stopped from signing the same because it waits.
    pub fn await_end(&mut self, hash: &Hash32) {
        if let Some(entry) = self.get_mut(hash).filter(|entry| entry.known == Known::Told) {
            entry.known = Known::Awaited;
        }
    }

    /// Its owner was stopped by it: unless they read that it was carried out, they may believe that it failed.
    pub fn tell(&mut self, hash: &Hash32) {
        if self.get(hash).is_some_and(|entry| !entry.is_done()) {
            self.doubt(hash);
        }
    }

    /// Its owner was shown a list without it, or something else in its place: they may believe that it failed.
    pub fn doubt(&mut self, hash: &Hash32) {
        if let Some(entry) = self.get_mut(hash) {
            entry.known = Known::Doubtful;
        }
    }

    /// What the kept ones mean for the next one.
    pub fn verdict(&self, next: &Next<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        for entry in self.0.iter().filter(|entry| entry.from == next.from || next.accounts.contains(&entry.from)) {
            let is_same = entry.content == next.content;
            if entry.slot() == next.slot() {
                let is_taken = !entry.is_doubtful() && !next.replaces;
                verdict.is_nonce_refused |= entry.is_in_block() || is_taken;
                if !entry.is_in_block() {
                    verdict.instead.push(entry.clone());
                }
            } else if entry.is_accepted(next.accepted, next.slot()) || !(is_same || next.is_here(entry)) {
                // No reason against it, and nothing to be told beside it.
            } else if matches!((self.stops(entry), is_same), (Stops::Anything, _) | (Stops::Same, true)) {
                verdict.stops.push(entry.clone());
            } else if !self.rivals(entry).any(Outgoing::is_in_block) {
                verdict.beside.push(entry.clone());
            } else if is_same && entry.is_done() {
                verdict.again.push(entry.clone());
            }
        }
        verdict
    }

    /// What may be paid for twice under another nonce because of this one.
    fn stops(&self, entry: &Outgoing) -> Stops {
        let others = || self.rivals(entry).filter(|other| other.hash != entry.hash);
        let last = self.rivals(entry).last();
        if entry.is_done() {
            return match entry.known {
                Known::Doubtful => Stops::Anything,
                Known::Awaited => Stops::Same,
                Known::Told => Stops::Nothing,
            };
        }
        if entry.standing == Standing::Reverted {
            return Stops::Same;
        }
        if others().any(Outgoing::is_in_block) {
            // Which of them is in a block is the host's word.
            let is_done = others().any(|other| other.is_done() && other.content == entry.content);
            let is_last = last.is_some_and(|last| last.hash == entry.hash);
            return match (is_done, is_last && entry.known == Known::Doubtful) {
                (true, _) => Stops::Nothing,
                (_, true) => Stops::Anything,
                _ => Stops::Same,
            };
        }
        // Its owner signed the last one in place of the others: what they know of that is what they go by. Where that does something else, this
        // one may be carried out until it is in a block.
        let waits = |other: &Outgoing| !other.is_doubtful() && other.content == entry.content;
        let is_made_good = others().any(waits) && !last.is_some_and(Outgoing::is_doubtful);
        if entry.is_doubtful() && !is_made_good { Stops::Anything } else { Stops::Nothing }
    }

    fn get_mut(&mut self, hash: &Hash32) -> Option<&mut Outgoing> {
        self.0.iter_mut().find(|entry| entry.hash == *hash)
    }

    /// All under its nonce, itself among them.
    fn rivals<'a>(&'a self, entry: &'a Outgoing) -> impl Iterator<Item = &'a Outgoing> {
        self.0.iter().filter(move |other| other.slot() == entry.slot())
    }

    /// Forgets the oldest nonce that holds one that stands so and stops nothing new, with all under it. False if there is none.
    fn forget_oldest(&mut self, standing: Standing) -> bool {
        let is_quiet = |entry: &Outgoing| self.rivals(entry).all(|other| self.stops(other) != Stops::Anything);
        let oldest = self.0.iter().find(|entry| entry.standing == standing && is_quiet(entry)).cloned();
        if let Some(oldest) = &oldest {
            self.0.retain(|entry| entry.slot() != oldest.slot());
        }
        oldest.is_some()
    }

    /// Room for one more.
    fn make_room(&mut self) -> Result<(), Full> {
        let order = [Standing::Final, Standing::Mined, Standing::Reverted];
        while self.0.len() >= OUTGOING_MAX {
            if !order.into_iter().any(|standing| self.forget_oldest(standing)) {
                return Err(Full);
            }
        }
        Ok(())
    }
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
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        steps: Vec<Step>,
        next: NextCase,
        stops: Vec<String>,
        beside: Vec<String>,
        instead: Vec<String>,
        again: Vec<String>,
        refused: bool,
    }

    type Told = BTreeMap<String, String>;

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    enum Step {
        Signed(Signed),
        Answered(Told),
        Followed(Told),
        Shown(Told),
        Heard(Told),
        FollowedLate(Told),
        ShownLate(Told),
        Awaited(String),
        Omitted(String),
        Told(String),
        Accepted(Told),
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Signed {
        hash: String,
        nonce: u64,
        content: String,
        #[serde(default)]
        at: Place,
        #[serde(default)]
        accepted: Told,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "snake_case")]
    enum Place {
        #[default]
        Here,
        Account,
        Network,
        Stranger,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct NextCase {
        nonce: u64,
        content: String,
        replaces: bool,
        #[serde(default)]
        accepted: Told,
    }

    const FROM: Address = Address(EvmAddress([7; 20]));
    const ACCOUNTS: [Address; 2] = [FROM, Address(EvmAddress([8; 20]))];
    const STRANGER: Address = Address(EvmAddress([9; 20]));

    fn network() -> Network {
        "eip155:31337".parse().unwrap()
    }

    fn named(name: &str) -> Hash32 {
        Hash32(Sha256::digest(name).into())
    }

    fn doing(what: &str) -> Content {
        Content::new(Some(STRANGER), Amount::default(), what.as_bytes())
    }

    fn entry(name: &str, nonce: u64, what: &str) -> Outgoing {
        Outgoing {
            network: network(),
            from: FROM,
            nonce,
            hash: named(name),
            content: doing(what),
            summary: name.to_owned(),
            signed_at: UnixSeconds(1),
            standing: Standing::Final,
            known: Known::Told,
        }
    }

    fn placed(at: &Place, entry: Outgoing) -> Outgoing {
        match at {
            Place::Here => entry,
            Place::Account => Outgoing { from: ACCOUNTS[1], ..entry },
            Place::Network => Outgoing { network: "eip155:1".parse().unwrap(), ..entry },
            Place::Stranger => Outgoing { from: STRANGER, ..entry },
        }
    }

    fn accepted(told: &Told) -> Vec<Accepted> {
        let standing = |name: &str| Standing::ALL.into_iter().find(|standing| standing.name() == name).unwrap();
        told.iter().map(|(hash, name)| Accepted { hash: named(hash), standing: standing(name) }).collect()
    }

    fn keep(ledger: &mut Ledger, entry: Outgoing, accepted: &[Accepted]) -> Result<(), Full> {
        let next = Next {
            network: &entry.network.clone(),
            from: entry.from,
            nonce: entry.nonce,
            replaces: false,
            content: entry.content,
            accounts: &ACCOUNTS,
            accepted,
        };
        let has_room = ledger.has_room(&next);
        let is_kept = ledger.get(&entry.hash).is_some();
        let before = ledger.clone();
        let signed = ledger.sign(entry, accepted);
        assert_eq!(signed.is_ok(), has_room || is_kept);
        assert!(signed.is_ok() || *ledger == before);
        signed
    }

    fn sign(ledger: &mut Ledger, entry: Outgoing) -> Result<(), Full> {
        keep(ledger, entry, &[])
    }

    type Learn = fn(&mut Ledger, &Hash32, Learnt, Option<TransactionStatus>);

    fn take(ledger: &mut Ledger, step: Step) {
        let (learn, learnt, told): (Learn, _, _) = match step {
            Step::Signed(Signed { hash, nonce, content, at, accepted: told }) => {
                return keep(ledger, placed(&at, entry(&hash, nonce, &content)), &accepted(&told)).unwrap();
            }
            Step::Omitted(hash) => return ledger.doubt(&named(&hash)),
            Step::Told(hash) => return ledger.tell(&named(&hash)),
            Step::Awaited(hash) => return ledger.await_end(&named(&hash)),
            Step::Accepted(told) => {
                // By something under another nonce that is of no further interest.
                let other = entry("other", 1_000_000, "other");
                keep(ledger, other.clone(), &accepted(&told)).unwrap();
                return ledger.0.retain(|entry| entry.hash != other.hash);
            }
            Step::Answered(told) => (Ledger::learn, Learnt::Answered, told),
            Step::Followed(told) => (Ledger::learn, Learnt::Followed, told),
            Step::Shown(told) => (Ledger::learn, Learnt::Shown, told),
            Step::Heard(told) => (Ledger::learn, Learnt::Heard, told),
            Step::FollowedLate(told) => (Ledger::learn_late, Learnt::Followed, told),
            Step::ShownLate(told) => (Ledger::learn_late, Learnt::Shown, told),
        };
        for (hash, status) in told {
            let status = match status.as_str() {
                "unknown" => None,
                status => Some(serde_json::from_value(status.into()).unwrap()),
            };
            learn(ledger, &named(&hash), learnt, status);
        }
    }

    fn judged(ledger: &Ledger, nonce: u64, content: &str) -> Verdict {
        let (network, content) = (network(), doing(content));
        let (accounts, accepted): (&[Address], _) = (&ACCOUNTS, &[]);
        ledger.verdict(&Next { network: &network, from: FROM, nonce, replaces: false, content, accounts, accepted })
    }

    fn names(entries: Vec<Outgoing>) -> Vec<String> {
        entries.into_iter().map(|entry| entry.summary).collect()
    }

    #[test]
    fn what_was_signed_before_is_judged_as_the_vectors_say() {
        let file: File = serde_json::from_str(include_str!("../../../vectors/client/outgoing.json")).unwrap();
        assert!(file.cases.len() >= 200);
        for case in file.cases {
            let mut ledger = Ledger::default();
            case.steps.into_iter().for_each(|step| take(&mut ledger, step));
            let (network, content) = (network(), doing(&case.next.content));
            let NextCase { nonce, replaces, accepted: told, .. } = case.next;
            let (accounts, accepted): (&[Address], _) = (&ACCOUNTS, accepted(&told));
            let accepted = &accepted;
            let next = Next { network: &network, from: FROM, nonce, replaces, content, accounts, accepted };
            let found = ledger.verdict(&next);
            let expected = ([case.stops, case.beside, case.instead, case.again], case.refused);
            let is_refused = found.is_nonce_refused;
            let found = [found.stops, found.beside, found.instead, found.again].map(names);
            assert_eq!((found, is_refused), expected, "{}", case.name);
        }
    }

    #[test]
    fn room_is_made_by_what_is_settled_or_accepted_and_by_nothing_else() {
        use TransactionStatus::{Failed, Final, Mined, Pending};
        let mut ledger = Ledger::default();
        for nonce in 0..OUTGOING_MAX as u64 {
            sign(&mut ledger, entry(&nonce.to_string(), nonce, "one")).unwrap();
        }
        assert_eq!(sign(&mut ledger, entry("more", 999, "one")), Err(Full));
        sign(&mut ledger, entry("3", 3, "one")).unwrap();
        // Mined by the host's word alone, while its owner may believe that it failed.
        ledger.learn(&named("5"), Learnt::Heard, Some(Mined));
        assert_eq!(sign(&mut ledger, entry("more", 999, "one")), Err(Full));
        let accepted = |number: u64| [Accepted { hash: named(&number.to_string()), standing: Standing::Unsent }];
        // What it takes the place of stays.
        assert_eq!(keep(&mut ledger, entry("instead", 20, "one"), &accepted(20)), Err(Full));
        keep(&mut ledger, entry("beside", 999, "one"), &accepted(20)).unwrap();
        assert_eq!(ledger.get(&named("20")), None);
        for (number, status) in [(7, Failed), (9, Mined), (11, Final), (13, Pending)] {
            ledger.learn(&named(&number.to_string()), Learnt::Answered, Some(status));
        }
        for (number, gone) in ["11", "9", "7"].into_iter().enumerate() {
            sign(&mut ledger, entry(&format!("more {number}"), 1_000, "one")).unwrap();
            assert_eq!(ledger.get(&named(gone)), None);
        }
        assert_eq!(sign(&mut ledger, entry("once", 1_001, "one")), Err(Full));
        assert_eq!(ledger.entries().len(), OUTGOING_MAX);
    }

    #[test]
    fn a_nonce_is_forgotten_as_a_whole_and_only_its_own() {
        use TransactionStatus::{Final, Mined};
        let mut ledger = Ledger::default();
        sign(&mut ledger, Outgoing { from: ACCOUNTS[1], ..entry("theirs", 5, "one") }).unwrap();
        for name in ["replaced", "replacement"] {
            sign(&mut ledger, entry(name, 5, name)).unwrap();
        }
        ledger.learn(&named("replacement"), Learnt::Answered, Some(Mined));
        for nonce in 100..100 + OUTGOING_MAX as u64 - 2 {
            sign(&mut ledger, entry(&nonce.to_string(), nonce, "one")).unwrap();
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
        // All of this account; of the other one nothing that does something else.
        assert_eq!(judged(&ledger, 1, "two").stops.len(), OUTGOING_MAX - 2 - 20);
    }

    #[test]
    fn content_is_recipient_value_and_call_data() {
        let content = |to, value: &str, input| Content::new(to, value.parse().unwrap(), input);
        let same = content(Some(FROM), "0", b"x");
        assert_eq!(same, content(Some(FROM), "0", b"x"));
        for other in
            [content(Some(STRANGER), "0", b"x"), content(Some(FROM), "1", b"x"), content(Some(FROM), "0", b"y")]
        {
            assert_ne!(same, other);
        }
        assert_ne!(content(None, "0", b""), content(Some(Address(EvmAddress([0; 20]))), "0", b""));
    }
}
