//! Apps and App Keys: who may call the API, and from where.

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pinseal_protocol::ids::{DeploymentId, Hash32, UnixSeconds};
use pinseal_protocol::secret::SecretText;
use pinseal_store::accounts::{Accent, Accounts, AccountsError, App, AppId, Change, NewAppKey, Platform, ThemeChange};
use zeroize::Zeroizing;

use crate::codes::{random, random_hex};
use crate::logo::Logo;
use crate::problem::{Problem, table};
use crate::state::AppState;

/// Characters of an app's name.
const APP_NAME_CHARS_MAX: usize = 64;
/// Characters of an Android package or iOS bundle id.
const BUNDLE_CHARS_MAX: usize = 255;
/// Characters of an origin: the longest name of a host, a scheme and a port.
const ORIGIN_CHARS_MAX: usize = 8 + 253 + 6;
/// Keys' bindings of one app. Its origins stand in one header of the wallet page.
const BINDINGS_MAX: usize = 16;

/// Why an app or key was not made. The operator mends the arguments, except for the last two.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Empty, too long, or with control characters.
    #[error("an app's name has 1 to {APP_NAME_CHARS_MAX} printable characters")]
    Name,
    /// Not `scheme://host[:port]` exactly as browsers send it.
    #[error("an origin has the form https://host[:port], in lower case, without a path")]
    Origin,
    /// Not a package or bundle id.
    #[error("a package or bundle id has letters, digits, dots, hyphens and underscores")]
    Bundle,
    /// The app has as many origins, packages and bundle ids as it may.
    #[error("an app has at most {BINDINGS_MAX} origins, packages and bundle ids")]
    Bindings,
    /// There is no such app.
    #[error("there is no such app")]
    Unknown,
    /// The system's randomness failed.
    #[error("the system's randomness failed")]
    Randomness,
    /// The database failed, or there is no such app.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
}

/// A new app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedApp {
    /// App ID; public.
    pub app_id: AppId,
}

/// A new key. It is shown once; the database holds its hash.
pub struct CreatedKey {
    /// App Key, for `X-Pinseal-App-Key`.
    pub app_key: SecretText,
}

impl core::fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("CreatedKey(...)")
    }
}

/// Registers an app.
///
/// # Errors
/// [`AppError`].
pub fn create_app(accounts: &dyn Accounts, name: &str, now: UnixSeconds) -> Result<CreatedApp, AppError> {
    check_name(name)?;
    let id = AppId::new(format!("app_{}", random_hex::<12>().map_err(|_| AppError::Randomness)?));
    accounts.create_app(App { id: id.clone(), name: name.to_owned(), created_at: now })?;
    Ok(CreatedApp { app_id: id })
}

fn check_name(name: &str) -> Result<(), AppError> {
    let chars = name.chars().count();
    let fits = (1..=APP_NAME_CHARS_MAX).contains(&chars) && !name.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(AppError::Name) }
}

/// Changes how an app is shown. The wallet page shows it so from its next load on.
///
/// # Errors
/// [`AppError`].
pub fn change_theme(
    accounts: &dyn Accounts,
    app: &AppId,
    name: Option<String>,
    accent: Change<Accent>,
    logo: Change<Logo>,
) -> Result<(), AppError> {
    name.as_deref().map_or(Ok(()), check_name)?;
    let logo = match logo {
        Change::Keep => Change::Keep,
        Change::Remove => Change::Remove,
        Change::Set(logo) => Change::Set(logo.into_bytes()),
    };
    let is_known = accounts.change_theme(app, ThemeChange { name, accent, logo })?;
    if is_known { Ok(()) } else { Err(AppError::Unknown) }
}

/// Makes a key of an app for one platform.
///
/// # Errors
/// [`AppError`].
pub fn create_key(
    accounts: &dyn Accounts,
    app: &AppId,
    platform: Platform,
    now: UnixSeconds,
) -> Result<CreatedKey, AppError> {
    match &platform {
        Platform::Web(origin) => {
            if !is_exact_origin(origin) {
                return Err(AppError::Origin);
            }
        }
        Platform::Android(bundle) | Platform::Ios(bundle) => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            if bundle.is_empty() || bundle.len() > BUNDLE_CHARS_MAX || !bundle.bytes().all(fits) {
                return Err(AppError::Bundle);
            }
        }
        Platform::Server => {}
    }
    let known = accounts.registered_app(app)?.ok_or(AppError::Unknown)?.platforms;
    if !known.contains(&platform) && known.len() >= BINDINGS_MAX {
        return Err(AppError::Bindings);
    }
    let secret = Zeroizing::new(random::<32>().map_err(|_| AppError::Randomness)?);
    let app_key = SecretText::new(format!("pk_{}_{}", platform.name(), URL_SAFE_NO_PAD.encode(*secret)));
    accounts.create_app_key(NewAppKey { hash: hash(app_key.expose_secret()), app: app.clone(), platform, now })?;
    Ok(CreatedKey { app_key })
}

/// Takes an origin away from an app: revokes every key of the app that is bound to it. How many there were.
///
/// # Errors
/// [`AppError`].
pub fn revoke_origin(accounts: &dyn Accounts, app: &AppId, origin: &str, now: UnixSeconds) -> Result<usize, AppError> {
    if accounts.registered_app(app)?.is_none() {
        return Err(AppError::Unknown);
    }
    Ok(accounts.revoke_bound(app, Platform::Web(origin.to_owned()), now)?)
}

/// True for one origin as browsers send it, and for nothing that a policy reads as several: URLs allow hosts like `*.example.org`, and
/// `a;b`.
pub(crate) fn is_exact_origin(origin: &str) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']');
    let is_plain = origin.len() <= ORIGIN_CHARS_MAX && matches!(scheme, "http" | "https") && rest.bytes().all(fits);
    is_plain && url::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == origin)
}

/// App ID of the wallet page.
pub(crate) const PAGE_APP: &str = "app_wallet";
/// Its name, as users see it.
const PAGE_APP_NAME: &str = "Wallet";

/// Makes the wallet page's app and its key for `origin`, unless they are there; the origins that the page had before end. The key of a page is no
/// secret, whoever opens the page reads it, so it is computed and not drawn: a page that stayed open over a restart goes on, nothing has to be kept,
/// and one that goes back to an earlier origin has its key again.
pub(crate) fn register_page(
    accounts: &dyn Accounts,
    deployment: DeploymentId,
    origin: &str,
    now: UnixSeconds,
) -> Result<(AppId, String), AccountsError> {
    let Hash32(bytes) = hash(&format!("pinseal wallet page v1 {deployment} {origin}"));
    let (app, platform) = (page_app(now), Platform::Web(origin.to_owned()));
    let key = format!("pk_{}_{}", platform.name(), URL_SAFE_NO_PAD.encode(bytes));
    let id = app.id.clone();
    accounts.settle_page(app, Some(NewAppKey { hash: hash(&key), app: id.clone(), platform, now }), now)?;
    Ok((id, key))
}

/// Ends every origin of a wallet page that is served no more.
pub(crate) fn close_page(accounts: &dyn Accounts, now: UnixSeconds) -> Result<(), AccountsError> {
    accounts.settle_page(page_app(now), None, now)
}

fn page_app(now: UnixSeconds) -> App {
    App { id: AppId::new(PAGE_APP), name: PAGE_APP_NAME.to_owned(), created_at: now }
}

fn hash(key: &str) -> Hash32 {
    let mut out = [0_u8; 32];
    out.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
    Hash32(out)
}

/// The app a request comes from, its key checked.
#[derive(Debug, Clone)]
pub(crate) struct AppCaller {
    pub(crate) app: App,
    /// The origin to allow in the answer, for web keys.
    pub(crate) origin: Option<String>,
}

impl AppCaller {
    /// Checks App ID, App Key and what the key is bound to.
    pub(crate) fn identify(state: &AppState, headers: &HeaderMap) -> Result<Self, Problem> {
        let one = |name: &str| -> Result<Option<String>, Problem> {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (None, _) => Ok(None),
                (Some(value), None) => {
                    let value = value.to_str().map_err(|_| {
                        Problem::from(table::INVALID_PARAMETER).detail(format!("{name} is not visible ASCII"))
                    })?;
                    Ok(Some(value.to_owned()))
                }
                (Some(_), Some(_)) => {
                    Err(Problem::from(table::INVALID_PARAMETER).detail(format!("{name} is given twice")))
                }
            }
        };
        let (Some(id), Some(key)) = (one("x-pinseal-app-id")?, one("x-pinseal-app-key")?) else {
            return Err(table::APP_KEY_MISSING.into());
        };
        let origin = one(header::ORIGIN.as_str())?;
        let bundle = one("x-pinseal-bundle")?;
        let key_hash = hash(&key);
        let found = state.read_accounts(|accounts| accounts.app_key(&key_hash))?;
        let found = found.filter(|found| found.app.id.as_str() == id).ok_or(table::APP_KEY_INVALID)?;
        match &found.platform {
            Platform::Web(bound) if origin.as_deref() != Some(bound) => Err(table::ORIGIN_REFUSED.into()),
            Platform::Web(bound) => Ok(Self { origin: Some(bound.clone()), app: found.app }),
            _ if origin.is_some() => Err(table::ORIGIN_REFUSED.into()),
            Platform::Android(bound) | Platform::Ios(bound) if bundle.as_deref() != Some(bound) => {
                Err(table::BUNDLE_REFUSED.into())
            }
            Platform::Server if bundle.is_some() => Err(table::BUNDLE_REFUSED.into()),
            _ => Ok(Self { app: found.app, origin: None }),
        }
    }
}
