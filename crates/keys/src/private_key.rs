//! A secp256k1 private key.

use core::fmt;

use pinseal_chains::evm::RecoverableSig;
use pinseal_protocol::constant_time::declassify;
use pinseal_protocol::secret::SecretBytes;
use secp256k1::{Message, PublicKey, Scalar, SecretKey};
use zeroize::ZeroizeOnDrop;

use crate::KeyError;

/// A private key of secp256k1, in 1..n.
pub struct PrivateKey(SecretBytes<32>);

impl PrivateKey {
    /// From 32 bytes that must be in 1..n.
    pub(crate) fn new(bytes: SecretBytes<32>) -> Option<Self> {
        library::key(&bytes)?;
        Some(Self(bytes))
    }

    /// The 32 bytes, big-endian.
    pub fn expose_secret(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        let public = library::public(&self.erased());
        declassify(&public);
        public
    }

    /// `self + tweak mod n`, or `None` where BIP-32 has no such child.
    pub(crate) fn add(&self, tweak: &SecretBytes<32>) -> Option<Self> {
        // By way of `SecretKey`, whose range check is constant-time; that of `Scalar` is not.
        let mut tweak = Scalar::from(library::key(tweak)?.0);
        let sum = library::sum(&self.erased(), &tweak);
        tweak.non_secure_erase();
        let sum = sum?;
        SecretBytes::from_slice(sum.0.as_secret_bytes()).map(Self)
    }

    /// Signs a 32-byte digest: RFC 6979 nonce, low s. Recovered and compared with `expected`, the key's public half, before it is
    /// returned, since a miscalculated deterministic signature gives the key away.
    ///
    /// # Errors
    /// [`KeyError::Fault`] if the signature is not `expected`'s.
    pub fn sign(&self, digest: &[u8; 32], expected: &PublicKey) -> Result<RecoverableSig, KeyError> {
        let key = self.erased();
        let message = Message::from_digest(*digest);
        let signature = library::sign(message, &key);
        // It leaves, or is one of the decoy's.
        declassify(&signature);
        let recovered = signature.recover_ecdsa(message).map_err(|_| KeyError::Fault)?;
        if recovered != *expected {
            return Err(KeyError::Fault);
        }
        let (recovery_id, compact) = signature.serialize_compact();
        RecoverableSig::from_compact(&compact, recovery_id.to_u8()).ok_or(KeyError::Fault)
    }

    fn erased(&self) -> Erased {
        library::key(&self.0).expect("checked when the key was made")
    }
}

impl ZeroizeOnDrop for PrivateKey {}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey([redacted])")
    }
}

/// libsecp256k1's key type is `Copy` and not zeroized; this guard erases the copy we hold while we call the library.
struct Erased(SecretKey);

impl Drop for Erased {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

/// Every call of libsecp256k1 on a secret, and with it everything that the library decides by one: whether there is a key, a sum or a
/// signature. The functions stay functions in optimised code, so that the check under valgrind lets these decide and nothing around
/// them (`crates/enclave/constant-time.supp`).
mod library {
    use pinseal_protocol::secret::SecretBytes;
    use secp256k1::ecdsa::RecoverableSignature;
    use secp256k1::{Message, PublicKey, Scalar, SecretKey};

    use super::Erased;

    /// None for what is not in 1..n.
    #[inline(never)]
    pub(super) fn key(bytes: &SecretBytes<32>) -> Option<Erased> {
        SecretKey::from_secret_bytes(*bytes.expose_secret()).ok().map(Erased)
    }

    /// None for a sum of zero.
    #[inline(never)]
    pub(super) fn sum(key: &Erased, tweak: &Scalar) -> Option<Erased> {
        key.0.add_tweak(tweak).ok().map(Erased)
    }

    #[inline(never)]
    pub(super) fn public(key: &Erased) -> PublicKey {
        PublicKey::from_secret_key(&key.0)
    }

    #[inline(never)]
    pub(super) fn sign(message: Message, key: &Erased) -> RecoverableSignature {
        RecoverableSignature::sign_ecdsa_recoverable(message, &key.0)
    }
}
