//! A whole copy of a database that may be in use, also by another process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::Connection;

use crate::records::{self, End, Newest, ReadError};
use crate::sqlite::{self, OpenError};

/// Why there is no copy. A part of it may lie at its place.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// What is to be copied, or its copy, does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something lies where the copy is to lie, or nothing can be written there; see the source.
    #[error("cannot write the copy's file")]
    File(#[source] io::Error),
    /// The driver failed, for want of room for instance; see the source.
    #[error("cannot copy the database")]
    Driver(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The copy cannot be read: what was copied is damaged.
    #[error("the copy cannot be read")]
    Copy(#[source] ReadError),
}

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Its newest checkpoint, which the log's end was compared with; `None` without a deployment.
    pub newest: Option<Newest>,
    /// The newest entry of its log, encoded.
    pub newest_entry: Option<Vec<u8>>,
    /// Its wallets.
    pub wallets: u64,
    /// Length of its file.
    pub bytes: u64,
}

/// Writes what is committed in `from` into a new file (mode 0600): one snapshot, whole and on disk when this returns. Who serves from it reads and
/// writes meanwhile, though its write-ahead log grows by what is written. The copy is one file, of the same schema, without free pages: nothing
/// that was deleted is in it.
///
/// # Errors
/// [`CopyError`]; nothing in `from` was changed.
pub fn copy(from: &Path, to: &Path) -> Result<Copied, CopyError> {
    let connection = sqlite::existing(from)?;
    // SQLite takes an empty file for a new one, and leaves its mode.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(CopyError::File)?;
    vacuum_into(&connection, to).map_err(|error| CopyError::Driver(Box::new(error)))?;
    let End { newest, newest_entry, wallets } = records::end(&sqlite::existing(to)?).map_err(CopyError::Copy)?;
    // SQLite syncs nothing of what it wrote there.
    let synced = File::open(to).and_then(|file| file.sync_all().and_then(|()| file.metadata()));
    let bytes = synced.map_err(CopyError::File)?.len();
    Ok(Copied { newest, newest_entry, wallets, bytes })
}

fn vacuum_into(connection: &Connection, to: &Path) -> rusqlite::Result<()> {
    let Some(to) = to.to_str() else { return Err(rusqlite::Error::InvalidPath(to.to_owned())) };
    connection.execute("VACUUM INTO ?1", [to]).map(drop)
}
