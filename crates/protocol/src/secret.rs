//! The storage that secret types stand on.
//!
//! Every kind of secret is a type of its own around one of these. None of them can be cloned, copied, displayed, serialised or
//! compared with `==`; `Debug` shows nothing; all lie on the heap, so that a move copies a pointer and not the secret, and are
//! zeroed when dropped, however the function that held them ended. `assert_never_written!` proves it for each type,
//! in the tests of its crate.

use core::fmt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Deserializer};
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::constant_time;

/// `N` secret bytes.
pub struct SecretBytes<const N: usize>(Box<[u8; N]>);

impl<const N: usize> SecretBytes<N> {
    /// Zero bytes, to be written in place.
    pub fn zeroed() -> Self {
        Self(Box::new([0; N]))
    }

    /// Takes the value over and erases the caller's copy.
    pub fn take(bytes: &mut [u8; N]) -> Self {
        let mut out = Self::zeroed();
        out.0.copy_from_slice(bytes);
        bytes.zeroize();
        out
    }

    /// Copies a slice of exactly `N` bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; N] = bytes.try_into().ok()?;
        let mut out = Self::zeroed();
        out.0.copy_from_slice(bytes);
        Some(out)
    }

    /// The bytes, for the one computation that needs them.
    pub fn expose_secret(&self) -> &[u8; N] {
        &self.0
    }

    /// The bytes, to be written in place.
    pub fn expose_secret_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> Zeroize for SecretBytes<N> {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> Drop for SecretBytes<N> {
    fn drop(&mut self) {
        self.zeroize();
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

impl<C, const N: usize> Encode<C> for SecretBytes<N> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(self.0.as_slice())?.ok()
    }
}

impl<'b, C, const N: usize> Decode<'b, C> for SecretBytes<N> {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::from_slice(d.bytes()?).ok_or_else(|| minicbor::decode::Error::message("wrong length"))
    }
}

/// Secret text: a token, a password, a code.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place that needs it.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    /// True if both are the same, compared in constant time; their lengths are public.
    pub fn equals(&self, other: &Self) -> bool {
        constant_time::equal(self.0.as_bytes(), other.0.as_bytes())
    }

    /// A second copy, where two owners must hold the secret: never by accident, as `clone` would be.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::new(self.expose_secret().to_owned())
    }
}

impl From<Zeroizing<String>> for SecretText {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl ZeroizeOnDrop for SecretText {}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl<C> Encode<C> for SecretText {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(self.expose_secret())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for SecretText {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(Self::new(d.str()?.to_owned()))
    }
}
