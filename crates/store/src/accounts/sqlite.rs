//! [`Accounts`] over the one database file.

use pinseal_protocol::ids::{DeviceId, Hash32, UnixSeconds, UserIdHash};
use rusqlite::{Connection, Transaction};

use super::memory::Kept;
use super::{
    AccountRow, Accounts, AccountsError, App, AppId, AppKey, Claim, Code, CodeMac, MailDue, NewAppKey, NewSession,
    PasswordReset, PasswordRow, Platform, Refreshable, RegisteredApp, Rotation, RotationOutcome, Session, SessionId,
    SignUp, StoredReply, ThemeChange, User, UserId, Verification, apps, idempotency, login, sessions, themes, wallets,
};
use crate::sqlite::{SqlError, Sqlite};

impl From<SqlError> for AccountsError {
    fn from(error: SqlError) -> Self {
        Self(Box::new(error))
    }
}

type Outcome<T> = Result<T, AccountsError>;

/// One transaction on the writer thread, after which no row counts as it was read before.
fn write<T: Send + 'static>(
    db: &Sqlite,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
) -> Outcome<T> {
    let outcome = write_aside(db, work);
    // Whatever the outcome: one that is unknown may be stored.
    db.memory().forget();
    outcome
}

/// One transaction on the writer thread that touches neither sessions, users, identities nor who uses which app.
fn write_aside<T: Send + 'static>(
    db: &Sqlite,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
) -> Outcome<T> {
    db.write(move |tx| work(tx).map_err(SqlError::from)).map_err(AccountsError::from)
}

/// One snapshot on a reading connection.
fn read<T>(db: &Sqlite, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Outcome<T> {
    db.read(|connection| work(connection).map_err(SqlError::from)).map_err(AccountsError::from)
}

impl Accounts for Sqlite {
    fn password(&self, email: &str) -> Outcome<Option<PasswordRow>> {
        read(self, |db| login::password(db, email))
    }

    fn sign_up(&self, sign_up: SignUp) -> Outcome<MailDue> {
        write_aside(self, move |tx| login::sign_up(tx, &sign_up))
    }

    fn issue_code(&self, email: &str, code: Code) -> Outcome<MailDue> {
        let email = email.to_owned();
        write_aside(self, move |tx| login::issue_code(tx, &email, &code))
    }

    fn take_code_back(&self, code: Code) -> Outcome<()> {
        write_aside(self, move |tx| login::take_code_back(tx, &code))
    }

    fn verify_email(&self, email: &str, code: CodeMac, now: UnixSeconds) -> Outcome<Verification> {
        let email = email.to_owned();
        write_aside(self, move |tx| login::verify_email(tx, &email, &code, now))
    }

    fn reset_password(&self, reset: PasswordReset) -> Outcome<bool> {
        let done = write_aside(self, move |tx| login::reset_password(tx, &reset));
        // A stranger's guess changes no session, and makes nobody read theirs again.
        if !matches!(done, Ok(false)) {
            self.memory().forget();
        }
        done
    }

    fn open_session(&self, session: NewSession) -> Outcome<Option<Session>> {
        write(self, move |tx| sessions::open(tx, &session))
    }

    fn refreshable(&self, token: &Hash32, now: UnixSeconds) -> Outcome<Option<Refreshable>> {
        read(self, |db| sessions::refreshable(db, token, now))
    }

    fn rotate(&self, rotation: Rotation) -> Outcome<RotationOutcome> {
        write(self, move |tx| sessions::rotate(tx, &rotation))
    }

    fn is_device_known(&self, email: &str, device: &DeviceId) -> Outcome<bool> {
        read(self, |db| sessions::is_device_known(db, email, device))
    }

    fn session(&self, id: &SessionId, now: UnixSeconds) -> Outcome<Option<Session>> {
        // Asked for as of now, kept until a write: what has expired meanwhile is no live session.
        let session =
            self.memory().recall(Kept::sessions, id.clone(), |id| read(self, |db| sessions::session(db, id, now)))?;
        Ok(session.filter(|session| now < session.expires_at))
    }

    fn sessions(&self, user: &UserId, now: UnixSeconds) -> Outcome<Vec<Session>> {
        read(self, |db| sessions::sessions(db, user, now))
    }

    fn revoke(&self, user: &UserId, session: &SessionId, now: UnixSeconds) -> Outcome<bool> {
        let (user, session) = (user.clone(), session.clone());
        write(self, move |tx| sessions::revoke(tx, &user, &session, now))
    }

    fn user(&self, user: &UserId, app: &AppId) -> Outcome<Option<User>> {
        let key = (user.clone(), app.clone());
        self.memory().recall(Kept::users, key, |(user, app)| read(self, |db| wallets::user(db, user, app)))
    }

    fn bind_wallet(&self, user: &UserId, wallet: UserIdHash) -> Outcome<bool> {
        let user = user.clone();
        write(self, move |tx| wallets::bind(tx, &user, &wallet))
    }

    fn wallet_registered(&self, user: &UserId, app: &AppId, now: UnixSeconds) -> Outcome<()> {
        let (user, app) = (user.clone(), app.clone());
        write(self, move |tx| wallets::registered(tx, &user, &app, now))
    }

    fn register_app(&self, user: &UserId, app: &AppId, now: UnixSeconds) -> Outcome<bool> {
        let (user, app) = (user.clone(), app.clone());
        write(self, move |tx| wallets::register_app(tx, &user, &app, now))
    }

    fn keep_accounts(&self, user: &UserId, accounts: Vec<AccountRow>) -> Outcome<()> {
        if read(self, |db| wallets::are_kept(db, user, &accounts))? {
            return Ok(());
        }
        let user = user.clone();
        write_aside(self, move |tx| accounts.iter().try_for_each(|account| wallets::keep(tx, &user, account)))
    }

    fn accounts(&self, user: &UserId) -> Outcome<Vec<AccountRow>> {
        read(self, |db| wallets::accounts(db, user))
    }

    fn create_app(&self, app: App) -> Outcome<()> {
        write(self, move |tx| apps::create(tx, &app))
    }

    fn create_app_key(&self, key: NewAppKey) -> Outcome<()> {
        write(self, move |tx| apps::create_key(tx, &key))
    }

    fn settle_page(&self, app: App, key: Option<NewAppKey>, now: UnixSeconds) -> Outcome<()> {
        write(self, move |tx| apps::settle_page(tx, &app, key.as_ref(), now))
    }

    fn apps(&self) -> Outcome<Vec<App>> {
        read(self, apps::list)
    }

    fn app_key(&self, hash: &Hash32) -> Outcome<Option<AppKey>> {
        read(self, |db| apps::key(db, hash))
    }

    fn revoke_app_key(&self, hash: &Hash32, now: UnixSeconds) -> Outcome<bool> {
        let hash = *hash;
        write(self, move |tx| apps::revoke_key(tx, &hash, now))
    }

    fn registered_app(&self, app: &AppId) -> Outcome<Option<RegisteredApp>> {
        read(self, |db| apps::registered(db, app))
    }

    fn change_theme(&self, app: &AppId, change: ThemeChange) -> Outcome<bool> {
        let app = app.clone();
        write(self, move |tx| themes::change(tx, &app, &change))
    }

    fn app_logo(&self, app: &AppId) -> Outcome<Option<Vec<u8>>> {
        read(self, |db| themes::logo(db, app))
    }

    fn revoke_bound(&self, app: &AppId, platform: Platform, now: UnixSeconds) -> Outcome<usize> {
        let app = app.clone();
        write(self, move |tx| apps::revoke_bound(tx, &app, &platform, now))
    }

    fn is_web_origin(&self, origin: &str) -> Outcome<bool> {
        read(self, |db| apps::is_web_origin(db, origin))
    }

    fn claim(&self, key: &Hash32, body: &Hash32, now: UnixSeconds) -> Outcome<Claim> {
        let (key, body) = (*key, *body);
        write_aside(self, move |tx| idempotency::claim(tx, &key, &body, now))
    }

    fn settle(&self, key: &Hash32, reply: Option<StoredReply>) -> Outcome<()> {
        let key = *key;
        write_aside(self, move |tx| idempotency::settle(tx, &key, reply.as_ref()))
    }

    fn is_stopped(&self) -> bool {
        Self::is_stopped(self)
    }

    fn sweep(&self, passed: UnixSeconds) -> Outcome<usize> {
        write(self, move |tx| idempotency::sweep(tx, passed))
    }
}
