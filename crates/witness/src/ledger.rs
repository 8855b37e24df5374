//! What the witness remembers: whom it trusts, and the newest checkpoint it cosigned of each log. One SQLite file.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pinseal_protocol::checkpoint::log_of;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::note::{KeyKind, VerifierKey};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params};
use sha2::{Digest as _, Sha256};

/// Logs one witness serves; one more is refused.
const LOGS_MAX: u64 = 10_000;
/// "pswt": whose file this is.
const APPLICATION_ID: i32 = 0x7073_7774;
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS witness (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    key TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS logs (
    origin TEXT PRIMARY KEY,
    key    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cosigned (
    origin      TEXT PRIMARY KEY,
    origin_hash TEXT NOT NULL UNIQUE,
    size        INTEGER NOT NULL,
    root        BLOB NOT NULL CHECK (length(root) = 32),
    note        BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ended (
    deployment TEXT NOT NULL,
    key        TEXT NOT NULL,
    restores   INTEGER NOT NULL,
    PRIMARY KEY (deployment, key)
) STRICT, WITHOUT ROWID;
";

/// Why the ledger does not answer. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is no file: what was cosigned is forgotten, so nothing may be cosigned under the same key.
    #[error("the witness's memory is missing")]
    Missing,
    /// There is a file, and something in it.
    #[error("there is a witness's memory already")]
    Exists,
    /// The memory of a witness with another key: what this one cosigned is not in it.
    #[error("this is the memory of another witness, {0}")]
    Other(String),
    /// Another program's file, or an empty one.
    #[error("the file is not a witness's")]
    Foreign,
    /// A log's key must be an Ed25519 one for plain signatures.
    #[error("not a log's verifier key (signature type 1)")]
    NotALog,
    /// The log is known under another key; a log's key never changes here.
    #[error("this log is known under another key")]
    OtherKey,
    /// Not the key of a log that is served here, or not of a log of a Pinseal deployment.
    #[error("not a deployment's log that is cosigned here")]
    NotServed,
    /// [`LOGS_MAX`] are known.
    #[error("no room for another log")]
    Full,
    /// A row does not read.
    #[error("the file holds a damaged row")]
    Damaged,
    /// See the source.
    #[error("the file cannot be read or written")]
    Sqlite(#[from] rusqlite::Error),
}

/// A log that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Its verifier key, named by its origin.
    pub key: VerifierKey,
    /// The newest checkpoint cosigned.
    pub newest: Option<Cosigned>,
    /// Nothing of it is cosigned any more, see [`Ledger::end`].
    pub has_ended: bool,
}

/// What decides about a checkpoint of one log.
pub(crate) struct Standing {
    /// The newest one cosigned.
    pub(crate) newest: Option<Cosigned>,
    /// Nothing of it is cosigned any more, see [`Ledger::end`].
    pub(crate) has_ended: bool,
}

/// The newest checkpoint cosigned of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// Leaves.
    pub size: u64,
    /// Merkle tree hash.
    pub root: Hash32,
    /// The note with the log's signature and the cosignature.
    pub note: Vec<u8>,
}

/// The file.
pub struct Ledger {
    connection: Mutex<Connection>,
}

impl core::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Ledger")
    }
}

/// The mark of whose file it is, and how many tables are in it.
fn whose(connection: &Connection) -> rusqlite::Result<(i32, i64)> {
    connection.query_row(
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

impl Ledger {
    /// Makes the file, for the witness with this key. One in which nothing was written yet, as an interrupted attempt leaves it, is taken for it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn create(path: &Path, key: &VerifierKey) -> Result<Self, LedgerError> {
        let connection = Connection::open(path)?;
        let (id, tables) = whose(&connection)?;
        if id != APPLICATION_ID && (id != 0 || tables != 0) {
            return Err(LedgerError::Foreign);
        }
        let ledger = Self::over(connection)?;
        let rows =
            "SELECT (SELECT count(*) FROM logs) + (SELECT count(*) FROM cosigned) + (SELECT count(*) FROM ended)";
        let rows: i64 = ledger.lock().query_row(rows, [], |row| row.get(0))?;
        if rows != 0 {
            return Err(LedgerError::Exists);
        }
        let text = key.to_string();
        ledger.lock().execute("INSERT OR REPLACE INTO witness (one, key) VALUES (1, ?1)", [text])?;
        Ok(ledger)
    }

    /// Opens the file that [`Ledger::create`] made for this key. None is made in its place, and no other witness's is taken: one that forgets would
    /// cosign another history.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(path: &Path, key: &VerifierKey) -> Result<Self, LedgerError> {
        if !path.try_exists().unwrap_or(true) {
            return Err(LedgerError::Missing);
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        if whose(&connection)?.0 != APPLICATION_ID {
            return Err(LedgerError::Foreign);
        }
        let ledger = Self::over(connection)?;
        let of: Option<String> = ledger.lock().query_row("SELECT key FROM witness", [], |row| row.get(0)).optional()?;
        match of {
            Some(of) if of == key.to_string() => Ok(ledger),
            Some(of) => Err(LedgerError::Other(of)),
            None => Err(LedgerError::Damaged),
        }
    }

    fn over(connection: Connection) -> Result<Self, LedgerError> {
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        // A cosignature leaves only for what outlives a power cut, and is in this one file: of a write-ahead log beside it somebody would forget to take a
        // copy, and a witness that forgets is worse than none.
        connection.pragma_update(None, "journal_mode", "TRUNCATE")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Serves the log of this key from now on. Its origin is the key's name.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn trust(&self, key: &VerifierKey) -> Result<(), LedgerError> {
        if key.kind() != KeyKind::Ed25519 {
            return Err(LedgerError::NotALog);
        }
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match known_key(&transaction, key.name())? {
            Some(known) if known == *key => return Ok(()),
            Some(_) => return Err(LedgerError::OtherKey),
            None => {}
        }
        let known: i64 = transaction.query_row("SELECT count(*) FROM logs", [], |row| row.get(0))?;
        if u64::try_from(known).unwrap_or(u64::MAX) >= LOGS_MAX {
            return Err(LedgerError::Full);
        }
        transaction.execute("INSERT INTO logs (origin, key) VALUES (?1, ?2)", params![key.name(), key.to_string()])?;
        Ok(transaction.commit()?)
    }

    /// Every log served.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn logs(&self) -> Result<Vec<Served>, LedgerError> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT key FROM logs ORDER BY origin")?;
        let keys = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        let read = |key: String| {
            let key: VerifierKey = key.parse().map_err(|_| LedgerError::Damaged)?;
            let newest = newest(&connection, key.name())?;
            let has_ended = has_ended(&connection, &key)?;
            Ok(Served { key, newest, has_ended })
        };
        keys.into_iter().map(read).collect()
    }

    /// The key of a log, if it is served.
    pub(crate) fn key(&self, origin: &str) -> Result<Option<VerifierKey>, LedgerError> {
        known_key(&self.lock(), origin)
    }

    /// Cosigns nothing of this log any more, nor of those before it, which a restore of their deployment gave up: for ever.
    ///
    /// It happens by itself once the log of a later restore goes on here (see [`Ledger::replace`]). It is for a witness that the restored
    /// deployment has no more.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn end(&self, log: &VerifierKey) -> Result<(), LedgerError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let line = Line::of(log).ok_or(LedgerError::NotServed)?;
        if known_key(&transaction, log.name())?.as_ref() != Some(log) {
            return Err(LedgerError::NotServed);
        }
        line.end_before(&transaction, line.restores.saturating_add(1))?;
        Ok(transaction.commit()?)
    }

    /// The newest note cosigned of the log whose origin has this SHA-256, in lower-case hex.
    pub(crate) fn by_origin_hash(&self, hash: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT note FROM cosigned WHERE origin_hash = ?1")?;
        Ok(statement.query_row([hash], |row| row.get(0)).optional()?)
    }

    /// Replaces the newest checkpoint of a log by what `decide` makes of it, on disk before this returns. An error of `decide`
    /// changes nothing.
    ///
    /// With the second checkpoint of a restored log the deployment's earlier logs end: the enclave makes it after a quorum has cosigned the first
    /// one, and who called the restore off before has none.
    pub(crate) fn replace<E: From<LedgerError>>(
        &self,
        log: &VerifierKey,
        decide: impl FnOnce(Standing) -> Result<Cosigned, E>,
    ) -> Result<(), E> {
        let mut connection = self.lock();
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(LedgerError::from)?;
        let newest = newest(&transaction, log.name())?;
        let size = newest.as_ref().map(|newest| newest.size);
        let has_ended = has_ended(&transaction, log)?;
        let next = decide(Standing { newest, has_ended })?;
        store(&transaction, log.name(), &next)?;
        if let Some(line) = Line::of(log).filter(|_| size.is_some_and(|size| size < next.size)) {
            line.end_before(&transaction, line.restores)?;
        }
        transaction.commit().map_err(LedgerError::from)?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A deployment's log among those before and after it, of one key.
struct Line {
    deployment: String,
    key: String,
    restores: u32,
}

impl Line {
    /// `None` for a log of anything else.
    fn of(log: &VerifierKey) -> Option<Self> {
        let (deployment, restores) = log_of(log.name())?;
        Some(Self { deployment: deployment.to_string(), key: hex::encode(log.key().0), restores })
    }

    /// Ends all logs of fewer restores than this.
    fn end_before(&self, connection: &Connection, restores: u32) -> Result<(), LedgerError> {
        if restores == 0 {
            return Ok(());
        }
        let mut statement = connection.prepare_cached(
            "INSERT INTO ended (deployment, key, restores) VALUES (?1, ?2, ?3)
             ON CONFLICT (deployment, key) DO UPDATE SET restores = max(restores, excluded.restores)",
        )?;
        statement.execute(params![self.deployment, self.key, restores])?;
        Ok(())
    }
}

fn has_ended(connection: &Connection, log: &VerifierKey) -> Result<bool, LedgerError> {
    let Some(Line { deployment, key, restores }) = Line::of(log) else { return Ok(false) };
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM ended WHERE deployment = ?1 AND key = ?2 AND restores > ?3")?;
    Ok(statement.exists(params![deployment, key, restores])?)
}

fn known_key(connection: &Connection, origin: &str) -> Result<Option<VerifierKey>, LedgerError> {
    let mut statement = connection.prepare_cached("SELECT key FROM logs WHERE origin = ?1")?;
    let text: Option<String> = statement.query_row([origin], |row| row.get(0)).optional()?;
    text.map(|text| text.parse().map_err(|_| LedgerError::Damaged)).transpose()
}

fn newest(connection: &Connection, origin: &str) -> Result<Option<Cosigned>, LedgerError> {
    let mut statement = connection.prepare_cached("SELECT size, root, note FROM cosigned WHERE origin = ?1")?;
    let row: Option<(i64, Vec<u8>, Vec<u8>)> =
        statement.query_row([origin], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let Some((size, root, note)) = row else { return Ok(None) };
    let size = u64::try_from(size).map_err(|_| LedgerError::Damaged)?;
    let root = Hash32::from_slice(&root).ok_or(LedgerError::Damaged)?;
    Ok(Some(Cosigned { size, root, note }))
}

fn store(transaction: &Transaction<'_>, origin: &str, next: &Cosigned) -> Result<(), LedgerError> {
    let size = i64::try_from(next.size).map_err(|_| LedgerError::Damaged)?;
    let mut statement = transaction.prepare_cached(
        "INSERT INTO cosigned (origin, origin_hash, size, root, note) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (origin) DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note",
    )?;
    statement.execute(params![origin, hex::encode(Sha256::digest(origin)), size, next.root.0, next.note])?;
    Ok(())
}
