//! Domain-separated hashing: every use of SHA-256, HMAC and HKDF names its purpose.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256, Sha512};

use crate::ids::Hash32;
use crate::secret::SecretBytes;

/// SHA-256 over a label and length-prefixed parts, so that no two part lists collide.
pub fn hash(label: &str, parts: &[&[u8]]) -> Hash32 {
    let mut hasher = Sha256::new();
    feed(|bytes| hasher.update(bytes), label, parts);
    Hash32(hasher.finalize().into())
}

/// HMAC-SHA256 over a label and length-prefixed parts.
pub fn mac(key: &[u8; 32], label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    feed(|bytes| hmac.update(bytes), label, parts);
    hmac.finalize().into_bytes().into()
}

/// HMAC-SHA512 over a label and length-prefixed parts.
pub fn mac_512(key: &[u8; 32], label: &str, parts: &[&[u8]]) -> [u8; 64] {
    let mut hmac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of any length");
    feed(|bytes| hmac.update(bytes), label, parts);
    hmac.finalize().into_bytes().into()
}

/// HKDF-SHA256 (RFC 5869) of `key` with `salt`, its info built from a label and length-prefixed parts.
pub fn derive(key: &[u8], salt: &[u8], label: &str, parts: &[&[u8]]) -> SecretBytes<32> {
    let mut info = Vec::with_capacity(128);
    feed(|bytes| info.extend_from_slice(bytes), label, parts);
    let mut out = SecretBytes::<32>::zeroed();
    Hkdf::<Sha256>::new(Some(salt), key)
        .expand(&info, out.expose_secret_mut())
        .expect("32 bytes are within HKDF-SHA256's 255 blocks");
    out
}

fn feed(mut sink: impl FnMut(&[u8]), label: &str, parts: &[&[u8]]) {
    for part in core::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
        sink(&(part.len() as u64).to_be_bytes());
        sink(part);
    }
}
