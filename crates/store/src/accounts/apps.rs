//! Apps and their keys. A key is kept as its SHA-256 only: it is 32 random bytes, so a plain hash gives nothing away.

use pinseal_protocol::ids::{Hash32, UnixSeconds};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{AppId, Theme, at, seconds, themes};

/// Apps listed at most.
const APPS_MAX: usize = 1_000;
/// Bindings of one app listed at most; who registers them allows fewer.
const BINDINGS_MAX: usize = 1_000;

/// A product registered in the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its id.
    pub id: AppId,
    /// Its name, as users see it.
    pub name: String,
    /// When it was registered.
    pub created_at: UnixSeconds,
}

/// An app, and from where it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredApp {
    /// The app.
    pub app: App,
    /// What its live keys are bound to, each once, in the order of their making; at most a thousand.
    pub platforms: Vec<Platform>,
    /// How it looks in the wallet page.
    pub theme: Theme,
}

/// What an app key is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platform {
    /// Pages of exactly this origin.
    Web(String),
    /// An Android package.
    Android(String),
    /// An iOS bundle id.
    Ios(String),
    /// Programs that are no browser: the CLI and back ends.
    Server,
}

impl Platform {
    /// Stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Web(_) => "web",
            Self::Android(_) => "android",
            Self::Ios(_) => "ios",
            Self::Server => "server",
        }
    }

    /// Origin, package or bundle id; empty for servers.
    pub fn bound_to(&self) -> &str {
        match self {
            Self::Web(bound) | Self::Android(bound) | Self::Ios(bound) => bound,
            Self::Server => "",
        }
    }

    fn from_row(name: &str, bound: String) -> Option<Self> {
        match name {
            "web" => Some(Self::Web(bound)),
            "android" => Some(Self::Android(bound)),
            "ios" => Some(Self::Ios(bound)),
            "server" => Some(Self::Server),
            _ => None,
        }
    }
}

/// A key to add.
#[derive(Debug, Clone)]
pub struct NewAppKey {
    /// SHA-256 of the key.
    pub hash: Hash32,
    /// Whose it is.
    pub app: AppId,
    /// What it is bound to.
    pub platform: Platform,
    /// Now.
    pub now: UnixSeconds,
}

/// A live key and its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppKey {
    /// The app.
    pub app: App,
    /// What the key is bound to.
    pub platform: Platform,
}

/// See [`super::Accounts::create_app`].
pub(crate) fn create(tx: &Transaction<'_>, app: &App) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO apps (app_id, name, created_at) VALUES (?1, ?2, ?3)")?.execute(params![
        app.id.as_str(),
        app.name,
        seconds(app.created_at)
    ])?;
    Ok(())
}

/// See [`super::Accounts::create_app_key`].
pub(crate) fn create_key(tx: &Transaction<'_>, key: &NewAppKey) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO app_keys (hash, app_id, platform, bound_to, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        key.hash.0,
        key.app.as_str(),
        key.platform.name(),
        key.platform.bound_to(),
        seconds(key.now)
    ])?;
    Ok(())
}

/// See [`super::Accounts::settle_page`].
pub(crate) fn settle_page(
    tx: &Transaction<'_>,
    app: &App,
    key: Option<&NewAppKey>,
    now: UnixSeconds,
) -> rusqlite::Result<()> {
    let origin = key.map(|key| key.platform.bound_to());
    tx.prepare_cached(
        "UPDATE app_keys SET revoked_at = ?3 WHERE app_id = ?1 AND platform = 'web' AND bound_to IS NOT ?2 AND revoked_at IS NULL",
    )?
    .execute(params![app.id.as_str(), origin, seconds(now)])?;
    let Some(key) = key else { return Ok(()) };
    tx.prepare_cached(
        "INSERT INTO apps (app_id, name, created_at) VALUES (?1, ?2, ?3) ON CONFLICT (app_id) DO NOTHING",
    )?
    .execute(params![app.id.as_str(), app.name, seconds(app.created_at)])?;
    tx.prepare_cached(
        "INSERT INTO app_keys (hash, app_id, platform, bound_to, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL",
    )?
    .execute(params![
        key.hash.0,
        app.id.as_str(),
        key.platform.name(),
        key.platform.bound_to(),
        seconds(key.now)
    ])?;
    Ok(())
}

/// See [`super::Accounts::apps`].
pub(crate) fn list(db: &Connection) -> rusqlite::Result<Vec<App>> {
    db.prepare_cached(&format!(
        "SELECT app_id, name, created_at FROM apps ORDER BY created_at, app_id LIMIT {APPS_MAX}"
    ))?
    .query_map([], |row| {
        Ok(App { id: AppId::new(row.get::<_, String>(0)?), name: row.get(1)?, created_at: at(row.get(2)?) })
    })?
    .collect()
}

/// See [`super::Accounts::app_key`].
pub(crate) fn key(db: &Connection, hash: &Hash32) -> rusqlite::Result<Option<AppKey>> {
    let found = db
        .prepare_cached(
            "SELECT a.app_id, a.name, a.created_at, k.platform, k.bound_to FROM app_keys k JOIN apps a USING (app_id)
             WHERE k.hash = ?1 AND k.revoked_at IS NULL",
        )?
        .query_row([hash.0], |row| {
            let app = App { id: AppId::new(row.get::<_, String>(0)?), name: row.get(1)?, created_at: at(row.get(2)?) };
            Ok((app, row.get::<_, String>(3)?, row.get::<_, String>(4)?))
        })
        .optional()?;
    // A platform this version does not know is no key: refuse rather than guess what binds it.
    Ok(found.and_then(|(app, name, bound)| Some(AppKey { app, platform: Platform::from_row(&name, bound)? })))
}

/// See [`super::Accounts::revoke_app_key`].
pub(crate) fn revoke_key(tx: &Transaction<'_>, hash: &Hash32, now: UnixSeconds) -> rusqlite::Result<bool> {
    let changed = tx
        .prepare_cached("UPDATE app_keys SET revoked_at = ?2 WHERE hash = ?1 AND revoked_at IS NULL")?
        .execute(params![hash.0, seconds(now)])?;
    Ok(changed == 1)
}

/// See [`super::Accounts::registered_app`].
pub(crate) fn registered(db: &Connection, id: &AppId) -> rusqlite::Result<Option<RegisteredApp>> {
    let app = db
        .prepare_cached("SELECT app_id, name, created_at FROM apps WHERE app_id = ?1")?
        .query_row([id.as_str()], |row| {
            Ok(App { id: AppId::new(row.get::<_, String>(0)?), name: row.get(1)?, created_at: at(row.get(2)?) })
        })
        .optional()?;
    let Some(app) = app else { return Ok(None) };
    let platforms = db
        .prepare_cached(&format!(
            "SELECT platform, bound_to FROM app_keys WHERE app_id = ?1 AND revoked_at IS NULL
             GROUP BY platform, bound_to ORDER BY min(created_at), platform, bound_to LIMIT {BINDINGS_MAX}"
        ))?
        .query_map([id.as_str()], |row| Ok(Platform::from_row(&row.get::<_, String>(0)?, row.get(1)?)))?
        // As for keys: a platform this version does not know is none.
        .filter_map(Result::transpose)
        .collect::<rusqlite::Result<_>>()?;
    let theme = themes::of(db, id)?;
    Ok(Some(RegisteredApp { app, platforms, theme }))
}

/// See [`super::Accounts::revoke_bound`].
pub(crate) fn revoke_bound(
    tx: &Transaction<'_>,
    app: &AppId,
    platform: &Platform,
    now: UnixSeconds,
) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "UPDATE app_keys SET revoked_at = ?4 WHERE app_id = ?1 AND platform = ?2 AND bound_to = ?3 AND revoked_at IS NULL",
    )?
    .execute(params![app.as_str(), platform.name(), platform.bound_to(), seconds(now)])
}

/// See [`super::Accounts::is_web_origin`].
pub(crate) fn is_web_origin(db: &Connection, origin: &str) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM app_keys WHERE platform = 'web' AND bound_to = ?1 AND revoked_at IS NULL")?
        .exists([origin])
}
