//! People's devices: they seal, sign, and keep receipts for real.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use minicbor::bytes::ByteVec;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::envelope::{self, ReplyOpener};
use pinseal_protocol::ids::{DeviceId, RequestId, UserIdHash};
use pinseal_protocol::kdf;
use pinseal_protocol::pin::{PinFactor, PinParameters};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, Reply, SealedReply};
use pinseal_protocol::request::{
    BeginReply, Body, Method, REQUEST_VERSION, Request, RequestHeader, SealedRequest, Suite,
};
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{AccessToken, P256Public, token_hash};

use super::{Answer, World};

/// A person's device.
pub struct Client {
    pub user: String,
    pub key: EcdsaKeyPair,
    pub receipt: Option<Vec<u8>>,
    pub requests: u64,
}

pub struct Prepared {
    pub wallet: UserIdHash,
    pub request: SealedRequest,
    pub opener: ReplyOpener,
}

pub fn factor(pin: &str, parameters: &PinParameters) -> PinFactor {
    PinFactor::new(SecretBytes::take(&mut kdf::hash("test pin", &[pin.as_bytes(), &parameters.salt.0]).0))
}

impl Client {
    pub fn new(user: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { user: user.into(), key, receipt: None, requests: 0 }
    }

    pub fn device(&self) -> DeviceId {
        P256Public::of(&self.key).thumbprint()
    }

    /// Begins and seals; `request` gets the begin reply.
    pub fn prepare(
        &mut self,
        world: &mut World,
        method: Method,
        request: impl FnOnce(&BeginReply) -> Request,
    ) -> Result<Prepared, Refusal> {
        let begin = world.begin(self, method)?;
        let request = request(&begin);
        let access_token = world.token(&self.user, &self.device(), 600);
        Ok(self.seal(world, &begin, access_token, request))
    }

    /// Hands in a wrong PIN and leaves it to the coming fates.
    pub fn submit_wrong_pin(&mut self, world: &mut World) {
        let wrong = |begin: &BeginReply| Request::VerifyPin { pin: factor("000000", &begin.current.unwrap()) };
        let prepared = self.prepare(world, Method::VerifyPin, wrong).unwrap();
        world.submit(&prepared.wallet, &prepared.request);
    }

    pub fn seal(&mut self, world: &World, begin: &BeginReply, access_token: AccessToken, request: Request) -> Prepared {
        self.seal_changed(world, begin, access_token, request, |_, _| {})
    }

    /// As [`Client::seal`], what is sealed changed just before.
    pub fn seal_changed(
        &mut self,
        world: &World,
        begin: &BeginReply,
        access_token: AccessToken,
        request: Request,
        change: impl FnOnce(&mut RequestHeader, &mut Body),
    ) -> Prepared {
        self.requests += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.requests.to_be_bytes());
        let mut header = RequestHeader {
            version: REQUEST_VERSION,
            suite: Suite::X25519Aes256Gcm,
            manifest: world.manifest().hash(),
            method: request.method(),
            request: RequestId(id),
            challenge: begin.challenge.clone(),
            token: token_hash(access_token.expose_secret()),
            device: self.device(),
            receipt_size: self.receipt.as_ref().map_or(0, |note| Checkpoint::read_unverified(note).unwrap().size),
        };
        let mut body = Body {
            access_token,
            device_key: P256Public::of(&self.key),
            receipt: self.receipt.clone().map(ByteVec::from),
            request,
        };
        change(&mut header, &mut body);
        let sign = |message: &[u8]| {
            self.key.sign(&aws_lc_rs::rand::SystemRandom::new(), message).ok()?.as_ref().try_into().ok()
        };
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let (request, opener) = envelope::seal(&world.manifest().hpke, header, &body, &mut rng, sign).unwrap();
        Prepared { wallet: begin.wallet, request, opener }
    }

    /// Opens the reply, verifies and keeps the receipt.
    pub fn open(&mut self, world: &World, opener: &ReplyOpener, reply: &SealedReply) -> Reply {
        let reply = opener.open(reply).unwrap();
        Checkpoint::verify(&reply.receipt, &world.configuration.deployment, &world.manifest().log).unwrap();
        self.receipt = Some(reply.receipt.to_vec());
        reply
    }

    /// The whole operation.
    pub fn run(&mut self, world: &mut World, method: Method, request: impl FnOnce(&BeginReply) -> Request) -> Reply {
        let prepared = self.prepare(world, method, request).unwrap();
        let call = world.submit(&prepared.wallet, &prepared.request);
        match world.take(call) {
            Some(Answer::Replied(reply)) => self.open(world, &prepared.opener, &reply),
            other => panic!("{method:?}: {other:?}"),
        }
    }

    pub fn register(&mut self, world: &mut World, pin: &str) -> Outcome {
        let prepared = self.run(world, Method::RegisterPrepare, |begin| Request::RegisterPrepare {
            pin: factor(pin, &begin.next),
            words: 12,
            label: "laptop".into(),
        });
        assert_eq!(prepared.outcome, Outcome::Prepared);
        self.run(world, Method::RegisterConfirm, |begin| Request::RegisterConfirm {
            pin: factor(pin, &begin.pending.unwrap()),
        })
        .outcome
    }

    pub fn verify(&mut self, world: &mut World, pin: &str) -> Reply {
        self.run(world, Method::VerifyPin, |begin| Request::VerifyPin { pin: factor(pin, &begin.current.unwrap()) })
    }

    pub fn enrol(&mut self, world: &mut World, pin: &str) -> Reply {
        self.run(world, Method::EnrolDevice, |begin| Request::EnrolDevice {
            pin: factor(pin, &begin.current.unwrap()),
            label: "phone".into(),
        })
    }

    pub fn status(&mut self, world: &mut World) -> Reply {
        self.run(world, Method::Status, |_| Request::Status)
    }
}
