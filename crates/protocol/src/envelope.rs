//! The sealed envelope: HPKE (RFC 9180, base mode) towards the enclave, an exporter-keyed AEAD back.
//!
//! Whoever holds a sealed request can hand it to the enclave again, and the enclave then answers something else under the same
//! exporter. So the exporter names no AEAD key by itself: a reply's key is derived from a salt that is a MAC over that reply,
//! and two different replies never share a key and nonce.

use minicbor::bytes::{ByteSlice, ByteVec};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::aead::SealingKey;
use crate::cbor;
use crate::checkpoint::NOTE_BYTES_MAX;
use crate::constant_time;
use crate::hpke::{self, KeyPair};
use crate::ids::Hash32;
use crate::kdf;
use crate::limits::{ACCOUNTS_MAX, DEVICES_MAX, HISTORY_WRITES_MAX, INTENTS_MAX, REQUEST_BYTES_MAX};
use crate::manifest::HpkePublic;
use crate::reply::{Next, Reply, SealedReply};
use crate::request::{Body, Request, RequestHeader, SealedRequest, device_transcript};
use crate::secret::SecretBytes;

/// Replies are padded to a multiple of this.
pub const REPLY_BLOCK_BYTES: usize = 1_024;

/// Why an envelope does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not the expected form or beyond its bound.
    #[error("malformed envelope")]
    Malformed,
    /// Sealed to another key, or changed on its way.
    #[error("envelope does not open")]
    Crypto,
    /// The device signature does not cover this request.
    #[error("device signature does not verify")]
    Device,
    /// The reply answers another request.
    #[error("reply is for another request")]
    OtherRequest,
}

/// Plaintext: the encoded body and the device's signature over the transcript.
#[derive(Encode, Decode)]
#[cbor(array)]
struct Plaintext<'a> {
    #[b(0)]
    body: &'a ByteSlice,
    #[b(1)]
    signature: &'a ByteSlice,
}

/// What a plaintext holds.
struct Contents<'a> {
    body: Body,
    /// The body as the device signed it.
    encoded: Zeroizing<Vec<u8>>,
    signature: &'a ByteSlice,
}

impl<'a> Contents<'a> {
    /// Reads the one encoding that there is of them; what is in any other is malformed.
    fn read(plaintext: &'a [u8]) -> Result<Self, EnvelopeError> {
        let parts: Plaintext<'a> = minicbor::decode(plaintext).map_err(|_| EnvelopeError::Malformed)?;
        let body: Body = minicbor::decode(parts.body).map_err(|_| EnvelopeError::Malformed)?;
        let encoded = cbor::to_zeroizing(&body);
        let whole = cbor::to_zeroizing(&Plaintext { body: encoded.as_slice().into(), signature: parts.signature });
        // The sender's own bytes with their PIN factor in them.
        if !constant_time::equal(&whole, plaintext) {
            return Err(EnvelopeError::Malformed);
        }
        Ok(Self { body, encoded, signature: parts.signature })
    }
}

/// Reads a plaintext as [`BootKey::open`] does, for the check under valgrind. There an envelope that was opened with a marked key is
/// marked from end to end; a plaintext that is handed in has its marks on the PIN factor alone.
///
/// # Errors
/// [`EnvelopeError::Malformed`].
#[cfg(feature = "constant-time-check")]
pub fn read_plaintext(plaintext: &[u8]) -> Result<Body, EnvelopeError> {
    Contents::read(plaintext).map(|contents| contents.body)
}

/// The enclave's half of a boot's HPKE key.
pub struct BootKey(KeyPair);

impl core::fmt::Debug for BootKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("BootKey(..)")
    }
}

impl BootKey {
    /// Derives the key pair from 32 fresh random bytes (RFC 9180 section 7.1.3).
    pub fn derive(ikm: &SecretBytes<32>) -> Self {
        Self(KeyPair::derive(ikm).expect("every 32 bytes make an X25519 key"))
    }

    /// The public half, committed in the manifest.
    pub const fn public(&self) -> HpkePublic {
        self.0.public()
    }

    /// Opens a request and verifies the device signature. The caller checks header fields against its own state.
    ///
    /// # Errors
    /// [`EnvelopeError`]; nothing of the plaintext leaves on failure.
    pub fn open(&self, request: &SealedRequest) -> Result<Opened, EnvelopeError> {
        if request.ciphertext.len() > REQUEST_BYTES_MAX {
            return Err(EnvelopeError::Malformed);
        }
        let header = cbor::to_vec(&request.header);
        let (plaintext, exporter) = hpke::setup_receiver(&self.0, &request.enc, &info(&request.header.manifest))
            .and_then(|context| context.open(&header, &request.ciphertext))
            .map_err(|_| EnvelopeError::Crypto)?;
        let Contents { body, encoded, signature } = Contents::read(&plaintext)?;
        let transcript = Zeroizing::new(device_transcript(&request.enc, &header, &encoded));
        if !body.device_key.verifies(&transcript, signature) {
            return Err(EnvelopeError::Device);
        }
        let (exported, salting) = (exporter.export(REPLY_LABEL), exporter.export(REPLY_SALT_LABEL));
        let block = reply_bytes(&body.request);
        Ok(Opened { body, reply: ReplySealer { key: SealingKey::new(exported), salting, header, block } })
    }
}

/// An opened request and the means to answer it once.
#[derive(Debug)]
pub struct Opened {
    /// The body, its device signature verified.
    pub body: Body,
    /// Seals the one reply.
    pub reply: ReplySealer,
}

/// Seals the reply to one opened request.
pub struct ReplySealer {
    key: SealingKey,
    salting: SecretBytes<32>,
    header: Vec<u8>,
    block: usize,
}

impl core::fmt::Debug for ReplySealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ReplySealer(..)")
    }
}

impl ReplySealer {
    /// Pads `reply` to a size that depends on the request alone, and seals it. The same request opened again seals the same
    /// reply to the same bytes and another reply under another key.
    pub fn seal(self, reply: &Reply) -> SealedReply {
        let encoded = cbor::to_zeroizing(reply);
        let length = (encoded.len() + 1).div_ceil(self.block) * self.block;
        let mut plain = Zeroizing::new(Vec::with_capacity(length));
        plain.extend_from_slice(&encoded);
        plain.push(0x80);
        plain.resize(length, 0);
        let salt = kdf::mac(self.salting.expose_secret(), "pinseal reply salt v1", &[&self.header, &plain]);
        let mut ciphertext = salt.to_vec();
        ciphertext.extend_from_slice(&self.key.seal(&reply_info(&salt), &self.header, &plain));
        SealedReply { request: reply.request, ciphertext: ciphertext.into() }
    }
}

/// The client's half: seals one request and opens its reply.
pub struct ReplyOpener {
    key: SealingKey,
    header: Vec<u8>,
    request: crate::ids::RequestId,
}

impl core::fmt::Debug for ReplyOpener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ReplyOpener(..)")
    }
}

/// Seals `body` to the enclave of `recipient`. `sign` makes the device's ES256 signature (r || s) over the transcript.
///
/// # Errors
/// [`EnvelopeError::Crypto`] if the recipient key is no X25519 key, [`EnvelopeError::Device`] if `sign` fails,
/// [`EnvelopeError::Malformed`] if the request would exceed [`REQUEST_BYTES_MAX`].
pub fn seal<R: rand_core::CryptoRng>(
    recipient: &HpkePublic,
    header: RequestHeader,
    body: &Body,
    rng: &mut R,
    sign: impl FnOnce(&[u8]) -> Option<[u8; 64]>,
) -> Result<(SealedRequest, ReplyOpener), EnvelopeError> {
    let encoded_header = cbor::to_vec(&header);
    let mut ephemeral = SecretBytes::<32>::zeroed();
    rng.fill_bytes(ephemeral.expose_secret_mut());
    let (enc, context) =
        hpke::setup_sender(recipient, &info(&header.manifest), &ephemeral).map_err(|_| EnvelopeError::Crypto)?;
    let encoded_body = cbor::to_zeroizing(body);
    let transcript = Zeroizing::new(device_transcript(&enc, &encoded_header, &encoded_body));
    let signature = sign(&transcript).ok_or(EnvelopeError::Device)?;
    let plaintext =
        cbor::to_zeroizing(&Plaintext { body: encoded_body.as_slice().into(), signature: signature.as_slice().into() });
    let (ciphertext, exporter) = context.seal(&encoded_header, &plaintext).map_err(|_| EnvelopeError::Crypto)?;
    let key = SealingKey::new(exporter.export(REPLY_LABEL));
    let opener = ReplyOpener { key, header: encoded_header, request: header.request };
    let request = SealedRequest { header, enc, ciphertext: ByteVec::from(ciphertext) };
    if cbor::to_vec(&request).len() > REQUEST_BYTES_MAX {
        return Err(EnvelopeError::Malformed);
    }
    Ok((request, opener))
}

impl ReplyOpener {
    /// Opens the reply to this very request.
    ///
    /// # Errors
    /// [`EnvelopeError::OtherRequest`], [`EnvelopeError::Crypto`] or [`EnvelopeError::Malformed`].
    pub fn open(&self, sealed: &SealedReply) -> Result<Reply, EnvelopeError> {
        if sealed.request != self.request {
            return Err(EnvelopeError::OtherRequest);
        }
        let (salt, ciphertext) =
            sealed.ciphertext.split_first_chunk::<REPLY_SALT_BYTES>().ok_or(EnvelopeError::Malformed)?;
        let plain = self.key.open(&reply_info(salt), &self.header, ciphertext).map_err(|_| EnvelopeError::Crypto)?;
        let end = plain.iter().rposition(|byte| *byte != 0).ok_or(EnvelopeError::Malformed)?;
        let (reply, padding) = plain.split_at(end);
        if padding.first() != Some(&0x80) {
            return Err(EnvelopeError::Malformed);
        }
        let reply: Reply = cbor::from_slice(reply).map_err(|_| EnvelopeError::Malformed)?;
        if reply.request != self.request {
            return Err(EnvelopeError::OtherRequest);
        }
        Ok(reply)
    }
}

const REPLY_LABEL: &[u8] = b"pinseal reply v1";
const REPLY_SALT_LABEL: &[u8] = b"pinseal reply salt v1";
const REPLY_SALT_BYTES: usize = 32;

/// Names a reply's AEAD key under the exporter.
fn reply_info(salt: &[u8; REPLY_SALT_BYTES]) -> Vec<u8> {
    let mut out = b"reply".to_vec();
    out.extend_from_slice(salt);
    out
}

/// HPKE `info`: binds the envelope to the attested boot.
fn info(manifest: &Hash32) -> Vec<u8> {
    let mut out = b"pinseal request v1\0".to_vec();
    out.extend_from_slice(&manifest.0);
    out
}

/// The block a reply is padded to: no smaller than any reply to that request, so that its length depends on the request alone. Every
/// reply holds a receipt; beside it, a signed intent is shorter than the intent's payload plus 256 bytes, a listed account takes less
/// than 512 bytes, a listed device less than 128, and an opened entry, like the version beside them all, less than 64. Room for a next challenge is there whether there is one or not. Counts beyond the
/// bounds are refused, so they make no reply longer.
fn reply_bytes(request: &Request) -> usize {
    let outcome = match request {
        Request::Sign { intents, .. } => {
            intents.iter().take(INTENTS_MAX).map(|intent| intent.payload_bytes() + 256).sum()
        }
        Request::ListAccounts { accounts } => accounts.len().min(ACCOUNTS_MAX) * 512,
        Request::Status => DEVICES_MAX * 128,
        Request::OpenHistory { writes } => (writes.len().min(HISTORY_WRITES_MAX) + 1) * 64,
        _ => 512,
    };
    let next = if request.method().continues() { Next::BYTES_MAX } else { 0 };
    (NOTE_BYTES_MAX + 256 + outcome + next).div_ceil(REPLY_BLOCK_BYTES) * REPLY_BLOCK_BYTES
}
