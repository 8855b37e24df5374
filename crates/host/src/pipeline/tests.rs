#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod batches;
mod begins;
mod calls;
mod ends;
mod pauses;
mod replies;
mod schedules;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use minicbor::bytes::ByteVec;
use pinseal_protocol::checkpoint::{Checkpoint, SealedBreaker};
use pinseal_protocol::configuration::Issuer;
use pinseal_protocol::ids::{DeploymentId, DeviceId, Hash32, Nonce, RequestId, Sequence, Version};
use pinseal_protocol::log::{Frontier, empty_root, leaf_hash};
use pinseal_protocol::manifest::{Ed25519Public, HpkePublic};
use pinseal_protocol::reply::SealedReply;
use pinseal_protocol::request::{Method, RequestHeader, SealedRequest, SignedBeginReply, Suite};
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{AccessToken, P256Public, StorageClaims, StorageKey, StorageToken};
use pinseal_protocol::wire::{Batch, BatchId, RecordWrite, ToEnclave};
use pinseal_store::vault::{VaultError, storage_audience};

use super::*;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const DEPLOYMENT: DeploymentId = DeploymentId([5; 16]);

fn storage_key() -> StorageKey {
    StorageKey::new(&SecretBytes::take(&mut [0x57; 32]))
}

/// A pipeline, a login service, and an enclave played by the test.
struct Bench {
    pipeline: Pipeline,
    vault: Arc<Vault>,
    now: UnixSeconds,
    tickets: u64,
}

fn note(checkpoint: &Checkpoint) -> Vec<u8> {
    checkpoint.to_note(&Ed25519Public([3; 32]), |_| [9; 64])
}

fn wallet(number: u8) -> UserIdHash {
    UserIdHash([number; 32])
}

fn request(method: Method, number: u8) -> SealedRequest {
    SealedRequest {
        header: RequestHeader {
            version: 1,
            suite: Suite::X25519Aes256Gcm,
            manifest: Hash32([1; 32]),
            method,
            request: RequestId([number; 16]),
            challenge: ByteVec::from(vec![2; 40]),
            token: Hash32([3; 32]),
            device: DeviceId([4; 32]),
            receipt_size: 0,
        },
        enc: HpkePublic([number; 32]),
        ciphertext: ByteVec::from(vec![number; 64]),
    }
}

fn reply(number: u8) -> SealedReply {
    SealedReply { request: RequestId([number; 16]), ciphertext: ByteVec::from(vec![number; 96]) }
}

fn token(number: u8, method: Method, jti: &str) -> StorageToken {
    let claims = StorageClaims {
        iss: "login".into(),
        aud: storage_audience(&DEPLOYMENT),
        wallet: wallet(number).to_string(),
        operation: method.name().into(),
        jti: jti.into(),
        iat: NOW.0,
        exp: NOW.0 + 600,
    };
    StorageToken::new(storage_key().sign(&claims).unwrap())
}

impl Bench {
    fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let issuer = Issuer { issuer: "login".into(), audience: "aud".into(), key: P256Public::of(&key) };
        let vault = Arc::new(Vault::new(issuer, storage_key(), &DEPLOYMENT));
        let checkpoint = Checkpoint {
            deployment: DEPLOYMENT,
            restores: 0,
            size: 0,
            root: empty_root(),
            sequence: Sequence(0),
            previous: Hash32([0; 32]),
            time: NOW,
            state: Hash32([0; 32]),
            breaker: SealedBreaker([0; SealedBreaker::LEN]),
            tpm: None,
        };
        let anchored = Newest { note: note(&checkpoint), checkpoint, frontier: Frontier::default() };
        Self { pipeline: Pipeline::new(Arc::clone(&vault), anchored, 0), vault, now: NOW, tickets: 0 }
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.pipeline.step(self.now, event)
    }

    fn ask(&mut self, ask: Ask) -> (Ticket, Vec<Action>) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        (ticket, self.step(Event::Ask { ticket, ask }))
    }

    /// A sealed request `number` for a wallet, its token named by `jti`.
    fn seal(&mut self, wallet: u8, number: u8, jti: &str) -> (Ticket, Vec<Action>) {
        self.seal_to(Method::Sign, wallet, number, jti)
    }

    fn seal_to(&mut self, method: Method, wallet: u8, number: u8, jti: &str) -> (Ticket, Vec<Action>) {
        let token = token(wallet, method, jti);
        let token = self.vault.check(token.expose_secret(), &self::wallet(wallet), method, self.now);
        self.ask(Ask::Sealed { token, request: Box::new(request(method, number)) })
    }

    fn begin(&mut self, known: Option<u8>) -> (Ticket, Vec<Action>) {
        let wallet = known.map(wallet);
        self.ask(Ask::Begin { access_token: AccessToken::from("token".to_owned()), method: Method::Sign, wallet })
    }

    /// Answers every load with a record.
    fn load(&mut self, actions: Vec<Action>) -> Vec<Action> {
        let mut out = Vec::new();
        for action in actions {
            match action {
                Action::Load { call, load } => {
                    let grant = match load {
                        Load::Sealed { grant, .. } => Some(grant),
                        Load::Begin { .. } => None,
                    };
                    let loaded = Ok(Loaded { grant, outer: Some(vec![7]), consistency: None });
                    out.extend(self.step(Event::Loaded { call, loaded }));
                }
                action => out.push(action),
            }
        }
        out
    }

    /// A sealed call that reached the enclave.
    fn sent(&mut self, wallet: u8, number: u8) -> (Ticket, CallId) {
        self.sent_to(Method::Sign, wallet, number)
    }

    fn sent_to(&mut self, method: Method, wallet: u8, number: u8) -> (Ticket, CallId) {
        let (ticket, actions) = self.seal_to(method, wallet, number, &format!("jti {number}"));
        let actions = self.load(actions);
        match actions.as_slice() {
            [Action::Send(ToEnclave::Sealed { call, outer: Some(_), .. })] => (ticket, *call),
            other => panic!("{other:?}"),
        }
    }

    /// The batch an enclave makes of these writes.
    fn batch(&self, writes: &[(CallId, u8, u64)]) -> Batch {
        let anchored = self.pipeline.anchored();
        let mut frontier = anchored.frontier.clone();
        let entries: Vec<ByteVec> = writes.iter().map(|write| format!("{write:?}").into_bytes().into()).collect();
        for entry in &entries {
            frontier.append(leaf_hash(entry), |_| {});
        }
        let checkpoint = Checkpoint {
            size: frontier.size(),
            root: frontier.root(),
            sequence: Sequence(anchored.checkpoint.sequence.0 + 1),
            previous: anchored.checkpoint.hash(),
            ..anchored.checkpoint
        };
        let record = |(call, number, version): &(CallId, u8, u64)| RecordWrite {
            call: *call,
            wallet: wallet(*number),
            version: Version(*version),
            hash: Hash32([*number; 32]),
            outer: vec![*number].into(),
        };
        Batch {
            batch: BatchId(checkpoint.sequence.0),
            previous: anchored.note.clone().into(),
            checkpoint: note(&checkpoint).into(),
            frontier,
            records: writes.iter().map(record).collect(),
            entries,
            authorisation: None,
        }
    }

    fn commit(&mut self, writes: &[(CallId, u8, u64)]) -> Vec<Action> {
        let batch = self.batch(writes);
        self.step(Event::Enclave(FromEnclave::Commit(batch)))
    }

    /// Commit, store, anchor, as it should go.
    fn write(&mut self, writes: &[(CallId, u8, u64)]) {
        let actions = self.commit(writes);
        let [Action::Store { batch, .. }] = actions.as_slice() else { panic!("{actions:?}") };
        let (id, next) = (batch.batch, batch.checkpoint.to_vec());
        let actions = self.step(Event::Stored { batch: id, stored: Stored::Yes });
        assert!(matches!(actions.as_slice(), [Action::Advance { .. }]), "{actions:?}");
        let actions = self.step(Event::Advanced { batch: id, advanced: Advanced::Receipt(next.clone(), None) });
        match actions.as_slice() {
            [Action::Send(ToEnclave::Committed { batch, receipt, .. })] => {
                assert_eq!((*batch, receipt.as_slice()), (id, next.as_slice()));
            }
            other => panic!("{other:?}"),
        }
    }

    fn reply(&mut self, call: CallId, number: u8) -> Vec<Action> {
        self.step(Event::Enclave(FromEnclave::Replied { call, reply: reply(number) }))
    }
}

fn answers(actions: &[Action]) -> Vec<(Ticket, Result<Answer, CallError>)> {
    let answer = |action: &Action| match action {
        Action::Answer { ticket, answer } => Some((*ticket, answer.clone())),
        _ => None,
    };
    actions.iter().filter_map(answer).collect()
}

fn error(actions: &[Action]) -> CallError {
    match answers(actions).as_slice() {
        [(_, Err(error))] => *error,
        other => panic!("{other:?}"),
    }
}
