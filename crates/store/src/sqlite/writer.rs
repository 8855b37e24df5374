//! The one thread that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use super::fault::{CommitFault, CommitHook};
use super::open::OpenError;
use super::{SqlError, WRITES_QUEUED_MAX};

/// One transaction and what to do with its outcome. `None` instead of a connection: the writer has stopped.
type Job = Box<dyn FnOnce(Option<&mut Connection>, &AtomicBool) + Send>;

/// The writer thread. Dropping this waits until its mailbox is empty and the file is closed.
pub(super) struct Writer {
    /// Taken by drop alone.
    jobs: Option<SyncSender<Job>>,
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
                if let Err(returned) = jobs.send(job) {
                    (returned.0)(None, &self.stopped);
                }
            }
        }
    }
}

fn run(mut connection: Connection, mailbox: &Receiver<Job>, stopped: &AtomicBool) {
    for job in mailbox {
        // A panic inside a job is a defect of that statement; whether its transaction is clean is not worth guessing.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let connection = if stopped.load(Ordering::Acquire) { None } else { Some(&mut connection) };
            job(connection, stopped);
        }));
        if outcome.is_err() && !connection.is_autocommit() {
            stopped.store(true, Ordering::Release);
        }
    }
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
        Some(CommitFault::Full) => transaction.rollback().and(Err(failure(rusqlite::ffi::SQLITE_FULL))),
        Some(CommitFault::ErrorLost) => transaction.rollback().and(Err(failure(rusqlite::ffi::SQLITE_IOERR))),
        Some(CommitFault::ErrorStored) => transaction.commit().and(Err(failure(rusqlite::ffi::SQLITE_IOERR))),
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

fn failure(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some("injected".into()))
}
