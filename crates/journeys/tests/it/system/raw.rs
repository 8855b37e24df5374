//! Sealed requests made by hand, so that a test can hold them back, change them and send them as often as it likes.

use core::convert::Infallible;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pinseal_client::profile::Session;
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::dpop::{self, Proof};
use pinseal_protocol::envelope::{self, ReplyOpener};
use pinseal_protocol::ids::{DeploymentId, RequestId, UserIdHash};
use pinseal_protocol::manifest::Manifest;
use pinseal_protocol::pin::{PinFactor, PinParameters};
use pinseal_protocol::reply::{Outcome, Reply, SealedReply};
use pinseal_protocol::request::{
    BeginReply, Body, Method, REQUEST_VERSION, Request, RequestHeader, SealedRequest, SignedBeginReply, Suite,
};
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{P256Public, StorageClaims, token_hash};
use pinseal_server::{SealedCall, Wallets as _, WalletsError};
use rand_core::{TryCryptoRng, TryRng};
use serde_json::{Value, json};

use super::System;
use super::device::Device;

/// A request ready to be sent.
pub(crate) struct Sealed {
    pub(crate) begin: BeginReply,
    pub(crate) storage_token: String,
    pub(crate) access_token: String,
    pub(crate) request: SealedRequest,
    /// What the request's ephemeral key was derived from.
    pub(crate) ephemeral: Ephemeral,
    opener: ReplyOpener,
}

/// Randomness that can be used again: whoever has it has the client's half of the envelope.
#[derive(Clone)]
pub(crate) struct Ephemeral([u8; 32]);

impl Ephemeral {
    fn fresh() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).unwrap();
        Self(bytes)
    }
}

impl TryRng for Ephemeral {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("an envelope takes bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("an envelope takes bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

impl TryCryptoRng for Ephemeral {}

/// What the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The problem's code, or nothing for a success.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The sealed reply.
    pub(crate) fn reply(&self) -> SealedReply {
        let body = self.json();
        let reply = body["reply"].as_str().unwrap_or_else(|| panic!("no reply but {} {body}", self.status));
        cbor::from_slice(&hex::decode(reply).unwrap()).unwrap()
    }
}

impl Sealed {
    pub(crate) fn open(&self, answer: &Answer) -> Reply {
        self.opener.open(&answer.reply()).unwrap()
    }

    pub(crate) fn outcome(&self, answer: &Answer) -> Outcome {
        self.open(answer).outcome
    }

    pub(crate) fn outcome_of(&self, reply: &SealedReply) -> Outcome {
        self.opener.open(reply).unwrap().outcome
    }
}

impl System {
    /// Hands a sealed request on without any of the server's checks, as a hostile host does: what comes back the enclave says.
    pub(crate) async fn hand_on(&self, storage_token: &str, request: &SealedRequest) -> SealedReply {
        self.try_hand_on(storage_token, request).await.unwrap()
    }

    /// As [`System::hand_on`], for what may be refused in clear.
    pub(crate) async fn try_hand_on(
        &self,
        storage_token: &str,
        request: &SealedRequest,
    ) -> Result<SealedReply, WalletsError> {
        let now = pinseal_host::Clock::now(&*self.clock);
        let wallet = wallet_named(storage_token);
        let storage_token = storage_token.to_owned().into();
        let call = SealedCall { storage_token, wallet, request: request.clone(), now };
        self.current.sealed(call).await
    }
}

/// The wallet a storage token names.
fn wallet_named(storage_token: &str) -> UserIdHash {
    let claims = storage_token.split('.').nth(1).unwrap();
    let claims: StorageClaims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    UserIdHash::from_hex(&claims.wallet).unwrap()
}

/// A factor no PIN has.
pub(crate) fn wrong_factor() -> PinFactor {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    PinFactor::new(SecretBytes::take(&mut bytes))
}

/// The factor of a PIN.
pub(crate) fn factor(
    pin: &str,
    parameters: &PinParameters,
    deployment: &DeploymentId,
    wallet: &UserIdHash,
) -> PinFactor {
    let cost = parameters.argon2;
    let cost = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).unwrap();
    let mut out = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost)
        .hash_password_into(pin.as_bytes(), &parameters.argon2_salt(deployment, wallet).0, &mut out)
        .unwrap();
    PinFactor::new(SecretBytes::take(&mut out))
}

pub(crate) fn random_request() -> RequestId {
    let mut id = [0; 16];
    getrandom::fill(&mut id).unwrap();
    RequestId(id)
}

impl Device {
    /// The session, refreshed by the client if it is about to expire.
    pub(crate) async fn session(&self) -> Session {
        let session = self.client.profile().await.unwrap().session.unwrap();
        if session.access_expires.0 > self.clock.unix() + 60 {
            return session;
        }
        self.client.api().me().await.unwrap();
        self.client.profile().await.unwrap().session.unwrap()
    }

    /// A call with app credentials and whatever else.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> (Answer, Option<String>) {
        let mut request = self
            .http
            .post(format!("{}{path}", self.url))
            .header("x-pinseal-app-id", &self.app.id)
            .header("x-pinseal-app-key", &self.app.key)
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body.to_string()).send().await.unwrap();
        let nonce = answer.headers().get("dpop-nonce").map(|nonce| nonce.to_str().unwrap().to_owned());
        (Answer { status: answer.status().as_u16(), body: answer.bytes().await.unwrap().to_vec() }, nonce)
    }

    /// A call with access token and proof, with the nonce the server asks for.
    pub(crate) async fn post_proven(&self, path: &str, access_token: &str, body: &Value) -> Answer {
        let mut asked = false;
        loop {
            let nonce = self.nonce.lock().unwrap().clone();
            let proof = Proof {
                jti: random_request().to_string(),
                htm: "POST".into(),
                htu: format!("{}{path}", self.url),
                iat: self.clock.unix(),
                ath: Some(URL_SAFE_NO_PAD.encode(token_hash(access_token).0)),
                nonce,
            };
            let proof = dpop::sign(&proof, &self.key).unwrap();
            let token = format!("DPoP {access_token}");
            let (answer, fresh) = self.post(path, &[("authorization", &token), ("dpop", &proof)], body).await;
            *self.nonce.lock().unwrap() = fresh;
            if asked || answer.code() != "use_dpop_nonce" {
                return answer;
            }
            asked = true;
        }
    }

    /// Begins an operation: what the enclave says, and the storage token. Otherwise the refusal.
    async fn try_begin(&self, method: Method) -> Result<(BeginReply, String), Answer> {
        let session = self.session().await;
        let body = json!({"method": method.name()});
        let answer = self.post_proven("/v1/wallet/begin", session.access_token.expose_secret(), &body).await;
        if answer.status != 200 {
            return Err(answer);
        }
        let json = answer.json();
        let begin = hex::decode(json["begin"].as_str().unwrap()).unwrap();
        let signed: SignedBeginReply = cbor::from_slice(&begin).unwrap();
        Ok((cbor::from_slice(&signed.reply).unwrap(), json["storage_token"].as_str().unwrap().to_owned()))
    }

    /// As [`Device::try_begin`], where there is no reason to refuse.
    pub(crate) async fn begin(&self, method: Method) -> (BeginReply, String) {
        self.try_begin(method).await.unwrap_or_else(|answer| panic!("{} {}", answer.status, answer.json()))
    }

    /// Begins and seals, as an honest client would.
    pub(crate) async fn prepare(
        &self,
        manifest: &Manifest,
        method: Method,
        request: impl FnOnce(&BeginReply) -> Request,
    ) -> Sealed {
        let (begin, storage_token) = self.begin(method).await;
        let request = request(&begin);
        self.seal(manifest, begin, storage_token, request).await
    }

    /// As [`Device::prepare`], or the refusal of its begin.
    pub(crate) async fn try_prepare(
        &self,
        manifest: &Manifest,
        method: Method,
        request: impl FnOnce(&BeginReply) -> Request,
    ) -> Result<Sealed, Answer> {
        let (begin, storage_token) = self.try_begin(method).await?;
        let request = request(&begin);
        Ok(self.seal(manifest, begin, storage_token, request).await)
    }

    /// A wrong PIN, ready to be sent.
    pub(crate) async fn prepare_wrong(&self, manifest: &Manifest) -> Sealed {
        self.prepare(manifest, Method::VerifyPin, |_| Request::VerifyPin { pin: wrong_factor() }).await
    }

    /// Seals under a begin reply, whoever's it is.
    pub(crate) async fn seal(
        &self,
        manifest: &Manifest,
        begin: BeginReply,
        storage_token: String,
        request: Request,
    ) -> Sealed {
        let session = self.client.profile().await.unwrap().session.unwrap();
        self.seal_with(manifest, begin, storage_token, session.access_token.expose_secret(), request).await
    }

    /// Seals with whatever access token.
    pub(crate) async fn seal_with(
        &self,
        manifest: &Manifest,
        begin: BeginReply,
        storage_token: String,
        access_token: &str,
        request: Request,
    ) -> Sealed {
        let access_token = access_token.to_owned();
        let kept = self.receipt.lock().unwrap().clone();
        let receipt = match kept {
            Some(receipt) => Some(receipt),
            None => self.client.profile().await.unwrap().receipt.map(|receipt| receipt.note),
        };
        let header = RequestHeader {
            version: REQUEST_VERSION,
            suite: Suite::X25519Aes256Gcm,
            manifest: manifest.hash(),
            method: request.method(),
            request: random_request(),
            challenge: begin.challenge.clone(),
            token: token_hash(&access_token),
            device: self.id(),
            receipt_size: receipt.as_ref().map_or(0, |note| Checkpoint::read_unverified(note).unwrap().size),
        };
        let body = Body {
            access_token: access_token.clone().into(),
            device_key: P256Public::of(&self.key),
            receipt: receipt.map(Into::into),
            request,
        };
        let sign = |message: &[u8]| self.key.sign(&SystemRandom::new(), message).ok()?.as_ref().try_into().ok();
        let ephemeral = Ephemeral::fresh();
        let (request, opener) = envelope::seal(&manifest.hpke, header, &body, &mut ephemeral.clone(), sign).unwrap();
        Sealed { begin, storage_token, access_token, request, ephemeral, opener }
    }

    /// Presents this reply's receipt from now on.
    pub(crate) fn keep_receipt(&self, reply: &Reply) {
        *self.receipt.lock().unwrap() = Some(reply.receipt.to_vec());
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, sealed: &Sealed) -> Answer {
        self.send_as(sealed, &sealed.storage_token, &sealed.request).await
    }

    /// Sends other bytes or another storage token under the same login.
    pub(crate) async fn send_as(&self, sealed: &Sealed, storage_token: &str, request: &SealedRequest) -> Answer {
        self.send_bytes(&sealed.access_token, storage_token, &cbor::to_vec(request)).await
    }

    pub(crate) async fn send_bytes(&self, access_token: &str, storage_token: &str, request: &[u8]) -> Answer {
        let body = json!({"storage_token": storage_token, "request": hex::encode(request)});
        self.post("/v1/wallet/sealed", &[("authorization", &format!("DPoP {access_token}"))], &body).await.0
    }
}
