//! Checking evidence, before a client asks for a PIN. Fails closed, and there is no way to check without a [`Policy`].

pub mod nitro;
mod policy;

pub use nitro::{NitroDocument, NitroError, NitroImage, NitroImages};
pub use policy::{
    DevelopmentMeasurements, DevelopmentMode, MEASUREMENTS_MAX, MeasurementList, MeasurementListError, Policy,
};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use pinseal_protocol::cbor::{self, CborError};
use pinseal_protocol::ids::{Hash32, Measurement, Nonce, UnixSeconds};

use self::policy::{NitroPolicy, Trust};
use crate::document::{DOCUMENT_BYTES_MAX, Document, EvidenceKind, SoftwarePayload, software_signing_input};

/// How far evidence, and the beginning of a certificate, may lie in the future of the client's clock.
pub const CLOCK_SKEW_SECONDS_MAX: u64 = 60;

/// The sentence a client must show when it accepted software evidence.
pub const SOFTWARE_STATEMENT: &str = "Development evidence: signed with a key that everyone has. It proves nothing about hardware; \
     whoever runs this server can read what is sealed to it.";

/// The sentence a client must show when it accepted Nitro evidence.
pub const NITRO_STATEMENT: &str = "AWS Nitro evidence: AWS's hypervisor states that an image this device trusts runs in an enclave that is \
     not in debug mode. It is worth as much as AWS and as the PCR values given to this device.";

/// The same under a root that somebody made for a test.
pub const NITRO_TEST_STATEMENT: &str =
    "Evidence under a test root: it has the form of AWS Nitro evidence and proves nothing about hardware.";

/// Ed25519 public key of the development key (its seed is the hash of [`crate::document::DEVELOPMENT_KEY_LABEL`]).
const DEVELOPMENT_PUBLIC_KEY: [u8; 32] = [
    0x77, 0x85, 0xec, 0xf2, 0xe9, 0xfd, 0xef, 0xa0, 0xd7, 0x71, 0x29, 0x3e, 0x01, 0x60, 0x94, 0xb5, 0xbe, 0x34, 0xac,
    0x3a, 0xbb, 0xde, 0x49, 0xc6, 0x4a, 0x18, 0x78, 0xf8, 0x27, 0xa8, 0x59, 0xc5,
];

/// What the client itself knows and the evidence has to match.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// Hash of the manifest the client received beside the evidence.
    pub user_data: Hash32,
    /// The nonce the client chose for this question.
    pub nonce: Nonce,
    /// The client's clock.
    pub now: UnixSeconds,
    /// Oldest evidence the client accepts.
    pub age_seconds_max: u64,
}

/// What checked evidence says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Which kind it was.
    pub kind: EvidenceKind,
    /// The enclave image it names; for Nitro evidence [`NitroImage::measurement`].
    pub measurement: Measurement,
    /// When it was made.
    pub time: UnixSeconds,
    /// What this evidence is worth, in plain words; clients must show it.
    pub statement: &'static str,
    /// All that Nitro evidence says.
    pub nitro: Option<Box<NitroDocument>>,
}

/// Why evidence was refused. In every case the client must not ask for a PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Longer than [`DOCUMENT_BYTES_MAX`]. The server is at fault.
    #[error("the evidence is longer than any evidence can be")]
    TooLong,
    /// Not a canonical document of a kind this client knows. The server is at fault, or the client is outdated: update and ask again.
    #[error("the evidence is not a document this client knows")]
    Document(#[source] CborError),
    /// Software evidence met a policy for hardware evidence. Use a server that runs in hardware, or, on a developer's machine, ask for
    /// development mode in so many words.
    #[error(
        "this server shows development evidence, which proves nothing about hardware; \
         use a server with hardware evidence, or ask for development mode if this is your own test system"
    )]
    SoftwareEvidenceRefused,
    /// Nitro evidence met a policy for software evidence. Name the image's PCR values instead of asking for development mode.
    #[error(
        "this server shows AWS Nitro evidence, and no Nitro image is trusted here; give the PCR values of the release"
    )]
    NitroEvidenceRefused,
    /// Nitro evidence that fails one of its own checks.
    #[error(transparent)]
    Nitro(#[from] NitroError),
    /// The signature does not fit. The evidence was forged or damaged.
    #[error("the signature of the evidence is wrong")]
    Signature,
    /// It is about another manifest. The server swapped keys or restarted in between: fetch manifest and evidence again, once.
    #[error("the evidence is about another manifest")]
    UserData,
    /// It answers another question. A replay: ask again with a new nonce, once.
    #[error("the evidence answers another question")]
    Nonce,
    /// Made too long ago. The server must renew it; ask again.
    #[error("the evidence is too old")]
    Stale,
    /// Made in the future. Set the client's clock, or distrust the server's.
    #[error("the evidence is from the future; check this device's clock")]
    Future,
    /// The image is on no list the client trusts. Update the client, or do not use this server.
    #[error("the evidence names an enclave image that is not trusted here")]
    Measurement,
}

impl VerifyError {
    /// Stable name of the failed check, the same in every implementation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "document_too_long",
            Self::Document(_) => "document_malformed",
            Self::SoftwareEvidenceRefused => "software_evidence_refused",
            Self::NitroEvidenceRefused => "nitro_evidence_refused",
            Self::Nitro(error) => error.code(),
            Self::Signature => "signature_wrong",
            Self::UserData => "user_data_wrong",
            Self::Nonce => "nonce_wrong",
            Self::Stale => "too_old",
            Self::Future => "from_the_future",
            Self::Measurement => "image_not_trusted",
        }
    }
}

/// Checks `document` against `policy` and what the client expects.
///
/// # Errors
/// [`VerifyError`]; the client stops before it asks for a PIN.
pub fn verify(document: &[u8], policy: &Policy, expected: &Expected) -> Result<Verified, VerifyError> {
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(VerifyError::TooLong);
    }
    match cbor::from_slice(document).map_err(VerifyError::Document)? {
        Document::Software { payload, signature } => software(&payload, &signature, policy, expected),
        Document::Nitro { cose } => match policy.trust() {
            Trust::Nitro(trusted) => nitro(&cose, trusted, expected),
            Trust::Development(_) => Err(VerifyError::NitroEvidenceRefused),
        },
    }
}

/// Genuine first, then meant for this question, then of a trusted image.
fn nitro(cose: &[u8], trusted: &NitroPolicy, expected: &Expected) -> Result<Verified, VerifyError> {
    let document = nitro::authenticate(cose, &trusted.root, expected.now)?;
    let user_data = document.user_data.as_deref().ok_or(NitroError::UserDataMissing)?;
    let nonce = document.nonce.as_deref().ok_or(NitroError::NonceMissing)?;
    fresh_and_meant_for_us(
        Hash32::from_slice(user_data).ok_or(VerifyError::UserData)?,
        Nonce::from_slice(nonce).ok_or(VerifyError::Nonce)?,
        document.time(),
        expected,
    )?;
    let image = trusted.images.find(&document)?;
    Ok(Verified {
        kind: EvidenceKind::Nitro,
        measurement: image.measurement(),
        time: document.time(),
        statement: if trusted.root.is_aws() { NITRO_STATEMENT } else { NITRO_TEST_STATEMENT },
        nitro: Some(Box::new(document)),
    })
}

/// The kind is refused before its signature is looked at: whether a signature by a public key fits says nothing.
fn software(payload: &[u8], signature: &[u8], policy: &Policy, expected: &Expected) -> Result<Verified, VerifyError> {
    let Trust::Development(measurements) = policy.trust() else {
        return Err(VerifyError::SoftwareEvidenceRefused);
    };
    UnparsedPublicKey::new(&ED25519, &DEVELOPMENT_PUBLIC_KEY)
        .verify(&software_signing_input(payload), signature)
        .map_err(|_| VerifyError::Signature)?;
    let payload: SoftwarePayload = cbor::from_slice(payload).map_err(VerifyError::Document)?;
    fresh_and_meant_for_us(payload.user_data, payload.nonce, payload.time, expected)?;
    if !measurements.trust(&payload.measurement) {
        return Err(VerifyError::Measurement);
    }
    Ok(Verified {
        kind: EvidenceKind::Software,
        measurement: payload.measurement,
        time: payload.time,
        statement: SOFTWARE_STATEMENT,
        nitro: None,
    })
}

/// The checks every kind shares.
fn fresh_and_meant_for_us(
    user_data: Hash32,
    nonce: Nonce,
    time: UnixSeconds,
    expected: &Expected,
) -> Result<(), VerifyError> {
    if user_data != expected.user_data {
        return Err(VerifyError::UserData);
    }
    if nonce != expected.nonce {
        return Err(VerifyError::Nonce);
    }
    check_time(time, expected.now, expected.age_seconds_max)
}

/// Neither older than `age_seconds_max` nor further in the future than [`CLOCK_SKEW_SECONDS_MAX`].
///
/// # Errors
/// [`VerifyError::Future`], [`VerifyError::Stale`].
pub fn check_time(time: UnixSeconds, now: UnixSeconds, age_seconds_max: u64) -> Result<(), VerifyError> {
    if time.0 > now.0.saturating_add(CLOCK_SKEW_SECONDS_MAX) {
        return Err(VerifyError::Future);
    }
    if now.0.saturating_sub(time.0) > age_seconds_max {
        return Err(VerifyError::Stale);
    }
    Ok(())
}
