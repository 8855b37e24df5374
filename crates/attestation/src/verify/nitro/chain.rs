//! The certificate chain, from the pinned root to the leaf (RFC 5280, section 6.1, without names and policies that AWS does not use).
//!
//! There is no search for a path: the order is fixed, every certificate given must take part, and each is checked in its place.
//! Revocation is not looked at, as AWS advises: leaves live three hours.

use pinseal_protocol::ids::UnixSeconds;

use super::certificate::{Certificate, P384Point};
use super::error::{CertificateError, NitroError};
use super::root::NitroRoot;
use crate::verify::CLOCK_SKEW_SECONDS_MAX;

/// Longest chain with root and leaf. AWS's have five.
pub const CERTIFICATES_MAX: usize = 8;

/// The leaf's key, if every certificate is in order at the time `now`. A certificate that begins to be valid within the tolerated
/// difference of clocks counts as valid: AWS dates leaves back by seconds only.
pub(super) fn verify(certificates: &[Vec<u8>], root: &NitroRoot, now: UnixSeconds) -> Result<P384Point, NitroError> {
    if !certificates.first().is_some_and(|first| root.is(first)) {
        return Err(NitroError::RootUnknown);
    }
    let mut issuer: Option<Certificate> = None;
    for (place, der) in certificates.iter().enumerate() {
        let following = certificates.len() - 1 - place;
        let certificate = check(der, issuer.as_ref(), following, now)
            .map_err(|reason| NitroError::Certificate { place: u8::try_from(place).unwrap_or(u8::MAX), reason })?;
        issuer = Some(certificate);
    }
    issuer.map(|leaf| leaf.key).ok_or(NitroError::RootUnknown)
}

/// Checks one certificate against its issuer and its place: its form, then who signed it, then what it says.
fn check(
    der: &[u8],
    issuer: Option<&Certificate>,
    following: usize,
    now: UnixSeconds,
) -> Result<Certificate, CertificateError> {
    let certificate = Certificate::parse(der)?;
    if let Some(issuer) = issuer {
        issuer.check_issued(&certificate)?;
    }
    if now.0.saturating_add(CLOCK_SKEW_SECONDS_MAX) < certificate.not_before.0 {
        return Err(CertificateError::NotYetValid);
    }
    if now.0 > certificate.not_after.0 {
        return Err(CertificateError::Expired);
    }
    match following {
        0 => check_leaf(&certificate)?,
        _ => check_issuer(&certificate, following - 1)?,
    }
    Ok(certificate)
}

fn check_leaf(certificate: &Certificate) -> Result<(), CertificateError> {
    match &certificate.constraints {
        Some((_, constraints)) if !constraints.ca && constraints.path_len_constraint.is_none() => {}
        _ => return Err(CertificateError::BasicConstraints),
    }
    match certificate.usage {
        Some(usage) if usage.digital_signature() && !usage.key_cert_sign() => Ok(()),
        _ => Err(CertificateError::KeyUsage),
    }
}

/// `issuers_below`: how many issuers stand between this one and the leaf; none of them issued itself, so that all count.
fn check_issuer(certificate: &Certificate, issuers_below: usize) -> Result<(), CertificateError> {
    let path_length = match &certificate.constraints {
        Some((true, constraints)) if constraints.ca => constraints.path_len_constraint,
        _ => return Err(CertificateError::BasicConstraints),
    };
    if path_length.is_some_and(|most| issuers_below > usize::from(most)) {
        return Err(CertificateError::PathLength);
    }
    match certificate.usage {
        Some(usage) if usage.key_cert_sign() => Ok(()),
        _ => Err(CertificateError::KeyUsage),
    }
}
