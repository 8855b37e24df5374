//! A host with a database and an anchor in memory, and clients that seal for real.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use minicbor::bytes::ByteVec;
use pinseal_enclave::{Enclave, Environment, Identity, LockedBytes, Passphrase};
use pinseal_probe::Remains;
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::{AnchorLevel, CONFIGURATION_VERSION, Configuration, Issuer, Policy};
use pinseal_protocol::envelope::{self, ReplyOpener};
use pinseal_protocol::history::LoggedWrite;
use pinseal_protocol::ids::{DeploymentId, DeviceId, Hash32, Measurement, RequestId, UnixSeconds, UserIdHash};
use pinseal_protocol::kdf;
use pinseal_protocol::limits::BREAKER_DEFAULT;
use pinseal_protocol::log::{Consistency, Entry, Frontier, Inclusion, leaf_hash};
use pinseal_protocol::manifest::Manifest;
use pinseal_protocol::pin::{Argon2Parameters, PinFactor, PinParameters};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, Reply, SealedReply};
use pinseal_protocol::request::{
    BeginReply, Body, Method, REQUEST_VERSION, Request, RequestHeader, SealedRequest, Suite,
};
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{self, AccessClaims, AccessToken, P256Public, token_hash};
use pinseal_protocol::tpm::Authorisation;
use pinseal_protocol::wire::{Batch, BatchId, Begun, CallId, FromEnclave, Halt, Header, ToEnclave};
use pinseal_software_tpm::{ATTRIBUTES, SoftwareTpm};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub const PASSPHRASE: &[u8] = b"correct horse battery staple";

/// SHA-256 in counter mode: the same seed gives the same enclave.
pub struct Randomness {
    seed: u64,
    counter: u64,
    /// Everything handed out, in order.
    pub given: Vec<Vec<u8>>,
    /// Passphrases cost what they cost; else next to nothing, since a test boots many times.
    full_cost: bool,
}

impl Randomness {
    pub fn new(seed: u64) -> Self {
        Self { seed, counter: 0, given: Vec::new(), full_cost: false }
    }
}

impl Environment for Randomness {
    fn fill_random(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            self.counter += 1;
            let block =
                Sha256::new().chain_update(self.seed.to_be_bytes()).chain_update(self.counter.to_be_bytes()).finalize();
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        self.given.push(out.to_vec());
    }

    fn fill_second_random(&mut self, out: &mut [u8]) {
        self.fill_random(out);
    }

    fn stretch(
        &mut self,
        passphrase: &Passphrase,
        salt: &[u8; 32],
        cost: &Argon2Parameters,
    ) -> Option<SecretBytes<32>> {
        let least = Argon2Parameters { memory_kib: 8, passes: 1, lanes: 1 };
        passphrase.stretch(salt, if self.full_cost { cost } else { &least })
    }

    fn lock(&mut self, secret: Zeroizing<Vec<u8>>) -> LockedBytes {
        struct Plain(Zeroizing<Vec<u8>>);
        impl AsRef<[u8]> for Plain {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Box::new(Plain(secret))
    }
}

/// What survives a crash.
#[derive(Clone, Default)]
pub struct Disk {
    pub sealed_root: Vec<u8>,
    pub note: Vec<u8>,
    pub frontier: Frontier,
    pub records: BTreeMap<UserIdHash, (Header, Vec<u8>)>,
    pub nodes: BTreeMap<(u8, u64), Hash32>,
    pub last_entry: Vec<u8>,
    pub entries: Vec<Vec<u8>>,
    pub anchored: Vec<u8>,
}

impl Disk {
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
            for node in nodes {
                self.nodes.insert((node.level, node.index), node.hash);
            }
            self.last_entry = entry.to_vec();
        }
        assert_eq!(self.frontier, batch.frontier, "the host's log and the enclave's agree");
        self.note = batch.checkpoint.to_vec();
    }

    /// Every record entry of the log, with its wallet, proved in the log as it stands.
    pub fn writes(&self) -> Vec<(UserIdHash, LoggedWrite)> {
        let read = |(index, entry): (u64, &Vec<u8>)| match cbor::from_slice(entry).unwrap() {
            Entry::Record { wallet, version, outer, detail } => {
                let path = self.inclusion(index);
                Some((wallet, LoggedWrite { version, outer, detail, index, path }))
            }
            _ => None,
        };
        (0..).zip(&self.entries).filter_map(read).collect()
    }

    fn inclusion(&self, index: u64) -> Vec<Hash32> {
        let mut node = |level, index| self.nodes.get(&(level, index)).copied().ok_or(());
        Inclusion::prove(index, self.frontier.size(), &mut node).unwrap().unwrap().path
    }

    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::read_unverified(&self.note).unwrap()
    }
}

/// What the host sees of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub wire: usize,
    pub records: Vec<usize>,
    pub entries: Vec<usize>,
}

/// What the host does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Commit,
    /// Certainly not stored; the enclave is told.
    Abort,
    /// The host dies before it stored anything.
    LoseUnstored,
    /// The host dies between database and anchor.
    LoseStored,
    /// The host dies after the anchor, before it told the enclave.
    LoseAnchored,
}

/// A TPM that several enclaves may be anchored by.
pub type SharedTpm = Rc<RefCell<SoftwareTpm>>;

/// What an anchor gives for a note.
pub type ReceiptMaker = Box<dyn FnMut(&[u8]) -> Vec<u8>>;

pub struct World {
    pub enclave: Enclave,
    pub environment: Randomness,
    pub disk: Disk,
    pub configuration: Configuration,
    pub issuer: EcdsaKeyPair,
    pub manifest: Option<Manifest>,
    pub now: u64,
    pub calls: u64,
    pub halted: Option<(Halt, String)>,
    /// Every batch seen: its length on the wire, and the lengths of its records and entries.
    pub trace: Vec<Shape>,
    /// Every batch seen.
    pub seen: Vec<Batch>,
    /// Fates of the coming batches; beyond the end they are committed.
    pub fates: Vec<Fate>,
    /// Those of the batches from the next boot on.
    pub fates_at_boot: Vec<Fate>,
    pub crashed: bool,
    pub answers: BTreeMap<u64, Answer>,
    /// Makes receipts out of what is anchored; without one a receipt is the note itself.
    pub anchor: Option<ReceiptMaker>,
    /// The TPM, at L2.
    pub tpm: Option<SharedTpm>,
    /// The root that a change of the configuration ended with.
    pub changed: Option<Vec<u8>>,
    /// What the enclave leaves in freed memory, if that is recorded, and all it says meanwhile.
    pub recording: Option<Recording>,
}

#[derive(Default)]
pub struct Recording {
    pub remains: Remains,
    pub said: Vec<u8>,
}

impl Recording {
    /// Runs a piece of the enclave, recorded or not.
    fn during<T>(recording: &mut Option<Self>, work: impl FnOnce() -> T) -> T {
        match recording {
            Some(recording) => recording.remains.during(work),
            None => work(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Begun(Begun),
    Replied(SealedReply),
    Refused(Refusal),
    Evidence(Vec<u8>),
}

pub fn identity() -> Identity {
    Identity { measurement: Measurement([9; 32]), release: "test".into(), hardening: Vec::new() }
}

pub fn passphrase(text: &[u8]) -> Passphrase {
    Passphrase::new(Zeroizing::new(text.to_vec()))
}

impl World {
    pub fn new() -> Self {
        Self::with_seed(1)
    }

    pub fn with_seed(seed: u64) -> Self {
        Self::with_issuer(seed, EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// With [`fixed_key`] as the issuer's, everything stored follows from the seed.
    pub fn with_issuer(seed: u64, issuer: EcdsaKeyPair) -> Self {
        Self::with_configuration(seed, issuer, |_| {})
    }

    /// As [`World::with_issuer`], its root sealed at the cost of a real one.
    pub fn at_full_cost(seed: u64, issuer: EcdsaKeyPair) -> Self {
        Self::start(seed, issuer, None, true, None, |_| {})
    }

    /// `change` is made before anything is sealed under the configuration.
    pub fn with_configuration(seed: u64, issuer: EcdsaKeyPair, change: impl FnOnce(&mut Configuration)) -> Self {
        Self::start(seed, issuer, None, false, None, change)
    }

    /// Anchored by that TPM.
    pub fn with_tpm(seed: u64, tpm: &SharedTpm) -> Self {
        let mut world = Self::made_in_tpm(seed, tpm);
        world.boot();
        world
    }

    /// As [`World::with_tpm`], not booted yet.
    pub fn made_in_tpm(seed: u64, tpm: &SharedTpm) -> Self {
        let issuer = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::start(seed, issuer, None, false, Some(SharedTpm::clone(tpm)), anchored_by(tpm))
    }

    /// From the making of the root on, everything the enclave frees is kept.
    pub fn recorded() -> Self {
        let recording = Recording { remains: Remains::new(), said: Vec::new() };
        let issuer = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::start(1, issuer, Some(recording), true, None, |_| {})
    }

    /// As [`World::recorded`], anchored by that TPM and booted.
    pub fn recorded_in_tpm(tpm: &SharedTpm) -> Self {
        let recording = Recording { remains: Remains::new(), said: Vec::new() };
        let issuer = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (shared, tpm) = (SharedTpm::clone(tpm), anchored_by(tpm));
        let mut world = Self::start(1, issuer, Some(recording), true, Some(shared), tpm);
        world.boot();
        world
    }

    fn start(
        seed: u64,
        issuer: EcdsaKeyPair,
        recording: Option<Recording>,
        full_cost: bool,
        tpm: Option<SharedTpm>,
        change: impl FnOnce(&mut Configuration),
    ) -> Self {
        let deployment = DeploymentId([7; 16]);
        let mut configuration = Configuration {
            version: CONFIGURATION_VERSION,
            deployment,
            issuers: vec![Issuer {
                issuer: "https://wallet.test".into(),
                audience: deployment.to_string(),
                key: P256Public::of(&issuer),
            }],
            anchor: AnchorLevel::L1,
            floor: AnchorLevel::L1,
            policy: Policy::default(),
            argon2: Argon2Parameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 },
            witnesses: None,
            breaker: BREAKER_DEFAULT,
            tpm: None,
            base: None,
        };
        change(&mut configuration);
        let mut world = Self {
            enclave: Enclave::new(passphrase(PASSPHRASE), identity()),
            environment: Randomness { full_cost, ..Randomness::new(seed) },
            disk: Disk::default(),
            configuration,
            issuer,
            manifest: None,
            now: 1_800_000_000,
            calls: 0,
            halted: None,
            trace: Vec::new(),
            seen: Vec::new(),
            fates: Vec::new(),
            fates_at_boot: Vec::new(),
            crashed: false,
            answers: BTreeMap::new(),
            anchor: None,
            tpm,
            changed: None,
            recording,
        };
        let mut created = world.tell(ToEnclave::Create {
            configuration: cbor::to_vec(&world.configuration).into(),
            time: UnixSeconds(world.now),
        });
        if let Some(tpm) = world.tpm.clone() {
            created = world.define(&tpm, &created);
        }
        let [FromEnclave::Created { sealed_root, genesis, .. }] = created.as_slice() else { panic!("{created:?}") };
        world.disk.sealed_root = sealed_root.to_vec();
        world.disk.note = genesis.to_vec();
        world.disk.anchored = genesis.to_vec();
        // At L4 somebody has to say first who the witnesses are.
        if world.configuration.witnesses.is_none() && world.tpm.is_none() {
            world.boot();
        }
        world
    }

    /// What a host does to make a deployment in a TPM.
    fn define(&mut self, tpm: &SharedTpm, asked: &[FromEnclave]) -> Vec<FromEnclave> {
        let [FromEnclave::Define { writer }] = asked else { panic!("{asked:?}") };
        tpm.borrow_mut().define(writer, ATTRIBUTES);
        let nonce = tpm.borrow_mut().open();
        let asked = self.tell(ToEnclave::Defined { nonce });
        let [FromEnclave::RollForward { checkpoint, authorisation: Some(authorisation), .. }] = asked.as_slice() else {
            panic!("{asked:?}")
        };
        let hash = Checkpoint::read_unverified(checkpoint).unwrap().hash();
        tpm.borrow_mut().extend(&hash.0, authorisation).unwrap();
        let receipt = tpm.borrow_mut().receipt(checkpoint).into();
        self.tell(ToEnclave::Committed { batch: BatchId(0), receipt, nonce: None })
    }

    /// What the anchor says now that the newest note was handed to it, and the session for the next one.
    fn committed(&mut self, batch: BatchId, authorisation: Option<&Authorisation>) -> ToEnclave {
        let note = self.disk.anchored.clone();
        let (mut receipt, mut nonce) = (note.clone(), None);
        if let Some(tpm) = &self.tpm {
            let mut tpm = tpm.borrow_mut();
            if let Some(authorisation) = authorisation {
                // Whether it went in, the receipt says.
                let _ = tpm.extend(&Checkpoint::read_unverified(&note).unwrap().hash().0, authorisation);
            }
            receipt = tpm.receipt(&note);
            nonce = Some(tpm.open());
        }
        if let Some(anchor) = &mut self.anchor {
            receipt = anchor(&note);
        }
        ToEnclave::Committed { batch, receipt: receipt.into(), nonce }
    }

    /// Starts a new enclave process on what the disk holds.
    pub fn boot(&mut self) {
        self.boot_under(PASSPHRASE);
    }

    pub fn boot_under(&mut self, secret: &[u8]) {
        self.boot_with(secret, self.boot_message());
    }

    /// Boots with what the host says.
    pub fn boot_with(&mut self, secret: &[u8], boot: ToEnclave) {
        let enclave = Enclave::new(passphrase(secret), identity());
        Recording::during(&mut self.recording, || self.enclave = enclave);
        self.halted = None;
        self.manifest = None;
        self.changed = None;
        self.crashed = false;
        self.fates = core::mem::take(&mut self.fates_at_boot);
        self.send(boot);
        if self.halted.is_some() {
            return;
        }
        let headers: Vec<Header> = self.disk.records.values().map(|(header, _)| *header).collect();
        self.send(ToEnclave::Headers { headers });
        if self.halted.is_none() {
            self.send(ToEnclave::HeadersEnd);
        }
    }

    /// What the host boots an enclave with: everything that is on the disk.
    pub fn boot_message(&self) -> ToEnclave {
        ToEnclave::Boot {
            configuration: cbor::to_vec(&self.configuration).into(),
            sealed_root: self.disk.sealed_root.clone().into(),
            checkpoint: self.disk.note.clone().into(),
            frontier: self.disk.frontier.clone(),
            anchored: match &self.tpm {
                Some(tpm) => tpm.borrow().value().to_vec().into(),
                None => self.disk.anchored.clone().into(),
            },
            time: UnixSeconds(self.now),
            change: None,
            nonce: self.tpm.as_ref().map(|tpm| tpm.borrow_mut().open()),
        }
    }

    /// One message into the enclave, what it frees meanwhile kept if that is wanted.
    pub fn tell(&mut self, message: ToEnclave) -> Vec<FromEnclave> {
        let (enclave, environment) = (&mut self.enclave, &mut self.environment);
        let effects = Recording::during(&mut self.recording, || enclave.step(message, environment));
        if let Some(recording) = &mut self.recording {
            recording.said.extend(effects.iter().flat_map(cbor::to_vec));
        }
        effects
    }

    /// The process ends; all it still held is freed.
    pub fn end(&mut self) {
        let ended = Enclave::new(passphrase(b"of the next process"), identity());
        Recording::during(&mut self.recording, || self.enclave = ended);
    }

    /// Sends one message and does everything the host does with what comes back, to the end.
    pub fn send(&mut self, message: ToEnclave) {
        let mut queue = vec![message];
        while let Some(message) = queue.pop() {
            for effect in self.tell(message) {
                match effect {
                    FromEnclave::Commit(batch) => {
                        self.seen.push(batch.clone());
                        self.trace.push(Shape {
                            wire: cbor::to_vec(&batch).len(),
                            records: batch.records.iter().map(|write| cbor::to_vec(write).len()).collect(),
                            entries: batch.entries.iter().map(|entry| entry.len()).collect(),
                        });
                        let fate = if self.fates.is_empty() { Fate::Commit } else { self.fates.remove(0) };
                        queue.extend(self.carry_out(&batch, fate));
                        if self.crashed {
                            return;
                        }
                    }
                    FromEnclave::RollForward { previous, checkpoint, authorisation } => {
                        if self.tpm.is_none() {
                            assert_eq!(self.disk.anchored, previous.as_slice());
                        }
                        self.disk.anchored = checkpoint.to_vec();
                        queue.push(self.committed(BatchId(0), authorisation.as_ref()));
                    }
                    FromEnclave::Ready { manifest, .. } => {
                        self.manifest = Some(cbor::from_slice(&manifest).unwrap());
                    }
                    FromEnclave::Begun { call, begun } => self.answer(call, Answer::Begun(begun)),
                    FromEnclave::Replied { call, reply } => self.answer(call, Answer::Replied(reply)),
                    FromEnclave::Refused { call, refusal } => self.answer(call, Answer::Refused(refusal)),
                    FromEnclave::Evidence { call, document } => self.answer(call, Answer::Evidence(document.to_vec())),
                    FromEnclave::Changed { sealed_root } => self.changed = Some(sealed_root.to_vec()),
                    FromEnclave::Halted { halt, detail } => self.halted = Some((halt, detail)),
                    other => panic!("unexpected {other:?}"),
                }
            }
        }
    }

    /// Does with a batch what is its fate; what the enclave is told of it, if it is told.
    pub fn carry_out(&mut self, batch: &Batch, fate: Fate) -> Option<ToEnclave> {
        if fate == Fate::Abort {
            return Some(ToEnclave::Aborted { batch: batch.batch });
        }
        if fate != Fate::LoseUnstored {
            self.disk.store(batch);
        }
        if matches!(fate, Fate::Commit | Fate::LoseAnchored) {
            assert_eq!(self.disk.anchored, batch.previous.as_slice(), "compare-and-swap");
            self.disk.anchored = batch.checkpoint.to_vec();
        }
        if fate == Fate::LoseAnchored && self.tpm.is_some() {
            // The TPM has it; nobody hears of that.
            let _ = self.committed(batch.batch, batch.authorisation.as_ref());
        }
        if fate == Fate::Commit {
            return Some(self.committed(batch.batch, batch.authorisation.as_ref()));
        }
        self.crashed = true;
        None
    }

    fn answer(&mut self, call: CallId, answer: Answer) {
        assert!(self.answers.insert(call.0, answer).is_none(), "one answer a call");
    }

    pub fn next_call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    pub fn take(&mut self, call: CallId) -> Option<Answer> {
        self.answers.remove(&call.0)
    }

    pub fn manifest(&self) -> &Manifest {
        self.manifest.as_ref().expect("the enclave serves")
    }

    pub fn token(&self, user: &str, device: &DeviceId, seconds: u64) -> AccessToken {
        let claims = AccessClaims {
            iss: "https://wallet.test".into(),
            aud: self.configuration.deployment.to_string(),
            sub: user.into(),
            sid: "s".into(),
            app: "a".into(),
            jti: format!("{}", self.now),
            iat: self.now,
            exp: self.now + seconds,
            cnf: AccessClaims::confirmation(device),
        };
        token::sign(token::ACCESS_TYP, &claims, &self.issuer).unwrap().into()
    }

    /// Begins; asks again with the record where the enclave wants it, as the host does.
    pub fn begin(&mut self, client: &Client, method: Method) -> Result<BeginReply, Refusal> {
        let access_token = self.token(&client.user, &client.device(), 600);
        let mut outer = None;
        loop {
            let call = self.next_call();
            let message = ToEnclave::Begin {
                call,
                time: UnixSeconds(self.now),
                access_token: access_token.duplicate(),
                method,
                outer: outer.clone(),
            };
            self.send(message);
            match self.take(call) {
                Some(Answer::Begun(Begun::Reply(_, signed))) => {
                    let manifest = self.manifest();
                    return Ok(signed.verify(&manifest.boot, &manifest.hash(), &client.device(), method).unwrap());
                }
                Some(Answer::Begun(Begun::NeedsRecord(wallet))) => {
                    outer = Some(ByteVec::from(self.disk.records[&wallet].1.clone()));
                }
                Some(Answer::Begun(Begun::Refused(refusal))) => return Err(refusal),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Proof that the log continues the client's receipt.
    pub fn consistency(&self, old_size: u64) -> Option<Consistency> {
        let size = self.disk.checkpoint().size;
        Consistency::prove(old_size, size, &mut |level, index| self.disk.nodes.get(&(level, index)).copied().ok_or(()))
            .ok()
            .flatten()
    }

    /// Hands a sealed request on, with the wallet's record and the consistency proof.
    pub fn submit(&mut self, wallet: &UserIdHash, request: &SealedRequest) -> CallId {
        let call = self.next_call();
        let message = self.sealed_message(call, wallet, request);
        self.send(message);
        call
    }

    /// A sealed request as the host hands it on.
    pub fn sealed_message(&self, call: CallId, wallet: &UserIdHash, request: &SealedRequest) -> ToEnclave {
        ToEnclave::Sealed {
            call,
            time: UnixSeconds(self.now),
            request: request.clone(),
            outer: self.disk.records.get(wallet).map(|(_, outer)| outer.clone().into()),
            consistency: self.consistency(request.header.receipt_size),
        }
    }

    /// Hands a request to the enclave and carries out nothing of what comes back.
    pub fn step(&mut self, call: CallId, prepared: &Prepared) -> Vec<FromEnclave> {
        self.tell(self.sealed_message(call, &prepared.wallet, &prepared.request))
    }

    /// Stores and anchors a batch that was held back, and all that follows.
    pub fn settle(&mut self, batch: &Batch) {
        let committed = self.carry_out(batch, Fate::Commit);
        self.send(committed.expect("a batch that is committed is told"));
    }

    /// What comes of a request.
    pub fn ask(&mut self, prepared: &Prepared) -> Outcome {
        let call = self.submit(&prepared.wallet, &prepared.request);
        match self.take(call) {
            Some(Answer::Replied(reply)) => prepared.opener.open(&reply).unwrap().outcome,
            other => panic!("{other:?}"),
        }
    }
}

/// Seals a configuration to that TPM.
fn anchored_by(tpm: &SharedTpm) -> impl FnOnce(&mut Configuration) + use<> {
    let named = tpm.borrow().named();
    move |configuration| {
        configuration.anchor = AnchorLevel::L2;
        configuration.floor = AnchorLevel::L2;
        configuration.tpm = Some(named);
    }
}

/// The P-256 key of RFC 6979, appendix A.2.5.
pub fn fixed_key() -> EcdsaKeyPair {
    let private = hex::decode("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721").unwrap();
    let public = hex::decode(concat!(
        "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
        "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
    ))
    .unwrap();
    EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &private, &public).unwrap()
}

/// A person's device.
pub struct Client {
    pub user: String,
    pub key: EcdsaKeyPair,
    pub receipt: Option<Vec<u8>>,
    pub requests: u64,
}

pub fn factor(pin: &str, parameters: &PinParameters) -> PinFactor {
    PinFactor::new(SecretBytes::take(&mut kdf::hash("test pin", &[pin.as_bytes(), &parameters.salt.0]).0))
}

pub struct Prepared {
    pub wallet: UserIdHash,
    pub request: SealedRequest,
    pub opener: ReplyOpener,
}

impl Client {
    pub fn new(user: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { user: user.into(), key, receipt: None, requests: 0 }
    }

    pub fn device(&self) -> DeviceId {
        P256Public::of(&self.key).thumbprint()
    }

    /// Begins and seals; `request` gets the begin reply.
    pub fn prepare(
        &mut self,
        world: &mut World,
        method: Method,
        request: impl FnOnce(&BeginReply) -> Request,
    ) -> Result<Prepared, Refusal> {
        let begin = world.begin(self, method)?;
        let request = request(&begin);
        let access_token = world.token(&self.user, &self.device(), 600);
        Ok(self.seal(world, &begin, access_token, request))
    }

    /// Hands in a wrong PIN and leaves it to the coming fates.
    pub fn submit_wrong_pin(&mut self, world: &mut World) {
        let wrong = |begin: &BeginReply| Request::VerifyPin { pin: factor("000000", &begin.current.unwrap()) };
        let prepared = self.prepare(world, Method::VerifyPin, wrong).unwrap();
        world.submit(&prepared.wallet, &prepared.request);
    }

    pub fn seal(&mut self, world: &World, begin: &BeginReply, access_token: AccessToken, request: Request) -> Prepared {
        self.seal_changed(world, begin, access_token, request, |_, _| {})
    }

    /// As [`Client::seal`], what is sealed changed just before.
    pub fn seal_changed(
        &mut self,
        world: &World,
        begin: &BeginReply,
        access_token: AccessToken,
        request: Request,
        change: impl FnOnce(&mut RequestHeader, &mut Body),
    ) -> Prepared {
        self.requests += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.requests.to_be_bytes());
        let mut header = RequestHeader {
            version: REQUEST_VERSION,
            suite: Suite::X25519Aes256Gcm,
            manifest: world.manifest().hash(),
            method: request.method(),
            request: RequestId(id),
            challenge: begin.challenge.clone(),
            token: token_hash(access_token.expose_secret()),
            device: self.device(),
            receipt_size: self.receipt.as_ref().map_or(0, |note| Checkpoint::read_unverified(note).unwrap().size),
        };
        let mut body = Body {
            access_token,
            device_key: P256Public::of(&self.key),
            receipt: self.receipt.clone().map(ByteVec::from),
            request,
        };
        change(&mut header, &mut body);
        let sign = |message: &[u8]| {
            self.key.sign(&aws_lc_rs::rand::SystemRandom::new(), message).ok()?.as_ref().try_into().ok()
        };
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let (request, opener) = envelope::seal(&world.manifest().hpke, header, &body, &mut rng, sign).unwrap();
        Prepared { wallet: begin.wallet, request, opener }
    }

    /// Opens the reply, verifies and keeps the receipt.
    pub fn open(&mut self, world: &World, opener: &ReplyOpener, reply: &SealedReply) -> Reply {
        let reply = opener.open(reply).unwrap();
        Checkpoint::verify(&reply.receipt, &world.configuration.deployment, &world.manifest().log).unwrap();
        self.receipt = Some(reply.receipt.to_vec());
        reply
    }

    /// The whole operation.
    pub fn run(&mut self, world: &mut World, method: Method, request: impl FnOnce(&BeginReply) -> Request) -> Reply {
        let prepared = self.prepare(world, method, request).unwrap();
        let call = world.submit(&prepared.wallet, &prepared.request);
        match world.take(call) {
            Some(Answer::Replied(reply)) => self.open(world, &prepared.opener, &reply),
            other => panic!("{method:?}: {other:?}"),
        }
    }

    pub fn register(&mut self, world: &mut World, pin: &str) -> Outcome {
        let prepared = self.run(world, Method::RegisterPrepare, |begin| Request::RegisterPrepare {
            pin: factor(pin, &begin.next),
            words: 12,
            label: "laptop".into(),
        });
        assert_eq!(prepared.outcome, Outcome::Prepared);
        self.run(world, Method::RegisterConfirm, |begin| Request::RegisterConfirm {
            pin: factor(pin, &begin.pending.unwrap()),
        })
        .outcome
    }

    pub fn verify(&mut self, world: &mut World, pin: &str) -> Reply {
        self.run(world, Method::VerifyPin, |begin| Request::VerifyPin { pin: factor(pin, &begin.current.unwrap()) })
    }

    pub fn enrol(&mut self, world: &mut World, pin: &str) -> Reply {
        self.run(world, Method::EnrolDevice, |begin| Request::EnrolDevice {
            pin: factor(pin, &begin.current.unwrap()),
            label: "phone".into(),
        })
    }

    pub fn status(&mut self, world: &mut World) -> Reply {
        self.run(world, Method::Status, |_| Request::Status)
    }
}
