//! Records: current and superseded rows, headers, owners.

use pinseal_protocol::ids::{Hash32, Sequence, UnixSeconds, UserIdHash, Version};
use pinseal_protocol::wire::{Header, RecordWrite};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{CommitError, ReadError, ReadErrorFromDriver, signed};
use crate::sqlite::SqlError;
use crate::vault::SPENT_MAX;

/// Wallet, version, hash of the record.
type HeaderRow = ([u8; 32], i64, [u8; 32]);
/// Subject, wallet.
type OwnerRow = ([u8; 32], [u8; 32]);

/// What a record takes the place of.
struct Replaced {
    version: i64,
    /// Its row in `outers`; `None` only in a database that somebody has changed.
    number: Option<i64>,
    /// Where the wallet's newest log entry is.
    newest: Option<i64>,
}

/// The current record of a wallet.
pub(super) fn outer(snapshot: &Connection, wallet: &UserIdHash) -> Result<Option<Vec<u8>>, ReadErrorFromDriver> {
    Ok(snapshot
        .prepare_cached("SELECT outer FROM records JOIN outers USING (number) WHERE wallet = ?1")?
        .query_row([wallet.0], |row| row.get(0))
        .optional()?)
}

/// Headers in ascending order of wallet. Reads the `records` table alone, which holds hardly anything else.
pub(super) fn headers(
    snapshot: &Connection,
    after: Option<UserIdHash>,
    count: usize,
) -> Result<Vec<Header>, ReadError> {
    let rows = |after: Option<UserIdHash>| -> Result<Vec<HeaderRow>, ReadErrorFromDriver> {
        // The empty blob sorts before every wallet.
        let after = after.map_or_else(Vec::new, |wallet| wallet.0.to_vec());
        let mut statement = snapshot
            .prepare_cached("SELECT wallet, version, hash FROM records WHERE wallet > ?1 ORDER BY wallet LIMIT ?2")?;
        let rows = statement.query_map(params![after, i64::try_from(count).unwrap_or(i64::MAX)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    rows(after)?
        .into_iter()
        .map(|(wallet, version, hash)| {
            Ok(Header {
                wallet: UserIdHash(wallet),
                version: Version(u64::try_from(version).map_err(|_| ReadError::Damaged)?),
                outer: Hash32(hash),
            })
        })
        .collect()
}

/// Number of wallets.
pub(super) fn count(snapshot: &Connection) -> Result<u64, ReadErrorFromDriver> {
    let count: i64 = snapshot.query_row("SELECT count(*) FROM records", [], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// Tokens of permits that are remembered, with their expiry; the latest first, at most as many as a vault remembers.
pub(super) fn used_tokens(
    snapshot: &Connection,
    now: UnixSeconds,
) -> Result<Vec<(Hash32, UnixSeconds)>, ReadErrorFromDriver> {
    let mut statement = snapshot.prepare(
        "SELECT DISTINCT token, expires_at FROM spent_permits WHERE expires_at > ?1 ORDER BY expires_at DESC LIMIT ?2",
    )?;
    let bounds = params![signed(now.0).unwrap_or(i64::MAX), i64::try_from(SPENT_MAX).unwrap_or(i64::MAX)];
    let rows = statement.query_map(bounds, |row| {
        Ok((Hash32(row.get(0)?), UnixSeconds(u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0))))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// `Some` if the wallet is the subject's, `None` if neither is known yet.
pub(super) fn is_owner(snapshot: &Connection, subject: &Hash32, wallet: &UserIdHash) -> Result<Option<()>, ReadError> {
    let rows = || -> Result<Vec<OwnerRow>, ReadErrorFromDriver> {
        let mut statement =
            snapshot.prepare_cached("SELECT subject, wallet FROM wallet_owners WHERE subject = ?1 OR wallet = ?2")?;
        let rows = statement.query_map(params![subject.0, wallet.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    match rows()?.as_slice() {
        [] => Ok(None),
        [(owner, owned)] if *owner == subject.0 && *owned == wallet.0 => Ok(Some(())),
        _ => Err(ReadError::Foreign),
    }
}

pub(super) fn remember_owner(
    tx: &Connection,
    subject: &Hash32,
    wallet: &UserIdHash,
) -> Result<(), ReadErrorFromDriver> {
    tx.prepare_cached("INSERT INTO wallet_owners (subject, wallet) VALUES (?1, ?2)")?
        .execute(params![subject.0, wallet.0])?;
    Ok(())
}

/// Stores one record beside the one it replaces, which is noted as superseded by `sequence`, and where its log entry is. Returns where the
/// one before is.
pub(super) fn write(
    tx: &Connection,
    record: &RecordWrite,
    sequence: i64,
    position: Option<i64>,
) -> Result<Option<i64>, CommitError> {
    let version = signed(record.version.0).ok_or(CommitError::Discontinuous)?;
    let replaced: Option<Replaced> = tx
        .prepare_cached("SELECT version, number, newest FROM records WHERE wallet = ?1")
        .and_then(|mut statement| {
            let row = |row: &Row<'_>| Ok(Replaced { version: row.get(0)?, number: row.get(1)?, newest: row.get(2)? });
            statement.query_row([record.wallet.0], row).optional()
        })
        .map_err(SqlError::from)?;
    if replaced.as_ref().is_some_and(|replaced| replaced.version.checked_add(1) != Some(version)) {
        return Err(CommitError::Discontinuous);
    }
    let newest = replaced.as_ref().and_then(|replaced| replaced.newest);
    let store = || -> rusqlite::Result<()> {
        if let Some(number) = replaced.and_then(|replaced| replaced.number) {
            tx.prepare_cached("INSERT INTO superseded (sequence, number) VALUES (?1, ?2)")?
                .execute([sequence, number])?;
        }
        tx.prepare_cached("INSERT INTO outers (outer) VALUES (?1)")?.execute([record.outer.as_slice()])?;
        tx.prepare_cached(
            "INSERT INTO records (wallet, version, hash, number, newest) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (wallet) DO UPDATE
             SET version = excluded.version, hash = excluded.hash, number = excluded.number, newest = excluded.newest",
        )?
        .execute(params![
            record.wallet.0,
            version,
            record.hash.0,
            tx.last_insert_rowid(),
            position.or(newest)
        ])?;
        Ok(())
    };
    store().map_err(SqlError::from)?;
    Ok(newest)
}

pub(super) fn drop_superseded(tx: &Connection, anchored: Sequence) -> rusqlite::Result<usize> {
    let anchored = signed(anchored.0).unwrap_or(i64::MAX);
    let dropped = tx
        .prepare_cached("DELETE FROM outers WHERE number IN (SELECT number FROM superseded WHERE sequence <= ?1)")?
        .execute([anchored])?;
    tx.prepare_cached("DELETE FROM superseded WHERE sequence <= ?1")?.execute([anchored])?;
    Ok(dropped)
}

pub(super) fn superseded(snapshot: &Connection) -> Result<u64, ReadErrorFromDriver> {
    let count: i64 = snapshot.query_row("SELECT count(*) FROM superseded", [], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}
