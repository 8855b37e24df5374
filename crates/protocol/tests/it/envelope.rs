//! The sealed envelope: vectors with fixed keys for every other client, and refusals of whatever was changed on the way.

use core::convert::Infallible;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeS, Serializable as _};
use minicbor::bytes::ByteVec;
use pinseal_protocol::cbor;
use pinseal_protocol::envelope::{BootKey, EnvelopeError, Opened, REPLY_BLOCK_BYTES, ReplyOpener, seal};
use pinseal_protocol::history::{Detail, History, OpenedWrite};
use pinseal_protocol::ids::{DeviceId, Hash32, RequestId, UnixSeconds, Version};
use pinseal_protocol::intent::{AccountIndex, ChainId, Intent, Signed};
use pinseal_protocol::limits::{
    ACCOUNTS_MAX, DEVICES_MAX, HISTORY_WRITES_MAX, INTENTS_MAX, LABEL_BYTES_MAX, REQUEST_BYTES_MAX,
};
use pinseal_protocol::manifest::HpkePublic;
use pinseal_protocol::pin::{Argon2Parameters, PinParameters};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{DeviceInfo, Next, Outcome, Reply, SealedReply, Status};
use pinseal_protocol::request::{
    Body, Method, Request, RequestHeader, SealedRequest, SignedStatement, WalletState, device_transcript,
};
use pinseal_protocol::secret::SecretBytes;
use rand_core::{TryCryptoRng, TryRng};
use serde_json::{Value, json};

use crate::{bytes, cases, load, p256, samples, sign_p256, store, text, updating};

/// Randomness that was written down.
pub(crate) struct Fixed(std::vec::IntoIter<u8>);

impl Fixed {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into_iter())
    }
}

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut out = [0; 4];
        self.try_fill_bytes(&mut out)?;
        Ok(u32::from_le_bytes(out))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut out = [0; 8];
        self.try_fill_bytes(&mut out)?;
        Ok(u64::from_le_bytes(out))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            *byte = self.0.next().expect("enough randomness was written down");
        }
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

const BOOT_IKM: [u8; 32] = [0xb1; 32];
const EPHEMERAL_IKM: [u8; 32] = [0xe1; 32];

fn boot_key() -> BootKey {
    BootKey::derive(&SecretBytes::from_slice(&BOOT_IKM).unwrap())
}

fn seal_as(header: RequestHeader, body: &Body, signer: &str) -> Result<(SealedRequest, ReplyOpener), EnvelopeError> {
    let (pair, _) = p256(signer);
    let mut rng = Fixed::new(EPHEMERAL_IKM.to_vec());
    seal(&boot_key().public(), header, body, &mut rng, |transcript| Some(sign_p256(&pair, transcript)))
}

fn sealed(request: Request) -> (SealedRequest, ReplyOpener) {
    seal_as(samples::header(request.method()), &samples::body(request), "device").unwrap()
}

/// A request sealed by a client and opened by the enclave.
pub(crate) fn exchange(request: Request) -> (Opened, ReplyOpener) {
    let (sealed, opener) = sealed(request);
    (boot_key().open(&sealed).unwrap(), opener)
}

fn transaction(unsigned: usize) -> Request {
    let intent = Intent::EvmTransaction {
        account: AccountIndex::new(0).unwrap(),
        chain: ChainId(1),
        unsigned: vec![2; unsigned].into(),
    };
    Request::Sign { pin: samples::pin(4), intents: vec![intent] }
}

// ---- vectors ----

fn vector(name: &str, request: Request, outcome: Outcome, signature: Option<[u8; 64]>) -> Value {
    let (pair, public) = p256("device");
    let (header, body) = (samples::header(request.method()), samples::body(request));
    let mut transcript = Vec::new();
    let mut made = [0; 64];
    let mut rng = Fixed::new(EPHEMERAL_IKM.to_vec());
    let (sealed, opener) = seal(&boot_key().public(), header, &body, &mut rng, |bytes| {
        transcript = bytes.to_vec();
        // A signature written down and still good is kept: ES256 signatures differ from run to run.
        let kept = signature.filter(|kept| public.verifies(bytes, kept));
        made = kept.unwrap_or_else(|| sign_p256(&pair, bytes));
        Some(made)
    })
    .unwrap();
    let opened = boot_key().open(&sealed).unwrap();
    assert_eq!(cbor::to_vec(&opened.body), cbor::to_vec(&body));
    let reply = samples::reply(outcome);
    let sealed_reply = opened.reply.seal(&reply);
    assert_eq!(opener.open(&sealed_reply).unwrap(), reply);
    json!({
        "name": name,
        "header": hex::encode(cbor::to_vec(&sealed.header)),
        "body": hex::encode(cbor::to_vec(&body)),
        "transcript": hex::encode(transcript),
        "signature": hex::encode(made),
        "sealed_request": hex::encode(cbor::to_vec(&sealed)),
        "reply": hex::encode(cbor::to_vec(&reply)),
        "sealed_reply": hex::encode(cbor::to_vec(&sealed_reply)),
    })
}

fn vectors(kept: &Value) -> Value {
    let signature = |index: usize| {
        let case = kept["cases"].get(index)?;
        hex::decode(case["signature"].as_str()?).ok()?.try_into().ok()
    };
    let device = &load("token.json")["device"];
    let (private, public) = X25519HkdfSha256::derive_keypair(&BOOT_IKM);
    let (ephemeral, enc) = X25519HkdfSha256::derive_keypair(&EPHEMERAL_IKM);
    json!({
        "source": "crates/protocol/tests/it/envelope.rs; written again by UPDATE=1, checked with hand-written Python over pyca/cryptography",
        "license": "Apache-2.0",
        "boot": {
            "ikm": hex::encode(BOOT_IKM),
            "private": hex::encode(private.to_bytes()),
            "public": hex::encode(public.to_bytes()),
        },
        "ephemeral": {
            "ikm": hex::encode(EPHEMERAL_IKM),
            "private": hex::encode(ephemeral.to_bytes()),
            "enc": hex::encode(enc.to_bytes()),
        },
        "device": device,
        "manifest": samples::manifest_hash().to_string(),
        "cases": [
            vector("status", Request::Status, Outcome::Refused(Refusal::ChallengeInvalid), signature(0)),
            vector("verify_pin", Request::VerifyPin { pin: samples::pin(3) }, Outcome::WrongPin, signature(1)),
            vector(
                "sign",
                Request::Sign { pin: samples::pin(4), intents: samples::intents() },
                samples::outcomes().into_iter().find(|(name, _)| *name == "signed").unwrap().1,
                signature(2),
            ),
        ],
    })
}

#[test]
fn sealing_and_opening_give_the_vectors() {
    let kept = std::fs::read(crate::vector_file("envelope.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or(Value::Null);
    let now = vectors(&kept);
    if updating() {
        return store("envelope.json", &now);
    }
    assert_eq!(now, kept);
}

#[test]
fn the_vectors_open_from_their_bytes_alone() {
    let file = load("envelope.json");
    let boot = BootKey::derive(&SecretBytes::take(&mut crate::array(&file["boot"], "ikm")));
    assert_eq!(boot.public().to_string(), text(&file["boot"], "public"));
    for case in cases(&file, "cases") {
        let sealed: SealedRequest = cbor::from_slice(&bytes(case, "sealed_request")).unwrap();
        let opened = boot.open(&sealed).unwrap();
        assert_eq!(cbor::to_vec(&opened.body), bytes(case, "body"));
        let reply: Reply = cbor::from_slice(&bytes(case, "reply")).unwrap();
        assert_eq!(cbor::to_vec(&opened.reply.seal(&reply)), bytes(case, "sealed_reply"));
    }
}

// ---- promises ----

#[test]
fn every_request_opens_to_what_was_sealed() {
    for (request, again) in samples::requests().into_iter().zip(samples::requests()) {
        let (opened, _) = exchange(request);
        assert_eq!(cbor::to_vec(&opened.body), cbor::to_vec(&samples::body(again)));
    }
}

/// A host may hand the same request in again and again; the enclave answers each time and each time otherwise. Under one key
/// and nonce two answers would give away both, and the means to forge a third.
#[test]
fn two_replies_to_one_request_share_no_key() {
    let (request, opener) = sealed(Request::VerifyPin { pin: samples::pin(3) });
    let first = samples::reply(Outcome::WrongPin);
    let second = samples::reply(Outcome::Refused(Refusal::ChallengeInvalid));
    let seal = |reply: &Reply| boot_key().open(&request).unwrap().reply.seal(reply);
    let (one, two) = (seal(&first), seal(&second));
    assert_eq!(one.ciphertext.len(), two.ciphertext.len());

    // The padding is zero in both: with one key stream it would be the same bytes.
    let equal = one.ciphertext.iter().zip(two.ciphertext.iter()).filter(|(a, b)| a == b).count();
    assert!(equal < one.ciphertext.len() / 32, "{equal} bytes of {} are equal", one.ciphertext.len());
    assert_ne!(one.ciphertext[..32], two.ciphertext[..32], "salt");
    assert_ne!(one.ciphertext[32..64], two.ciphertext[32..64], "commitment to the key");

    assert_eq!(opener.open(&one).unwrap(), first);
    assert_eq!(opener.open(&two).unwrap(), second);
    assert_eq!(seal(&first), one, "the same answer tells nothing new");

    // Nor do halves of two replies make a third.
    let mixed = [&one.ciphertext[..64], &two.ciphertext[64..]].concat();
    let mixed = SealedReply { request: one.request, ciphertext: mixed.into() };
    assert_eq!(opener.open(&mixed).unwrap_err(), EnvelopeError::Crypto);
}

#[test]
fn a_flipped_bit_in_a_request_is_refused() {
    let (request, _) = sealed(Request::VerifyPin { pin: samples::pin(3) });
    let encoded = cbor::to_vec(&request);
    let boot = boot_key();
    for at in 0..encoded.len() {
        let mut changed = encoded.clone();
        changed[at] ^= 1 << (at % 8);
        if let Ok(changed) = cbor::from_slice::<SealedRequest>(&changed) {
            assert_eq!(boot.open(&changed).unwrap_err(), EnvelopeError::Crypto, "byte {at}");
        }
    }
}

#[test]
fn every_header_field_is_bound() {
    let (request, _) = sealed(Request::VerifyPin { pin: samples::pin(3) });
    let good = &request.header;
    let changed = [
        RequestHeader { version: 2, ..good.clone() },
        RequestHeader { manifest: Hash32([0; 32]), ..good.clone() },
        RequestHeader { method: Method::Sign, ..good.clone() },
        RequestHeader { request: RequestId([0; 16]), ..good.clone() },
        RequestHeader { challenge: vec![0; 48].into(), ..good.clone() },
        RequestHeader { token: Hash32([0; 32]), ..good.clone() },
        RequestHeader { device: DeviceId([0; 32]), ..good.clone() },
        RequestHeader { receipt_size: 0, ..good.clone() },
    ];
    for header in changed {
        let request = SealedRequest { header, ..request.clone() };
        assert_eq!(boot_key().open(&request).unwrap_err(), EnvelopeError::Crypto, "{:?}", request.header);
    }
}

#[test]
fn another_boot_cannot_open_a_request() {
    let (request, _) = sealed(Request::Status);
    let other = BootKey::derive(&SecretBytes::take(&mut [0xb2; 32]));
    assert_eq!(other.open(&request).unwrap_err(), EnvelopeError::Crypto);
}

#[test]
fn points_of_small_order_are_refused() {
    let (request, _) = sealed(Request::Status);
    for point in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let enc = HpkePublic::from_hex(point).unwrap();
        let changed = SealedRequest { enc, ..request.clone() };
        assert_eq!(boot_key().open(&changed).unwrap_err(), EnvelopeError::Crypto, "{point}");
        let body = samples::body(Request::Status);
        let mut rng = Fixed::new(EPHEMERAL_IKM.to_vec());
        let sealed = seal(&enc, samples::header(Method::Status), &body, &mut rng, |_| panic!("nothing to sign"));
        assert_eq!(sealed.unwrap_err(), EnvelopeError::Crypto, "{point}");
    }
}

#[test]
fn a_request_signed_by_another_device_is_refused() {
    let body = samples::body(Request::Status);
    let (request, _) = seal_as(samples::header(Method::Status), &body, "issuer").unwrap();
    assert_eq!(boot_key().open(&request).unwrap_err(), EnvelopeError::Device);

    let mut rng = Fixed::new(EPHEMERAL_IKM.to_vec());
    let refused = seal(&boot_key().public(), samples::header(Method::Status), &body, &mut rng, |_| None);
    assert_eq!(refused.unwrap_err(), EnvelopeError::Device);
}

/// Seals any plaintext, as a hostile client can; `make` gets the body and the signature an honest one would send.
fn seal_plaintext(make: impl FnOnce(&[u8], &[u8; 64]) -> Vec<u8>) -> SealedRequest {
    let (pair, _) = p256("device");
    let header = samples::header(Method::Status);
    let encoded_header = cbor::to_vec(&header);
    let public = <X25519HkdfSha256 as hpke::Kem>::PublicKey::from_bytes(&boot_key().public().0).unwrap();
    let info = [b"pinseal request v1\0".as_slice(), &header.manifest.0].concat();
    let mut rng = Fixed::new(EPHEMERAL_IKM.to_vec());
    let (enc, mut context) = hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        &info,
        &mut rng,
    )
    .unwrap();
    let enc = HpkePublic::from_slice(&enc.to_bytes()).unwrap();
    let body = cbor::to_vec(&samples::body(Request::Status));
    let signature = sign_p256(&pair, &device_transcript(&enc, &encoded_header, &body));
    let ciphertext = context.seal(&make(&body, &signature), &encoded_header).unwrap();
    SealedRequest { header, enc, ciphertext: ciphertext.into() }
}

fn byte_string(bytes: &[u8]) -> Vec<u8> {
    cbor::to_vec(&ByteVec::from(bytes.to_vec()))
}

#[test]
fn a_plaintext_in_another_encoding_is_refused() {
    let boot = boot_key();
    let honest =
        |body: &[u8], signature: &[u8; 64]| [&[0x82][..], &byte_string(body), &byte_string(signature)].concat();
    boot.open(&seal_plaintext(honest)).unwrap();

    type Make = fn(&[u8], &[u8; 64]) -> Vec<u8>;
    let others: [(&str, Make); 8] = [
        ("empty", |_, _| Vec::new()),
        ("a trailing byte", |b, s| [&[0x82][..], &byte_string(b), &byte_string(s), &[0]].concat()),
        ("indefinite length", |b, s| [&[0x9f][..], &byte_string(b), &byte_string(s), &[0xff]].concat()),
        ("count in two bytes", |b, s| [&[0x98, 2][..], &byte_string(b), &byte_string(s)].concat()),
        ("a third element", |b, s| [&[0x83][..], &byte_string(b), &byte_string(s), &[0]].concat()),
        ("no signature", |b, _| [&[0x81][..], &byte_string(b)].concat()),
        ("a body with a trailing byte", |b, s| {
            [&[0x82][..], &byte_string(&[b, &[0]].concat()), &byte_string(s)].concat()
        }),
        ("a body of indefinite length", |b, s| {
            [&[0x82][..], &byte_string(&[&[0x9f], &b[1..], &[0xff]].concat()), &byte_string(s)].concat()
        }),
    ];
    for (name, make) in others {
        assert_eq!(boot.open(&seal_plaintext(make)).unwrap_err(), EnvelopeError::Malformed, "{name}");
    }
    let short = seal_plaintext(|b, s| [&[0x82][..], &byte_string(b), &byte_string(&s[..63])].concat());
    assert_eq!(boot.open(&short).unwrap_err(), EnvelopeError::Device);
}

#[test]
fn requests_beyond_the_bound_are_neither_sealed_nor_opened() {
    let header = samples::header(Method::Sign);
    let sealing = |unsigned| seal_as(header.clone(), &samples::body(transaction(unsigned)), "device");
    // Of the length that strings have here, so that all of them announce it in as many bytes.
    let overhead = cbor::to_vec(&sealing(100_000).unwrap().0).len() - 100_000;
    let fits = REQUEST_BYTES_MAX - overhead;
    let (request, _) = sealing(fits).unwrap();
    assert_eq!(cbor::to_vec(&request).len(), REQUEST_BYTES_MAX);
    boot_key().open(&request).unwrap();
    assert_eq!(sealing(fits + 1).unwrap_err(), EnvelopeError::Malformed);

    let open = |length: usize| {
        let mut ciphertext = request.ciphertext.to_vec();
        ciphertext.resize(length, 0);
        boot_key().open(&SealedRequest { ciphertext: ciphertext.into(), ..request.clone() }).unwrap_err()
    };
    assert_eq!(open(REQUEST_BYTES_MAX), EnvelopeError::Crypto, "within the bound, it is looked at");
    assert_eq!(open(REQUEST_BYTES_MAX + 1), EnvelopeError::Malformed);
}

/// A reply that fills its block to the last byte has no room for the byte that ends it, and takes another block.
#[test]
fn a_reply_of_any_length_reads_back() {
    let (request, opener) = sealed(Request::Status);
    let reply = |receipt: usize| Reply { receipt: vec![1; receipt].into(), ..samples::reply(Outcome::PinVerified) };
    let seal = |reply: &Reply| boot_key().open(&request).unwrap().reply.seal(reply);
    let block = seal(&reply(0)).ciphertext.len() - 80;
    assert_eq!(block % REPLY_BLOCK_BYTES, 0);
    let overhead = cbor::to_vec(&reply(1_000)).len() - 1_000;
    for length in block - 2..block + 3 {
        let reply = reply(length - overhead);
        assert_eq!(cbor::to_vec(&reply).len(), length);
        let sealed = seal(&reply);
        assert_eq!(opener.open(&sealed).unwrap(), reply, "{length} bytes in blocks of {block}");
        assert_eq!(sealed.ciphertext.len() - 80, if length < block { block } else { 2 * block }, "{length} bytes");
    }
}

#[test]
fn a_changed_reply_is_refused() {
    let (opened, opener) = exchange(Request::VerifyPin { pin: samples::pin(3) });
    let sealed = opened.reply.seal(&samples::reply(Outcome::PinVerified));
    for at in 0..sealed.ciphertext.len() {
        let mut changed = sealed.clone();
        changed.ciphertext[at] ^= 1 << (at % 8);
        assert_eq!(opener.open(&changed).unwrap_err(), EnvelopeError::Crypto, "byte {at}");
    }
    for end in (0..100).chain([sealed.ciphertext.len() - 1]) {
        let cut = SealedReply { ciphertext: sealed.ciphertext[..end].to_vec().into(), ..sealed.clone() };
        assert!(opener.open(&cut).is_err(), "cut at {end}");
    }
    let longer = SealedReply { ciphertext: [sealed.ciphertext.as_slice(), &[0]].concat().into(), ..sealed.clone() };
    assert_eq!(opener.open(&longer).unwrap_err(), EnvelopeError::Crypto);
    let renamed = SealedReply { request: RequestId([0; 16]), ..sealed };
    assert_eq!(opener.open(&renamed).unwrap_err(), EnvelopeError::OtherRequest);
}

#[test]
fn a_reply_to_another_request_is_refused() {
    let (first, _) = exchange(Request::Status);
    let (_, opener) = exchange(Request::VerifyPin { pin: samples::pin(3) });
    let swapped = first.reply.seal(&samples::reply(Outcome::PinVerified));
    assert_eq!(opener.open(&swapped).unwrap_err(), EnvelopeError::Crypto);

    let (opened, opener) = exchange(Request::Status);
    let misnamed = Reply { request: RequestId([9; 16]), ..samples::reply(Outcome::PinVerified) };
    let sealed = SealedReply { request: RequestId([0x1d; 16]), ..opened.reply.seal(&misnamed) };
    assert_eq!(opener.open(&sealed).unwrap_err(), EnvelopeError::OtherRequest);
}

/// The longest reply there is to a request; its size must not differ from that of the shortest.
fn longest(request: &Request) -> Vec<Outcome> {
    let statement = SignedStatement { statement: vec![0; 180].into(), signature: vec![0; 64].into() };
    match request {
        Request::Sign { intents, .. } => {
            let signed = intents.iter().map(|intent| match intent {
                Intent::EvmTransaction { unsigned, .. } => {
                    Signed::EvmTransaction { raw: vec![0; unsigned.len() + 96].into(), hash: Hash32([0; 32]) }
                }
                Intent::EvmAuthorization { .. } => Signed::EvmAuthorization { tuple: vec![0; 128].into() },
                _ => Signed::EvmSignature { signature: vec![0; 65].into() },
            });
            vec![Outcome::Signed(signed.collect())]
        }
        Request::ListAccounts { accounts } => vec![Outcome::Accounts(vec![statement; accounts.len()])],
        Request::OpenHistory { writes } => {
            let detail = Detail { time: UnixSeconds(u64::MAX), ..samples::detail() };
            let writes = vec![OpenedWrite::Opened(detail); writes.len()];
            vec![Outcome::History(History { current: Version(u64::MAX), writes })]
        }
        _ => {
            let label = "x".repeat(LABEL_BYTES_MAX);
            let enrolled = UnixSeconds(u64::MAX);
            let device = DeviceInfo { device: DeviceId([0; 32]), label, enrolled, outstanding: u8::MAX };
            let status = Status {
                state: WalletState::Active,
                enrolled: true,
                change_pending: true,
                devices: vec![device; DEVICES_MAX],
                unenrolled_outstanding: u8::MAX,
                outstanding: u8::MAX,
            };
            vec![Outcome::Status(status), Outcome::Registered(statement)]
        }
    }
}

/// The longest challenge for a next request, where replies carry one.
fn longest_next(method: &Method) -> Option<Next> {
    let argon2 = Argon2Parameters { memory_kib: u32::MAX, passes: u32::MAX, lanes: u32::MAX };
    let parameters = PinParameters { argon2, ..samples::parameters(1) };
    let next = Next { current: Some(parameters), pending: Some(parameters), next: parameters, ..samples::next() };
    assert!(cbor::to_vec(&next).len() <= Next::BYTES_MAX);
    method.continues().then_some(next)
}

/// Whoever carries a reply sees its length: whole blocks, as many as the request asks for and no more.
#[test]
fn the_size_of_a_reply_follows_from_its_request() {
    let intent = |length| Intent::EvmTransaction {
        account: AccountIndex::new(0).unwrap(),
        chain: ChainId(1),
        unsigned: vec![2; length].into(),
    };
    let sign = |length| Request::Sign { pin: samples::pin(1), intents: vec![intent(length)] };
    let list = |count| Request::ListAccounts { accounts: vec![AccountIndex::new(0).unwrap(); count] };
    let history = |count| Request::OpenHistory { writes: vec![samples::logged_write(u64::MAX); count] };
    for (request, blocks) in [
        (Request::VerifyPin { pin: samples::pin(1) }, 2),
        (Request::Status, 3),
        (sign(256), 2),
        (sign(257), 3),
        (list(1), 2),
        (list(2), 3),
        (history(11), 2),
        (history(12), 3),
    ] {
        let (opened, _) = exchange(request);
        let length = opened.reply.seal(&samples::reply(Outcome::WrongPin)).ciphertext.len();
        assert_eq!(length - 80, blocks * REPLY_BLOCK_BYTES, "{:?}", opened.body.request);
    }
}

#[test]
fn the_size_of_a_reply_tells_nothing_of_its_verdict() {
    let intents = |length: usize| {
        let intent = || Intent::EvmTransaction {
            account: AccountIndex::new(0).unwrap(),
            chain: ChainId(1),
            unsigned: vec![2; length].into(),
        };
        Request::Sign { pin: samples::pin(1), intents: (0..INTENTS_MAX).map(|_| intent()).collect() }
    };
    let accounts = (0..ACCOUNTS_MAX).map(|_| AccountIndex::new(999).unwrap()).collect();
    let mut requests = samples::requests();
    requests.extend([intents(1), intents(900), intents(9_000), Request::ListAccounts { accounts }]);
    let history = |count| Request::OpenHistory { writes: vec![samples::logged_write(u64::MAX); count] };
    requests.extend((0..=HISTORY_WRITES_MAX).map(history));
    for request in requests {
        let outcomes = longest(&request);
        let (sealed, _) = sealed(request);
        let size = |outcome| {
            let receipt = vec![0; pinseal_protocol::checkpoint::NOTE_BYTES_MAX].into();
            let reply = Reply { receipt, next: longest_next(&sealed.header.method), ..samples::reply(outcome) };
            boot_key().open(&sealed).unwrap().reply.seal(&reply).ciphertext.len()
        };
        let wrong = size(Outcome::WrongPin);
        let bare = boot_key().open(&sealed).unwrap().reply.seal(&samples::reply(Outcome::WrongPin));
        assert_eq!(bare.ciphertext.len(), wrong, "with a next challenge and without");
        assert_eq!((wrong - 80) % REPLY_BLOCK_BYTES, 0, "salt, commitment, tag and whole blocks");
        for outcome in outcomes {
            assert_eq!(size(outcome), wrong, "{:?}", sealed.header.method);
        }
    }
}
