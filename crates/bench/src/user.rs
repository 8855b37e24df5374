//! A person with one enrolled device: signs up once, then does per signature exactly what a wallet client does.
//!
//! The PIN factor (Argon2id of the PIN, 64 MiB) is computed once per person, before anything is timed: it is the client's cost, on the
//! client's machine. Everything else of an operation is done every time: the DPoP proof, the check of the begin reply, the HPKE seal
//! with the device's signature, opening the reply, the check of the receipt, and recovering the signer. As in the client, the reply to a
//! signature carries the challenge for the next one, so that only the first begins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::bytes::ByteVec;
use pinseal_chains::evm::{RecoverableSig, personal_message_digest};

use pinseal_client::device::DeviceKey;
use pinseal_client::evidence::{DevelopmentMeasurements, DevelopmentMode, Policy};
use pinseal_client::{
    AppCredentials, Client, Configuration, EvidenceError, MemoryProfile, OperationError, Platform, Profile, SecretText,
    TransactionError,
};
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::dpop::{self, Proof};
use pinseal_protocol::envelope;
use pinseal_protocol::ids::{DeploymentId, DeviceId, Hash32, RequestId, UserIdHash};
use pinseal_protocol::intent::{AccountIndex, Intent, Signed};
use pinseal_protocol::manifest::Manifest;
use pinseal_protocol::pin::{PinFactor, PinParameters};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, Reply, SealedReply};
use pinseal_protocol::request::{
    BeginError, BeginReply, Body, Method, REQUEST_VERSION, Request, RequestHeader, SealedRequest, SignedBeginReply,
    Suite,
};
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{AccessToken, P256Public, token_hash};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::http::{Answer, Http};
use crate::mailbox::Codes;
use crate::system::Target;

/// Everybody's PIN.
pub(crate) const PIN: &str = "482915";
/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct-horse-7";
/// A session that ends sooner than this is refreshed first, as the client does.
const VALIDITY_SECONDS_MIN: u64 = 60;

/// What a reply left is used no later than this, as in the client.
const KEPT_MAX: Duration = Duration::from_secs(240);

/// What is kept of a registered person between runs.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Known {
    email: String,
    /// The device key, PKCS#8 in hex.
    device: String,
    /// The PIN factor in hex.
    factor: String,
    /// Address of account 0 in hex.
    address: String,
}

/// The boot everybody seals to, verified once.
#[derive(Debug)]
pub(crate) struct Boot {
    manifest: Manifest,
    hash: Hash32,
}

/// What came of an attempt to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Signed, and the signature is this wallet's over this message.
    Signed,
    /// The enclave says that the PIN is wrong.
    WrongPin,
    /// The enclave refused before it charged a try.
    Refused(Refusal),
}

/// An answer that breaks a promise: no restart, no refusal and no lost answer explains it.
#[derive(Debug, thiserror::Error)]
#[error("a promise is broken: {0}")]
pub(crate) struct Broken(pub(crate) &'static str);

/// True if nothing that an honest system may do explains an error: not a restart, nor a refusal that passes, nor an answer that is lost.
pub(crate) fn is_broken(error: &anyhow::Error) -> bool {
    if let Some(error) = error.downcast_ref::<OperationError>() {
        return match error {
            OperationError::Api(_) | OperationError::ReplyLost(_) | OperationError::ServiceFault { .. } => false,
            OperationError::Begin(begin) => is_unsound(*begin),
            OperationError::Refused { refusal } => !passes(*refusal),
            _ => true,
        };
    }
    if let Some(error) = error.downcast_ref::<EvidenceError>() {
        return !matches!(error, EvidenceError::Api(_));
    }
    if let Some(error) = error.downcast_ref::<TransactionError>() {
        return !matches!(error, TransactionError::Api(_) | TransactionError::OutcomeUnknown { .. });
    }
    error.is::<Broken>() || error.downcast_ref::<BeginError>().is_some_and(|begin| is_unsound(*begin))
}

/// Not what another boot answers to whoever has not heard of it.
const fn is_unsound(begin: BeginError) -> bool {
    !matches!(begin, BeginError::Signature | BeginError::OtherBoot)
}

/// True if an honest system refuses so for a moment. A record that is not the newest is none of its answers.
pub(crate) fn passes(refusal: Refusal) -> bool {
    refusal.is_retryable() && refusal != Refusal::RecordStale
}

/// Which PIN an attempt is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Right,
    Wrong,
}

struct Session {
    token: SecretText,
    hash: Hash32,
    expires: u64,
}

/// A logged-in person with one connection.
pub(crate) struct User {
    known: Known,
    client: Client,
    key: EcdsaKeyPair,
    public: P256Public,
    device: DeviceId,
    factor: Zeroizing<[u8; 32]>,
    address: [u8; 20],
    target: Target,
    http: Http,
    nonce: Option<String>,
    session: Option<Session>,
    receipt: Option<(u64, Vec<u8>)>,
    boot: Arc<Boot>,
    wallet: Option<UserIdHash>,
    /// What the last reply left for the next signature: the begin reply it stands for, its storage token, and when it came.
    next: Option<(BeginReply, String, Instant)>,
    messages: u64,
    /// Attempts that were answered with a verdict.
    decided: u64,
    /// The sealed request of the operation under way has left.
    sent: bool,
    /// From its leaving to the whole answer.
    exchange: Duration,
}

impl User {
    fn new(target: &Target, boot: Arc<Boot>, known: Known) -> anyhow::Result<Self> {
        let pkcs8 = Zeroizing::new(hex::decode(&known.device).context("device key")?);
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
            .map_err(|error| anyhow::anyhow!("device key: {error}"))?;
        let public = P256Public::of(&key);
        let mut factor = Zeroizing::new([0; 32]);
        hex::decode_to_slice(&known.factor, factor.as_mut()).context("PIN factor")?;
        let mut address = [0; 20];
        hex::decode_to_slice(&known.address, &mut address).context("address")?;
        Ok(Self {
            client: client(target, &pkcs8)?,
            device: public.thumbprint(),
            key,
            public,
            factor,
            address,
            target: target.clone(),
            http: Http::new(&target.url),
            nonce: None,
            session: None,
            receipt: None,
            boot,
            wallet: None,
            next: None,
            messages: 0,
            decided: 0,
            sent: false,
            exchange: Duration::ZERO,
            known,
        })
    }

    /// A new person: signs up, proves the address, logs in and registers a wallet.
    pub(crate) async fn register(
        target: &Target,
        boot: Arc<Boot>,
        mailbox: &tokio::sync::Mutex<Codes>,
        email: &str,
    ) -> anyhow::Result<Self> {
        let mut user = Self::stranger(target, boot, mailbox, email).await?;
        user.log_in().await?;
        user.compute_factor().await?;
        user.register_wallet().await?;
        Ok(user)
    }

    /// A person with an account and no wallet yet, not logged in.
    pub(crate) async fn stranger(
        target: &Target,
        boot: Arc<Boot>,
        mailbox: &tokio::sync::Mutex<Codes>,
        email: &str,
    ) -> anyhow::Result<Self> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|error| anyhow::anyhow!("device key: {error}"))?;
        let known = Known {
            email: email.to_owned(),
            device: hex::encode(pkcs8.as_ref()),
            factor: hex::encode([0; 32]),
            address: hex::encode([0; 20]),
        };
        let user = Self::new(target, boot, known)?;
        let password = SecretText::new(PASSWORD.to_owned());
        user.client.api().sign_up(email, &password, None).await.context("sign up")?;
        let code = mailbox.lock().await.code(email).await?;
        user.client.api().verify_email(email, &SecretText::new(code)).await.context("verify the address")?;
        Ok(user)
    }

    /// A person registered before, logged in.
    pub(crate) async fn again(target: &Target, boot: Arc<Boot>, known: Known) -> anyhow::Result<Self> {
        let mut user = Self::new(target, boot, known)?;
        user.log_in().await?;
        Ok(user)
    }

    /// What to keep.
    pub(crate) fn known(&self) -> Known {
        Known { factor: hex::encode(*self.factor), address: hex::encode(self.address), ..self.known.clone() }
    }

    /// The same login on a device that is not enrolled.
    pub(crate) async fn on_another_device(&self) -> anyhow::Result<Self> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|error| anyhow::anyhow!("device key: {error}"))?;
        let known = Known { device: hex::encode(pkcs8.as_ref()), ..self.known() };
        Self::again(&self.target, Arc::clone(&self.boot), known).await
    }

    /// Logs in with the password.
    pub(crate) async fn log_in(&mut self) -> anyhow::Result<()> {
        let password = SecretText::new(PASSWORD.to_owned());
        self.client.api().log_in(&self.known.email, &password).await.context("log in")?;
        self.take_session().await
    }

    async fn take_session(&mut self) -> anyhow::Result<()> {
        let session = self.client.profile().await.context("profile")?.session.context("no session")?;
        let hash = token_hash(session.access_token.expose_secret());
        self.session = Some(Session { token: session.access_token, hash, expires: session.access_expires.0 });
        Ok(())
    }

    /// The session's token, refreshed by the client shortly before it expires.
    async fn valid_session(&mut self) -> anyhow::Result<(SecretText, Hash32)> {
        if self.session.as_ref().is_none_or(|session| session.expires <= now() + VALIDITY_SECONDS_MIN) {
            self.client.api().me().await.context("refresh the session")?;
            self.take_session().await?;
        }
        let session = self.session.as_ref().context("not logged in")?;
        Ok((session.token.duplicate(), session.hash))
    }

    /// Argon2id of the PIN under the parameters of a first `begin`; [`User::register_wallet`] uses it, and every signature.
    pub(crate) async fn compute_factor(&mut self) -> anyhow::Result<()> {
        let (begin, _) = self.begin(Method::RegisterPrepare).await?;
        let deployment = self.boot.manifest.deployment;
        let factor = tokio::task::spawn_blocking(move || factor(PIN, &begin.next, &deployment, &begin.wallet));
        self.factor = factor.await.context("Argon2id")??;
        Ok(())
    }

    /// Registers a wallet: prepare, confirm. The factor is the one computed before; to the enclave it is 32 bytes.
    pub(crate) async fn register_wallet(&mut self) -> anyhow::Result<()> {
        let pin = pin_factor(&self.factor);
        let prepare = Request::RegisterPrepare { pin, words: 12, label: "bench".into() };
        ensure!(self.run(prepare).await? == Outcome::Prepared, "not prepared");
        let confirm = Request::RegisterConfirm { pin: pin_factor(&self.factor) };
        let Outcome::Registered(statement) = self.run(confirm).await? else { bail!("not registered") };
        let (begin, _) = self.begin(Method::Status).await?;
        let manifest = &self.boot.manifest;
        let said = statement.verify(&manifest.log, &manifest.deployment, &begin.wallet).context("forged address")?;
        self.address = said.address.as_slice().try_into().context("address")?;
        Ok(())
    }

    /// As [`User::sign`], under a `begin` of its own.
    pub(crate) async fn sign_afresh(&mut self, choice: Choice) -> anyhow::Result<Verdict> {
        self.next = None;
        self.sign(choice).await
    }

    /// One whole signature of a new message as the client makes it: sealed request, everything checked, and before it a `begin` where the
    /// last reply left no challenge for it.
    pub(crate) async fn sign(&mut self, choice: Choice) -> anyhow::Result<Verdict> {
        self.messages += 1;
        let message = format!("{} signs message number {}", self.known.email, self.messages);
        let intent = Intent::EvmPersonalMessage {
            account: AccountIndex::default(),
            message: ByteVec::from(message.clone().into_bytes()),
        };
        let mut factor = self.factor.clone();
        if choice == Choice::Wrong {
            factor[0] ^= 1;
        }
        let request = Request::Sign { pin: pin_factor(&factor), intents: vec![intent] };
        self.sent = false;
        match self.run(request).await? {
            Outcome::Signed(results) => {
                self.decided += 1;
                let [Signed::EvmSignature { signature }] = results.as_slice() else { bail!(Broken("other results")) };
                let digest = personal_message_digest(message.as_bytes());
                let signer = signature
                    .as_slice()
                    .try_into()
                    .ok()
                    .and_then(RecoverableSig::from_bytes)
                    .and_then(|signature| signature.recover_address(&digest))
                    .context(Broken("no signature"))?;
                ensure!(signer.0 == self.address, Broken("somebody else's signature"));
                Ok(Verdict::Signed)
            }
            Outcome::WrongPin => {
                self.decided += 1;
                Ok(Verdict::WrongPin)
            }
            Outcome::Refused(refusal) => Ok(Verdict::Refused(refusal)),
            Outcome::ServiceFault => bail!("charged, and not judged"),
            _ => bail!(Broken("an outcome of something else")),
        }
    }

    /// Enrols the device.
    pub(crate) async fn enrol(&mut self) -> anyhow::Result<()> {
        let request = Request::EnrolDevice { pin: pin_factor(&self.factor), label: "second".into() };
        ensure!(self.run(request).await? == Outcome::DeviceEnrolled, "not enrolled");
        self.decided += 1;
        Ok(())
    }

    /// A wrong PIN, given to enrol this device: all that somebody can try who has no more than the login.
    pub(crate) async fn enrol_with_wrong_pin(&mut self) -> anyhow::Result<Verdict> {
        let mut factor = self.factor.clone();
        factor[0] ^= 1;
        self.sent = false;
        match self.run(Request::EnrolDevice { pin: pin_factor(&factor), label: "stranger".into() }).await? {
            Outcome::WrongPin => {
                self.decided += 1;
                Ok(Verdict::WrongPin)
            }
            Outcome::Refused(refusal) => Ok(Verdict::Refused(refusal)),
            Outcome::ServiceFault => bail!("charged, and not judged"),
            _ => bail!(Broken("an outcome of something else")),
        }
    }

    /// Seals to another boot from now on.
    ///
    /// # Errors
    /// It is another deployment's.
    pub(crate) fn believe(&mut self, boot: Arc<Boot>) -> anyhow::Result<()> {
        let (before, now) = (&self.boot.manifest, &boot.manifest);
        ensure!((before.deployment, &before.log) == (now.deployment, &now.log), Broken("another deployment"));
        self.boot = boot;
        Ok(())
    }

    /// True if the last attempt got as far as handing its sealed request on.
    pub(crate) const fn was_sent(&self) -> bool {
        self.sent
    }

    /// How long the last sealed request was under way: what somebody on the wire sees.
    pub(crate) const fn exchange(&self) -> Duration {
        self.exchange
    }

    /// Attempts to sign that were answered with a verdict on the PIN, right or wrong.
    pub(crate) const fn decided(&self) -> u64 {
        self.decided
    }

    /// The wallet's name towards the enclave, once it has said it.
    pub(crate) const fn wallet(&self) -> Option<UserIdHash> {
        self.wallet
    }

    /// The newest receipt.
    pub(crate) fn receipt(&self) -> Option<Vec<u8>> {
        self.receipt.as_ref().map(|(_, note)| note.clone())
    }

    async fn run(&mut self, request: Request) -> anyhow::Result<Outcome> {
        let method = request.method();
        let kept = self.next.take().filter(|(begin, _, since)| {
            begin.method == method && begin.manifest == self.boot.hash && since.elapsed() < KEPT_MAX
        });
        let (begin, storage_token) = match kept {
            Some((begin, storage_token, _)) => (begin, storage_token),
            None => self.begin(method).await?,
        };
        let (token, hash) = self.valid_session().await?;
        let header = RequestHeader {
            version: REQUEST_VERSION,
            suite: Suite::X25519Aes256Gcm,
            manifest: self.boot.hash,
            method,
            request: RequestId(random()?),
            challenge: begin.challenge.clone(),
            token: hash,
            device: self.device,
            receipt_size: self.receipt.as_ref().map_or(0, |(size, _)| *size),
        };
        let body = Body {
            access_token: AccessToken::new(token.duplicate()),
            device_key: self.public,
            receipt: self.receipt.as_ref().map(|(_, note)| ByteVec::from(note.clone())),
            request,
        };
        let sign = |bytes: &[u8]| self.key.sign(&SystemRandom::new(), bytes).ok()?.as_ref().try_into().ok();
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let (sealed, opener) = envelope::seal(&self.boot.manifest.hpke, header, &body, &mut rng, sign)?;
        drop(body);
        self.wallet = Some(begin.wallet);
        self.sent = true;
        let (reply, storage_token) = self.send(&token, &storage_token, &sealed).await?;
        let reply: Reply = opener.open(&reply).context(Broken("a sealed reply that does not open"))?;
        let manifest = &self.boot.manifest;
        let shown = Checkpoint::verify(&reply.receipt, &manifest.deployment, &manifest.log);
        let shown = shown.context(Broken("a receipt that the log's key did not sign"))?;
        ensure!(self.receipt.as_ref().is_none_or(|(held, _)| *held <= shown.size), Broken("the state was rolled back"));
        self.receipt = Some((shown.size, reply.receipt.to_vec()));
        if let (Some(next), Some(storage_token)) = (reply.next, storage_token) {
            let next = next.into_begin(begin.manifest, begin.wallet, self.device, method, reply.time)?;
            self.next = Some((next, storage_token, Instant::now()));
        }
        Ok(reply.outcome)
    }

    async fn begin(&mut self, method: Method) -> anyhow::Result<(BeginReply, String)> {
        let (token, hash) = self.valid_session().await?;
        let body = json!({ "method": method.name() }).to_string();
        let answer = self.post_proven("/v1/wallet/begin", &token, hash, body.as_bytes()).await?;
        let json = success(&answer)?;
        let encoded = hex::decode(json["begin"].as_str().context("no begin reply")?).context("begin reply")?;
        let signed: SignedBeginReply = cbor::from_slice(&encoded).context("begin reply")?;
        let begin = signed.verify(&self.boot.manifest.boot, &self.boot.hash, &self.device, method)?;
        Ok((begin, json["storage_token"].as_str().context("no storage token")?.to_owned()))
    }

    async fn send(
        &mut self,
        token: &SecretText,
        storage_token: &str,
        sealed: &SealedRequest,
    ) -> anyhow::Result<(SealedReply, Option<String>)> {
        let body = json!({ "storage_token": storage_token, "request": hex::encode(cbor::to_vec(sealed)) }).to_string();
        let authorization = format!("DPoP {}", token.expose_secret());
        let headers = [
            ("x-pinseal-app-id", self.target.app_id.as_str()),
            ("x-pinseal-app-key", self.target.app_key.as_str()),
            ("authorization", authorization.as_str()),
        ];
        let begun = Instant::now();
        let answer = self.http.post("/v1/wallet/sealed", &headers, body.as_bytes()).await?;
        self.exchange = begun.elapsed();
        let json = success(&answer)?;
        let encoded = hex::decode(json["reply"].as_str().context("no reply")?).context("reply")?;
        let reply = cbor::from_slice(&encoded).context("reply")?;
        Ok((reply, json["storage_token"].as_str().map(str::to_owned)))
    }

    /// With access token and proof; once more if the server wants a newer nonce.
    async fn post_proven(
        &mut self,
        path: &str,
        token: &SecretText,
        hash: Hash32,
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let mut asked = false;
        loop {
            let proof = Proof {
                jti: hex::encode(random::<16>()?),
                htm: "POST".into(),
                htu: format!("{}{path}", self.target.url),
                iat: now(),
                ath: Some(URL_SAFE_NO_PAD.encode(hash.0)),
                nonce: self.nonce.clone(),
            };
            let proof = dpop::sign(&proof, &self.key).context("DPoP proof")?;
            let authorization = format!("DPoP {}", token.expose_secret());
            let headers = [
                ("x-pinseal-app-id", self.target.app_id.as_str()),
                ("x-pinseal-app-key", self.target.app_key.as_str()),
                ("authorization", authorization.as_str()),
                ("dpop", proof.as_str()),
            ];
            let answer = self.http.post(path, &headers, body).await?;
            if let Some(nonce) = &answer.dpop_nonce {
                self.nonce = Some(nonce.clone());
            }
            if asked || answer.status != 401 || answer.json()["code"] != "use_dpop_nonce" {
                return Ok(answer);
            }
            asked = true;
        }
    }
}

/// Verifies the enclave's evidence and takes the boot's keys from it.
pub(crate) async fn attest(target: &Target) -> anyhow::Result<Arc<Boot>> {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(|error| anyhow::anyhow!("device key: {error}"))?;
    let attested = client(target, pkcs8.as_ref())?.attest().await.context("evidence")?;
    let manifest = attested.manifest().clone();
    Ok(Arc::new(Boot { hash: manifest.hash(), manifest }))
}

fn pin_factor(bytes: &[u8; 32]) -> PinFactor {
    PinFactor::new(SecretBytes::take(&mut { *bytes }))
}

/// The client of a device.
pub(crate) fn client(target: &Target, pkcs8: &[u8]) -> anyhow::Result<Client> {
    let profile =
        Profile { device: DeviceKey::from_pkcs8(pkcs8).context("device key")?, ..Profile::new().context("profile")? };
    let mode = DevelopmentMode::i_understand_this_proves_nothing();
    let app = AppCredentials {
        id: target.app_id.clone(),
        key: SecretText::new(target.app_key.clone()),
        platform: Platform::Server,
    };
    let configuration = Configuration::new(
        target.url.parse().context("server URL")?,
        app,
        Policy::development(mode, DevelopmentMeasurements::Any),
        Arc::new(MemoryProfile::holding(profile)),
    );
    Client::new(configuration).context("client")
}

fn success(answer: &Answer) -> anyhow::Result<Value> {
    let json = answer.json();
    ensure!(answer.status == 200, "{} {json}", answer.status);
    Ok(json)
}

fn factor(
    pin: &str,
    parameters: &PinParameters,
    deployment: &DeploymentId,
    wallet: &UserIdHash,
) -> anyhow::Result<Zeroizing<[u8; 32]>> {
    let cost = parameters.argon2;
    let cost = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .map_err(|error| anyhow::anyhow!("Argon2id: {error}"))?;
    let mut out = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost)
        .hash_password_into(pin.as_bytes(), &parameters.argon2_salt(deployment, wallet).0, out.as_mut())
        .map_err(|error| anyhow::anyhow!("Argon2id: {error}"))?;
    Ok(out)
}

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut out = [0; N];
    getrandom::fill(&mut out).context("randomness")?;
    Ok(out)
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_promise_is_told_from_a_restart() {
        let told = |error: anyhow::Error| is_broken(&error.context("sign"));
        let refused = |refusal| OperationError::Refused { refusal }.into();
        for broken in [
            Broken("somebody else's signature").into(),
            OperationError::StateRolledBack.into(),
            OperationError::Begin(BeginError::Parameters).into(),
            refused(Refusal::RecordDamaged),
            refused(Refusal::RecordStale),
            BeginError::Malformed.into(),
            EvidenceError::LogKeyChanged.into(),
            TransactionError::OtherTransaction.into(),
        ] {
            assert!(told(broken));
        }
        for passing in [
            refused(Refusal::NotDurable),
            OperationError::Begin(BeginError::OtherBoot).into(),
            BeginError::Signature.into(),
            anyhow::anyhow!("the connection was closed"),
        ] {
            assert!(!told(passing));
        }
    }
}
