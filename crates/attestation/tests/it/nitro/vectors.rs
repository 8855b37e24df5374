//! Documents made without this code, and what every implementation makes of them.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pinseal_attestation::Document;
use pinseal_attestation::verify::nitro::{NitroError, NitroImage, NitroImages, NitroRoot, Pcr, PcrIndex, authenticate};
use pinseal_attestation::verify::{Expected, Policy, VerifyError, verify};
use pinseal_protocol::cbor;
use pinseal_protocol::ids::{Hash32, Measurement, Nonce, UnixSeconds};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/attestation/");

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn number(value: &Value, key: &str) -> u64 {
    text(value, key).parse().unwrap()
}

/// An image by the numbers of its registers.
fn image(value: &Value) -> NitroImage {
    let registers = value.as_object().unwrap();
    let register = |number: &str| Pcr::from_hex(registers[number].as_str().unwrap()).unwrap();
    let mandatory = NitroImage::new(register("0"), register("1"), register("2")).unwrap();
    let further = registers.keys().filter(|number| !["0", "1", "2"].contains(&number.as_str()));
    further.fold(mandatory, |image, number| {
        image.and(PcrIndex::new(number.parse().unwrap()).unwrap(), register(number)).unwrap()
    })
}

fn judge(case: &Value) -> Result<(), VerifyError> {
    let cose = match case.get("file") {
        Some(file) => std::fs::read(format!("{FOLDER}{}", file.as_str().unwrap())).unwrap(),
        None => STANDARD.decode(text(case, "document")).unwrap(),
    };
    let root = NitroRoot::made_for_a_test(*Hash32::from_hex(text(case, "root_sha256")).unwrap().as_bytes());
    let now = UnixSeconds(number(case, "now"));
    let Some(expected) = case.get("expected") else {
        return authenticate(&cose, &root, now).map(drop).map_err(VerifyError::Nitro);
    };
    let policy = Policy::nitro_under_test_root(NitroImages::new(vec![image(&expected["image"])]).unwrap(), root);
    let expected = Expected {
        user_data: Hash32::from_hex(text(expected, "user_data")).unwrap(),
        nonce: Nonce::from_hex(text(expected, "nonce")).unwrap(),
        now,
        age_seconds_max: number(expected, "age_seconds_max"),
    };
    verify(&cbor::to_vec(&Document::Nitro { cose }), &policy, &expected).map(drop)
}

#[test]
fn every_case_made_elsewhere_ends_as_it_says() {
    let file: Value = serde_json::from_slice(&std::fs::read(format!("{FOLDER}nitro.json")).unwrap()).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let (mut names, mut wrong) = (BTreeSet::new(), Vec::new());
    for case in cases {
        assert!(names.insert(text(case, "name")), "{case}");
        let result = judge(case);
        let code = result.as_ref().map_or_else(VerifyError::code, |()| "ok");
        let place = match result {
            Err(VerifyError::Nitro(NitroError::Certificate { place, .. })) => Some(u64::from(place)),
            _ => None,
        };
        if (code, place) != (text(case, "result"), case["certificate"].as_u64()) {
            wrong.push(format!("{}: {code} {place:?}, not {}", case["name"], case["result"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(cases.iter().filter(|case| case["result"] == "ok").count() > 10 && cases.len() > 80, "{}", cases.len());
    let measurement = &file["measurement"];
    let measured = image(&measurement["image"]).measurement();
    assert_eq!(measured, Measurement::from_hex(text(measurement, "sha256")).unwrap());
}

/// Somebody who trusts this folder trusts these bytes.
#[test]
fn the_document_of_aws_is_the_one_in_the_crate_it_came_from() {
    let bytes = super::real::bytes();
    let hash: [u8; 32] = digest(&SHA256, &bytes).as_ref().try_into().unwrap();
    assert_eq!(
        Hash32(hash),
        Hash32::from_hex("19b71700ef369a55ad201e09843c7cfcbaecd2a07917e77cafa42fb227d582b7").unwrap()
    );
}
