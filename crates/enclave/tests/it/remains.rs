//! Whatever happens, nothing secret is left in freed memory.
//!
//! The enclave's process has an allocator that wipes every freed block (`enclaved`). This is about the layer above: every secret
//! erases itself, also where a function ends early, and no buffer that holds one grows and leaves a copy.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use alloy_primitives::U256;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeR, Serializable as _};
use pinseal_chains::evm::TypedData;
use pinseal_chains::evm::transaction::{DynamicFee, Kind, Transaction};
use pinseal_enclave::KEY_LABELS;
use pinseal_keys::bip32::ExtendedPrivate;
use pinseal_keys::{Entropy, EvmMaster, WordCount};
use pinseal_probe::search;
use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::ids::{Hash32, UserIdHash};
use pinseal_protocol::intent::{AccountIndex, ChainId, EvmAddress, Intent};
use pinseal_protocol::kdf;
use pinseal_protocol::manifest::HpkePublic;
use pinseal_protocol::order::{ORDER_COST, Order, SignedOrder};
use pinseal_protocol::pin::{Argon2Parameters, PinFactor, PinParameters};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{BeginReply, Method, Request, SealedRequest};
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::wire::{BatchId, ChangeStage, Halt, ToEnclave};
use pinseal_software_tpm::SoftwareTpm;

use crate::change::{SALT, carry_out, change, halt, order, take_over};
use crate::world::{Answer, Client, Disk, Fate, PASSPHRASE, Prepared, World, factor};

/// Of the first device.
const LABEL: &str = "Ada's laptop, upstairs";

/// A world whose enclave is recorded, and every secret that the test gave it or can compute.
struct Recorded {
    world: World,
    client: Client,
    factors: RefCell<Vec<Vec<u8>>>,
    requests: Vec<SealedRequest>,
    tokens: Vec<Vec<u8>>,
    registered: Option<Vec<u8>>,
    /// H(manifest) and HPKE key of every boot that was asked something.
    boots: BTreeMap<Hash32, HpkePublic>,
    also: Vec<(String, Vec<u8>)>,
}

impl Recorded {
    fn new() -> Self {
        Self::of(World::recorded())
    }

    fn of(world: World) -> Self {
        Self {
            world,
            client: Client::new("ada"),
            factors: RefCell::default(),
            requests: Vec::new(),
            tokens: Vec::new(),
            registered: None,
            boots: BTreeMap::new(),
            also: Vec::new(),
        }
    }

    fn registered() -> Self {
        let mut recorded = Self::new();
        recorded.register();
        recorded
    }

    /// Anchored by a TPM.
    fn registered_in_tpm() -> Self {
        let mut recorded = Self::of(World::recorded_in_tpm(&Rc::new(RefCell::new(SoftwareTpm::new()))));
        recorded.register();
        recorded
    }

    fn factor(&self, pin: &str, parameters: &PinParameters) -> PinFactor {
        let factor = factor(pin, parameters);
        self.factors.borrow_mut().push(factor.expose_secret().to_vec());
        factor
    }

    fn prepare(&mut self, method: Method, request: impl FnOnce(&Self, &BeginReply) -> Request) -> Prepared {
        let begin = self.world.begin(&self.client, method).unwrap();
        let request = request(self, &begin);
        let token = self.world.token(&self.client.user, &self.client.device(), 600);
        self.tokens.push(token.expose_secret().as_bytes().to_vec());
        let prepared = self.client.seal(&self.world, &begin, token, request);
        self.requests.push(prepared.request.clone());
        self.boots.insert(self.world.manifest().hash(), self.world.manifest().hpke);
        prepared
    }

    fn submit(&mut self, prepared: &Prepared) -> Option<Outcome> {
        let call = self.world.submit(&prepared.wallet, &prepared.request);
        match self.world.take(call) {
            Some(Answer::Replied(reply)) => Some(self.client.open(&self.world, &prepared.opener, &reply).outcome),
            Some(Answer::Refused(_)) | None => None,
            other => panic!("{other:?}"),
        }
    }

    fn run(&mut self, method: Method, request: impl FnOnce(&Self, &BeginReply) -> Request) -> Outcome {
        let prepared = self.prepare(method, request);
        self.submit(&prepared).unwrap()
    }

    fn register(&mut self) {
        let prepared = self.run(Method::RegisterPrepare, |own, begin| Request::RegisterPrepare {
            pin: own.factor("135790", &begin.next),
            words: 12,
            label: LABEL.into(),
        });
        assert_eq!(prepared, Outcome::Prepared);
        let confirmed = self.run(Method::RegisterConfirm, |own, begin| Request::RegisterConfirm {
            pin: own.factor("135790", &begin.pending.unwrap()),
        });
        let Outcome::Registered(statement) = confirmed else { panic!("{confirmed:?}") };
        let wallet = *self.world.disk.records.keys().next().unwrap();
        let (log, deployment) = (self.world.manifest().log, self.world.manifest().deployment);
        self.registered = Some(statement.verify(&log, &deployment, &wallet).unwrap().address.to_vec());
    }

    fn verify(&mut self, pin: &str) -> Outcome {
        self.run(Method::VerifyPin, |own, begin| Request::VerifyPin { pin: own.factor(pin, &begin.current.unwrap()) })
    }

    fn sign(&mut self, pin: &str, intents: Vec<Intent>) -> Outcome {
        self.run(Method::Sign, |own, begin| Request::Sign { pin: own.factor(pin, &begin.current.unwrap()), intents })
    }

    /// What the passphrase is stretched to for the root in force.
    fn note_roots_salt(&mut self) {
        let (given, root) = (&self.world.environment.given, &self.world.disk.sealed_root);
        let is_in_it =
            |drawn: &&Vec<u8>| drawn.len() == 32 && root.windows(32).any(|window| window == drawn.as_slice());
        // The term is drawn before it.
        let salt = given.iter().rfind(is_in_it).expect("the file has its salt");
        self.also.extend(stretched(salt));
    }

    /// Boots for a change that the operators order, spoilt on its way or not.
    fn boot_with_order(&mut self, next: &Configuration, order: &Order, spoil: impl FnOnce(&mut SignedOrder)) {
        self.also.extend(stretched(&SALT.0));
        let (_, key) = &self.also[self.also.len() - 2];
        let mut signed = order.sign(SALT, &SecretBytes::from_slice(key).unwrap());
        spoil(&mut signed);
        let receipt = self.world.disk.note.clone().into();
        carry_out(&mut self.world, change(next, signed, ChangeStage::Ordered { receipt }));
    }

    /// The change was anchored: the root it ended with is the root from now on.
    fn take_over(&mut self, next: &Configuration) {
        assert_eq!(halt(&self.world), None);
        self.note_roots_salt();
        take_over(&mut self.world, next);
        self.note_roots_salt();
        self.world.boot();
    }

    /// Ends the enclave and looks for every secret in everything it ever freed.
    fn assert_nothing_is_left(mut self) {
        let secrets = self.secrets();
        let wallet = secrets.iter().filter(|(name, _)| name == "account key").count();
        assert_eq!(wallet, usize::from(self.registered.is_some()), "the wallet's keys are among what is searched for");
        self.world.end();
        let remains = self.world.recording.unwrap().remains;
        assert!(remains.blocks() > 100);
        let found = remains.found(secrets.iter().map(|(name, secret)| (name.as_str(), secret.as_slice())));
        assert!(found.is_empty(), "{found:#?}");
    }

    fn secrets(&self) -> Vec<(String, Vec<u8>)> {
        let mut out: Vec<(String, Vec<u8>)> = vec![("passphrase".into(), PASSPHRASE.to_vec())];
        let given = &self.world.environment.given;
        let said = &self.world.recording.as_ref().unwrap().said;
        // What the enclave drew and did not say is secret: root, k_u, rho, entropy, boot keys, challenge key.
        let drawn = given.iter().enumerate().filter(|(_, drawn)| drawn.len() == 32);
        let mut drawn: Vec<_> = drawn.map(|(place, drawn)| (format!("random value {place}"), drawn.clone())).collect();
        let public = search(said, drawn.iter().map(|(name, drawn)| (name.as_str(), drawn.as_slice())));
        let public: Vec<String> = public.into_iter().map(|(name, _)| name.to_owned()).collect();
        drawn.retain(|(name, _)| !public.contains(name));
        assert!(drawn.len() > 5, "{drawn:?}");
        out.extend(drawn);
        out.extend(self.long_lived());
        out.extend(self.tokens.iter().map(|token| ("access token".into(), token[200..].to_vec())));
        for factor in self.factors.borrow().iter() {
            out.push(("PIN factor".into(), factor.clone()));
            // k_u and rho are drawn one after the other; which pairs they are is not worth finding out.
            for pair in given.windows(2).filter(|pair| pair.iter().all(|drawn| drawn.len() == 32)) {
                let mixed = kdf::mac(pair[0].as_slice().try_into().unwrap(), "pinseal factor v1", &[factor]);
                out.push(("factor F".into(), mixed.to_vec()));
                out.push((
                    "unlock key".into(),
                    kdf::derive(&mixed, &pair[1], "pinseal unlock v1", &[]).expose_secret().to_vec(),
                ));
            }
        }
        out.extend(self.also.iter().cloned());
        out.extend(self.wallet_secrets());
        out.extend(self.reply_keys());
        out
    }

    /// What follows from the root, and at L2 the number that K_tpm is.
    fn long_lived(&self) -> Vec<(String, Vec<u8>)> {
        let root = &self.world.environment.given[0];
        let keys = KEY_LABELS.map(|label| (label, *kdf::derive(root, &[], label, &[]).expose_secret()));
        let of = |label| keys.iter().find(|(known, _)| *known == label).unwrap().1;
        if let Some(manifest) = &self.world.manifest {
            let log = Ed25519KeyPair::from_seed_unchecked(&of("pinseal log key v1")).unwrap();
            assert_eq!(log.public_key().as_ref(), manifest.log.0, "the first value drawn is the root");
        }
        let mut out: Vec<_> = keys.iter().map(|(label, key)| ((*label).to_owned(), key.to_vec())).collect();
        if self.world.tpm.is_some() {
            let number = kdf::derive(&of("pinseal tpm key v1"), &[], "pinseal tpm candidate v1", &[&[0]]);
            let number = number.expose_secret();
            let writer = PrivateKey::from_private_key(&ECDH_P256, number).unwrap().compute_public_key().unwrap();
            let said = &self.world.recording.as_ref().unwrap().said;
            assert!(said.windows(65).any(|window| window == writer.as_ref()), "the host is told of another writer");
            out.push(("number of the TPM's writer".into(), number.to_vec()));
        }
        out
    }

    /// Everything that follows from the entropy, which is mixed of two values drawn one after the other.
    fn wallet_secrets(&self) -> Vec<(String, Vec<u8>)> {
        let Some(address) = &self.registered else { return Vec::new() };
        for pair in self.world.environment.given.windows(2).filter(|pair| pair.iter().all(|drawn| drawn.len() == 32)) {
            let [tee, system] = [&pair[0], &pair[1]].map(|drawn| drawn.as_slice().try_into().unwrap());
            let entropy = Entropy::mix(tee, system, WordCount::Twelve);
            let Ok(master) = EvmMaster::from_entropy(&entropy) else { continue };
            let public = master.account_public().child(0).unwrap();
            if pinseal_chains::evm::address(&public).0.as_slice() != address.as_slice() {
                continue;
            }
            let branch = master.to_secret_bytes();
            let branch = branch.expose_secret();
            let [key, chain_code] = [&branch[..32], &branch[32..]].map(|half| half.try_into().unwrap());
            let account = ExtendedPrivate::from_parts(key, chain_code).unwrap().child(0).unwrap();
            return vec![
                ("entropy".into(), entropy.expose_secret().to_vec()),
                ("phrase".into(), entropy.phrase().expose_secret().as_bytes().to_vec()),
                ("BIP-39 seed".into(), entropy.seed("").expose_secret().to_vec()),
                ("branch key".into(), key.to_vec()),
                ("account key".into(), account.key().expose_secret().to_vec()),
            ];
        }
        Vec::new()
    }

    /// HPKE private keys and what the reply's key is made from; the boot key's seed is one of the values drawn.
    fn reply_keys(&self) -> Vec<(String, Vec<u8>)> {
        type Kem = X25519HkdfSha256;
        let mut out = Vec::new();
        for drawn in self.world.environment.given.iter().filter(|drawn| drawn.len() == 32) {
            let (private, public) = Kem::derive_keypair(drawn);
            let boot = self.boots.iter().find(|(_, hpke)| public.to_bytes().as_slice() == hpke.0);
            let Some((manifest, _)) = boot else { continue };
            out.push(("boot key".into(), private.to_bytes().to_vec()));
            for request in self.requests.iter().filter(|request| request.header.manifest == *manifest) {
                let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(&request.enc.0).unwrap();
                let info = [b"pinseal request v1\0".as_slice(), &request.header.manifest.0].concat();
                let context =
                    hpke::setup_receiver::<AesGcm256, HkdfSha256, Kem>(&OpModeR::Base, &private, &enc, &info).unwrap();
                for label in [b"pinseal reply v1".as_slice(), b"pinseal reply salt v1"] {
                    let mut exported = vec![0; 32];
                    context.export(label, &mut exported).unwrap();
                    out.push(("reply key".into(), exported));
                }
            }
        }
        let found = out.iter().filter(|(name, _)| name == "boot key").count();
        assert_eq!(found, self.boots.len(), "every boot's key is among what was drawn");
        out
    }
}

/// The passphrase stretched with that salt at the cost of roots and orders, and the last block of Argon2id's memory.
fn stretched(salt: &[u8]) -> [(String, Vec<u8>); 2] {
    let Argon2Parameters { memory_kib, passes, lanes } = ORDER_COST;
    let cost = Params::new(memory_kib, passes, lanes, Some(32)).unwrap();
    let (mut blocks, mut key) = (vec![Block::default(); cost.block_count()], [0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost)
        .hash_password_into_with_memory(PASSPHRASE, salt, &mut key, &mut blocks)
        .unwrap();
    let last: Vec<u8> = blocks.last().unwrap().as_ref().iter().flat_map(|word| word.to_le_bytes()).collect();
    [("stretched passphrase".into(), key.to_vec()), ("last block of Argon2id".into(), last)]
}

#[test]
fn the_passphrase_and_what_is_stretched_from_it_leave_nothing_in_freed_memory() {
    let mut own = Recorded::new();
    own.world.boot_under(b"another passphrase than the deployment's");
    assert_eq!(own.world.halted.take().map(|(halt, _)| halt), Some(Halt::WrongPassphrase));
    own.world.boot();
    own.note_roots_salt();
    own.assert_nothing_is_left();
}

fn message() -> Vec<Intent> {
    vec![Intent::EvmPersonalMessage { account: AccountIndex::default(), message: b"hi".to_vec().into() }]
}

#[test]
fn a_wallet_that_signs_leaves_nothing_in_freed_memory() {
    let mut own = Recorded::registered();
    assert!(matches!(own.sign("135790", message()), Outcome::Signed(_)));
    own.assert_nothing_is_left();
}

/// One of every kind, which is signed.
fn every_kind_of_intent() -> Vec<Intent> {
    let (account, chain, address) = (AccountIndex::default(), ChainId(1), EvmAddress([0x11; 20]));
    let transaction = Transaction {
        chain,
        nonce: 7,
        gas_limit: 21_000,
        to: Some(address),
        value: U256::from(1_000_000_007_u64),
        input: Vec::new(),
        kind: Kind::DynamicFee {
            fees: DynamicFee { max_fee_per_gas: 40_000_000_000, max_priority_fee_per_gas: 1_000_000_000 },
            access_list: Vec::new(),
        },
    };
    let typed = r#"{"types": {"EIP712Domain": [{"name": "chainId", "type": "uint256"}], "Note": [{"name": "text", "type": "string"}]},
        "primaryType": "Note", "domain": {"chainId": 1}, "message": {"text": "tweet"}}"#;
    vec![
        Intent::EvmTransaction { account, chain, unsigned: transaction.encode_unsigned().unwrap().into() },
        Intent::EvmAuthorization { account, chain, address, nonce: 7 },
        Intent::EvmPersonalMessage { account, message: b"hi".to_vec().into() },
        Intent::EvmTypedData { account, chain, typed_data: TypedData::from_json(typed).unwrap().to_cbor().into() },
    ]
}

#[test]
fn every_kind_of_signature_leaves_nothing_in_freed_memory() {
    let mut own = Recorded::registered();
    // Together, and each by itself.
    for intents in [every_kind_of_intent()].into_iter().chain(every_kind_of_intent().into_iter().map(|one| vec![one])) {
        assert!(matches!(own.sign("135790", intents), Outcome::Signed(_)));
    }
    own.assert_nothing_is_left();
}

#[test]
fn an_order_that_is_carried_out_leaves_nothing_in_freed_memory() {
    let mut own = Recorded::registered();
    let mut next = own.world.configuration.clone();
    next.breaker += 1;
    let order = order(&own.world, &next);
    own.boot_with_order(&next, &order, |_| {});
    own.take_over(&next);
    assert_eq!(own.verify("135790"), Outcome::PinVerified);
    own.assert_nothing_is_left();
}

#[test]
fn an_order_that_is_refused_leaves_nothing_in_freed_memory() {
    let mut own = Recorded::registered();
    own.note_roots_salt();
    let mut next = own.world.configuration.clone();
    next.breaker += 1;
    let honest = order(&own.world, &next);
    own.boot_with_order(&next, &honest, |signed| signed.mac.0[0] ^= 1);
    assert_eq!(halt(&own.world), Some(Halt::OrderRefused), "another MAC");
    let elsewhere = Order { checkpoint: Hash32([1; 32]), ..honest };
    own.boot_with_order(&next, &elsewhere, |_| {});
    assert_eq!(halt(&own.world), Some(Halt::OrderRefused), "another state");
    own.assert_nothing_is_left();
}

#[test]
fn a_boot_that_fails_after_the_root_was_opened_leaves_nothing_in_freed_memory() {
    let mut own = Recorded::registered();
    own.note_roots_salt();
    let whole = own.world.disk.clone();
    let note = whole.note.len();
    for (wanted, spoil) in [
        (Halt::CheckpointInvalid, Box::new(|disk: &mut Disk| disk.note[note / 2] ^= 1) as Box<dyn Fn(&mut Disk)>),
        (Halt::AnchorMissing, Box::new(|disk| disk.anchored.clear())),
        (Halt::StateMismatch, Box::new(|disk| disk.records.clear())),
    ] {
        spoil(&mut own.world.disk);
        own.world.boot();
        assert_eq!(halt(&own.world), Some(wanted));
        own.world.disk = whole.clone();
    }
    own.assert_nothing_is_left();
}

#[test]
fn a_restore_and_its_acceptance_leave_nothing_in_freed_memory() {
    let mut own = Recorded::registered();
    let same = own.world.configuration.clone();
    let order = Order { restores: Some(1), ..order(&own.world, &same) };
    own.boot_with_order(&same, &order, |_| {});
    own.take_over(&same);
    assert_eq!(own.verify("135790"), Outcome::Refused(Refusal::StateRestored));
    let accept = |own: &mut Recorded| own.run(Method::AcceptRestore, |_, _| Request::AcceptRestore { restores: 1 });
    assert_eq!(accept(&mut own), Outcome::RestoreAccepted);
    assert!(matches!(own.sign("135790", message()), Outcome::Signed(_)));
    own.assert_nothing_is_left();
}

#[test]
fn an_enclave_that_writes_a_tpm_leaves_nothing_in_freed_memory() {
    let mut own = Recorded::registered_in_tpm();
    assert!(matches!(own.sign("135790", message()), Outcome::Signed(_)));
    own.world.boot();
    assert_eq!(own.verify("135790"), Outcome::PinVerified);
    own.assert_nothing_is_left();
}

/// No secret, but nobody else's business either. Where it is asked for, and where a device is enrolled, it passes through a message.
#[test]
fn a_devices_label_in_a_record_leaves_nothing_in_freed_memory() {
    let mut own = Recorded::registered();
    own.also.push(("label".into(), LABEL.as_bytes().to_vec()));
    assert_eq!(own.verify("135790"), Outcome::PinVerified);
    assert_eq!(own.verify("000000"), Outcome::WrongPin);
    own.assert_nothing_is_left();
}

#[test]
fn every_other_operation_leaves_nothing_in_freed_memory() {
    let mut own = Recorded::registered();
    assert_eq!(own.verify("135790"), Outcome::PinVerified);
    let clear =
        |own: &Recorded, begin: &BeginReply| Request::ClearTries { pin: own.factor("135790", &begin.current.unwrap()) };
    assert_eq!(own.run(Method::ClearTries, clear), Outcome::TriesCleared);
    let change = own.run(Method::ChangePinPrepare, |own, begin| Request::ChangePinPrepare {
        pin: own.factor("135790", &begin.current.unwrap()),
        new_pin: own.factor("246802", &begin.next),
    });
    assert_eq!(change, Outcome::Prepared);
    let confirm = own.run(Method::ChangePinConfirm, |own, begin| Request::ChangePinConfirm {
        pin: own.factor("246802", &begin.pending.unwrap()),
    });
    assert_eq!(confirm, Outcome::PinChanged);
    let laptop = core::mem::replace(&mut own.client, Client::new("ada"));
    let enrol = own.run(Method::EnrolDevice, |own, begin| Request::EnrolDevice {
        pin: own.factor("246802", &begin.current.unwrap()),
        label: "phone".into(),
    });
    assert_eq!(enrol, Outcome::DeviceEnrolled);
    let revoke = own.run(Method::RevokeDevice, |own, begin| Request::RevokeDevice {
        pin: own.factor("246802", &begin.current.unwrap()),
        device: laptop.device(),
    });
    assert_eq!(revoke, Outcome::DeviceRevoked);
    assert!(matches!(own.run(Method::Status, |_, _| Request::Status), Outcome::Status(_)));
    own.assert_nothing_is_left();
}

#[test]
fn a_wrong_pin_leaves_nothing_in_freed_memory() {
    let mut own = Recorded::registered();
    assert_eq!(own.verify("000000"), Outcome::WrongPin);
    assert_eq!(own.sign("000001", message()), Outcome::WrongPin);
    own.assert_nothing_is_left();
}

#[test]
fn a_refused_request_leaves_nothing_in_freed_memory() {
    let mut own = Recorded::registered();
    let (account, chain) = (AccountIndex::default(), ChainId(1));
    let garbage = vec![Intent::EvmTransaction { account, chain, unsigned: vec![1, 2, 3].into() }];
    assert_eq!(own.sign("135790", garbage), Outcome::Refused(Refusal::IntentInvalid));
    let again = own.prepare(Method::VerifyPin, |own, begin| Request::VerifyPin {
        pin: own.factor("135790", &begin.current.unwrap()),
    });
    assert_eq!(own.submit(&again), Some(Outcome::PinVerified));
    assert_eq!(own.submit(&again), Some(Outcome::Refused(Refusal::AlreadyAnswered)));
    for _ in 0..3 {
        assert_eq!(own.verify("000000"), Outcome::WrongPin);
    }
    assert_eq!(own.verify("135790"), Outcome::Refused(Refusal::Delayed));
    own.assert_nothing_is_left();
}

#[test]
fn a_damaged_record_leaves_nothing_in_freed_memory() {
    let mut own = Recorded::registered();
    let prepared = own.prepare(Method::VerifyPin, |own, begin| Request::VerifyPin {
        pin: own.factor("135790", &begin.current.unwrap()),
    });
    let wallet: UserIdHash = prepared.wallet;
    let whole = own.world.disk.records[&wallet].1.clone();
    let outer = &mut own.world.disk.records.get_mut(&wallet).unwrap().1;
    let middle = outer.len() / 2;
    outer[middle] ^= 1;
    assert_eq!(own.submit(&prepared), Some(Outcome::Refused(Refusal::RecordDamaged)));
    own.world.disk.records.get_mut(&wallet).unwrap().1 = whole;
    own.assert_nothing_is_left();
}

#[test]
fn an_envelope_that_was_changed_leaves_nothing_in_freed_memory() {
    let mut own = Recorded::registered();
    let mut prepared = own.prepare(Method::VerifyPin, |own, begin| Request::VerifyPin {
        pin: own.factor("135790", &begin.current.unwrap()),
    });
    let length = prepared.request.ciphertext.len();
    for place in [0, length / 2, length - 1] {
        let mut bytes = prepared.request.ciphertext.to_vec();
        bytes[place] ^= 1;
        let whole = core::mem::replace(&mut prepared.request.ciphertext, bytes.into());
        assert_eq!(own.submit(&prepared), None);
        prepared.request.ciphertext = whole;
    }
    // Opens, but another device signed it.
    let stranger = Client::new("ada");
    let begin = own.world.begin(&own.client, Method::VerifyPin).unwrap();
    let token = own.world.token("ada", &own.client.device(), 600);
    let request = Request::VerifyPin { pin: own.factor("135790", &begin.current.unwrap()) };
    let device = core::mem::replace(&mut own.client, stranger);
    let forged = own.client.seal(&own.world, &begin, token, request);
    assert_eq!(own.submit(&forged), Some(Outcome::Refused(Refusal::DeviceInvalid)));
    own.client = device;
    own.assert_nothing_is_left();
}

#[test]
fn a_batch_that_was_not_stored_leaves_nothing_in_freed_memory() {
    let mut own = Recorded::registered();
    own.world.fates = vec![Fate::Abort];
    assert_eq!(own.sign("135790", message()), Outcome::Refused(Refusal::NotDurable));
    own.world.fates = vec![Fate::Commit, Fate::Abort];
    assert_eq!(own.sign("135790", message()), Outcome::ServiceFault);
    own.assert_nothing_is_left();
}

#[test]
fn an_enclave_that_ends_under_a_request_leaves_nothing_in_freed_memory() {
    for (fates, stop) in [
        (vec![Fate::LoseUnstored], None),
        (vec![Fate::Commit, Fate::LoseAnchored], None),
        (vec![Fate::LoseUnstored], Some(())),
    ] {
        let mut own = Recorded::registered();
        own.world.fates = fates;
        let prepared = own.prepare(Method::Sign, |own, begin| Request::Sign {
            pin: own.factor("135790", &begin.current.unwrap()),
            intents: message(),
        });
        assert_eq!(own.submit(&prepared), None);
        if stop.is_some() {
            // A receipt for another checkpoint: the enclave stops itself.
            own.world.send(ToEnclave::Committed {
                batch: BatchId(4),
                receipt: b"another".to_vec().into(),
                nonce: None,
            });
            assert!(own.world.halted.is_some());
        }
        own.assert_nothing_is_left();
    }
}
