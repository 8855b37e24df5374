//! Which enclave images a client trusts, by their registers.
//!
//! A trusted image names PCR 0 (the image file), PCR 1 (kernel and boot ramdisk) and PCR 2 (the application); there is no image
//! without all three, and none of zeros.

use std::collections::BTreeMap;

use pinseal_protocol::ids::Measurement;
use pinseal_protocol::kdf;

use super::error::NitroError;
use super::payload::NitroDocument;
use crate::verify::VerifyError;

/// Most images a client trusts at once: a few releases and their patches.
pub const IMAGES_MAX: usize = 64;
/// Most further registers of one image: all the hypervisor has.
pub const EXTRA_PCRS_MAX: usize = 29;

/// Number of a register, 0 to 31.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PcrIndex(u8);

impl PcrIndex {
    /// How many registers there are.
    pub const COUNT: u64 = 32;
    /// The registers every image is known by.
    pub const MANDATORY: [Self; 3] = [Self(0), Self(1), Self(2)];

    /// A register's number, if there is such a register.
    pub fn new(number: u64) -> Option<Self> {
        u8::try_from(number).ok().filter(|_| number < Self::COUNT).map(Self)
    }

    /// The number.
    pub const fn value(self) -> u8 {
        self.0
    }
}

impl core::fmt::Display for PcrIndex {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// A register's value: SHA-384, as `nitro-cli build-enclave` prints it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pcr([u8; 48]);

impl Pcr {
    /// A value.
    pub const fn new(bytes: [u8; 48]) -> Self {
        Self(bytes)
    }

    /// From 96 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 48];
        if text.len() != 2 * bytes.len() {
            return None;
        }
        for (pair, byte) in text.as_bytes().chunks_exact(2).zip(&mut bytes) {
            let digit = |at: usize| pair.get(at).and_then(|digit| char::from(*digit).to_digit(16));
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
        }
        Some(Self(bytes))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 48] {
        &self.0
    }
}

impl core::fmt::Display for Pcr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl core::fmt::Debug for Pcr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Pcr({self})")
    }
}

/// One trusted image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NitroImage {
    mandatory: [Pcr; 3],
    extra: BTreeMap<PcrIndex, Pcr>,
}

impl NitroImage {
    /// The image with these registers.
    ///
    /// # Errors
    /// [`NitroImageError::Zero`]: these are the registers of every image in debug mode.
    pub fn new(pcr0: Pcr, pcr1: Pcr, pcr2: Pcr) -> Result<Self, NitroImageError> {
        let mandatory = [pcr0, pcr1, pcr2];
        match PcrIndex::MANDATORY.into_iter().zip(&mandatory).find(|(_, value)| is_zero(value.as_bytes())) {
            Some((index, _)) => Err(NitroImageError::Zero(index)),
            None => Ok(Self { mandatory, extra: BTreeMap::new() }),
        }
    }

    /// The same image with one more register that must match, like PCR 3 (the IAM role) or 8 (the signing certificate).
    ///
    /// # Errors
    /// [`NitroImageError`].
    pub fn and(mut self, index: PcrIndex, value: Pcr) -> Result<Self, NitroImageError> {
        if is_zero(value.as_bytes()) {
            return Err(NitroImageError::Zero(index));
        }
        if PcrIndex::MANDATORY.contains(&index) || self.extra.insert(index, value).is_some() {
            return Err(NitroImageError::Twice(index));
        }
        Ok(self)
    }

    /// One name for the image in Pinseal's own terms: a hash of PCR 0, 1 and 2. For display and logs; trust is decided by the
    /// registers.
    pub fn measurement(&self) -> Measurement {
        let [pcr0, pcr1, pcr2] = &self.mandatory;
        let parts: [&[u8]; 3] = [pcr0.as_bytes(), pcr1.as_bytes(), pcr2.as_bytes()];
        Measurement(kdf::hash("pinseal nitro measurement v1", &parts).0)
    }

    /// Every register that must match.
    pub fn pcrs(&self) -> impl Iterator<Item = (PcrIndex, &Pcr)> {
        let extra = self.extra.iter().map(|(index, value)| (*index, value));
        PcrIndex::MANDATORY.into_iter().zip(&self.mandatory).chain(extra)
    }

    fn matches(&self, document: &NitroDocument) -> bool {
        self.pcrs().all(|(index, value)| document.pcr(index) == Some(value.as_bytes()))
    }
}

fn is_zero(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte == 0)
}

/// At least one and at most [`IMAGES_MAX`] trusted images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NitroImages(Vec<NitroImage>);

impl NitroImages {
    /// A list of trusted images.
    ///
    /// # Errors
    /// [`NitroImagesError`]; the caller's configuration is at fault.
    pub fn new(images: Vec<NitroImage>) -> Result<Self, NitroImagesError> {
        match images.len() {
            0 => Err(NitroImagesError::Empty),
            1..=IMAGES_MAX => Ok(Self(images)),
            _ => Err(NitroImagesError::TooMany),
        }
    }

    /// The trusted image that the document names.
    ///
    /// # Errors
    /// [`NitroError::PcrMissing`], [`NitroError::DebugMode`], or [`VerifyError::Measurement`] if it is none of these.
    pub fn find(&self, document: &NitroDocument) -> Result<&NitroImage, VerifyError> {
        for index in PcrIndex::MANDATORY {
            let value = document.pcr(index).ok_or(NitroError::PcrMissing(index))?;
            if is_zero(value) {
                return Err(NitroError::DebugMode(index).into());
            }
        }
        self.0.iter().find(|image| image.matches(document)).ok_or(VerifyError::Measurement)
    }

    /// The images.
    pub fn iter(&self) -> impl Iterator<Item = &NitroImage> {
        self.0.iter()
    }
}

/// Why registers are no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NitroImageError {
    /// A register of zeros: debug mode, or one that is not in use. Name the values of a production image.
    #[error("PCR {0} is all zeros, which is debug mode or a register not in use")]
    Zero(PcrIndex),
    /// A register is named twice.
    #[error("PCR {0} is named twice")]
    Twice(PcrIndex),
}

/// Why images cannot be a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NitroImagesError {
    /// Nothing would ever be accepted: name the released images.
    #[error("no image is listed")]
    Empty,
    /// Drop retired releases.
    #[error("more than {IMAGES_MAX} images are listed")]
    TooMany,
}
