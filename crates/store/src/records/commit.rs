//! The transaction of a batch.

use std::collections::BTreeMap;

use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::{Hash32, Sequence, UnixSeconds, UserIdHash};
use pinseal_protocol::log::{self, Frontier};
use pinseal_protocol::wire::Batch;
use rusqlite::{Connection, params};

use super::log::{add_checkpoint, add_entry, add_node, last_step, newest, undo};
use super::{CommitError, Newest, ReadError, history, rows, signed};
use crate::sqlite::{SqlError, StoreError};
use crate::vault::WritePermit;

/// A read inside the transaction failed; a damaged checkpoint is one that cannot be continued.
fn reading(error: ReadError) -> CommitError {
    match error {
        ReadError::Foreign | ReadError::Damaged => CommitError::Discontinuous,
        ReadError::Store(error @ StoreError::NotStored(_)) => CommitError::NotStored(error),
        ReadError::Store(error) => CommitError::Unknown(error),
    }
}

/// See [`super::Records::store_genesis`].
pub(super) fn genesis(tx: &Connection, note: &[u8]) -> Result<(), CommitError> {
    let checkpoint = Checkpoint::read_unverified(note).map_err(|_| CommitError::Discontinuous)?;
    let frontier = Frontier::default();
    if checkpoint.sequence != Sequence(0)
        || checkpoint.size != 0
        || checkpoint.root != log::empty_root()
        || checkpoint.previous != Hash32([0; 32])
    {
        return Err(CommitError::Discontinuous);
    }
    if let Some(stored) = newest(tx).map_err(reading)? {
        return if stored.note == note { Ok(()) } else { Err(CommitError::Discontinuous) };
    }
    let left_over: i64 = tx
        .query_row("SELECT (SELECT count(*) FROM records) + (SELECT count(*) FROM log_entries)", [], |row| row.get(0))
        .map_err(SqlError::from)?;
    if left_over != 0 {
        return Err(CommitError::Discontinuous);
    }
    add_checkpoint(tx, 0, note, &frontier).map_err(|error| SqlError::from(error).into())
}

/// See [`super::Records::commit`].
pub(super) fn batch(
    tx: &Connection,
    batch: &Batch,
    permits: &[WritePermit],
    anchored: Sequence,
    now: UnixSeconds,
) -> Result<(), CommitError> {
    let stored = newest(tx).map_err(reading)?.ok_or(CommitError::Discontinuous)?;
    let next = continues(&stored, batch)?;
    // Only what was anchored before this batch may go: the boot check still needs the rest.
    if anchored > stored.checkpoint.sequence {
        return Err(CommitError::Discontinuous);
    }
    let sequence = signed(next.sequence.0).ok_or(CommitError::Discontinuous)?;
    permit(tx, batch, permits, now)?;
    rows::drop_superseded(tx, anchored).map_err(SqlError::from)?;
    let mut frontier = stored.frontier;
    let start = signed(frontier.size()).ok_or(CommitError::Discontinuous)?;
    let wallets: Vec<_> = batch.entries.iter().map(|entry| history::wallet_of(entry)).collect();
    let place = |(position, wallet): (i64, &Option<UserIdHash>)| Some(((*wallet)?, position));
    let places: BTreeMap<UserIdHash, i64> = (start..).zip(&wallets).filter_map(place).collect();
    let mut previous = BTreeMap::new();
    for record in &batch.records {
        let position = places.get(&record.wallet).copied();
        previous.insert(record.wallet, rows::write(tx, record, sequence, position)?);
    }
    for ((position, entry), wallet) in (start..).zip(&batch.entries).zip(&wallets) {
        let before = wallet.and_then(|wallet| previous.get(&wallet).copied().flatten());
        add_entry(tx, position, entry, before).map_err(SqlError::from)?;
        if wallet.is_none() && !history::is_read(entry) {
            history::add_event(tx, position).map_err(SqlError::from)?;
        }
        let mut nodes = Vec::new();
        frontier.append(log::leaf_hash(entry), |node| nodes.push(node));
        nodes.iter().try_for_each(|node| add_node(tx, node)).map_err(SqlError::from)?;
    }
    if frontier != batch.frontier || frontier.root() != next.root || frontier.size() != next.size {
        return Err(CommitError::Discontinuous);
    }
    add_checkpoint(tx, sequence, &batch.checkpoint, &frontier).map_err(|error| SqlError::from(error).into())
}

/// See [`super::Records::undo_change`].
pub(super) fn undo_change(tx: &Connection, change: &Checkpoint) -> Result<(), CommitError> {
    let (newest, before) = last_step(tx).map_err(reading)?.ok_or(CommitError::Discontinuous)?;
    if newest.checkpoint != *change {
        return Err(CommitError::Discontinuous);
    }
    undo(tx, &before.checkpoint)
}

/// The new checkpoint, if the batch builds on exactly the stored one.
fn continues(stored: &Newest, batch: &Batch) -> Result<Checkpoint, CommitError> {
    let next = Checkpoint::read_unverified(&batch.checkpoint).map_err(|_| CommitError::Discontinuous)?;
    let sound = *batch.previous == stored.note
        && next.deployment == stored.checkpoint.deployment
        && Some(next.sequence.0) == stored.checkpoint.sequence.0.checked_add(1)
        && next.previous == stored.checkpoint.hash()
        && batch.records.len() <= batch.entries.len();
    if sound { Ok(next) } else { Err(CommitError::Discontinuous) }
}

/// One permit for each record, for its wallet, never used before, also not in an earlier life of this process.
fn permit(tx: &Connection, batch: &Batch, permits: &[WritePermit], now: UnixSeconds) -> Result<(), CommitError> {
    let covered = batch.records.len() == permits.len()
        && batch.records.iter().zip(permits).all(|(record, permit)| record.wallet == permit.wallet);
    if !covered {
        return Err(CommitError::Forbidden);
    }
    let seconds = |at: UnixSeconds| signed(at.0).unwrap_or(i64::MAX);
    let spend = || -> rusqlite::Result<bool> {
        tx.prepare_cached("DELETE FROM spent_permits WHERE expires_at <= ?1")?.execute([seconds(now)])?;
        let mut insert = tx.prepare_cached(
            "INSERT INTO spent_permits (token, number, expires_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?;
        for permit in permits {
            if insert.execute(params![permit.token.0, permit.number, seconds(permit.expires)])? != 1 {
                return Ok(false);
            }
        }
        Ok(true)
    };
    if spend().map_err(SqlError::from)? { Ok(()) } else { Err(CommitError::Forbidden) }
}
