//! An enclave for one wallet: the real envelope, keys and formats, none of the real guard. Tests twist it through its fields.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use minicbor::bytes::ByteVec;
use pinseal_attestation::produce;
use pinseal_chains::evm::{self, EvmPolicy, RecoverableSig};
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::{Checkpoint, SealedBreaker};
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::envelope::BootKey;
use pinseal_protocol::ids::{DeploymentId, DeviceId, Hash32, Measurement, Nonce, Sequence, UnixSeconds, UserIdHash};
use pinseal_protocol::intent::{AccountIndex, Intent, Signed};
use pinseal_protocol::log::{Frontier, Tree, leaf_hash};
use pinseal_protocol::manifest::{Ed25519Public, MANIFEST_VERSION, Manifest};
use pinseal_protocol::pin::{Argon2Parameters, PinParameters, PinSalt};
use pinseal_protocol::reply::{Next, Outcome, Reply, SealedReply, Status, Tries};
use pinseal_protocol::request::{
    AddressStatement, BeginReply, Method, Request, SealedRequest, SignedBeginReply, SignedStatement, WalletState,
};
use pinseal_protocol::secret::SecretBytes;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SecretKey};

/// The floor, so that tests are quick.
pub(crate) const FLOOR: Argon2Parameters = Argon2Parameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
pub(crate) const MEASUREMENT: Measurement = Measurement([0xee; 32]);

type PinSet = (PinParameters, [u8; 32]);

pub(crate) struct Enclave {
    pub(crate) deployment: DeploymentId,
    pub(crate) log: Ed25519KeyPair,
    pub(crate) boot: BootKey,
    pub(crate) signer: Ed25519KeyPair,
    pub(crate) configuration: Hash32,
    pub(crate) anchor: AnchorLevel,
    pub(crate) floor: AnchorLevel,
    /// Size and root of the newest checkpoint.
    pub(crate) size: u64,
    pub(crate) fork: u8,
    boot_note: Vec<u8>,
    pub(crate) wallet: UserIdHash,
    pub(crate) current: Option<PinSet>,
    pub(crate) pending: Option<PinSet>,
    pub(crate) next: PinParameters,
    pub(crate) tries: Tries,
    /// Of the record: grows with every write.
    pub(crate) version: u64,
    /// Challenges given out.
    issued: u64,
    /// Changes what a reply leaves for the next request.
    pub(crate) leave: Option<fn(Next) -> Option<Next>>,
    /// Challenges of the sealed requests, as they came.
    pub(crate) challenges: Vec<Vec<u8>>,
    /// What the enclave was asked, opened.
    pub(crate) opened: Vec<(Method, u64)>,
    /// Says this instead of the truth, once each.
    pub(crate) outcomes: Vec<Outcome>,
    /// Changes a truthful outcome.
    pub(crate) twist: Option<fn(&Enclave, &Request, Outcome) -> Outcome>,
    /// The log, where a test has one: then checkpoints are of it, whatever `size` says.
    pub(crate) entries: Vec<Vec<u8>>,
    /// The log of the receipt that the newest request presented.
    pub(crate) presented: Option<Tree>,
    /// Replaces the receipt.
    pub(crate) receipt: Option<fn(&Enclave) -> Vec<u8>>,
}

pub(crate) fn ed25519(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

pub(crate) fn public(pair: &Ed25519KeyPair) -> Ed25519Public {
    Ed25519Public::from_slice(pair.public_key().as_ref()).unwrap()
}

fn sign(pair: &Ed25519KeyPair, message: &[u8]) -> [u8; 64] {
    pair.sign(message).as_ref().try_into().unwrap()
}

pub(crate) fn account_key(index: AccountIndex) -> SecretKey {
    SecretKey::from_secret_bytes([u8::try_from(index.value()).unwrap() + 1; 32]).unwrap()
}

pub(crate) fn account_address(index: AccountIndex) -> pinseal_client::Address {
    pinseal_client::Address(evm::address(&PublicKey::from_secret_key(&account_key(index))))
}

pub(crate) fn sign_intent(intent: &Intent, key: &SecretKey) -> Signed {
    let prepared = evm::prepare(intent, EvmPolicy::default()).unwrap();
    let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(prepared.digest()), key);
    let (id, compact) = signature.serialize_compact();
    prepared.finish(&RecoverableSig::from_compact(&compact, id.to_u8()).unwrap())
}

impl Enclave {
    pub(crate) fn new() -> Self {
        let mut enclave = Self {
            deployment: DeploymentId([0xd0; 16]),
            log: ed25519(1),
            boot: BootKey::derive(&SecretBytes::take(&mut [2; 32])),
            signer: ed25519(3),
            configuration: Hash32([9; 32]),
            anchor: AnchorLevel::L1,
            floor: AnchorLevel::L1,
            size: 10,
            fork: 0,
            boot_note: Vec::new(),
            wallet: UserIdHash([0xa1; 32]),
            current: None,
            pending: None,
            next: PinParameters { salt: PinSalt([1; 16]), argon2: FLOOR },
            tries: Tries { left: 5, life_left: 100, delay_seconds: 0 },
            version: 1,
            issued: 0,
            leave: None,
            challenges: Vec::new(),
            opened: Vec::new(),
            outcomes: Vec::new(),
            twist: None,
            entries: Vec::new(),
            presented: None,
            receipt: None,
        };
        enclave.boot_note = enclave.note();
        enclave
    }

    /// Another boot of the same deployment, its BOOT entry in the log.
    pub(crate) fn restart(&mut self, seed: u8) {
        self.boot = BootKey::derive(&SecretBytes::take(&mut [seed; 32]));
        self.signer = ed25519(seed);
        self.size += 1;
        self.boot_note = self.note();
    }

    pub(crate) fn note(&self) -> Vec<u8> {
        if self.entries.is_empty() {
            return self.note_at(self.size, &self.log);
        }
        let mut frontier = Frontier::default();
        self.entries.iter().for_each(|entry| frontier.append(leaf_hash(entry), |_| {}));
        self.note_of(frontier.size(), frontier.root(), &self.log)
    }

    pub(crate) fn note_at(&self, size: u64, key: &Ed25519KeyPair) -> Vec<u8> {
        self.note_of(size, Hash32([u8::try_from(size).unwrap() ^ self.fork; 32]), key)
    }

    fn note_of(&self, size: u64, root: Hash32, key: &Ed25519KeyPair) -> Vec<u8> {
        let checkpoint = Checkpoint {
            deployment: self.deployment,
            restores: 0,
            size,
            root,
            sequence: Sequence(size),
            previous: Hash32([0; 32]),
            time: UnixSeconds(0),
            state: Hash32([0; 32]),
            breaker: SealedBreaker([0; SealedBreaker::LEN]),
            tpm: None,
        };
        checkpoint.to_note(&public(key), |text| sign(key, text))
    }

    pub(crate) fn manifest(&self) -> Manifest {
        Manifest {
            version: MANIFEST_VERSION,
            deployment: self.deployment,
            hpke: self.boot.public(),
            boot: public(&self.signer),
            log: public(&self.log),
            configuration: self.configuration,
            anchor: self.anchor,
            floor: self.floor,
            checkpoint: self.boot_note.clone().into(),
            witnesses: None,
            tpm: None,
        }
    }

    pub(crate) fn evidence(&self, nonce: Nonce, now: UnixSeconds) -> (Vec<u8>, Vec<u8>) {
        let manifest = self.manifest();
        (produce::software(MEASUREMENT, manifest.hash(), nonce, now), cbor::to_vec(&manifest))
    }

    /// Counter, expiry, version, and no MAC.
    fn challenge(&mut self) -> ByteVec {
        self.issued += 1;
        let numbers = [self.issued, u64::MAX, self.version];
        [numbers.map(u64::to_be_bytes).concat(), vec![0; 32]].concat().into()
    }

    pub(crate) fn begin(&mut self, device: DeviceId, method: Method) -> BeginReply {
        BeginReply {
            manifest: self.manifest().hash(),
            wallet: self.wallet,
            device,
            method,
            challenge: self.challenge(),
            state: self.state(),
            enrolled: self.current.is_some(),
            current: self.current.map(|(parameters, _)| parameters),
            pending: self.pending.map(|(parameters, _)| parameters),
            next: self.next,
            time: UnixSeconds(0),
        }
    }

    const fn state(&self) -> WalletState {
        match (&self.current, &self.pending) {
            (Some(_), _) => WalletState::Active,
            (None, Some(_)) => WalletState::Prepared,
            (None, None) => WalletState::Missing,
        }
    }

    pub(crate) fn sign_begin(&self, reply: &BeginReply) -> SignedBeginReply {
        let reply = cbor::to_vec(reply);
        let signature = sign(&self.signer, &BeginReply::signed_bytes(&reply)).to_vec().into();
        SignedBeginReply { reply: reply.into(), signature }
    }

    pub(crate) fn sealed(&mut self, request: &SealedRequest) -> SealedReply {
        let opened = self.boot.open(request).expect("the client seals to the attested boot");
        assert_eq!(opened.body.device_key.thumbprint(), request.header.device);
        assert_eq!(opened.body.request.method(), request.header.method);
        let receipt = opened.body.receipt.as_ref().map(|note| Checkpoint::read_unverified(note).unwrap());
        self.presented = receipt.map(|checkpoint| Tree { size: checkpoint.size, root: checkpoint.root });
        assert_eq!(self.presented.map_or(0, |tree| tree.size), request.header.receipt_size);
        self.opened.push((request.header.method, request.header.receipt_size));
        let asked = opened.body.request;
        let truth = if self.outcomes.is_empty() { self.carry_out(&asked) } else { self.outcomes.remove(0) };
        let outcome = self.twist.map_or(truth.clone(), |twist| twist(self, &asked, truth));
        self.challenges.push(request.header.challenge.to_vec());
        let writes = u64::from(request.header.method.writes());
        self.size += writes;
        let refused = matches!(outcome, Outcome::Refused(_));
        self.version += if refused { 0 } else { writes };
        let begin = self.begin(request.header.device, request.header.method);
        let BeginReply { challenge, state, enrolled, current, pending, next, .. } = begin;
        let next = Next { challenge, state, enrolled, current, pending, next };
        let next = Some(next).filter(|_| request.header.method.continues() && !refused);
        let next = next.and_then(|next| self.leave.map_or(Some(next.clone()), |leave| leave(next)));
        let receipt = self.receipt.map_or_else(|| self.note(), |receipt| receipt(self));
        opened.reply.seal(&Reply {
            request: request.header.request,
            time: UnixSeconds(0),
            tries: Some(self.tries),
            receipt: receipt.into(),
            outcome,
            next,
        })
    }

    fn carry_out(&mut self, request: &Request) -> Outcome {
        let set = |enclave: &Self| match request {
            Request::RegisterConfirm { .. } | Request::ChangePinConfirm { .. } => enclave.pending,
            _ => enclave.current,
        };
        if let Some(pin) = request.tested_pin()
            && set(self).map(|(_, factor)| factor) != Some(*pin.expose_secret())
        {
            self.tries.left -= 1;
            return Outcome::WrongPin;
        }
        match request {
            Request::RegisterPrepare { pin, .. } | Request::ChangePinPrepare { new_pin: pin, .. } => {
                self.pending = Some((self.next, *pin.expose_secret()));
                self.next.salt.0[0] += 1;
                Outcome::Prepared
            }
            Request::RegisterConfirm { .. } => {
                self.current = self.pending.take();
                Outcome::Registered(self.statement(AccountIndex::default()))
            }
            Request::VerifyPin { .. } => Outcome::PinVerified,
            Request::Sign { intents, .. } => Outcome::Signed(
                intents.iter().map(|intent| sign_intent(intent, &account_key(intent.account()))).collect(),
            ),
            Request::ChangePinConfirm { .. } => {
                self.current = self.pending.take();
                Outcome::PinChanged
            }
            Request::EnrolDevice { .. } => Outcome::DeviceEnrolled,
            Request::RevokeDevice { .. } => Outcome::DeviceRevoked,
            Request::ClearTries { .. } => Outcome::TriesCleared,
            Request::AcceptRestore { .. } => Outcome::RestoreAccepted,
            Request::Status => Outcome::Status(Status {
                state: self.state(),
                enrolled: true,
                change_pending: self.pending.is_some(),
                devices: Vec::new(),
                unenrolled_outstanding: 0,
                outstanding: 0,
            }),
            Request::ListAccounts { accounts } => {
                Outcome::Accounts(accounts.iter().map(|index| self.statement(*index)).collect())
            }
            Request::OpenHistory { writes } => Outcome::History(crate::history::open(self, writes)),
        }
    }

    pub(crate) fn statement(&self, index: AccountIndex) -> SignedStatement {
        self.statement_of(index, account_address(index), self.wallet, &self.log)
    }

    pub(crate) fn statement_of(
        &self,
        index: AccountIndex,
        address: pinseal_client::Address,
        wallet: UserIdHash,
        key: &Ed25519KeyPair,
    ) -> SignedStatement {
        let statement = cbor::to_vec(&AddressStatement {
            deployment: self.deployment,
            wallet,
            path: index.path(),
            network: "eip155".into(),
            address: address.0.0.to_vec().into(),
        });
        let signature = sign(key, &AddressStatement::signed_bytes(&statement)).to_vec().into();
        SignedStatement { statement: statement.into(), signature }
    }
}
