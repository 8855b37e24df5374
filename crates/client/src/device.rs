//! The device key: P-256, made here, bound to the session and enrolled in the wallet.

use core::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use pinseal_protocol::ids::DeviceId;
use pinseal_protocol::token::P256Public;
use zeroize::Zeroizing;

/// The device's own key pair.
#[derive(Clone)]
pub struct DeviceKey {
    pair: Arc<EcdsaKeyPair>,
    pkcs8: Arc<Zeroizing<Vec<u8>>>,
    public: P256Public,
    id: DeviceId,
}

/// Why there is no device key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeviceKeyError {
    /// The stored key is no P-256 private key in PKCS#8. Restore the profile, or start a new one and enrol again.
    #[error("the device key is damaged")]
    Damaged,
    /// The system's randomness failed.
    #[error("no device key could be made")]
    Generation,
}

impl DeviceKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`DeviceKeyError::Generation`].
    pub fn generate() -> Result<Self, DeviceKeyError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| DeviceKeyError::Generation)?;
        Self::from_pkcs8(document.as_ref())
    }

    /// Reads a stored key.
    ///
    /// # Errors
    /// [`DeviceKeyError::Damaged`].
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, DeviceKeyError> {
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| DeviceKeyError::Damaged)?;
        let public = P256Public::of(&pair);
        let id = public.thumbprint();
        Ok(Self { pair: Arc::new(pair), pkcs8: Arc::new(Zeroizing::new(pkcs8.to_vec())), public, id })
    }

    /// RFC 7638 thumbprint; names the device.
    pub const fn id(&self) -> DeviceId {
        self.id
    }

    /// The public half.
    pub const fn public(&self) -> P256Public {
        self.public
    }

    /// ES256 (r || s) over `message`, or `None` if the system's randomness fails.
    pub fn sign(&self, message: &[u8]) -> Option<[u8; 64]> {
        self.pair.sign(&SystemRandom::new(), message).ok()?.as_ref().try_into().ok()
    }

    /// For DPoP proofs.
    pub(crate) fn pair(&self) -> &EcdsaKeyPair {
        &self.pair
    }

    /// PKCS#8, for the profile only.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({})", self.id)
    }
}
