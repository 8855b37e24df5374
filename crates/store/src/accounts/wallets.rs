//! Users, which wallet is theirs, which apps may use it, and the addresses they were shown.

use pinseal_protocol::ids::{UnixSeconds, UserIdHash};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, params};

use super::{AppId, UserId, seconds};

/// Address statements kept per user; the oldest use far fewer.
const ACCOUNTS_PER_USER_MAX: usize = 1_000;

/// A user as one app sees them.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Where mail goes.
    pub email: String,
    /// The wallet's name towards host and log, once a first `begin` told it.
    pub wallet: Option<UserIdHash>,
    /// True once the wallet was confirmed.
    pub wallet_exists: bool,
    /// True if the app may use it.
    pub app_registered: bool,
}

/// An account with the enclave's statement about its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// CAIP-2.
    pub network: String,
    /// BIP-32 path.
    pub path: String,
    /// The address in its network's own form.
    pub address: String,
    /// Canonical CBOR of the statement.
    pub statement: Vec<u8>,
    /// Signature by `K_log`.
    pub signature: Vec<u8>,
}

/// See [`super::Accounts::user`].
pub(crate) fn user(db: &Connection, user: &UserId, app: &AppId) -> rusqlite::Result<Option<User>> {
    db.prepare_cached(
        "SELECT coalesce((SELECT email FROM identities WHERE user_id = ?1 ORDER BY created_at LIMIT 1), ''), wallet,
         wallet_exists, EXISTS (SELECT 1 FROM app_users WHERE app_id = ?2 AND user_id = ?1)
         FROM users WHERE user_id = ?1",
    )?
    .query_row([user.as_str(), app.as_str()], |row| {
        Ok(User {
            email: row.get(0)?,
            wallet: row.get::<_, Option<[u8; 32]>>(1)?.map(UserIdHash),
            wallet_exists: row.get(2)?,
            app_registered: row.get(3)?,
        })
    })
    .optional()
}

/// See [`super::Accounts::bind_wallet`].
pub(crate) fn bind(tx: &Transaction<'_>, user: &UserId, wallet: &UserIdHash) -> rusqlite::Result<bool> {
    let changed = tx
        .prepare_cached("UPDATE users SET wallet = ?2 WHERE user_id = ?1 AND (wallet IS NULL OR wallet = ?2)")?
        .execute(params![user.as_str(), wallet.0]);
    match changed {
        Ok(changed) => Ok(changed == 1),
        // The wallet is bound to another user.
        Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::ConstraintViolation => Ok(false),
        Err(error) => Err(error),
    }
}

/// See [`super::Accounts::wallet_registered`].
pub(crate) fn registered(tx: &Transaction<'_>, user: &UserId, app: &AppId, now: UnixSeconds) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE users SET wallet_exists = 1 WHERE user_id = ?1")?.execute([user.as_str()])?;
    allow(tx, user, app, now)
}

/// See [`super::Accounts::register_app`].
pub(crate) fn register_app(
    tx: &Transaction<'_>,
    user: &UserId,
    app: &AppId,
    now: UnixSeconds,
) -> rusqlite::Result<bool> {
    let exists =
        tx.prepare_cached("SELECT 1 FROM users WHERE user_id = ?1 AND wallet_exists = 1")?.exists([user.as_str()])?;
    if exists {
        allow(tx, user, app, now)?;
    }
    Ok(exists)
}

fn allow(tx: &Transaction<'_>, user: &UserId, app: &AppId, now: UnixSeconds) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR IGNORE INTO app_users (app_id, user_id, created_at) VALUES (?1, ?2, ?3)")?
        .execute(params![app.as_str(), user.as_str(), seconds(now)])?;
    Ok(())
}

/// True if every one of these statements is kept as it is. Clients hand in what they were told whenever they start.
pub(crate) fn are_kept(db: &Connection, user: &UserId, accounts: &[AccountRow]) -> rusqlite::Result<bool> {
    let mut statement = db.prepare_cached(
        "SELECT 1 FROM user_accounts WHERE user_id = ?1 AND network = ?2 AND path = ?3 AND address = ?4
         AND statement = ?5 AND signature = ?6",
    )?;
    for AccountRow { network, path, address, statement: said, signature } in accounts {
        if !statement.exists(params![user.as_str(), network, path, address, said, signature])? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// See [`super::Accounts::keep_accounts`].
pub(crate) fn keep(tx: &Transaction<'_>, user: &UserId, account: &AccountRow) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO user_accounts (user_id, network, path, address, statement, signature)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (user_id, network, path) DO UPDATE SET address = ?4, statement = ?5, signature = ?6",
    )?
    .execute(params![
        user.as_str(),
        account.network,
        account.path,
        account.address,
        account.statement,
        account.signature
    ])?;
    Ok(())
}

/// See [`super::Accounts::accounts`].
pub(crate) fn accounts(db: &Connection, user: &UserId) -> rusqlite::Result<Vec<AccountRow>> {
    db.prepare_cached(&format!(
        "SELECT network, path, address, statement, signature FROM user_accounts WHERE user_id = ?1
         ORDER BY network, path LIMIT {ACCOUNTS_PER_USER_MAX}"
    ))?
    .query_map([user.as_str()], |row| {
        Ok(AccountRow {
            network: row.get(0)?,
            path: row.get(1)?,
            address: row.get(2)?,
            statement: row.get(3)?,
            signature: row.get(4)?,
        })
    })?
    .collect()
}
