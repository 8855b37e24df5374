//! Sent transactions: recorded before they leave, followed until they are final, listed ever after.

use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::intent::EvmAddress;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::rows::{self, COLUMNS, LISTED, integer, natural};
use super::{
    HistoryQuery, NetworkId, NewTransaction, OPEN_BYTES_MAX, OPEN_TRANSACTIONS_MAX, OpenTx, Owner, REPLACEMENTS_SHARE,
    Submit, TxRow, TxSerial, TxStatus, nonces,
};

/// Records a transaction and binds its nonce in one step (invariant 2).
pub(super) fn submit(tx: &Transaction<'_>, new: &NewTransaction) -> rusqlite::Result<Submit> {
    let known = find(tx, &new.network, new.hash)?;
    if let Some(first) = keyed(tx, new)?
        && first != new.hash
    {
        return Ok(Submit::KeyReused { first });
    }
    if let Some(row) = &known
        && row.status != TxStatus::Dropped
    {
        return Ok(Submit::Known(row.clone()));
    }
    if new.nonce < nonces::floor(tx, &new.network, new.sender)? {
        return Ok(Submit::NonceUsed);
    }
    let bound = nonces::bound(tx, &new.network, new.sender, new.nonce)?.filter(|by| *by != new.hash);
    if let Some(by) = bound
        && new.replaces != Some(by)
    {
        return Ok(Submit::NonceTaken { by });
    }
    if known.is_none() && is_beyond(tx, new, bound.is_some())? {
        return Ok(Submit::TooManyOpen);
    }
    nonces::bind(tx, &new.network, new.sender, new.nonce, new.hash)?;
    let is_known = known.is_some();
    match known {
        Some(row) => settle(tx, &row, TxStatus::Submitted, 0, new.now)?,
        None => insert(tx, new)?,
    }
    let row = find(tx, &new.network, new.hash)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(if is_known { Submit::Known(row) } else { Submit::New(row) })
}

/// The transaction an idempotency key came with before.
fn keyed(conn: &Connection, new: &NewTransaction) -> rusqlite::Result<Option<Hash32>> {
    let Some(key) = &new.idempotency else { return Ok(None) };
    conn.prepare_cached("SELECT hash FROM gateway_transaction WHERE network = ?1 AND sender = ?2 AND idempotency = ?3")?
        .query_row(params![new.network.0, new.sender.as_bytes(), key], |row| row.get::<_, [u8; 32]>(0))
        .optional()
        .map(|found| found.map(Hash32))
}

/// True if its owner would have too many open ones with it, or too long ones.
fn is_beyond(conn: &Connection, new: &NewTransaction, is_replacement: bool) -> rusqlite::Result<bool> {
    let (count, bytes) = conn
        .prepare_cached(
            "SELECT count(*), coalesce(sum(length(raw)), 0) FROM gateway_transaction WHERE owner = ?1 AND open = 1",
        )?
        .query_row([&new.owner.0], |row| Ok((natural(row, 0)?, natural(row, 1)?)))?;
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(new.raw.len());
    let with_share = |max: usize| if is_replacement { max + max / REPLACEMENTS_SHARE } else { max };
    Ok(usize::try_from(count).unwrap_or(usize::MAX) >= with_share(OPEN_TRANSACTIONS_MAX)
        || bytes > with_share(OPEN_BYTES_MAX))
}

fn insert(tx: &Transaction<'_>, new: &NewTransaction) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO gateway_transaction
           (network, hash, sender, nonce, recipient, value, raw, idempotency, created, updated, status, open, owner)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, 1, ?11)",
    )?
    .execute(params![
        new.network.0,
        new.hash.as_bytes(),
        new.sender.as_bytes(),
        integer(new.nonce)?,
        new.recipient.as_ref().map(|address| address.as_bytes()),
        new.value.0,
        new.raw,
        new.idempotency,
        integer(new.now.0)?,
        rows::code(TxStatus::Submitted),
        new.owner.0,
    ])?;
    Ok(())
}

/// Forgets a transaction that no node can hold because the only one it was shown to refused it, and frees its nonce.
/// Only one that was never seen at a node can be withdrawn; false otherwise. One it was to replace has the nonce again.
pub(super) fn withdraw(tx: &Transaction<'_>, network: &NetworkId, hash: Hash32) -> rusqlite::Result<bool> {
    let Some(row) = find(tx, network, hash)?.filter(|row| row.status == TxStatus::Submitted) else {
        return Ok(false);
    };
    tx.prepare_cached("DELETE FROM gateway_transaction WHERE network = ?1 AND hash = ?2")?
        .execute(params![network.0, hash.as_bytes()])?;
    nonces::unbind(tx, network, hash)?;
    if let Some(replaced) = live_sibling(tx, &row)?
        && nonces::bound(tx, network, row.sender, row.nonce)?.is_none()
    {
        nonces::bind(tx, network, row.sender, row.nonce, replaced)?;
    }
    Ok(true)
}

/// The newest other transaction with the nonce of `row` that a node may hold.
fn live_sibling(conn: &Connection, row: &TxRow) -> rusqlite::Result<Option<Hash32>> {
    conn.prepare_cached(
        "SELECT hash FROM gateway_transaction
         WHERE network = ?1 AND sender = ?2 AND nonce = ?3 AND hash <> ?4 AND open = 1 AND status <> ?5
         ORDER BY serial DESC LIMIT 1",
    )?
    .query_row(
        params![
            row.network.0,
            row.sender.as_bytes(),
            integer(row.nonce)?,
            row.hash.as_bytes(),
            rows::code(TxStatus::Dropped)
        ],
        |found| found.get::<_, [u8; 32]>(0),
    )
    .optional()
    .map(|found| found.map(Hash32))
}

/// Writes what became of a transaction, and moves its nonce along: a final one raises the floor and settles the
/// others of the same nonce, a dropped one frees its nonce, one that came back takes a free nonce again.
pub(super) fn record(
    tx: &Transaction<'_>,
    network: &NetworkId,
    hash: Hash32,
    status: TxStatus,
    refusals: u32,
    now: UnixSeconds,
) -> rusqlite::Result<Option<TxRow>> {
    let Some(row) = find(tx, network, hash)? else { return Ok(None) };
    if !row.status.is_open() {
        return Ok(Some(row));
    }
    settle(tx, &row, status, refusals, now)?;
    match status {
        TxStatus::Final(_) => {
            settle_siblings(tx, &row, now)?;
            nonces::raise_floor(tx, network, row.sender, row.nonce)?;
        }
        TxStatus::Replaced { settled: true, .. } => nonces::raise_floor(tx, network, row.sender, row.nonce)?,
        TxStatus::Dropped => nonces::unbind(tx, network, hash)?,
        TxStatus::Replaced { settled: false, .. } => {}
        TxStatus::Submitted | TxStatus::Pending | TxStatus::Mined(_) => {
            if nonces::bound(tx, network, row.sender, row.nonce)?.is_none() {
                nonces::bind(tx, network, row.sender, row.nonce, hash)?;
            }
        }
    }
    find(tx, network, hash)
}

/// Writes a status. One that ends the watch erases the signed bytes (invariant 6).
fn settle(
    tx: &Transaction<'_>,
    row: &TxRow,
    status: TxStatus,
    refusals: u32,
    now: UnixSeconds,
) -> rusqlite::Result<()> {
    let included = rows::inclusion(status);
    let replaced_by = match status {
        TxStatus::Replaced { by, .. } => by,
        _ => None,
    };
    tx.prepare_cached(
        "UPDATE gateway_transaction SET status = ?3, open = ?4, refusals = ?5, updated = ?6, block_number = ?7,
           block_hash = ?8, success = ?9, gas_used = ?10, gas_price = ?11, replaced_by = ?12,
           raw = CASE WHEN ?4 THEN raw ELSE x'' END
         WHERE network = ?1 AND hash = ?2",
    )?
    .execute(params![
        row.network.0,
        row.hash.as_bytes(),
        rows::code(status),
        status.is_open(),
        refusals,
        integer(now.0)?,
        included.map(|at| integer(at.block_number)).transpose()?,
        included.map(|at| at.block_hash.0),
        included.map(|at| at.success),
        included.map(|at| integer(at.gas_used)).transpose()?,
        included.and_then(|at| at.gas_price).map(|price| price.0),
        replaced_by.map(|by| by.0),
    ])?;
    Ok(())
}

/// The others of the nonce a final transaction used can never be mined.
fn settle_siblings(tx: &Transaction<'_>, winner: &TxRow, now: UnixSeconds) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE gateway_transaction SET status = ?5, open = 0, raw = x'', updated = ?6, replaced_by = ?4,
           block_number = NULL, block_hash = NULL, success = NULL, gas_used = NULL, gas_price = NULL
         WHERE network = ?1 AND sender = ?2 AND nonce = ?3 AND hash <> ?4 AND open = 1",
    )?
    .execute(params![
        winner.network.0,
        winner.sender.as_bytes(),
        integer(winner.nonce)?,
        winner.hash.as_bytes(),
        rows::code(TxStatus::Replaced { by: None, settled: true }),
        integer(now.0)?,
    ])?;
    Ok(())
}

/// One transaction of a network.
pub(super) fn find(conn: &Connection, network: &NetworkId, hash: Hash32) -> rusqlite::Result<Option<TxRow>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM gateway_transaction WHERE network = ?1 AND hash = ?2"))?
        .query_row(params![network.0, hash.as_bytes()], rows::transaction)
        .optional()
}

/// One transaction by its hash alone; the signature covers the chain id, so a hash belongs to one network.
pub(super) fn by_hash(conn: &Connection, hash: Hash32) -> rusqlite::Result<Option<TxRow>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM gateway_transaction WHERE hash = ?1"))?
        .query_row([hash.as_bytes()], rows::transaction)
        .optional()
}

/// The mined transaction among those that were sent with the nonce of `row`.
pub(super) fn mined_sibling(conn: &Connection, row: &TxRow) -> rusqlite::Result<Option<Hash32>> {
    conn.prepare_cached(
        "SELECT hash FROM gateway_transaction
         WHERE network = ?1 AND sender = ?2 AND nonce = ?3 AND hash <> ?4 AND block_number IS NOT NULL",
    )?
    .query_row(params![row.network.0, row.sender.as_bytes(), integer(row.nonce)?, row.hash.as_bytes()], |found| {
        found.get::<_, [u8; 32]>(0)
    })
    .optional()
    .map(|found| found.map(Hash32))
}

/// Height and hash of the highest block that holds a final transaction of ours.
pub(super) fn last_final_block(conn: &Connection, network: &NetworkId) -> rusqlite::Result<Option<(u64, Hash32)>> {
    conn.prepare_cached(
        "SELECT block_number, block_hash FROM gateway_transaction
         WHERE network = ?1 AND open = 0 AND block_number IS NOT NULL ORDER BY block_number DESC LIMIT 1",
    )?
    .query_row([&network.0], |row| Ok((natural(row, 0)?, Hash32(row.get(1)?))))
    .optional()
}

/// See [`open`].
pub(super) const OPEN: &str =
    "SELECT serial, hash, sender, owner FROM gateway_transaction WHERE network = ?1 AND open = 1 ORDER BY serial";

/// Transactions of a network the tracker still follows, in order of submission.
pub(super) fn open(conn: &Connection, network: &NetworkId) -> rusqlite::Result<Vec<OpenTx>> {
    let mut statement = conn.prepare_cached(OPEN)?;
    let rows = statement.query_map([&network.0], |row| {
        Ok(OpenTx {
            serial: TxSerial(natural(row, 0)?),
            hash: Hash32(row.get(1)?),
            sender: EvmAddress(row.get(2)?),
            owner: row.get::<_, Option<String>>(3)?.map(Owner),
        })
    })?;
    rows.collect()
}

/// What a sender sent, newest first, without the signed bytes.
pub(super) fn history(conn: &Connection, query: &HistoryQuery) -> rusqlite::Result<Vec<TxRow>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {LISTED} FROM gateway_transaction
         WHERE sender = ?1 AND (?2 IS NULL OR network = ?2)
         AND (?3 IS NULL OR serial < (SELECT serial FROM gateway_transaction WHERE hash = ?3 AND sender = ?1))
         ORDER BY serial DESC LIMIT ?4"
    ))?;
    let before = query.before.as_ref().map(Hash32::as_bytes);
    let network = query.network.as_ref().map(|network| &network.0);
    statement.query_map(params![query.sender.as_bytes(), network, before, query.limit], rows::transaction)?.collect()
}
