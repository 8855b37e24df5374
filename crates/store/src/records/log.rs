//! The log as it is stored: entries, nodes of perfect subtrees, checkpoints.

use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::log::{Consistency, Frontier, Node};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{CHECKPOINTS_KEPT, CommitError, Newest, ReadError, ReadErrorFromDriver, signed};
use crate::sqlite::SqlError;

/// Entries of a batch about the deployment itself, of which there is one.
const ENTRIES_UNDONE_MAX: usize = 8;

/// Sequence, note, frontier.
type CheckpointRow = (i64, Vec<u8>, Vec<u8>);

pub(super) fn newest(snapshot: &Connection) -> Result<Option<Newest>, ReadError> {
    newest_but(snapshot, 0)
}

/// The newest checkpoint but so many.
fn newest_but(snapshot: &Connection, skipped: u8) -> Result<Option<Newest>, ReadError> {
    let row = || -> Result<Option<CheckpointRow>, ReadErrorFromDriver> {
        Ok(snapshot
            .prepare_cached(
                "SELECT sequence, note, frontier FROM checkpoints ORDER BY sequence DESC LIMIT 1 OFFSET ?1",
            )?
            .query_row([skipped], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?)
    };
    let Some((sequence, note, frontier)) = row()? else { return Ok(None) };
    let checkpoint = Checkpoint::read_unverified(&note).map_err(|_| ReadError::Damaged)?;
    let frontier: Frontier = cbor::from_slice(&frontier).map_err(|_| ReadError::Damaged)?;
    let sound = signed(checkpoint.sequence.0) == Some(sequence)
        && frontier.is_well_formed()
        && frontier.size() == checkpoint.size
        && frontier.root() == checkpoint.root;
    if !sound {
        return Err(ReadError::Damaged);
    }
    Ok(Some(Newest { note, checkpoint, frontier }))
}

/// The newest checkpoint and the one before it, where nothing but entries about the deployment itself came between the two.
pub(super) fn last_step(snapshot: &Connection) -> Result<Option<(Newest, Newest)>, ReadError> {
    let (Some(newest), Some(before)) = (newest(snapshot)?, newest_but(snapshot, 1)?) else { return Ok(None) };
    let count =
        newest.checkpoint.size.checked_sub(before.checkpoint.size).and_then(|count| usize::try_from(count).ok());
    let follows = newest.checkpoint.previous == before.checkpoint.hash();
    let Some(count) = count.filter(|count| follows && *count <= ENTRIES_UNDONE_MAX) else { return Ok(None) };
    let between = entries(snapshot, before.checkpoint.size, count)?;
    let is_of_nobody = between.iter().all(|entry| super::history::wallet_of(entry).is_none());
    Ok(is_of_nobody.then_some((newest, before)))
}

/// Takes everything away that came into the log after that checkpoint, its successors included.
pub(super) fn undo(tx: &Connection, before: &Checkpoint) -> Result<(), CommitError> {
    let (sequence, size) = (signed(before.sequence.0), signed(before.size));
    let (Some(sequence), Some(size), Some(node)) = (sequence, size, place(0, before.size)) else {
        return Err(CommitError::Discontinuous);
    };
    let undo = || -> rusqlite::Result<()> {
        tx.execute("DELETE FROM checkpoints WHERE sequence > ?1", [sequence])?;
        tx.execute("DELETE FROM log_entries WHERE position >= ?1", [size])?;
        tx.execute("DELETE FROM log_events WHERE position >= ?1", [size])?;
        tx.execute("DELETE FROM log_nodes WHERE place >= ?1", [node])?;
        Ok(())
    };
    Ok(undo().map_err(SqlError::from)?)
}

/// Stores a checkpoint and drops the one that falls out of [`CHECKPOINTS_KEPT`].
pub(super) fn add_checkpoint(tx: &Connection, sequence: i64, note: &[u8], frontier: &Frontier) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO checkpoints (sequence, note, frontier) VALUES (?1, ?2, ?3)")?.execute(params![
        sequence,
        note,
        cbor::to_vec(frontier)
    ])?;
    let kept = i64::try_from(CHECKPOINTS_KEPT).unwrap_or(i64::MAX);
    tx.prepare_cached("DELETE FROM checkpoints WHERE sequence <= ?1")?.execute([sequence.saturating_sub(kept)])?;
    Ok(())
}

/// Stores an entry; `previous` is the place of the one before it of the same wallet.
pub(super) fn add_entry(tx: &Connection, position: i64, entry: &[u8], previous: Option<i64>) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO log_entries (position, entry, previous) VALUES (?1, ?2, ?3)")?
        .execute(params![position, entry, previous])?;
    Ok(())
}

pub(super) fn add_node(tx: &Connection, node: &Node) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO log_nodes (place, hash) VALUES (?1, ?2)")?
        .execute(params![place(node.level, node.index), node.hash.0])?;
    Ok(())
}

/// Which of all nodes this is, counted from zero in the order in which appending leaves completes them: after those of the leaves before its
/// last one (each leaf, each pair, and so on) those below it. `None` for one whose leaves cannot be counted.
fn place(level: u8, index: u64) -> Option<i64> {
    let leaves = index.checked_add(1)?.checked_mul(1_u64.checked_shl(level.into())?)?;
    let before = (0..u64::BITS).map(|bits| (leaves - 1) >> bits).try_fold(0_u64, u64::checked_add)?;
    signed(before.checked_add(level.into())?)
}

pub(super) fn entries(snapshot: &Connection, position: u64, count: usize) -> Result<Vec<Vec<u8>>, ReadError> {
    let Some(position) = signed(position) else { return Ok(Vec::new()) };
    let rows = || -> Result<Vec<Vec<u8>>, ReadErrorFromDriver> {
        let mut statement =
            snapshot.prepare_cached("SELECT entry FROM log_entries WHERE position >= ?1 ORDER BY position LIMIT ?2")?;
        let rows =
            statement.query_map(params![position, i64::try_from(count).unwrap_or(i64::MAX)], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    Ok(rows()?)
}

/// Proves from stored nodes. Sizes beyond the stored log give `None`: the caller's receipt is newer than this state.
pub(super) fn consistency(
    snapshot: &Connection,
    old_size: u64,
    new_size: u64,
) -> Result<Option<Consistency>, ReadError> {
    let Some(newest) = newest(snapshot)? else { return Ok(None) };
    if new_size > newest.checkpoint.size {
        return Ok(None);
    }
    Consistency::prove(old_size, new_size, &mut |level, index| node(snapshot, level, index))
}

/// A node of a perfect subtree.
pub(super) fn node(snapshot: &Connection, level: u8, index: u64) -> Result<Hash32, ReadError> {
    let read = || -> Result<Option<[u8; 32]>, ReadErrorFromDriver> {
        Ok(snapshot
            .prepare_cached("SELECT hash FROM log_nodes WHERE place = ?1")?
            .query_row([place(level, index)], |row| row.get(0))
            .optional()?)
    };
    read()?.map(Hash32).ok_or(ReadError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_lie_in_the_order_in_which_they_come_to_be() {
        let mut frontier = Frontier::default();
        let mut nodes = Vec::new();
        for leaf in 0..300_u64 {
            frontier
                .append(Hash32(pinseal_protocol::kdf::hash("leaf", &[&leaf.to_be_bytes()]).0), |node| nodes.push(node));
        }
        for (number, node) in (0..).zip(&nodes) {
            assert_eq!(place(node.level, node.index), Some(number), "{node:?}");
        }
        assert_eq!((place(64, 0), place(63, 1), place(0, u64::MAX), place(1, u64::MAX / 2)), (None, None, None, None));
    }
}
