//! Golden bytes: a changed format cannot pass unseen. `UPDATE=1` writes them again.

use std::collections::BTreeMap;

use pinseal_protocol::cbor::{self, CborError};
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::manifest::boot_keys_hash;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::request::{Method, Suite, WalletState};
use pinseal_protocol::token::AccessClaims;
use pinseal_protocol::wire::Halt;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::samples::{self, all};
use crate::{ed25519, load, sign, store, updating};

fn entry(bytes: &[u8]) -> Value {
    json!({ "length": bytes.len(), "sha256": hex::encode(Sha256::digest(bytes)), "hex": hex::encode(bytes) })
}

/// The wire number of a plain enum.
fn code<T: minicbor::Encode<()>>(value: &T) -> u64 {
    minicbor::decode(&cbor::to_vec(value)).unwrap()
}

fn access_claims() -> AccessClaims {
    AccessClaims {
        iss: "https://login.example".into(),
        aud: samples::deployment().to_string(),
        sub: "user-1".into(),
        sid: "session-1".into(),
        app: "app-1".into(),
        jti: "token-1".into(),
        iat: 1_767_225_600,
        exp: 1_767_226_200,
        cnf: AccessClaims::confirmation(&samples::device()),
    }
}

fn golden() -> Value {
    let mut encodings: BTreeMap<String, Value> =
        all().iter().map(|sample| (sample.name.clone(), entry(&sample.bytes))).collect();
    let (pair, key) = ed25519(0x11);
    encodings.insert("checkpoint_note".into(), entry(&samples::checkpoint().to_note(&key, |text| sign(&pair, text))));
    let in_tpm = Checkpoint { tpm: Some(Hash32([0x77; 32])), ..samples::checkpoint() };
    encodings.insert("checkpoint_note/tpm".into(), entry(&in_tpm.to_note(&key, |text| sign(&pair, text))));
    encodings.insert("access_claims".into(), entry(&serde_json::to_vec(&access_claims()).unwrap()));

    let manifest = samples::manifest();
    let hashes = json!({
        "configuration": samples::configuration().hash().to_string(),
        "policy": samples::configuration().policy.hash().to_string(),
        "manifest": manifest.hash().to_string(),
        "boot_keys": boot_keys_hash(&manifest.hpke, &manifest.boot).to_string(),
        "checkpoint": samples::checkpoint().hash().to_string(),
        "argon2_salt":
            samples::parameters(1).argon2_salt(&samples::deployment(), &samples::wallet()).to_string(),
    });

    let methods: BTreeMap<_, _> = Method::ALL.iter().map(|method| (method.name(), code(method))).collect();
    let refusals: BTreeMap<_, _> = Refusal::ALL.iter().map(|refusal| (refusal.code(), code(refusal))).collect();
    let codes = json!({
        "method": methods,
        "refusal": refusals,
        "suite": { "x25519_aes256gcm": code(&Suite::X25519Aes256Gcm) },
        "wallet_state": {
            "missing": code(&WalletState::Missing),
            "prepared": code(&WalletState::Prepared),
            "active": code(&WalletState::Active),
        },
        "anchor_level": AnchorLevel::ALL.iter().map(|level| (level.to_string(), code(level))).collect::<BTreeMap<_, _>>(),
        "halt": {
            "protocol": code(&Halt::Protocol),
            "configuration_invalid": code(&Halt::ConfigurationInvalid),
            "root_damaged": code(&Halt::RootDamaged),
            "root_newer": code(&Halt::RootNewer),
            "root_foreign": code(&Halt::RootForeign),
            "wrong_passphrase": code(&Halt::WrongPassphrase),
            "checkpoint_invalid": code(&Halt::CheckpointInvalid),
            "state_mismatch": code(&Halt::StateMismatch),
            "anchor_missing": code(&Halt::AnchorMissing),
            "state_older": code(&Halt::StateOlder),
            "state_forked": code(&Halt::StateForked),
            "fenced": code(&Halt::Fenced),
            "rolled_back": code(&Halt::RolledBack),
        },
    });
    json!({
        "source": "crates/protocol/tests/it/golden.rs; written again by UPDATE=1",
        "license": "Apache-2.0",
        "encodings": encodings,
        "hashes": hashes,
        "codes": codes,
    })
}

#[test]
fn every_format_has_its_golden_bytes() {
    let now = golden();
    if updating() {
        return store("golden.json", &now);
    }
    let then = load("golden.json");
    for part in ["encodings", "hashes", "codes"] {
        let (now, then) = (now[part].as_object().unwrap(), then[part].as_object().unwrap());
        for (name, value) in now {
            assert_eq!(Some(value), then.get(name), "{part}: {name} changed");
        }
        assert_eq!(now.len(), then.len(), "{part}: something is gone");
    }
}

#[test]
fn a_format_decodes_to_what_was_encoded() {
    for sample in all() {
        assert_eq!((sample.reparse)(&sample.bytes), Ok(true), "{}", sample.name);
    }
}

#[test]
fn a_cut_off_message_is_refused() {
    for sample in all() {
        for end in 0..sample.bytes.len() {
            assert!((sample.reparse)(&sample.bytes[..end]).is_err(), "{} cut at {end}", sample.name);
        }
    }
}

#[test]
fn a_trailing_byte_is_refused() {
    for sample in all() {
        for byte in [0x00, 0x80, 0xf6, 0xff] {
            let longer = [sample.bytes.as_slice(), &[byte]].concat();
            assert_eq!((sample.reparse)(&longer), Err(CborError::NotCanonical), "{} and {byte:#x}", sample.name);
        }
    }
}

/// Whatever bit is flipped, the bytes mean nothing or something else: a value has one encoding.
#[test]
fn no_other_bytes_mean_the_same_value() {
    for sample in all() {
        let mut changed = sample.bytes.clone();
        for at in 0..changed.len() {
            for bit in 0..8 {
                changed[at] ^= 1 << bit;
                assert_ne!((sample.reparse)(&changed), Ok(true), "{} at {at}, bit {bit}", sample.name);
                changed[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn codes_are_distinct_and_names_lead_back() {
    let distinct = |codes: Vec<u64>| codes.iter().collect::<std::collections::BTreeSet<_>>().len() == codes.len();
    assert!(distinct(Refusal::ALL.iter().map(code).collect()));
    assert!(distinct(Method::ALL.iter().map(code).collect()));
    let names: std::collections::BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
    assert_eq!(names.len(), Refusal::ALL.len());
    for method in Method::ALL {
        assert_eq!(Method::from_name(method.name()), Some(*method));
    }
    for request in samples::requests() {
        assert!(request.is_within_bounds(), "{request:?}");
    }
    let methods: Vec<Method> = samples::requests().iter().map(pinseal_protocol::request::Request::method).collect();
    assert_eq!(methods, Method::ALL);
}
