//! The storage all secret types share.

use core::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// `N` secret bytes on the heap, zeroized on drop.
pub(crate) struct SecretBytes<const N: usize>(Box<Zeroizing<[u8; N]>>);

impl<const N: usize> SecretBytes<N> {
    /// Zero bytes, to be written in place.
    pub(crate) fn zeroed() -> Self {
        Self(Box::new(Zeroizing::new([0; N])))
    }

    /// Takes the value over and erases the caller's copy.
    pub(crate) fn take(bytes: &mut [u8; N]) -> Self {
        let mut out = Self::zeroed();
        out.0.copy_from_slice(bytes);
        bytes.zeroize();
        out
    }

    /// Copies a slice of exactly `N` bytes.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; N] = bytes.try_into().ok()?;
        let mut out = Self::zeroed();
        out.0.copy_from_slice(bytes);
        Some(out)
    }

    pub(crate) fn expose_secret(&self) -> &[u8; N] {
        &self.0
    }

    pub(crate) fn expose_secret_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> Zeroize for SecretBytes<N> {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> ZeroizeOnDrop for SecretBytes<N> {}

impl<const N: usize> ConstantTimeEq for SecretBytes<N> {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.as_slice().ct_eq(other.0.as_slice())
    }
}

impl<const N: usize> fmt::Debug for SecretBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_a_secret_erases_the_source() {
        let mut source = [7_u8; 32];
        let secret = SecretBytes::take(&mut source);
        assert_eq!(source, [0; 32]);
        assert_eq!(secret.expose_secret(), &[7; 32]);
    }

    #[test]
    fn zeroize_clears_the_bytes() {
        let mut secret = SecretBytes::take(&mut [7_u8; 16]);
        secret.zeroize();
        assert_eq!(secret.expose_secret(), &[0; 16]);
    }
}
