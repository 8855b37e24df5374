//! `pinseal evidence --file`: a document that AWS signed, checked by hand.

use std::path::Path;
use std::process::{Output, Stdio};

use pinseal_attestation::Document;
use pinseal_protocol::{cbor, manifest};
use serde_json::Value;

use crate::process::{code, command, run, text};

/// Three seconds into the life of the document's leaf certificate.
const AT: &str = "1736179625";
const PCR0: &str = "8bb159f202bb95d6d4d98e0e103918246cea734f1d57cd263e4fd56075ed53f6fa8c68854817a32749a241e11874c26b";
const PCR1: &str = "3b4a7e1b5f13c5a1000b3ed32ef8995ee13e9876329f9bc72650b918329ef9cf4e2e4d1e1e37375dab0ba56ba0974d03";
const PCR2: &str = "f4e86b12ad3df5f9fea962ff706c23ee190b463740a32f1a679a3cd1070a7731ddd83328fe3db5e8143ea94344b6fb95";
const IMAGE: [&str; 6] = ["--pcr0", PCR0, "--pcr1", PCR1, "--pcr2", PCR2];

fn document() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/attestation/nitro/aws-eu-central-1.cose");
    std::fs::read(path).unwrap()
}

/// Checks `bytes` in a file.
fn check(directory: &Path, bytes: &[u8], more: &[&str]) -> Output {
    std::fs::write(directory.join("document"), bytes).unwrap();
    run(directory, &[&["evidence", "--file", "document"], more].concat())
}

#[track_caller]
fn refused(output: &Output, exit: i32, expected: &str) {
    let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|_| panic!("{}", text(output)));
    assert_eq!((code(output), error["error"]["code"].as_str()), (exit, Some(expected)), "{error}");
}

#[test]
fn a_genuine_document_is_shown_with_what_was_not_compared() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let shown = check(here, &document(), &[&IMAGE[..], &["--at", AT]].concat());
    let told = text(&shown);
    assert_eq!(code(&shown), 0, "{told}");
    for part in ["AWS's root", PCR0, "i-0bee92034f3d60691-enc01943c5eaab3ad6a", "2025-01-06 16:07:05Z"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(told.contains("user data not compared") && told.contains("nonce not compared"), "{told}");

    let shown = check(here, &document(), &[&IMAGE[..], &["--at", AT, "--json"]].concat());
    let value: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(value["kind"], "nitro");
    assert_eq!(value["compared"], serde_json::json!({ "user_data": false, "nonce": false }));
    assert_eq!(value["nitro"]["pcrs"]["2"], PCR2);
    assert_eq!(value["nitro"]["nonce"], Value::Null);
    assert_eq!(value["nitro"]["time_milliseconds"], 1_736_179_625_472_u64);

    // In Pinseal's envelope, and from standard input.
    let enveloped = cbor::to_vec(&Document::Nitro { cose: document() });
    assert_eq!(code(&check(here, &enveloped, &[&IMAGE[..], &["--at", AT]].concat())), 0);
    let mut piped = command(here, &[&["evidence", "--file", "-", "--at", AT], &IMAGE[..]].concat());
    piped.stdin(Stdio::from(std::fs::File::open(here.join("document")).unwrap()));
    assert_eq!(code(&piped.output().unwrap()), 0);
}

#[test]
fn the_failed_check_is_the_code() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let good = document();
    let check = |bytes: &[u8], more: &[&str]| check(here, bytes, &[more, &["--json"]].concat());
    let at = [&IMAGE[..], &["--at", AT]].concat();

    // Today the leaf has expired, and the way to look at the past is named.
    let today = check(&good, &IMAGE);
    refused(&today, 7, "certificate_expired");
    assert!(text(&today).contains("--at SECONDS"), "{}", text(&today));
    refused(&check(&good, &[&IMAGE[..], &["--at", "1736190425"]].concat()), 7, "too_old");
    refused(&check(&good, &[&IMAGE[..], &["--at", "1736179500"]].concat()), 7, "certificate_not_yet_valid");

    let mut bent = good.clone();
    *bent.last_mut().unwrap() ^= 1;
    refused(&check(&bent, &at), 7, "signature_wrong");
    refused(&check(b"hello", &at), 7, "cose_malformed");
    refused(&check(&vec![0; 20_000], &at), 7, "document_too_long");

    let other = ["--pcr0", PCR1, "--pcr1", PCR1, "--pcr2", PCR2, "--at", AT];
    refused(&check(&good, &other), 7, "image_not_trusted");
    let signed = format!("8={PCR0}");
    refused(&check(&good, &[&at[..], &["--pcr", &signed]].concat()), 7, "image_not_trusted");
    refused(&check(&good, &[&at[..], &["--nonce", "00"]].concat()), 7, "nonce_missing");
    refused(&check(&good, &[&at[..], &["--user-data", "00"]].concat()), 7, "user_data_missing");
    std::fs::write(here.join("manifest"), b"anything").unwrap();
    refused(&check(&good, &[&at[..], &["--manifest", "manifest"]].concat()), 7, "user_data_missing");

    let software = pinseal_protocol::cbor::to_vec(&Document::Software { payload: vec![1], signature: vec![2] });
    refused(&check(&software, &at), 7, "software_evidence_refused");
    assert_ne!(manifest::hash_of(b"anything"), manifest::hash_of(b""));
}

#[test]
fn an_image_has_to_be_named_and_not_only_to_lie_here() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let check = |more: &[&str]| check(here, &document(), &[&["--at", AT, "--json"], more].concat());
    refused(&check(&[]), 2, "usage");
    refused(&check(&IMAGE[..4]), 2, "usage");
    refused(&check(&["--pcr0", "00"]), 2, "usage");
    let zero = "00".repeat(48);
    refused(&check(&["--pcr0", PCR0, "--pcr1", PCR1, "--pcr2", &zero]), 2, "usage");

    let service = serde_json::json!({
        "server": "http://127.0.0.1:9", "app_id": "a", "app_key": "k", "development": false,
        "nitro": [{ "pcr0": PCR0, "pcr1": PCR1, "pcr2": PCR2 }],
    });
    std::fs::create_dir(here.join(".pinseal")).unwrap();
    std::fs::write(here.join(".pinseal/service.json"), service.to_string()).unwrap();
    refused(&check(&[]), 2, "usage");
    assert_eq!(code(&check(&["--profile", "./.pinseal"])), 0);
    // A profile that trusts an image is not talked down to development mode.
    let output = run(here, &["evidence", "--development", "--profile", "./.pinseal", "--json"]);
    refused(&output, 2, "usage");
    assert!(text(&output).contains("Nitro image is trusted"), "{}", text(&output));
}
