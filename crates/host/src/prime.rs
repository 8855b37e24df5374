//! Having the enclave write another TPM's index for the first time, so that operators can order to go on from what it holds then.
//!
//! A crash leaves an index that was never written, which another attempt defines anew, or one that was, which is what is wanted.

use std::os::unix::net::UnixStream;

use pinseal_anchor::{Anchor, LoadError};
use pinseal_protocol::tpm::Tpm;
use pinseal_protocol::wire::{FromEnclave, Halt, ToEnclave, WIRE_VERSION};
use pinseal_store::deployment::{Deployment, DeploymentError, DeploymentFile};

use crate::link::{Link, LinkError};

/// Why the index was not written. Nothing of the deployment was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrimeError {
    /// There is no deployment here.
    #[error("there is no deployment here")]
    NoDeployment,
    /// The enclave refused.
    #[error("the enclave halted ({halt:?}): {detail}")]
    Halted {
        /// Why.
        halt: Halt,
        /// For the operator.
        detail: String,
    },
    /// The enclave broke the conversation.
    #[error("the enclave broke the protocol")]
    Protocol,
    /// The conversation failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] DeploymentError),
    /// The TPM did not do its part.
    #[error(transparent)]
    Anchor(#[from] LoadError),
}

/// Has `anchor`, an index of `tpm`, written for the first time over a fresh connection to the enclave. One that holds something already is left as
/// it is.
///
/// # Errors
/// [`PrimeError`].
pub fn prime(stream: UnixStream, deployment: &Deployment, tpm: Tpm, anchor: &mut dyn Anchor) -> Result<(), PrimeError> {
    if anchor.load()?.is_some() {
        return Ok(());
    }
    let (configuration, sealed_root) =
        match (deployment.read(DeploymentFile::Configuration)?, deployment.read(DeploymentFile::Root)?) {
            (Some(configuration), Some(root)) => (configuration, root),
            _ => return Err(PrimeError::NoDeployment),
        };
    let mut link = Link::new(stream)?;
    link.send(&ToEnclave::Prime { configuration: configuration.into(), sealed_root: sealed_root.into(), tpm })?;
    let mut greeted = false;
    loop {
        match link.receive()? {
            FromEnclave::Hello { version: WIRE_VERSION, .. } if !greeted => greeted = true,
            FromEnclave::Define { writer } if greeted => {
                crate::fault::point("prime.before_define");
                anchor.define(&writer)?;
                crate::fault::point("prime.after_define");
                let nonce = anchor.nonce()?.ok_or(PrimeError::Protocol)?;
                link.send(&ToEnclave::Defined { nonce })?;
            }
            FromEnclave::Primed { value, authorisation } if greeted => {
                link.close();
                crate::fault::point("prime.before_extend");
                anchor.prime(&value, &authorisation)?;
                crate::fault::point("prime.after_extend");
                return Ok(());
            }
            FromEnclave::Halted { halt, detail } => return Err(PrimeError::Halted { halt, detail }),
            _ => return Err(PrimeError::Protocol),
        }
    }
}
