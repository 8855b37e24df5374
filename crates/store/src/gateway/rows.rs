//! Rows to typed values and back. SQLite integers are signed, so every number is checked both ways.

use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::intent::EvmAddress;
use rusqlite::Row;
use rusqlite::types::Type;

use super::{Amount, Inclusion, NetworkId, TxRow, TxSerial, TxStatus};

/// The columns [`transaction`] reads, in its order.
pub(super) const COLUMNS: &str = "serial, network, hash, sender, nonce, recipient, value, raw, created, updated, \
     status, open, refusals, block_number, block_hash, success, gas_used, gas_price, replaced_by";

/// The same without the signed bytes, which no list shows.
pub(super) const LISTED: &str = "serial, network, hash, sender, nonce, recipient, value, x'', created, updated, \
     status, open, refusals, block_number, block_hash, success, gas_used, gas_price, replaced_by";

const SUBMITTED: i64 = 0;
const PENDING: i64 = 1;
const MINED: i64 = 2;
const FINAL: i64 = 3;
const REPLACED: i64 = 4;
const DROPPED: i64 = 5;

/// The stored code of a status.
pub(super) const fn code(status: TxStatus) -> i64 {
    match status {
        TxStatus::Submitted => SUBMITTED,
        TxStatus::Pending => PENDING,
        TxStatus::Mined(_) => MINED,
        TxStatus::Final(_) => FINAL,
        TxStatus::Replaced { .. } => REPLACED,
        TxStatus::Dropped => DROPPED,
    }
}

/// Where it was mined, if it was.
pub(super) const fn inclusion(status: TxStatus) -> Option<Inclusion> {
    match status {
        TxStatus::Mined(inclusion) | TxStatus::Final(inclusion) => Some(inclusion),
        _ => None,
    }
}

/// One transaction from [`COLUMNS`].
pub(super) fn transaction(row: &Row<'_>) -> rusqlite::Result<TxRow> {
    Ok(TxRow {
        serial: TxSerial(natural(row, 0)?),
        network: NetworkId(row.get(1)?),
        hash: Hash32(row.get(2)?),
        sender: EvmAddress(row.get(3)?),
        nonce: natural(row, 4)?,
        recipient: row.get::<_, Option<[u8; 20]>>(5)?.map(EvmAddress),
        value: Amount(row.get(6)?),
        raw: row.get(7)?,
        created: UnixSeconds(natural(row, 8)?),
        updated: UnixSeconds(natural(row, 9)?),
        status: status(row)?,
        refusals: row.get(12)?,
    })
}

fn status(row: &Row<'_>) -> rusqlite::Result<TxStatus> {
    let included = || -> rusqlite::Result<Inclusion> {
        Ok(Inclusion {
            block_number: natural(row, 13)?,
            block_hash: Hash32(row.get(14)?),
            success: row.get(15)?,
            gas_used: natural(row, 16)?,
            gas_price: row.get::<_, Option<[u8; 32]>>(17)?.map(Amount),
        })
    };
    match row.get::<_, i64>(10)? {
        SUBMITTED => Ok(TxStatus::Submitted),
        PENDING => Ok(TxStatus::Pending),
        MINED => included().map(TxStatus::Mined),
        FINAL => included().map(TxStatus::Final),
        REPLACED => Ok(TxStatus::Replaced {
            by: row.get::<_, Option<[u8; 32]>>(18)?.map(Hash32),
            settled: !row.get::<_, bool>(11)?,
        }),
        DROPPED => Ok(TxStatus::Dropped),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(10, other)),
    }
}

/// A column that holds a non-negative number.
pub(super) fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A number as SQLite keeps it; refused above 2^63 - 1, which no height, nonce or second reaches.
pub(super) fn integer(value: u64) -> rusqlite::Result<i64> {
    i64::try_from(value).map_err(|source| rusqlite::Error::ToSqlConversionFailure(Box::new(source)))
}

/// A number that cannot be kept.
pub(super) fn out_of_range(column: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, "number out of range".into())
}
