//! One server under test: sockets, database, mailbox, clock, and what it logged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Once};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pinseal_mailbox::{Mail, Mailbox};
use pinseal_protocol::dpop::{self, Proof};
use pinseal_protocol::ids::{DeploymentId, DeviceId, UnixSeconds};
use pinseal_protocol::token::{P256Public, token_hash};
use pinseal_server::{AppState, Clock, Config, Issuer, Limits, Parts, WalletPage, create_app, create_key, serve};
use pinseal_store::Sqlite;
use pinseal_store::accounts::{AppId, Platform};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::doubles::{Chain, Enclave};

pub(crate) const PASSWORD: &str = "correct-horse-7";
const START: u64 = 1_900_000_000;
const DEPLOYMENT: DeploymentId = DeploymentId([0xd1; 16]);
const ISSUER_KEY: &str = "issuer.key";
/// Of a code that verifies an address, and of one that resets a password.
const CODE_DIGITS: [usize; 2] = [6, 8];

/// Time that moves when told.
#[derive(Default)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(START + self.0.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// An app and its server key.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) id: AppId,
    pub(crate) key: String,
}

pub(crate) struct Bench {
    pub(crate) address: SocketAddr,
    pub(crate) base: String,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) mails: Mailbox,
    pub(crate) db: Sqlite,
    pub(crate) enclave: Arc<Enclave>,
    pub(crate) chain: Arc<Chain>,
    pub(crate) app: App,
    pub(crate) http: reqwest::Client,
    nonce: Mutex<String>,
    secrets: Mutex<BTreeSet<String>>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
    directory: TempDir,
}

/// A build of the wallet page.
const PAGE: [(&str, &str); 5] = [
    ("index.html", "<!doctype html><title>page</title>"),
    ("assets/page-1a2b.js", "document.title = 'a page whose script is long enough'"),
    ("assets/page-1a2b.js.gz", "packed"),
    ("assets/worker/argon2-3c4d.js", "onmessage = null"),
    ("assets/page-1a2b.css", "main {}"),
];

/// A small wallet page.
fn page() -> WalletPage {
    WalletPage::new(PAGE.map(|(name, text)| (name.to_owned(), text.as_bytes().into()))).unwrap()
}

fn parts(db: &Sqlite, enclave: &Arc<Enclave>, chain: &Arc<Chain>, clock: &Arc<TestClock>) -> Parts {
    Parts {
        accounts: Arc::new(db.clone()),
        wallets: Arc::clone(enclave) as _,
        networks: Arc::clone(chain) as _,
        clock: Arc::clone(clock) as _,
    }
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::configured(|_| {}).await
    }

    /// A server with its own limits.
    pub(crate) async fn with(limit: impl FnOnce(&mut Limits)) -> Self {
        Self::configured(|config| limit(&mut config.limits)).await
    }

    /// A server with its own configuration. Limits on rates are out of the way unless a scenario sets them.
    pub(crate) async fn configured(configure: impl FnOnce(&mut Config)) -> Self {
        capture_logs();
        let directory = tempfile::tempdir().unwrap();
        let deployment = DEPLOYMENT;
        let key_file: PathBuf = directory.path().join(ISSUER_KEY);
        let issuer = Issuer::create(&key_file, deployment).unwrap();
        let db = Sqlite::open(&directory.path().join("pinseal.db")).unwrap();
        let clock = Arc::new(TestClock::default());
        let mails = Mailbox::open().await.unwrap();
        let enclave = Arc::new(Enclave::new(deployment, issuer.storage_key()));
        let chain = Arc::new(Chain::new());
        let mut config = Config::new(deployment, key_file);
        config.mail.smtp_url = mails.url().into();
        config.development = true;
        config.limits.requests_per_minute = 100_000;
        config.limits.requests_per_user_per_minute = 100_000;
        config.limits.logins_per_minute = 100_000;
        config.limits.logins_per_account_per_quarter = 100_000;
        config.limits.logins_per_account_anywhere_per_quarter = 100_000;
        configure(&mut config);
        let state = AppState::new(config, parts(&db, &enclave, &chain, &clock)).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let page = page();
        let origin = format!("http://wallet.localhost:{}", address.port());
        assert_eq!(state.open_page(page, Some(origin.clone()), address).await.unwrap(), Some(origin));
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(async move {
            serve(state, listener, async move { drop(stopped.await) }).await.unwrap();
        });
        let id = create_app(&db, "Bench", clock.now()).unwrap().app_id;
        let key = create_key(&db, &id, Platform::Server, clock.now()).unwrap().app_key.expose_secret().to_owned();
        let bench = Self {
            address,
            base: format!("http://{address}"),
            clock,
            mails,
            db,
            enclave,
            chain,
            app: App { id, key: key.clone() },
            http: reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap(),
            nonce: Mutex::default(),
            secrets: Mutex::default(),
            stop: Some(stop),
            served: Some(served),
            directory,
        };
        bench.secret(&key);
        bench.secret(PASSWORD);
        bench
    }

    /// Another run over the same database, whose operator serves the page at `origin`, or nowhere. The key that the page is told, of a page that is.
    pub(crate) async fn page_at(&self, origin: Option<&str>) -> Option<String> {
        let mut config = Config::new(DEPLOYMENT, self.directory.path().join(ISSUER_KEY));
        config.mail.smtp_url = self.mails.url().to_owned().into();
        config.development = true;
        config.wallet_url = origin.map(str::to_owned);
        let state = AppState::new(config, parts(&self.db, &self.enclave, &self.chain, &self.clock)).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(state.open_page(page(), None, address).await.unwrap().as_deref(), origin);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(state, listener, async move { drop(stopped.await) }));
        let told = match origin {
            Some(origin) => {
                let (_, host) = origin.split_once("://").unwrap();
                let asked = self.http.get(format!("http://{address}/settings.json")).header("host", host);
                let told: Value = asked.send().await.unwrap().json().await.unwrap();
                Some(told["app_key"].as_str().unwrap().to_owned())
            }
            None => None,
        };
        drop(stop);
        served.await.unwrap().unwrap();
        told
    }

    /// Bytes of the write-ahead log: it grows with every transaction that writes.
    pub(crate) fn written(&self) -> u64 {
        std::fs::metadata(self.directory.path().join("pinseal.db-wal")).unwrap().len()
    }

    /// One number of `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text;
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
    }

    /// Remembers a text that must never be logged.
    pub(crate) fn secret(&self, text: &str) {
        self.secrets.lock().unwrap().insert(text.to_owned());
    }

    pub(crate) fn another_app(&self) -> App {
        let id = create_app(&self.db, "Other", self.clock.now()).unwrap().app_id;
        let key =
            create_key(&self.db, &id, Platform::Server, self.clock.now()).unwrap().app_key.expose_secret().to_owned();
        self.secret(&key);
        App { id, key }
    }

    pub(crate) fn key_for(&self, app: &AppId, platform: Platform) -> String {
        let key = create_key(&self.db, app, platform, self.clock.now()).unwrap().app_key.expose_secret().to_owned();
        self.secret(&key);
        key
    }

    /// A request with this bench's app key.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call<'_> {
        Call {
            bench: self,
            method: method.to_owned(),
            path: path.to_owned(),
            headers: BTreeMap::new(),
            body: None,
            proof: None,
        }
        .header("x-pinseal-app-id", self.app.id.as_str())
        .header("x-pinseal-app-key", &self.app.key)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path).json(&body).send().await
    }

    /// Signs up and verifies.
    pub(crate) async fn register(&mut self, email: &str) {
        self.secret(email);
        let answer = self.post("/v1/login/email/sign-up", json!({"email": email, "password": PASSWORD})).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let code = self.code().await;
        let answer = self.post("/v1/login/email/verify", json!({"email": email, "code": code})).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, r#"{"reset_required":false}"#));
    }

    /// The next mail.
    pub(crate) async fn mail(&mut self) -> Mail {
        self.mails.next().await.expect("a mail arrives")
    }

    /// The code of the next mail.
    pub(crate) async fn code(&mut self) -> String {
        let code = self.mail().await.code().unwrap();
        assert!(CODE_DIGITS.contains(&code.len()), "{code}");
        self.secret(&code);
        code
    }

    pub(crate) async fn login(&self, email: &str, device: &Device) -> Session {
        self.login_to(&self.app.clone(), email, PASSWORD, device).await.session(self)
    }

    pub(crate) async fn login_to(&self, app: &App, email: &str, password: &str, device: &Device) -> Answer {
        self.call("POST", "/v1/login/email")
            .app(app)
            .json(&json!({"email": email, "password": password, "device_jwk": device.jwk()}))
            .proof(device, None)
            .send()
            .await
    }

    pub(crate) fn nonce(&self) -> String {
        self.nonce.lock().unwrap().clone()
    }

    /// Stops the server and looks through everything it logged.
    pub(crate) async fn finish(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        // Idle keep-alive connections would be waited for.
        self.http = reqwest::Client::new();
        self.served.take().unwrap().await.unwrap();
        let logs = logs();
        for secret in self.secrets.lock().unwrap().iter() {
            assert!(!secret.is_empty() && !tells(&logs, secret), "logged: {secret:?}");
        }
    }
}

/// A request being put together.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    bench: &'a Bench,
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    proof: Option<(&'a Device, Option<String>)>,
}

impl<'a> Call<'a> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn app(self, app: &App) -> Self {
        self.header("x-pinseal-app-id", app.id.as_str()).header("x-pinseal-app-key", &app.key)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", &body.to_string())
    }

    pub(crate) fn body(mut self, kind: &str, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self.header("content-type", kind)
    }

    /// With access token and proof.
    pub(crate) fn by(self, session: &'a Session, device: &'a Device) -> Self {
        self.token(&session.access).proof(device, Some(session.access.clone()))
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("DPoP {token}"))
    }

    pub(crate) fn proof(mut self, device: &'a Device, token: Option<String>) -> Self {
        self.proof = Some((device, token));
        self
    }

    /// Sends; makes the proof and, as clients do, repeats once with the nonce the server asks for.
    pub(crate) async fn send(self) -> Answer {
        let answer = self.clone().send_once().await;
        if answer.code() == "use_dpop_nonce" && self.proof.is_some() {
            return self.send_once().await;
        }
        answer
    }

    async fn send_once(self) -> Answer {
        let url = format!("{}{}", self.bench.base, self.path);
        let mut request = self.bench.http.request(self.method.parse().unwrap(), &url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some((device, token)) = &self.proof {
            let target = url.split('?').next().unwrap();
            let proof = device.proof(&self.bench.clock, &self.method, target, token.as_deref(), &self.bench.nonce());
            request = request.header("dpop", proof);
        }
        if let Some(body) = self.body {
            request = request.body(body);
        }
        let answer = Answer::of(request.send().await.unwrap()).await;
        documented(&self.method, &self.path, &answer);
        if let Some(nonce) = answer.headers.get("dpop-nonce") {
            nonce.clone_into(&mut self.bench.nonce.lock().unwrap());
        }
        answer
    }
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(&pinseal_server::openapi_document()).unwrap());

/// An operation's answer has a status the document lists for it and, if it is a problem, one of the codes listed there.
fn documented(method: &str, path: &str, answer: &Answer) {
    let path: Vec<&str> = path.split('?').next().unwrap().split('/').collect();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == path.len()
            && template.iter().zip(&path).all(|(one, other)| one.starts_with('{') || one == other)
    };
    let item = DOCUMENT["paths"].as_object().unwrap().iter().find(|(template, _)| fits(template));
    let Some(operation) = item.and_then(|(_, item)| item.get(method.to_lowercase())) else { return };
    let listed = &operation["responses"][answer.status.to_string()];
    assert!(listed.is_object(), "{method} {path:?} is not said to answer {}: {}", answer.status, answer.text);
    if let Some(codes) =
        listed["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"].as_array()
    {
        assert!(codes.contains(&Value::from(answer.code())), "{method} {path:?}: {} is not listed", answer.code());
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        let answer = Self { status: response.status().as_u16(), headers, text: response.text().await.unwrap() };
        answer.check();
        answer
    }

    /// From the bytes of a raw conversation.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers =
            lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let answer = Self { status, headers: headers.collect(), text: body.to_owned() };
        answer.check();
        answer
    }

    /// What holds for every answer: trace id, security headers, and the form of a problem.
    fn check(&self) {
        let header = |name: &str| self.headers.get(name).map(String::as_str).unwrap_or_default();
        assert_eq!(header("x-request-id").len(), 32, "{self:?}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{self:?}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{self:?}");
        assert!(header("content-security-policy").starts_with("default-src 'none'"), "{self:?}");
        if self.status >= 400 && !self.text.contains("\"ready\"") {
            assert_eq!(header("content-type"), "application/problem+json", "{self:?}");
            let problem = self.json();
            let code = problem["code"].as_str().unwrap();
            assert_eq!(problem["type"], format!("https://pinseal.dev/errors/{code}"));
            assert_eq!(problem["status"], self.status);
            // A repeated answer is the first one, its trace id included.
            if !self.headers.contains_key("idempotent-replayed") {
                assert_eq!(problem["trace_id"], header("x-request-id"));
            }
            assert!(problem["retryable"].is_boolean() && problem["title"].is_string());
            if let Some(seconds) = problem.get("retry_after_seconds") {
                assert_eq!(header("retry-after"), seconds.to_string());
            }
            CODES.lock().unwrap().insert(code.to_owned());
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn is(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.text);
    }

    /// What a stranger can tell this answer from another one by, bodies without their trace id.
    pub(crate) fn shape(&self) -> (u16, Vec<String>, Value) {
        let mut body = self.json();
        if let Some(body) = body.as_object_mut() {
            body.remove("trace_id");
        }
        (self.status, self.headers.keys().cloned().collect(), body)
    }

    pub(crate) fn session(&self, bench: &Bench) -> Session {
        assert_eq!(self.status, 200, "{}", self.text);
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let session = Session {
            user: text("user_id"),
            id: text("session_id"),
            access: text("access_token"),
            refresh: text("refresh_token"),
            status: text("login_status"),
        };
        bench.secret(&session.access);
        bench.secret(&session.refresh);
        session
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) id: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) status: String,
}

/// A device and its key.
pub(crate) struct Device {
    key: EcdsaKeyPair,
    proofs: AtomicU64,
}

impl Device {
    pub(crate) fn new() -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        Self { key, proofs: AtomicU64::new(0) }
    }

    pub(crate) fn id(&self) -> DeviceId {
        P256Public::of(&self.key).thumbprint()
    }

    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = P256Public::of(&self.key).coordinates();
        json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "ext": true})
    }

    pub(crate) fn proof(&self, clock: &TestClock, method: &str, url: &str, token: Option<&str>, nonce: &str) -> String {
        let jti = format!("{}-{}", self.id(), self.proofs.fetch_add(1, Ordering::SeqCst));
        self.sign(&Proof {
            jti,
            htm: method.to_owned(),
            htu: url.to_owned(),
            iat: clock.now().0,
            ath: token.map(|token| URL_SAFE_NO_PAD.encode(token_hash(token).0)),
            nonce: Some(nonce.to_owned()),
        })
    }

    pub(crate) fn sign(&self, proof: &Proof) -> String {
        dpop::sign(proof, &self.key).unwrap()
    }
}

static CODES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static LOGS: LazyLock<Arc<Mutex<Vec<u8>>>> = LazyLock::new(Arc::default);

/// Every problem code answered so far in this process.
pub(crate) fn answered_codes() -> BTreeSet<String> {
    CODES.lock().unwrap().clone()
}

pub(crate) fn logs() -> String {
    String::from_utf8_lossy(&LOGS.lock().unwrap()).into_owned()
}

/// Whether a text is in the logs. Digits stand in trace ids and measured times by chance, so a code must stand alone.
fn tells(logs: &str, secret: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric();
    logs.match_indices(secret).any(|(at, _)| {
        let (before, after) = (&logs[..at], &logs[at + secret.len()..]);
        let alone = !before.ends_with(is_part) && !after.starts_with(is_part) && !before.ends_with("micros=");
        alone || secret.len() > CODE_DIGITS[1]
    })
}

/// Keeps everything anybody logs in this process, down to the finest level.
fn capture_logs() {
    struct Keep;
    impl Write for Keep {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            LOGS.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(|| Keep)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}
