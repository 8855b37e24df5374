//! What the boot key and K_log sign: begin replies and address statements.

use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::{DeploymentId, DeviceId, Hash32, UserIdHash};
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::pin::{Argon2Parameters, PinParameters};
use pinseal_protocol::reply::Next;
use pinseal_protocol::request::{AddressStatement, BeginError, BeginReply, Method, SignedBeginReply, SignedStatement};

use crate::{ed25519, samples, sign};

fn begin(reply: &BeginReply) -> (SignedBeginReply, Ed25519Public) {
    let (pair, key) = ed25519(0x21);
    let encoded = cbor::to_vec(reply);
    let signature = sign(&pair, &BeginReply::signed_bytes(&encoded));
    (SignedBeginReply { reply: encoded.into(), signature: signature.to_vec().into() }, key)
}

fn check(signed: &SignedBeginReply, key: &Ed25519Public) -> Result<BeginReply, BeginError> {
    signed.verify(key, &samples::manifest_hash(), &samples::device(), Method::ChangePinConfirm)
}

#[test]
fn a_begin_reply_verifies_for_its_boot_device_and_method_only() {
    let (signed, key) = begin(&samples::begin_reply());
    assert_eq!(check(&signed, &key), Ok(samples::begin_reply()));
    let (_, other) = ed25519(0x22);
    assert_eq!(check(&signed, &other), Err(BeginError::Signature));
    let verify = |manifest, device, method| signed.verify(&key, &manifest, &device, method);
    let (manifest, device, method) = (samples::manifest_hash(), samples::device(), Method::ChangePinConfirm);
    assert_eq!(verify(Hash32([0; 32]), device, method), Err(BeginError::OtherBoot));
    assert_eq!(verify(manifest, DeviceId([0; 32]), method), Err(BeginError::Malformed));
    assert_eq!(verify(manifest, device, Method::Sign), Err(BeginError::Malformed));
}

#[test]
fn a_flipped_bit_in_a_begin_reply_is_refused() {
    let (signed, key) = begin(&samples::begin_reply());
    for at in 0..signed.reply.len() {
        let mut changed = signed.clone();
        changed.reply[at] ^= 1 << (at % 8);
        assert_eq!(check(&changed, &key), Err(BeginError::Signature), "byte {at}");
    }
    for at in 0..signed.signature.len() {
        let mut changed = signed.clone();
        changed.signature[at] ^= 1 << (at % 8);
        assert_eq!(check(&changed, &key), Err(BeginError::Signature), "byte {at} of the signature");
    }
}

#[test]
fn a_begin_reply_with_a_cheap_or_ruinous_pin_cost_is_refused() {
    let good = samples::begin_reply();
    let with = |argon2| PinParameters { argon2, ..samples::parameters(1) };
    for argon2 in [
        Argon2Parameters { memory_kib: 8, ..Argon2Parameters::DEFAULT },
        Argon2Parameters { memory_kib: u32::MAX, ..Argon2Parameters::DEFAULT },
        Argon2Parameters { passes: 0, ..Argon2Parameters::DEFAULT },
        Argon2Parameters { lanes: 0, ..Argon2Parameters::DEFAULT },
    ] {
        for reply in [
            BeginReply { current: Some(with(argon2)), ..good.clone() },
            BeginReply { pending: Some(with(argon2)), ..good.clone() },
            BeginReply { next: with(argon2), ..good.clone() },
        ] {
            let (signed, key) = begin(&reply);
            assert_eq!(check(&signed, &key), Err(BeginError::Parameters), "{reply:?}");
        }
    }
}

#[test]
fn a_next_challenge_with_a_cheap_or_ruinous_pin_cost_is_refused() {
    let good = samples::begin_reply();
    let accept = |next: Next| next.into_begin(good.manifest, good.wallet, good.device, Method::Sign, good.time);
    let begin = accept(samples::next()).unwrap();
    let same = BeginReply { method: Method::Sign, challenge: samples::next().challenge, ..good.clone() };
    assert_eq!(begin, same, "it stands for a begin reply of the request's own boot, wallet, device and method");
    for argon2 in [
        Argon2Parameters { memory_kib: 8, ..Argon2Parameters::DEFAULT },
        Argon2Parameters { passes: u32::MAX, ..Argon2Parameters::DEFAULT },
    ] {
        let bad = PinParameters { argon2, ..samples::parameters(1) };
        for next in [
            Next { current: Some(bad), ..samples::next() },
            Next { pending: Some(bad), ..samples::next() },
            Next { next: bad, ..samples::next() },
        ] {
            assert_eq!(accept(next), Err(BeginError::Parameters));
        }
    }
}

#[test]
fn a_signed_begin_reply_in_another_encoding_is_refused() {
    let (pair, key) = ed25519(0x21);
    let encoded = [cbor::to_vec(&samples::begin_reply()), vec![0]].concat();
    let signature = sign(&pair, &BeginReply::signed_bytes(&encoded)).to_vec();
    let signed = SignedBeginReply { reply: encoded.into(), signature: signature.into() };
    assert_eq!(check(&signed, &key), Err(BeginError::Malformed));
}

fn statement() -> (SignedStatement, Ed25519Public) {
    let (pair, key) = ed25519(0x31);
    let encoded = cbor::to_vec(&samples::statement());
    let signature = sign(&pair, &AddressStatement::signed_bytes(&encoded)).to_vec();
    (SignedStatement { statement: encoded.into(), signature: signature.into() }, key)
}

#[test]
fn a_statement_verifies_for_its_deployment_and_wallet_only() {
    let (signed, key) = statement();
    let (deployment, wallet) = (samples::deployment(), samples::wallet());
    assert_eq!(signed.verify(&key, &deployment, &wallet), Some(samples::statement()));
    assert_eq!(signed.verify(&ed25519(0x32).1, &deployment, &wallet), None);
    assert_eq!(signed.verify(&key, &DeploymentId([0; 16]), &wallet), None);
    assert_eq!(signed.verify(&key, &deployment, &UserIdHash([0; 32])), None);
}

#[test]
fn a_flipped_bit_in_a_statement_is_refused() {
    let (signed, key) = statement();
    let verify = |signed: &SignedStatement| signed.verify(&key, &samples::deployment(), &samples::wallet());
    for at in 0..signed.statement.len() {
        let mut changed = signed.clone();
        changed.statement[at] ^= 1 << (at % 8);
        assert_eq!(verify(&changed), None, "byte {at}");
    }
    for at in 0..signed.signature.len() {
        let mut changed = signed.clone();
        changed.signature[at] ^= 1 << (at % 8);
        assert_eq!(verify(&changed), None, "byte {at} of the signature");
    }
}

/// One key signs checkpoints and statements, another begin replies: none of them is ever taken for another.
#[test]
fn a_signature_holds_for_one_purpose() {
    let (pair, key) = ed25519(0x31);
    let encoded = cbor::to_vec(&samples::statement());
    for message in [encoded.clone(), BeginReply::signed_bytes(&encoded)] {
        let signature = sign(&pair, &message).to_vec();
        let signed = SignedStatement { statement: encoded.clone().into(), signature: signature.into() };
        assert_eq!(signed.verify(&key, &samples::deployment(), &samples::wallet()), None);
    }
    let note = samples::checkpoint().to_note(&key, |text| sign(&pair, &AddressStatement::signed_bytes(text)));
    assert!(Checkpoint::verify(&note, &samples::deployment(), &key).is_err());
}
