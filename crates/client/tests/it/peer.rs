//! The host's side on loopback: login with DPoP, and whatever a test wants it to say.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use pinseal_chains::evm::transaction::SignedTransaction;
use pinseal_protocol::cbor;
use pinseal_protocol::dpop;
use pinseal_protocol::ids::{Nonce, UnixSeconds};
use pinseal_protocol::request::{BeginReply, Method, SealedRequest, SignedBeginReply, SignedStatement};
use pinseal_protocol::token::{self, ACCESS_TYP, AccessClaims, P256Public};
use serde_json::{Value, json};

use pinseal_client::Address;

use crate::enclave::Enclave;

pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) type Answer = Response<Body>;
/// Document and manifest for a nonce.
pub(crate) type EvidenceLie = fn(&Enclave, Nonce) -> (Vec<u8>, Vec<u8>);
/// Another page of the log instead of the true one.
pub(crate) type LogLie = Box<dyn FnMut(&Enclave, &str, Value) -> Value + Send>;
/// Another begin reply instead of the true one.
pub(crate) type BeginLie = fn(&Enclave, BeginReply) -> SignedBeginReply;

/// A canned answer for the next request to a path.
pub(crate) struct Canned {
    pub(crate) path: &'static str,
    pub(crate) answer: Answer,
    /// Carry the request out all the same: the reply is lost, not the request.
    pub(crate) after: bool,
}

pub(crate) struct Host {
    pub(crate) url: String,
    pub(crate) enclave: Enclave,
    issuer: EcdsaKeyPair,
    pub(crate) nonce: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    generation: u32,
    pub(crate) refreshes: u32,
    device: Option<P256Public>,
    /// Every request: method and path.
    pub(crate) seen: Vec<String>,
    /// Bodies of the sealed requests.
    pub(crate) sealed: Vec<Bytes>,
    /// Storage tokens as they came.
    pub(crate) tokens: Vec<String>,
    /// Gives no storage token with a sealed reply.
    pub(crate) stingy: bool,
    /// Its clock.
    pub(crate) now: u64,
    pub(crate) canned: VecDeque<Canned>,
    pub(crate) evidence: Option<EvidenceLie>,
    pub(crate) begin: Option<BeginLie>,
    pub(crate) log: Option<LogLie>,
    /// Hands out the reply before this one.
    pub(crate) replay: bool,
    last_reply: Option<Vec<u8>>,
    pub(crate) statements: Vec<SignedStatement>,
    pub(crate) prepare: Value,
    /// Statuses told of a transaction, the last one for ever.
    pub(crate) statuses: VecDeque<&'static str>,
    pub(crate) raw: Option<String>,
    pub(crate) hash: Option<String>,
    /// What it says of transactions by their hashes; it knows no others, once there is one.
    pub(crate) told: BTreeMap<String, &'static str>,
    /// What was handed to it, by hash, also where it answered something of the test's own.
    sent: BTreeMap<String, SignedTransaction>,
    /// What happens while it makes its next answer about transactions.
    pub(crate) meanwhile: Option<Box<dyn FnOnce() + Send>>,
    /// How it bends what it shows of a transaction.
    pub(crate) bends: Option<fn(&mut Value)>,
    /// Whether it shows the signed bytes of the last one.
    pub(crate) shows_raw: bool,
    /// Where it says that its list of transactions goes on.
    pub(crate) next_cursor: Option<&'static str>,
}

#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) url: String,
    host: Arc<Mutex<Host>>,
    _task: Arc<Task>,
}

struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) fn p256() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

pub(crate) fn answer(status: u16, body: impl Into<Body>) -> Answer {
    Response::builder().status(StatusCode::from_u16(status).unwrap()).body(body.into()).unwrap()
}

pub(crate) fn problem(status: u16, code: &str, retryable: bool) -> Answer {
    let body =
        json!({"type": "x", "title": "T", "status": status, "code": code, "retryable": retryable, "trace_id": "t"});
    answer(status, body.to_string())
}

impl Peer {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let host = Arc::new(Mutex::new(Host {
            url: url.clone(),
            enclave: Enclave::new(),
            issuer: p256(),
            nonce: "nonce-1".into(),
            access: String::new(),
            refresh: String::new(),
            generation: 0,
            refreshes: 0,
            device: None,
            seen: Vec::new(),
            sealed: Vec::new(),
            tokens: Vec::new(),
            stingy: false,
            now: NOW,
            canned: VecDeque::new(),
            evidence: None,
            begin: None,
            log: None,
            replay: false,
            last_reply: None,
            statements: Vec::new(),
            prepare: json!({}),
            statuses: VecDeque::new(),
            raw: None,
            hash: None,
            told: BTreeMap::new(),
            sent: BTreeMap::new(),
            meanwhile: None,
            bends: None,
            shows_raw: false,
            next_cursor: None,
        }));
        let app = Router::new().fallback(serve).with_state(Arc::clone(&host));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, host, _task: Arc::new(Task(task)) }
    }

    pub(crate) fn host(&self) -> MutexGuard<'_, Host> {
        self.host.lock().unwrap()
    }

    /// The next request to `path` gets this answer and does nothing.
    pub(crate) fn next(&self, path: &'static str, answer: Answer) {
        self.host().canned.push_back(Canned { path, answer, after: false });
    }

    pub(crate) fn count(&self, call: &str) -> usize {
        self.host().seen.iter().filter(|seen| *seen == call).count()
    }
}

async fn serve(State(host): State<Arc<Mutex<Host>>>, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut host = host.lock().unwrap();
    let path = parts.uri.path().to_owned();
    host.seen.push(format!("{} {path}", parts.method));
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(
        (header("x-pinseal-app-id").as_deref(), header("x-pinseal-app-key").as_deref()),
        (Some("app_1"), Some("key_1"))
    );
    if path == "/v1/wallet/sealed" {
        host.sealed.push(body.clone());
    }
    if path == "/v1/tx/broadcast" {
        let raw = serde_json::from_slice::<Value>(&body).unwrap()["raw"].as_str().unwrap().to_owned();
        let signed = SignedTransaction::parse(&hex::decode(&raw[2..]).unwrap()).unwrap();
        host.sent.insert(format!("0x{}", signed.hash()), signed);
        host.raw = Some(raw);
    }
    let canned = host.canned.iter().position(|canned| canned.path == path).and_then(|at| host.canned.remove(at));
    let result = match &canned {
        Some(canned) if !canned.after => Ok(json!({})),
        _ => host.route(parts.method.as_str(), &path, parts.uri.query().unwrap_or(""), &header, &body),
    };
    match (canned, result) {
        (Some(canned), _) => canned.answer,
        (None, Ok(json)) => answer(200, json.to_string()),
        (None, Err(answer)) => *answer,
    }
}

impl Host {
    fn route(
        &mut self,
        method: &str,
        path: &str,
        query: &str,
        header: &dyn Fn(&str) -> Option<String>,
        body: &[u8],
    ) -> Result<Value, Box<Answer>> {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        match (method, path) {
            ("GET", "/v1/evidence") => {
                let nonce = Nonce::from_hex(query.strip_prefix("nonce=").unwrap()).unwrap();
                let now = self.now;
                let honest = |enclave: &Enclave, nonce| enclave.evidence(nonce, UnixSeconds(now));
                let (document, manifest) =
                    self.evidence.map_or_else(|| honest(&self.enclave, nonce), |lie| lie(&self.enclave, nonce));
                Ok(json!({"document": hex::encode(document), "manifest": hex::encode(manifest)}))
            }
            ("POST", "/v1/login/email") => {
                let device = self.proof(method, path, header, None)?;
                assert_eq!(json["device_jwk"]["x"].as_str().unwrap(), device.coordinates().0);
                self.device = Some(device);
                self.generation = 0;
                Ok(self.session())
            }
            ("POST", "/v1/login/email/reset") => {
                let (x, y) = self.device.unwrap().coordinates();
                assert_eq!(json["device_jwk"], json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}));
                Ok(json!({}))
            }
            ("POST", "/v1/session/refresh") => {
                let device = self.proof(method, path, header, None)?;
                if text("refresh_token") != self.refresh || Some(device) != self.device {
                    return Err(Box::new(problem(401, "refresh_reused", false)));
                }
                self.refreshes += 1;
                Ok(self.session())
            }
            ("POST", "/v1/wallet/sealed") => {
                assert_eq!(header("authorization"), Some(format!("DPoP {}", self.access)));
                assert_eq!(header("dpop"), None);
                let token = text("storage_token");
                assert!(matches!(token.as_str(), "of-begin" | "of-reply"), "{token}");
                self.tokens.push(token);
                let request: SealedRequest = cbor::from_slice(&hex::decode(text("request")).unwrap()).unwrap();
                let reply = cbor::to_vec(&self.enclave.sealed(&request));
                let before = self.last_reply.replace(reply.clone());
                let reply = hex::encode(before.filter(|_| self.replay).unwrap_or(reply));
                let next = request.header.method.continues() && !self.stingy;
                Ok(if next { json!({"reply": reply, "storage_token": "of-reply"}) } else { json!({"reply": reply}) })
            }
            ("GET", "/v1/wallet/history" | "/v1/log/events") => {
                self.authorized(method, path, header)?;
                let truth = crate::history::page(&self.enclave, path, query);
                Ok(match &mut self.log {
                    Some(lie) => lie(&self.enclave, path, truth),
                    None => truth,
                })
            }
            _ => {
                self.authorized(method, path, header)?;
                if let Some(hash) = path.strip_prefix("/v1/tx/eip155:31337/").filter(|_| !self.told.is_empty()) {
                    self.meanwhile.take().into_iter().for_each(|happens| happens());
                    let status = self.told.get(hash);
                    let unknown = || Box::new(problem(404, "transaction_unknown", false));
                    return status.map(|status| self.shown(hash, status)).ok_or_else(unknown);
                }
                if (method, path) == ("GET", "/v1/tx") {
                    self.meanwhile.take().into_iter().for_each(|happens| happens());
                    return Ok(self.list(query));
                }
                Ok(self.route_authorized(method, path, &text))
            }
        }
    }

    fn route_authorized(&mut self, method: &str, path: &str, text: &dyn Fn(&str) -> String) -> Value {
        match (method, path) {
            ("POST", "/v1/wallet/begin") => {
                let device = self.device.unwrap().thumbprint();
                let truth = self.enclave.begin(device, Method::from_name(&text("method")).unwrap());
                let begin =
                    self.begin.map_or_else(|| self.enclave.sign_begin(&truth), |lie| lie(&self.enclave, truth.clone()));
                json!({"begin": hex::encode(cbor::to_vec(&begin)), "storage_token": "of-begin"})
            }
            ("GET", "/v1/accounts") => {
                let items = self.statements.iter().map(|signed| {
                    json!({"network": "eip155", "address": "0x00", "path": "lies", "statement":
                        hex::encode(signed.statement.as_slice()), "signature": hex::encode(signed.signature.as_slice())})
                });
                json!({"items": items.collect::<Vec<_>>(), "next_cursor": null})
            }
            ("POST", "/v1/accounts" | "/v1/logout" | "/v1/tx/release") => json!({}),
            ("GET", "/v1/me") => {
                json!({"user_id": "u1", "email": "ann@example.org", "login_status": "complete", "wallet_id": null})
            }
            ("POST", "/v1/tx/prepare") => self.prepare.clone(),
            ("POST", "/v1/tx/broadcast") => self.transaction(),
            _ if path.starts_with("/v1/tx/eip155:31337/0x") => self.transaction(),
            other => panic!("unexpected request {other:?}"),
        }
    }

    /// What it says of an address's transactions. Those that nobody handed in are whose anybody wants.
    fn list(&self, query: &str) -> Value {
        let asked = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "address").unwrap().1;
        let is_whose = |hash: &str| {
            let sender = self.sent.get(hash).map(|signed| Address(*signed.sender()).to_string());
            sender.is_none_or(|sender| sender.eq_ignore_ascii_case(&asked))
        };
        let told = self.told.iter().filter(|(hash, _)| is_whose(hash));
        let items: Vec<_> = told
            .map(|(hash, status)| {
                let mut shown = self.shown(hash, status);
                if !self.sent.contains_key(hash) {
                    shown["from"] = asked.as_ref().into();
                    self.bends.into_iter().for_each(|bend| bend(&mut shown));
                }
                shown
            })
            .collect();
        json!({"items": items, "next_cursor": self.next_cursor})
    }

    fn transaction(&mut self) -> Value {
        let raw = hex::decode(&self.raw.as_ref().unwrap()[2..]).unwrap();
        let hash = format!("0x{}", SignedTransaction::parse(&raw).unwrap().hash());
        let status = if self.statuses.len() > 1 { self.statuses.pop_front() } else { self.statuses.front().copied() };
        let mut shown = self.shown(&hash, status.unwrap_or("pending"));
        if let Some(other) = &self.hash {
            shown["hash"] = other.as_str().into();
        }
        shown["raw"] = self.raw.as_ref().filter(|_| self.shows_raw).cloned().into();
        shown
    }

    /// A transaction as it was handed in, if it was.
    fn shown(&self, hash: &str, status: &str) -> Value {
        let mut shown = json!({"network": "eip155:31337", "hash": hash, "from": zero(), "to": null, "value": "1", "nonce": 0,
            "status": status, "confirmations": 0, "submitted_at": NOW});
        if let Some(signed) = self.sent.get(hash) {
            let transaction = signed.transaction();
            shown["from"] = Address(*signed.sender()).to_string().into();
            shown["to"] = transaction.to.map(|to| Address(to).to_string()).into();
            shown["value"] = transaction.value.to_string().into();
            shown["nonce"] = transaction.nonce.into();
        }
        self.bends.into_iter().for_each(|bend| bend(&mut shown));
        shown
    }

    fn session(&mut self) -> Value {
        self.generation += 1;
        let device = self.device.unwrap().thumbprint();
        let claims = AccessClaims {
            iss: "peer".into(),
            aud: self.enclave.deployment.to_string(),
            sub: "u1".into(),
            sid: "s1".into(),
            app: "app_1".into(),
            jti: self.generation.to_string(),
            iat: self.now,
            exp: self.now + 300,
            cnf: AccessClaims::confirmation(&device),
        };
        self.access = token::sign(ACCESS_TYP, &claims, &self.issuer).unwrap();
        self.refresh = format!("refresh-{}", self.generation);
        json!({"user_id": "u1", "email": "ann@example.org", "access_token": self.access, "access_expires_at": self.now + 300,
            "refresh_token": self.refresh, "refresh_expires_at": self.now + 9000, "session_id": "s1",
            "login_status": "pin_required", "wallet_id": null})
    }

    fn authorized(&self, method: &str, path: &str, header: &dyn Fn(&str) -> Option<String>) -> Result<(), Box<Answer>> {
        let token = header("authorization").and_then(|value| Some(value.strip_prefix("DPoP ")?.to_owned()));
        let token = token.ok_or_else(|| Box::new(problem(401, "token_missing", false)))?;
        if token != self.access {
            return Err(Box::new(problem(401, "token_expired", false)));
        }
        let key = self.proof(method, path, header, Some(&token))?;
        if Some(key) == self.device { Ok(()) } else { Err(Box::new(problem(401, "dpop_invalid", false))) }
    }

    fn proof(
        &self,
        method: &str,
        path: &str,
        header: &dyn Fn(&str) -> Option<String>,
        token: Option<&str>,
    ) -> Result<P256Public, Box<Answer>> {
        let compact = header("dpop").expect("a proof");
        let target = format!("{}{path}", self.url);
        let verified = dpop::verify(&compact, method, &target, token, UnixSeconds(self.now)).expect("a good proof");
        if verified.proof.nonce.as_ref() == Some(&self.nonce) {
            return Ok(verified.key);
        }
        let mut answer = problem(401, "use_dpop_nonce", true);
        answer.headers_mut().insert("dpop-nonce", self.nonce.parse().unwrap());
        Err(Box::new(answer))
    }
}

pub(crate) fn zero() -> String {
    format!("0x{}", "0".repeat(40))
}
