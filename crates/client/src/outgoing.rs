//! What was signed and may still be carried out, so that nothing is paid for twice.
//!
//! A host says whether a transaction was sent, and names the next nonce. One that lies has a payment approved again under another nonce, and
//! carries out both. Two transactions of one account under the same nonce exclude each other, so a client keeps what it signed, with where it
//! stands by the host's word and what its owner knows of it. Where they may have believed once that it failed, they are told before anything is
//! signed beside it, also when it is in a block by then. `vectors/client/outgoing.json` is the rule, case by case.
//!
//! What a host gains by calling mined what is not is that its owner does not pay again.

mod room;
#[cfg(test)]
mod tests;

use pinseal_protocol::ids::{Hash32, UnixSeconds};
pub use room::{LEDGER_MAX, OUTGOING_MAX};
use sha2::{Digest as _, Sha256};

use crate::api::TransactionStatus;
use crate::values::{Address, Amount, Network};

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
    /// As it stands, waiting or reverted, its owner meant something else beside it: until it stands at something else or is denied, it is no reason
    /// against what is signed then either.
    pub stays_accepted: bool,
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

    fn stand(&mut self, status: Option<TransactionStatus>) {
        use TransactionStatus::{Dropped, Failed, Final, Mined, Pending, Replaced};
        let before = self.standing;
        self.standing = match status {
            Some(Pending) => Standing::Waiting,
            Some(Mined) => Standing::Mined,
            Some(Failed) => Standing::Reverted,
            Some(Final) => Standing::Final,
            Some(Dropped | Replaced) | None => Standing::Unsent,
        };
        self.stays_accepted &= self.standing == before;
    }

    /// Its owner may believe that it failed.
    const fn doubt(&mut self) {
        (self.known, self.stays_accepted) = (Known::Doubtful, false);
    }

    /// Its owner meant something beside it as it stands. Of one that reverted they believe that it failed, which it did.
    const fn accept(&mut self) {
        self.known = if matches!(self.standing, Standing::Reverted) { Known::Doubtful } else { Known::Told };
        self.stays_accepted = !self.is_done();
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

    /// True for what pays nobody and only uses up a nonce of `from`: nothing is paid for twice by it.
    pub fn moves_nothing(&self, from: Address) -> bool {
        *self == Self::new(Some(from), Amount::default(), &[])
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

impl Verdict {
    /// What whoever approved it as it was `shown` has to be shown before it is signed as `next`: what was to give way to it, and does not; what stops
    /// it, does the same beside it, or did. Each once.
    pub fn unseen<'a>(&'a self, next: &Next<'_>, shown: &'a Self) -> Vec<&'a Outgoing> {
        let told: Vec<_> =
            shown.stops.iter().chain(&shown.beside).chain(&shown.again).map(|entry| entry.hash).collect();
        let mut unseen: Vec<_> = shown.gives_way_no_more(next).collect();
        let repeated = self.beside.iter().filter(|entry| entry.content == next.content);
        for entry in self.stops.iter().chain(repeated).chain(&self.again) {
            if !told.contains(&entry.hash) && unseen.iter().all(|other| other.hash != entry.hash) {
                unseen.push(entry);
            }
        }
        unseen
    }

    /// What was to give way, and has another nonce, wherever it stands by now.
    pub fn gives_way_no_more(&self, next: &Next<'_>) -> impl Iterator<Item = &Outgoing> {
        self.instead.iter().filter(|entry| entry.slot() != next.slot())
    }
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
        (entries.len() <= LEDGER_MAX).then_some(Self(entries))
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

    /// Keeps one that is about to be handed to a host, once more or for the first time: until that has answered it is in doubt. `accounts` are those
    /// of its wallet. What was accepted for it stays so, or is forgotten, if it was not sent.
    ///
    /// # Errors
    /// [`Full`], and nothing has changed.
    pub fn sign(&mut self, mut entry: Outgoing, accounts: &[Address], accepted: &[Accepted]) -> Result<(), Full> {
        let mut after = self.clone();
        after.accept(accepted, entry.slot());
        if let Some(kept) = after.get_mut(&entry.hash) {
            kept.doubt();
        } else {
            after.make_room(entry.slot(), &entry.content, accounts)?;
            entry.summary = entry.summary.chars().take(SUMMARY_CHARS_MAX).collect();
            entry.standing = Standing::Unsent;
            entry.doubt();
            after.0.push(entry);
        }
        *self = after;
        Ok(())
    }

    /// Whether one more can be kept.
    pub fn has_room(&self, next: &Next<'_>) -> bool {
        let mut after = self.clone();
        after.accept(next.accepted, next.slot());
        after.make_room(next.slot(), &next.content, next.accounts).is_ok()
    }

    fn accept(&mut self, accepted: &[Accepted], beside: Slot<'_>) {
        self.0.retain(|entry| entry.standing != Standing::Unsent || !entry.is_accepted(accepted, beside));
        self.0.iter_mut().filter(|entry| entry.is_accepted(accepted, beside)).for_each(Outgoing::accept);
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
            self.forget_oldest(Standing::Final, |_| true);
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
            entry.doubt();
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
            } else if entry.stays_accepted
                || entry.is_accepted(next.accepted, next.slot())
                || !(is_same || next.is_here(entry))
            {
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
}
