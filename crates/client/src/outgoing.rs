//! What was signed and may still be carried out, so that nothing is paid for twice.
//!
//! A host says whether a transaction was sent, and names the next nonce. One that lies has a payment approved again under another nonce, and
//! carries out both. Two transactions of one account under the same nonce exclude each other, so a client keeps what it signed until a host says
//! that it is final, and whatever somebody may have been told had failed keeps the next one from another nonce.
//!
//! ```text
//! signed --> Doubtful --(the answer to sending it)--> Waiting --> Mined --> Final
//!               ^                                        |          |
//!               +---- dropped, replaced, unknown --------+----------+
//! ```
//!
//! Nothing a host says gets something out of [`Standing::Doubtful`] but that it is in a block, or waits in answer to being sent again: somebody
//! may have been told that it failed. What happens by a host that lies the other way, and calls mined what is not, is that nobody pays again.

use pinseal_protocol::ids::{Hash32, UnixSeconds};
use sha2::{Digest as _, Sha256};

use crate::api::TransactionStatus;
use crate::values::{Address, Amount, Network};

/// Most transactions that a profile keeps. A host takes as many of one user that wait.
pub const OUTGOING_MAX: usize = 256;
/// Most settled ones kept among them, for what is signed under their nonces after that: a replacement that comes too late is void.
const FINAL_MAX: usize = 16;
/// Longest [`Outgoing::summary`].
const SUMMARY_CHARS_MAX: usize = 300;

/// A signed transaction that is not settled; or one of the last that are.
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
    /// Where it stands.
    pub standing: Standing,
}

impl Outgoing {
    /// In a block that did what it says, as the host says.
    fn is_done(&self) -> bool {
        matches!(self.standing, Standing::Mined | Standing::Final)
    }

    /// In a block, as the host says: nothing else under its nonce can be carried out then.
    fn is_in_block(&self) -> bool {
        self.is_done() || self.standing == Standing::Reverted
    }
}

/// Where a signed transaction stands, by what its owner may have been told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Whether it was sent is not known, or was denied. It may be carried out all the same.
    Doubtful,
    /// A host took it.
    Waiting,
    /// In a block, as the host says.
    Mined,
    /// In a block, where it did nothing, as the host says.
    Reverted,
    /// In a block that will not go away, as the host says: nothing under its nonce is carried out any more.
    Final,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Doubtful, Self::Waiting, Self::Mined, Self::Reverted, Self::Final];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Doubtful => "doubtful",
            Self::Waiting => "waiting",
            Self::Mined => "mined",
            Self::Reverted => "reverted",
            Self::Final => "final",
        }
    }
}

/// What the transactions kept mean for the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// May be carried out beside it, although their owner may have been told that they failed.
    pub stops: Vec<Outgoing>,
    /// Wait, and will be carried out beside it.
    pub beside: Vec<Outgoing>,
    /// Have its nonce: it takes their place.
    pub instead: Vec<Outgoing>,
}

/// As many transactions are kept as may be, and none of them is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

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
    /// [`Full`]; the oldest that is in a block makes room otherwise, of those that did nothing there last.
    pub fn sign(&mut self, mut entry: Outgoing) -> Result<(), Full> {
        if let Some(kept) = self.0.iter_mut().find(|kept| kept.hash == entry.hash) {
            if kept.standing != Standing::Final {
                kept.standing = Standing::Doubtful;
            }
            return Ok(());
        }
        if self.0.len() >= OUTGOING_MAX {
            let oldest = |standing| self.0.iter().position(|kept| kept.standing == standing);
            let order = [Standing::Final, Standing::Mined, Standing::Reverted];
            let over = order.into_iter().find_map(oldest).ok_or(Full)?;
            self.0.remove(over);
        }
        entry.summary = entry.summary.chars().take(SUMMARY_CHARS_MAX).collect();
        self.0.push(entry);
        Ok(())
    }

    /// A host's own answer to being given it.
    pub fn answered(&mut self, hash: &Hash32, status: TransactionStatus) {
        match self.0.iter_mut().find(|entry| entry.hash == *hash) {
            Some(entry) if status == TransactionStatus::Pending && entry.standing != Standing::Final => {
                entry.standing = Standing::Waiting;
            }
            _ => self.heard(hash, Some(status)),
        }
    }

    /// What a host says of it when it is asked; `None` if it knows of none.
    pub fn heard(&mut self, hash: &Hash32, status: Option<TransactionStatus>) {
        use TransactionStatus::{Dropped, Failed, Final, Mined, Pending, Replaced};
        let Some(entry) = self.0.iter_mut().find(|entry| entry.hash == *hash) else { return };
        entry.standing = match (status, entry.standing) {
            (_, Standing::Final) => return,
            (Some(Pending), Standing::Waiting | Standing::Mined) => Standing::Waiting,
            (Some(Pending), Standing::Doubtful | Standing::Reverted) | (Some(Dropped | Replaced) | None, _) => {
                Standing::Doubtful
            }
            (Some(Mined), _) => Standing::Mined,
            (Some(Failed), _) => Standing::Reverted,
            (Some(Final), _) => {
                entry.standing = Standing::Final;
                return self.forget_settled();
            }
        };
    }

    /// Forgets the oldest of the settled ones beyond [`FINAL_MAX`], with what shares its nonce.
    fn forget_settled(&mut self) {
        let is_final = |entry: &&Outgoing| entry.standing == Standing::Final;
        if self.0.iter().filter(is_final).count() > FINAL_MAX
            && let Some(oldest) = self.0.iter().find(is_final)
        {
            let Outgoing { network, from, nonce, .. } = oldest.clone();
            self.0.retain(|entry| (&entry.network, entry.from, entry.nonce) != (&network, from, nonce));
        }
    }

    /// Its owner has looked elsewhere, and says that it was not carried out.
    pub fn forget(&mut self, hash: &Hash32) {
        self.0.retain(|entry| entry.hash != *hash);
    }

    /// What the kept ones mean for a transaction of an account under `nonce`, which does what `content` names.
    pub fn verdict(&self, network: &Network, from: Address, nonce: u64, content: &Hash32) -> Verdict {
        let mut verdict = Verdict::default();
        for entry in self.of(network, from) {
            let open = matches!(entry.standing, Standing::Doubtful | Standing::Waiting);
            if entry.nonce == nonce {
                if open {
                    verdict.instead.push(entry.clone());
                }
                continue;
            }
            let under_it = || self.of(network, from).filter(|other| other.nonce == entry.nonce);
            if under_it().any(Outgoing::is_in_block) {
                // Which one of them it was, and whether it did anything, is the host's word: what the others do is not done again on it.
                let is_done = || under_it().any(|other| other.is_done() && other.content == entry.content);
                if entry.content == *content && !entry.is_done() && !is_done() {
                    verdict.stops.push(entry.clone());
                }
                continue;
            }
            // Its owner signed the last one in place of the others: what they know of it is what they go by.
            let is_in_doubt = under_it().last().is_some_and(|last| last.standing == Standing::Doubtful);
            if is_in_doubt && entry.standing == Standing::Doubtful {
                verdict.stops.push(entry.clone());
            } else {
                verdict.beside.push(entry.clone());
            }
        }
        verdict
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
        next: Next,
        stops: Vec<String>,
        beside: Vec<String>,
        instead: Vec<String>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    enum Step {
        Signed { hash: String, nonce: u64, content: String },
        Confirmed(String),
        Heard(BTreeMap<String, String>),
        Forgotten(String),
    }

    #[derive(Deserialize)]
    struct Next {
        nonce: u64,
        content: String,
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
            standing: Standing::Doubtful,
        }
    }

    fn take(ledger: &mut Ledger, step: Step) {
        match step {
            Step::Signed { hash, nonce, content } => ledger.sign(entry(&hash, nonce, &content)).unwrap(),
            Step::Confirmed(hash) => ledger.answered(&named(&hash), TransactionStatus::Pending),
            Step::Heard(told) => {
                for (hash, status) in told {
                    let status = match status.as_str() {
                        "unknown" => None,
                        status => Some(serde_json::from_value(status.into()).unwrap()),
                    };
                    ledger.heard(&named(&hash), status);
                }
            }
            Step::Forgotten(hash) => ledger.forget(&named(&hash)),
        }
    }

    #[test]
    fn what_was_signed_before_is_judged_as_the_vectors_say() {
        let file: File = serde_json::from_str(include_str!("../../../vectors/client/outgoing.json")).unwrap();
        assert!(file.cases.len() >= 40);
        for case in file.cases {
            let mut ledger = Ledger::default();
            // Neither another account's nor another network's are any business of this one.
            ledger.sign(Outgoing { from: Address(EvmAddress([8; 20])), ..entry("theirs", 5, "one") }).unwrap();
            ledger.sign(Outgoing { network: "eip155:1".parse().unwrap(), ..entry("there", 5, "one") }).unwrap();
            case.steps.into_iter().for_each(|step| take(&mut ledger, step));
            let Verdict { stops, beside, instead } =
                ledger.verdict(&network(), FROM, case.next.nonce, &named(&case.next.content));
            let names = |of: Vec<Outgoing>| of.into_iter().map(|entry| entry.summary).collect::<Vec<_>>();
            let found = (names(stops), names(beside), names(instead));
            assert_eq!(found, (case.stops, case.beside, case.instead), "{}", case.name);
        }
    }

    #[test]
    fn room_is_made_by_what_is_in_a_block_and_by_nothing_else() {
        let mut ledger = Ledger::default();
        for nonce in 0..OUTGOING_MAX as u64 {
            ledger.sign(entry(&nonce.to_string(), nonce, "one")).unwrap();
        }
        assert_eq!(ledger.sign(entry("more", 999, "one")), Err(Full));
        ledger.sign(entry("3", 3, "one")).unwrap();
        ledger.heard(&named("7"), Some(TransactionStatus::Failed));
        ledger.heard(&named("9"), Some(TransactionStatus::Mined));
        ledger.sign(entry("more", 999, "one")).unwrap();
        assert_eq!((ledger.get(&named("9")), ledger.get(&named("7")).is_some()), (None, true));
        ledger.sign(entry("again", 1_000, "one")).unwrap();
        assert_eq!(ledger.get(&named("7")), None);
        assert_eq!(ledger.sign(entry("once", 1_001, "one")), Err(Full));
        assert_eq!(ledger.entries().len(), OUTGOING_MAX);
    }

    #[test]
    fn of_what_is_final_the_last_ones_are_kept_and_give_way_first() {
        let mut ledger = Ledger::default();
        for nonce in 0..20 {
            ledger.sign(entry(&nonce.to_string(), nonce, "one")).unwrap();
            ledger.heard(&named(&nonce.to_string()), Some(TransactionStatus::Final));
        }
        let kept = ledger.entries().iter().map(|entry| entry.nonce).collect::<Vec<_>>();
        assert_eq!(kept, (4..20).collect::<Vec<_>>());
        for nonce in 100..100 + OUTGOING_MAX as u64 {
            ledger.sign(entry(&nonce.to_string(), nonce, "one")).unwrap();
        }
        assert!(ledger.entries().iter().all(|entry| entry.nonce >= 100));
        assert_eq!(ledger.sign(entry("more", 999, "one")), Err(Full));
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
