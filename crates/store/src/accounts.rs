//! Users, identities, passwords, mailed codes, sessions, apps and idempotency keys.
//!
//! The server sees one trait, [`Accounts`]; every statement of SQL behind it lies in the modules below. Each method is one
//! transaction. The methods block: callers on an async runtime run them on its blocking pool.

mod apps;
mod idempotency;
mod login;
mod memory;
mod sessions;
mod sqlite;
#[cfg(test)]
mod tests;
mod themes;
mod wallets;

pub use apps::{App, AppKey, NewAppKey, Platform, RegisteredApp};
pub use idempotency::{Claim, StoredReply};
pub use login::{CODE_SECONDS, Code, CodeMac, CodePurpose, MailDue, PasswordReset, PasswordRow, SignUp, Verification};
pub(crate) use memory::Memory;
pub use sessions::{
    EMAIL_ISSUER, NewSession, Refreshable, Rotation, RotationOutcome, SESSIONS_PER_USER_MAX, SeenDevice, Session,
};
pub(crate) use themes::SCHEMA as THEMES_SCHEMA;
pub use themes::{Accent, Change, Rgb, Theme, ThemeChange};
pub use wallets::{AccountRow, User};

use pinseal_protocol::ids::{DeviceId, Hash32, UnixSeconds, UserIdHash};

/// Declares a text id: opaque to its readers, compared whole.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Wraps an id as it was issued or received.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// A person, random; the access token's `sub`.
    UserId
}
text_id! {
    /// One login on one device; the access token's `sid`. Also the name of its refresh family.
    SessionId
}
text_id! {
    /// A product registered in the workspace.
    AppId
}

/// Why the accounts could not be read or written. The caller answers "service problem"; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("the accounts database failed")]
pub struct AccountsError(#[source] pub(crate) Box<dyn std::error::Error + Send + Sync>);

/// Everything the server keeps about people, devices and apps. Sealed records are not here.
pub trait Accounts: Send + Sync {
    /// The password row of a normalised e-mail address.
    ///
    /// # Errors
    /// [`AccountsError`], as every method here.
    fn password(&self, email: &str) -> Result<Option<PasswordRow>, AccountsError>;
    /// Starts or repeats a sign-up; writes as much for a known address as for a new one.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn sign_up(&self, sign_up: SignUp) -> Result<MailDue, AccountsError>;
    /// Issues a further code for `purpose`; writes as much for an unknown address as for a known one.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn issue_code(&self, email: &str, code: Code) -> Result<MailDue, AccountsError>;
    /// Takes a code back that was issued and mailed to nobody: it opens nothing any more, and where nobody tried it, it counts neither for the
    /// minute nor for the day.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn take_code_back(&self, code: Code) -> Result<(), AccountsError>;
    /// Takes one try off the code and, if it is the right one, marks the address verified.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn verify_email(&self, email: &str, code: CodeMac, now: UnixSeconds) -> Result<Verification, AccountsError>;
    /// Takes one try off the code and, if it is the right one, sets the password and forgets every session of the user, and with
    /// them which devices are known. The one that it was done on is known from then on.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn reset_password(&self, reset: PasswordReset) -> Result<bool, AccountsError>;

    /// Finds or creates the user of (issuer, subject) and opens a session; none if the password that was matched is not in force any
    /// more.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn open_session(&self, session: NewSession) -> Result<Option<Session>, AccountsError>;
    /// The live session that a refresh token of this hash belongs to, if the token has not expired; it may be used already.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn refreshable(&self, token: &Hash32, now: UnixSeconds) -> Result<Option<Refreshable>, AccountsError>;
    /// Exchanges a refresh token for its successor.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn rotate(&self, rotation: Rotation) -> Result<RotationOutcome, AccountsError>;
    /// True if the account of a normalised e-mail address has had a session on this device that is still remembered, ended
    /// or not, or if its password was reset there.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn is_device_known(&self, email: &str, device: &DeviceId) -> Result<bool, AccountsError>;
    /// A live session: neither revoked nor past its last refresh token.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn session(&self, id: &SessionId, now: UnixSeconds) -> Result<Option<Session>, AccountsError>;
    /// The live sessions of a user, newest first, at most [`SESSIONS_PER_USER_MAX`].
    ///
    /// # Errors
    /// [`AccountsError`].
    fn sessions(&self, user: &UserId, now: UnixSeconds) -> Result<Vec<Session>, AccountsError>;
    /// Revokes one session of this user; false if there is no such live session.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn revoke(&self, user: &UserId, session: &SessionId, now: UnixSeconds) -> Result<bool, AccountsError>;

    /// The user as one app sees them.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn user(&self, user: &UserId, app: &AppId) -> Result<Option<User>, AccountsError>;
    /// Remembers which wallet is the user's; false if another one already is, or the wallet is another user's.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn bind_wallet(&self, user: &UserId, wallet: UserIdHash) -> Result<bool, AccountsError>;
    /// Notes that the user's wallet exists and that `app` may use it.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn wallet_registered(&self, user: &UserId, app: &AppId, now: UnixSeconds) -> Result<(), AccountsError>;
    /// Lets `app` use the user's wallet; false if the user has none yet.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn register_app(&self, user: &UserId, app: &AppId, now: UnixSeconds) -> Result<bool, AccountsError>;
    /// Keeps address statements whose signatures the caller verified, all of them or none. Writes only if one of them is new.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn keep_accounts(&self, user: &UserId, accounts: Vec<AccountRow>) -> Result<(), AccountsError>;
    /// The user's accounts by network and path.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn accounts(&self, user: &UserId) -> Result<Vec<AccountRow>, AccountsError>;

    /// Registers an app.
    ///
    /// # Errors
    /// [`AccountsError`], also if the id is taken.
    fn create_app(&self, app: App) -> Result<(), AccountsError>;
    /// Adds a key to an app.
    ///
    /// # Errors
    /// [`AccountsError`], also if there is no such app.
    fn create_app_key(&self, key: NewAppKey) -> Result<(), AccountsError>;
    /// Makes this key the one web key of the app of a page that changes its origin, and the app, where they are not there or the key was revoked:
    /// every web key of the app that is bound to another origin ends. Without a key all of them end. For computed keys, which may come back; a
    /// drawn one never does.
    ///
    /// # Errors
    /// [`AccountsError`]; nothing was changed.
    fn settle_page(&self, app: App, key: Option<NewAppKey>, now: UnixSeconds) -> Result<(), AccountsError>;
    /// Every app, oldest first.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn apps(&self) -> Result<Vec<App>, AccountsError>;
    /// The live key with this hash, and its app.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn app_key(&self, hash: &Hash32) -> Result<Option<AppKey>, AccountsError>;
    /// Revokes a key; false if there is no such live key.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn revoke_app_key(&self, hash: &Hash32, now: UnixSeconds) -> Result<bool, AccountsError>;
    /// An app and what its live keys are bound to, each once.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn registered_app(&self, app: &AppId) -> Result<Option<RegisteredApp>, AccountsError>;
    /// Changes how an app is shown; false if there is no such app.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn change_theme(&self, app: &AppId, change: ThemeChange) -> Result<bool, AccountsError>;
    /// An app's logo, PNG.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn app_logo(&self, app: &AppId) -> Result<Option<Vec<u8>>, AccountsError>;
    /// Revokes every live key of an app that is bound to exactly this; how many there were.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn revoke_bound(&self, app: &AppId, platform: Platform, now: UnixSeconds) -> Result<usize, AccountsError>;
    /// True if some live web key is bound to exactly this origin.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn is_web_origin(&self, origin: &str) -> Result<bool, AccountsError>;

    /// Claims an idempotency key for a request, or finds what became of it.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn claim(&self, key: &Hash32, body: &Hash32, now: UnixSeconds) -> Result<Claim, AccountsError>;
    /// Stores the answer of a claimed request; `None` frees the key so that a retry runs again.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn settle(&self, key: &Hash32, reply: Option<StoredReply>) -> Result<(), AccountsError>;

    /// True after a write whose outcome is unknown: nothing is written any more, and the process must stop.
    fn is_stopped(&self) -> bool;

    /// Deletes what had expired by a moment that the caller knows to have passed. Bounded work per call; the number of rows deleted.
    ///
    /// # Errors
    /// [`AccountsError`].
    fn sweep(&self, passed: UnixSeconds) -> Result<usize, AccountsError>;
}

/// The tables of this module. Times are unix seconds.
pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS users (
    user_id         TEXT PRIMARY KEY,
    wallet          BLOB UNIQUE,
    wallet_exists   INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS identities (
    issuer          TEXT NOT NULL,
    subject         TEXT NOT NULL,
    user_id         TEXT NOT NULL REFERENCES users (user_id),
    email           TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS identities_by_user ON identities (user_id);
CREATE TABLE IF NOT EXISTS passwords (
    email           TEXT PRIMARY KEY,
    subject         TEXT NOT NULL UNIQUE,
    hash            TEXT,
    contested       INTEGER NOT NULL DEFAULT 0,
    verified_at     INTEGER,
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS codes (
    purpose         TEXT NOT NULL,
    address         BLOB NOT NULL,
    mac             BLOB NOT NULL,
    expires_at      INTEGER NOT NULL,
    tries_left      INTEGER NOT NULL,
    sent_at         INTEGER NOT NULL,
    day_started_at  INTEGER NOT NULL,
    day_count       INTEGER NOT NULL,
    PRIMARY KEY (purpose, address)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS equal_work (
    id              INTEGER PRIMARY KEY CHECK (id = 0),
    writes          INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO equal_work (id, writes) VALUES (0, 0);
CREATE TABLE IF NOT EXISTS apps (
    app_id          TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS app_keys (
    hash            BLOB PRIMARY KEY,
    app_id          TEXT NOT NULL REFERENCES apps (app_id),
    platform        TEXT NOT NULL,
    bound_to        TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    revoked_at      INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS app_keys_by_binding ON app_keys (platform, bound_to);
CREATE TABLE IF NOT EXISTS app_users (
    app_id          TEXT NOT NULL REFERENCES apps (app_id),
    user_id         TEXT NOT NULL REFERENCES users (user_id),
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (app_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (
    session_id      TEXT PRIMARY KEY,
    user_id         TEXT NOT NULL REFERENCES users (user_id),
    app_id          TEXT NOT NULL REFERENCES apps (app_id),
    device          BLOB NOT NULL,
    created_at      INTEGER NOT NULL,
    last_used_at    INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    revoked_at      INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_user ON sessions (user_id, created_at);
CREATE INDEX IF NOT EXISTS sessions_by_expiry ON sessions (expires_at);
CREATE TABLE IF NOT EXISTS refresh_tokens (
    hash            BLOB PRIMARY KEY,
    session_id      TEXT NOT NULL REFERENCES sessions (session_id) ON DELETE CASCADE,
    expires_at      INTEGER NOT NULL,
    rotated_at      INTEGER,
    successor       BLOB,
    successor_masked BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX IF NOT EXISTS refresh_tokens_by_expiry ON refresh_tokens (expires_at);
CREATE TABLE IF NOT EXISTS user_accounts (
    user_id         TEXT NOT NULL REFERENCES users (user_id),
    network         TEXT NOT NULL,
    path            TEXT NOT NULL,
    address         TEXT NOT NULL,
    statement       BLOB NOT NULL,
    signature       BLOB NOT NULL,
    PRIMARY KEY (user_id, network, path)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS idempotency (
    key             BLOB PRIMARY KEY,
    body            BLOB NOT NULL,
    claimed_at      INTEGER NOT NULL,
    status          INTEGER,
    content_type    TEXT,
    reply           BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idempotency_by_age ON idempotency (claimed_at);
";

/// The seventh step of the schema: the used tokens whose successor can be fetched again, by that successor.
pub(crate) const MASKED_SCHEMA: &str = "
CREATE INDEX IF NOT EXISTS refresh_tokens_masked ON refresh_tokens (successor) WHERE successor_masked IS NOT NULL;
";

/// A further step: what has expired is found without a look at the rest, and a device without one at an account's sessions.
pub(crate) const EXPIRY_SCHEMA: &str = "
CREATE INDEX IF NOT EXISTS codes_by_day ON codes (day_started_at, expires_at);
CREATE INDEX IF NOT EXISTS passwords_unverified ON passwords (created_at) WHERE verified_at IS NULL;
CREATE INDEX IF NOT EXISTS sessions_by_device ON sessions (device, user_id);
";

/// Unix seconds as SQLite keeps them. Times beyond the year 292 billion become the largest one.
fn seconds(at: UnixSeconds) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

/// Unix seconds as read back; the tables hold no negative time.
fn at(seconds: i64) -> UnixSeconds {
    UnixSeconds(u64::try_from(seconds).unwrap_or(0))
}
