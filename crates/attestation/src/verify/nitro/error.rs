//! How a Nitro document can fail, one variant per check.

use super::image::PcrIndex;

/// Why a Nitro document was refused. Unless a variant says otherwise, the document was forged, damaged, or made by something that
/// is no Nitro hypervisor: do not use the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NitroError {
    /// Longer than [`super::NITRO_DOCUMENT_BYTES_MAX`].
    #[error("the Nitro document is longer than any can be")]
    TooLong,
    /// Not one COSE_Sign1, untagged or under tag 18.
    #[error("the Nitro document is no COSE_Sign1 message")]
    CoseMalformed,
    /// Another encoding of the same COSE message exists, or bytes trail it.
    #[error("the COSE message is not in its shortest definite form")]
    CoseNotCanonical,
    /// A header parameter is marked critical; none is known here.
    #[error("the COSE message has a critical header")]
    CriticalHeader,
    /// Signed with something else than ES384.
    #[error("the COSE message is not signed with ES384")]
    Algorithm,
    /// The protected header holds more than the algorithm.
    #[error("the COSE message's protected header holds something else than the algorithm")]
    ProtectedHeader,
    /// The unprotected header is not empty.
    #[error("the COSE message has an unprotected header")]
    UnprotectedHeader,
    /// There is no payload in the message.
    #[error("the COSE message has no payload")]
    PayloadMissing,
    /// The signature is not the 96 bytes of ES384.
    #[error("the COSE message's signature has a wrong length")]
    SignatureLength,
    /// The payload is not a map of text keys.
    #[error("the Nitro payload is not a map of named fields")]
    PayloadMalformed,
    /// Another encoding of the same payload exists, or bytes trail it.
    #[error("the Nitro payload is not in its shortest definite form")]
    PayloadNotCanonical,
    /// A field of no Nitro Enclaves document; documents of NitroTPM end here.
    #[error("the Nitro payload has a field that no Nitro Enclaves document has")]
    FieldUnknown,
    /// A field or a register is there twice.
    #[error("the Nitro payload says something twice")]
    FieldDuplicate,
    /// A field is missing.
    #[error("the Nitro payload lacks {0}")]
    FieldMissing(NitroField),
    /// A field has a type or a length that AWS's specification excludes.
    #[error("the Nitro payload's {0} has a wrong form or length")]
    FieldInvalid(NitroField),
    /// The registers are not SHA-384 values.
    #[error("the Nitro payload's digest is not SHA384")]
    Digest,
    /// The chain does not begin with the pinned root.
    #[error("the certificate chain does not begin with the AWS Nitro Enclaves root")]
    RootUnknown,
    /// A certificate is not what its place in the chain needs. See [`CertificateError`].
    #[error("certificate {place} of the chain (0 is the root) {reason}")]
    Certificate {
        /// 0 is the root, the highest number the leaf.
        place: u8,
        /// What is wrong with it.
        reason: CertificateError,
    },
    /// The document's signature does not fit the leaf certificate.
    #[error("the signature of the Nitro document is wrong")]
    Signature,
    /// A register the policy names is not in the document.
    #[error("the Nitro document does not state PCR {0}")]
    PcrMissing(PcrIndex),
    /// The enclave runs in debug mode, where its memory and console are open to the host: the server's operator has to start it
    /// without `--debug-mode`.
    #[error("PCR {0} is all zeros: the enclave runs in debug mode, which proves nothing")]
    DebugMode(PcrIndex),
    /// The enclave bound no manifest to the document.
    #[error("the Nitro document states no user data")]
    UserDataMissing,
    /// The document answers no question.
    #[error("the Nitro document states no nonce")]
    NonceMissing,
}

/// What is wrong with one certificate; completes "certificate N of the chain ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not an X.509 certificate of RFC 5280's form.
    #[error("is malformed")]
    Malformed,
    /// Not in DER: another encoding of the same certificate exists.
    #[error("is not in DER")]
    NotCanonical,
    /// Not of version 3.
    #[error("is not of version 3")]
    Version,
    /// Signed with something else than ECDSA with SHA-384, or its two algorithm fields differ.
    #[error("is not signed with ECDSA and SHA-384")]
    Algorithm,
    /// Its key is not an uncompressed point of P-384.
    #[error("holds no P-384 key")]
    Key,
    /// A critical extension is not known here.
    #[error("has an unknown critical extension")]
    CriticalExtension,
    /// An extension is there twice.
    #[error("has an extension twice")]
    DuplicateExtension,
    /// An issuer that is not marked, critically, as a certificate authority; a leaf that is, or that does not say.
    #[error("has the wrong basic constraints")]
    BasicConstraints,
    /// More issuers follow than this one allows.
    #[error("is followed by more issuers than it allows")]
    PathLength,
    /// An issuer that may not sign certificates; a leaf that may, or that may not sign data.
    #[error("has the wrong key usage")]
    KeyUsage,
    /// Below the root and issued by itself; AWS's chains have no such link.
    #[error("issued itself")]
    SelfIssued,
    /// Its issuer is not the subject of the certificate before it.
    #[error("was not issued by the one before it")]
    Issuer,
    /// The certificate before it did not sign it.
    #[error("is not signed by the one before it")]
    Signature,
    /// Not valid yet. If the server is honest, this device's clock is slow: set it.
    #[error("is not valid yet; check this device's clock")]
    NotYetValid,
    /// Not valid any more. The server must renew its evidence; ask again. If it persists, check this device's clock.
    #[error("has expired; check this device's clock")]
    Expired,
}

/// A field of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NitroField {
    /// `module_id`
    ModuleId,
    /// `digest`
    Digest,
    /// `timestamp`
    Timestamp,
    /// `pcrs`
    Pcrs,
    /// `certificate`
    Certificate,
    /// `cabundle`
    CaBundle,
    /// `public_key`
    PublicKey,
    /// `user_data`
    UserData,
    /// `nonce`
    Nonce,
}

impl NitroError {
    /// Stable name of the failed check, the same in every implementation (`vectors/attestation/nitro.json`).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "document_too_long",
            Self::CoseMalformed => "cose_malformed",
            Self::CoseNotCanonical => "cose_not_canonical",
            Self::CriticalHeader => "cose_critical_header",
            Self::Algorithm => "cose_algorithm",
            Self::ProtectedHeader => "cose_protected_header",
            Self::UnprotectedHeader => "cose_unprotected_header",
            Self::PayloadMissing => "cose_payload_missing",
            Self::SignatureLength => "cose_signature_length",
            Self::PayloadMalformed => "payload_malformed",
            Self::PayloadNotCanonical => "payload_not_canonical",
            Self::FieldUnknown => "field_unknown",
            Self::FieldDuplicate => "field_duplicate",
            Self::FieldMissing(_) => "field_missing",
            Self::FieldInvalid(_) => "field_invalid",
            Self::Digest => "digest_unknown",
            Self::RootUnknown => "root_unknown",
            Self::Certificate { reason, .. } => reason.code(),
            Self::Signature => "signature_wrong",
            Self::PcrMissing(_) => "pcr_missing",
            Self::DebugMode(_) => "debug_mode",
            Self::UserDataMissing => "user_data_missing",
            Self::NonceMissing => "nonce_missing",
        }
    }
}

impl CertificateError {
    /// As [`NitroError::code`].
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "certificate_malformed",
            Self::NotCanonical => "certificate_not_canonical",
            Self::Version => "certificate_version",
            Self::Algorithm => "certificate_algorithm",
            Self::Key => "certificate_key",
            Self::CriticalExtension => "certificate_critical_extension",
            Self::DuplicateExtension => "certificate_duplicate_extension",
            Self::BasicConstraints => "certificate_basic_constraints",
            Self::PathLength => "certificate_path_length",
            Self::KeyUsage => "certificate_key_usage",
            Self::SelfIssued => "certificate_self_issued",
            Self::Issuer => "certificate_issuer",
            Self::Signature => "certificate_signature",
            Self::NotYetValid => "certificate_not_yet_valid",
            Self::Expired => "certificate_expired",
        }
    }
}

impl NitroField {
    /// Every field.
    pub const ALL: [Self; 9] = [
        Self::ModuleId,
        Self::Digest,
        Self::Timestamp,
        Self::Pcrs,
        Self::Certificate,
        Self::CaBundle,
        Self::PublicKey,
        Self::UserData,
        Self::Nonce,
    ];

    /// Its key in the payload.
    pub const fn key(self) -> &'static str {
        match self {
            Self::ModuleId => "module_id",
            Self::Digest => "digest",
            Self::Timestamp => "timestamp",
            Self::Pcrs => "pcrs",
            Self::Certificate => "certificate",
            Self::CaBundle => "cabundle",
            Self::PublicKey => "public_key",
            Self::UserData => "user_data",
            Self::Nonce => "nonce",
        }
    }
}

impl core::fmt::Display for NitroField {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.key())
    }
}
