//! Filler records in bulk, for measurements at scale. Behind the feature `populate`, which no program that serves turns on.

use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::kdf;
use pinseal_protocol::log::{self, Frontier};
use pinseal_protocol::wire::{Header, RecordWrite};
use rusqlite::Connection;

use super::log::{add_checkpoint, add_entry, add_node, newest};
use super::{CommitError, ReadError, Records, rows, signed};
use crate::sqlite::SqlError;

/// Page cache of the one transaction: fillers arrive in random order, and what falls out of the cache is written twice.
const CACHE_KIB: i64 = 1024 * 1024;

/// What a source of fillers says next.
#[derive(Debug)]
pub enum Populated {
    /// One more record and its log entry.
    Filler(RecordWrite, Vec<u8>),
    /// No more: the signed checkpoint over them, and the log's frontier there.
    End(Vec<u8>, Frontier),
}

impl Records {
    /// The first header and its record, without a grant; `None` in a database without records.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn sample(&self) -> Result<Option<(Header, Vec<u8>)>, ReadError> {
        let Some(header) = self.headers(None, 1)?.pop() else { return Ok(None) };
        let outer = self.sqlite.read(|snapshot| rows::outer(snapshot, &header.wallet).map_err(ReadError::from))?;
        Ok(outer.map(|outer| (header, outer)))
    }

    /// Stores fillers in one transaction, without permits; [`Records::commit`] is the way for everything else. Each gets an owner of
    /// its own.
    ///
    /// # Errors
    /// [`CommitError`]; nothing was stored.
    pub fn populate(&self, source: impl FnMut() -> Populated + Send + 'static) -> Result<(), CommitError> {
        self.sqlite.write(move |tx| populate(tx, source))
    }
}

fn populate(tx: &Connection, mut source: impl FnMut() -> Populated) -> Result<(), CommitError> {
    tx.pragma_update(None, "cache_size", -CACHE_KIB).map_err(SqlError::from)?;
    let stored = newest(tx).ok().flatten().ok_or(CommitError::Discontinuous)?;
    let mut frontier = stored.frontier;
    let sequence = signed(stored.checkpoint.sequence.0 + 1).ok_or(CommitError::Discontinuous)?;
    loop {
        match source() {
            Populated::Filler(record, entry) => {
                let position = signed(frontier.size()).ok_or(CommitError::Discontinuous)?;
                rows::write(tx, &record, sequence, Some(position))?;
                let owner = kdf::hash("pinseal filler owner v1", &[&record.wallet.0]);
                rows::remember_owner(tx, &owner, &record.wallet).map_err(|_| CommitError::Discontinuous)?;
                add_entry(tx, position, &entry, None).map_err(SqlError::from)?;
                let mut nodes = Vec::new();
                frontier.append(log::leaf_hash(&entry), |node| nodes.push(node));
                nodes.iter().try_for_each(|node| add_node(tx, node)).map_err(SqlError::from)?;
            }
            Populated::End(note, shown) => {
                let next = Checkpoint::read_unverified(&note).map_err(|_| CommitError::Discontinuous)?;
                let continues = signed(next.sequence.0) == Some(sequence)
                    && next.previous == stored.checkpoint.hash()
                    && shown == frontier
                    && frontier.root() == next.root;
                if !continues {
                    return Err(CommitError::Discontinuous);
                }
                return add_checkpoint(tx, sequence, &note, &frontier).map_err(|error| SqlError::from(error).into());
            }
        }
    }
}
