//! AWS Nitro Enclaves evidence: a COSE_Sign1 (RFC 9052) by the Nitro hypervisor over the enclave's PCRs.
//!
//! Two levels. [`authenticate`] answers *is this a genuine document*: form, certificate chain up to the pinned AWS root, signature.
//! It says nothing about which image runs, when, or for whom. [`super::verify`] asks that too, under a [`super::Policy`] that names
//! the images; only what it returns counts as evidence.
//!
//! A document of another AWS product under the same root is not a Nitro Enclaves document: EC2 instances with NitroTPM get
//! documents of the same shape whose registers the instance itself extends, in a field `nitrotpm_pcrs`. Unknown fields are refused,
//! and `pcrs` must be there.

mod certificate;
mod chain;
mod cose;
mod error;
mod image;
mod payload;
mod root;

pub use chain::CERTIFICATES_MAX;
pub use cose::NITRO_DOCUMENT_BYTES_MAX;
pub use error::{CertificateError, NitroError, NitroField};
pub use image::{
    EXTRA_PCRS_MAX, IMAGES_MAX, NitroImage, NitroImageError, NitroImages, NitroImagesError, Pcr, PcrIndex,
};
pub use payload::{CERTIFICATE_BYTES_MAX, MODULE_ID_BYTES_MAX, NitroDocument, PUBLIC_KEY_BYTES_MAX, USER_BYTES_MAX};
pub use root::NitroRoot;

use pinseal_protocol::ids::UnixSeconds;

/// A genuine document as the hypervisor signed it, if `document` is one at the time `now`.
///
/// Cheap checks come first: a chain that does not begin with `root` costs one hash and no signature check.
///
/// # Errors
/// [`NitroError`], which names the check that failed.
pub fn authenticate(document: &[u8], root: &NitroRoot, now: UnixSeconds) -> Result<NitroDocument, NitroError> {
    let signed = cose::Signed::parse(document)?;
    let (statement, certificates) = payload::parse(signed.payload())?;
    let leaf = chain::verify(&certificates, root, now)?;
    signed.verify(&leaf)?;
    Ok(statement)
}
