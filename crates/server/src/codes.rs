//! Mailed codes, opaque tokens and random names.

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::secret::{SecretBytes, SecretText};
use pinseal_store::accounts::{CodeMac, CodePurpose};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Digits of the longest mailed code.
pub(crate) const CODE_DIGITS_MAX: usize = 8;

/// Digits of a mailed code. One that resets a password opens somebody's account, and whoever guesses at many accounts at once has as many
/// chances; one that verifies an address opens an account that nobody has used.
pub(crate) const fn code_digits(purpose: CodePurpose) -> usize {
    match purpose {
        CodePurpose::Verify => 6,
        CodePurpose::Reset => CODE_DIGITS_MAX,
    }
}

/// The system's randomness failed. A service fault.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system's randomness failed")]
pub(crate) struct NoRandomness;

pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut out = [0_u8; N];
    rand::fill(&mut out).map_err(|_| NoRandomness)?;
    Ok(out)
}

/// `N` random bytes as lower-case hex.
pub(crate) fn random_hex<const N: usize>() -> Result<String, NoRandomness> {
    Ok(const_hex::encode(random::<N>()?))
}

/// A code; every one of its length is as likely as any other.
pub(crate) fn random_code(purpose: CodePurpose) -> Result<SecretText, NoRandomness> {
    let digits = code_digits(purpose);
    let codes = (0..digits).fold(1_u32, |codes, _| codes * 10);
    // The largest multiple below 2^32; draws above it would favour small codes. One in 45 is drawn again.
    let end = u32::MAX / codes * codes;
    loop {
        let draw = u32::from_be_bytes(random()?);
        if draw < end {
            return Ok(SecretText::new(format!("{:0digits$}", draw % codes)));
        }
    }
}

/// Turns codes into the keyed hashes that are stored.
pub(crate) struct CodeKey(pub(crate) hmac::Key);

impl CodeKey {
    pub(crate) fn mac(&self, purpose: CodePurpose, email: &str, code: &str) -> CodeMac {
        let address = self.tag(&["address", email]);
        CodeMac { address, mac: self.tag(&["code", purpose.as_str(), email, code]) }
    }

    /// Every part goes in with its length, so that no two lists of parts run together.
    fn tag(&self, parts: &[&str]) -> Hash32 {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut out = [0_u8; 32];
        out.copy_from_slice(context.sign().as_ref());
        Hash32(out)
    }
}

/// A refresh token: 32 random bytes, shown once, stored as a hash.
pub(crate) struct RefreshToken(SecretBytes<32>);

impl RefreshToken {
    pub(crate) fn fresh() -> Result<Self, NoRandomness> {
        let mut token = SecretBytes::zeroed();
        rand::fill(token.expose_secret_mut()).map_err(|_| NoRandomness)?;
        Ok(Self(token))
    }

    /// From what a client sent.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        SecretBytes::from_slice(&bytes).map(Self)
    }

    pub(crate) fn to_text(&self) -> SecretText {
        SecretText::new(URL_SAFE_NO_PAD.encode(self.0.expose_secret()))
    }

    pub(crate) fn hash(&self) -> Hash32 {
        Hash32(Sha256::digest(self.0.expose_secret()).into())
    }

    /// Puts `bytes` under a mask, or takes them out, that only the holder of this token can make. Used once per token, so the mask is
    /// a one-time pad: the database alone gives nothing away, and a retry after a lost reply gets the same successor.
    fn mask(&self, bytes: &mut [u8; 32]) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose_secret());
        let pad = hmac::sign(&key, b"pinseal refresh successor v1");
        bytes.iter_mut().zip(pad.as_ref()).for_each(|(byte, pad)| *byte ^= pad);
    }

    pub(crate) fn successor_masked(&self, successor: &Self) -> [u8; 32] {
        // In a buffer that erases itself: it is public only once it is masked.
        let mut hidden = SecretBytes::<32>::zeroed();
        hidden.expose_secret_mut().copy_from_slice(successor.0.expose_secret());
        self.mask(hidden.expose_secret_mut());
        *hidden.expose_secret()
    }

    pub(crate) fn unmask(&self, masked: &[u8; 32]) -> Self {
        let mut token = SecretBytes::<32>::zeroed();
        token.expose_secret_mut().copy_from_slice(masked);
        self.mask(token.expose_secret_mut());
        Self(token)
    }
}
