//! Software evidence.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use pinseal_attestation::document::{DEVELOPMENT_KEY_LABEL, DOCUMENT_BYTES_MAX};
use pinseal_attestation::verify::{
    CLOCK_SKEW_SECONDS_MAX, DevelopmentMeasurements, DevelopmentMode, Expected, MeasurementList, MeasurementListError,
    NitroImages, Policy, SOFTWARE_STATEMENT, VerifyError, verify,
};
use pinseal_attestation::{Document, EvidenceKind, SoftwarePayload, produce};
use pinseal_protocol::cbor;
use pinseal_protocol::ids::{Hash32, Measurement, Nonce, UnixSeconds};

const MEASUREMENT: Measurement = Measurement([1; 32]);
const USER_DATA: Hash32 = Hash32([2; 32]);
const NONCE: Nonce = Nonce([3; 32]);
const TIME: UnixSeconds = UnixSeconds(1_800_000_000);
const AGE_SECONDS_MAX: u64 = 300;

fn document() -> Vec<u8> {
    produce::software(MEASUREMENT, USER_DATA, NONCE, TIME)
}

fn expected() -> Expected {
    Expected { user_data: USER_DATA, nonce: NONCE, now: TIME, age_seconds_max: AGE_SECONDS_MAX }
}

fn any_image() -> Policy {
    Policy::development(DevelopmentMode::i_understand_this_proves_nothing(), DevelopmentMeasurements::Any)
}

fn listed(measurements: &[Measurement]) -> MeasurementList {
    MeasurementList::new(measurements.to_vec()).unwrap()
}

fn listed_image(measurement: Measurement) -> Policy {
    Policy::development(
        DevelopmentMode::i_understand_this_proves_nothing(),
        DevelopmentMeasurements::Listed(listed(&[measurement])),
    )
}

fn development_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(digest(&SHA256, DEVELOPMENT_KEY_LABEL.as_bytes()).as_ref()).unwrap()
}

/// A document over arbitrary payload bytes with a signature that fits.
fn signed(context: &[u8], payload: &[u8]) -> Vec<u8> {
    let signature = development_key().sign(&[context, payload].concat()).as_ref().to_vec();
    cbor::to_vec(&Document::Software { payload: payload.to_vec(), signature })
}

fn parts(document: &[u8]) -> (Vec<u8>, Vec<u8>) {
    match cbor::from_slice(document).unwrap() {
        Document::Software { payload, signature } => (payload, signature),
        other => panic!("not software evidence: {other:?}"),
    }
}

#[test]
fn development_mode_accepts_it_and_says_what_it_is_worth() {
    for policy in [any_image(), listed_image(MEASUREMENT)] {
        let verified = verify(&document(), &policy, &expected()).unwrap();
        assert_eq!(verified.kind, EvidenceKind::Software);
        assert_eq!(verified.measurement, MEASUREMENT);
        assert_eq!(verified.time, TIME);
        assert_eq!(verified.statement, SOFTWARE_STATEMENT);
        assert!(verified.statement.contains("proves nothing about hardware"));
    }
}

#[test]
fn a_policy_for_hardware_refuses_it_and_says_what_to_do() {
    let images = NitroImages::new(vec![pinseal_attestation::forge::image()]).unwrap();
    let error = verify(&document(), &Policy::nitro(images), &expected()).unwrap_err();
    assert_eq!(error, VerifyError::SoftwareEvidenceRefused);
    assert!(error.to_string().contains("ask for development mode"));
}

#[test]
fn every_flipped_bit_is_refused() {
    let good = document();
    for index in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            assert!(verify(&bad, &any_image(), &expected()).is_err(), "byte {index}, bit {bit}");
        }
    }
}

#[test]
fn every_truncation_and_trailing_byte_is_refused() {
    let good = document();
    for length in 0..good.len() {
        let error = verify(&good[..length], &any_image(), &expected()).unwrap_err();
        assert!(matches!(error, VerifyError::Document(_)), "{length}: {error}");
    }
    for tail in 0..=u8::MAX {
        let bad = [good.as_slice(), &[tail]].concat();
        assert_eq!(
            verify(&bad, &any_image(), &expected()).unwrap_err(),
            VerifyError::Document(cbor::CborError::NotCanonical),
        );
    }
}

#[test]
fn every_field_is_bound() {
    let other = produce::software(MEASUREMENT, Hash32([9; 32]), NONCE, TIME);
    assert_eq!(verify(&other, &any_image(), &expected()), Err(VerifyError::UserData));
    let other = produce::software(MEASUREMENT, USER_DATA, Nonce([9; 32]), TIME);
    assert_eq!(verify(&other, &any_image(), &expected()), Err(VerifyError::Nonce));
    let other = produce::software(Measurement([9; 32]), USER_DATA, NONCE, TIME);
    assert_eq!(verify(&other, &listed_image(MEASUREMENT), &expected()), Err(VerifyError::Measurement));
    assert_eq!(verify(&other, &any_image(), &expected()).unwrap().measurement, Measurement([9; 32]));
}

#[test]
fn a_payload_with_another_fields_signature_is_refused() {
    let (_, signature) = parts(&document());
    for payload in [
        SoftwarePayload { measurement: Measurement([9; 32]), user_data: USER_DATA, nonce: NONCE, time: TIME },
        SoftwarePayload { measurement: MEASUREMENT, user_data: Hash32([9; 32]), nonce: NONCE, time: TIME },
        SoftwarePayload { measurement: MEASUREMENT, user_data: USER_DATA, nonce: Nonce([9; 32]), time: TIME },
        SoftwarePayload { measurement: MEASUREMENT, user_data: USER_DATA, nonce: NONCE, time: UnixSeconds(TIME.0 + 1) },
    ] {
        let expected = Expected { user_data: payload.user_data, nonce: payload.nonce, now: payload.time, ..expected() };
        let forged =
            cbor::to_vec(&Document::Software { payload: cbor::to_vec(&payload), signature: signature.clone() });
        assert_eq!(verify(&forged, &any_image(), &expected), Err(VerifyError::Signature));
    }
}

#[test]
fn age_and_future_have_exact_bounds() {
    let at = |now: u64| verify(&document(), &any_image(), &Expected { now: UnixSeconds(now), ..expected() });
    assert!(at(TIME.0 + AGE_SECONDS_MAX).is_ok());
    assert_eq!(at(TIME.0 + AGE_SECONDS_MAX + 1), Err(VerifyError::Stale));
    assert!(at(TIME.0 - CLOCK_SKEW_SECONDS_MAX).is_ok());
    assert_eq!(at(TIME.0 - CLOCK_SKEW_SECONDS_MAX - 1), Err(VerifyError::Future));
    assert_eq!(at(0), Err(VerifyError::Future));
    assert_eq!(at(u64::MAX), Err(VerifyError::Stale));
}

#[test]
fn only_the_development_key_in_its_own_context_signs() {
    const CONTEXT: &[u8] = b"pinseal/evidence/software/v1\0";
    let (payload, _) = parts(&document());
    assert!(verify(&signed(CONTEXT, &payload), &any_image(), &expected()).is_ok());
    assert_eq!(verify(&signed(b"", &payload), &any_image(), &expected()), Err(VerifyError::Signature));

    let stranger = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let signature = stranger.sign(&[CONTEXT, payload.as_slice()].concat()).as_ref().to_vec();
    let forged = cbor::to_vec(&Document::Software { payload, signature });
    assert_eq!(verify(&forged, &any_image(), &expected()), Err(VerifyError::Signature));
}

#[test]
fn a_signed_payload_must_itself_be_canonical() {
    const CONTEXT: &[u8] = b"pinseal/evidence/software/v1\0";
    let (payload, _) = parts(&document());
    let trailing = [payload.as_slice(), &[0]].concat();
    let mut five_fields = payload.clone();
    five_fields[0] = 0x85;
    five_fields.push(0);
    let mut long_integer = payload[..payload.len() - 5].to_vec();
    long_integer.push(0x1b);
    long_integer.extend_from_slice(&TIME.0.to_be_bytes());
    for bad in [trailing, five_fields, long_integer, Vec::new()] {
        let error = verify(&signed(CONTEXT, &bad), &any_image(), &expected()).unwrap_err();
        assert!(matches!(error, VerifyError::Document(_)), "{error}");
    }
}

#[test]
fn oversize_and_unknown_kinds_are_refused() {
    let big = cbor::to_vec(&Document::Software { payload: vec![0; DOCUMENT_BYTES_MAX], signature: vec![0; 64] });
    assert_eq!(verify(&big, &any_image(), &expected()), Err(VerifyError::TooLong));
    let mut later_kind = document();
    assert_eq!(later_kind[1], 0);
    later_kind[1] = 2;
    assert_eq!(verify(&later_kind, &any_image(), &expected()), Err(VerifyError::Document(cbor::CborError::Malformed)),);
}

#[test]
fn an_empty_or_overlong_list_is_no_policy() {
    assert_eq!(MeasurementList::new(Vec::new()), Err(MeasurementListError::Empty));
    assert_eq!(MeasurementList::new(vec![MEASUREMENT; 65]), Err(MeasurementListError::TooMany));
    assert!(MeasurementList::new(vec![MEASUREMENT; 64]).is_ok());
}

#[test]
fn documents_equal_the_golden_bytes_made_elsewhere() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/attestation/software.json");
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let text = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap().to_owned();

    let key = &file["development_key"];
    assert_eq!(text(key, "label"), DEVELOPMENT_KEY_LABEL);
    assert_eq!(text(key, "public"), hex(development_key().public_key().as_ref()));

    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let measurement = Measurement::from_hex(&text(vector, "measurement")).unwrap();
        let user_data = Hash32::from_hex(&text(vector, "user_data")).unwrap();
        let nonce = Nonce::from_hex(&text(vector, "nonce")).unwrap();
        let time = UnixSeconds(text(vector, "time").parse().unwrap());
        let document = produce::software(measurement, user_data, nonce, time);
        assert_eq!(hex(&document), text(vector, "document"), "{}", vector["name"]);
        assert_eq!(document.len() as u64, vector["document_bytes"].as_u64().unwrap());
        assert_eq!(hex(digest(&SHA256, &document).as_ref()), text(vector, "document_sha256"));
        let expected = Expected { user_data, nonce, now: time, age_seconds_max: 0 };
        assert_eq!(verify(&document, &any_image(), &expected).unwrap().measurement, measurement);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
