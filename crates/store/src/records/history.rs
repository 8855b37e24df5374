//! Looking log entries up: the writes to one wallet, and the deployment's own events, newest first and proved to be in the log.
//!
//! The newest entry of a wallet is named in its row of `records`, and each entry names the one before it of the same wallet. Both rows are
//! written with every batch anyway, so looking up costs a batch no page more, where an index over (wallet, version) would cost one for
//! each record. The deployment's own events are few and have a table of their own.

use pinseal_protocol::cbor;
use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::log::{Entry, Inclusion};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::log::{newest, node};
use super::{ReadError, ReadErrorFromDriver, signed};

/// Entry, and the place of the one before it of the same wallet.
type EntryRow = (Vec<u8>, Option<i64>);

/// Entries of one wallet that are passed over because they lie beyond the size asked for: a caller asks with a checkpoint it was just
/// shown, so there are hardly any.
const PASSED_OVER_MAX: usize = 256;

/// Events looked through at a time, newest first.
const EVENTS_READ: usize = 256;

/// The fourth step of the schema: both ways from an entry to the one before, for entries that are there already, too. What is cut out of an
/// entry is a record entry's head and its wallet.
pub(crate) const SCHEMA: &str = "
ALTER TABLE records ADD COLUMN newest INTEGER;
ALTER TABLE log_entries ADD COLUMN previous INTEGER;
CREATE TABLE log_events (
    position        INTEGER PRIMARY KEY
) STRICT;
INSERT INTO log_events SELECT position FROM log_entries WHERE substr(entry, 1, 5) <> x'8200845820';
UPDATE log_entries SET previous = chain.previous FROM (
    SELECT position, lag(position) OVER (PARTITION BY substr(entry, 6, 32) ORDER BY position) AS previous
    FROM log_entries WHERE substr(entry, 1, 5) = x'8200845820'
) AS chain WHERE log_entries.position = chain.position;
UPDATE records SET newest = latest.position FROM (
    SELECT substr(entry, 6, 32) AS wallet, max(position) AS position
    FROM log_entries WHERE substr(entry, 1, 5) = x'8200845820' GROUP BY 1
) AS latest WHERE records.wallet = latest.wallet;
";

/// One entry and the proof that it is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// As the enclave encoded it.
    pub entry: Vec<u8>,
    /// For the tree of the size asked for.
    pub proof: Inclusion,
}

/// Some entries, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPage {
    /// The entries.
    pub items: Vec<Listed>,
    /// Place of the entry that comes next, if there is one.
    pub next: Option<u64>,
}

/// Which entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    /// Size of the tree they are to be proved in.
    pub size: u64,
    /// Place of the first one, as [`LogPage::next`] gave it; the newest one otherwise.
    pub from: Option<u64>,
    /// How many at most.
    pub count: usize,
}

/// The wallet a record entry is about; `None` for everything else, and for what this release does not know.
pub(super) fn wallet_of(entry: &[u8]) -> Option<UserIdHash> {
    match cbor::from_slice(entry) {
        Ok(Entry::Record { wallet, .. }) => Some(wallet),
        _ => None,
    }
}

/// Whether the entry says that somebody read, which is no event: there are as many as people look at their wallets.
pub(super) fn is_read(entry: &[u8]) -> bool {
    matches!(cbor::from_slice(entry), Ok(Entry::Read { .. }))
}

/// Remembers where an event of the deployment itself is.
pub(super) fn add_event(tx: &Connection, position: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO log_events (position) VALUES (?1)")?.execute([position])?;
    Ok(())
}

/// See [`super::Records::history`].
pub(super) fn of_wallet(
    snapshot: &Connection,
    wallet: &UserIdHash,
    query: LogQuery,
) -> Result<Option<LogPage>, ReadError> {
    let Some(size) = stored_size(snapshot, query.size)? else { return Ok(None) };
    let mut next = match query.from.map(signed) {
        None => newest_of(snapshot, wallet)?,
        Some(from) => Some(from.filter(|from| *from < size)).flatten(),
    };
    if query.from.is_some() && next.is_none() {
        return Ok(None);
    }
    let (mut page, mut passed_over) = (LogPage::default(), 0);
    while let Some(position) = next {
        let (entry, previous) = entry(snapshot, position)?.ok_or(ReadError::Damaged)?;
        if wallet_of(&entry).as_ref() != Some(wallet) {
            // Whoever names a place must name one of their own; a chain that leads elsewhere is damage.
            return if query.from == Some(position.unsigned_abs()) && page.items.is_empty() {
                Ok(None)
            } else {
                Err(ReadError::Damaged)
            };
        }
        if previous.is_some_and(|previous| previous >= position) {
            return Err(ReadError::Damaged);
        }
        if position >= size {
            passed_over += 1;
            if passed_over > PASSED_OVER_MAX {
                return Ok(None);
            }
        } else if page.items.len() == query.count {
            page.next = Some(position.unsigned_abs());
            break;
        } else {
            page.items.push(proved(snapshot, entry, position, query.size)?);
        }
        next = previous;
    }
    Ok(Some(page))
}

/// See [`super::Records::events`].
pub(super) fn of_deployment(snapshot: &Connection, query: LogQuery) -> Result<Option<LogPage>, ReadError> {
    let Some(size) = stored_size(snapshot, query.size)? else { return Ok(None) };
    let below = match query.from {
        None => size,
        Some(from) => signed(from).filter(|from| *from < size).map_or(0, |from| from + 1),
    };
    let mut page = LogPage::default();
    for position in events_below(snapshot, below, query.count.saturating_add(1))? {
        if page.items.len() == query.count {
            page.next = Some(position.unsigned_abs());
            break;
        }
        let (entry, _) = entry(snapshot, position)?.ok_or(ReadError::Damaged)?;
        page.items.push(proved(snapshot, entry, position, query.size)?);
    }
    Ok(Some(page))
}

/// See [`super::Records::newest_event`].
pub(super) fn newest_event(
    snapshot: &Connection,
    wanted: impl Fn(&Entry) -> bool,
) -> Result<Option<(u64, Entry)>, ReadError> {
    let mut below = i64::MAX;
    loop {
        let positions = events_below(snapshot, below, EVENTS_READ)?;
        for position in &positions {
            let (entry, _) = entry(snapshot, *position)?.ok_or(ReadError::Damaged)?;
            if let Some(entry) = cbor::from_slice(&entry).ok().filter(&wanted) {
                return Ok(Some((position.unsigned_abs(), entry)));
            }
        }
        match positions.last() {
            Some(last) if positions.len() == EVENTS_READ => below = *last,
            _ => return Ok(None),
        }
    }
}

/// The size as the database counts, if the log is as long.
fn stored_size(snapshot: &Connection, size: u64) -> Result<Option<i64>, ReadError> {
    let stored = newest(snapshot)?.map_or(0, |newest| newest.checkpoint.size);
    Ok(signed(size).filter(|_| (1..=stored).contains(&size)))
}

fn newest_of(snapshot: &Connection, wallet: &UserIdHash) -> Result<Option<i64>, ReadErrorFromDriver> {
    let row: Option<Option<i64>> = snapshot
        .prepare_cached("SELECT newest FROM records WHERE wallet = ?1")?
        .query_row([wallet.0], |row| row.get(0))
        .optional()?;
    Ok(row.flatten())
}

/// An entry, and the place of the one before it of the same wallet.
fn entry(snapshot: &Connection, position: i64) -> Result<Option<EntryRow>, ReadErrorFromDriver> {
    Ok(snapshot
        .prepare_cached("SELECT entry, previous FROM log_entries WHERE position = ?1")?
        .query_row([position], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

fn events_below(snapshot: &Connection, below: i64, count: usize) -> Result<Vec<i64>, ReadErrorFromDriver> {
    let mut statement = snapshot
        .prepare_cached("SELECT position FROM log_events WHERE position < ?1 ORDER BY position DESC LIMIT ?2")?;
    let rows = statement.query_map(params![below, i64::try_from(count).unwrap_or(i64::MAX)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn proved(snapshot: &Connection, entry: Vec<u8>, position: i64, size: u64) -> Result<Listed, ReadError> {
    let proof = Inclusion::prove(position.unsigned_abs(), size, &mut |level, index| node(snapshot, level, index))?;
    Ok(Listed { entry, proof: proof.ok_or(ReadError::Damaged)? })
}
