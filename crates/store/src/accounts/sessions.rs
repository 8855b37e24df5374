//! Sessions and their refresh families.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use pinseal_protocol::ids::{DeviceId, Hash32, UnixSeconds};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::{AppId, SessionId, UserId, at, seconds};

/// Sessions one user may have at a time; the oldest one is closed when a further one opens.
pub const SESSIONS_PER_USER_MAX: usize = 32;
/// Ended sessions of one user that are remembered, the newest ones: enough to know a user's devices by, and a bound on what logging in
/// again and again makes every further login look through.
const ENDED_PER_USER_MAX: usize = 256;
/// How long after a rotation the same device gets the same successor again. A lost reply is fetched in this time; after it
/// the old token counts as stolen.
const ROTATION_GRACE_SECONDS: u64 = 30;
/// Issuer of identities made by the e-mail provider.
pub const EMAIL_ISSUER: &str = "email";

/// One login on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id, also in the access token.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// The app it was opened through.
    pub app: AppId,
    /// The device key it is bound to.
    pub device: DeviceId,
    /// When it was opened.
    pub created_at: UnixSeconds,
    /// When it was opened or last refreshed.
    pub last_used_at: UnixSeconds,
    /// When its last refresh token expires.
    pub expires_at: UnixSeconds,
}

/// A session to open for an identity a provider vouched for.
#[derive(Clone)]
pub struct NewSession {
    /// Who vouches.
    pub issuer: String,
    /// For whom, in the issuer's words.
    pub subject: String,
    /// Where mail goes; never a key.
    pub email: String,
    /// The stored password hash that was matched, where one was: no session opens once it has been replaced.
    pub password_hash: Option<String>,
    /// Id of the user if this identity is new.
    pub fresh_user: UserId,
    /// Random id of the session.
    pub id: SessionId,
    /// The app it is opened through.
    pub app: AppId,
    /// The device key it is bound to.
    pub device: DeviceId,
    /// Hash of its first refresh token.
    pub refresh_hash: Hash32,
    /// Now.
    pub now: UnixSeconds,
    /// When the first refresh token expires.
    pub expires_at: UnixSeconds,
}

/// A device that an account was used on without a session.
#[derive(Clone)]
pub struct SeenDevice {
    /// The device key.
    pub device: DeviceId,
    /// The app it was used through.
    pub app: AppId,
    /// Random id of the ended session that it is remembered by.
    pub id: SessionId,
    /// Id of the user if the account has none yet.
    pub fresh_user: UserId,
}

/// What a refresh token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshable {
    /// Its live session.
    pub session: Session,
    /// True once it was exchanged: presenting it again fetches the successor a second time, or is a misuse.
    pub used: bool,
}

/// A refresh token presented by a device, and what would follow it.
#[derive(Clone)]
pub struct Rotation {
    /// Hash of the token presented.
    pub presented: Hash32,
    /// The device that presented it, as its proof shows.
    pub device: DeviceId,
    /// The app it came through.
    pub app: AppId,
    /// Hash of the successor.
    pub successor: Hash32,
    /// The successor under a mask only the presented token makes, for a retry after a lost reply.
    pub successor_masked: [u8; 32],
    /// Now.
    pub now: UnixSeconds,
    /// When the successor expires.
    pub expires_at: UnixSeconds,
    /// Oldest `created_at` a session may have and still be refreshed.
    pub opened_after: UnixSeconds,
}

/// What became of a refresh token.
#[derive(Clone, PartialEq, Eq)]
pub enum RotationOutcome {
    /// Exchanged; the successor is the one in the request.
    Rotated(Session),
    /// Exchanged moments ago by the same device: the successor of then, masked, and when it expires.
    Repeated(Session, [u8; 32]),
    /// Exchanged before: the family is revoked now.
    Reused,
    /// Unknown, expired, revoked, or another device's or app's.
    Refused,
}

/// By an index over what is masked, one row a session: a session that is refreshed for weeks has thousands of used tokens.
pub(super) const FORGET_MASKED: &str =
    "UPDATE refresh_tokens SET successor_masked = NULL WHERE successor = ?1 AND successor_masked IS NOT NULL";

/// The device first: with one that nobody was ever seen on it takes the same time for every address, and with any other it takes a look or
/// two more, however often the account is used. Strangers would learn from the time whether an address has an account.
pub(super) const DEVICE_OF_ANYBODY: &str = "SELECT 1 FROM sessions WHERE device = ?1";
pub(super) const DEVICE_OF_ACCOUNT: &str =
    "SELECT 1 FROM passwords CROSS JOIN identities ON identities.subject = passwords.subject AND identities.issuer = ?3
     CROSS JOIN sessions ON sessions.device = ?2 AND sessions.user_id = identities.user_id WHERE passwords.email = ?1";

const COLUMNS: &str = "session_id, user_id, app_id, device, created_at, last_used_at, expires_at";

fn session_of(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: SessionId::new(row.get::<_, String>(0)?),
        user: UserId::new(row.get::<_, String>(1)?),
        app: AppId::new(row.get::<_, String>(2)?),
        device: DeviceId(row.get(3)?),
        created_at: at(row.get(4)?),
        last_used_at: at(row.get(5)?),
        expires_at: at(row.get(6)?),
    })
}

/// See [`super::Accounts::open_session`].
pub(crate) fn open(tx: &Transaction<'_>, new: &NewSession) -> rusqlite::Result<Option<Session>> {
    if let Some(matched) = &new.password_hash {
        let stands: Option<String> = tx
            .prepare_cached("SELECT hash FROM passwords WHERE subject = ?1")?
            .query_row([&new.subject], |row| row.get(0))
            .optional()?
            .flatten();
        // A reset closes every session there is; a login that it overtook must not open one after it.
        if stands.is_none_or(|stands| verify_slices_are_equal(stands.as_bytes(), matched.as_bytes()).is_err()) {
            return Ok(None);
        }
    }
    let user = user_of(tx, (&new.issuer, &new.subject), &new.email, &new.fresh_user, new.now)?;
    tx.prepare_cached(
        "UPDATE sessions SET revoked_at = ?2 WHERE revoked_at IS NULL AND session_id IN
         (SELECT session_id FROM sessions WHERE user_id = ?1 AND revoked_at IS NULL AND expires_at > ?2
          ORDER BY created_at DESC, session_id LIMIT -1 OFFSET ?3)",
    )?
    .execute(params![
        user.as_str(),
        seconds(new.now),
        i64::try_from(SESSIONS_PER_USER_MAX - 1).unwrap_or(i64::MAX)
    ])?;
    tx.prepare_cached(
        "DELETE FROM sessions WHERE session_id IN
         (SELECT session_id FROM sessions WHERE user_id = ?1 AND (revoked_at IS NOT NULL OR expires_at <= ?2)
          ORDER BY created_at DESC, session_id LIMIT -1 OFFSET ?3)",
    )?
    .execute(params![user.as_str(), seconds(new.now), i64::try_from(ENDED_PER_USER_MAX).unwrap_or(i64::MAX)])?;
    tx.prepare_cached(
        "INSERT INTO sessions (session_id, user_id, app_id, device, created_at, last_used_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)",
    )?
    .execute(params![
        new.id.as_str(),
        user.as_str(),
        new.app.as_str(),
        new.device.0,
        seconds(new.now),
        seconds(new.expires_at)
    ])?;
    tx.prepare_cached("INSERT INTO refresh_tokens (hash, session_id, expires_at) VALUES (?1, ?2, ?3)")?
        .execute(params![new.refresh_hash.0, new.id.as_str(), seconds(new.expires_at)])?;
    Ok(Some(Session {
        id: new.id.clone(),
        user,
        app: new.app.clone(),
        device: new.device,
        created_at: new.now,
        last_used_at: new.now,
        expires_at: new.expires_at,
    }))
}

/// The user of (issuer, subject): the one there is, or else a fresh one.
fn user_of(
    tx: &Transaction<'_>,
    (issuer, subject): (&str, &str),
    email: &str,
    fresh: &UserId,
    now: UnixSeconds,
) -> rusqlite::Result<UserId> {
    let known: Option<String> = tx
        .prepare_cached("SELECT user_id FROM identities WHERE issuer = ?1 AND subject = ?2")?
        .query_row([issuer, subject], |row| row.get(0))
        .optional()?;
    if let Some(user) = known {
        return Ok(UserId::new(user));
    }
    tx.prepare_cached("INSERT INTO users (user_id, created_at) VALUES (?1, ?2)")?
        .execute(params![fresh.as_str(), seconds(now)])?;
    tx.prepare_cached(
        "INSERT INTO identities (issuer, subject, user_id, email, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![issuer, subject, fresh.as_str(), email, seconds(now)])?;
    Ok(fresh.clone())
}

/// Makes a device one that the e-mail account of this subject knows, by a session that has ended: nothing is open on it, and it is
/// remembered for as long as such a session.
pub(crate) fn remember(
    tx: &Transaction<'_>,
    subject: &str,
    email: &str,
    seen: &SeenDevice,
    now: UnixSeconds,
) -> rusqlite::Result<()> {
    let user = user_of(tx, (EMAIL_ISSUER, subject), email, &seen.fresh_user, now)?;
    tx.prepare_cached(
        "INSERT INTO sessions (session_id, user_id, app_id, device, created_at, last_used_at, expires_at, revoked_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?5, ?5)",
    )?
    .execute(params![seen.id.as_str(), user.as_str(), seen.app.as_str(), seen.device.0, seconds(now)])?;
    Ok(())
}

/// See [`super::Accounts::refreshable`].
pub(crate) fn refreshable(db: &Connection, token: &Hash32, now: UnixSeconds) -> rusqlite::Result<Option<Refreshable>> {
    let known: Option<(String, bool)> = db
        .prepare_cached(
            "SELECT session_id, rotated_at IS NOT NULL FROM refresh_tokens WHERE hash = ?1 AND expires_at > ?2",
        )?
        .query_row(params![token.0, seconds(now)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((id, used)) = known else { return Ok(None) };
    Ok(session(db, &SessionId::new(id), now)?.map(|session| Refreshable { session, used }))
}

struct Presented {
    session: SessionId,
    expires_at: UnixSeconds,
    rotated_at: Option<UnixSeconds>,
    successor: Option<[u8; 32]>,
    successor_masked: Option<[u8; 32]>,
}

/// See [`super::Accounts::rotate`].
pub(crate) fn rotate(tx: &Transaction<'_>, rotation: &Rotation) -> rusqlite::Result<RotationOutcome> {
    let now = rotation.now;
    let presented: Option<Presented> = tx
        .prepare_cached(
            "SELECT session_id, expires_at, rotated_at, successor, successor_masked FROM refresh_tokens
             WHERE hash = ?1",
        )?
        .query_row([rotation.presented.0], |row| {
            Ok(Presented {
                session: SessionId::new(row.get::<_, String>(0)?),
                expires_at: at(row.get(1)?),
                rotated_at: row.get::<_, Option<i64>>(2)?.map(at),
                successor: row.get(3)?,
                successor_masked: row.get(4)?,
            })
        })
        .optional()?;
    let Some(presented) = presented else { return Ok(RotationOutcome::Refused) };
    let Some(mut session) = session(tx, &presented.session, now)? else { return Ok(RotationOutcome::Refused) };
    // A stolen token without the device key is worth nothing, so it must not close the owner's session either.
    let same_device = verify_slices_are_equal(&session.device.0, &rotation.device.0).is_ok();
    if !same_device || session.app != rotation.app || now >= presented.expires_at {
        return Ok(RotationOutcome::Refused);
    }
    if let Some(rotated_at) = presented.rotated_at {
        return repeat_or_revoke(tx, rotation, session, &presented, rotated_at);
    }
    if session.created_at < rotation.opened_after {
        return Ok(RotationOutcome::Refused);
    }
    tx.prepare_cached(
        "UPDATE refresh_tokens SET rotated_at = ?2, successor = ?3, successor_masked = ?4 WHERE hash = ?1",
    )?
    .execute(params![rotation.presented.0, seconds(now), rotation.successor.0, rotation.successor_masked])?;
    // The presented token is used, so nobody fetches it again: the database keeps no copy that its predecessor would unmask.
    tx.prepare_cached(FORGET_MASKED)?.execute([rotation.presented.0])?;
    tx.prepare_cached("INSERT INTO refresh_tokens (hash, session_id, expires_at) VALUES (?1, ?2, ?3)")?
        .execute(params![rotation.successor.0, session.id.as_str(), seconds(rotation.expires_at)])?;
    tx.prepare_cached("UPDATE sessions SET last_used_at = ?2, expires_at = ?3 WHERE session_id = ?1")?
        .execute(params![session.id.as_str(), seconds(now), seconds(rotation.expires_at)])?;
    session.last_used_at = now;
    session.expires_at = rotation.expires_at;
    Ok(RotationOutcome::Rotated(session))
}

/// The same token a second time: a retry while its successor is unused and fresh, otherwise a copy in other hands.
fn repeat_or_revoke(
    tx: &Transaction<'_>,
    rotation: &Rotation,
    session: Session,
    presented: &Presented,
    rotated_at: UnixSeconds,
) -> rusqlite::Result<RotationOutcome> {
    let in_time = rotation.now.0 < rotated_at.0.saturating_add(ROTATION_GRACE_SECONDS);
    if let (true, Some(successor), Some(masked)) = (in_time, presented.successor, presented.successor_masked) {
        let unused = tx
            .prepare_cached("SELECT 1 FROM refresh_tokens WHERE hash = ?1 AND rotated_at IS NULL")?
            .exists([successor])?;
        if unused {
            return Ok(RotationOutcome::Repeated(session, masked));
        }
    }
    tx.prepare_cached("UPDATE sessions SET revoked_at = ?2 WHERE session_id = ?1")?
        .execute(params![session.id.as_str(), seconds(rotation.now)])?;
    Ok(RotationOutcome::Reused)
}

/// See [`super::Accounts::is_device_known`].
pub(crate) fn is_device_known(db: &Connection, email: &str, device: &DeviceId) -> rusqlite::Result<bool> {
    Ok(db.prepare_cached(DEVICE_OF_ANYBODY)?.exists([device.0])?
        && db.prepare_cached(DEVICE_OF_ACCOUNT)?.exists(params![email, device.0, EMAIL_ISSUER])?)
}

/// See [`super::Accounts::session`].
pub(crate) fn session(db: &Connection, id: &SessionId, now: UnixSeconds) -> rusqlite::Result<Option<Session>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM sessions WHERE session_id = ?1 AND revoked_at IS NULL AND expires_at > ?2"
    ))?
    .query_row(params![id.as_str(), seconds(now)], session_of)
    .optional()
}

/// See [`super::Accounts::sessions`].
pub(crate) fn sessions(db: &Connection, user: &UserId, now: UnixSeconds) -> rusqlite::Result<Vec<Session>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM sessions WHERE user_id = ?1 AND revoked_at IS NULL AND expires_at > ?2
         ORDER BY created_at DESC, session_id LIMIT {SESSIONS_PER_USER_MAX}"
    ))?
    .query_map(params![user.as_str(), seconds(now)], session_of)?
    .collect()
}

/// See [`super::Accounts::revoke`].
pub(crate) fn revoke(
    tx: &Transaction<'_>,
    user: &UserId,
    session: &SessionId,
    now: UnixSeconds,
) -> rusqlite::Result<bool> {
    let changed = tx
        .prepare_cached(
            "UPDATE sessions SET revoked_at = ?3
             WHERE session_id = ?1 AND user_id = ?2 AND revoked_at IS NULL AND expires_at > ?3",
        )?
        .execute(params![session.as_str(), user.as_str(), seconds(now)])?;
    Ok(changed == 1)
}
