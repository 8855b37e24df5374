//! Key-committing authenticated encryption for keys that are used once.
//!
//! HKDF-SHA256 turns (key, info) into an AES-256-GCM key and a 32-byte commitment that is checked first, in constant time:
//! a ciphertext opens under one key only, so a wrong key and a damaged ciphertext are told apart. Because every (key, info)
//! pair seals one message, the nonce is zero.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::constant_time::equal;
use crate::secret::SecretBytes;

/// Bytes a ciphertext is longer than its plaintext: commitment and tag.
pub const OVERHEAD_BYTES: usize = COMMITMENT_BYTES + TAG_BYTES;
const COMMITMENT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// Why a ciphertext does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The key or the info is another: a wrong PIN factor, passphrase or configuration.
    #[error("sealed under another key")]
    WrongKey,
    /// The key is right, the bytes or the associated data are not.
    #[error("sealed bytes are damaged")]
    Damaged,
}

/// A secret from which one message key is derived per info string.
pub struct SealingKey(SecretBytes<32>);

impl SealingKey {
    /// Takes the input key material. The caller sees to it that (key, info) never seals twice.
    pub const fn new(key: SecretBytes<32>) -> Self {
        Self(key)
    }

    /// Seals `plaintext`, bound to `info` (names the key) and `aad`.
    pub fn seal(&self, info: &[u8], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let (key, commitment) = self.derive(info);
        let mut out = Vec::with_capacity(plaintext.len() + OVERHEAD_BYTES);
        out.extend_from_slice(&commitment);
        out.extend_from_slice(plaintext);
        let (_, in_place) = out.split_at_mut(COMMITMENT_BYTES);
        match key.seal_in_place_separate_tag(Nonce::assume_unique_for_key([0; 12]), Aad::from(aad), in_place) {
            Ok(tag) => out.extend_from_slice(tag.as_ref()),
            // AES-GCM fails only beyond 64 GiB; an empty result opens for nobody.
            Err(_) => out.clear(),
        }
        out
    }

    /// Opens what [`SealingKey::seal`] made under the same key, info and aad.
    ///
    /// # Errors
    /// [`OpenError::WrongKey`] if the commitment differs, [`OpenError::Damaged`] if it fits but the rest does not.
    pub fn open(&self, info: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (key, expected) = self.derive(info);
        if sealed.len() < OVERHEAD_BYTES {
            return Err(OpenError::Damaged);
        }
        let (commitment, rest) = sealed.split_at(COMMITMENT_BYTES);
        // The verdict is public: it is what the caller is here for.
        if !equal(commitment, &expected) {
            return Err(OpenError::WrongKey);
        }
        let mut buffer = Zeroizing::new(rest.to_vec());
        let length = key
            .open_in_place(Nonce::assume_unique_for_key([0; 12]), Aad::from(aad), &mut buffer)
            .map_err(|_| OpenError::Damaged)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }

    fn derive(&self, info: &[u8]) -> (LessSafeKey, [u8; COMMITMENT_BYTES]) {
        let hkdf = Hkdf::<Sha256>::new(None, self.0.expose_secret());
        let mut okm = Zeroizing::new([0_u8; 64]);
        hkdf.expand(info, okm.as_mut()).expect("64 bytes are within HKDF-SHA256's 255 blocks");
        let (key, commitment) = okm.split_at(32);
        let key = UnboundKey::new(&AES_256_GCM, key).expect("the AES-256 key has 32 bytes");
        let mut out = [0_u8; COMMITMENT_BYTES];
        out.copy_from_slice(commitment);
        (LessSafeKey::new(key), out)
    }
}

impl core::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SealingKey(..)")
    }
}
