//! Booting the enclave from durable state: everything until it serves.

use pinseal_anchor::{AdvanceError, Anchor, AnchorLevel, LoadError};
use pinseal_protocol::ids::{Measurement, Sequence};
use pinseal_protocol::limits::BOOT_HEADERS_MAX;
use pinseal_protocol::tpm::{Authorisation, TpmNonce};
use pinseal_protocol::wire::{Batch, BatchId, Change, FromEnclave, Halt, Measure, ToEnclave, WIRE_VERSION};
use pinseal_store::clock::Clock;
use pinseal_store::deployment::{Deployment, DeploymentError, DeploymentFile};
use pinseal_store::records::{CommitError, Newest, ReadError, Records};

use crate::anchoring::{Advance, advance};
use crate::create::CreateError;
use crate::link::{Link, LinkError};
use crate::pause::Pause;

/// Batches the enclave may commit before it serves: the BOOT entry, and that again if the disk was full.
const BOOT_BATCHES_MAX: u32 = 4;

/// How the enclave introduced itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Hash of its image.
    pub measurement: Measurement,
    /// Its release.
    pub release: String,
    /// Hardening, probed.
    pub hardening: Vec<Measure>,
}

/// Why the enclave does not serve. Nothing was overwritten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// No deployment here: create one.
    #[error("there is no deployment here")]
    NoDeployment,
    /// The sealed root is there, but the database holds nothing of the deployment: restore it.
    #[error("the sealed root is there, but the database is empty")]
    DatabaseMissing,
    /// The database holds a deployment whose sealed root is missing: put it back.
    #[error("the database belongs to a deployment, but its sealed root is missing")]
    RootMissing,
    /// The anchor is of another level than the configuration says.
    #[error("the anchor's level is not the configured one")]
    AnchorLevel,
    /// A change of the configuration is in the log and not finished: finish it with [`crate::change()`].
    #[error("a change of the configuration is in the log and not finished")]
    ChangeUnfinished,
    /// An interrupted creation could not be finished.
    #[error("cannot finish the creation of the deployment")]
    Creation(#[source] CreateError),
    /// The enclave says why it does not serve this state.
    #[error("the enclave halted ({halt:?}): {detail}")]
    Halted {
        /// Why.
        halt: Halt,
        /// For the operator.
        detail: String,
    },
    /// The enclave speaks another version of the protocol, or broke it.
    #[error("the enclave broke the protocol: {0}")]
    Protocol(&'static str),
    /// The conversation failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] DeploymentError),
    /// The database could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The database did not take the entry, or nobody knows whether it did.
    #[error("cannot store the entry")]
    Store(#[source] CommitError),
    /// The database has no room for the entry with the change; certainly nothing was stored.
    #[error("the database did not take the entry with the change")]
    NoRoom(#[source] CommitError),
    /// The anchor could not be read.
    #[error(transparent)]
    Anchor(#[from] LoadError),
    /// The anchor did not advance.
    #[error("cannot advance the anchor")]
    Advance(#[source] AdvanceError),
    /// No thread could be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// What boot leaves behind.
#[derive(Debug)]
pub(crate) struct Booted {
    pub(crate) hello: Hello,
    pub(crate) manifest: Vec<u8>,
    pub(crate) wallets: u64,
    /// Since when enrolment is paused.
    pub(crate) paused: Option<Pause>,
    /// The newest checkpoint, stored and anchored.
    pub(crate) anchored: Newest,
}

/// What boot reads and writes.
pub(crate) struct Durable<'d> {
    pub(crate) deployment: &'d Deployment,
    pub(crate) records: &'d Records,
    pub(crate) anchor: &'d mut dyn Anchor,
    pub(crate) clock: &'d dyn Clock,
    pub(crate) purpose: Purpose<'d>,
}

/// What an enclave is booted for.
pub(crate) enum Purpose<'d> {
    /// It serves.
    Serve,
    /// It puts another configuration into the log, on top of what the anchor holds.
    Change,
    /// The same, in place of whatever the anchor holds.
    Restore,
    /// It judges a restore of this state, the one before a change that wrote no record, and nothing is stored.
    Rehearse(&'d Newest),
}

impl Purpose<'_> {
    /// What the anchor holds is set aside.
    fn replaces(&self) -> bool {
        matches!(self, Self::Restore | Self::Rehearse(_))
    }
}

/// Boots. `configuration` is the canonical encoding.
pub(crate) fn boot(link: &mut Link, configuration: Vec<u8>, mut durable: Durable<'_>) -> Result<Booted, BootError> {
    if crate::change::is_unfinished(durable.deployment, durable.records).unwrap_or(false) {
        return Err(BootError::ChangeUnfinished);
    }
    let outcome = open(link, configuration, &mut durable, None)
        .and_then(|(hello, stored)| serve_until_ready(link, &mut durable, hello, stored));
    last_word(link, outcome)
}

/// Boots an enclave that changes its configuration and ends: the new sealed root.
pub(crate) fn converse_to_change(
    link: &mut Link,
    configuration: Vec<u8>,
    mut durable: Durable<'_>,
    change: Change,
) -> Result<Vec<u8>, BootError> {
    let outcome = open(link, configuration, &mut durable, Some(change))
        .and_then(|(_, stored)| anchor_until_changed(link, &mut durable, stored));
    last_word(link, outcome)
}

/// Has the enclave judge a change, and stores nothing: what it would have stored is forgotten with the conversation.
pub(crate) fn converse_to_rehearse(
    link: &mut Link,
    configuration: Vec<u8>,
    mut durable: Durable<'_>,
    change: Change,
) -> Result<(), BootError> {
    let outcome = open(link, configuration, &mut durable, Some(change)).and_then(|_| match link.receive()? {
        // It has taken passphrase, order and state for what they have to be.
        FromEnclave::Commit(_) | FromEnclave::RollForward { .. } => Ok(()),
        FromEnclave::Halted { halt, detail } => Err(BootError::Halted { halt, detail }),
        _ => Err(BootError::Protocol("unexpected frame in a rehearsal")),
    });
    last_word(link, outcome)
}

/// An enclave that halts while the host still writes closes its end; its last word is already here.
fn last_word<T>(link: &mut Link, outcome: Result<T, BootError>) -> Result<T, BootError> {
    if let Err(BootError::Link(LinkError::Closed | LinkError::Io(_))) = outcome {
        while let Ok(frame) = link.receive() {
            if let FromEnclave::Halted { halt, detail } = frame {
                return Err(BootError::Halted { halt, detail });
            }
        }
    }
    outcome
}

/// Hands over everything that is stored; the greeting, and the newest checkpoint's number.
fn open(
    link: &mut Link,
    configuration: Vec<u8>,
    durable: &mut Durable<'_>,
    change: Option<Change>,
) -> Result<(Hello, Sequence), BootError> {
    let (sealed_root, newest) = load(durable)?;
    // A TPM's index is not replaced, but gone on from.
    let is_replaced = durable.purpose.replaces() && durable.anchor.level() != AnchorLevel::L2;
    let anchored = if is_replaced { newest.note.clone() } else { anchored(durable, &newest)? };
    link.send(&ToEnclave::Boot {
        configuration: configuration.into(),
        sealed_root: sealed_root.into(),
        checkpoint: newest.note.clone().into(),
        frontier: newest.frontier.clone(),
        anchored: anchored.into(),
        time: durable.clock.now(),
        change,
        nonce: durable.anchor.nonce()?,
    })?;
    stream_headers(link, durable.records)?;
    Ok((greeting(link.receive()?)?, newest.checkpoint.sequence))
}

/// The sealed root and the newest checkpoint, after finishing a creation that was interrupted.
fn load(durable: &mut Durable<'_>) -> Result<(Vec<u8>, Newest), BootError> {
    crate::create::finish_creation(durable.deployment, durable.records, durable.anchor).map_err(BootError::Creation)?;
    let newest = match durable.purpose {
        Purpose::Rehearse(before) => Some(before.clone()),
        _ => durable.records.newest()?,
    };
    match (durable.deployment.read(DeploymentFile::Root)?, newest) {
        (Some(root), Some(newest)) => Ok((root, newest)),
        (Some(_), None) => Err(BootError::DatabaseMissing),
        (None, Some(_)) => Err(BootError::RootMissing),
        (None, None) => Err(BootError::NoDeployment),
    }
}

/// What the anchor holds, empty for nothing. Memory forgets with every process and claims nothing, so it is told. Witnesses that hold nothing of a
/// log that has begun are none of this deployment's, for the time being: nothing that a boot could be judged by.
fn anchored(durable: &mut Durable<'_>, newest: &Newest) -> Result<Vec<u8>, BootError> {
    let held = durable.anchor.load()?;
    if held.is_none() && durable.anchor.level() == AnchorLevel::L4 && newest.checkpoint.sequence > Sequence(0) {
        return Err(BootError::Anchor(LoadError::Unavailable(pinseal_anchor::nothing_held())));
    }
    if held.is_none() && durable.anchor.level() == AnchorLevel::L0 {
        advance(durable.anchor, &[], &newest.note).map_err(BootError::Advance)?;
        return Ok(newest.note.clone());
    }
    Ok(held.unwrap_or_default())
}

fn stream_headers(link: &mut Link, records: &Records) -> Result<(), BootError> {
    let mut after = None;
    loop {
        let headers = records.headers(after, BOOT_HEADERS_MAX)?;
        let Some(last) = headers.last() else { break };
        after = Some(last.wallet);
        link.send(&ToEnclave::Headers { headers })?;
    }
    Ok(link.send(&ToEnclave::HeadersEnd)?)
}

fn greeting(frame: FromEnclave) -> Result<Hello, BootError> {
    match frame {
        FromEnclave::Hello { version: WIRE_VERSION, measurement, release, hardening } => {
            Ok(Hello { measurement, release, hardening })
        }
        FromEnclave::Hello { .. } => Err(BootError::Protocol("another version")),
        FromEnclave::Halted { halt, detail } => Err(BootError::Halted { halt, detail }),
        _ => Err(BootError::Protocol("first frame is not hello")),
    }
}

fn serve_until_ready(
    link: &mut Link,
    durable: &mut Durable<'_>,
    hello: Hello,
    stored: Sequence,
) -> Result<Booted, BootError> {
    let mut batches = 0;
    loop {
        match link.receive()? {
            FromEnclave::Ready { manifest, wallets } => {
                let anchored = durable.records.newest()?.ok_or(BootError::DatabaseMissing)?;
                let paused = Pause::standing(durable.records)?;
                return Ok(Booted { hello, manifest: manifest.into(), wallets, paused, anchored });
            }
            frame => answer(link, durable, frame, stored, &mut batches)?,
        }
    }
}

fn anchor_until_changed(link: &mut Link, durable: &mut Durable<'_>, stored: Sequence) -> Result<Vec<u8>, BootError> {
    let mut batches = 0;
    loop {
        match link.receive()? {
            FromEnclave::Changed { sealed_root } => return Ok(sealed_root.into()),
            frame => answer(link, durable, frame, stored, &mut batches)?,
        }
    }
}

/// What the enclave wants stored or anchored before it is done with booting.
fn answer(
    link: &mut Link,
    durable: &mut Durable<'_>,
    frame: FromEnclave,
    stored: Sequence,
    batches: &mut u32,
) -> Result<(), BootError> {
    match frame {
        FromEnclave::RollForward { previous, checkpoint, authorisation } => {
            let (receipt, nonce) = advanced(durable, &previous, &checkpoint, authorisation)?;
            Ok(link.send(&ToEnclave::Committed { batch: BatchId(0), receipt: receipt.into(), nonce })?)
        }
        FromEnclave::Commit(batch) => {
            *batches += 1;
            if *batches > BOOT_BATCHES_MAX || !batch.records.is_empty() {
                return Err(BootError::Protocol("more than a boot entry before ready"));
            }
            let answer = commit(durable, batch, stored)?;
            Ok(link.send(&answer)?)
        }
        FromEnclave::Halted { halt, detail } => Err(BootError::Halted { halt, detail }),
        _ => Err(BootError::Protocol("unexpected frame before ready")),
    }
}

/// Stores and anchors the batch with the one entry a boot begins with.
fn commit(durable: &mut Durable<'_>, batch: Batch, stored: Sequence) -> Result<ToEnclave, BootError> {
    let (id, previous, next) = (batch.batch, batch.previous.clone(), batch.checkpoint.clone());
    let authorisation = batch.authorisation;
    crate::fault::point("host.before_commit");
    // The enclave commits only after what was stored before is anchored, rolled forward if need be.
    match durable.records.commit(batch, Vec::new(), stored, durable.clock.now()) {
        Ok(()) => {}
        // Who boots is tried again; a change is the operators' to order once more.
        Err(CommitError::NotStored(_)) if matches!(durable.purpose, Purpose::Serve) => {
            return Ok(ToEnclave::Aborted { batch: id });
        }
        Err(error @ CommitError::NotStored(_)) => return Err(BootError::NoRoom(error)),
        Err(error) => return Err(BootError::Store(error)),
    }
    crate::fault::point("host.after_commit");
    let (receipt, nonce) = advanced(durable, &previous, &next, authorisation)?;
    crate::fault::point("host.after_anchor");
    Ok(ToEnclave::Committed { batch: id, receipt: receipt.into(), nonce })
}

/// The receipt, or what the anchor holds instead: the enclave judges. And a session for what comes next.
fn advanced(
    durable: &mut Durable<'_>,
    previous: &[u8],
    next: &[u8],
    authorisation: Option<Authorisation>,
) -> Result<(Vec<u8>, Option<TpmNonce>), BootError> {
    durable.anchor.authorise(authorisation);
    // A checkpoint names what of a TPM's it goes in on top of, and that need not be what the one before it left: a new index, or a restore.
    let is_asked = durable.purpose.replaces() || durable.anchor.level() == AnchorLevel::L2;
    let held = if is_asked { Some(durable.anchor.load()?.unwrap_or_default()) } else { None };
    match advance(durable.anchor, held.as_deref().unwrap_or(previous), next).map_err(BootError::Advance)? {
        Advance::Done(receipt) => Ok((receipt, durable.anchor.nonce()?)),
        Advance::Lost(held) => Ok((held, None)),
    }
}
