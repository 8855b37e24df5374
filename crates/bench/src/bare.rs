//! The enclave's state machine in this process: what a signature costs before any process, socket, database or HTTP is involved.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use minicbor::bytes::ByteVec;
use pinseal_chains::evm::{RecoverableSig, personal_message_digest};

use pinseal_enclave::{Enclave, Environment, Identity, LockedBytes, Passphrase};
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::{AnchorLevel, CONFIGURATION_VERSION, Configuration, Issuer, Policy};
use pinseal_protocol::envelope::{self, ReplyOpener};
use pinseal_protocol::ids::{DeploymentId, DeviceId, Hash32, Measurement, RequestId, UnixSeconds, UserIdHash};
use pinseal_protocol::intent::{AccountIndex, Intent, Signed};
use pinseal_protocol::limits::{BREAKER_DEFAULT, RECENT_CHECKPOINTS};
use pinseal_protocol::log::{Consistency, Frontier, leaf_hash};
use pinseal_protocol::manifest::Manifest;
use pinseal_protocol::pin::{Argon2Parameters, PinFactor};
use pinseal_protocol::reply::{Outcome, Reply, SealedReply};
use pinseal_protocol::request::{
    BeginReply, Body, Method, REQUEST_VERSION, Request, RequestHeader, SealedRequest, Suite,
};
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{self, AccessClaims, P256Public, token_hash};
use pinseal_protocol::wire::{Batch, Begun, CallId, FromEnclave, ToEnclave};
use zeroize::Zeroizing;

use crate::clock::CpuClock;
use crate::user::{now, random};

const TOKEN_SECONDS: u64 = 86_400;

/// Everybody's PIN factor: to the enclave it is 32 bytes.
fn pin_factor() -> PinFactor {
    PinFactor::new(SecretBytes::take(&mut [0x5a; 32]))
}

/// The system's randomness, and memory that is only zeroed: the process around the real one locks it as well.
pub(crate) struct Plain;

impl Environment for Plain {
    fn fill_random(&mut self, out: &mut [u8]) {
        getrandom::fill(out).expect("the system has randomness");
    }

    fn fill_second_random(&mut self, out: &mut [u8]) {
        self.fill_random(out);
    }

    fn lock(&mut self, secret: Zeroizing<Vec<u8>>) -> LockedBytes {
        struct Held(Zeroizing<Vec<u8>>);
        impl AsRef<[u8]> for Held {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Box::new(Held(secret))
    }
}

/// What stands in for the host: stores and anchors.
pub(crate) trait Host {
    /// A new deployment.
    fn create(&mut self, deployment: &DeploymentId, issuer: &EcdsaKeyPair, genesis: &[u8]) -> anyhow::Result<()>;

    /// An operation of this wallet comes.
    fn admit(&mut self, wallet: &UserIdHash, method: Method) -> anyhow::Result<()>;

    /// Stores and anchors a batch; gives the receipt.
    fn commit(&mut self, batch: &Batch) -> anyhow::Result<Vec<u8>>;
}

/// Keeps nothing: the receipt is the checkpoint, at once.
pub(crate) struct Forgetful;

impl Host for Forgetful {
    fn create(&mut self, _: &DeploymentId, _: &EcdsaKeyPair, _: &[u8]) -> anyhow::Result<()> {
        Ok(())
    }

    fn admit(&mut self, _: &UserIdHash, _: Method) -> anyhow::Result<()> {
        Ok(())
    }

    fn commit(&mut self, batch: &Batch) -> anyhow::Result<Vec<u8>> {
        Ok(batch.checkpoint.to_vec())
    }
}

/// A booted enclave and what its host would hold.
pub(crate) struct Bare {
    enclave: Enclave,
    records: HashMap<UserIdHash, Vec<u8>>,
    /// The log's nodes and its frontier, for proofs.
    nodes: HashMap<(u8, u64), Hash32>,
    frontier: Frontier,
    /// Sizes of the checkpoints that the enclave remembers.
    recent: VecDeque<u64>,
    manifest: Option<Manifest>,
    deployment: DeploymentId,
    issuer: EcdsaKeyPair,
    issuer_name: String,
    calls: u64,
    spent: Duration,
}

/// A person with a device.
pub(crate) struct Person {
    key: EcdsaKeyPair,
    device: DeviceId,
    token: String,
    wallet: UserIdHash,
    address: [u8; 20],
    receipt: Option<(u64, Vec<u8>)>,
    /// What the last reply left for the next signature.
    next: Option<BeginReply>,
    messages: u64,
}

struct Asked {
    request: SealedRequest,
    opener: ReplyOpener,
    message: String,
}

fn ecdsa() -> anyhow::Result<EcdsaKeyPair> {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|error| anyhow::anyhow!("key: {error}"))
}

impl Bare {
    /// Makes a root and boots under it.
    pub(crate) fn boot(host: &mut dyn Host) -> anyhow::Result<Self> {
        let (issuer, deployment) = (ecdsa()?, DeploymentId(random()?));
        let issuer_name = format!("pinseal:{deployment}");
        let configuration = Configuration {
            version: CONFIGURATION_VERSION,
            deployment,
            issuers: vec![Issuer {
                issuer: issuer_name.clone(),
                audience: deployment.to_string(),
                key: P256Public::of(&issuer),
            }],
            anchor: AnchorLevel::L1,
            floor: AnchorLevel::L1,
            policy: Policy::default(),
            argon2: Argon2Parameters::DEFAULT,
            witnesses: None,
            breaker: BREAKER_DEFAULT,
            tpm: None,
            base: None,
        };
        let encoded = ByteVec::from(cbor::to_vec(&configuration));
        let new = || {
            let identity = Identity { measurement: Measurement([9; 32]), release: "bench".into(), hardening: vec![] };
            Enclave::new(Passphrase::new(Zeroizing::new(b"a passphrase for measuring".to_vec())), identity)
        };
        let create = ToEnclave::Create { configuration: encoded.clone(), time: UnixSeconds(now()) };
        let created = new().step(create, &mut Plain);
        let [FromEnclave::Created { sealed_root, genesis, .. }] = created.as_slice() else { bail!("{created:?}") };
        host.create(&deployment, &issuer, genesis)?;
        let mut bare = Self {
            enclave: new(),
            records: HashMap::new(),
            nodes: HashMap::new(),
            frontier: Frontier::default(),
            recent: VecDeque::new(),
            manifest: None,
            deployment,
            issuer,
            issuer_name,
            calls: 0,
            spent: Duration::ZERO,
        };
        let boot = ToEnclave::Boot {
            configuration: encoded,
            sealed_root: sealed_root.clone(),
            checkpoint: genesis.clone(),
            frontier: Frontier::default(),
            anchored: genesis.clone(),
            time: UnixSeconds(now()),
            change: None,
            nonce: None,
        };
        for message in [boot, ToEnclave::Headers { headers: Vec::new() }, ToEnclave::HeadersEnd] {
            bare.converse(message, host)?;
        }
        ensure!(bare.manifest.is_some(), "the enclave does not serve");
        Ok(bare)
    }

    fn step(&mut self, message: ToEnclave) -> anyhow::Result<Vec<FromEnclave>> {
        let clock = CpuClock::thread();
        let before = clock.now()?;
        let effects = self.enclave.step(message, &mut Plain);
        self.spent += clock.now()?.saturating_sub(before);
        Ok(effects)
    }

    /// CPU time in the enclave since the last call.
    pub(crate) fn take_spent(&mut self) -> Duration {
        std::mem::take(&mut self.spent)
    }

    /// One message and every batch that follows; the answers that come of it.
    fn converse(&mut self, message: ToEnclave, host: &mut dyn Host) -> anyhow::Result<Vec<FromEnclave>> {
        let mut answers = Vec::new();
        let mut waiting = self.step(message)?;
        while !waiting.is_empty() {
            waiting = self.carry_out(waiting, &mut answers, host)?;
        }
        Ok(answers)
    }

    fn carry_out(
        &mut self,
        effects: Vec<FromEnclave>,
        answers: &mut Vec<FromEnclave>,
        host: &mut dyn Host,
    ) -> anyhow::Result<Vec<FromEnclave>> {
        let mut next = Vec::new();
        for effect in effects {
            match effect {
                FromEnclave::Commit(batch) => {
                    let receipt = host.commit(&batch)?;
                    self.store(&batch);
                    next.extend(self.step(ToEnclave::Committed {
                        batch: batch.batch,
                        receipt: receipt.into(),
                        nonce: None,
                    })?);
                }
                FromEnclave::Ready { manifest, .. } => {
                    self.manifest = Some(cbor::from_slice(&manifest).context("manifest")?);
                }
                FromEnclave::Halted { halt, detail } => bail!("halted: {halt:?} {detail}"),
                answer => answers.push(answer),
            }
        }
        Ok(next)
    }

    fn store(&mut self, batch: &Batch) {
        for write in &batch.records {
            self.records.insert(write.wallet, write.outer.to_vec());
        }
        let Self { nodes, frontier, recent, .. } = self;
        for entry in &batch.entries {
            frontier.append(leaf_hash(entry), |node| {
                nodes.insert((node.level, node.index), node.hash);
            });
        }
        if recent.len() == RECENT_CHECKPOINTS {
            recent.pop_front();
        }
        recent.push_back(frontier.size());
    }

    /// Proof that the log continues a receipt which the enclave has forgotten, as the host gives it.
    fn consistency(&self, size: u64) -> Option<Consistency> {
        if size == 0 || self.recent.contains(&size) {
            return None;
        }
        let mut node = |level, index| self.nodes.get(&(level, index)).copied().ok_or(());
        Consistency::prove(size, self.frontier.size(), &mut node).ok().flatten()
    }

    fn next_call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    fn manifest(&self) -> anyhow::Result<&Manifest> {
        self.manifest.as_ref().context("the enclave does not serve")
    }

    /// Registers a wallet.
    pub(crate) fn register(&mut self, name: &str, host: &mut dyn Host) -> anyhow::Result<Person> {
        let key = ecdsa()?;
        let device = P256Public::of(&key).thumbprint();
        let claims = AccessClaims {
            iss: self.issuer_name.clone(),
            aud: self.deployment.to_string(),
            sub: name.into(),
            sid: "s".into(),
            app: "a".into(),
            jti: name.into(),
            iat: now(),
            exp: now() + TOKEN_SECONDS,
            cnf: AccessClaims::confirmation(&device),
        };
        let token = token::sign(token::ACCESS_TYP, &claims, &self.issuer).context("access token")?;
        let wallet = UserIdHash([0; 32]);
        let mut person =
            Person { key, device, token, wallet, address: [0; 20], receipt: None, next: None, messages: 0 };
        let prepare = Request::RegisterPrepare { pin: pin_factor(), words: 12, label: "bench".into() };
        ensure!(self.run(&mut person, prepare, host)? == Outcome::Prepared, "not prepared");
        let confirm = Request::RegisterConfirm { pin: pin_factor() };
        let Outcome::Registered(statement) = self.run(&mut person, confirm, host)? else { bail!("not registered") };
        let log = self.manifest()?.log;
        let said = statement.verify(&log, &self.deployment, &person.wallet).context("forged address")?;
        person.address = said.address.as_slice().try_into().context("address")?;
        Ok(person)
    }

    fn run(&mut self, person: &mut Person, request: Request, host: &mut dyn Host) -> anyhow::Result<Outcome> {
        let method = request.method();
        let asked = self.ask(person, request, String::new())?;
        host.admit(&person.wallet, method)?;
        let message = self.sealed(person, &asked);
        let answers = self.converse(message, host)?;
        let [FromEnclave::Replied { reply, .. }] = answers.as_slice() else { bail!("{answers:?}") };
        Ok(self.open(person, &asked, reply)?.outcome)
    }

    /// Each of `people` signs one message, all at once, as far as the commits let them.
    pub(crate) fn sign_all(&mut self, people: &mut [Person], host: &mut dyn Host) -> anyhow::Result<u64> {
        let mut asked = Vec::with_capacity(people.len());
        for person in people.iter_mut() {
            person.messages += 1;
            let message = format!("{} signs message number {}", person.wallet, person.messages);
            let intent = Intent::EvmPersonalMessage {
                account: AccountIndex::default(),
                message: ByteVec::from(message.clone().into_bytes()),
            };
            let request = Request::Sign { pin: pin_factor(), intents: vec![intent] };
            asked.push(self.ask(person, request, message)?);
            host.admit(&person.wallet, Method::Sign)?;
        }
        let (mut calls, mut effects) = (HashMap::new(), Vec::new());
        for (index, (person, one)) in people.iter().zip(&asked).enumerate() {
            let message = self.sealed(person, one);
            calls.insert(self.calls, index);
            effects.extend(self.step(message)?);
        }
        let mut answers = Vec::new();
        while !effects.is_empty() {
            effects = self.carry_out(effects, &mut answers, host)?;
        }
        let mut signed = 0;
        for answer in answers {
            let FromEnclave::Replied { call, reply } = answer else { bail!("{answer:?}") };
            let index = *calls.get(&call.0).context("unknown call")?;
            let (Some(person), Some(one)) = (people.get_mut(index), asked.get(index)) else { bail!("unknown call") };
            let reply = self.open(person, one, &reply)?;
            verify(person, one, &reply.outcome)?;
            signed += 1;
        }
        ensure!(signed == people.len() as u64, "{signed} answers");
        Ok(signed)
    }

    fn ask(&mut self, person: &mut Person, request: Request, message: String) -> anyhow::Result<Asked> {
        let kept = person.next.take().filter(|begin| begin.method == request.method());
        let begin = match kept {
            Some(begin) => begin,
            None => self.begin(person, request.method())?,
        };
        person.wallet = begin.wallet;
        let manifest = self.manifest()?;
        let header = RequestHeader {
            version: REQUEST_VERSION,
            suite: Suite::X25519Aes256Gcm,
            manifest: manifest.hash(),
            method: request.method(),
            request: RequestId(random()?),
            challenge: begin.challenge,
            token: token_hash(&person.token),
            device: person.device,
            receipt_size: person.receipt.as_ref().map_or(0, |(size, _)| *size),
        };
        let body = Body {
            access_token: person.token.clone().into(),
            device_key: P256Public::of(&person.key),
            receipt: person.receipt.as_ref().map(|(_, note)| ByteVec::from(note.clone())),
            request,
        };
        let sign = |bytes: &[u8]| person.key.sign(&SystemRandom::new(), bytes).ok()?.as_ref().try_into().ok();
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let (request, opener) = envelope::seal(&manifest.hpke, header, &body, &mut rng, sign)?;
        Ok(Asked { request, opener, message })
    }

    /// As the host does: with the record at once, where it knows the wallet.
    fn begin(&mut self, person: &Person, method: Method) -> anyhow::Result<BeginReply> {
        let mut outer = self.records.get(&person.wallet).cloned();
        loop {
            let message = ToEnclave::Begin {
                call: self.next_call(),
                time: UnixSeconds(now()),
                access_token: person.token.clone().into(),
                method,
                outer: outer.take().map(ByteVec::from),
            };
            let mut effects = self.step(message)?;
            match effects.pop() {
                Some(FromEnclave::Begun { begun: Begun::Reply(_, signed), .. }) => {
                    let manifest = self.manifest()?;
                    return Ok(signed.verify(&manifest.boot, &manifest.hash(), &person.device, method)?);
                }
                Some(FromEnclave::Begun { begun: Begun::NeedsRecord(wallet), .. }) => {
                    outer = Some(self.records.get(&wallet).context("unknown wallet")?.clone());
                }
                other => bail!("{other:?}"),
            }
        }
    }

    fn sealed(&mut self, person: &Person, asked: &Asked) -> ToEnclave {
        ToEnclave::Sealed {
            call: self.next_call(),
            time: UnixSeconds(now()),
            request: asked.request.clone(),
            outer: self.records.get(&person.wallet).cloned().map(ByteVec::from),
            consistency: self.consistency(asked.request.header.receipt_size),
        }
    }

    fn open(&self, person: &mut Person, asked: &Asked, reply: &SealedReply) -> anyhow::Result<Reply> {
        let reply = asked.opener.open(reply)?;
        let shown = Checkpoint::verify(&reply.receipt, &self.deployment, &self.manifest()?.log).context("receipt")?;
        person.receipt = Some((shown.size, reply.receipt.to_vec()));
        if let Some(next) = reply.next.clone() {
            let header = &asked.request.header;
            let begin = next.into_begin(header.manifest, person.wallet, header.device, header.method, reply.time)?;
            person.next = Some(begin);
        }
        Ok(reply)
    }
}

fn verify(person: &Person, asked: &Asked, outcome: &Outcome) -> anyhow::Result<()> {
    let Outcome::Signed(results) = outcome else { bail!("{outcome:?}") };
    let [Signed::EvmSignature { signature }] = results.as_slice() else { bail!("other results") };
    let digest = personal_message_digest(asked.message.as_bytes());
    let signature = signature.as_slice().try_into().ok().and_then(RecoverableSig::from_bytes);
    let signer = signature.and_then(|signature| signature.recover_address(&digest)).context("no signature")?;
    ensure!(signer.0 == person.address, "somebody else's signature");
    Ok(())
}
