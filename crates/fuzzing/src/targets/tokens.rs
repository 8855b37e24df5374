//! Access tokens and device proofs.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pinseal_protocol::dpop::{self, SKEW_SECONDS_MAX};
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{self, ACCESS_TYP, AccessClaims, P256Public, StorageKey, TokenError, token_hash};
use serde_json::Value;

use crate::harness::base::START;
use crate::harness::keys;

const ISSUER: &str = "https://wallet.test";
const AUDIENCE: &str = "07070707070707070707070707070707";
const STORAGE_SECRET: [u8; 32] = [0x57; 32];

fn storage_key() -> StorageKey {
    StorageKey::new(&SecretBytes::take(&mut { STORAGE_SECRET }))
}

/// Access tokens: any text, and any header and claims under the issuer's real signature (parts of the input split at the first zero
/// byte). What is accepted has exactly the members it must have, says what the caller asked for, and is signed.
pub fn access_token(data: &[u8]) {
    let key = P256Public::of(keys::issuer());
    if let Ok(text) = core::str::from_utf8(data) {
        assert!(token::verify::<AccessClaims>(text, ACCESS_TYP, &key).is_err() || text.len() > 100);
        assert!(storage_key().verify(text).is_err(), "made without the key");
    }
    let (header, claims) = split(data);
    let compact = compact(header, claims, keys::issuer());
    let now = UnixSeconds(START);
    match token::verify_access(&compact, ISSUER, AUDIENCE, &key, now) {
        Ok(read) => {
            assert!(read.exp > now.0 && read.iss == ISSUER && read.aud == AUDIENCE && !read.sub.is_empty());
            assert!(read.device().is_some());
            only_members(header, &["alg", "typ", "kid"]);
            only_members(claims, &["iss", "aud", "sub", "sid", "app", "jti", "iat", "exp", "cnf"]);
            let foreign = P256Public::of(keys::key(7));
            let refused = token::verify_access(&compact, ISSUER, AUDIENCE, &foreign, now);
            assert_eq!(refused, Err(TokenError::Signature));
        }
        Err(error) => assert_ne!(error, TokenError::Signature, "the signature is right"),
    }
    storage_token(claims);
}

/// Storage tokens: any claims under the real key.
fn storage_token(claims: &[u8]) {
    const HEADER: &[u8] = br#"{"alg":"HS256","typ":"storage+jwt"}"#;

    let mut compact = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &STORAGE_SECRET), compact.as_bytes());
    compact.push('.');
    compact.push_str(&URL_SAFE_NO_PAD.encode(tag.as_ref()));
    match storage_key().verify(&compact) {
        Ok(read) => {
            only_members(claims, &["iss", "aud", "wallet", "operation", "jti", "iat", "exp"]);
            let again = storage_key().sign(&read).expect("they were claims");
            assert_eq!(storage_key().verify(again.expose_secret()), Ok(read));
        }
        Err(error) => assert_ne!(error, TokenError::Signature, "the tag is right"),
    }
}

/// Proofs: any text, and any header and claims under a device's real signature.
pub fn dpop(data: &[u8]) {
    let now = UnixSeconds(START);
    let target = "https://wallet.test/v1/wallet/begin";
    let check = |compact: &str, token| dpop::verify(compact, "POST", target, token, now);
    if let Ok(text) = core::str::from_utf8(data) {
        let _ = check(text, None);
    }
    let (header, claims) = split(data);
    let compact = compact(header, claims, keys::key(1));
    for token in [None, Some("token")] {
        let Ok(verified) = check(&compact, token) else { continue };
        let proof = &verified.proof;
        assert_eq!((proof.htm.as_str(), proof.htu.as_str()), ("POST", target));
        assert!(proof.iat.abs_diff(now.0) <= SKEW_SECONDS_MAX);
        assert_eq!(proof.ath, token.map(|token| URL_SAFE_NO_PAD.encode(token_hash(token).0)));
        assert_eq!(verified.key, P256Public::of(keys::key(1)), "the key that signed");
        only_members(header, &["typ", "alg", "jwk"]);
        assert!(check(&compact, Some("another")).is_err());
    }
}

fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    (&data[..at], data.get(at + 1..).unwrap_or(&[]))
}

fn compact(header: &[u8], claims: &[u8], pair: &aws_lc_rs::signature::EcdsaKeyPair) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(keys::es256(pair, signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// The accepted text is an object with these members and no others; a second reader, which takes duplicates, sees as many as are
/// written.
fn only_members(json: &[u8], names: &[&str]) {
    let Ok(Value::Object(members)) = serde_json::from_slice(json) else { panic!("accepted, and no object") };
    let mut found: Vec<&str> = members.keys().map(String::as_str).collect();
    found.sort_unstable();
    let mut expected = names.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
}
