//! One user with one session, and what a database would say about everybody else.

use pinseal_protocol::ids::{DeviceId, Hash32, UnixSeconds, UserIdHash};
use pinseal_protocol::token::P256Public;
use pinseal_store::accounts::{
    Accent, AccountRow, Accounts, AccountsError, App, AppId, AppKey, Claim, Code, CodeMac, MailDue, NewAppKey,
    NewSession, PasswordReset, PasswordRow, Platform, Refreshable, RegisteredApp, Rgb, Rotation, RotationOutcome,
    Session, SessionId, SignUp, StoredReply, Theme, ThemeChange, User, UserId, Verification,
};
use sha2::{Digest as _, Sha256};

use super::{APP, DEVICE_KEY, ORIGIN, SERVER_KEY, SESSION, USER, WEB_KEY};
use crate::harness::base::{BASE, START};
use crate::harness::keys;

type Outcome<T> = Result<T, AccountsError>;

/// Takes every write and keeps none. No mail is ever due, so nothing leaves the process.
pub(super) struct People;

fn session() -> Session {
    Session {
        id: SessionId::new(SESSION),
        user: UserId::new(USER),
        app: AppId::new(APP),
        device: P256Public::of(keys::key(DEVICE_KEY)).thumbprint(),
        created_at: UnixSeconds(START),
        last_used_at: UnixSeconds(START),
        expires_at: UnixSeconds(u64::MAX),
    }
}

fn app() -> App {
    App { id: AppId::new(APP), name: "Fuzz".into(), created_at: UnixSeconds(START) }
}

impl Accounts for People {
    fn password(&self, email: &str) -> Outcome<Option<PasswordRow>> {
        let row = || PasswordRow { subject: USER.into(), hash: None, verified: true };
        Ok((email == "ada@example.org").then(row))
    }

    fn sign_up(&self, _: SignUp) -> Outcome<MailDue> {
        Ok(MailDue::Nothing)
    }

    fn issue_code(&self, _: &str, _: Code) -> Outcome<MailDue> {
        Ok(MailDue::Nothing)
    }

    fn take_code_back(&self, _: Code) -> Outcome<()> {
        Ok(())
    }

    fn verify_email(&self, _: &str, _: CodeMac, _: UnixSeconds) -> Outcome<Verification> {
        Ok(Verification::Verified)
    }

    fn reset_password(&self, _: PasswordReset) -> Outcome<bool> {
        // A success would be mailed.
        Ok(false)
    }

    fn open_session(&self, _: NewSession) -> Outcome<Option<Session>> {
        Ok(Some(session()))
    }

    fn refreshable(&self, _: &Hash32, _: UnixSeconds) -> Outcome<Option<Refreshable>> {
        Ok(Some(Refreshable { session: session(), used: false }))
    }

    fn rotate(&self, _: Rotation) -> Outcome<RotationOutcome> {
        Ok(RotationOutcome::Rotated(session()))
    }

    fn is_device_known(&self, _: &str, _: &DeviceId) -> Outcome<bool> {
        Ok(false)
    }

    fn session(&self, id: &SessionId, _: UnixSeconds) -> Outcome<Option<Session>> {
        Ok((id.as_str() == SESSION).then(session))
    }

    fn sessions(&self, _: &UserId, _: UnixSeconds) -> Outcome<Vec<Session>> {
        Ok(vec![session()])
    }

    fn revoke(&self, _: &UserId, id: &SessionId, _: UnixSeconds) -> Outcome<bool> {
        Ok(id.as_str() == SESSION)
    }

    fn user(&self, _: &UserId, _: &AppId) -> Outcome<Option<User>> {
        let (email, wallet) = ("ada@example.org".into(), Some(BASE.ada));
        Ok(Some(User { email, wallet, wallet_exists: true, app_registered: true }))
    }

    fn bind_wallet(&self, _: &UserId, _: UserIdHash) -> Outcome<bool> {
        Ok(true)
    }

    fn wallet_registered(&self, _: &UserId, _: &AppId, _: UnixSeconds) -> Outcome<()> {
        Ok(())
    }

    fn register_app(&self, _: &UserId, _: &AppId, _: UnixSeconds) -> Outcome<bool> {
        Ok(true)
    }

    fn keep_accounts(&self, _: &UserId, _: Vec<AccountRow>) -> Outcome<()> {
        Ok(())
    }

    fn accounts(&self, _: &UserId) -> Outcome<Vec<AccountRow>> {
        Ok(vec![AccountRow {
            network: "eip155".into(),
            path: "m/44'/60'/0'/0/0".into(),
            address: format!("0x{}", hex::encode(BASE.addresses[0])),
            statement: vec![1],
            signature: vec![2],
        }])
    }

    fn create_app(&self, _: App) -> Outcome<()> {
        Ok(())
    }

    fn create_app_key(&self, _: NewAppKey) -> Outcome<()> {
        Ok(())
    }

    fn settle_page(&self, _: App, _: Option<NewAppKey>, _: UnixSeconds) -> Outcome<()> {
        Ok(())
    }

    fn apps(&self) -> Outcome<Vec<App>> {
        Ok(vec![app()])
    }

    fn app_key(&self, hash: &Hash32) -> Outcome<Option<AppKey>> {
        let keys = [(SERVER_KEY, Platform::Server), (WEB_KEY, Platform::Web(ORIGIN.into()))];
        let found = keys.into_iter().find(|(key, _)| Sha256::digest(key.as_bytes()).as_slice() == hash.0);
        Ok(found.map(|(_, platform)| AppKey { app: app(), platform }))
    }

    fn revoke_app_key(&self, _: &Hash32, _: UnixSeconds) -> Outcome<bool> {
        Ok(false)
    }

    fn registered_app(&self, id: &AppId) -> Outcome<Option<RegisteredApp>> {
        let app = app();
        let platforms = vec![Platform::Server, Platform::Web(ORIGIN.into())];
        let accent = Accent { light: Rgb { channels: [29, 78, 216] }, dark: Rgb { channels: [143, 176, 255] } };
        let theme = Theme { accent: Some(accent), has_logo: true };
        Ok((*id == app.id).then_some(RegisteredApp { app, platforms, theme }))
    }

    fn change_theme(&self, _: &AppId, _: ThemeChange) -> Outcome<bool> {
        Ok(true)
    }

    fn app_logo(&self, id: &AppId) -> Outcome<Option<Vec<u8>>> {
        Ok((*id == app().id).then(|| vec![1, 2, 3]))
    }

    fn revoke_bound(&self, _: &AppId, _: Platform, _: UnixSeconds) -> Outcome<usize> {
        Ok(0)
    }

    fn is_web_origin(&self, origin: &str) -> Outcome<bool> {
        Ok(origin == ORIGIN)
    }

    fn claim(&self, _: &Hash32, _: &Hash32, _: UnixSeconds) -> Outcome<Claim> {
        Ok(Claim::Fresh)
    }

    fn settle(&self, _: &Hash32, _: Option<StoredReply>) -> Outcome<()> {
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        false
    }

    fn sweep(&self, _: UnixSeconds) -> Outcome<usize> {
        Ok(0)
    }
}
