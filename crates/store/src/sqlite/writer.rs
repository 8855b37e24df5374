//! The one thread that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use super::fault::{CommitFault, CommitHook};
use super::open::OpenError;
use super::{SqlError, WRITES_QUEUED_MAX};

/// Says of an error that a [`CommitHook`] made it.
const INJECTED: &str = "injected";

/// One transaction and what to do with its outcome. `None` instead of a connection: the writer has stopped, or closed the file.
type Job = Box<dyn FnOnce(Option<&mut Connection>, &AtomicBool) + Send>;

/// What the writer thread is asked for.
enum Work {
    Write(Job),
    /// Copy the log into the main file and close it.
    Close(SyncSender<Result<(), SqlError>>),
}

/// The writer thread. Dropping this waits until its mailbox is empty and the file is closed.
pub(super) struct Writer {
    /// Taken by drop alone.
    jobs: Option<SyncSender<Work>>,
    thread: Option<JoinHandle<()>>,
    stopped: Arc<AtomicBool>,
    waiting: Arc<AtomicUsize>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        // The last handle may go inside a callback, on the writer thread itself.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic there was caught per job; nothing is left to report.
            let _ = thread.join();
        }
    }
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, OpenError> {
        let (jobs, mailbox) = sync_channel(WRITES_QUEUED_MAX);
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stopped);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(connection, &mailbox, &flag))
            .map_err(OpenError::Thread)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), stopped, waiting: Arc::default() })
    }

    /// Writes that were handed in and have not begun.
    #[cfg(any(test, feature = "fault-points"))]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(super) fn submit<T, E>(
        &self,
        hook: Option<Arc<dyn CommitHook>>,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
        done: impl FnOnce(Result<T, E>) + Send + 'static,
    ) where
        T: Send + 'static,
        E: From<SqlError> + Send + 'static,
    {
        let waiting = Arc::clone(&self.waiting);
        waiting.fetch_add(1, Ordering::AcqRel);
        let job: Job = Box::new(move |connection, stopped| {
            waiting.fetch_sub(1, Ordering::AcqRel);
            done(match connection {
                Some(connection) => transact(connection, stopped, hook.as_deref(), work),
                None => Err(SqlError::Stopped.into()),
            });
        });
        match &self.jobs {
            None => job(None, &self.stopped),
            Some(jobs) => {
                if let Err(SendError(Work::Write(job))) = jobs.send(Work::Write(job)) {
                    job(None, &self.stopped);
                }
            }
        }
    }

    /// Closes the file once everything handed in before is written; whatever is handed in later is refused.
    pub(super) fn close(&self) -> Result<(), SqlError> {
        let (done, outcome) = sync_channel(1);
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(Work::Close(done)).is_ok());
        if sent { outcome.recv().unwrap_or(Err(SqlError::Stopped)) } else { Err(SqlError::Stopped) }
    }
}

fn run(connection: Connection, mailbox: &Receiver<Work>, stopped: &AtomicBool) {
    let mut open = Some(connection);
    for work in mailbox {
        let job = match work {
            Work::Write(job) => job,
            Work::Close(done) => {
                let had_stopped = stopped.swap(true, Ordering::AcqRel);
                let closed = match open.take_if(|_| !had_stopped) {
                    Some(connection) => copy_back(connection).map_err(SqlError::NotStored),
                    None => Err(SqlError::Stopped),
                };
                // Whoever asked has gone: it is closed all the same.
                let _ = done.send(closed);
                continue;
            }
        };
        // A panic inside a job is a defect of that statement; whether its transaction is clean is not worth guessing.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let connection = if stopped.load(Ordering::Acquire) { None } else { open.as_mut() };
            job(connection, stopped);
        }));
        if outcome.is_err() && open.as_ref().is_some_and(|connection| !connection.is_autocommit()) {
            stopped.store(true, Ordering::Release);
        }
    }
    if let Some(connection) = open.filter(|_| stopped.load(Ordering::Acquire)) {
        // After a commit of unknown outcome the log stays as it lies there, for the next start to find out.
        let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }
}

/// Copies the log into the main file, synced, and closes it; SQLite removes the log then, unless another process has the file open. Not within a
/// transaction: it would keep the log from being copied.
fn copy_back(connection: Connection) -> rusqlite::Result<()> {
    let is_busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if is_busy {
        return Err(failure(rusqlite::ffi::SQLITE_BUSY, "another process reads the log"));
    }
    connection.close().map_err(|(_, error)| error)
}

/// Runs one transaction. Only an error of `COMMIT` that leaves its outcome open stops the writer: SQLite writes the commit
/// frame last, so a failed write (full) left no valid one, while a failed sync may have.
fn transact<T, E: From<SqlError>>(
    connection: &mut Connection,
    stopped: &AtomicBool,
    hook: Option<&dyn CommitHook>,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(SqlError::NotStored)?;
    // Dropping the transaction on the way out rolls it back.
    let value = work(&transaction)?;
    let fault = hook.and_then(CommitHook::before_commit);
    let committed = match fault {
        None => transaction.commit(),
        Some(CommitFault::Full) => transaction.rollback().and(Err(failure(rusqlite::ffi::SQLITE_FULL, INJECTED))),
        Some(CommitFault::ErrorLost) => transaction.rollback().and(Err(failure(rusqlite::ffi::SQLITE_IOERR, INJECTED))),
        Some(CommitFault::ErrorStored) => transaction.commit().and(Err(failure(rusqlite::ffi::SQLITE_IOERR, INJECTED))),
    };
    let Err(error) = committed else {
        if let Some(hook) = hook {
            hook.after_commit();
        }
        return Ok(value);
    };
    if is_certain(&error) && connection.is_autocommit() {
        return Err(SqlError::NotStored(error).into());
    }
    stopped.store(true, Ordering::Release);
    Err(SqlError::Unknown(error).into())
}

/// True for errors of `COMMIT` after which nothing of the transaction is on disk.
fn is_certain(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::ConstraintViolation
        )
    )
}

fn failure(code: i32, why: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(why.into()))
}
