//! A host with a database and an anchor in memory around a real enclave, which watches everything the enclave says.

use std::collections::BTreeMap;

use aws_lc_rs::signature::EcdsaKeyPair;
use pinseal_enclave::{Enclave, Identity, Passphrase};
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::history::LoggedWrite;
use pinseal_protocol::ids::{DeviceId, Hash32, Measurement, UnixSeconds, UserIdHash};
use pinseal_protocol::log::{Consistency, Entry, Frontier, Inclusion, leaf_hash};
use pinseal_protocol::manifest::Manifest;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::SealedReply;
use pinseal_protocol::request::{BeginError, BeginReply, Method, SealedRequest};
use pinseal_protocol::token::{self, AccessClaims};
use pinseal_protocol::wire::{self, Batch, BatchId, Begun, CallId, Change, FromEnclave, Halt, Header, ToEnclave};
use zeroize::Zeroizing;

use super::keys;
use super::randomness::Randomness;

/// Seconds an access token of the harness is good for.
const TOKEN_SECONDS: u64 = 600;
/// Bytes of a sealed record, whatever it holds, and of a log entry about it.
const OUTER_BYTES: usize = 3_237;
const ENTRY_BYTES: usize = 178;

/// What survives a crash.
#[derive(Clone, Default)]
pub struct Disk {
    /// The root as the enclave sealed it.
    pub sealed_root: Vec<u8>,
    /// Newest signed checkpoint of the database.
    pub note: Vec<u8>,
    /// The log's frontier there.
    pub frontier: Frontier,
    /// Newest record of every wallet.
    pub records: BTreeMap<UserIdHash, (Header, Vec<u8>)>,
    /// The log's nodes, by level and index.
    pub nodes: BTreeMap<(u8, u64), Hash32>,
    /// The log's entries.
    pub entries: Vec<Vec<u8>>,
    /// What the anchor holds.
    pub anchored: Vec<u8>,
}

impl Disk {
    /// Every record entry of the log, with its wallet, proved in the log when it had `size` entries; those that it did not have then without a proof.
    pub fn writes(&self, size: u64) -> impl Iterator<Item = (UserIdHash, LoggedWrite)> {
        (0..).zip(&self.entries).filter_map(move |(index, entry)| match cbor::from_slice(entry) {
            Ok(Entry::Record { wallet, version, outer, detail }) => {
                let path = self.inclusion(index, size).map_or_else(Vec::new, |proof| proof.path);
                Some((wallet, LoggedWrite { version, outer, detail, index, path }))
            }
            _ => None,
        })
    }

    /// The proof that the log had this entry when it had `size` of them.
    pub fn inclusion(&self, index: u64, size: u64) -> Option<Inclusion> {
        let mut node = |level, index| self.nodes.get(&(level, index)).copied().ok_or(());
        Inclusion::prove(index, size, &mut node).ok().flatten()
    }

    /// The one database transaction of a batch.
    pub fn store(&mut self, batch: &Batch) {
        for write in &batch.records {
            let header = Header { wallet: write.wallet, version: write.version, outer: write.hash };
            self.records.insert(write.wallet, (header, write.outer.to_vec()));
        }
        for entry in &batch.entries {
            self.entries.push(entry.to_vec());
            let mut nodes = Vec::new();
            self.frontier.append(leaf_hash(entry), |node| nodes.push(node));
            self.nodes.extend(nodes.into_iter().map(|node| ((node.level, node.index), node.hash)));
        }
        assert_eq!(self.frontier, batch.frontier, "the host's log and the enclave's agree");
        self.note = batch.checkpoint.to_vec();
    }

    /// What the database's newest note says.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::read_unverified(&self.note).expect("the enclave's own note")
    }

    /// Headers for the boot check.
    pub fn headers(&self) -> Vec<Header> {
        self.records.values().map(|(header, _)| *header).collect()
    }
}

/// What the host does with the batch in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Stored and anchored, and the enclave is told.
    Commit,
    /// Certainly not stored, and the enclave is told.
    Abort,
    /// The host dies before it stored anything.
    LoseUnstored,
    /// The host dies between database and anchor.
    LoseStored,
    /// The host dies after the anchor, before it told the enclave.
    LoseAnchored,
}

/// What a call was answered with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Begun(Begun),
    Replied(SealedReply),
    Refused(Refusal),
    Evidence(Vec<u8>),
}

/// What is known of a sealed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Its writes that were anchored.
    pub(crate) committed: u8,
    /// Its writes that were taken back.
    pub(crate) aborted: u8,
    /// It was answered after a batch was anchored that was made after it came.
    pub(crate) is_fenced: bool,
    /// One of its writes is in the batch in flight.
    in_flight: bool,
}

/// One boot of an enclave and the host around it.
pub(crate) struct Host {
    pub(crate) enclave: Enclave,
    pub(crate) environment: Randomness,
    pub(crate) disk: Disk,
    pub(crate) configuration: Configuration,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) now: u64,
    pub(crate) halted: Option<Halt>,
    pub(crate) in_flight: Option<Batch>,
    pub(crate) answers: BTreeMap<CallId, Answer>,
    /// Frames of everything said, where somebody wants them.
    pub(crate) recorded: Option<Vec<u8>>,
    tallies: BTreeMap<CallId, Tally>,
    calls: u64,
    /// Batches of this boot: made, and those of them up to the newest one that was anchored.
    made: u64,
    anchored: u64,
    /// How many were made when each sealed call came.
    asked: BTreeMap<CallId, u64>,
}

/// An enclave that waits, its passphrase in hand.
pub fn enclave() -> Enclave {
    let identity = Identity { measurement: Measurement([9; 32]), release: "fuzz".into(), hardening: Vec::new() };
    Enclave::new(Passphrase::new(Zeroizing::new(b"correct horse battery staple".to_vec())), identity)
}

impl Host {
    /// A host whose enclave waits.
    pub(crate) fn new(configuration: Configuration, disk: Disk, now: u64, seed: u64) -> Self {
        Self {
            enclave: enclave(),
            environment: Randomness::new(seed),
            disk,
            configuration,
            manifest: None,
            now,
            halted: None,
            in_flight: None,
            answers: BTreeMap::new(),
            recorded: None,
            tallies: BTreeMap::new(),
            calls: 0,
            made: 0,
            anchored: 0,
            asked: BTreeMap::new(),
        }
    }

    /// A host whose enclave serves.
    pub(crate) fn booted(configuration: Configuration, disk: Disk, now: u64, seed: u64) -> Self {
        let mut host = Self::new(configuration, disk, now, seed);
        host.boot();
        assert!(host.manifest.is_some(), "a sound state boots: {:?}", host.halted);
        host
    }

    /// Boots to change the configuration, as far as the enclave lets it go.
    pub(crate) fn boot_to_change(&mut self, change: Change) {
        let ToEnclave::Boot { configuration, sealed_root, checkpoint, frontier, anchored, time, change: _, nonce } =
            self.boot_message()
        else {
            return;
        };
        let change = Some(change);
        self.say(ToEnclave::Boot { configuration, sealed_root, checkpoint, frontier, anchored, time, change, nonce });
        self.say(ToEnclave::Headers { headers: self.disk.headers() });
        self.say(ToEnclave::HeadersEnd);
    }

    /// Boots to the end on what the disk holds, or until the enclave halts.
    pub(crate) fn boot(&mut self) {
        self.say(self.boot_message());
        if self.halted.is_none() {
            self.say(ToEnclave::Headers { headers: self.disk.headers() });
        }
        if self.halted.is_none() {
            self.say(ToEnclave::HeadersEnd);
        }
        self.commit_all();
    }

    pub(crate) fn boot_message(&self) -> ToEnclave {
        ToEnclave::Boot {
            configuration: cbor::to_vec(&self.configuration).into(),
            sealed_root: self.disk.sealed_root.clone().into(),
            checkpoint: self.disk.note.clone().into(),
            frontier: self.disk.frontier.clone(),
            anchored: self.disk.anchored.clone().into(),
            time: UnixSeconds(self.now),
            change: None,
            nonce: None,
        }
    }

    /// What the enclave said of itself when it was ready.
    pub(crate) fn manifest(&self) -> &Manifest {
        self.manifest.as_ref().expect("the enclave serves")
    }

    /// A new enclave process; what the disk holds stays.
    pub(crate) fn restart(&mut self, seed: u64) {
        self.enclave = enclave();
        self.environment = Randomness::new(seed);
        (self.manifest, self.halted, self.in_flight) = (None, None, None);
        self.tallies.clear();
        self.answers.clear();
        (self.made, self.anchored) = (0, 0);
        self.asked.clear();
    }

    /// Hands one message over, checks everything that comes back, and rolls the anchor forward if asked to.
    pub(crate) fn say(&mut self, message: ToEnclave) -> Vec<FromEnclave> {
        if let Some(recorded) = &mut self.recorded {
            recorded.extend(wire::frame(&message).expect("what the harness says fits into a frame"));
        }
        self.settle_tallies(&message);
        if let ToEnclave::Sealed { call, .. } = &message {
            self.asked.entry(*call).or_insert(self.made);
        }
        let was_halted = self.halted.is_some();
        let effects = self.enclave.step(message, &mut self.environment);
        if was_halted {
            assert!(matches!(effects.as_slice(), [FromEnclave::Halted { .. }]), "a halted enclave does nothing more");
        }
        let mut forward = None;
        for effect in &effects {
            self.watch(effect);
            if let FromEnclave::RollForward { previous, checkpoint, .. } = effect {
                assert_eq!(self.disk.anchored, previous.as_slice());
                assert_eq!(self.disk.note, checkpoint.as_slice());
                forward = Some(checkpoint.clone());
            }
        }
        assert_eq!(self.enclave.is_halted(), self.halted.is_some() || is_done(&effects));
        if let Some(receipt) = forward {
            self.disk.anchored = receipt.to_vec();
            self.say(ToEnclave::Committed { batch: BatchId(0), receipt, nonce: None });
        }
        effects
    }

    fn settle_tallies(&mut self, message: &ToEnclave) {
        let (batch, committed) = match message {
            ToEnclave::Committed { batch, receipt, .. } => {
                (*batch, self.in_flight.as_ref().is_some_and(|waiting| waiting.checkpoint == *receipt))
            }
            ToEnclave::Aborted { batch } => (*batch, false),
            _ => return,
        };
        let Some(settled) = self.in_flight.take_if(|waiting| waiting.batch == batch) else { return };
        if committed {
            self.anchored = self.made;
        }
        for write in &settled.records {
            let tally = self.tallies.entry(write.call).or_default();
            tally.in_flight = false;
            if committed {
                tally.committed += 1;
            } else {
                tally.aborted += 1;
            }
        }
    }

    /// What must hold of every message of the enclave.
    fn watch(&mut self, effect: &FromEnclave) {
        let frame = wire::frame(effect).expect("what the enclave says fits into a frame");
        assert_eq!(wire::parse::<FromEnclave>(&frame[4..]).as_ref(), Ok(effect), "what the enclave says is canonical");
        match effect {
            FromEnclave::Commit(batch) => self.watch_batch(batch),
            FromEnclave::Ready { manifest, wallets } => {
                assert_eq!(*wallets, self.disk.records.len() as u64);
                self.manifest = Some(cbor::from_slice(manifest).expect("the manifest is canonical"));
            }
            FromEnclave::Begun { call, begun } => self.answer(*call, Answer::Begun(begun.clone())),
            FromEnclave::Replied { call, reply } => {
                assert!(!self.tally(*call).in_flight, "nothing is answered before its write is settled");
                let is_fenced = self.asked.get(call).is_some_and(|made| *made < self.anchored);
                self.tallies.entry(*call).or_default().is_fenced = is_fenced;
                self.answer(*call, Answer::Replied(reply.clone()));
            }
            FromEnclave::Refused { call, refusal } => {
                assert_eq!(self.tally(*call), Tally::default(), "a refusal in clear wrote nothing");
                self.answer(*call, Answer::Refused(*refusal));
            }
            FromEnclave::Evidence { call, document } => self.answer(*call, Answer::Evidence(document.to_vec())),
            FromEnclave::Halted { halt, .. } => self.halted = self.halted.or(Some(*halt)),
            FromEnclave::Created { .. }
            | FromEnclave::Changed { .. }
            | FromEnclave::RollForward { .. }
            | FromEnclave::Define { .. }
            | FromEnclave::Primed { .. } => {}
            FromEnclave::Hello { .. } => panic!("the greeting is no answer"),
        }
    }

    fn watch_batch(&mut self, batch: &Batch) {
        assert!(self.in_flight.is_none(), "one batch in flight");
        self.made += 1;
        let boots = usize::from(self.manifest.is_none());
        if batch.records.is_empty() && boots == 0 {
            let [entry] = batch.entries.as_slice() else { panic!("where nobody wrote, somebody read: {batch:?}") };
            assert!(matches!(cbor::from_slice(entry), Ok(Entry::Read { .. })), "{entry:?}");
        } else {
            assert_eq!(batch.entries.len(), batch.records.len() + boots, "one log entry a write");
        }
        for (write, entry) in batch.records.iter().zip(&batch.entries) {
            assert_eq!((write.outer.len(), entry.len()), (OUTER_BYTES, ENTRY_BYTES), "every write has one size");
            let tally = self.tallies.entry(write.call).or_default();
            assert!(!tally.in_flight, "one write a call in a batch");
            tally.in_flight = true;
        }
        self.in_flight = Some(batch.clone());
    }

    fn answer(&mut self, call: CallId, answer: Answer) {
        assert!(self.answers.insert(call, answer).is_none(), "one answer a call");
    }

    pub(crate) fn tally(&self, call: CallId) -> Tally {
        self.tallies.get(&call).copied().unwrap_or_default()
    }

    /// Carries the batch in flight out, or does not.
    pub(crate) fn settle(&mut self, fate: Fate) -> Vec<FromEnclave> {
        let Some(batch) = self.in_flight.clone() else { return Vec::new() };
        if fate == Fate::Abort {
            return self.say(ToEnclave::Aborted { batch: batch.batch });
        }
        if fate != Fate::LoseUnstored {
            self.disk.store(&batch);
        }
        if matches!(fate, Fate::Commit | Fate::LoseAnchored) {
            assert_eq!(self.disk.anchored, batch.previous.as_slice(), "compare-and-swap");
            self.disk.anchored = batch.checkpoint.to_vec();
        }
        if fate == Fate::Commit {
            return self.say(ToEnclave::Committed { batch: batch.batch, receipt: batch.checkpoint, nonce: None });
        }
        Vec::new()
    }

    /// Commits until nothing waits.
    pub(crate) fn commit_all(&mut self) {
        while self.in_flight.is_some() && self.halted.is_none() {
            self.settle(Fate::Commit);
        }
    }

    pub(crate) const fn next_call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    /// An access token of the configured issuer.
    pub(crate) fn token(&self, user: &str, device: &DeviceId) -> String {
        self.token_by(keys::issuer(), user, device)
    }

    /// An access token signed by any key.
    pub(crate) fn token_by(&self, pair: &EcdsaKeyPair, user: &str, device: &DeviceId) -> String {
        access_token(&self.configuration, pair, user, device, self.now)
    }

    /// Begins; asks again with the record where the enclave wants it. `None` if it refuses or has halted.
    pub(crate) fn begin(&mut self, access_token: &str, device: &DeviceId, method: Method) -> Option<BeginReply> {
        let mut outer = None;
        loop {
            let call = self.next_call();
            let time = UnixSeconds(self.now);
            let access_token = access_token.to_owned().into();
            self.say(ToEnclave::Begin { call, time, access_token, method, outer: outer.clone() });
            match self.answers.remove(&call)? {
                Answer::Begun(Begun::Reply(_, signed)) => {
                    let manifest = self.manifest.as_ref()?;
                    return match signed.verify(&manifest.boot, &manifest.hash(), device, method) {
                        Ok(reply) => Some(reply),
                        // Only a forged record brings the enclave to that; a client stops here.
                        Err(BeginError::Parameters) => None,
                        Err(error) => panic!("an honest begin reply: {error}"),
                    };
                }
                Answer::Begun(Begun::NeedsRecord(wallet)) => {
                    assert!(outer.is_none(), "a record that came is not asked for");
                    outer = Some(self.disk.records.get(&wallet).expect("it is stored").1.clone().into());
                }
                Answer::Begun(Begun::Refused(_)) => return None,
                other => panic!("not an answer to begin: {other:?}"),
            }
        }
    }

    /// Proof that the log continues a receipt.
    pub(crate) fn consistency(&self, old_size: u64) -> Option<Consistency> {
        let mut node = |level, index| self.disk.nodes.get(&(level, index)).copied().ok_or(());
        Consistency::prove(old_size, self.disk.checkpoint().size, &mut node).ok().flatten()
    }

    /// Hands a sealed request over with the wallet's record and the consistency proof.
    pub(crate) fn submit(&mut self, wallet: &UserIdHash, request: &SealedRequest) -> CallId {
        let call = self.next_call();
        let outer = self.disk.records.get(wallet).map(|(_, outer)| outer.clone().into());
        let consistency = self.consistency(request.header.receipt_size);
        self.say(ToEnclave::Sealed { call, time: UnixSeconds(self.now), request: request.clone(), outer, consistency });
        call
    }
}

/// An access token for a user's device, good for ten minutes from `now`.
pub fn access_token(
    configuration: &Configuration,
    pair: &EcdsaKeyPair,
    user: &str,
    device: &DeviceId,
    now: u64,
) -> String {
    let issuer = &configuration.issuers[0];
    let claims = AccessClaims {
        iss: issuer.issuer.clone(),
        aud: issuer.audience.clone(),
        sub: user.into(),
        sid: "s".into(),
        app: "a".into(),
        jti: now.to_string(),
        iat: now,
        exp: now.saturating_add(TOKEN_SECONDS),
        cnf: AccessClaims::confirmation(device),
    };
    token::sign(token::ACCESS_TYP, &claims, pair).expect("claims serialise")
}

/// The enclave ends because it has done what it was started for.
fn is_done(effects: &[FromEnclave]) -> bool {
    matches!(effects, [FromEnclave::Created { .. } | FromEnclave::Changed { .. }])
}
