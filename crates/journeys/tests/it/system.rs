//! A whole system under test: the hardened enclave process, the host's trunk over SQLite and a file anchor, the HTTP server on a
//! loopback socket, and clients. Only time is the test's, and two places where a hostile host would sit: the HTTP connection
//! ([`between`]) and the socket to the enclave ([`wire`]).

pub(crate) mod between;
pub(crate) mod clock;
pub(crate) mod device;
pub(crate) mod enclave;
mod full;
mod networks;
pub(crate) mod raw;
pub(crate) mod wire;

/// The very seam that `pinseal serve` puts between server and trunk.
#[path = "../../../cli/src/serve/wallets.rs"]
mod wallets;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};

use pinseal_anchor::FileAnchor;
use pinseal_client::SecretText;
use pinseal_host::{BootError, Parts as TrunkParts, Stop, Trunk, TrunkStatus, create};
use pinseal_mailbox::Mailbox;
use pinseal_protocol::configuration::{AnchorLevel, CONFIGURATION_VERSION, Configuration, Issuer as Trusted, Policy};
use pinseal_protocol::ids::{DeploymentId, Nonce, UnixSeconds, UserIdHash};
use pinseal_protocol::limits::BREAKER_DEFAULT;
use pinseal_protocol::manifest::Manifest;
use pinseal_protocol::pin::Argon2Parameters;
use pinseal_protocol::reply::SealedReply;
use pinseal_server::{
    AppState, BeginCall, Begun, Boxed, Config, EnclaveStatus, Evidence, Issuer, Parts, Sample, SealedCall, Wallets,
    WalletsError, create_app, create_key, serve,
};
use pinseal_store::Sqlite;
use pinseal_store::accounts::Platform;
use pinseal_store::deployment::Deployment;
use pinseal_store::records::{LogPage, LogQuery, Records};
use pinseal_store::vault::Vault;
use tempfile::TempDir;
use tokio::sync::oneshot;

use self::between::Between;
use self::clock::TestClock;
use self::device::Device;
use self::enclave::{Process, Surroundings};
use self::full::FullDisk;
use self::wallets::EnclaveWallets;
use self::wire::Wire;

/// Least Argon2id cost a client accepts; the protocol is the same at every cost.
const ARGON2: Argon2Parameters = Argon2Parameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

/// An app and its server key.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) key: String,
}

/// The system. Dropping it ends the enclave's process and the server.
pub(crate) struct System {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) between: Between,
    pub(crate) wire: Arc<Wire>,
    pub(crate) sqlite: Sqlite,
    /// Straight to the server, past [`Between`].
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    pub(crate) configuration: Configuration,
    issuer: Trusted,
    login: Issuer,
    mails: tokio::sync::Mutex<Mailbox>,
    current: Arc<Current>,
    enclave: Mutex<Option<Process>>,
    surroundings: Surroundings,
    pub(crate) disk: Arc<FullDisk>,
    stop: Option<oneshot::Sender<()>>,
    directory: TempDir,
}

/// The trunk of the moment: the server stays while the enclave is restarted.
struct Current(RwLock<Option<(Trunk, Arc<EnclaveWallets>)>>);

impl Current {
    fn wallets(&self) -> Arc<EnclaveWallets> {
        Arc::clone(&self.0.read().unwrap().as_ref().expect("an enclave serves").1)
    }

    fn trunk(&self) -> Trunk {
        self.0.read().unwrap().as_ref().expect("an enclave serves").0.clone()
    }
}

impl Wallets for Current {
    fn begin(&self, call: BeginCall) -> Boxed<'_, Result<Begun, WalletsError>> {
        let wallets = self.wallets();
        Box::pin(async move { wallets.begin(call).await })
    }

    fn sealed(&self, call: SealedCall) -> Boxed<'_, Result<SealedReply, WalletsError>> {
        let wallets = self.wallets();
        Box::pin(async move { wallets.sealed(call).await })
    }

    fn evidence(&self, nonce: Nonce, now: UnixSeconds) -> Boxed<'_, Result<Evidence, WalletsError>> {
        let wallets = self.wallets();
        Box::pin(async move { wallets.evidence(nonce, now).await })
    }

    fn status(&self) -> Boxed<'_, Result<EnclaveStatus, WalletsError>> {
        let wallets = self.wallets();
        Box::pin(async move { wallets.status().await })
    }

    fn history(&self, wallet: UserIdHash, query: LogQuery) -> Boxed<'_, Result<Option<LogPage>, WalletsError>> {
        let wallets = self.wallets();
        Box::pin(async move { wallets.history(wallet, query).await })
    }

    fn events(&self, query: LogQuery) -> Boxed<'_, Result<Option<LogPage>, WalletsError>> {
        let wallets = self.wallets();
        Box::pin(async move { wallets.events(query).await })
    }

    fn metrics(&self) -> Vec<Sample> {
        self.wallets().metrics()
    }
}

impl System {
    /// Makes a deployment, boots it and serves it.
    pub(crate) async fn start() -> Self {
        Self::start_with(Surroundings::default()).await
    }

    /// As [`System::start`], with an enclave that is told something.
    pub(crate) async fn start_with(surroundings: Surroundings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::default());
        let wire = Arc::new(Wire::default());
        let mut id = [0; DeploymentId::LEN];
        getrandom::fill(&mut id).unwrap();
        let deployment = DeploymentId(id);
        let issuer_file = directory.path().join("issuer.p8");
        let login = Issuer::create(&issuer_file, deployment).unwrap();
        let issuer =
            Trusted { issuer: login.name().to_owned(), audience: login.audience().to_owned(), key: login.public() };
        let configuration = Configuration {
            version: CONFIGURATION_VERSION,
            deployment,
            issuers: vec![issuer.clone()],
            anchor: AnchorLevel::L1,
            floor: AnchorLevel::L1,
            policy: Policy::default(),
            argon2: ARGON2,
            witnesses: None,
            breaker: BREAKER_DEFAULT,
            tpm: None,
            base: None,
        };
        let sqlite = Sqlite::open(&directory.path().join("pinseal.sqlite")).unwrap();

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let between = Between::start(url.clone(), http.clone()).await;
        let mails = Mailbox::open().await.unwrap();
        let mut config = Config::new(deployment, issuer_file);
        config.public_urls = vec![url.clone(), between.url.clone()];
        config.development = true;
        config.mail.smtp_url = mails.url().into();
        // Rates are told by the test's clock, which mostly stands still.
        config.limits.requests_per_minute = 1_000_000;
        config.limits.requests_per_user_per_minute = 1_000_000;
        config.limits.writing_operations_per_user_per_day = 1_000_000;
        config.limits.logins_per_minute = 1_000_000;
        config.limits.logins_per_account_per_quarter = 1_000_000;

        let current = Arc::new(Current(RwLock::new(None)));
        let (stop, stopped) = oneshot::channel::<()>();
        let system = Self {
            clock: Arc::clone(&clock),
            between,
            wire,
            sqlite: sqlite.clone(),
            url,
            http,
            configuration,
            issuer,
            login,
            mails: tokio::sync::Mutex::new(mails),
            current: Arc::clone(&current),
            enclave: Mutex::new(None),
            surroundings,
            disk: Arc::default(),
            stop: Some(stop),
            directory,
        };
        system.make_root().await;
        system.boot().await.unwrap();
        let parts =
            Parts { accounts: Arc::new(sqlite), wallets: current, networks: Arc::new(networks::NoNetworks), clock };
        let state = AppState::new(config, parts).unwrap();
        tokio::spawn(async move {
            serve(state, listener, async move { drop(stopped.await) }).await.unwrap();
        });
        system
    }

    /// The directory of everything that the host and the enclave write.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Process id of the enclave that serves.
    pub(crate) fn enclave_pid(&self) -> u32 {
        self.enclave.lock().unwrap().as_ref().expect("an enclave serves").pid()
    }

    /// The database file.
    pub(crate) fn database(&self) -> PathBuf {
        self.directory.path().join("pinseal.sqlite")
    }

    /// The anchor's file.
    pub(crate) fn anchor_file(&self) -> PathBuf {
        self.directory.path().join("anchor")
    }

    fn anchor(&self) -> FileAnchor {
        FileAnchor::new(&self.anchor_file())
    }

    fn spawn_enclave(&self) -> (Process, std::os::unix::net::UnixStream) {
        Process::start(self.directory.path(), &self.wire, &self.surroundings)
    }

    async fn make_root(&self) {
        let (mut process, stream) = self.spawn_enclave();
        let deployment = Deployment::open(self.directory.path()).unwrap();
        let records = Records::new(self.sqlite.clone());
        let (mut anchor, configuration, clock) = (self.anchor(), self.configuration.clone(), Arc::clone(&self.clock));
        let made = tokio::task::spawn_blocking(move || {
            create(stream, &deployment, &records, &mut anchor, &configuration, &*clock)
        });
        made.await.unwrap().unwrap();
        process.ended();
    }

    /// Boots an enclave over what lies on disk.
    pub(crate) async fn boot(&self) -> Result<(), BootError> {
        let (mut process, stream) = self.spawn_enclave();
        let parts = TrunkParts {
            deployment: Deployment::open(self.directory.path()).unwrap(),
            records: Records::with_hook(self.sqlite.clone(), Arc::clone(&self.disk) as _),
            anchor: Box::new(self.anchor()),
            vault: Arc::new(Vault::new(self.issuer.clone(), self.login.storage_key(), &self.configuration.deployment)),
            configuration: self.configuration.clone(),
            clock: Arc::clone(&self.clock) as _,
        };
        let started = tokio::task::spawn_blocking(move || Trunk::start(stream, parts)).await.unwrap();
        match started {
            Ok(trunk) => {
                let records = Records::new(self.sqlite.clone());
                let wallets = EnclaveWallets { trunk: trunk.clone(), records };
                *self.current.0.write().unwrap() = Some((trunk, Arc::new(wallets)));
                *self.enclave.lock().unwrap() = Some(process);
                Ok(())
            }
            Err(error) => {
                process.ended();
                Err(error)
            }
        }
    }

    /// Ends the enclave; what lies on disk may be looked at or changed now.
    pub(crate) async fn halt(&self) {
        let trunk = self.current.trunk();
        tokio::task::spawn_blocking(move || trunk.close()).await.unwrap();
        if let Some(mut process) = self.enclave.lock().unwrap().take() {
            process.ended();
        }
    }

    /// A new boot: other keys, same state.
    pub(crate) async fn restart_enclave(&self) {
        self.halt().await;
        self.boot().await.unwrap();
    }

    /// Resolves when the trunk has stopped by itself.
    pub(crate) async fn stopped(&self) -> Stop {
        let (sender, receiver) = oneshot::channel();
        self.current.trunk().on_stop(move |stop| drop(sender.send(stop)));
        receiver.await.unwrap()
    }

    pub(crate) fn status(&self) -> TrunkStatus {
        self.current.trunk().status()
    }

    /// The manifest of the boot.
    pub(crate) fn manifest(&self) -> Manifest {
        pinseal_protocol::cbor::from_slice(&self.status().manifest).unwrap()
    }

    /// Registers an app with a server key.
    pub(crate) fn app(&self, name: &str) -> App {
        let now = pinseal_host::Clock::now(&*self.clock);
        let id = create_app(&self.sqlite, name, now).unwrap().app_id;
        let key = create_key(&self.sqlite, &id, Platform::Server, now).unwrap().app_key.expose_secret().to_owned();
        App { id: id.to_string(), key }
    }

    /// Signs up and proves the address with the mailed code.
    pub(crate) async fn sign_up(&self, device: &Device, email: &str) {
        let mut mails = self.mails.lock().await;
        device.client.api().sign_up(email, &device::password(email), None).await.unwrap();
        let mail = mails.next().await.expect("a mail arrives");
        assert_eq!(mail.to, email);
        device.client.api().verify_email(email, &SecretText::new(mail.code().unwrap())).await.unwrap();
    }

    /// A person's first device, with an account, a session and a wallet under [`device::PIN`].
    pub(crate) async fn person(&self, app: &App, email: &str) -> Device {
        let device = Device::new(self, app);
        self.sign_up(&device, email).await;
        device.log_in(email).await;
        device.register().await;
        device
    }

    /// A further device of a person, logged in.
    pub(crate) async fn further_device(&self, app: &App, email: &str) -> Device {
        let device = Device::new(self, app);
        device.log_in(email).await;
        device
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // Nobody listens if the server has ended already.
        let _ = self.stop.take().map(|stop| stop.send(()));
        if let Some((trunk, _)) = self.current.0.write().unwrap().take() {
            trunk.close();
        }
    }
}
