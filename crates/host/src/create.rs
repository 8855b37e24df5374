//! Making a new deployment so that a crash at any point is resumed or cleanly refused.
//!
//! Order: configuration, genesis note, the log's verifier key, sealed root (each a file, on disk before the next step), genesis in
//! the database, genesis in the anchor, removal of the genesis note. The appearance of the sealed root is what makes the deployment:
//! before it nothing durable depends on the enclave's answer and a new attempt starts over; after it [`finish_creation`]
//! completes from the note alone, without the enclave. Once the note is gone the creation is complete, and an empty database
//! or anchor is a loss, never a fresh start.

use std::os::unix::net::UnixStream;

use pinseal_anchor::{AdvanceError, Anchor, LoadError};
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::log_verifier_key;
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::note::VerifierKey;
use pinseal_protocol::wire::{BatchId, FromEnclave, Halt, ToEnclave, WIRE_VERSION};
use pinseal_store::clock::Clock;
use pinseal_store::deployment::{Deployment, DeploymentError, DeploymentFile};
use pinseal_store::records::{CommitError, ReadError, Records};

use crate::anchoring::{Advance, advance};
use crate::link::{Link, LinkError};

/// Why no deployment was made. Nothing that existed was overwritten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is a complete deployment here already.
    #[error("a deployment exists here already")]
    Exists,
    /// There is a configuration here already, and it is another one.
    #[error("another configuration lies here already")]
    OtherConfiguration,
    /// The configuration file does not decode: restore it, the root does not unseal under another one.
    #[error("the configuration file is damaged")]
    DamagedConfiguration,
    /// The log's verifier key does not read: put `log.vkey` back from a backup, or write what `pinseal evidence` shows.
    #[error("the file with the log's verifier key is damaged")]
    DamagedLogKey,
    /// Database or anchor belong to a deployment whose sealed root is missing: put the root back.
    #[error("the database or the anchor belongs to a deployment, but its sealed root is missing")]
    RootMissing,
    /// The database or the anchor belongs to another deployment.
    #[error("the {0} belongs to another deployment")]
    Foreign(&'static str),
    /// The anchor is of another level than the configuration says.
    #[error("the anchor's level is not the configured one")]
    AnchorLevel,
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
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] DeploymentError),
    /// The database could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The database did not take the genesis; run again to resume.
    #[error("cannot store the genesis checkpoint")]
    Store(#[source] CommitError),
    /// The anchor could not be read.
    #[error(transparent)]
    Anchor(#[from] LoadError),
    /// The anchor did not take the genesis; run again to resume.
    #[error("cannot anchor the genesis checkpoint")]
    Advance(#[source] AdvanceError),
}

/// Makes a deployment over a fresh connection to the enclave, or finishes one that was interrupted. Boot it in a new
/// connection afterwards.
///
/// # Errors
/// [`CreateError`].
pub fn create(
    stream: UnixStream,
    deployment: &Deployment,
    records: &Records,
    anchor: &mut dyn Anchor,
    configuration: &Configuration,
    clock: &dyn Clock,
) -> Result<(), CreateError> {
    if anchor.level() != configuration.anchor {
        return Err(CreateError::AnchorLevel);
    }
    let encoded = cbor::to_vec(configuration);
    match deployment.read(DeploymentFile::Configuration)? {
        Some(existing) if existing != encoded => return Err(CreateError::OtherConfiguration),
        Some(_) => {}
        None => deployment.write_new(DeploymentFile::Configuration, &encoded)?,
    }
    if deployment.read(DeploymentFile::Root)?.is_some() {
        // At L4 the next boot finishes what is unfinished, see below.
        let finished = configuration.anchor != AnchorLevel::L4 && finish_creation(deployment, records, anchor)?;
        return if finished { Ok(()) } else { Err(CreateError::Exists) };
    }
    let has_lost_its_root =
        deployment.read(DeploymentFile::LogKey)?.is_some() && deployment.read(DeploymentFile::Genesis)?.is_none();
    if has_lost_its_root || records.newest()?.is_some() || anchor.load()?.is_some() {
        return Err(CreateError::RootMissing);
    }
    // Left over from an attempt that never got as far as the root.
    deployment.remove_unfinished()?;
    let made = ask(stream, encoded, anchor, clock)?;
    deployment.write_new(DeploymentFile::Genesis, &made.genesis)?;
    let log = log_verifier_key(&configuration.deployment, 0, &made.log);
    deployment.write_new(DeploymentFile::LogKey, log.to_string().as_bytes())?;
    deployment.write_new(DeploymentFile::Root, &made.sealed_root)?;
    crate::fault::point("create.after_root");
    // Witnesses cosign nothing of a log they have not been told of; the first boot finishes the creation once they have.
    if configuration.anchor != AnchorLevel::L4 {
        finish_creation(deployment, records, anchor)?;
    }
    Ok(())
}

/// The log's verifier key, or `None` before the deployment has a root.
///
/// # Errors
/// [`CreateError::File`], or [`CreateError::DamagedLogKey`].
pub fn log_key(deployment: &Deployment) -> Result<Option<VerifierKey>, CreateError> {
    let Some(text) = deployment.read(DeploymentFile::LogKey)? else { return Ok(None) };
    let read = core::str::from_utf8(&text).ok().and_then(|text| text.trim_end().parse().ok());
    read.map(Some).ok_or(CreateError::DamagedLogKey)
}

/// What the enclave made.
struct Made {
    sealed_root: Vec<u8>,
    genesis: Vec<u8>,
    log: Ed25519Public,
}

/// The configuration of the deployment here, or `None` before one was set up.
///
/// # Errors
/// [`CreateError::File`], or [`CreateError::DamagedConfiguration`].
pub fn configuration(deployment: &Deployment) -> Result<Option<Configuration>, CreateError> {
    let Some(encoded) = deployment.read(DeploymentFile::Configuration)? else { return Ok(None) };
    cbor::from_slice(&encoded).map(Some).map_err(|_| CreateError::DamagedConfiguration)
}

/// Completes a creation that got as far as the sealed root; false if there is nothing to complete. [`crate::Trunk::start`]
/// calls it too.
///
/// # Errors
/// [`CreateError`].
pub fn finish_creation(
    deployment: &Deployment,
    records: &Records,
    anchor: &mut dyn Anchor,
) -> Result<bool, CreateError> {
    let (Some(_), Some(genesis)) = (deployment.read(DeploymentFile::Root)?, deployment.read(DeploymentFile::Genesis)?)
    else {
        return Ok(false);
    };
    records.store_genesis(&genesis).map_err(|error| match error {
        CommitError::Discontinuous => CreateError::Foreign("database"),
        error => CreateError::Store(error),
    })?;
    crate::fault::point("create.after_genesis");
    match advance(anchor, &[], &genesis).map_err(CreateError::Advance)? {
        // What makes a receipt is the enclave's to judge; all of them begin with the note they are for.
        Advance::Done(receipt) if receipt.starts_with(&genesis) => {}
        Advance::Done(_) | Advance::Lost(_) => return Err(CreateError::Foreign("anchor")),
    }
    deployment.remove_genesis()?;
    Ok(true)
}

/// Has the enclave make a root.
fn ask(
    stream: UnixStream,
    configuration: Vec<u8>,
    anchor: &mut dyn Anchor,
    clock: &dyn Clock,
) -> Result<Made, CreateError> {
    let mut link = Link::new(stream)?;
    link.send(&ToEnclave::Create { configuration: configuration.into(), time: clock.now() })?;
    let mut greeted = false;
    loop {
        match link.receive()? {
            FromEnclave::Hello { version: WIRE_VERSION, .. } if !greeted => greeted = true,
            FromEnclave::Created { sealed_root, genesis, log } if greeted => {
                link.close();
                return Ok(Made { sealed_root: sealed_root.into(), genesis: genesis.into(), log });
            }
            FromEnclave::Define { writer } if greeted => {
                anchor.define(&writer)?;
                let nonce = anchor.nonce()?.ok_or(CreateError::AnchorLevel)?;
                link.send(&ToEnclave::Defined { nonce })?;
            }
            FromEnclave::RollForward { previous, checkpoint, authorisation } if greeted => {
                anchor.authorise(authorisation);
                let (Advance::Done(receipt) | Advance::Lost(receipt)) =
                    advance(anchor, &previous, &checkpoint).map_err(CreateError::Advance)?;
                link.send(&ToEnclave::Committed { batch: BatchId(0), receipt: receipt.into(), nonce: None })?;
            }
            FromEnclave::Halted { halt, detail } => return Err(CreateError::Halted { halt, detail }),
            _ => return Err(CreateError::Protocol),
        }
    }
}
