//! Opening the file: whose it is, which schema it has, and bringing that up to date.

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// Pages of the write-ahead log from which on they are copied into the file: 16 MiB. A page that was written again meanwhile is copied once, and
/// the newest of a batch's pages (the ends of the log's tables, records of who is busy) are written again and again.
const LOG_PAGES: i64 = 4_096;
/// Marks the file as ours (`PRAGMA application_id`): "PSL1".
const APPLICATION_ID: i32 = 0x5053_4c31;
/// How long to wait for another process (a maintenance command) that holds the write lock.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Prepared statements each connection keeps: about as many as the crate has.
const STATEMENTS_CACHED: usize = 128;
/// The schema, one step after the other; `user_version` counts the steps a file has seen. A step never changes once released.
pub(super) const MIGRATIONS: &[&str] = &[
    crate::records::SCHEMA,
    crate::accounts::SCHEMA,
    crate::gateway::SCHEMA,
    crate::records::HISTORY_SCHEMA,
    crate::records::PERMITS_SCHEMA,
    crate::accounts::THEMES_SCHEMA,
    crate::accounts::MASKED_SCHEMA,
    crate::records::ORDER_SCHEMA,
    crate::accounts::EXPIRY_SCHEMA,
    crate::gateway::OWNERS_SCHEMA,
    crate::gateway::SETTLED_SCHEMA,
    crate::gateway::FOLLOWED_SCHEMA,
];

/// Why the database does not open. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be created or opened; see the source.
    #[error("cannot open the database file")]
    File(#[source] io::Error),
    /// Written by a newer release: run that one, or restore a backup made before the upgrade.
    #[error("the database has schema {found}, this program knows up to {known}: it was written by a newer release")]
    Newer {
        /// Schema of the file.
        found: u32,
        /// Newest schema of this program.
        known: u32,
    },
    /// A SQLite file of another program.
    #[error("the database file belongs to another program")]
    Foreign,
    /// Not a SQLite file, or damaged: restore a backup.
    #[error("the database file is damaged or not a database")]
    Damaged(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The driver failed otherwise; see the source.
    #[error("cannot open the database")]
    Driver(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No thread for the writer.
    #[error("cannot start the writer thread")]
    Thread(#[source] io::Error),
}

impl From<rusqlite::Error> for OpenErrorFromDriver {
    fn from(error: rusqlite::Error) -> Self {
        Self(match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::Damaged(Box::new(error)),
            _ => OpenError::Driver(Box::new(error)),
        })
    }
}

/// Lets `?` classify driver errors without making the driver part of [`OpenError`]'s interface.
struct OpenErrorFromDriver(OpenError);

impl From<OpenErrorFromDriver> for OpenError {
    fn from(error: OpenErrorFromDriver) -> Self {
        error.0
    }
}

/// The connection of the writer thread, migrated.
pub(super) fn writer(path: &Path) -> Result<Connection, OpenError> {
    // SQLite gives its side files the mode of the main one.
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(OpenError::File)?;
    Ok(prepare(path)?)
}

/// A connection to a file that is there and ours, whatever step its schema is at. It writes nothing by itself.
pub(crate) fn existing(path: &Path) -> Result<Connection, OpenError> {
    Ok(connect(path)?)
}

fn connect(path: &Path) -> Result<Connection, OpenErrorFromDriver> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_WAIT)?;
    keep_statements(&connection)?;
    // Whose file it is comes first: journal mode and migrations write to it.
    check(&connection)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

fn prepare(path: &Path) -> Result<Connection, OpenErrorFromDriver> {
    let mut connection = connect(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    migrate(&mut connection)?;
    // After a failed sync the pages may sit in the system's cache only, marked clean. Copying the log into the main file
    // writes them anew, so what this process reads is what survives a power cut.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(connection)
}

/// A read-only connection.
pub(super) fn reader(path: &Path) -> Result<Connection, OpenError> {
    let open = || -> Result<Connection, OpenErrorFromDriver> {
        let connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_WAIT)?;
        keep_statements(&connection)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    };
    Ok(open()?)
}

/// Statements are compiled once. Without the stability guarantee, SQLite compiles one anew whenever a bound value differs from the last
/// one, in case the statistics of that value suggested another plan; that took longer than running it.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Refuses a file that is not ours or newer than this program.
fn check(connection: &Connection) -> Result<u32, OpenErrorFromDriver> {
    let id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let fresh = id == 0 && found == 0 && tables == 0;
    if id != APPLICATION_ID && !fresh {
        return Err(OpenErrorFromDriver(OpenError::Foreign));
    }
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(OpenErrorFromDriver(OpenError::Newer { found, known }));
    }
    Ok(found)
}

/// Each missing step in a transaction of its own, together with its number.
fn migrate(connection: &mut Connection) -> Result<(), OpenErrorFromDriver> {
    for (number, step) in (1_u32..).zip(MIGRATIONS) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Asked again under the write lock: another process may have migrated meanwhile.
        if check(&transaction)? >= number {
            continue;
        }
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}
