//! Databases of before: what the schema's steps make of them.

use rusqlite::Connection;

use super::history::mixed;
use super::*;
use crate::sqlite::SqlError;

/// Takes the ninth step and the eighth back.
fn unordered(tx: &Connection) -> rusqlite::Result<()> {
    tx.execute_batch(
        "DROP INDEX gateway_transaction_owned; DROP INDEX gateway_transaction_followed; ALTER TABLE gateway_transaction DROP COLUMN owner;
         CREATE TABLE before (wallet BLOB NOT NULL, version INTEGER NOT NULL, outer BLOB NOT NULL, UNIQUE (wallet, version)) STRICT;
         INSERT INTO before (rowid, wallet, version, outer)
         SELECT number, wallet, version, outer FROM records JOIN outers USING (number);
         INSERT INTO before (rowid, wallet, version, outer)
         SELECT number, zeroblob(32), number, outer FROM superseded JOIN outers USING (number);
         ALTER TABLE records DROP COLUMN number; DROP TABLE outers; ALTER TABLE before RENAME TO outers;
         CREATE TABLE before (sequence INTEGER NOT NULL, wallet BLOB NOT NULL, version INTEGER NOT NULL,
         PRIMARY KEY (sequence, wallet, version)) STRICT, WITHOUT ROWID;
         INSERT INTO before SELECT sequence, zeroblob(32), number FROM superseded;
         DROP TABLE superseded; ALTER TABLE before RENAME TO superseded; DROP TABLE log_nodes;
         CREATE TABLE log_nodes (level INTEGER NOT NULL, position INTEGER NOT NULL, hash BLOB NOT NULL CHECK (length(hash) = 32),
         PRIMARY KEY (level, position)) STRICT, WITHOUT ROWID; PRAGMA user_version = 7;",
    )?;
    let mut entries = tx.prepare("SELECT entry FROM log_entries ORDER BY position")?;
    let entries = entries.query_map([], |row| row.get::<_, Vec<u8>>(0))?.collect::<Result<Vec<_>, _>>()?;
    let (mut frontier, mut nodes) = (Frontier::default(), Vec::new());
    entries.iter().for_each(|entry| frontier.append(log::leaf_hash(entry), |node| nodes.push(node)));
    for node in nodes {
        tx.execute(
            "INSERT INTO log_nodes (level, position, hash) VALUES (?1, ?2, ?3)",
            (node.level, signed(node.index), node.hash.0),
        )?;
    }
    Ok(())
}

#[test]
fn records_and_nodes_of_before_are_found_in_their_new_order() {
    let bench = mixed();
    let state = |records: &Records| {
        let read = |db: &Connection| -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
            let mut rows = db.prepare(
                "SELECT place, hash FROM log_nodes UNION ALL SELECT number, outer FROM outers
                 UNION ALL SELECT number, wallet FROM records UNION ALL SELECT sequence, number || '' FROM superseded",
            )?;
            rows.query_map([], |row| Ok((row.get(0)?, row.get_ref(1)?.as_bytes()?.to_vec())))?.collect()
        };
        (
            records.sqlite.read(|db| read(db).map_err(SqlError::from)).unwrap(),
            records.consistency(3, 10).unwrap().unwrap(),
        )
    };
    let written = state(&bench.records);
    assert_eq!(bench.records.superseded().unwrap(), 2, "some records are superseded and not dropped yet");
    bench.records.sqlite.write(|tx| Ok::<_, SqlError>(unordered(tx)?)).unwrap();
    let Bench { _directory, path, records, .. } = bench;
    drop(records);
    let records = Records::new(Sqlite::open(&path).unwrap());
    assert_eq!(state(&records), written);
    assert_eq!((records.drop_superseded(Sequence(6)).unwrap(), records.superseded().unwrap()), (2, 0));
}

/// What a database of before remembers of used permits counts on.
#[test]
fn a_permit_stored_before_the_table_had_its_order_is_used_up() {
    let mut bench = Bench::new();
    let permit = bench.permits(&[1]).remove(0);
    let row = (permit.token.0, permit.number, i64::try_from(permit.expires.0).unwrap());
    let write = move |tx: &rusqlite::Transaction<'_>| {
        unordered(tx)?;
        tx.execute_batch(
            "DROP TABLE spent_permits;
             CREATE TABLE spent_permits (token BLOB NOT NULL, number INTEGER NOT NULL, expires_at INTEGER NOT NULL,
             PRIMARY KEY (token, number)) STRICT, WITHOUT ROWID;
             CREATE INDEX spent_permits_by_expiry ON spent_permits (expires_at); PRAGMA user_version = 4;",
        )?;
        tx.execute("INSERT INTO spent_permits (token, number, expires_at) VALUES (?1, ?2, ?3)", row)?;
        Ok::<_, SqlError>(())
    };
    bench.records.sqlite.write(write).unwrap();
    bench.records = Records::new(Sqlite::open(&bench.path).unwrap());
    assert_eq!(bench.records.used_tokens(NOW).unwrap(), [(permit.token, permit.expires)]);
    let batch = bench.scribe.batch(&[(1, 1)]);
    let result = bench.records.commit(batch, vec![permit], Sequence(0), NOW);
    assert!(matches!(result, Err(CommitError::Forbidden)), "{result:?}");
}

/// What a database of before gets when it is opened is what it would have had.
#[test]
fn an_older_database_is_given_its_chains() {
    let bench = mixed();
    let chains = |records: &Records| -> Vec<(i64, Option<i64>)> {
        let read = |db: &Connection| {
            let mut statement = db.prepare(
                "SELECT position, previous FROM log_entries UNION ALL SELECT version, newest FROM records
                 UNION ALL SELECT position, NULL FROM log_events",
            )?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()
        };
        records.sqlite.read(|db| read(db).map_err(SqlError::from)).unwrap()
    };
    let written = chains(&bench.records);
    bench
        .records
        .sqlite
        .write(|tx| {
            unordered(tx)?;
            Ok::<_, SqlError>(tx.execute_batch(
                "ALTER TABLE records DROP COLUMN newest; ALTER TABLE log_entries DROP COLUMN previous;
                 DROP TABLE log_events; PRAGMA user_version = 3;",
            )?)
        })
        .unwrap();
    let Bench { _directory, path, records, .. } = bench;
    drop(records);
    assert_eq!(chains(&Records::new(Sqlite::open(&path).unwrap())), written);
}
