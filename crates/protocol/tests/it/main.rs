//! What the protocol promises: vectors of the standards, golden bytes, properties, and refusals of whatever was changed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod add_checkpoint;
mod codec;
mod cosignature;
mod debug;
mod envelope;
mod golden;
mod jose;
mod log;
mod note;
mod samples;
mod secrets;
mod signed;
mod standards;
mod tpm;
mod typescript;

use std::path::PathBuf;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use pinseal_probe::RecordingAllocator;
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::token::P256Public;
use serde_json::Value;

/// Records nothing unless a test asks for it, see [`secrets`].
#[global_allocator]
static ALLOCATOR: RecordingAllocator = RecordingAllocator;

fn vector_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/protocol").join(name)
}

/// Reads `vectors/protocol/<name>`.
fn load(name: &str) -> Value {
    let file = vector_file(name);
    serde_json::from_slice(&std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))).unwrap()
}

/// True if the generated vectors are to be written again instead of compared.
fn updating() -> bool {
    std::env::var_os("UPDATE").is_some_and(|value| value == "1")
}

fn store(name: &str, value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap() + "\n";
    std::fs::write(vector_file(name), text).unwrap();
}

fn cases<'a>(file: &'a Value, key: &str) -> &'a [Value] {
    let list = file[key].as_array().unwrap_or_else(|| panic!("{key} is no list"));
    assert!(!list.is_empty(), "{key} is empty");
    list
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{key} in {case}"))
}

fn bytes(case: &Value, key: &str) -> Vec<u8> {
    hex::decode(text(case, key)).unwrap()
}

fn array<const N: usize>(case: &Value, key: &str) -> [u8; N] {
    bytes(case, key).try_into().unwrap()
}

fn number(case: &Value, key: &str) -> u64 {
    text(case, key).parse().unwrap()
}

fn ed25519(seed: u8) -> (Ed25519KeyPair, Ed25519Public) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let public = Ed25519Public::from_slice(pair.public_key().as_ref()).unwrap();
    (pair, public)
}

/// A P-256 pair of `vectors/protocol/token.json`: `issuer` or `device`.
fn p256(name: &str) -> (EcdsaKeyPair, P256Public) {
    let file = load("token.json");
    let public = P256Public::from_coordinates(text(&file[name], "x"), text(&file[name], "y")).unwrap();
    let pair = EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        &bytes(&file[name], "d"),
        public.as_bytes(),
    );
    (pair.unwrap(), public)
}

fn sign(pair: &Ed25519KeyPair, message: &[u8]) -> [u8; 64] {
    pair.sign(message).as_ref().try_into().unwrap()
}

fn sign_p256(pair: &EcdsaKeyPair, message: &[u8]) -> [u8; 64] {
    pair.sign(&aws_lc_rs::rand::SystemRandom::new(), message).unwrap().as_ref().try_into().unwrap()
}
