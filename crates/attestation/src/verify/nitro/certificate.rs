//! One certificate of the chain, reduced to what path validation needs.

use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};
use pinseal_protocol::ids::UnixSeconds;
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::der::oid::{AssociatedOid, ObjectIdentifier};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::error::CertificateError;

/// RFC 5758, section 3.2.
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
/// RFC 5480, section 2.1.1.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// P-384; RFC 5480, section 2.1.1.1.
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// First byte of an uncompressed point (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A P-384 public key, uncompressed. Whether it lies on the curve is checked where it verifies something.
pub(super) struct P384Point([u8; 97]);

impl P384Point {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A certificate of which every field that counts was understood.
pub(super) struct Certificate {
    /// The DER its signature covers.
    tbs: Vec<u8>,
    signature: Vec<u8>,
    issuer: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) not_before: UnixSeconds,
    pub(super) not_after: UnixSeconds,
    pub(super) key: P384Point,
    /// With whether it is critical.
    pub(super) constraints: Option<(bool, BasicConstraints)>,
    pub(super) usage: Option<KeyUsage>,
}

impl Certificate {
    /// Reads a certificate that is DER through and through: re-encoding it gives the same bytes.
    pub(super) fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let parsed = x509_cert::Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        if parsed.to_der().ok().as_deref() != Some(der) {
            return Err(CertificateError::NotCanonical);
        }
        let body = parsed.tbs_certificate();
        if body.version() != Version::V3 {
            return Err(CertificateError::Version);
        }
        if body.issuer_unique_id().is_some() || body.subject_unique_id().is_some() {
            return Err(CertificateError::Malformed);
        }
        if parsed.signature_algorithm() != body.signature() || !is_ecdsa_with_sha384(body.signature()) {
            return Err(CertificateError::Algorithm);
        }
        let extensions = body.extensions().map(Vec::as_slice).unwrap_or_default();
        check_extensions(extensions)?;
        let encoded = |part: Result<Vec<u8>, x509_cert::der::Error>| part.map_err(|_| CertificateError::Malformed);
        let (not_before, not_after) = validity(body);
        Ok(Self {
            tbs: encoded(body.to_der())?,
            signature: parsed.signature().as_bytes().ok_or(CertificateError::Malformed)?.to_vec(),
            issuer: encoded(body.issuer().to_der())?,
            subject: encoded(body.subject().to_der())?,
            not_before,
            not_after,
            key: point(body.subject_public_key_info())?,
            constraints: extension(extensions)?,
            usage: extension(extensions)?.map(|(_, usage)| usage),
        })
    }

    /// Names this one as its issuer, byte for byte, and is signed by its key.
    pub(super) fn check_issued(&self, next: &Self) -> Result<(), CertificateError> {
        if next.issuer == next.subject {
            return Err(CertificateError::SelfIssued);
        }
        if next.issuer != self.subject {
            return Err(CertificateError::Issuer);
        }
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, self.key.as_bytes())
            .verify(&next.tbs, &next.signature)
            .map_err(|_| CertificateError::Signature)
    }
}

/// RFC 5758: the parameters are absent.
fn is_ecdsa_with_sha384(algorithm: &AlgorithmIdentifierOwned) -> bool {
    algorithm.oid == ECDSA_WITH_SHA384 && algorithm.parameters.is_none()
}

/// Both ends belong to the span (RFC 5280, section 4.1.2.5).
fn validity(body: &TbsCertificate) -> (UnixSeconds, UnixSeconds) {
    let validity = body.validity();
    let seconds = |time: x509_cert::time::Time| UnixSeconds(time.to_unix_duration().as_secs());
    (seconds(validity.not_before), seconds(validity.not_after))
}

fn point(info: &SubjectPublicKeyInfoOwned) -> Result<P384Point, CertificateError> {
    let curve = info.algorithm.parameters.as_ref().and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
    if info.algorithm.oid != EC_PUBLIC_KEY || curve != Some(SECP384R1) {
        return Err(CertificateError::Key);
    }
    let bytes = info.subject_public_key.as_bytes().and_then(|bytes| <[u8; 97]>::try_from(bytes).ok());
    bytes.filter(|bytes| bytes.first() == Some(&UNCOMPRESSED)).map(P384Point).ok_or(CertificateError::Key)
}

/// Each extension once, and none critical that is not processed here.
fn check_extensions(extensions: &[Extension]) -> Result<(), CertificateError> {
    for (place, extension) in extensions.iter().enumerate() {
        if extensions.iter().skip(place + 1).any(|other| other.extn_id == extension.extn_id) {
            return Err(CertificateError::DuplicateExtension);
        }
        if extension.critical && ![BasicConstraints::OID, KeyUsage::OID].contains(&extension.extn_id) {
            return Err(CertificateError::CriticalExtension);
        }
    }
    Ok(())
}

/// The one extension of this type, in DER, with whether it is critical.
fn extension<T: for<'b> Decode<'b> + Encode + AssociatedOid>(
    extensions: &[Extension],
) -> Result<Option<(bool, T)>, CertificateError> {
    let Some(found) = extensions.iter().find(|extension| extension.extn_id == T::OID) else { return Ok(None) };
    let bytes = found.extn_value.as_bytes();
    let value = T::from_der(bytes).map_err(|_| CertificateError::Malformed)?;
    if value.to_der().ok().as_deref() != Some(bytes) {
        return Err(CertificateError::NotCanonical);
    }
    Ok(Some((found.critical, value)))
}
