//! The enclave's memory after every kind of answer: nothing of a PIN, a seed or a key of a wallet is left in it.

use std::collections::BTreeSet;

use alloy_primitives::U256;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, OpModeS, Serializable as _};
use minicbor::bytes::ByteVec;
use pinseal_chains::evm::transaction::{Kind, Transaction};
use pinseal_client::intents::{personal_message, typed_data};
use pinseal_client::operation::Words;
use pinseal_protocol::intent::{AccountIndex, ChainId, EvmAddress, Intent};
use pinseal_protocol::manifest::HpkePublic;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{BeginReply, Method, Request};
use pinseal_protocol::wire::ToEnclave;

use super::memory::{self, Found, may_read_anything};
use super::net::{Catch, Net};
use super::opened::Root;
use super::registers;
use super::secrets::{Secret, p256, token};
use crate::system::device::{Device, new_pin, pin};
use crate::system::enclave::{PASSPHRASE, Surroundings};
use crate::system::raw::{Sealed, factor};
use crate::system::{App, System};

/// Eight digits, so that no count and no part of a second looks like it.
pub(super) const PIN: &str = "48291573";
const NEW_PIN: &str = "73916428";
const WRONG_PIN: &str = "48291574";
const EMAIL: &str = "canary@example.org";

/// A system whose secrets are known.
pub(super) struct Watched {
    system: System,
    app: App,
    device: Device,
    root: Root,
    /// Everything that must be gone by now.
    secrets: Vec<Secret>,
}

/// What was seen of an idle enclave.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) memory: Vec<Found>,
    pub(super) registers: Vec<Catch>,
}

impl Seen {
    fn is_clean(&self) -> bool {
        self.memory.is_empty() && self.registers.is_empty()
    }

    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.memory.iter().map(|found| found.catch.secret.as_str()).collect()
    }
}

impl Watched {
    /// Somebody with a session, before there is a wallet. `keep` is what the enclave is told to keep, for the proof that it is found.
    pub(super) async fn start(keep: Option<&str>) -> Self {
        let mut surroundings = if may_read_anything() { Surroundings::default() } else { left_dumpable() };
        surroundings.environment.extend(keep.map(|what| ("PINSEAL_KEEP_SECRETS", what.to_owned())));
        Self::start_in(surroundings).await
    }

    async fn start_in(surroundings: Surroundings) -> Self {
        let system = System::start_with(surroundings).await;
        let app = system.app("Canary");
        let device = Device::new(&system, &app);
        system.sign_up(&device, EMAIL).await;
        device.log_in(EMAIL).await;
        let root = Root::open(system.directory(), PASSPHRASE);
        let passphrase = Secret::text("sealing passphrase", core::str::from_utf8(PASSPHRASE).unwrap());
        let secrets = [vec![passphrase, p256("device key", &device.key)], root.secrets()].concat();
        Self { system, app, device, root, secrets }
    }

    /// Notes what the wallet's newest record opens to.
    pub(super) fn note_wallet(&mut self, pin: &str) {
        self.note(self.root.wallet(&self.system.database(), pin));
        self.note(vec![Secret::short("PIN", pin)]);
    }

    fn note(&mut self, secrets: Vec<Secret>) {
        self.secrets.extend(secrets);
        self.secrets.sort_by(|a, b| (&a.name, &a.bytes).cmp(&(&b.name, &b.bytes)));
        self.secrets.dedup_by(|a, b| (&a.name, &a.bytes) == (&b.name, &b.bytes));
    }

    /// Looks for everything that was noted.
    pub(super) async fn look(&mut self) -> Seen {
        let session = self.device.client.profile().await.unwrap().session.unwrap();
        self.note(token("access token", session.access_token.expose_secret()));
        let (net, fine) = (Net::new(&self.secrets), Net::fine(&self.secrets));
        let pid = self.system.enclave_pid();
        tokio::task::spawn_blocking(move || {
            memory::wait_until_idle(pid);
            let registers = registers::search(pid, &fine);
            Seen { memory: memory::search(pid, &net), registers }
        })
        .await
        .unwrap()
    }

    async fn assert_clean(&mut self, after: &str) {
        let seen = self.look().await;
        assert!(seen.is_clean(), "after {after}: {seen:#?}");
    }

    fn factor(&self, text: &str, begin: &BeginReply) -> pinseal_protocol::pin::PinFactor {
        let parameters = begin.current.as_ref().expect("there is a PIN");
        factor(text, parameters, &self.system.configuration.deployment, &begin.wallet)
    }

    /// Seals a request by hand, and notes what only its two ends know.
    async fn seal(
        &mut self,
        method: Method,
        text: &str,
        request: impl FnOnce(pinseal_protocol::pin::PinFactor) -> Request,
    ) -> Sealed {
        let manifest = self.system.manifest();
        let mut noted = Vec::new();
        let sealed = self
            .device
            .prepare(&manifest, method, |begin| {
                let factor = self.factor(text, begin);
                noted.push(Secret::bytes(format!("factor of {text}"), factor.expose_secret()));
                request(factor)
            })
            .await;
        noted.extend(exported(&manifest.hpke, &sealed));
        noted.extend(token("storage token", &sealed.storage_token));
        self.note(noted);
        sealed
    }

    async fn sign_by_hand(&mut self, intent: Intent) -> Outcome {
        let sealed = self.seal(Method::Sign, PIN, |pin| Request::Sign { pin, intents: vec![intent] }).await;
        let answer = self.device.send(&sealed).await;
        sealed.outcome(&answer)
    }

    pub(super) async fn register(&mut self) {
        let attested = self.device.attest().await;
        attested.register_prepare(&new_pin(PIN), Words::TwentyFour, "canary").await.unwrap();
        self.note_wallet(PIN);
    }

    pub(super) async fn confirm(&mut self) {
        self.device.attest().await.register_confirm(&pin(PIN)).await.unwrap();
        self.note_wallet(PIN);
    }

    pub(super) async fn sign(&mut self) {
        let outcome = self.sign_by_hand(message()).await;
        assert!(matches!(outcome, Outcome::Signed(_)), "{outcome:?}");
        self.note_wallet(PIN);
    }
}

/// An enclave that its equals may read.
fn left_dumpable() -> Surroundings {
    Surroundings {
        arguments: ["--allow-missing", "not_dumpable"].map(str::to_owned).to_vec(),
        environment: vec![("PINSEAL_FAULT", memory::STAY_DUMPABLE.to_owned())],
    }
}

fn message() -> Intent {
    personal_message(AccountIndex::new(1).unwrap(), b"a canary sings")
}

/// One of every kind, which is signed.
fn every_kind_of_intent() -> [Intent; 4] {
    let (account, chain, address) = (AccountIndex::new(1).unwrap(), ChainId(1), EvmAddress([0x11; 20]));
    let transaction = Transaction {
        chain,
        nonce: 7,
        gas_limit: 21_000,
        to: Some(address),
        value: U256::from(1_000_000_007_u64),
        input: Vec::new(),
        kind: Kind::Legacy { gas_price: 30_000_000_000 },
    };
    let typed = r#"{"types": {"EIP712Domain": [{"name": "chainId", "type": "uint256"}], "Note": [{"name": "text", "type": "string"}]},
        "primaryType": "Note", "domain": {"chainId": 1}, "message": {"text": "a canary sings"}}"#;
    [
        message(),
        Intent::EvmTransaction { account, chain, unsigned: transaction.encode_unsigned().unwrap().into() },
        Intent::EvmAuthorization { account, chain, address, nonce: 7 },
        typed_data(account, chain, typed).unwrap(),
    ]
}

/// The exporter's secrets of one request, as its client has them; by another implementation than the enclave's.
fn exported(recipient: &HpkePublic, sealed: &Sealed) -> Vec<Secret> {
    type Public = <X25519HkdfSha256 as hpke::Kem>::PublicKey;
    let info = [b"pinseal request v1\0".as_slice(), &sealed.request.header.manifest.0].concat();
    let public = Public::from_bytes(&recipient.0).unwrap();
    let mut rng = sealed.ephemeral.clone();
    let (sent, context) = hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        &info,
        &mut rng,
    )
    .unwrap();
    assert_eq!(sent.to_bytes().as_slice(), sealed.request.enc.0, "this is another request's envelope");
    let export = |label: &str| {
        let mut out = [0; 32];
        context.export(label.as_bytes(), &mut out).unwrap();
        Secret::bytes(label, &out)
    };
    vec![export("pinseal reply v1"), export("pinseal reply salt v1")]
}

/// A change of the record as the host hands it over.
fn damage(message: &mut ToEnclave) {
    if let ToEnclave::Sealed { outer: Some(outer), .. } = message {
        let mut bytes = outer.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        *outer = bytes.into();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_wallet_is_left_in_the_enclave_after_any_answer() {
    let mut watched = Watched::start(None).await;
    watched.assert_clean("boot and login").await;
    watched.register().await;
    watched.assert_clean("a prepared registration").await;
    watched.confirm().await;
    watched.assert_clean("a registration").await;
    for intent in every_kind_of_intent() {
        let outcome = watched.sign_by_hand(intent).await;
        assert!(matches!(outcome, Outcome::Signed(_)), "{outcome:?}");
        watched.note_wallet(PIN);
        watched.assert_clean("a signature").await;
    }

    let sealed = watched.seal(Method::VerifyPin, WRONG_PIN, |pin| Request::VerifyPin { pin }).await;
    let answer = watched.device.send(&sealed).await;
    assert_eq!(sealed.outcome(&answer), Outcome::WrongPin);
    watched.note_wallet(PIN);
    watched.assert_clean("a wrong PIN").await;
    watched.device.attest().await.clear_tries(&pin(PIN)).await.unwrap();
    watched.note_wallet(PIN);
    watched.assert_clean("a clear of the tries").await;

    let other = watched.system.further_device(&watched.app, EMAIL).await;
    other.attest().await.enrol_device(&pin(PIN), "another").await.unwrap();
    watched.note_wallet(PIN);
    watched.note(vec![p256("device key of a second device", &other.key)]);
    watched.assert_clean("an enrolment").await;
    watched.device.attest().await.revoke_device(&pin(PIN), other.id()).await.unwrap();
    watched.note_wallet(PIN);
    watched.assert_clean("a revocation").await;

    let garbage = Intent::EvmTransaction {
        account: AccountIndex::default(),
        chain: ChainId(1),
        unsigned: ByteVec::from(b"no transaction".to_vec()),
    };
    assert_eq!(watched.sign_by_hand(garbage).await, Outcome::Refused(Refusal::IntentInvalid));
    watched.assert_clean("a refused intent").await;

    refused_for_its_device(&mut watched).await;
    watched.assert_clean("a request of another device").await;
    watched.system.wire.change_to_enclave(damage);
    assert_eq!(watched.sign_by_hand(message()).await, Outcome::Refused(Refusal::RecordDamaged));
    watched.system.wire.honest();
    watched.assert_clean("a damaged record").await;

    for (batch, outcome) in [(1, Outcome::Refused(Refusal::NotDurable)), (2, Outcome::ServiceFault)] {
        let sealed = watched.seal(Method::Sign, PIN, |pin| Request::Sign { pin, intents: vec![message()] }).await;
        watched.system.disk.refuse(batch);
        let answer = watched.device.send(&sealed).await;
        assert_eq!(sealed.outcome(&answer), outcome);
        assert!(watched.system.disk.has_refused());
        watched.note_wallet(PIN);
        watched.assert_clean("an aborted batch").await;
    }

    watched.device.attest().await.change_pin_prepare(&pin(PIN), &new_pin(NEW_PIN)).await.unwrap();
    watched.note_wallet(PIN);
    watched.assert_clean("a prepared change of the PIN").await;
    watched.device.attest().await.change_pin_confirm(&pin(NEW_PIN)).await.unwrap();
    watched.note_wallet(NEW_PIN);
    watched.assert_clean("a change of the PIN").await;
    // The root is unsealed again, and a wallet is asked for without a PIN.
    watched.system.restart_enclave().await;
    watched.device.attest().await.list_accounts(&[AccountIndex::default()]).await.unwrap();
    watched.assert_clean("a restart").await;
}

/// A right PIN and a login of somebody's, under the key of a device it is not bound to.
async fn refused_for_its_device(watched: &mut Watched) {
    let other = watched.system.further_device(&watched.app, EMAIL).await;
    let (begin, storage_token) = watched.device.begin(Method::VerifyPin).await;
    let pin = watched.factor(PIN, &begin);
    let manifest = watched.system.manifest();
    let session = watched.device.session().await;
    let access_token = session.access_token.expose_secret();
    let sealed =
        other.seal_with(&manifest, begin, storage_token.clone(), access_token, Request::VerifyPin { pin }).await;
    let reply = watched.system.hand_on(&storage_token, &sealed.request).await;
    assert_eq!(sealed.outcome_of(&reply), Outcome::Refused(Refusal::DeviceInvalid));
    let mut noted = exported(&manifest.hpke, &sealed);
    noted.push(p256("device key of another device", &other.key));
    watched.note(noted);
}

/// What the enclave keeps by design lies in locked memory that no core image would hold, and nowhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_enclaves_own_keys_lie_in_locked_memory_that_is_never_dumped() {
    let mut watched = Watched::start(None).await;
    watched.register().await;
    watched.confirm().await;
    watched.sign().await;
    watched.secrets = watched.root.long_lived();
    let seen = watched.look().await;
    for secret in watched.root.long_lived() {
        assert!(seen.names().contains(secret.name.as_str()), "{} is not found: {seen:#?}", secret.name);
    }
    let outside: Vec<_> = seen.memory.iter().filter(|found| !found.is_locked || found.is_dumped).collect();
    assert!(outside.is_empty() && seen.registers.is_empty(), "{outside:#?} {:#?}", seen.registers);
    let pid = watched.system.enclave_pid();
    assert!(super::core::has_no_room(pid), "the enclave can leave a core image");
    let refused = memory::as_an_equal(move || std::fs::File::open(format!("/proc/{pid}/mem")).map(drop));
    let is_refused = refused.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    assert!(is_refused || !may_read_anything(), "a process of the same user can read the enclave");
    // Neither its command line nor its environment holds anything.
    let net = Net::new(&[watched.secrets.clone(), watched.root.secrets()].concat());
    for file in ["cmdline", "environ"] {
        let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
        assert!(net.search(&text).is_empty(), "{file}");
    }
}

/// What a test without root's rights does: it reads an enclave that was left dumpable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enclave_left_dumpable_is_open_to_its_equals() {
    let watched = Watched::start_in(left_dumpable()).await;
    let (pid, net) = (watched.system.enclave_pid(), Net::new(&watched.root.long_lived()));
    let found = memory::as_an_equal(move || {
        memory::wait_until_idle(pid);
        memory::search(pid, &net)
    });
    assert!(!found.is_empty());
}
