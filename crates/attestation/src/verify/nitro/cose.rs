//! The outer layer: COSE_Sign1 with ES384 and nothing else.

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use coset::iana::Algorithm;
use coset::{CborSerializable as _, CoseSign1, RegisteredLabelWithPrivate, TaggedCborSerializable as _};

use super::certificate::P384Point;
use super::error::NitroError;

/// Longest document looked at. AWS bounds the payload by 16 KiB; documents seen take 5.
pub const NITRO_DOCUMENT_BYTES_MAX: usize = 16 * 1024;

/// CBOR's head for tag 18, COSE_Sign1. AWS emits none; RFC 9052 allows both.
const SIGN1_TAG: u8 = 0xd2;

/// The one protected header: `{1: -35}`, the algorithm ES384 (RFC 9053).
const PROTECTED: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];

/// Two coordinates of P-384.
const SIGNATURE_BYTES: usize = 96;

/// A message of the right form, its signature not checked yet.
pub(super) struct Signed {
    message: CoseSign1,
    payload: Vec<u8>,
}

impl Signed {
    /// Reads a message of which no second encoding exists: re-encoding it gives the same bytes, but for the tag.
    pub(super) fn parse(document: &[u8]) -> Result<Self, NitroError> {
        if document.len() > NITRO_DOCUMENT_BYTES_MAX {
            return Err(NitroError::TooLong);
        }
        let is_tagged = document.first() == Some(&SIGN1_TAG);
        let parsed = if is_tagged { CoseSign1::from_tagged_slice(document) } else { CoseSign1::from_slice(document) };
        let message = parsed.map_err(|error| match error {
            coset::CoseError::ExtraneousData => NitroError::CoseNotCanonical,
            _ => NitroError::CoseMalformed,
        })?;
        let again = if is_tagged { message.clone().to_tagged_vec() } else { message.clone().to_vec() };
        if again.map_err(|_| NitroError::CoseMalformed)? != document {
            return Err(NitroError::CoseNotCanonical);
        }
        check_headers(&message)?;
        if message.signature.len() != SIGNATURE_BYTES {
            return Err(NitroError::SignatureLength);
        }
        let payload = message.payload.clone().ok_or(NitroError::PayloadMissing)?;
        Ok(Self { message, payload })
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signature covers the Sig_structure of RFC 9052, section 4.4: context, protected header, no external data, payload.
    pub(super) fn verify(&self, key: &P384Point) -> Result<(), NitroError> {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key.as_bytes())
            .verify(&self.message.tbs_data(&[]), &self.message.signature)
            .map_err(|_| NitroError::Signature)
    }
}

fn check_headers(message: &CoseSign1) -> Result<(), NitroError> {
    let protected = &message.protected;
    if !protected.header.crit.is_empty() || !message.unprotected.crit.is_empty() {
        return Err(NitroError::CriticalHeader);
    }
    if protected.header.alg != Some(RegisteredLabelWithPrivate::Assigned(Algorithm::ES384)) {
        return Err(NitroError::Algorithm);
    }
    if protected.original_data.as_deref() != Some(&PROTECTED) {
        return Err(NitroError::ProtectedHeader);
    }
    if !message.unprotected.is_empty() {
        return Err(NitroError::UnprotectedHeader);
    }
    Ok(())
}
