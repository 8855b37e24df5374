//! Sealed records, the log and its checkpoints.
//!
//! A batch is one transaction ([`Records::commit`]): new records beside the ones they replace, log entries, log nodes, the
//! signed checkpoint. The replaced records stay until the batch is anchored, then [`Records::drop_superseded`] or the next
//! commit removes them. A record itself moves only against what [`crate::vault`] made.

mod commit;
mod history;
mod log;
#[cfg(feature = "populate")]
mod populate;
mod recent;
mod rows;
mod schema;

use std::sync::Arc;

use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::{Hash32, Sequence, UnixSeconds, UserIdHash};
use pinseal_protocol::log::{Consistency, Entry, Frontier};
use pinseal_protocol::wire::{Batch, Header};

pub(crate) use self::history::SCHEMA as HISTORY_SCHEMA;
pub use self::history::{Listed, LogPage, LogQuery};
#[cfg(feature = "populate")]
pub use self::populate::Populated;
use self::recent::RecentRecords;
pub(crate) use self::schema::{ORDER_SCHEMA, PERMITS_SCHEMA, SCHEMA};
use crate::sqlite::{CommitHook, SqlError, Sqlite, StoreError};
use crate::vault::{BeginGrant, Grant, WritePermit};

/// Signed checkpoints kept, newest first: for clients and auditors that were away for a while.
pub const CHECKPOINTS_KEPT: u64 = 1_024;

/// The newest checkpoint in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// The signed note.
    pub note: Vec<u8>,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The log's frontier there.
    pub frontier: Frontier,
}

/// Why a read fails.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The user's record is another one, or the record another user's: the caller's fault, or the login service's.
    #[error("the record belongs to another user")]
    Foreign,
    /// What is stored does not decode: the database was changed or is damaged.
    #[error("the database holds a damaged row")]
    Damaged,
    /// See the source.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a batch was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A record write without a permit for its wallet, or with a used one. Nothing was stored.
    #[error("a record write is not covered by a storage token")]
    Forbidden,
    /// The batch does not continue what is stored. Nothing was stored; enclave and database disagree, so the host stops.
    #[error("the batch does not continue the stored log")]
    Discontinuous,
    /// Certainly not stored: tell the enclave so.
    #[error("the batch was not stored")]
    NotStored(#[source] StoreError),
    /// Whether it is stored is unknown, or the database has stopped. The host stops; the next boot finds out.
    #[error("whether the batch is stored is unknown")]
    Unknown(#[source] StoreError),
}

impl From<SqlError> for ReadError {
    fn from(error: SqlError) -> Self {
        Self::Store(error.into())
    }
}

impl From<rusqlite::Error> for ReadErrorFromDriver {
    fn from(error: rusqlite::Error) -> Self {
        Self(SqlError::from(error).into())
    }
}

/// Lets `?` turn driver errors into [`ReadError`] without making the driver part of its interface.
pub(crate) struct ReadErrorFromDriver(ReadError);

impl From<ReadErrorFromDriver> for ReadError {
    fn from(error: ReadErrorFromDriver) -> Self {
        error.0
    }
}

impl From<SqlError> for CommitError {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::NotStored(_) => Self::NotStored(error.into()),
            SqlError::Unknown(_) | SqlError::Stopped => Self::Unknown(error.into()),
        }
    }
}

/// Where a database stands.
pub(crate) struct End {
    pub(crate) newest: Option<Newest>,
    /// Of the log, encoded.
    pub(crate) newest_entry: Option<Vec<u8>>,
    pub(crate) wallets: u64,
}

/// Where a database of any schema stands.
pub(crate) fn end(snapshot: &rusqlite::Connection) -> Result<End, ReadError> {
    let newest = log::newest(snapshot)?;
    let last = newest.as_ref().and_then(|newest| newest.checkpoint.size.checked_sub(1));
    let newest_entry = last.map(|last| log::entries(snapshot, last, 1)).transpose()?.and_then(|mut found| found.pop());
    Ok(End { newest, newest_entry, wallets: rows::count(snapshot)? })
}

/// The records of one deployment.
#[derive(Clone)]
pub struct Records {
    sqlite: Sqlite,
    hook: Option<Arc<dyn CommitHook>>,
    recent: Arc<RecentRecords>,
}

impl core::fmt::Debug for Records {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Records").field("sqlite", &self.sqlite).finish_non_exhaustive()
    }
}

impl Records {
    /// The records in this database. While a batch is committed through one of its clones, none is through another `Records`.
    pub fn new(sqlite: Sqlite) -> Self {
        Self { sqlite, hook: None, recent: Arc::default() }
    }

    /// As [`Records::new`], with a hook around every commit of a batch.
    pub fn with_hook(sqlite: Sqlite, hook: Arc<dyn CommitHook>) -> Self {
        Self { sqlite, hook: Some(hook), recent: Arc::default() }
    }

    /// The current record of the grant's wallet.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn fetch(&self, grant: &Grant) -> Result<Option<Vec<u8>>, ReadError> {
        self.outer(grant.wallet())
    }

    /// As [`Records::fetch`], without a look at the disk: `None` where the record was not read or written lately through these `Records`, or
    /// has been taken since.
    pub fn take_recent(&self, grant: &Grant) -> Option<Vec<u8>> {
        self.recent.take(grant.wallet())
    }

    /// What is stored of a wallet, kept for whoever asks next.
    fn outer(&self, wallet: &UserIdHash) -> Result<Option<Vec<u8>>, ReadError> {
        let commits = self.recent.commits();
        let outer = self.sqlite.read(|snapshot| rows::outer(snapshot, wallet).map_err(ReadError::from))?;
        if let Some(outer) = &outer {
            self.recent.read(*wallet, outer, commits);
        }
        Ok(outer)
    }

    /// The current record of the begin grant's wallet; the first time, remembers whose it is.
    ///
    /// # Errors
    /// [`ReadError::Foreign`] if it is not this user's.
    pub fn fetch_for_begin(&self, grant: BeginGrant) -> Result<Option<Vec<u8>>, ReadError> {
        let BeginGrant { wallet, subject } = grant;
        let known = self.sqlite.read(|snapshot| rows::is_owner(snapshot, &subject, &wallet))?;
        if known.is_none() {
            self.sqlite.write(move |tx| match rows::is_owner(tx, &subject, &wallet)? {
                Some(()) => Ok(()),
                None => rows::remember_owner(tx, &subject, &wallet).map_err(ReadError::from),
            })?;
        }
        self.outer(&wallet)
    }

    /// The current record of the begin grant's wallet, if it is already known to be this user's; remembers nothing. For a
    /// caller that guesses the wallet before the enclave named it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn fetch_if_owned(&self, grant: &BeginGrant) -> Result<Option<Vec<u8>>, ReadError> {
        match self.sqlite.read(|snapshot| rows::is_owner(snapshot, &grant.subject, &grant.wallet)) {
            Ok(Some(())) => self.outer(&grant.wallet),
            Ok(None) | Err(ReadError::Foreign) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next headers after `after`, in ascending wallet order, at most `count`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn headers(&self, after: Option<UserIdHash>, count: usize) -> Result<Vec<Header>, ReadError> {
        self.sqlite.read(|snapshot| rows::headers(snapshot, after, count))
    }

    /// The newest checkpoint, or `None` in a database without a deployment.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn newest(&self) -> Result<Option<Newest>, ReadError> {
        self.sqlite.read(log::newest)
    }

    /// The newest checkpoint and the one before it, where the batch between them wrote no record: a boot, or a change of the configuration.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn last_step(&self) -> Result<Option<(Newest, Newest)>, ReadError> {
        self.sqlite.read(log::last_step)
    }

    /// Takes the newest batch, whose checkpoint this is, out of the database again, as if a copy of before it were put back. Only for a change of the
    /// configuration that nobody was answered by.
    ///
    /// # Errors
    /// [`CommitError::Discontinuous`] if it is not the newest, or wrote a record; nothing was changed then.
    pub fn undo_change(&self, change: &Checkpoint) -> Result<(), CommitError> {
        let change = *change;
        self.sqlite.write(move |tx| commit::undo_change(tx, &change))
    }

    /// Stores the genesis checkpoint of a new deployment. Does nothing if exactly this one is stored and nothing else.
    ///
    /// # Errors
    /// [`CommitError::Discontinuous`] if the database holds a deployment already, or `note` is no genesis.
    pub fn store_genesis(&self, note: &[u8]) -> Result<(), CommitError> {
        let note = note.to_vec();
        self.sqlite.write(move |tx| commit::genesis(tx, &note))
    }

    /// Commits one batch with one permit for each of its records, in their order. In the same transaction, what batches
    /// through `anchored` superseded is removed.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn commit(
        &self,
        batch: Batch,
        permits: Vec<WritePermit>,
        anchored: Sequence,
        now: UnixSeconds,
    ) -> Result<(), CommitError> {
        let batch = Arc::new(batch);
        let stored = Arc::clone(&batch);
        let work = move |tx: &rusqlite::Transaction<'_>| commit::batch(tx, &batch, &permits, anchored, now);
        let outcome = self.sqlite.write_hooked(self.hook.clone(), work);
        self.recent.committed(outcome.is_ok().then(|| Arc::unwrap_or_clone(stored).records));
        outcome
    }

    /// Removes the records superseded by batches through `anchored`; returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn drop_superseded(&self, anchored: Sequence) -> Result<usize, StoreError> {
        self.sqlite.write(move |tx| rows::drop_superseded(tx, anchored).map_err(SqlError::from)).map_err(Into::into)
    }

    /// Number of superseded records still kept.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn superseded(&self) -> Result<u64, ReadError> {
        self.sqlite.read(|snapshot| rows::superseded(snapshot).map_err(ReadError::from))
    }

    /// Proof that the log of `new_size` leaves continues that of `old_size`; `None` if the sizes make no sense here.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] if a node is missing.
    pub fn consistency(&self, old_size: u64, new_size: u64) -> Result<Option<Consistency>, ReadError> {
        self.sqlite.read(|snapshot| log::consistency(snapshot, old_size, new_size))
    }

    /// Encoded log entries from `position` on, at most `count`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entries(&self, position: u64, count: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        self.sqlite.read(|snapshot| log::entries(snapshot, position, count))
    }

    /// Entries of the writes to one wallet, newest first. Only its owner is to be given them: the caller sees to that.
    ///
    /// `None` if the log has no tree of that size, or `from` is no place of this wallet's.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn history(&self, wallet: &UserIdHash, query: LogQuery) -> Result<Option<LogPage>, ReadError> {
        self.sqlite.read(|snapshot| history::of_wallet(snapshot, wallet, query))
    }

    /// Entries that are about the deployment itself, such as boots, newest first: every entry that is not about a wallet.
    ///
    /// `None` if the log has no tree of that size.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn events(&self, query: LogQuery) -> Result<Option<LogPage>, ReadError> {
        self.sqlite.read(|snapshot| history::of_deployment(snapshot, query))
    }

    /// The newest event of the deployment itself that is `wanted`, and its place in the log. Looks through all of them, if none is.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn newest_event(&self, wanted: impl Fn(&Entry) -> bool) -> Result<Option<(u64, Entry)>, ReadError> {
        self.sqlite.read(|snapshot| history::newest_event(snapshot, &wanted))
    }

    /// Storage tokens that writes were made with and that have not expired, each with its expiry: what a vault is told at its start, so
    /// that a used token is refused before it is in a batch with other people's writes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn used_tokens(&self, now: UnixSeconds) -> Result<Vec<(Hash32, UnixSeconds)>, ReadError> {
        self.sqlite.read(|snapshot| Ok(rows::used_tokens(snapshot, now)?))
    }

    /// True after a commit with an unknown outcome: the process must stop.
    pub fn is_stopped(&self) -> bool {
        self.sqlite.is_stopped()
    }
}

/// SQLite's integers are signed; our counts stay far below 2^63, and one that does not is damage or an attack.
fn signed(count: u64) -> Option<i64> {
    i64::try_from(count).ok()
}

#[cfg(test)]
mod tests;
