//! What a client trusts. Every constructor names what it trusts; none trusts everything by default.

use pinseal_protocol::ids::Measurement;

use super::nitro::{NitroImages, NitroRoot};

/// Most images a client trusts at once: a few releases and their patches.
pub const MEASUREMENTS_MAX: usize = 64;

/// Which evidence a client accepts: one kind, and of that the images named.
#[derive(Debug, Clone)]
pub struct Policy(Trust);

#[derive(Debug, Clone)]
pub(super) enum Trust {
    Nitro(NitroPolicy),
    Development(DevelopmentMeasurements),
}

#[derive(Debug, Clone)]
pub(super) struct NitroPolicy {
    pub(super) images: NitroImages,
    pub(super) root: NitroRoot,
}

impl Policy {
    /// AWS Nitro evidence of one of these images, under AWS's root, and nothing else.
    pub fn nitro(images: NitroImages) -> Self {
        Self(Trust::Nitro(NitroPolicy { images, root: NitroRoot::AWS_G1 }))
    }

    /// As [`Policy::nitro`] under a root made for a test.
    #[cfg(any(test, feature = "test-root"))]
    pub fn nitro_under_test_root(images: NitroImages, root: NitroRoot) -> Self {
        Self(Trust::Nitro(NitroPolicy { images, root }))
    }

    /// Software evidence and nothing else. The caller says in so many words that it knows what this is worth.
    pub fn development(_: DevelopmentMode, measurements: DevelopmentMeasurements) -> Self {
        Self(Trust::Development(measurements))
    }

    pub(super) const fn trust(&self) -> &Trust {
        &self.0
    }
}

/// Permission to accept evidence without worth.
#[derive(Debug, Clone, Copy)]
pub struct DevelopmentMode(());

impl DevelopmentMode {
    /// To be called where a person asked for development mode, never as a fallback.
    pub fn i_understand_this_proves_nothing() -> Self {
        Self(())
    }
}

/// Which images a client trusts in development mode.
#[derive(Debug, Clone)]
pub enum DevelopmentMeasurements {
    /// Whatever was built last.
    Any,
    /// Only these.
    Listed(MeasurementList),
}

impl DevelopmentMeasurements {
    pub(super) fn trust(&self, measurement: &Measurement) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(list) => list.contains(measurement),
        }
    }
}

/// At least one and at most [`MEASUREMENTS_MAX`] trusted images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasurementList(Vec<Measurement>);

impl MeasurementList {
    /// A list of trusted images.
    ///
    /// # Errors
    /// [`MeasurementListError`]; the caller's configuration is at fault.
    pub fn new(measurements: Vec<Measurement>) -> Result<Self, MeasurementListError> {
        match measurements.len() {
            0 => Err(MeasurementListError::Empty),
            1..=MEASUREMENTS_MAX => Ok(Self(measurements)),
            _ => Err(MeasurementListError::TooMany),
        }
    }

    /// Is this image on the list?
    pub fn contains(&self, measurement: &Measurement) -> bool {
        self.0.contains(measurement)
    }
}

/// Why a list of images cannot be a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeasurementListError {
    /// Nothing would ever be accepted: name the released images.
    #[error("no measurement is listed")]
    Empty,
    /// Drop retired releases.
    #[error("more than {MEASUREMENTS_MAX} measurements are listed")]
    TooMany,
}
