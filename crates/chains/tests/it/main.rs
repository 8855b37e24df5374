//! Vectors of the standards, independent implementations as oracles, and refusals.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::cast_possible_truncation, reason = "test generators cut numbers to size on purpose")]

mod decode;
mod mutation;
mod oracle_transaction;
mod oracle_typed_data;
mod prepare;
mod vectors;

use std::path::Path;

use serde_json::Value;

/// Reads `vectors/<path>`.
fn load(path: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(path);
    serde_json::from_slice(&std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))).unwrap()
}

/// The list at `key`, which must not be empty.
fn cases<'a>(file: &'a Value, key: &str) -> &'a [Value] {
    let list = file[key].as_array().unwrap();
    assert!(!list.is_empty(), "{key} is empty");
    list
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{key} in {case}"))
}

fn bytes(case: &Value, key: &str) -> Vec<u8> {
    hex::decode(text(case, key).strip_prefix("0x").unwrap()).unwrap()
}

fn array<const N: usize>(case: &Value, key: &str) -> [u8; N] {
    let bytes = bytes(case, key);
    let mut out = [0; N];
    assert!(bytes.len() <= N, "{key}");
    out[N - bytes.len()..].copy_from_slice(&bytes);
    out
}
