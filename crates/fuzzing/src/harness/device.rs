//! People's devices, which seal for real.

use minicbor::bytes::ByteVec;
use pinseal_protocol::aead::OVERHEAD_BYTES;
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::{Checkpoint, NOTE_BYTES_MAX};
use pinseal_protocol::envelope::{self, REPLY_BLOCK_BYTES, ReplyOpener};
use pinseal_protocol::ids::{DeviceId, RequestId, UserIdHash};
use pinseal_protocol::kdf;
use pinseal_protocol::limits::{ACCOUNTS_MAX, HISTORY_WRITES_MAX, INTENTS_MAX};
use pinseal_protocol::manifest::Manifest;
use pinseal_protocol::pin::{PinFactor, PinParameters};
use pinseal_protocol::reply::{Outcome, Reply, SealedReply};
use pinseal_protocol::request::{
    BeginReply, Body, Method, REQUEST_VERSION, Request, RequestHeader, SealedRequest, Suite,
};
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{P256Public, token_hash};
use zeroize::Zeroizing;

use super::host::{Answer, Host};
use super::keys;
use super::randomness::Randomness;

/// The PIN of every wallet of the harness.
pub const PIN: u8 = 1;

/// A device of a user.
#[derive(Clone)]
pub struct Device {
    /// Whose it is.
    pub user: &'static str,
    /// Number of its key.
    pub key: usize,
    /// The newest signed checkpoint it holds.
    pub receipt: Option<Vec<u8>>,
    /// What the last reply left for a further request, whatever became of it since.
    pub next: Option<BeginReply>,
    requests: u64,
}

/// A sealed request and the means to open its reply.
pub struct Sealed {
    /// The wallet it is about.
    pub wallet: UserIdHash,
    /// As it travels.
    pub request: SealedRequest,
    /// Opens its reply.
    pub opener: ReplyOpener,
    /// The size its reply has, whatever it says.
    pub reply_bytes: usize,
}

/// Salt, commitment and tag of a sealed reply.
const REPLY_OVERHEAD_BYTES: usize = 32 + OVERHEAD_BYTES;

/// The size of every reply to a request, counted once more beside the enclave's count.
fn reply_bytes(request: &Request) -> usize {
    let outcome = match request {
        Request::Sign { intents, .. } => {
            let counted = &intents[..intents.len().min(INTENTS_MAX)];
            counted.iter().map(|intent| intent.payload_bytes() + 256).sum()
        }
        Request::ListAccounts { accounts } => 512 * accounts.len().min(ACCOUNTS_MAX),
        Request::Status => 1_024,
        Request::OpenHistory { writes } => 64 + 64 * writes.len().min(HISTORY_WRITES_MAX),
        _ => 512,
    };
    // A signature's reply has room for the challenge of the next.
    let next = if matches!(request, Request::Sign { .. }) { 256 } else { 0 };
    (NOTE_BYTES_MAX + 256 + outcome + next).next_multiple_of(REPLY_BLOCK_BYTES) + REPLY_OVERHEAD_BYTES
}

/// The factor of a PIN; a hash stands for Argon2id, which runs on the client.
pub fn factor(pin: u8, parameters: &PinParameters) -> PinFactor {
    PinFactor::new(SecretBytes::take(&mut kdf::hash("fuzz pin", &[&[pin], &parameters.salt.0]).0))
}

impl Device {
    /// A device with this key, which has seen nothing yet.
    pub const fn new(user: &'static str, key: usize) -> Self {
        Self { user, key, receipt: None, next: None, requests: 0 }
    }

    /// Its key's public half.
    pub fn public(&self) -> P256Public {
        P256Public::of(keys::key(self.key))
    }

    /// Its name: the key's thumbprint.
    pub fn id(&self) -> DeviceId {
        self.public().thumbprint()
    }

    pub(crate) fn begin(&self, host: &mut Host, method: Method) -> Option<(BeginReply, String)> {
        let token = host.token(self.user, &self.id());
        Some((host.begin(&token, &self.id(), method)?, token))
    }

    /// The header that goes with a body.
    pub fn header(&mut self, manifest: &Manifest, begin: &BeginReply, token: &str) -> RequestHeader {
        self.requests += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.requests.to_be_bytes());
        id[8] = u8::try_from(self.key).unwrap_or(0);
        RequestHeader {
            version: REQUEST_VERSION,
            suite: Suite::X25519Aes256Gcm,
            manifest: manifest.hash(),
            method: begin.method,
            request: RequestId(id),
            challenge: begin.challenge.clone(),
            token: token_hash(token),
            device: self.id(),
            receipt_size: self.seen(),
        }
    }

    /// Entries of the log that its receipt is of.
    pub fn seen(&self) -> u64 {
        let read = |note: &Vec<u8>| Checkpoint::read_unverified(note).expect("a receipt is a checkpoint").size;
        self.receipt.as_ref().map_or(0, read)
    }

    /// What is sealed.
    pub fn body(&self, token: &str, request: Request) -> Body {
        let receipt = self.receipt.clone().map(ByteVec::from);
        Body { access_token: token.to_owned().into(), device_key: self.public(), receipt, request }
    }

    /// Seals; `None` if the request is longer than any request may be.
    pub fn seal(&self, manifest: &Manifest, begin: &BeginReply, header: RequestHeader, body: &Body) -> Option<Sealed> {
        let mut randomness = Randomness::new(self.requests ^ 0x5ea1);
        let sign = |message: &[u8]| Some(keys::es256(keys::key(self.key), message));
        let (request, opener) = envelope::seal(&manifest.hpke, header, body, &mut randomness, sign).ok()?;
        Some(Sealed { wallet: begin.wallet, request, opener, reply_bytes: reply_bytes(&body.request) })
    }

    /// Opens a reply, and keeps its receipt as a client does.
    pub fn open(&mut self, manifest: &Manifest, opener: &ReplyOpener, reply: &SealedReply) -> Reply {
        let reply = opener.open(reply).expect("the enclave's reply opens");
        let verified = Checkpoint::verify(&reply.receipt, &manifest.deployment, &manifest.log);
        verified.expect("every reply carries a signed checkpoint");
        if !matches!(reply.outcome, Outcome::Refused(_)) {
            self.receipt = Some(reply.receipt.to_vec());
        }
        reply
    }

    /// A whole operation with an honest host.
    pub(crate) fn run(&mut self, host: &mut Host, method: Method, ask: impl FnOnce(&BeginReply) -> Request) -> Outcome {
        let (begin, token) = self.begin(host, method).expect("an honest begin is answered");
        let header = self.header(host.manifest(), &begin, &token);
        let body = self.body(&token, ask(&begin));
        let sealed = self.seal(host.manifest(), &begin, header, &body).expect("short");
        let call = host.submit(&sealed.wallet, &sealed.request);
        host.commit_all();
        match host.answers.remove(&call) {
            Some(Answer::Replied(reply)) => self.open(host.manifest(), &sealed.opener, &reply).outcome,
            other => panic!("{method:?}: {other:?}"),
        }
    }

    /// Makes and confirms a wallet.
    pub(crate) fn register(&mut self, host: &mut Host) {
        self.prepare(host);
        let confirmed = self.run(host, Method::RegisterConfirm, |begin| Request::RegisterConfirm {
            pin: factor(PIN, &begin.pending.expect("prepared")),
        });
        assert!(matches!(confirmed, Outcome::Registered(_)), "{confirmed:?}");
    }

    /// Makes a wallet.
    pub(crate) fn prepare(&mut self, host: &mut Host) {
        let label = "laptop".to_owned();
        let prepared = self.run(host, Method::RegisterPrepare, |begin| Request::RegisterPrepare {
            pin: factor(PIN, &begin.next),
            words: 12,
            label,
        });
        assert_eq!(prepared, Outcome::Prepared);
    }

    pub(crate) fn enrol(&mut self, host: &mut Host) {
        let label = "phone".to_owned();
        let enrolled = self.run(host, Method::EnrolDevice, |begin| Request::EnrolDevice {
            pin: factor(PIN, &begin.current.expect("active")),
            label,
        });
        assert_eq!(enrolled, Outcome::DeviceEnrolled);
    }
}

/// A request around any bytes in a body's place, signed by the device's real key.
pub(crate) fn seal_bytes(
    host: &Host,
    device: &Device,
    header: RequestHeader,
    body: &[u8],
    signs: bool,
) -> SealedRequest {
    use hpke::aead::AesGcm256;
    use hpke::kdf::HkdfSha256;
    use hpke::kem::X25519HkdfSha256 as Kem;
    use hpke::{Deserializable as _, OpModeS, Serializable as _};
    use pinseal_protocol::manifest::HpkePublic;
    use pinseal_protocol::request::device_transcript;

    let recipient = host.manifest.as_ref().expect("the enclave serves").hpke;
    let public = <Kem as hpke::Kem>::PublicKey::from_bytes(&recipient.0).expect("the enclave's key is one");
    let mut info = b"pinseal request v1\0".to_vec();
    info.extend_from_slice(&header.manifest.0);
    let mut randomness = Randomness::new(0x5ea2);
    let (enc, mut context) =
        hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, Kem>(&OpModeS::Base, &public, &info, &mut randomness)
            .expect("the enclave's key is one");
    let enc = HpkePublic::from_slice(&enc.to_bytes()).expect("32 bytes");
    let encoded = cbor::to_vec(&header);
    let plaintext = if signs {
        let transcript = Zeroizing::new(device_transcript(&enc, &encoded, body));
        let signature = keys::es256(keys::key(device.key), &transcript);
        let parts: (&minicbor::bytes::ByteSlice, &minicbor::bytes::ByteSlice) =
            (body.into(), signature.as_slice().into());
        minicbor::to_vec(parts).expect("a vector takes everything")
    } else {
        body.to_vec()
    };
    let ciphertext = context.seal(&plaintext, &encoded).expect("AES-GCM seals");
    SealedRequest { header, enc, ciphertext: ciphertext.into() }
}
