//! One HTTP exchange: headers, DPoP with the server's nonce, bounded bodies, problems.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pinseal_protocol::dpop::{self, Proof};
use pinseal_protocol::token::token_hash;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Response, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{Api, ApiError, Platform, ProblemError, ServerUrl, text};
use crate::device::DeviceKey;
use crate::environment;

/// Longest answer read. The largest honest one is a sealed reply to a request of 256 KiB, in hex.
pub const RESPONSE_BYTES_MAX: usize = 1024 * 1024;
/// Time for a connection; networks that take longer do not work for the rest either.
const CONNECT_SECONDS_MAX: u64 = 10;
/// Time for a whole call; the server gives up before.
const CALL_SECONDS_MAX: u64 = 60;
/// Longest DPoP nonce taken from the server.
const NONCE_BYTES_MAX: usize = 256;

/// How a call shows who makes it.
#[derive(Clone, Copy)]
pub(super) enum Authorization<'a> {
    /// App credentials only.
    App,
    /// And a DPoP proof of the device key, without a token.
    Device(&'a DeviceKey),
    /// And the access token with a DPoP proof over it.
    Session(&'a DeviceKey, &'a str),
    /// And the access token alone: the sealed body carries the device's signature.
    Token(&'a str),
}

/// One call.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a [&'a str],
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
    pub(super) idempotency_key: Option<String>,
    /// The server may have had it, from here on.
    left: AtomicBool,
}

impl<'a> Call<'a> {
    pub(super) fn get(path: &'a [&'a str]) -> Self {
        Self {
            method: Method::GET,
            path,
            query: Vec::new(),
            body: None,
            idempotency_key: None,
            left: AtomicBool::new(false),
        }
    }

    /// Whether a request with it has left this device: what is no answer says nothing of that one.
    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    pub(super) fn delete(path: &'a [&'a str]) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    pub(super) fn post<B: Serialize>(path: &'a [&'a str], body: &B) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(body).map_err(|_| ApiError::Malformed("request body"))?;
        Ok(Self { method: Method::POST, body: Some(Zeroizing::new(body)), ..Self::get(path) })
    }

    pub(super) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    pub(super) fn idempotent(mut self, key: String) -> Self {
        self.idempotency_key = Some(key);
        self
    }
}

/// A client that follows no redirect (a redirected POST would carry a PIN-bearing body elsewhere) and uses no proxy from the
/// environment.
pub(super) fn http_client(server: &ServerUrl) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
        .timeout(Duration::from_secs(CALL_SECONDS_MAX))
        .user_agent(concat!("pinseal-client/", env!("CARGO_PKG_VERSION")));
    if server.is_plain() {
        // A laptop server needs no TLS, so a machine without CA certificates is no obstacle.
        builder.tls_certs_only([]).build()
    } else {
        builder.https_only(true).build()
    }
}

impl Api {
    /// Makes a call; once more with a fresh nonce if the server asks for one.
    pub(super) async fn exchange<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        authorization: Authorization<'_>,
    ) -> Result<T, ApiError> {
        let first = self.attempt(call, authorization).await;
        let answer = match first {
            Err(ApiError::Problem(problem)) if problem.status == 401 && problem.code == "use_dpop_nonce" => {
                self.attempt(call, authorization).await
            }
            other => other,
        }?;
        // An empty answer stands for an empty object.
        let answer = if answer.is_empty() { b"{}".as_slice() } else { &answer };
        text::read(answer).map_err(|_| ApiError::Malformed("response body"))
    }

    async fn attempt(&self, call: &Call<'_>, authorization: Authorization<'_>) -> Result<Zeroizing<Vec<u8>>, ApiError> {
        let url = self.inner.server.join(call.path);
        let headers = self.headers(call, authorization, url.as_str())?;
        let mut request = self.inner.http.request(call.method.clone(), {
            let mut url = url;
            if !call.query.is_empty() {
                url.query_pairs_mut().extend_pairs(&call.query);
            }
            url
        });
        request = request.headers(headers);
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        }
        call.left.store(true, Ordering::Relaxed);
        let response = request.send().await.map_err(|error| ApiError::Transport(error.without_url()))?;
        self.keep_nonce(response.headers());
        let status = response.status();
        let body = read_bounded(response).await?;
        if status.is_success() {
            return Ok(body);
        }
        Err(ProblemError::read(status.as_u16(), &body)
            .map_or(ApiError::Status(status.as_u16()), |problem| ApiError::Problem(Box::new(problem))))
    }

    fn headers(&self, call: &Call<'_>, authorization: Authorization<'_>, target: &str) -> Result<HeaderMap, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert("x-pinseal-app-id", header(&self.inner.app.id)?);
        headers.insert("x-pinseal-app-key", secret_header(self.inner.app.key.expose_secret())?);
        if let Platform::Bundle(bundle) = &self.inner.app.platform {
            headers.insert("x-pinseal-bundle", header(bundle)?);
        }
        if let Some(key) = &call.idempotency_key {
            headers.insert("idempotency-key", header(key)?);
        }
        let (device, token) = match authorization {
            Authorization::App => (None, None),
            Authorization::Device(device) => (Some(device), None),
            Authorization::Session(device, token) => (Some(device), Some(token)),
            Authorization::Token(token) => (None, Some(token)),
        };
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, secret_header(&format!("DPoP {token}"))?);
        }
        if let Some(device) = device {
            headers.insert("dpop", secret_header(&self.proof(call, device, token, target)?)?);
        }
        Ok(headers)
    }

    fn proof(
        &self,
        call: &Call<'_>,
        device: &DeviceKey,
        token: Option<&str>,
        target: &str,
    ) -> Result<String, ApiError> {
        let environment = &*self.inner.environment;
        let proof = Proof {
            jti: hex::encode(environment::random::<16>(environment)),
            htm: call.method.as_str().to_owned(),
            htu: target.to_owned(),
            iat: environment.now().0,
            ath: token.map(|token| URL_SAFE_NO_PAD.encode(token_hash(token).0)),
            nonce: self.inner.nonce.lock().ok().and_then(|nonce| nonce.clone()),
        };
        dpop::sign(&proof, device.pair()).map_err(|_| ApiError::Signing)
    }

    fn keep_nonce(&self, headers: &HeaderMap) {
        let nonce = headers.get("dpop-nonce").and_then(|value| value.to_str().ok());
        if let (Some(nonce), Ok(mut kept)) = (nonce, self.inner.nonce.lock())
            && nonce.len() <= NONCE_BYTES_MAX
        {
            *kept = Some(nonce.to_owned());
        }
    }
}

fn header(value: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(value).map_err(|_| ApiError::Malformed("request header"))
}

fn secret_header(value: &str) -> Result<HeaderValue, ApiError> {
    let mut value = header(value)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The announced length is checked first, the real one as it comes.
async fn read_bounded(mut response: Response) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    if response.content_length().is_some_and(|length| length > RESPONSE_BYTES_MAX as u64) {
        return Err(ApiError::TooLong);
    }
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| ApiError::Transport(error.without_url()))? {
        if body.len() + chunk.len() > RESPONSE_BYTES_MAX {
            return Err(ApiError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
