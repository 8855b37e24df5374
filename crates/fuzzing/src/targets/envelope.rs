//! Sealed requests and replies: past the cryptography, since the harness holds the keys.

use arbitrary::{Arbitrary, Result, Unstructured};
use pinseal_protocol::aead::SealingKey;
use pinseal_protocol::cbor;
use pinseal_protocol::envelope::EnvelopeError;
use pinseal_protocol::ids::{DeviceId, Hash32, RequestId};
use pinseal_protocol::kdf;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, Reply, SealedReply};
use pinseal_protocol::request::{
    AddressStatement, BeginError, BeginReply, Body, Method, Request, RequestHeader, SignedBeginReply, SignedStatement,
    Suite,
};
use pinseal_protocol::secret::SecretBytes;

use crate::harness::base::BASE;
use crate::harness::device::{Device, PIN, seal_bytes};
use crate::harness::host::{Answer, Host};
use crate::harness::keys;
use crate::inputs::{self, Edit, apply};
use crate::verdict;

/// Sealed requests into a real, booted enclave: any request of any device, any header, and any bytes in a body's place, all under
/// HPKE and a real device signature.
pub fn sealed_request(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let _ = request(&mut u);
}

fn request(u: &mut Unstructured<'_>) -> Result<()> {
    let mut host = if u.ratio(1, 8)? { BASE.empty_host() } else { BASE.host() };
    let mut device = match u.int_in_range(0..=3)? {
        0 => BASE.laptop.clone(),
        1 => BASE.phone.clone(),
        2 => BASE.bob.clone(),
        _ => Device::new("ada", 3),
    };
    if u.ratio(1, 4)? {
        device.receipt = None;
    }
    if host.disk.records.is_empty() {
        device.receipt = None;
    }
    let method = *u.choose(Method::ALL)?;
    let (begin, token) = device.begin(&mut host, method).expect("an honest begin is answered");
    let (asked, pin) = inputs::request(u, method, &begin)?;
    let mut header = device.header(host.manifest(), &begin, &token);
    let honest = header.clone();
    if u.ratio(1, 4)? {
        change_header(u, &mut header)?;
    }
    let body = device.body(&token, asked);
    let encoded = cbor::to_vec(&body);
    let edits: Vec<Edit> = if u.ratio(1, 3)? { u.arbitrary()? } else { Vec::new() };
    let signs = !u.ratio(1, 16)?;
    let bytes = apply(&encoded, &edits);
    if bytes == encoded && signs && header == honest {
        honest_envelope(&mut host, &mut device, &begin, header, &body, pin);
    } else {
        changed_envelope(&mut host, &device, &begin, header, &bytes, signs);
    }
    Ok(())
}

/// Everything fits: the request is decided, and the reply opens.
fn honest_envelope(
    host: &mut Host,
    device: &mut Device,
    begin: &BeginReply,
    header: RequestHeader,
    body: &Body,
    pin: Option<u8>,
) {
    let seen = header.receipt_size;
    let Some(sealed) = device.seal(host.manifest(), begin, header, body) else { return };
    let call = host.submit(&sealed.wallet, &sealed.request);
    host.commit_all();
    let tally = host.tally(call);
    let reply = match host.answers.remove(&call) {
        Some(Answer::Replied(reply)) => reply,
        other => panic!("an honest envelope gets a sealed reply: {other:?}"),
    };
    assert_eq!(reply.ciphertext.len(), sealed.reply_bytes, "the request alone decides a reply's size");
    let reply = device.open(host.manifest(), &sealed.opener, &reply);
    verdict::check(&body.request, pin == Some(PIN), &reply.outcome, tally);
    if let (Request::Sign { intents, .. }, Outcome::Signed(signed)) = (&body.request, &reply.outcome) {
        verdict::signatures(intents, signed, &BASE.addresses);
    }
    if let (Request::OpenHistory { writes }, Outcome::History(history)) = (&body.request, &reply.outcome) {
        verdict::history(writes, history, &sealed.wallet, &host.disk, seen);
    }
    // The same request once more was answered before, or its call is refused for the time it came.
    let again = host.submit(&sealed.wallet, &sealed.request);
    host.commit_all();
    let second = match host.answers.remove(&again) {
        Some(Answer::Replied(reply)) => sealed.opener.open(&reply).expect("it opens").outcome,
        other => panic!("{other:?}"),
    };
    let refused = [Refusal::AlreadyAnswered, Refusal::Malformed].map(Outcome::Refused);
    assert!(refused.contains(&second), "a request is decided once: {second:?}");
    assert_eq!(host.tally(again).committed, 0);
}

/// Something does not fit: refused in clear, in a sealed reply, or harmless.
fn changed_envelope(
    host: &mut Host,
    device: &Device,
    begin: &BeginReply,
    header: RequestHeader,
    body: &[u8],
    signs: bool,
) {
    let sealed = seal_bytes(host, device, header, body, signs);
    let call = host.submit(&begin.wallet, &sealed);
    host.commit_all();
    let canonical = cbor::from_slice::<Body>(body);
    let answer = host.answers.remove(&call);
    match (&answer, &canonical) {
        (Some(Answer::Refused(refusal)), _) => {
            let known = [Refusal::Malformed, Refusal::DeviceInvalid, Refusal::StaleManifest, Refusal::Overloaded];
            assert!(known.contains(refusal), "in clear: {refusal:?}");
        }
        (Some(Answer::Replied(_)), Ok(body)) => {
            assert!(signs && body.device_key == device.public(), "an unsigned body is never looked at");
        }
        (None, _) => assert!(host.halted.is_some(), "a call is answered"),
        other => panic!("a body that is not canonical was looked at: {other:?}"),
    }
}

fn change_header(u: &mut Unstructured<'_>, header: &mut RequestHeader) -> Result<()> {
    match u.int_in_range(0..=8)? {
        0 => header.version = u.arbitrary()?,
        1 => header.manifest = Hash32(u.arbitrary()?),
        2 => header.method = *u.choose(Method::ALL)?,
        3 => header.request = RequestId(u.arbitrary()?),
        4 => header.challenge = apply(&header.challenge, &u.arbitrary::<Vec<Edit>>()?).into(),
        5 => header.token = Hash32(u.arbitrary()?),
        6 => header.device = DeviceId(u.arbitrary()?),
        7 => header.receipt_size = u.arbitrary()?,
        _ => {}
    }
    Ok(())
}

/// Sealed replies as the client opens them: any bytes, and any plaintext under the right key.
pub fn sealed_reply(data: &[u8]) {
    use hpke::aead::AesGcm256;
    use hpke::kdf::HkdfSha256;
    use hpke::kem::X25519HkdfSha256 as Kem;
    use hpke::{Deserializable as _, Kem as _, OpModeR, Serializable as _};
    use pinseal_protocol::manifest::HpkePublic;

    let Some((mode, rest)) = data.split_first() else { return };
    let (private, public) = Kem::derive_keypair(&[5; 32]);
    let recipient = HpkePublic::from_slice(&public.to_bytes()).expect("32 bytes");
    let device = Device::new("ada", 1);
    let header = RequestHeader {
        version: 1,
        suite: Suite::X25519Aes256Gcm,
        manifest: Hash32([3; 32]),
        method: Method::Status,
        request: RequestId([4; 16]),
        challenge: Vec::new().into(),
        token: Hash32([0; 32]),
        device: device.id(),
        receipt_size: 0,
    };
    let body = device.body("token", Request::Status);
    let sign = |message: &[u8]| Some(keys::es256(keys::key(1), message));
    let mut randomness = crate::harness::randomness::Randomness::new(6);
    let (request, opener) =
        pinseal_protocol::envelope::seal(&recipient, header.clone(), &body, &mut randomness, sign).expect("short");
    let mut info = b"pinseal request v1\0".to_vec();
    info.extend_from_slice(&header.manifest.0);
    let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(&request.enc.0).expect("32 bytes");
    let context = hpke::setup_receiver::<AesGcm256, HkdfSha256, Kem>(&OpModeR::Base, &private, &enc, &info)
        .expect("the key is one");
    let mut key = SecretBytes::<32>::zeroed();
    context.export(b"pinseal reply v1", key.expose_secret_mut()).expect("32 bytes");
    let key = SealingKey::new(key);
    let encoded_header = cbor::to_vec(&header);
    let seal = |plain: &[u8]| {
        // Any salt will do: the client does not know the key it is made with.
        let salt = kdf::hash("fuzz salt", &[plain]).0;
        let sealed = key.seal(&[b"reply".as_slice(), &salt].concat(), &encoded_header, plain);
        [salt.as_slice(), &sealed].concat()
    };
    let padded = |encoded: &[u8]| [encoded, &[0x80], vec![0; 1 + encoded.len() % 31].as_slice()].concat();
    let (ciphertext, plain) = match mode % 4 {
        0 => (rest.to_vec(), None),
        1 => (seal(rest), Some(rest.to_vec())),
        2 => (seal(&padded(rest)), Some(padded(rest))),
        _ => {
            let reply = Reply {
                request: header.request,
                time: pinseal_protocol::ids::UnixSeconds(1),
                tries: None,
                receipt: vec![1].into(),
                outcome: Outcome::WrongPin,
                next: None,
            };
            let good = padded(&cbor::to_vec(&reply));
            let edits: Vec<Edit> = Vec::arbitrary_take_rest(Unstructured::new(rest)).unwrap_or_default();
            let changed = apply(&good, &edits);
            (seal(&changed), Some(changed))
        }
    };
    let sealed = SealedReply { request: header.request, ciphertext: ciphertext.clone().into() };
    let opened = opener.open(&sealed);
    match (&opened, &plain) {
        (Ok(reply), Some(plain)) => {
            let encoded = cbor::to_vec(reply);
            assert_eq!(reply.request, header.request);
            assert!(plain.starts_with(&encoded), "what is read is what was sealed");
            let padding = &plain[encoded.len()..];
            assert!(padding[0] == 0x80 && padding[1..].iter().all(|byte| *byte == 0));
        }
        (Ok(_), None) => panic!("a reply was forged"),
        (Err(EnvelopeError::Crypto), Some(_)) => panic!("what was sealed under the right key does not open"),
        (Err(_), _) => {}
    }
    let other = SealedReply { request: RequestId([9; 16]), ciphertext: ciphertext.into() };
    assert!(matches!(opener.open(&other), Err(EnvelopeError::OtherRequest)));
}

/// Begin replies and address statements as the client believes them: any bytes, and any content under the real keys.
pub fn begin_reply(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let log = BASE.root.log_public();
    let manifest = Hash32([3; 32]);
    let device = BASE.laptop.id();
    // K_log stands in for the boot key: what matters is that the signature fits.
    let begin = SignedBeginReply {
        reply: rest.to_vec().into(),
        signature: BASE.root.sign_log(&BeginReply::signed_bytes(rest)).to_vec().into(),
    };
    let forged = SignedBeginReply { signature: vec![*mode; 64].into(), ..begin.clone() };
    assert_eq!(forged.verify(&log, &manifest, &device, Method::Sign), Err(BeginError::Signature));
    for method in Method::ALL {
        if let Ok(reply) = begin.verify(&log, &manifest, &device, *method) {
            assert_eq!(cbor::to_vec(&reply), rest);
            assert_eq!((reply.manifest, reply.device, reply.method), (manifest, device, *method));
            let parameters = [reply.current, reply.pending, Some(reply.next)];
            assert!(parameters.into_iter().flatten().all(|parameters| parameters.argon2.is_acceptable()));
        }
    }
    let statement = SignedStatement {
        statement: rest.to_vec().into(),
        signature: BASE.root.sign_log(&AddressStatement::signed_bytes(rest)).to_vec().into(),
    };
    let deployment = BASE.configuration.deployment;
    if let Some(said) = statement.verify(&log, &deployment, &BASE.ada) {
        assert_eq!(cbor::to_vec(&said), rest);
        assert_eq!((said.deployment, said.wallet), (deployment, BASE.ada));
    }
    super::outside::statement(&statement, &log);
    // A signature of one kind is none of the other.
    let crossed = SignedStatement { signature: begin.signature.clone(), ..statement };
    assert!(crossed.verify(&log, &deployment, &BASE.ada).is_none());
}
