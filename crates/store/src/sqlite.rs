//! One SQLite file: one writer thread, a few read-only connections, migrations.
//!
//! Durability: write-ahead log with `synchronous = FULL`, so a committed transaction is on disk before `COMMIT` returns.
//! Every module of this crate keeps its statements to itself and runs them through [`Sqlite::write`] and [`Sqlite::read`];
//! no type of the driver leaves the crate.

mod fault;
mod open;
mod pool;
mod writer;

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Transaction};

use crate::accounts::Memory;
pub use fault::{CommitFault, CommitHook};
pub use open::OpenError;
pub(crate) use open::existing;
use pool::Pool;
use writer::Writer;

/// Writes that may wait for the writer thread; further callers block, so a slow disk slows them instead of filling memory.
pub const WRITES_QUEUED_MAX: usize = 256;
/// Read-only connections; reads are short and mostly served from the page cache.
pub const READERS: usize = 4;

/// What the driver or the writer thread says, for the modules of this crate to turn into their own errors.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SqlError {
    /// Certainly not stored, or certainly not read.
    #[error("not stored")]
    NotStored(#[source] rusqlite::Error),
    /// The commit failed in a way that leaves open whether it is on disk. Every later write is refused.
    #[error("commit has an unknown outcome")]
    Unknown(#[source] rusqlite::Error),
    /// An earlier commit had an unknown outcome, or the writer thread is gone.
    #[error("the database has stopped")]
    Stopped,
}

/// Before a commit nothing is stored, whatever a statement says; [`writer`] alone reports an unknown outcome.
impl From<rusqlite::Error> for SqlError {
    fn from(error: rusqlite::Error) -> Self {
        Self::NotStored(error)
    }
}

/// Why the database could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Certainly not stored (disk full, busy, constraint), or not read. The caller may try again.
    #[error("the database did not take the change")]
    NotStored(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Whether the change is on disk is unknown. The process must stop; the next start finds out.
    #[error("the database failed while committing; whether the change is stored is unknown")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An earlier write ended as [`StoreError::Unknown`]; nothing is written any more. The process must stop.
    #[error("the database has stopped after a failed commit")]
    Stopped,
}

impl From<SqlError> for StoreError {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::NotStored(source) => Self::NotStored(Box::new(source)),
            SqlError::Unknown(source) => Self::Unknown(Box::new(source)),
            SqlError::Stopped => Self::Stopped,
        }
    }
}

/// A handle on the database; clones share the writer and the readers. The last one dropped ends the writer thread and closes the file, as
/// [`Sqlite::close`] does but without a word about it.
#[derive(Clone)]
pub struct Sqlite {
    // Dropped before the writer, whose connection is the last one then: only a last one that may write copies the log back.
    readers: Arc<Pool>,
    writer: Arc<Writer>,
    memory: Arc<Memory>,
}

impl core::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sqlite").field("stopped", &self.is_stopped()).finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Opens or creates the database (mode 0600) and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`]; a file of a newer release or of another program is left as it is.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = open::writer(path)?;
        let readers = (0..READERS).map(|_| open::reader(path)).collect::<Result<Vec<_>, _>>()?;
        let writer = Arc::new(Writer::start(connection)?);
        Ok(Self { readers: Arc::new(Pool::new(readers)), writer, memory: Arc::default() })
    }

    /// What [`crate::accounts`] remembers of its rows.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Ends the database for every handle: writes that were handed in are carried out, the write-ahead log is copied into the main file and all is
    /// closed. Then the one file is the whole database, unless another process has it open. Later reads and writes fail as [`StoreError::Stopped`].
    ///
    /// # Errors
    /// [`StoreError`]; nothing is lost: the log stays beside the file, as after a crash, and the next start copies it.
    pub fn close(&self) -> Result<(), StoreError> {
        self.readers.close();
        self.writer.close().map_err(StoreError::from)
    }

    /// True after a commit with an unknown outcome, when the process must stop, and once it is closed.
    pub fn is_stopped(&self) -> bool {
        self.writer.is_stopped()
    }

    /// Limits the file to as many pages as it has now and `spare` more, so that a test meets a really full disk.
    ///
    /// # Errors
    /// [`StoreError`].
    #[cfg(any(test, feature = "fault-points"))]
    pub fn limit_pages(&self, spare: u32) -> Result<(), StoreError> {
        self.write(move |tx| {
            let pages: i64 = tx.query_row("PRAGMA page_count", [], |row| row.get(0)).map_err(SqlError::from)?;
            tx.query_row(&format!("PRAGMA max_page_count = {}", pages + i64::from(spare)), [], |_| Ok(()))
                .map_err(SqlError::from)?;
            Ok::<_, SqlError>(())
        })
        .map_err(StoreError::from)
    }

    /// Holds up every write until the result is dropped, so that a test can look at what is under way meanwhile.
    #[cfg(any(test, feature = "fault-points"))]
    pub fn hold_writes(&self) -> std::sync::mpsc::Sender<()> {
        let ((held, end), (began, begun)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
        let hold = move |_: &Transaction<'_>| {
            let _ = began.send(());
            // Nobody sends: the other end is dropped.
            let _ = end.recv();
            Ok::<_, SqlError>(())
        };
        self.write_then(hold, |_| ());
        // An error only if the writer has stopped, and then nothing is written anyway.
        let _ = begun.recv();
        held
    }

    /// Writes that wait for their turn.
    #[cfg(any(test, feature = "fault-points"))]
    pub fn writes_waiting(&self) -> usize {
        self.writer.waiting()
    }

    /// Runs `work` in one immediate transaction on the writer thread and waits for the commit. An error of `work` rolls back.
    pub(crate) fn write<T, E>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<SqlError> + Send + 'static,
    {
        self.write_hooked(None, work)
    }

    /// [`Sqlite::write`] with a hook around the commit.
    pub(crate) fn write_hooked<T, E>(
        &self,
        hook: Option<Arc<dyn CommitHook>>,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<SqlError> + Send + 'static,
    {
        let (done, outcome) = std::sync::mpsc::sync_channel(1);
        self.writer.submit(
            hook,
            work,
            // The receiver waits below; if its thread is gone nobody wants the outcome.
            move |result| drop(done.send(result)),
        );
        outcome.recv().unwrap_or_else(|_| Err(SqlError::Stopped.into()))
    }

    /// As [`Sqlite::write`], but returns at once (unless the queue is full) and calls `done` on the writer thread after the
    /// commit. `done` must be short; from an async task hand it a oneshot sender.
    #[allow(dead_code, reason = "offered to every module of the crate; which ones use it changes")]
    pub(crate) fn write_then<T, E>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
        done: impl FnOnce(Result<T, E>) + Send + 'static,
    ) where
        T: Send + 'static,
        E: From<SqlError> + Send + 'static,
    {
        self.writer.submit(None, work, done);
    }

    /// Runs `work` on a read-only connection, within one snapshot.
    pub(crate) fn read<T, E>(&self, work: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E>
    where
        E: From<SqlError>,
    {
        let connection = self.readers.take().ok_or(SqlError::Stopped)?;
        let snapshot = connection.unchecked_transaction().map_err(SqlError::from)?;
        work(&snapshot)
    }
}

#[cfg(test)]
mod tests;
