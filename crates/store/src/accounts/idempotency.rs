//! Idempotency keys, and the sweep of everything that has expired.

use pinseal_protocol::ids::{Hash32, UnixSeconds};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{at, seconds};

/// How long an answer is kept: 24 hours.
const REPLY_SECONDS: u64 = 86_400;
/// After this a claim without an answer belongs to a process that died, and the next request takes it over. Longer than any
/// request may run.
const CLAIM_SECONDS: u64 = 120;
/// How long a revoked session or an unverified sign-up stays before it is deleted.
const STALE_SECONDS: u64 = 7 * 86_400;
/// How long the codes of one address are counted: a day.
const CODES_SECONDS: u64 = 86_400;
/// Rows one sweep deletes per table, so that it never holds the writer for long. No statement of a sweep looks at rows that stay.
const SWEEP_ROWS_MAX: i64 = 1_000;

/// What goes by its age alone, and at which. The parameters are the moment before which it is that old, and how many rows.
pub(super) const AGED: [(&str, u64); 4] = [
    (
        "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE claimed_at <= ?1 LIMIT ?2)",
        REPLY_SECONDS,
    ),
    // A code that was issued at the end of its day outlives it.
    (
        "DELETE FROM codes WHERE (purpose, address) IN
         (SELECT purpose, address FROM codes WHERE day_started_at <= ?1 AND expires_at <= ?1 + 86400 LIMIT ?2)",
        CODES_SECONDS,
    ),
    (
        "DELETE FROM passwords WHERE email IN
         (SELECT email FROM passwords WHERE verified_at IS NULL AND created_at <= ?1 LIMIT ?2)",
        STALE_SECONDS,
    ),
    // Tokens of a live session that expired can no longer be told from unknown ones, and need not be.
    ("DELETE FROM refresh_tokens WHERE hash IN (SELECT hash FROM refresh_tokens WHERE expires_at <= ?1 LIMIT ?2)", 0),
];
/// Sessions that ended before a moment, so many of them; and what is deleted of each.
pub(super) const ENDED: &str = "SELECT session_id FROM sessions WHERE expires_at <= ?1 LIMIT ?2";
pub(super) const OF_ENDED: [&str; 2] =
    ["DELETE FROM refresh_tokens WHERE session_id = ?1", "DELETE FROM sessions WHERE session_id = ?1"];

/// An answer as it was given.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredReply {
    /// HTTP status.
    pub status: u16,
    /// Content type.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What a claim found.
#[derive(Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: the request is the caller's to run and to settle.
    Fresh,
    /// The same request was answered; this is the answer.
    Answered(StoredReply),
    /// The same request runs right now.
    Running,
    /// The key was used with another body.
    OtherBody,
}

/// See [`super::Accounts::claim`].
pub(crate) fn claim(tx: &Transaction<'_>, key: &Hash32, body: &Hash32, now: UnixSeconds) -> rusqlite::Result<Claim> {
    type Found = ([u8; 32], i64, Option<u16>, Option<String>, Option<Vec<u8>>);
    let found: Option<Found> = tx
        .prepare_cached("SELECT body, claimed_at, status, content_type, reply FROM idempotency WHERE key = ?1")?
        .query_row([key.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .optional()?;
    if let Some((known, claimed_at, status, content_type, reply)) = found {
        let age = now.0.saturating_sub(at(claimed_at).0);
        match (status, content_type, reply) {
            _ if age >= REPLY_SECONDS => {}
            _ if known != body.0 => return Ok(Claim::OtherBody),
            (Some(status), Some(content_type), Some(body)) => {
                return Ok(Claim::Answered(StoredReply { status, content_type, body }));
            }
            _ if age < CLAIM_SECONDS => return Ok(Claim::Running),
            _ => {}
        }
    }
    tx.prepare_cached("INSERT OR REPLACE INTO idempotency (key, body, claimed_at) VALUES (?1, ?2, ?3)")?
        .execute(params![key.0, body.0, seconds(now)])?;
    Ok(Claim::Fresh)
}

/// See [`super::Accounts::settle`].
pub(crate) fn settle(tx: &Transaction<'_>, key: &Hash32, reply: Option<&StoredReply>) -> rusqlite::Result<()> {
    match reply {
        Some(reply) => tx
            .prepare_cached("UPDATE idempotency SET status = ?2, content_type = ?3, reply = ?4 WHERE key = ?1")?
            .execute(params![key.0, reply.status, reply.content_type, reply.body])?,
        None => tx.prepare_cached("DELETE FROM idempotency WHERE key = ?1")?.execute([key.0])?,
    };
    Ok(())
}

/// See [`super::Accounts::sweep`]. Refresh tokens go with their session, whose expiry is that of its newest token.
pub(crate) fn sweep(tx: &Transaction<'_>, passed: UnixSeconds) -> rusqlite::Result<usize> {
    let before = |age: u64| seconds(UnixSeconds(passed.0.saturating_sub(age)));
    let mut deleted = 0;
    for (delete, age) in AGED {
        deleted += tx.prepare_cached(delete)?.execute(params![before(age), SWEEP_ROWS_MAX])?;
    }
    let gone: Vec<String> = tx
        .prepare_cached(ENDED)?
        .query_map(params![before(STALE_SECONDS), SWEEP_ROWS_MAX], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for session in gone {
        let [tokens, itself] = OF_ENDED;
        tx.prepare_cached(tokens)?.execute([&session])?;
        deleted += tx.prepare_cached(itself)?.execute([&session])?;
    }
    Ok(deleted)
}
