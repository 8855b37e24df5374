//! Secrets by name.

use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::signature::EcdsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub(super) use super::forms::Kind;

/// Something that must not be where it does not belong.
#[derive(Clone)]
pub(super) struct Secret {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
}

impl Secret {
    pub(super) fn bytes(name: impl Into<String>, bytes: &[u8]) -> Self {
        Self { name: name.into(), kind: Kind::Bytes, bytes: bytes.to_vec() }
    }

    pub(super) fn text(name: impl Into<String>, text: &str) -> Self {
        Self { name: name.into(), kind: Kind::Text, bytes: text.as_bytes().to_vec() }
    }

    pub(super) fn short(name: impl Into<String>, text: &str) -> Self {
        Self { name: name.into(), kind: Kind::Short, bytes: text.as_bytes().to_vec() }
    }
}

/// What makes a token more than what everybody may know: its signature, as it is written and as it is.
pub(super) fn token(name: &str, token: &str) -> Vec<Secret> {
    let (_, signature) = token.rsplit_once('.').expect("a token has three parts");
    let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
    vec![Secret::text(name, signature), Secret::bytes(format!("{name} (signature)"), &raw)]
}

/// A random text that is base64url of bytes.
pub(super) fn opaque(name: &str, text: &str) -> Vec<Secret> {
    let raw = URL_SAFE_NO_PAD.decode(text).unwrap();
    vec![Secret::text(name, text), Secret::bytes(format!("{name} (bytes)"), &raw)]
}

/// The private half of a P-256 key.
pub(super) fn p256(name: &str, key: &EcdsaKeyPair) -> Secret {
    let private: EcPrivateKeyBin<'_> = key.private_key().as_be_bytes().unwrap();
    Secret::bytes(name, private.as_ref())
}
