//! The server's whole router without sockets, over people, an enclave and networks that answer from memory and never change: an
//! input that fails once fails always.

mod people;
mod seams;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request, header};
use pinseal_protocol::dpop::{self, Proof};
use pinseal_protocol::ids::{DeploymentId, UnixSeconds};
use pinseal_protocol::token::{self, ACCESS_TYP, AccessClaims, P256Public, token_hash};
use pinseal_server::{AppState, Clock, Config, Parts, WalletPage, router};
use tower::ServiceExt as _;

use super::base::{BASE, START};
use super::keys;
use people::People;
use seams::{Chain, Enclave};

/// Where clients find the server.
const BASE_URL: &str = "https://wallet.test";
/// The one app.
pub(crate) const APP: &str = "app_fuzz";
/// Its keys.
pub(crate) const SERVER_KEY: &str = "pk_server_of-the-harness-and-of-nobody-else";
const WEB_KEY: &str = "pk_web_of-the-harness-and-of-nobody-else";
pub(crate) const ORIGIN: &str = "https://page.test";
/// Where the wallet page is.
pub(crate) const WALLET_URL: &str = "https://page-of-the-wallet.test";
/// The one session.
const USER: &str = "ada";
const SESSION: &str = "session-of-ada";
/// Number of the session's device key.
const DEVICE_KEY: usize = 1;
/// Every so many requests are a second to the server, so that neither rates nor remembered proofs ever fill up.
const REQUESTS_PER_SECOND: u64 = 500;
/// A bound that is out of the way.
const RATE_MAX: u32 = 1_000_000;
/// No answer is longer but the page of the documentation.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// The one server.
pub(crate) static SERVER: LazyLock<Server> = LazyLock::new(Server::start);

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// With nothing but what the input holds.
    Stranger,
    /// With the app's key for back ends.
    App,
    /// With the app's key for pages, and their origin.
    Page,
    /// As [`Caller::App`], with the session's token and a proof made for this very request.
    User,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A running router.
pub(crate) struct Server {
    runtime: tokio::runtime::Runtime,
    router: Router,
    clock: Arc<Ticks>,
}

/// Time that passes with the requests.
#[derive(Default)]
struct Ticks(AtomicU64);

impl Ticks {
    fn passed(&self) -> u64 {
        self.0.load(Ordering::Relaxed) / REQUESTS_PER_SECOND
    }
}

impl Clock for Ticks {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(START + self.passed())
    }

    fn steady(&self) -> Duration {
        Duration::from_secs(self.passed())
    }
}

impl Server {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime starts");
        let clock = Arc::new(Ticks::default());
        let directory = tempfile::tempdir().expect("there is a directory for the key file");
        let key_file = directory.path().join("issuer.p8");
        let document = keys::issuer().to_pkcs8v1().expect("a key has an encoding");
        write_private(&key_file, document.as_ref());
        let mut config = Config::new(deployment(), key_file);
        config.public_urls = vec![BASE_URL.into()];
        config.limits.requests_per_minute = RATE_MAX;
        config.limits.requests_per_user_per_minute = RATE_MAX;
        config.limits.writing_operations_per_user_per_day = RATE_MAX;
        config.limits.logins_per_minute = RATE_MAX;
        config.limits.logins_per_account_per_quarter = RATE_MAX;
        config.limits.logins_per_account_anywhere_per_quarter = RATE_MAX;
        let parts = Parts {
            accounts: Arc::new(People),
            wallets: Arc::new(Enclave),
            networks: Arc::new(Chain),
            clock: Arc::clone(&clock) as _,
        };
        let entered = runtime.enter();
        let state = AppState::new(config, parts).expect("the configuration is sound");
        drop(entered);
        let page =
            WalletPage::new([("index.html".to_owned(), "<!doctype html>".into())]).expect("a page has a document");
        let opened = state.open_page(page, Some(WALLET_URL.to_owned()), ([127, 0, 0, 1], 443).into());
        runtime.block_on(opened).expect("the page's origin is one");
        Self { runtime, router: router(state), clock }
    }

    /// A token of the session.
    pub(crate) fn token(&self) -> String {
        const RENEWED_SECONDS: u64 = 600;

        let issued = START + self.clock.passed() / RENEWED_SECONDS * RENEWED_SECONDS;
        let claims = AccessClaims {
            iss: format!("pinseal:{}", deployment()),
            aud: deployment().to_string(),
            sub: USER.into(),
            sid: SESSION.into(),
            app: APP.into(),
            jti: issued.to_string(),
            iat: issued,
            exp: issued + 2 * RENEWED_SECONDS,
            cnf: AccessClaims::confirmation(&P256Public::of(keys::key(DEVICE_KEY)).thumbprint()),
        };
        token::sign(ACCESS_TYP, &claims, keys::issuer()).expect("claims can be signed")
    }

    /// The answer to a request to which the caller's credentials are added. Like a client, it asks again with the nonce it is told.
    pub(crate) fn answer(&self, caller: Caller, token: &str, request: &Request<Vec<u8>>) -> Answer {
        let mut nonce = String::new();
        loop {
            let answer = self.once(caller, token, &nonce, request);
            let told = answer.headers.get("dpop-nonce").and_then(|told| told.to_str().ok()).unwrap_or_default();
            let asked = answer.status == 401 && caller == Caller::User && told != nonce;
            if !asked {
                return answer;
            }
            told.clone_into(&mut nonce);
        }
    }

    fn once(&self, caller: Caller, token: &str, nonce: &str, request: &Request<Vec<u8>>) -> Answer {
        let number = self.clock.0.fetch_add(1, Ordering::Relaxed);
        let mut sent = request.clone().map(Body::from);
        let (method, path) = (sent.method().clone(), sent.uri().path().to_owned());
        let headers = sent.headers_mut();
        let mut add = |name: &'static str, text: &str| {
            headers.append(name, HeaderValue::from_str(text).expect("credentials are visible ASCII"));
        };
        if caller != Caller::Stranger {
            add("x-pinseal-app-id", APP);
            add("x-pinseal-app-key", if caller == Caller::Page { WEB_KEY } else { SERVER_KEY });
        }
        if caller == Caller::Page {
            add(header::ORIGIN.as_str(), ORIGIN);
        }
        if caller == Caller::User {
            add(header::AUTHORIZATION.as_str(), &format!("DPoP {token}"));
            add("dpop", &self.proof(&method, &path, token, nonce, number));
        }
        self.runtime.block_on(async {
            let response = match self.router.clone().oneshot(sent).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, ANSWER_BYTES_MAX).await.expect("an answer is whole and bounded").to_vec();
            Answer { status: parts.status.as_u16(), headers: parts.headers, body }
        })
    }

    /// A proof as the operation asks for it: login and refresh show no token.
    fn proof(&self, method: &Method, path: &str, token: &str, nonce: &str, number: u64) -> String {
        let with_token = !matches!(path, "/v1/login/email" | "/v1/session/refresh");
        let proof = Proof {
            jti: number.to_string(),
            htm: method.as_str().to_owned(),
            htu: format!("{BASE_URL}{path}"),
            iat: self.clock.now().0,
            ath: with_token.then(|| base64url(&token_hash(token).0)),
            nonce: Some(nonce.to_owned()),
        };
        dpop::sign(&proof, keys::key(DEVICE_KEY)).expect("a proof can be signed")
    }
}

fn deployment() -> DeploymentId {
    BASE.configuration.deployment
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn write_private(path: &std::path::Path, bytes: &[u8]) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes)).expect("the key file can be written");
}
