//! The standards' own vectors through the types this crate uses, and vectors of another implementation of our formats.

use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use minicbor::bytes::ByteVec;
use pinseal_protocol::aead::{OVERHEAD_BYTES, OpenError, SealingKey};
use pinseal_protocol::cbor::{CborError, from_slice, to_vec};
use pinseal_protocol::hpke::KeyPair;
use pinseal_protocol::ids::{DeploymentId, UserIdHash};
use pinseal_protocol::kdf;
use pinseal_protocol::manifest::{Ed25519Public, HpkePublic};
use pinseal_protocol::pin::{Argon2Parameters, PinParameters, PinSalt};
use pinseal_protocol::secret::SecretBytes;
use serde_json::Value;

use crate::envelope::Fixed;
use crate::{array, bytes, cases, load, number, text};

#[test]
fn rfc_9180_base_mode() {
    for case in cases(&load("rfc9180.json"), "cases") {
        let recipient = KeyPair::derive(&SecretBytes::take(&mut array(case, "ikmR"))).unwrap();
        assert_eq!(recipient.public().0.as_slice(), bytes(case, "pkRm"));

        let info = bytes(case, "info");
        let (enc, sender) = pinseal_protocol::hpke::setup_sender(
            &recipient.public(),
            &info,
            &SecretBytes::take(&mut array(case, "ikmE")),
        )
        .unwrap();
        assert_eq!(enc.0.as_slice(), bytes(case, "enc"));
        let receiver = pinseal_protocol::hpke::setup_receiver(&recipient, &enc, &info).unwrap();

        // Our contexts are for one message: the first of each case.
        let message = &cases(case, "encryptions")[0];
        let (plaintext, aad, sealed) = (bytes(message, "pt"), bytes(message, "aad"), bytes(message, "ct"));
        let (ciphertext, sending) = sender.seal(&aad, &plaintext).unwrap();
        assert_eq!(ciphertext, sealed);
        let (opened, receiving) = receiver.open(&aad, &sealed).unwrap();
        assert_eq!(*opened, plaintext);
        let mut exports = 0;
        for export in cases(case, "exports") {
            assert_eq!(export["L"], 32);
            let context = bytes(export, "exporter_context");
            assert_eq!(receiving.export(&context).expose_secret().as_slice(), bytes(export, "exported_value"));
            assert_eq!(sending.export(&context).expose_secret().as_slice(), bytes(export, "exported_value"));
            exports += 1;
        }
        assert!(exports > 0);
    }
}

/// The `hpke` crate, another implementation, as the other end in both directions.
#[test]
fn hpke_is_what_another_implementation_speaks() {
    for round in 0_u8..32 {
        let (recipient_ikm, ephemeral_ikm) = ([round; 32], [0xff - round; 32]);
        let ours = KeyPair::derive(&SecretBytes::from_slice(&recipient_ikm).unwrap()).unwrap();
        let (private, public) = X25519HkdfSha256::derive_keypair(&recipient_ikm);
        assert_eq!(ours.public().0.as_slice(), public.to_bytes().as_slice());
        let (info, aad) = (vec![round; usize::from(round) * 7], vec![!round; usize::from(round) * 3]);
        let plaintext = vec![round; usize::from(round) * 41];

        let mut rng = Fixed::new(ephemeral_ikm.to_vec());
        let (enc, mut peer) = hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            &info,
            &mut rng,
        )
        .unwrap();
        let enc = HpkePublic::from_slice(&enc.to_bytes()).unwrap();
        let sealed = peer.seal(&plaintext, &aad).unwrap();
        let receiver = pinseal_protocol::hpke::setup_receiver(&ours, &enc, &info).unwrap();
        let (opened, exporter) = receiver.open(&aad, &sealed).unwrap();
        assert_eq!(*opened, plaintext);
        let mut exported = [0; 32];
        peer.export(&aad, &mut exported).unwrap();
        assert_eq!(exporter.export(&aad).expose_secret(), &exported);

        let (enc, sender) =
            pinseal_protocol::hpke::setup_sender(&ours.public(), &info, &SecretBytes::take(&mut [round ^ 0x5a; 32]))
                .unwrap();
        let (sealed, exporter) = sender.seal(&aad, &plaintext).unwrap();
        let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&enc.0).unwrap();
        let mut peer =
            hpke::setup_receiver::<AesGcm256, HkdfSha256, X25519HkdfSha256>(&OpModeR::Base, &private, &enc, &info)
                .unwrap();
        assert_eq!(peer.open(&sealed, &aad).unwrap(), plaintext);
        peer.export(&info, &mut exported).unwrap();
        assert_eq!(exporter.export(&info).expose_secret(), &exported);
    }
}

/// RFC 7748 section 6.1: these points give the value zero with every private key, so anybody would know the shared secret.
#[test]
fn points_of_small_order_are_refused_as_either_public_key() {
    let ours = KeyPair::derive(&SecretBytes::take(&mut [7; 32])).unwrap();
    for hex in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let point = HpkePublic::from_hex(hex).unwrap();
        assert!(pinseal_protocol::hpke::setup_receiver(&ours, &point, b"info").is_err(), "{hex}");
        assert!(
            pinseal_protocol::hpke::setup_sender(&point, b"info", &SecretBytes::take(&mut [9; 32])).is_err(),
            "{hex}"
        );
    }
}

#[test]
fn rfc_5869_hkdf_sha256() {
    for case in cases(&load("rfc5869.json"), "cases") {
        let (prk, hkdf) = hkdf::Hkdf::<sha2::Sha256>::extract(Some(&bytes(case, "salt")), &bytes(case, "ikm"));
        assert_eq!(prk.as_slice(), bytes(case, "prk"), "{}", text(case, "name"));
        let mut okm = vec![0; usize::try_from(case["length"].as_u64().unwrap()).unwrap()];
        hkdf.expand(&bytes(case, "info"), &mut okm).unwrap();
        assert_eq!(okm, bytes(case, "okm"), "{}", text(case, "name"));
    }
}

#[test]
fn rfc_9106_argon2id() {
    let case = &load("rfc9106.json")["case"];
    let count = |key: &str| u32::try_from(case[key].as_u64().unwrap()).unwrap();
    let params = ParamsBuilder::new()
        .m_cost(count("memory_kib"))
        .t_cost(count("passes"))
        .p_cost(count("lanes"))
        .data(AssociatedData::new(&bytes(case, "data")).unwrap())
        .build()
        .unwrap();
    let secret = bytes(case, "secret");
    let argon2 = Argon2::new_with_secret(&secret, Algorithm::Argon2id, Version::V0x13, params).unwrap();
    let mut tag = [0; 32];
    argon2.hash_password_into(&bytes(case, "password"), &bytes(case, "salt"), &mut tag).unwrap();
    assert_eq!(tag.as_slice(), bytes(case, "tag"));
}

#[test]
fn rfc_8032_ed25519() {
    for case in cases(&load("rfc8032.json"), "cases") {
        let pair = Ed25519KeyPair::from_seed_unchecked(&bytes(case, "seed")).unwrap();
        assert_eq!(pair.public_key().as_ref(), bytes(case, "public"));
        let (message, signature) = (bytes(case, "message"), bytes(case, "signature"));
        assert_eq!(pair.sign(&message).as_ref(), signature);
        let key = Ed25519Public(array(case, "public"));
        assert!(key.verifies(&message, &signature));
        assert!(!key.verifies(&[message.as_slice(), b"x"].concat(), &signature));
        assert!(!key.verifies(&message, &signature[..63]));

        // The scalar plus the group's order is the same point: a second signature that must not count.
        let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
        let mut mirrored = signature.clone();
        let mut carry = 0;
        for (byte, add) in mirrored[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert_ne!(mirrored, signature);
        assert!(!key.verifies(&message, &mirrored));
    }
}

/// Reads `hex` of a case as the type its name says; `Ok` holds the value as the file would write it.
fn read(kind: &str, encoded: &[u8]) -> Result<Value, CborError> {
    Ok(match kind {
        "unsigned" => from_slice::<u64>(encoded)?.to_string().into(),
        "bytes" => hex::encode(&**from_slice::<ByteVec>(encoded)?).into(),
        "text" => from_slice::<String>(encoded)?.into(),
        "list" => from_slice::<Vec<u64>>(encoded)?.into(),
        "bool" => from_slice::<bool>(encoded)?.into(),
        "null" => from_slice::<Option<u64>>(encoded)?.into(),
        other => panic!("{other}"),
    })
}

#[test]
fn rfc_8949_examples_and_their_other_encodings() {
    let file = load("cbor.json");
    for kind in ["unsigned", "bytes", "text", "list", "bool"] {
        for case in cases(&file, kind) {
            assert_eq!(read(kind, &bytes(case, "hex")).as_ref(), Ok(&case["value"]), "{case}");
        }
    }
    for case in cases(&file, "unsigned") {
        assert_eq!(to_vec(&number(case, "value")), bytes(case, "hex"));
    }
    assert_eq!(to_vec(&None::<u64>), bytes(&file, "null"));
    assert_eq!(read("null", &bytes(&file, "null")), Ok(Value::Null));
    for case in cases(&file, "refused") {
        assert!(read(text(case, "type"), &bytes(case, "hex")).is_err(), "{case}");
    }
}

#[test]
fn derivations_agree_with_another_implementation() {
    let file = load("kdf.json");
    let parts: Vec<Vec<u8>> =
        cases(&file, "parts").iter().map(|part| hex::decode(part.as_str().unwrap()).unwrap()).collect();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let (label, key) = (text(&file, "label"), array(&file, "key"));
    assert_eq!(kdf::hash(label, &parts).0, array(&file, "hash"));
    assert_eq!(kdf::mac(&key, label, &parts), array(&file, "mac"));
    assert_eq!(kdf::mac_512(&key, label, &parts), array(&file, "mac_512"));
    assert_eq!(*kdf::derive(&key, &bytes(&file, "salt"), label, &parts).expose_secret(), array(&file, "derive"));
}

#[test]
fn a_pin_becomes_the_same_factor_in_another_implementation() {
    let case = &load("kdf.json")["pin"];
    let count = |key: &str| u32::try_from(case[key].as_u64().unwrap()).unwrap();
    let argon2 = Argon2Parameters { memory_kib: count("memory_kib"), passes: count("passes"), lanes: count("lanes") };
    assert!(argon2.is_acceptable(), "the floor is acceptable");
    let parameters = PinParameters { salt: PinSalt(array(case, "salt")), argon2 };
    let salt = parameters.argon2_salt(&DeploymentId(array(case, "deployment")), &UserIdHash(array(case, "wallet")));
    assert_eq!(salt.0, array(case, "argon2_salt"));
    let params = argon2::Params::new(argon2.memory_kib, argon2.passes, argon2.lanes, Some(32)).unwrap();
    let mut factor = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(text(case, "pin").as_bytes(), &salt.0, &mut factor)
        .unwrap();
    assert_eq!(factor, array(case, "factor"));
}

#[test]
fn argon2_parameters_outside_the_range_are_not_acceptable() {
    let good = Argon2Parameters::DEFAULT;
    assert!(good.is_acceptable());
    for bad in [
        Argon2Parameters { memory_kib: 19 * 1024 - 1, ..good },
        Argon2Parameters { memory_kib: 1024 * 1024 + 1, ..good },
        Argon2Parameters { passes: 1, ..good },
        Argon2Parameters { passes: 17, ..good },
        Argon2Parameters { lanes: 0, ..good },
        Argon2Parameters { lanes: 5, ..good },
    ] {
        assert!(!bad.is_acceptable(), "{bad:?}");
    }
}

#[test]
fn the_committing_aead_agrees_with_another_implementation() {
    for case in cases(&load("aead.json"), "cases") {
        let key = SealingKey::new(SecretBytes::take(&mut array(case, "key")));
        let (info, aad, plaintext) = (bytes(case, "info"), bytes(case, "aad"), bytes(case, "plaintext"));
        let sealed = key.seal(&info, &aad, &plaintext);
        assert_eq!(sealed, bytes(case, "sealed"), "{}", text(case, "name"));
        assert_eq!(sealed.len(), plaintext.len() + OVERHEAD_BYTES);
        assert_eq!(*key.open(&info, &aad, &sealed).unwrap(), plaintext);
    }
}

#[test]
fn a_wrong_key_and_damaged_bytes_are_told_apart() {
    let case = &load("aead.json")["cases"][1];
    let key = SealingKey::new(SecretBytes::take(&mut array(case, "key")));
    let (info, aad, sealed) = (bytes(case, "info"), bytes(case, "aad"), bytes(case, "sealed"));

    let other = SealingKey::new(SecretBytes::take(&mut [0xee; 32]));
    assert_eq!(other.open(&info, &aad, &sealed), Err(OpenError::WrongKey));
    assert_eq!(key.open(b"another purpose", &aad, &sealed), Err(OpenError::WrongKey));
    assert_eq!(key.open(&info, b"another context", &sealed), Err(OpenError::Damaged));
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        let expected = if at < 32 { OpenError::WrongKey } else { OpenError::Damaged };
        assert_eq!(key.open(&info, &aad, &changed), Err(expected), "byte {at}");
    }
    for end in 0..sealed.len() {
        assert!(key.open(&info, &aad, &sealed[..end]).is_err(), "cut at {end}");
    }
}
