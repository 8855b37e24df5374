//! A host with a database and an anchor in memory, and clients that seal for real.

mod client;
mod disk;
mod environment;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use minicbor::bytes::ByteVec;
use pinseal_enclave::{Enclave, Identity, Passphrase};
use pinseal_probe::Remains;
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::{AnchorLevel, CONFIGURATION_VERSION, Configuration, Issuer, Policy};
use pinseal_protocol::ids::{DeploymentId, DeviceId, Measurement, Nonce, UnixSeconds, UserIdHash};
use pinseal_protocol::limits::BREAKER_DEFAULT;
use pinseal_protocol::log::{Consistency, Entry};
use pinseal_protocol::manifest::Manifest;
use pinseal_protocol::pin::Argon2Parameters;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, SealedReply};
use pinseal_protocol::request::{BeginReply, Method, SealedRequest};
use pinseal_protocol::token::{self, AccessClaims, AccessToken, P256Public};
use pinseal_protocol::tpm::Authorisation;
use pinseal_protocol::wire::{Batch, BatchId, Begun, CallId, FromEnclave, Halt, Header, ToEnclave};
use pinseal_software_tpm::{ATTRIBUTES, SoftwareTpm};
use zeroize::Zeroizing;

pub use client::{Client, Prepared, factor};
pub use disk::Disk;
pub use environment::Randomness;

pub const PASSPHRASE: &[u8] = b"correct horse battery staple";

/// What the host sees of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub wire: usize,
    pub records: Vec<usize>,
    pub entries: Vec<usize>,
}

impl Shape {
    /// Nothing but that somebody read.
    pub fn is_read(&self) -> bool {
        self.records.is_empty() && self.entries == [cbor::to_vec(&Entry::Read { nonce: Nonce([0; 32]) }).len()]
    }
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
            environment: Randomness::with_cost(seed, full_cost),
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
