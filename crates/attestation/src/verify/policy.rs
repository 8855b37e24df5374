//! What a client trusts. Every constructor names what it trusts; none trusts everything by default.

use pinseal_protocol::ids::Measurement;

/// Most images a client trusts at once: a few releases and their patches.
pub const MEASUREMENTS_MAX: usize = 64;

/// Which evidence a client accepts.
#[derive(Debug, Clone)]
pub struct Policy(Trust);

#[derive(Debug, Clone)]
enum Trust {
    Production(MeasurementList),
    Development(DevelopmentMeasurements),
}

impl Policy {
    /// Hardware evidence of one of the released images, nothing else.
    pub fn production(measurements: MeasurementList) -> Self {
        Self(Trust::Production(measurements))
    }

    /// Software evidence too. The caller says in so many words that it knows what this is worth.
    pub fn development(_: DevelopmentMode, measurements: DevelopmentMeasurements) -> Self {
        Self(Trust::Development(measurements))
    }

    /// Does this policy accept evidence that proves nothing about hardware?
    pub(super) fn accepts_software(&self) -> bool {
        matches!(self.0, Trust::Development(_))
    }

    /// Is this image trusted?
    pub fn trusts(&self, measurement: &Measurement) -> bool {
        match &self.0 {
            Trust::Production(list) | Trust::Development(DevelopmentMeasurements::Listed(list)) => {
                list.contains(measurement)
            }
            Trust::Development(DevelopmentMeasurements::Any) => true,
        }
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
    /// Only these, as in production.
    Listed(MeasurementList),
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
