//! The names of checks in docs/errors.md are those the code gives.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use pinseal_attestation::verify::VerifyError;
use pinseal_attestation::verify::nitro::{CertificateError, NitroError, NitroField, PcrIndex};
use pinseal_protocol::cbor::CborError;
use serde_json::Value;

/// One of each, in the order in which they are checked.
fn errors() -> Vec<VerifyError> {
    use CertificateError as C;
    use NitroError as N;
    let certificates = [
        C::Malformed,
        C::NotCanonical,
        C::Version,
        C::Algorithm,
        C::Key,
        C::CriticalExtension,
        C::DuplicateExtension,
        C::SelfIssued,
        C::Issuer,
        C::Signature,
        C::NotYetValid,
        C::Expired,
        C::BasicConstraints,
        C::PathLength,
        C::KeyUsage,
    ];
    let genuine = [
        N::TooLong,
        N::CoseMalformed,
        N::CoseNotCanonical,
        N::CriticalHeader,
        N::Algorithm,
        N::ProtectedHeader,
        N::UnprotectedHeader,
        N::SignatureLength,
        N::PayloadMissing,
        N::PayloadMalformed,
        N::FieldUnknown,
        N::FieldDuplicate,
        N::FieldInvalid(NitroField::Nonce),
        N::Digest,
        N::PayloadNotCanonical,
        N::FieldMissing(NitroField::Nonce),
        N::RootUnknown,
    ];
    let meant = [N::UserDataMissing, N::NonceMissing];
    let image = [N::PcrMissing(PcrIndex::MANDATORY[0]), N::DebugMode(PcrIndex::MANDATORY[0])];
    let first = [
        VerifyError::Document(CborError::Malformed),
        VerifyError::SoftwareEvidenceRefused,
        VerifyError::NitroEvidenceRefused,
    ];
    let shared = [VerifyError::UserData, VerifyError::Nonce, VerifyError::Future, VerifyError::Stale];
    first
        .into_iter()
        .chain(genuine.map(VerifyError::Nitro))
        .chain(certificates.map(|reason| VerifyError::Nitro(N::Certificate { place: 0, reason })))
        .chain([VerifyError::Nitro(N::Signature)])
        .chain(meant.map(VerifyError::Nitro))
        .chain(shared)
        .chain(image.map(VerifyError::Nitro))
        .chain([VerifyError::Measurement])
        .collect()
}

#[test]
fn the_table_of_checks_is_the_committed_one() {
    let mut table = String::from("| code | meaning |\n|---|---|\n");
    for error in errors() {
        // What stands for any field, certificate or register.
        let meaning = error.to_string();
        let meaning = meaning.replace("certificate 0 of the chain (0 is the root)", "a certificate of the chain");
        let meaning = meaning.replace("payload's nonce", "payload's field").replace("lacks nonce", "lacks a field");
        let meaning = meaning.replace("PCR 0", "PCR 0, 1 or 2");
        writeln!(table, "| `{}` | {meaning} |", error.code()).unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("<!-- generated: evidence -->\n").unwrap();
    let (committed, after) = rest.split_once("<!-- end: evidence -->").unwrap();
    if committed != table && std::env::var_os("UPDATE").is_some() {
        let page = format!("{before}<!-- generated: evidence -->\n{table}<!-- end: evidence -->{after}");
        std::fs::write(path, page).unwrap();
        return;
    }
    assert!(
        committed == table,
        "docs/errors.md is not what the code says; run with UPDATE=1 and look at the difference"
    );
}

#[test]
fn every_check_has_a_name_of_its_own_and_the_vectors_use_no_other() {
    let names: BTreeSet<&str> = errors().iter().map(VerifyError::code).collect();
    assert_eq!(names.len(), errors().len());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/attestation/nitro.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for case in file["cases"].as_array().unwrap() {
        let result = case["result"].as_str().unwrap();
        assert!(result == "ok" || names.contains(result), "{case}");
    }
}
