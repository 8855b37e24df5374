//! Fixed P-256 keys: of the token issuer and of every device.

use std::sync::LazyLock;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

/// Keys there are.
pub const KEYS: usize = 12;

static PAIRS: LazyLock<Vec<EcdsaKeyPair>> = LazyLock::new(|| (0..KEYS).map(pair).collect());

/// The key with this number; numbers wrap around.
pub fn key(number: usize) -> &'static EcdsaKeyPair {
    &PAIRS[number % KEYS]
}

/// The token issuer's.
pub fn issuer() -> &'static EcdsaKeyPair {
    key(0)
}

/// An ES256 signature as r || s.
pub fn es256(pair: &EcdsaKeyPair, message: &[u8]) -> [u8; 64] {
    let signature = pair.sign(&SystemRandom::new(), message).expect("the machine has randomness");
    signature.as_ref().try_into().expect("r and s have 32 bytes each")
}

/// The key with this number, made anew.
pub fn pair(number: usize) -> EcdsaKeyPair {
    let mut scalar = [0x11; 32];
    scalar[31] = u8::try_from(number).expect("there are few keys");
    let private = PrivateKey::from_private_key(&ECDH_P256, &scalar).expect("a scalar below the order is a key");
    let public = private.compute_public_key().expect("a private key has a public half");
    EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &scalar, public.as_ref())
        .expect("the public key was computed from the private one")
}
