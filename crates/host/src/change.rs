//! Changing the sealed configuration so that a crash at any point is resumed, or leaves everything as it was.
//!
//! Order: the new configuration and the operators' order (each a file), the new anchor made to hold the newest checkpoint, the entry with
//! the change in the database and in the old anchor, the new root (a file), the new configuration in the old one's place, the new root in
//! the old one's place. A restore is one such change; its entry is anchored where the new configuration says. That enrolment goes on
//! is another, which may leave the configuration as it is. The entry in the log is what makes the change: before it nothing has happened, after it nothing boots under the old
//! root any more, and [`change`] over a fresh connection finishes from the entry. Once the new root is on disk [`finish_change`] completes
//! without the enclave.

use std::os::unix::net::UnixStream;

use pinseal_anchor::{AdvanceError, Anchor, LoadError};
use pinseal_protocol::cbor::{self, CborError};
use pinseal_protocol::checkpoint::{Checkpoint, log_of, log_verifier_key};
use pinseal_protocol::configuration::{AnchorLevel, Configuration, SuccessionError};
use pinseal_protocol::ids::{Hash32, Term};
use pinseal_protocol::log::Entry;
use pinseal_protocol::order::{Order, SignedOrder, root_hash};
use pinseal_protocol::wire::{Change, ChangeStage};
use pinseal_store::clock::Clock;
use pinseal_store::deployment::{Deployment, DeploymentError, DeploymentFile};
use pinseal_store::records::{CommitError, Newest, ReadError, Records};

use crate::anchoring::{Advance, advance};
use crate::boot::{BootError, Durable, Purpose, converse_to_change, converse_to_rehearse};
use crate::link::Link;

/// Why the configuration was not changed. What the log has already can be finished by another attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Nobody ordered one.
    #[error("no change of the configuration was ordered here")]
    NotOrdered,
    /// There is no deployment here.
    #[error("there is no deployment here")]
    NoDeployment,
    /// A change is in the log and not finished: finish it first.
    #[error("an earlier change is in the log and not finished")]
    Unfinished,
    /// The new configuration may not follow.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    /// A file of the change does not decode: order it again.
    #[error("{0} is damaged")]
    Damaged(&'static str, #[source] CborError),
    /// The database is not what the anchor holds: nothing is shown to new witnesses before it is.
    #[error("the database is not at what the anchor holds; nothing was changed")]
    NotNewest,
    /// The witnesses in force do not cosign the newest checkpoint once more, so they would not cosign the change either; nothing was changed.
    #[error("the anchor in force does not take the newest checkpoint once more; nothing was changed")]
    Advance(#[source] AdvanceError),
    /// The new anchor could not be read; nothing was changed.
    #[error("the new anchor cannot be read; nothing was changed")]
    NextAnchor(#[source] LoadError),
    /// The new anchor does not hold the newest checkpoint; nothing was changed.
    #[error("the new anchor does not take the newest checkpoint; nothing was changed")]
    NextAdvance(#[source] AdvanceError),
    /// The new anchor holds another history; nothing was changed.
    #[error("the new anchor holds another history; nothing was changed")]
    NextForeign,
    /// The anchor that is to hold a restore holds one of that number or a later one already: put the newest database back, or order the
    /// restore anew, under a higher number.
    #[error("the anchor holds restore {0} already, and this is not its newest state; nothing was overwritten")]
    RestoredSince(u32),
    /// The conversation with the enclave ended otherwise.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] DeploymentError),
    /// The database could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An earlier change could not be taken out of the database.
    #[error(transparent)]
    Undo(#[from] CommitError),
}

/// A change that was ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// The configuration that is to follow.
    pub next: Configuration,
    order: SignedOrder,
    /// [`Order::hash`].
    name: Hash32,
    /// The restore that it makes, if it makes an older state the state again.
    pub restores_to: Option<u32>,
    /// Of its entry, where that is the newest in the log.
    term: Option<Term>,
}

impl Ordered {
    /// True if its entry is the newest in the log: only finishing it leads on.
    pub const fn is_logged(&self) -> bool {
        self.term.is_some()
    }

    /// Restores after it, given those before.
    pub fn restores(&self, before: u32) -> u32 {
        self.restores_to.unwrap_or(before)
    }
}

/// What becomes of an earlier change that is in the log and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// It has to be finished first.
    Stays,
    /// It is taken out of the log, which is as it was before: only a restore goes on from there, since the anchor may hold it.
    GivenUp,
}

/// Puts an order down; [`change`] carries it out. One that was put down before and is not in the log is replaced.
///
/// # Errors
/// [`ChangeError`]; nothing was changed then, but for an earlier change that is given up.
pub fn order_change(
    deployment: &Deployment,
    records: &Records,
    next: &Configuration,
    order: &SignedOrder,
    earlier: Earlier,
) -> Result<(), ChangeError> {
    if deployment.read(DeploymentFile::NextRoot)?.is_some() {
        return Err(ChangeError::Unfinished);
    }
    let Order { restores, resumes, .. } = read_order(order)?;
    match in_force(deployment)?.check_succession(next) {
        Err(SuccessionError::Same) if restores.is_some() || resumes => {}
        Err(SuccessionError::Base) if restores.is_some() => {}
        checked => checked?,
    }
    match earlier {
        Earlier::Stays if is_unfinished(deployment, records)? => return Err(ChangeError::Unfinished),
        Earlier::Stays => {}
        Earlier::GivenUp => {
            // First out of the log: an order that is not in it is dropped by every start, one that is in it and not beside it by none.
            let (change, _) = given_up(records)?.filter(|_| restores.is_some()).ok_or(ChangeError::Unfinished)?;
            records.undo_change(&change.checkpoint)?;
            crate::fault::point("change.given_up");
        }
    }
    deployment.withdraw_change()?;
    if let Some(restores) = restores {
        let log = crate::create::log_key(deployment).ok().flatten().ok_or(ChangeError::NoDeployment)?;
        let log = log_verifier_key(&next.deployment, restores, log.key());
        deployment.write_new(DeploymentFile::NextLogKey, log.to_string().as_bytes())?;
    }
    deployment.write_new(DeploymentFile::NextConfiguration, &cbor::to_vec(next))?;
    Ok(deployment.write_new(DeploymentFile::Order, &cbor::to_vec(order))?)
}

/// The change that was ordered here and is not finished.
///
/// # Errors
/// [`ChangeError`].
pub fn ordered(deployment: &Deployment, records: &Records) -> Result<Option<Ordered>, ChangeError> {
    ordered_beside(deployment, newest_entry(records)?.as_deref())
}

/// The same, of a database whose log has this newest entry. One that is damaged, where that entry is no change, is as good as none: it is not in the log.
///
/// # Errors
/// [`ChangeError`].
pub fn ordered_beside(deployment: &Deployment, newest_entry: Option<&[u8]>) -> Result<Option<Ordered>, ChangeError> {
    let entry = newest_entry.and_then(|entry| cbor::from_slice(entry).ok());
    let found = match lying_order(deployment) {
        Err(ChangeError::Damaged(..)) if !matches!(entry, Some(Entry::Configured { .. })) => None,
        found => found?,
    };
    let Some((next, order, content)) = found else { return Ok(None) };
    let term = match entry {
        Some(Entry::Configured { term, order, .. }) if order == content.hash() => Some(term),
        _ => None,
    };
    Ok(Some(Ordered { next, order, name: content.hash(), restores_to: content.restores, term }))
}

/// Configuration and order as they lie there, if both do.
fn lying_order(deployment: &Deployment) -> Result<Option<(Configuration, SignedOrder, Order)>, ChangeError> {
    let order = read(deployment, DeploymentFile::Order, cbor::from_slice::<SignedOrder>)?;
    let (Some(next), Some(order)) = (next_configuration(deployment)?, order) else { return Ok(None) };
    let content = read_order(&order)?;
    Ok(Some((next, order, content)))
}

/// Whether the change that is this newest entry of the log is in force here, as far as configuration and log key tell: `None` where the entry is no change,
/// left no trace in them, or they are of another time. For what operators are told; the enclave alone knows for sure.
///
/// # Errors
/// [`ChangeError::NoDeployment`].
pub fn is_in_force(deployment: &Deployment, newest_entry: Option<&[u8]>) -> Result<Option<bool>, ChangeError> {
    let Some(Entry::Configured { configuration, previous, restores, .. }) =
        newest_entry.and_then(|entry| cbor::from_slice(entry).ok())
    else {
        return Ok(None);
    };
    let here = in_force(deployment)?.hash();
    if configuration != previous {
        return Ok([configuration, previous].contains(&here).then_some(here == configuration));
    }
    // A restore gives the log another name.
    let log = crate::create::log_key(deployment).ok().flatten().and_then(|key| log_of(key.name()));
    Ok(log.is_some_and(|(_, number)| number < restores).then_some(false))
}

/// What a restore that gives a change up takes out of the log, and what it goes on from: the newest checkpoint, where the newest entry is a change, and the
/// one before. Whether that change is finished only the enclave knows for sure, see [`rehearse`]: the order for it may be damaged or gone.
///
/// # Errors
/// [`ReadError`].
pub fn given_up(records: &Records) -> Result<Option<(Newest, Newest)>, ReadError> {
    let entry = newest_entry(records)?.and_then(|entry| cbor::from_slice(&entry).ok());
    let is_change = matches!(entry, Some(Entry::Configured { .. }));
    Ok(records.last_step()?.filter(|_| is_change))
}

/// True if a change is in the log and not finished: nothing boots before it is.
///
/// # Errors
/// [`ChangeError`].
pub fn is_unfinished(deployment: &Deployment, records: &Records) -> Result<bool, ChangeError> {
    Ok(ordered(deployment, records)?.is_some_and(|ordered| ordered.is_logged()))
}

/// The configuration in force.
fn in_force(deployment: &Deployment) -> Result<Configuration, ChangeError> {
    crate::create::configuration(deployment).ok().flatten().ok_or(ChangeError::NoDeployment)
}

/// What a file holds, or `None` if there is no such file.
fn read<T>(
    deployment: &Deployment,
    file: DeploymentFile,
    decode: impl FnOnce(&[u8]) -> Result<T, CborError>,
) -> Result<Option<T>, ChangeError> {
    let Some(encoded) = deployment.read(file)? else { return Ok(None) };
    decode(&encoded).map(Some).map_err(|error| ChangeError::Damaged(file.name(), error))
}

fn read_order(order: &SignedOrder) -> Result<Order, ChangeError> {
    cbor::from_slice(&order.order).map_err(|error| ChangeError::Damaged(DeploymentFile::Order.name(), error))
}

/// The newest entry of the log.
///
/// # Errors
/// [`ReadError`].
pub fn newest_entry(records: &Records) -> Result<Option<Vec<u8>>, ReadError> {
    let Some(last) = records.newest()?.and_then(|newest| newest.checkpoint.size.checked_sub(1)) else {
        return Ok(None);
    };
    Ok(records.entries(last, 1)?.pop())
}

/// What a change works on.
pub struct ChangeParts<'p> {
    /// Files of the deployment.
    pub deployment: &'p Deployment,
    /// Records and log.
    pub records: &'p Records,
    /// The anchor of the configuration in force.
    pub anchor: &'p mut dyn Anchor,
    /// The anchor of the one that is to follow.
    pub next_anchor: &'p mut dyn Anchor,
    /// Time.
    pub clock: &'p dyn Clock,
}

impl core::fmt::Debug for ChangeParts<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ChangeParts").field("deployment", &self.deployment).finish_non_exhaustive()
    }
}

/// Carries out what was ordered, over a fresh connection to the enclave. [`finish_change`] follows, then a boot in a new connection. An
/// order that got nowhere is withdrawn.
///
/// # Errors
/// [`ChangeError`].
pub fn change(stream: UnixStream, parts: ChangeParts<'_>) -> Result<Configuration, ChangeError> {
    let (deployment, records) = (parts.deployment, parts.records);
    let changed = carry_out(stream, parts);
    // Where the database failed nobody knows yet whether the log has the change: the order stays.
    let is_certain = matches!(
        changed,
        Err(ChangeError::Advance(_)
            | ChangeError::NextAnchor(_)
            | ChangeError::NextAdvance(_)
            | ChangeError::NextForeign
            | ChangeError::RestoredSince(_)
            | ChangeError::NotNewest
            | ChangeError::Boot(BootError::Halted { .. } | BootError::NoRoom(_)))
    );
    if is_certain && ordered(deployment, records)?.is_some_and(|ordered| !ordered.is_logged()) {
        deployment.withdraw_change()?;
    }
    changed
}

/// Has the enclave judge an order for a restore of the state before a change that is in the log and not finished, over a fresh connection. Nothing is
/// written: so nothing is given up for an order that would be refused, under another passphrase for instance.
///
/// # Errors
/// [`ChangeError`].
pub fn rehearse(
    stream: UnixStream,
    parts: ChangeParts<'_>,
    next: &Configuration,
    order: &SignedOrder,
) -> Result<(), ChangeError> {
    let ChangeParts { deployment, records, next_anchor, clock, .. } = parts;
    let (_, before) = given_up(records)?.ok_or(ChangeError::Unfinished)?;
    let content = read_order(order)?;
    let restores = content.restores.ok_or(ChangeError::Unfinished)?;
    only_sets_aside_earlier(&before, next_anchor, restores)?;
    let receipt = match next.tpm {
        Some(_) => next_anchor.certify(&content.hash()).map_err(ChangeError::NextAnchor)?,
        None => Vec::new(),
    };
    let stage = ChangeStage::Ordered { receipt: receipt.into() };
    let asked = Change { configuration: cbor::to_vec(next).into(), order: order.clone(), stage };
    let mut link = Link::new(stream).map_err(BootError::from)?;
    let purpose = Purpose::Rehearse(&before);
    let durable = Durable { deployment, records, anchor: next_anchor, clock, purpose };
    converse_to_rehearse(&mut link, cbor::to_vec(&in_force(deployment)?), durable, asked)?;
    link.close();
    Ok(())
}

fn carry_out(stream: UnixStream, parts: ChangeParts<'_>) -> Result<Configuration, ChangeError> {
    let ChangeParts { deployment, records, anchor, next_anchor, clock } = parts;
    let Ordered { next, order, name, term, restores_to } =
        ordered(deployment, records)?.ok_or(ChangeError::NotOrdered)?;
    let configuration = in_force(deployment)?;
    if let Some(restores) = restores_to {
        let newest = records.newest()?.ok_or(ChangeError::NoDeployment)?;
        only_sets_aside_earlier(&newest, next_anchor, restores)?;
    }
    if term.is_none() && restores_to.is_none() {
        still_cosigned(records, anchor)?;
    }
    let stage = match (term, restores_to) {
        (Some(term), _) => ChangeStage::Logged { term },
        (None, _) if next.tpm.is_some() && (restores_to.is_some() || next.tpm != configuration.tpm) => {
            let word = next_anchor.certify(&name).map_err(ChangeError::NextAnchor)?;
            ChangeStage::Ordered { receipt: word.into() }
        }
        (None, Some(_)) => ChangeStage::Ordered { receipt: Vec::new().into() },
        // The anchor is the one there is.
        (None, None) if next == configuration => ChangeStage::Ordered { receipt: Vec::new().into() },
        (None, None) => ChangeStage::Ordered { receipt: hold_newest(records, anchor, next_anchor)?.into() },
    };
    let asked = Change { configuration: cbor::to_vec(&next).into(), order, stage };
    let mut link = Link::new(stream).map_err(BootError::from)?;
    // What is restored is anchored where the new configuration says, in place of whatever lies there.
    let (anchor, purpose) =
        if restores_to.is_some() { (next_anchor, Purpose::Restore) } else { (anchor, Purpose::Change) };
    let durable = Durable { deployment, records, anchor, clock, purpose };
    let sealed_root = converse_to_change(&mut link, cbor::to_vec(&configuration), durable, asked)?;
    link.close();
    crate::fault::point("change.before_root");
    deployment.write_new(DeploymentFile::NextRoot, &sealed_root)?;
    crate::fault::point("change.after_root");
    Ok(next)
}

/// Puts new configuration and root in the old ones' place where the change got as far as the root; true if it did. Call it before
/// anything is read.
///
/// # Errors
/// [`DeploymentError`].
pub fn finish_change(deployment: &Deployment) -> Result<bool, DeploymentError> {
    if deployment.read(DeploymentFile::NextRoot)?.is_none() {
        return Ok(false);
    }
    deployment.take_over(DeploymentFile::NextConfiguration, DeploymentFile::Configuration)?;
    crate::fault::point("change.between");
    deployment.take_over(DeploymentFile::NextLogKey, DeploymentFile::LogKey)?;
    deployment.take_over(DeploymentFile::NextRoot, DeploymentFile::Root)?;
    deployment.withdraw_change()?;
    Ok(true)
}

/// The configuration that is to follow, while a change is under way.
///
/// # Errors
/// [`ChangeError`].
pub fn next_configuration(deployment: &Deployment) -> Result<Option<Configuration>, ChangeError> {
    read(deployment, DeploymentFile::NextConfiguration, cbor::from_slice)
}

/// Names the sealed root in force, as an order does.
///
/// # Errors
/// [`ChangeError`].
pub fn root_in_force(deployment: &Deployment) -> Result<Hash32, ChangeError> {
    let root = deployment.read(DeploymentFile::Root)?.ok_or(ChangeError::NoDeployment)?;
    Ok(root_hash(&root))
}

/// A restore sets aside what the anchor's file holds of the restores before it, and nothing else. A file that holds that restore already, or a
/// later one, is ahead of this database: overwriting it would forget what was tried since. Asked before anything is stored. Witnesses and a TPM
/// overwrite nothing.
fn only_sets_aside_earlier(newest: &Newest, anchor: &dyn Anchor, restores: u32) -> Result<(), ChangeError> {
    if anchor.level() != AnchorLevel::L1 {
        return Ok(());
    }
    let held = anchor.load().map_err(ChangeError::NextAnchor)?;
    let Some(held) = held.and_then(|note| Checkpoint::read_unverified(&note).ok()) else { return Ok(()) };
    if held.deployment != newest.checkpoint.deployment {
        return Err(ChangeError::NextForeign);
    }
    // The restore's own entry may be there: then it was begun here, and is finished.
    if held.restores < restores || held == newest.checkpoint {
        return Ok(());
    }
    Err(ChangeError::RestoredSince(held.restores))
}

/// Has the witnesses in force cosign the newest checkpoint once more. The entry with the change is stored before it is anchored: where too few of them
/// would cosign it, also some that answer, as one that was made anew, the change could neither be finished nor undone.
fn still_cosigned(records: &Records, anchor: &mut dyn Anchor) -> Result<(), ChangeError> {
    if anchor.level() != AnchorLevel::L4 {
        return Ok(());
    }
    let newest = records.newest()?.ok_or(ChangeError::NoDeployment)?;
    let held = held_of(&newest, anchor)?;
    match advance(anchor, &held, &newest.note).map_err(ChangeError::Advance)? {
        Advance::Done(_) => Ok(()),
        Advance::Lost(_) => Err(ChangeError::NotNewest),
    }
}

/// What the anchor in force holds, where that is the newest checkpoint or the one before it. A witness never goes back, so none is shown a state that
/// the enclave is going to refuse.
fn held_of(newest: &Newest, anchor: &dyn Anchor) -> Result<Vec<u8>, ChangeError> {
    let held = anchor.load().map_err(BootError::Anchor)?.unwrap_or_default();
    let Checkpoint { previous, tpm, .. } = newest.checkpoint;
    let is_held = match (anchor.level(), Hash32::from_slice(&held)) {
        (AnchorLevel::L2, Some(held)) => newest.checkpoint.held_after() == Some(held) || tpm == Some(held),
        _ => Checkpoint::read_unverified(&held).is_ok_and(|held| held == newest.checkpoint || held.hash() == previous),
    };
    if is_held { Ok(held) } else { Err(ChangeError::NotNewest) }
}

/// Has witnesses that are to follow hold the newest checkpoint: so they exist, can be reached, and nobody is locked out by a key with a slip of
/// the pen. Their receipt. A file is written by nobody before the enclave has judged what is to be written; the host's word is its receipt.
fn hold_newest(records: &Records, anchor: &dyn Anchor, next_anchor: &mut dyn Anchor) -> Result<Vec<u8>, ChangeError> {
    let newest = records.newest()?.ok_or(ChangeError::NoDeployment)?;
    match next_anchor.level() {
        AnchorLevel::L0 | AnchorLevel::L1 => return Ok(newest.note),
        // The TPM stays the same, so it holds this state already or nothing is changed.
        AnchorLevel::L2 => {
            return match advance(next_anchor, &[], &newest.note).map_err(ChangeError::NextAdvance)? {
                Advance::Done(receipt) => Ok(receipt),
                Advance::Lost(_) => Err(ChangeError::NotNewest),
            };
        }
        AnchorLevel::L4 => {}
    }
    held_of(&newest, anchor)?;
    let held = next_anchor.load().map_err(ChangeError::NextAnchor)?.unwrap_or_default();
    match advance(next_anchor, &held, &newest.note).map_err(ChangeError::NextAdvance)? {
        Advance::Done(receipt) => Ok(receipt),
        Advance::Lost(_) => Err(ChangeError::NextForeign),
    }
}
