#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::mpsc::channel;

use pinseal_protocol::kdf;

use super::*;
use crate::backup::{CopyError, copy};

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pinseal.db");
    (directory, path)
}

fn count(sqlite: &Sqlite) -> i64 {
    sqlite.read(|db| db.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).map_err(SqlError::from)).unwrap()
}

fn insert(tx: &Transaction<'_>) -> Result<(), SqlError> {
    tx.execute("INSERT INTO t VALUES (randomblob(3000))", [])?;
    Ok(())
}

fn with_table() -> (tempfile::TempDir, Sqlite) {
    let (directory, path) = place();
    let sqlite = Sqlite::open(&path).unwrap();
    sqlite.write(|tx| Ok::<_, SqlError>(tx.execute_batch("CREATE TABLE t (x)")?)).unwrap();
    (directory, sqlite)
}

/// A hook with one answer.
struct Failing(CommitFault);

impl CommitHook for Failing {
    fn before_commit(&self) -> Option<CommitFault> {
        Some(self.0)
    }
}

#[test]
fn a_commit_is_synced_to_the_write_ahead_log() {
    let (_directory, path) = place();
    let sqlite = Sqlite::open(&path).unwrap();
    let modes = sqlite
        .write(|tx| {
            let text = |pragma: &str| tx.query_row(pragma, [], |row| row.get::<_, String>(0));
            let number = |pragma: &str| tx.query_row(pragma, [], |row| row.get::<_, i64>(0));
            Ok::<_, SqlError>((
                text("PRAGMA journal_mode")?,
                number("PRAGMA synchronous")?,
                number("PRAGMA foreign_keys")?,
            ))
        })
        .unwrap();
    assert_eq!(modes, ("wal".to_owned(), 2, 1));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(path.with_extension("db-wal")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn opening_again_keeps_what_was_written() {
    let (_directory, path) = place();
    let sqlite = Sqlite::open(&path).unwrap();
    sqlite.write(|tx| Ok::<_, SqlError>(tx.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)")?)).unwrap();
    drop(sqlite);
    assert_eq!(count(&Sqlite::open(&path).unwrap()), 1);
}

/// What a copy of the one file, and of nothing beside it, holds.
fn of_the_file_alone(path: &std::path::Path) -> i64 {
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy.db");
    std::fs::copy(path, &copy).unwrap();
    count(&Sqlite::open(&copy).unwrap())
}

#[test]
fn once_closed_the_one_file_is_the_whole_database_and_nothing_is_read_or_written_any_more() {
    let (directory, sqlite) = with_table();
    let path = directory.path().join("pinseal.db");
    sqlite.write(insert).unwrap();
    assert!(std::fs::metadata(path.with_extension("db-wal")).unwrap().len() > 0);
    let other = sqlite.clone();
    sqlite.close().unwrap();
    for side in ["db-wal", "db-shm"] {
        assert!(!path.with_extension(side).exists(), "{side}");
    }
    assert_eq!(of_the_file_alone(&path), 1);
    assert!(matches!(other.write(insert), Err(SqlError::Stopped)) && other.is_stopped());
    assert!(matches!(other.read(|_| Ok::<_, SqlError>(())), Err(SqlError::Stopped)));
    assert!(matches!(other.close(), Err(StoreError::Stopped)), "once");
    drop((sqlite, other));
    assert_eq!(count(&Sqlite::open(&path).unwrap()), 1);
}

#[test]
fn the_last_handle_dropped_leaves_the_one_file() {
    let (directory, sqlite) = with_table();
    let path = directory.path().join("pinseal.db");
    sqlite.write(insert).unwrap();
    drop((sqlite.clone(), sqlite));
    assert!(!path.with_extension("db-wal").exists());
    assert_eq!(of_the_file_alone(&path), 1);
}

#[test]
fn a_log_that_another_process_still_reads_is_not_said_to_be_copied_and_nothing_is_lost() {
    let (directory, sqlite) = with_table();
    let path = directory.path().join("pinseal.db");
    let other = Connection::open(&path).unwrap();
    let snapshot = other.unchecked_transaction().unwrap();
    let before: i64 = snapshot.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    sqlite.write(insert).unwrap();
    assert!(matches!(sqlite.close(), Err(StoreError::NotStored(_))));
    drop(snapshot);
    drop((sqlite, other));
    assert_eq!((before, count(&Sqlite::open(&path).unwrap())), (0, 1));
}

#[test]
fn a_copy_holds_what_is_committed_alone_and_is_made_beside_whoever_writes() {
    let (directory, sqlite) = with_table();
    let (from, to) = (directory.path().join("pinseal.db"), directory.path().join("copy.db"));
    for _ in 0..200 {
        sqlite.write(insert).unwrap();
    }
    // Deleted, and the file keeps its pages.
    sqlite.write(|tx| Ok::<_, SqlError>(tx.execute("DELETE FROM t WHERE rowid > 3", [])?)).unwrap();
    // Under way, and not committed while the copy is made.
    let length = sqlite
        .write(move |tx| {
            insert(tx)?;
            Ok::<_, SqlError>(copy(&from, &to).unwrap().bytes)
        })
        .unwrap();
    let to = directory.path().join("copy.db");
    let file = std::fs::metadata(&to).unwrap();
    assert_eq!((file.len(), file.permissions().mode() & 0o777), (length, 0o600));
    // 600 KB were deleted; the tables of the schema alone take 240.
    assert!(length < 300_000, "{length} bytes: what was deleted is in it");
    assert!(!directory.path().join("copy.db-wal").exists());
    assert_eq!((of_the_file_alone(&to), count(&sqlite)), (3, 4));
    // It is a database like the other.
    let copied = Sqlite::open(&to).unwrap();
    copied.write(insert).unwrap();
    assert_eq!(count(&copied), 4);
}

#[test]
fn nothing_is_copied_over_and_nothing_foreign_or_missing_is_copied() {
    let (directory, _sqlite) = with_table();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("there"), b"mine").unwrap();
    assert!(matches!(copy(&at("pinseal.db"), &at("there")), Err(CopyError::File(_))));
    assert_eq!(std::fs::read(at("there")).unwrap(), b"mine");
    assert!(matches!(copy(&at("there"), &at("copy")), Err(CopyError::Open(OpenError::Damaged(_)))));
    assert!(matches!(copy(&at("nowhere"), &at("copy")), Err(CopyError::Open(OpenError::Driver(_)))));
    assert!(!at("copy").exists() && !at("nowhere").exists());
}

#[test]
fn after_a_commit_of_unknown_outcome_nothing_is_copied_back() {
    for closes in [true, false] {
        let (directory, sqlite) = with_table();
        let hook: Arc<dyn CommitHook> = Arc::new(Failing(CommitFault::ErrorStored));
        assert!(matches!(sqlite.write_hooked(Some(hook), insert), Err(SqlError::Unknown(_))));
        let log = || std::fs::read(directory.path().join("pinseal.db-wal")).unwrap();
        let before = log();
        assert!(!closes || matches!(sqlite.close(), Err(StoreError::Stopped)));
        drop(sqlite);
        assert!(!before.is_empty() && log() == before);
    }
}

#[test]
fn a_newer_schema_is_refused_and_left_as_it_is() {
    let (_directory, path) = place();
    drop(Sqlite::open(&path).unwrap());
    let db = Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    let before = std::fs::read(&path).unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("newer release"));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_foreign_or_damaged_file_is_refused_and_left_as_it_is() {
    let (_directory, path) = place();
    let db = Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE someone_elses (x)").unwrap();
    drop(db);
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Sqlite::open(&path), Err(OpenError::Foreign)));
    assert_eq!(std::fs::read(&path).unwrap(), before);

    std::fs::write(&path, [b'x'; 5000]).unwrap();
    assert!(matches!(Sqlite::open(&path), Err(OpenError::Damaged(_))));
    assert_eq!(std::fs::read(&path).unwrap(), [b'x'; 5000]);
}

#[test]
fn an_error_of_the_work_rolls_back() {
    let (_directory, sqlite) = with_table();
    let result = sqlite.write(|tx| {
        insert(tx)?;
        Err::<(), _>(SqlError::Stopped)
    });
    assert!(matches!(result, Err(SqlError::Stopped)));
    assert_eq!(count(&sqlite), 0);
    assert!(!sqlite.is_stopped());
}

#[test]
fn a_panic_of_the_work_rolls_back_and_the_writer_goes_on() {
    let (_directory, sqlite) = with_table();
    let result = sqlite.write(|tx| {
        insert(tx)?;
        if count_in(tx)? == 1 {
            std::panic::resume_unwind(Box::new("defect"));
        }
        Ok::<(), SqlError>(())
    });
    assert!(matches!(result, Err(SqlError::Stopped)));
    assert_eq!(count(&sqlite), 0);
    sqlite.write(insert).unwrap();
    assert_eq!(count(&sqlite), 1);
}

fn count_in(tx: &Transaction<'_>) -> Result<i64, SqlError> {
    Ok(tx.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?)
}

#[test]
fn a_really_full_disk_is_certainly_not_stored_and_writing_goes_on_when_there_is_room() {
    let (_directory, sqlite) = with_table();
    sqlite.limit_pages(2).unwrap();
    let mut stored = 0;
    let error = loop {
        match sqlite.write(insert) {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100, "the limit does not hold");
    };
    assert!(matches!(error, SqlError::NotStored(_)), "{error:?}");
    assert_eq!(count(&sqlite), stored);
    sqlite.limit_pages(1_000).unwrap();
    sqlite.write(insert).unwrap();
    assert_eq!(count(&sqlite), stored + 1);
}

#[test]
fn a_full_commit_is_certain_and_an_input_output_error_is_not() {
    let (_directory, sqlite) = with_table();
    let result = sqlite.write_hooked(Some(Arc::new(Failing(CommitFault::Full))), insert);
    assert!(matches!(result, Err(SqlError::NotStored(_))));
    assert_eq!(count(&sqlite), 0);
    sqlite.write(insert).unwrap();

    for (fault, stored) in [(CommitFault::ErrorLost, 0), (CommitFault::ErrorStored, 1)] {
        let (_directory, sqlite) = with_table();
        let result = sqlite.write_hooked(Some(Arc::new(Failing(fault))), insert);
        assert!(matches!(result, Err(SqlError::Unknown(_))));
        assert_eq!(count(&sqlite), stored);
        assert!(sqlite.is_stopped());
        assert!(matches!(sqlite.write(insert), Err(SqlError::Stopped)), "nothing is written after an unknown outcome");
    }
}

#[test]
fn a_callback_runs_after_the_commit() {
    let (_directory, sqlite) = with_table();
    let (done, outcome) = channel();
    sqlite.write_then(insert, move |result: Result<(), SqlError>| done.send(result.is_ok()).unwrap());
    assert!(outcome.recv().unwrap());
    assert_eq!(count(&sqlite), 1);
}

#[test]
fn readers_cannot_write() {
    let (_directory, sqlite) = with_table();
    let result = sqlite.read(|db| db.execute("INSERT INTO t VALUES (1)", []).map_err(SqlError::from));
    assert!(matches!(result, Err(SqlError::NotStored(_))));
}

/// A released schema step never changes: whoever needs another schema adds a step, and its hash here.
#[test]
fn released_schema_steps_stay_as_they_are() {
    let hashes = open::MIGRATIONS.iter().map(|step| kdf::hash("schema", &[step.as_bytes()]).to_string());
    let released = [
        "724cc92024a63097527cea12308a4544e0424972275481e84f10bb64718a48d9",
        "84c88156c3c0cf4eb74039a463a97e447697d908f84edcf57e295b43e737937f",
        "fe2409888e7a563785289cf401ddf671a80ceed0a7b8830a04e81c1d3dd9db4c",
        "207b46fe66fcf1a9fd349bb5c4ffea4a3c2d91ffe04e83501b68bf603acd5557",
        "60f537e3bc6c43af081ccfe983802f5c2f0caee9e6119246eb05d8292fb3b784",
        "4adcb9d7674e9221d66010f022e01b17562ad41d8a03c31786b7bf6bddc680eb",
        "24d752a5ef2e6bb7d80c7b8e1efd4275ae9bc07126eb14f17809a51a494b902e",
        "3f38a697526ed89eff5342e3afed0a9dd569c24595b6bed6b6b68718abbd0492",
        "3a526b7ef41d38359545afaa9b74132cf6d2e3ba54e2e385125568e51bec5aea",
        "0459377a49113c520f5c31461947433de9ac4bc0c1496c490d6c30c7a298cb87",
        "d7dda8af97e27d89412dc3d31dc7adcd037d38e57c942fd63c401674a852c6d7",
        "072864f16d28b60610f62293e18c7f96c07416aa667517bdd99991adad5a6052",
    ];
    assert_eq!(hashes.collect::<Vec<_>>(), released);
}
