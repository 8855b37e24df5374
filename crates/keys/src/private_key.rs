//! A secp256k1 private key.

use core::fmt;

use pinseal_chains::evm::RecoverableSig;
use pinseal_protocol::constant_time::declassify;
use pinseal_protocol::secret::SecretBytes;
use secp256k1::ecdsa::{self, RecoverableSignature};
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

    /// Signs a 32-byte digest: RFC 6979 nonce, low s. Checked against `expected`, the key's public half, before it is returned, since a
    /// miscalculated deterministic signature gives the key away.
    ///
    /// # Errors
    /// [`KeyError::Fault`] if the signature is not `expected`'s.
    pub(crate) fn sign(&self, digest: &[u8; 32], expected: &ChildOf<'_>) -> Result<RecoverableSig, KeyError> {
        let key = self.erased();
        let message = Message::from_digest(*digest);
        let signature = library::sign(message, &key);
        // It leaves, or is one of the decoy's.
        declassify(&signature);
        if !expected.signed(digest, &signature)? {
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

/// A public key as BIP-32 makes a non-hardened child's: `parent + tweak * G`.
pub(crate) struct ChildOf<'a> {
    pub(crate) parent: &'a PublicKey,
    pub(crate) tweak: &'a SecretBytes<32>,
}

impl ChildOf<'_> {
    /// True if this key made `signature` over `digest`. The recovery id gives nothing away and is the client's to check, who recovers the key.
    ///
    /// Whoever verifies looks for r in `s^-1 (e G + r P)`, e being the digest. For `P = parent + tweak G` that is `s^-1 ((e + tweak r) G + r parent)`:
    /// over another digest, the signature is the parent's. So one multiplication of points does for two.
    fn signed(&self, digest: &[u8; 32], signature: &RecoverableSignature) -> Result<bool, KeyError> {
        let tweak = Scalar::from_be_bytes(*self.tweak.expose_secret()).map_err(|_| KeyError::Underivable)?;
        let (over, by) = match shifted(digest, signature, &tweak) {
            Some(shifted) => (shifted, *self.parent),
            None => {
                let child = self.parent.add_exp_tweak(&tweak).map_err(|_| KeyError::Underivable)?;
                (Message::from_digest(*digest), child)
            }
        };
        Ok(ecdsa::verify(&signature.to_standard(), over, &by).is_ok())
    }
}

/// `e + tweak r mod n`, by way of a type that knows no zero and no digest from n on: `None` for those, one in 2^127.
fn shifted(digest: &[u8; 32], signature: &RecoverableSignature, tweak: &Scalar) -> Option<Message> {
    let (_, compact) = signature.serialize_compact();
    let r = SecretKey::from_secret_bytes(*compact.first_chunk()?).ok()?;
    let e = Scalar::from_be_bytes(*digest).ok()?;
    let sum = r.mul_tweak(tweak).ok()?.add_tweak(&e).ok()?;
    Some(Message::from_digest(sum.to_secret_bytes()))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Different bytes for each number.
    fn scalar(number: u8) -> SecretBytes<32> {
        SecretBytes::from_slice(&[number; 32]).unwrap()
    }

    fn made_by(digest: &[u8; 32], signature: &RecoverableSignature, key: &PublicKey) -> bool {
        signature.recover_ecdsa(Message::from_digest(*digest)).is_ok_and(|recovered| recovered == *key)
    }

    #[test]
    fn the_child_is_recognised_by_its_parent_and_nobody_else_is() {
        let digests = [[0; 32], [1; 32], [0x7f; 32], [0xff; 32]];
        for number in 1..40 {
            let (parent, tweak) = (PrivateKey::new(scalar(number)).unwrap(), scalar(number + 100));
            let (public, key) = (parent.public_key(), parent.add(&tweak).unwrap().erased());
            let (other, foreign) = (scalar(number + 41), PrivateKey::new(scalar(number + 1)).unwrap().public_key());
            let child = library::public(&key);
            for digest in digests {
                let signature = library::sign(Message::from_digest(digest), &key);
                assert!(made_by(&digest, &signature, &child));
                for over in digests {
                    let is_own = made_by(&over, &signature, &child);
                    let found = |parent, tweak| ChildOf { parent, tweak }.signed(&over, &signature).unwrap();
                    assert_eq!(found(&public, &tweak), is_own, "{number}: {over:x?} for {digest:x?}");
                    assert!(!found(&public, &other) && !found(&foreign, &tweak));
                }
                let (id, compact) = signature.serialize_compact();
                for bit in (0..512).skip(usize::from(number)).step_by(37) {
                    let mut changed = compact;
                    changed[bit / 8] ^= 1 << (bit % 8);
                    if let Ok(changed) = RecoverableSignature::from_compact(&changed, id) {
                        assert!(!ChildOf { parent: &public, tweak: &tweak }.signed(&digest, &changed).unwrap_or(false));
                    }
                }
            }
        }
    }

    #[test]
    fn a_tweak_that_bip_32_has_no_child_for_is_refused() {
        let parent = PrivateKey::new(scalar(1)).unwrap();
        let signature = library::sign(Message::from_digest([1; 32]), &parent.erased());
        let expected = ChildOf { parent: &parent.public_key(), tweak: &scalar(0xff) };
        assert_eq!(expected.signed(&[1; 32], &signature), Err(KeyError::Underivable));
    }
}
