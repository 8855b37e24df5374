//! HPKE (RFC 9180), base mode, one suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
//!
//! An own implementation over aws-lc, because opening one request is the largest piece of work the enclave does before it knows
//! who asks: this takes less than half the time of a generic one, and the enclave carries no second curve library. The vectors of
//! RFC 9180 and the `hpke` crate as a peer, in both directions, say that it is the same thing.
//!
//! A context seals or opens exactly one message, so its sequence number is always zero and the nonce is the base nonce.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, UnparsedPublicKey, X25519};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::manifest::HpkePublic;
use crate::secret::SecretBytes;

/// Bytes a ciphertext is longer than its plaintext.
pub const TAG_BYTES: usize = 16;

const KEY_BYTES: usize = 32;
/// "KEM", then kem_id 0x0020.
const KEM_SUITE: &[u8] = b"KEM\x00\x20";
/// "HPKE", then kem_id 0x0020, kdf_id 0x0001, aead_id 0x0002.
const HPKE_SUITE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x02";
const VERSION: &[u8] = b"HPKE-v1";
/// RFC 9180 section 5.1: no pre-shared key, no authenticated sender.
const MODE_BASE: u8 = 0;

/// A key is none, or a message does not open. Which of them is nobody's business but the sender's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("HPKE failed")]
pub struct HpkeError;

/// A private key with its public half.
pub struct KeyPair {
    private: agreement::PrivateKey,
    public: HpkePublic,
}

impl core::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KeyPair(..)")
    }
}

impl KeyPair {
    /// DeriveKeyPair (RFC 9180 section 7.1.3).
    ///
    /// # Errors
    /// [`HpkeError`] if the library has no memory left.
    pub fn derive(ikm: &SecretBytes<KEY_BYTES>) -> Result<Self, HpkeError> {
        let prk = labeled_extract(KEM_SUITE, &[], b"dkp_prk", ikm.expose_secret());
        let mut secret = SecretBytes::<KEY_BYTES>::zeroed();
        labeled_expand(&prk, KEM_SUITE, b"sk", &[], secret.expose_secret_mut());
        let private =
            agreement::PrivateKey::from_private_key(&X25519, secret.expose_secret()).map_err(|_| HpkeError)?;
        let public = private.compute_public_key().map_err(|_| HpkeError)?;
        let public = HpkePublic::from_slice(public.as_ref()).ok_or(HpkeError)?;
        Ok(Self { private, public })
    }

    /// The public half.
    pub const fn public(&self) -> HpkePublic {
        self.public
    }

    /// ExtractAndExpand over the Diffie-Hellman value with `peer`. A peer whose point has a small order gives the value zero, which
    /// the library refuses (RFC 7748 section 6.1).
    fn shared_secret(
        &self,
        peer: &HpkePublic,
        enc: &HpkePublic,
        recipient: &HpkePublic,
    ) -> Result<SecretBytes<KEY_BYTES>, HpkeError> {
        agreement::agree(&self.private, UnparsedPublicKey::new(&X25519, &peer.0), HpkeError, |shared| {
            let prk = labeled_extract(KEM_SUITE, &[], b"eae_prk", shared);
            let mut secret = SecretBytes::<KEY_BYTES>::zeroed();
            labeled_expand(&prk, KEM_SUITE, b"shared_secret", &[&enc.0, &recipient.0], secret.expose_secret_mut());
            Ok(secret)
        })
    }
}

/// SetupBaseS with the ephemeral key pair derived from `ephemeral` (32 fresh random bytes): what is sent, and the context.
///
/// # Errors
/// [`HpkeError`] if `recipient` is no usable public key.
pub fn setup_sender(
    recipient: &HpkePublic,
    info: &[u8],
    ephemeral: &SecretBytes<KEY_BYTES>,
) -> Result<(HpkePublic, Context), HpkeError> {
    let pair = KeyPair::derive(ephemeral)?;
    let enc = pair.public();
    let secret = pair.shared_secret(recipient, &enc, recipient)?;
    Ok((enc, Context::schedule(&secret, info)?))
}

/// SetupBaseR: the context of what was sealed to `recipient` under `enc`.
///
/// # Errors
/// [`HpkeError`] if `enc` is no usable public key.
pub fn setup_receiver(recipient: &KeyPair, enc: &HpkePublic, info: &[u8]) -> Result<Context, HpkeError> {
    let secret = recipient.shared_secret(enc, enc, &recipient.public())?;
    Context::schedule(&secret, info)
}

/// The keys of one message and of what is exported beside it.
pub struct Context {
    key: LessSafeKey,
    base_nonce: SecretBytes<NONCE_LEN>,
    exporter: SecretBytes<KEY_BYTES>,
}

impl core::fmt::Debug for Context {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Context(..)")
    }
}

impl Context {
    /// KeySchedule (RFC 9180 section 5.1) in base mode: empty psk and psk_id.
    fn schedule(shared: &SecretBytes<KEY_BYTES>, info: &[u8]) -> Result<Self, HpkeError> {
        let psk_id_hash = labeled_extract(HPKE_SUITE, &[], b"psk_id_hash", &[]);
        let info_hash = labeled_extract(HPKE_SUITE, &[], b"info_hash", info);
        let context: [&[u8]; 3] = [&[MODE_BASE], psk_id_hash.expose_secret(), info_hash.expose_secret()];
        let secret = labeled_extract(HPKE_SUITE, shared.expose_secret(), b"secret", &[]);
        let (mut key, mut exporter) = (SecretBytes::<KEY_BYTES>::zeroed(), SecretBytes::<KEY_BYTES>::zeroed());
        let mut base_nonce = SecretBytes::<NONCE_LEN>::zeroed();
        let hkdf = expander(&secret);
        expand_with(&hkdf, HPKE_SUITE, b"key", &context, key.expose_secret_mut());
        expand_with(&hkdf, HPKE_SUITE, b"base_nonce", &context, base_nonce.expose_secret_mut());
        expand_with(&hkdf, HPKE_SUITE, b"exp", &context, exporter.expose_secret_mut());
        let key = UnboundKey::new(&AES_256_GCM, key.expose_secret()).map_err(|_| HpkeError)?;
        Ok(Self { key: LessSafeKey::new(key), base_nonce, exporter })
    }

    /// Seals the one message.
    ///
    /// # Errors
    /// [`HpkeError`] beyond AES-GCM's 64 GiB.
    pub fn seal(self, aad: &[u8], plaintext: &[u8]) -> Result<(Vec<u8>, Exporter), HpkeError> {
        let mut out = Vec::with_capacity(plaintext.len() + TAG_BYTES);
        out.extend_from_slice(plaintext);
        let nonce = Nonce::assume_unique_for_key(*self.base_nonce.expose_secret());
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut out).map_err(|_| HpkeError)?;
        out.extend_from_slice(tag.as_ref());
        Ok((out, Exporter(self.exporter)))
    }

    /// Opens the one message.
    ///
    /// # Errors
    /// [`HpkeError`] if anything differs from what was sealed; nothing of the plaintext leaves.
    pub fn open(self, aad: &[u8], ciphertext: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Exporter), HpkeError> {
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::assume_unique_for_key(*self.base_nonce.expose_secret());
        let opened = self.key.open_in_place(nonce, Aad::from(aad), &mut buffer);
        let length = opened.map_err(|_| HpkeError)?.len();
        buffer.truncate(length);
        Ok((buffer, Exporter(self.exporter)))
    }
}

/// The secret export interface (RFC 9180 section 5.3) of a context whose message was sealed or opened.
pub struct Exporter(SecretBytes<KEY_BYTES>);

impl core::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Exporter(..)")
    }
}

impl Exporter {
    /// 32 bytes under a label of their own.
    pub fn export(&self, exporter_context: &[u8]) -> SecretBytes<KEY_BYTES> {
        let mut out = SecretBytes::<KEY_BYTES>::zeroed();
        labeled_expand(&self.0, HPKE_SUITE, b"sec", &[exporter_context], out.expose_secret_mut());
        out
    }
}

/// LabeledExtract (RFC 9180 section 4). The Extract step of HKDF is an HMAC under the salt; an absent salt is 32 zeros.
fn labeled_extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> SecretBytes<KEY_BYTES> {
    let mut extract = hkdf::HkdfExtract::<Sha256>::new(Some(salt));
    for part in [VERSION, suite, label, ikm] {
        extract.input_ikm(part);
    }
    let (mut prk, _) = extract.finalize();
    let mut out = SecretBytes::<KEY_BYTES>::zeroed();
    out.expose_secret_mut().copy_from_slice(&prk);
    zeroize::Zeroize::zeroize(prk.as_mut_slice());
    out
}

fn expander(prk: &SecretBytes<KEY_BYTES>) -> Hkdf<Sha256> {
    Hkdf::from_prk(prk.expose_secret()).expect("32 bytes are a whole pseudorandom key of HKDF-SHA256")
}

/// LabeledExpand (RFC 9180 section 4), its info in parts.
fn labeled_expand(prk: &SecretBytes<KEY_BYTES>, suite: &[u8], label: &[u8], info: &[&[u8]], out: &mut [u8]) {
    expand_with(&expander(prk), suite, label, info, out);
}

fn expand_with(hkdf: &Hkdf<Sha256>, suite: &[u8], label: &[u8], info: &[&[u8]], out: &mut [u8]) {
    let length = u16::try_from(out.len()).unwrap_or(u16::MAX).to_be_bytes();
    // Seven parts at most: four of the label and three of the key schedule's context.
    let mut parts: [&[u8]; 7] = [&[]; 7];
    let named = [&length, VERSION, suite, label].into_iter().chain(info.iter().copied());
    for (place, part) in parts.iter_mut().zip(named) {
        *place = part;
    }
    hkdf.expand_multi_info(&parts, out).expect("at most 32 bytes are within HKDF-SHA256's 255 blocks");
}
