//! Reservations: which nonce is whose.

use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::intent::EvmAddress;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::rows::{self, integer, natural};
use super::{
    FreeRequest, Genesis, Holder, NetworkId, RESERVATION_SECONDS_MAX, RESERVATIONS_MAX, Reservation, ReservationId,
    Reserve, ReserveRequest,
};

/// Reserves the lowest free nonce (invariants 1, 4 and 5).
pub(super) fn reserve(tx: &Transaction<'_>, request: &ReserveRequest) -> rusqlite::Result<Reserve> {
    let network = &request.network.0;
    let address = request.address.as_bytes();
    let latest = latest_end(request.now);
    tx.prepare_cached(
        "DELETE FROM gateway_reservation WHERE network = ?1 AND address = ?2 AND hash IS NULL
         AND (expires <= ?3 OR expires > ?4)",
    )?
    .execute(params![network, address, integer(request.now.0)?, integer(latest.0)?])?;

    let unsigned: usize = tx
        .prepare_cached(
            "SELECT count(*) FROM gateway_reservation WHERE network = ?1 AND address = ?2 AND hash IS NULL",
        )?
        .query_row(params![network, address], |row| natural(row, 0))?
        .try_into()
        .unwrap_or(usize::MAX);
    if unsigned >= RESERVATIONS_MAX {
        return Ok(Reserve::Full);
    }

    let ReserveRequest { network: named, address: sender, chain_next, now, expires } = request.clone();
    let expires = expires.min(latest);
    let nonce = lowest_free(tx, &FreeRequest { network: named, address: sender, chain_next, now })?;
    tx.prepare_cached("INSERT INTO gateway_reservation (network, address, nonce, expires) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![network, address, integer(nonce)?, integer(expires.0)?])?;
    let id = u64::try_from(tx.last_insert_rowid()).map_err(|_| rows::out_of_range(0))?;
    Ok(Reserve::Reserved(Reservation { id: ReservationId(id), nonce, holder: Holder::Expires(expires) }))
}

/// The last moment until which a reservation of this one or before can be held.
const fn latest_end(now: UnixSeconds) -> UnixSeconds {
    UnixSeconds(now.0.saturating_add(RESERVATION_SECONDS_MAX))
}

/// The lowest nonce that neither the chain nor a live reservation has (invariants 4 and 5).
pub(super) fn lowest_free(conn: &Connection, request: &FreeRequest) -> rusqlite::Result<u64> {
    let FreeRequest { network, address, chain_next, now } = request;
    let mut candidate = floor(conn, network, *address)?.max(*chain_next);
    let mut statement = conn.prepare_cached(
        "SELECT nonce FROM gateway_reservation
         WHERE network = ?1 AND address = ?2 AND nonce >= ?3 AND (hash IS NOT NULL OR (expires > ?4 AND expires <= ?5))
         ORDER BY nonce",
    )?;
    let mut held = statement.query(params![
        network.0,
        address.as_bytes(),
        integer(candidate)?,
        integer(now.0)?,
        integer(latest_end(*now).0)?
    ])?;
    while let Some(row) = held.next()? {
        if natural(row, 0)? != candidate {
            break;
        }
        candidate += 1;
    }
    Ok(candidate)
}

/// Gives an unsigned reservation back. False if it expired, was bound or never was.
pub(super) fn release(tx: &Transaction<'_>, id: ReservationId) -> rusqlite::Result<bool> {
    tx.prepare_cached("DELETE FROM gateway_reservation WHERE id = ?1 AND hash IS NULL")?
        .execute([integer(id.0)?])
        .map(|count| count == 1)
}

/// Every reservation of an address, lowest nonce first.
pub(super) fn reservations(
    conn: &Connection,
    network: &NetworkId,
    address: EvmAddress,
) -> rusqlite::Result<Vec<Reservation>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, nonce, hash, expires FROM gateway_reservation WHERE network = ?1 AND address = ?2 ORDER BY nonce",
    )?;
    let rows = statement.query_map(params![network.0, address.as_bytes()], |row| {
        let holder = match row.get::<_, Option<[u8; 32]>>(2)? {
            Some(hash) => Holder::Bound(Hash32(hash)),
            None => Holder::Expires(UnixSeconds(natural(row, 3)?)),
        };
        Ok(Reservation { id: ReservationId(natural(row, 0)?), nonce: natural(row, 1)?, holder })
    })?;
    rows.collect()
}

/// The lowest nonce that no final transaction used.
pub(super) fn floor(conn: &Connection, network: &NetworkId, address: EvmAddress) -> rusqlite::Result<u64> {
    conn.prepare_cached("SELECT floor FROM gateway_floor WHERE network = ?1 AND address = ?2")?
        .query_row(params![network.0, address.as_bytes()], |row| natural(row, 0))
        .optional()
        .map(Option::unwrap_or_default)
}

/// A final transaction used `nonce`: nothing at or below it is held or handed out again.
pub(super) fn raise_floor(
    tx: &Transaction<'_>,
    network: &NetworkId,
    address: EvmAddress,
    nonce: u64,
) -> rusqlite::Result<()> {
    let next = nonce.checked_add(1).ok_or_else(|| rows::out_of_range(0))?;
    tx.prepare_cached(
        "INSERT INTO gateway_floor (network, address, floor) VALUES (?1, ?2, ?3)
         ON CONFLICT (network, address) DO UPDATE SET floor = max(floor, excluded.floor)",
    )?
    .execute(params![network.0, address.as_bytes(), integer(next)?])?;
    tx.prepare_cached("DELETE FROM gateway_reservation WHERE network = ?1 AND address = ?2 AND nonce < ?3")?
        .execute(params![network.0, address.as_bytes(), integer(next)?])?;
    Ok(())
}

/// The transaction a nonce is bound to.
pub(super) fn bound(
    conn: &Connection,
    network: &NetworkId,
    address: EvmAddress,
    nonce: u64,
) -> rusqlite::Result<Option<Hash32>> {
    conn.prepare_cached("SELECT hash FROM gateway_reservation WHERE network = ?1 AND address = ?2 AND nonce = ?3")?
        .query_row(params![network.0, address.as_bytes(), integer(nonce)?], |row| row.get::<_, Option<[u8; 32]>>(0))
        .optional()
        .map(|found| found.flatten().map(Hash32))
}

/// Binds a nonce to a transaction, whatever held it; the caller has looked at [`bound`] (invariant 2).
pub(super) fn bind(
    tx: &Transaction<'_>,
    network: &NetworkId,
    address: EvmAddress,
    nonce: u64,
    hash: Hash32,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO gateway_reservation (network, address, nonce, hash) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (network, address, nonce) DO UPDATE SET hash = excluded.hash, expires = NULL",
    )?
    .execute(params![network.0, address.as_bytes(), integer(nonce)?, hash.as_bytes()])?;
    Ok(())
}

/// Frees the nonce this transaction is bound to; nothing happens if another one holds it by now.
pub(super) fn unbind(tx: &Transaction<'_>, network: &NetworkId, hash: Hash32) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM gateway_reservation WHERE network = ?1 AND hash = ?2")?
        .execute(params![network.0, hash.as_bytes()])?;
    Ok(())
}

/// Compares the chain's first block with the one the rows were made on, and removes the rows of a chain that is gone.
pub(super) fn observe_genesis(tx: &Transaction<'_>, network: &NetworkId, genesis: Hash32) -> rusqlite::Result<Genesis> {
    let seen = tx
        .query_row("SELECT genesis FROM gateway_chain WHERE network = ?1", [&network.0], |row| {
            row.get::<_, [u8; 32]>(0)
        })
        .optional()?;
    if seen == Some(genesis.0) {
        return Ok(Genesis::Same);
    }
    tx.execute(
        "INSERT INTO gateway_chain (network, genesis) VALUES (?1, ?2)
         ON CONFLICT (network) DO UPDATE SET genesis = excluded.genesis",
        params![network.0, genesis.as_bytes()],
    )?;
    if seen.is_none() {
        return Ok(Genesis::First);
    }
    forget(tx, network)?;
    Ok(Genesis::Changed)
}

/// Removes every row about a chain that is gone.
pub(super) fn forget(tx: &Transaction<'_>, network: &NetworkId) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM gateway_floor WHERE network = ?1", [&network.0])?;
    tx.execute("DELETE FROM gateway_reservation WHERE network = ?1", [&network.0])?;
    tx.execute("DELETE FROM gateway_transaction WHERE network = ?1", [&network.0])?;
    Ok(())
}
