//! A data directory, an enclave in a thread, a login service, and clients that seal for real.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use pinseal_anchor::{Anchor, FileAnchor, FileHook};
use pinseal_enclave::{Enclave, Environment, Identity, LockedBytes, Passphrase};
use pinseal_host::{BeginAnswer, BootError, CallError, Clock, CreateError, Parts, Trunk, create};
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::{AnchorLevel, CONFIGURATION_VERSION, Configuration, Issuer, Policy};
use pinseal_protocol::envelope::{self, ReplyOpener};
use pinseal_protocol::ids::{DeploymentId, DeviceId, Measurement, RequestId, UnixSeconds, UserIdHash};
use pinseal_protocol::kdf;
use pinseal_protocol::limits::BREAKER_DEFAULT;
use pinseal_protocol::manifest::Manifest;
use pinseal_protocol::pin::{Argon2Parameters, PinFactor, PinParameters};
use pinseal_protocol::reply::{Outcome, Reply, SealedReply, Status};
use pinseal_protocol::request::{
    BeginReply, Body, Method, REQUEST_VERSION, Request, RequestHeader, SealedRequest, Suite,
};
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{
    self, AccessClaims, AccessToken, P256Public, StorageClaims, StorageKey, StorageToken, token_hash,
};
use pinseal_protocol::wire;
use pinseal_store::deployment::Deployment;
use pinseal_store::records::Records;
use pinseal_store::vault::{Vault, storage_audience};
use pinseal_store::{CommitHook, Sqlite};
use zeroize::Zeroizing;

/// Longest wait for an answer: far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);
pub const PASSPHRASE: &[u8] = b"correct horse battery staple";
const ISSUER: &str = "https://wallet.test";

fn storage_key() -> StorageKey {
    StorageKey::new(&SecretBytes::take(&mut [0x57; 32]))
}

/// A clock the test moves.
#[derive(Default)]
pub struct TestClock(AtomicU64);

impl TestClock {
    pub fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(1_800_000_000 + self.0.load(Ordering::SeqCst))
    }
}

struct SystemRandom;

impl Environment for SystemRandom {
    fn fill_random(&mut self, out: &mut [u8]) {
        getrandom::fill(out).unwrap();
    }

    fn fill_second_random(&mut self, out: &mut [u8]) {
        getrandom::fill(out).unwrap();
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

/// One life of the enclave in a thread; ends with the connection.
pub fn enclave(passphrase: &[u8]) -> UnixStream {
    let (host, mut stream) = UnixStream::pair().unwrap();
    let passphrase = Passphrase::new(Zeroizing::new(passphrase.to_vec()));
    let identity = Identity { measurement: Measurement([9; 32]), release: "test".into(), hardening: Vec::new() };
    std::thread::spawn(move || {
        let mut enclave = Enclave::new(passphrase, identity);
        stream.write_all(&wire::frame(&enclave.hello()).unwrap()).ok()?;
        while !enclave.is_halted() {
            let mut prefix = [0; 4];
            stream.read_exact(&mut prefix).ok()?;
            let mut body = vec![0; wire::frame_length(prefix).unwrap()];
            stream.read_exact(&mut body).ok()?;
            for frame in enclave.step(wire::parse(&body).unwrap(), &mut SystemRandom) {
                stream.write_all(&wire::frame(&frame).unwrap()).ok()?;
            }
        }
        Some(())
    });
    host
}

/// What a test hooks into.
#[derive(Default, Clone)]
pub struct Hooks {
    pub commit: Option<Arc<dyn CommitHook>>,
    pub anchor: Option<Arc<dyn FileHook>>,
}

/// Everything but the processes.
pub struct World {
    pub directory: PathBuf,
    pub clock: Arc<TestClock>,
    pub configuration: Configuration,
    issuer: EcdsaKeyPair,
    pkcs8: Vec<u8>,
    tokens: AtomicU64,
    _temporary: Option<tempfile::TempDir>,
}

impl World {
    /// An empty data directory.
    pub fn empty() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let pkcs8 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let pkcs8 = pkcs8.to_pkcs8v1().unwrap().as_ref().to_vec();
        Self { _temporary: Some(temporary), ..Self::over(Path::new(""), pkcs8) }.moved()
    }

    fn moved(mut self) -> Self {
        self.directory = self._temporary.as_ref().unwrap().path().to_owned();
        self
    }

    /// A data directory another process uses too, with its login service's key.
    pub fn over(directory: &Path, pkcs8: Vec<u8>) -> Self {
        let issuer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap();
        let deployment = DeploymentId([7; 16]);
        let configuration = Configuration {
            version: CONFIGURATION_VERSION,
            deployment,
            issuers: vec![Issuer {
                issuer: ISSUER.into(),
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
        Self {
            directory: directory.to_owned(),
            clock: Arc::default(),
            configuration,
            issuer,
            pkcs8,
            tokens: AtomicU64::new(u64::from(std::process::id()) << 32),
            _temporary: None,
        }
    }

    /// A complete deployment, not booted.
    pub fn new() -> Self {
        let world = Self::empty();
        world.create().unwrap();
        world
    }

    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    pub fn database(&self) -> PathBuf {
        self.directory.join("pinseal.db")
    }

    pub fn anchor_path(&self) -> PathBuf {
        self.directory.join("anchor.note")
    }

    pub fn deployment(&self) -> Deployment {
        Deployment::open(&self.directory).unwrap()
    }

    pub fn sqlite(&self) -> Sqlite {
        Sqlite::open(&self.database()).unwrap()
    }

    pub fn records(&self) -> Records {
        Records::new(self.sqlite())
    }

    pub fn anchor(&self) -> FileAnchor {
        FileAnchor::new(&self.anchor_path())
    }

    pub fn create(&self) -> Result<(), CreateError> {
        create(
            enclave(PASSPHRASE),
            &self.deployment(),
            &self.records(),
            &mut self.anchor(),
            &self.configuration,
            &*self.clock,
        )
    }

    pub fn parts(&self, hooks: Hooks) -> Parts {
        let sqlite = self.sqlite();
        let anchor: Box<dyn Anchor> = match hooks.anchor {
            Some(hook) => Box::new(FileAnchor::with_hook(&self.anchor_path(), hook)),
            None => Box::new(self.anchor()),
        };
        let issuer = self.configuration.issuers[0].clone();
        Parts {
            deployment: self.deployment(),
            records: match hooks.commit {
                Some(hook) => Records::with_hook(sqlite, hook),
                None => Records::new(sqlite),
            },
            anchor,
            vault: Arc::new(Vault::new(issuer, storage_key(), &self.configuration.deployment)),
            configuration: self.configuration.clone(),
            clock: self.clock.clone(),
        }
    }

    pub fn boot(&self) -> Result<Trunk, BootError> {
        self.boot_with(Hooks::default())
    }

    pub fn boot_with(&self, hooks: Hooks) -> Result<Trunk, BootError> {
        Trunk::start(enclave(PASSPHRASE), self.parts(hooks))
    }

    pub fn access_token(&self, client: &Client) -> AccessToken {
        let now = self.clock.now().0;
        let claims = AccessClaims {
            iss: ISSUER.into(),
            aud: self.configuration.deployment.to_string(),
            sub: client.user.clone(),
            sid: "s".into(),
            app: "a".into(),
            jti: "t".into(),
            iat: now,
            exp: now + 600,
            cnf: AccessClaims::confirmation(&client.device()),
        };
        token::sign(token::ACCESS_TYP, &claims, &self.issuer).unwrap().into()
    }

    pub fn storage_token(&self, wallet: &UserIdHash, method: Method) -> StorageToken {
        let now = self.clock.now().0;
        let claims = StorageClaims {
            iss: ISSUER.into(),
            aud: storage_audience(&self.configuration.deployment),
            wallet: wallet.to_string(),
            operation: method.name().into(),
            jti: self.tokens.fetch_add(1, Ordering::SeqCst).to_string(),
            iat: now,
            exp: now + 600,
        };
        StorageToken::new(storage_key().sign(&claims).unwrap())
    }
}

/// Waits for the answer of a call.
pub fn wait<T: Send + 'static>(call: impl FnOnce(Box<dyn FnOnce(T) + Send>)) -> T {
    let (done, answer) = sync_channel(1);
    call(Box::new(move |value| drop(done.send(value))));
    answer.recv_timeout(PATIENCE).unwrap()
}

/// The manifest of the boot.
pub fn manifest(trunk: &Trunk) -> Manifest {
    cbor::from_slice(&trunk.status().manifest).unwrap()
}

/// A person's device.
pub struct Client {
    pub user: String,
    key: EcdsaKeyPair,
    pub receipt: Option<Vec<u8>>,
}

/// A request ready to be sent, as often as one likes.
pub struct Prepared {
    pub wallet: UserIdHash,
    pub token: StorageToken,
    pub request: SealedRequest,
    pub opener: ReplyOpener,
}

pub fn factor(pin: &str, parameters: &PinParameters) -> PinFactor {
    PinFactor::new(SecretBytes::take(&mut kdf::hash("test pin", &[pin.as_bytes(), &parameters.salt.0]).0))
}

impl Prepared {
    pub fn send(&self, trunk: &Trunk) -> Result<SealedReply, CallError> {
        wait(|done| trunk.sealed(&self.token, &self.wallet, self.request.clone(), done))
    }
}

impl Client {
    pub fn new(user: &str) -> Self {
        Self::with_key(user, &Self::fresh_key())
    }

    pub fn fresh_key() -> Vec<u8> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        key.to_pkcs8v1().unwrap().as_ref().to_vec()
    }

    pub fn with_key(user: &str, pkcs8: &[u8]) -> Self {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).unwrap();
        Self { user: user.into(), key, receipt: None }
    }

    pub fn device(&self) -> DeviceId {
        P256Public::of(&self.key).thumbprint()
    }

    pub fn begin(&self, world: &World, trunk: &Trunk, method: Method) -> Result<BeginReply, CallError> {
        let access_token = world.access_token(self);
        let BeginAnswer { wallet, reply } = wait(|done| trunk.begin(access_token, method, None, done))?;
        let manifest = manifest(trunk);
        let reply = reply.verify(&manifest.boot, &manifest.hash(), &self.device(), method).unwrap();
        assert_eq!(reply.wallet, wallet);
        Ok(reply)
    }

    pub fn prepare(
        &self,
        world: &World,
        trunk: &Trunk,
        method: Method,
        request: impl FnOnce(&BeginReply) -> Request,
    ) -> Result<Prepared, CallError> {
        let begin = self.begin(world, trunk, method)?;
        let manifest = manifest(trunk);
        let access_token = world.access_token(self);
        let mut id = [0; 16];
        getrandom::fill(&mut id).unwrap();
        let size = |note: &Vec<u8>| Checkpoint::read_unverified(note).unwrap().size;
        let header = RequestHeader {
            version: REQUEST_VERSION,
            suite: Suite::X25519Aes256Gcm,
            manifest: manifest.hash(),
            method,
            request: RequestId(id),
            challenge: begin.challenge.clone(),
            token: token_hash(access_token.expose_secret()),
            device: self.device(),
            receipt_size: self.receipt.as_ref().map_or(0, size),
        };
        let body = Body {
            access_token,
            device_key: P256Public::of(&self.key),
            receipt: self.receipt.clone().map(Into::into),
            request: request(&begin),
        };
        let sign = |message: &[u8]| {
            self.key.sign(&aws_lc_rs::rand::SystemRandom::new(), message).ok()?.as_ref().try_into().ok()
        };
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let (request, opener) = envelope::seal(&manifest.hpke, header, &body, &mut rng, sign).unwrap();
        let token = world.storage_token(&begin.wallet, method);
        Ok(Prepared { wallet: begin.wallet, token, request, opener })
    }

    /// Opens a reply, verifies and keeps the receipt.
    pub fn open(&mut self, world: &World, trunk: &Trunk, prepared: &Prepared, reply: &SealedReply) -> Reply {
        let reply = prepared.opener.open(reply).unwrap();
        Checkpoint::verify(&reply.receipt, &world.configuration.deployment, &manifest(trunk).log).unwrap();
        self.receipt = Some(reply.receipt.to_vec());
        reply
    }

    pub fn run(
        &mut self,
        world: &World,
        trunk: &Trunk,
        method: Method,
        request: impl FnOnce(&BeginReply) -> Request,
    ) -> Result<Outcome, CallError> {
        let prepared = self.prepare(world, trunk, method, request)?;
        let reply = prepared.send(trunk)?;
        Ok(self.open(world, trunk, &prepared, &reply).outcome)
    }

    pub fn register_prepare(&mut self, world: &World, trunk: &Trunk, pin: &str) -> Result<Outcome, CallError> {
        self.run(world, trunk, Method::RegisterPrepare, |begin| Request::RegisterPrepare {
            pin: factor(pin, &begin.next),
            words: 12,
            label: "laptop".into(),
        })
    }

    pub fn register_confirm(&mut self, world: &World, trunk: &Trunk, pin: &str) -> Result<Outcome, CallError> {
        self.run(world, trunk, Method::RegisterConfirm, |begin| Request::RegisterConfirm {
            pin: factor(pin, &begin.pending.unwrap()),
        })
    }

    pub fn register(&mut self, world: &World, trunk: &Trunk, pin: &str) -> Outcome {
        assert_eq!(self.register_prepare(world, trunk, pin).unwrap(), Outcome::Prepared);
        self.register_confirm(world, trunk, pin).unwrap()
    }

    pub fn prepare_verify(&self, world: &World, trunk: &Trunk, pin: &str) -> Result<Prepared, CallError> {
        self.prepare(world, trunk, Method::VerifyPin, |begin| Request::VerifyPin {
            pin: factor(pin, &begin.current.unwrap()),
        })
    }

    pub fn verify(&mut self, world: &World, trunk: &Trunk, pin: &str) -> Result<Outcome, CallError> {
        Ok(self.verify_reply(world, trunk, pin)?.outcome)
    }

    pub fn verify_reply(&mut self, world: &World, trunk: &Trunk, pin: &str) -> Result<Reply, CallError> {
        let prepared = self.prepare_verify(world, trunk, pin)?;
        let reply = prepared.send(trunk)?;
        Ok(self.open(world, trunk, &prepared, &reply))
    }

    pub fn status(&mut self, world: &World, trunk: &Trunk) -> Status {
        match self.run(world, trunk, Method::Status, |_| Request::Status).unwrap() {
            Outcome::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    pub fn outstanding(&mut self, world: &World, trunk: &Trunk) -> u8 {
        self.status(world, trunk).outstanding
    }
}
