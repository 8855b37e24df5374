//! BIP-32 hierarchical keys over libsecp256k1.
//!
//! An own small implementation, because the enclave needs only two derivation functions, wants every intermediate value
//! zeroized, and would otherwise carry a second elliptic-curve library.

mod serialized;

use hmac::{Hmac, KeyInit, Mac};
use pinseal_protocol::secret::SecretBytes;
use secp256k1::{PublicKey, Scalar};
use sha2::Sha512;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use serialized::{ExtendedKeyError, Position};

use crate::private_key::PrivateKey;
use crate::{KeyError, Seed};

/// Indices from here on are hardened (written `n'`).
pub const HARDENED: u32 = 1 << 31;

/// A private key and chain code: everything below it follows.
#[derive(Debug)]
pub struct ExtendedPrivate {
    key: PrivateKey,
    chain_code: SecretBytes<32>,
}

impl ExtendedPrivate {
    /// The master key `m` of a BIP-39 seed.
    ///
    /// # Errors
    /// [`KeyError::Underivable`] for one seed in 2^127.
    pub fn master(seed: &Seed) -> Result<Self, KeyError> {
        Self::from_seed_bytes(seed.expose_secret())
    }

    /// The master key of a seed of any length BIP-32 allows (16 to 64 bytes).
    ///
    /// # Errors
    /// [`KeyError::Underivable`], as for [`ExtendedPrivate::master`].
    pub fn from_seed_bytes(seed: &[u8]) -> Result<Self, KeyError> {
        let (left, chain_code) = hmac_sha512(b"Bitcoin seed", &[seed]);
        let key = PrivateKey::new(left).ok_or(KeyError::Underivable)?;
        Ok(Self { key, chain_code })
    }

    /// Puts the two halves together; `None` if `key` is not in 1..n.
    pub fn from_parts(key: &[u8; 32], chain_code: &[u8; 32]) -> Option<Self> {
        let key = PrivateKey::new(SecretBytes::from_slice(key)?)?;
        Some(Self { key, chain_code: SecretBytes::from_slice(chain_code)? })
    }

    /// The chain code.
    pub fn chain_code(&self) -> &[u8; 32] {
        self.chain_code.expose_secret()
    }

    /// CKDpriv: the child at `index`, hardened from [`HARDENED`] on.
    ///
    /// # Errors
    /// [`KeyError::Underivable`] for one index in 2^127.
    pub fn child(&self, index: u32) -> Result<Self, KeyError> {
        let number = index.to_be_bytes();
        let (left, chain_code) = if index >= HARDENED {
            hmac_sha512(self.chain_code.expose_secret(), &[&[0], self.key.expose_secret(), &number])
        } else {
            hmac_sha512(self.chain_code.expose_secret(), &[&self.key.public_key().serialize(), &number])
        };
        let key = self.key.add(&left).ok_or(KeyError::Underivable)?;
        Ok(Self { key, chain_code })
    }

    /// The descendant along `path`, from the child on.
    ///
    /// # Errors
    /// [`KeyError::Underivable`] if a step does not exist.
    pub fn descend(self, path: &[u32]) -> Result<Self, KeyError> {
        path.iter().try_fold(self, |parent, index| parent.child(*index))
    }

    /// The private key.
    pub const fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The public half, from which the non-hardened children's public keys follow.
    pub fn public(&self) -> ExtendedPublic {
        ExtendedPublic { key: self.key.public_key(), chain_code: *self.chain_code.expose_secret() }
    }
}

impl ZeroizeOnDrop for ExtendedPrivate {}

/// A public key and chain code. No secret, but private: it links all accounts below it. Together with any private key of a
/// non-hardened child it gives the parent's private key away, so it must not leave where such keys could meet it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedPublic {
    key: PublicKey,
    chain_code: [u8; 32],
}

impl ExtendedPublic {
    /// Puts the two halves together.
    pub const fn new(key: PublicKey, chain_code: [u8; 32]) -> Self {
        Self { key, chain_code }
    }

    /// CKDpub: the non-hardened child at `index`.
    ///
    /// # Errors
    /// [`KeyError::IndexOutOfRange`] for a hardened index, [`KeyError::Underivable`] for one index in 2^127.
    pub fn child(&self, index: u32) -> Result<Self, KeyError> {
        let (left, chain_code) = self.derive(index)?;
        Ok(Self { key: self.tweaked(&left)?, chain_code: *chain_code.expose_secret() })
    }

    /// What CKDpriv adds to the parent's private key for the non-hardened child at `index`; it follows from the public half.
    pub(crate) fn child_tweak(&self, index: u32) -> Result<SecretBytes<32>, KeyError> {
        Ok(self.derive(index)?.0)
    }

    fn derive(&self, index: u32) -> Result<(SecretBytes<32>, SecretBytes<32>), KeyError> {
        if index >= HARDENED {
            return Err(KeyError::IndexOutOfRange);
        }
        Ok(hmac_sha512(&self.chain_code, &[&self.key.serialize(), &index.to_be_bytes()]))
    }

    fn tweaked(&self, left: &SecretBytes<32>) -> Result<PublicKey, KeyError> {
        let tweak = Scalar::from_be_bytes(*left.expose_secret()).map_err(|_| KeyError::Underivable)?;
        self.key.add_exp_tweak(&tweak).map_err(|_| KeyError::Underivable)
    }

    /// The public key.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The chain code.
    pub const fn chain_code(&self) -> &[u8; 32] {
        &self.chain_code
    }
}

/// HMAC-SHA512 over the concatenated parts, split in the middle.
fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> (SecretBytes<32>, SecretBytes<32>) {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    let mut output = mac.finalize().into_bytes();
    let (mut left, mut right) = (SecretBytes::zeroed(), SecretBytes::zeroed());
    let (first, second) = output.split_at(32);
    left.expose_secret_mut().copy_from_slice(first);
    right.expose_secret_mut().copy_from_slice(second);
    output.as_mut_slice().zeroize();
    (left, right)
}
