//! Login: one seam for every provider, and what follows a successful one.

pub(crate) mod email;

use std::net::IpAddr;

use pinseal_protocol::ids::{DeviceId, UnixSeconds};
use pinseal_protocol::secret::SecretText;
use pinseal_store::accounts::{
    AppId, NewSession, Refreshable, Rotation, RotationOutcome, Session, SessionId, User, UserId,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Boxed;
use crate::auth::UncountedProof;
use crate::codes::{RefreshToken, random_hex};
use crate::limits::Who;
use crate::output::shown;
use crate::problem::{Problem, table};
use crate::state::AppState;

/// Lifetime of a refresh token: a week after its last use the user logs in again.
const REFRESH_SECONDS: u64 = 7 * 86_400;
/// Longest life of a session, however often it is refreshed.
const SESSION_SECONDS: u64 = 90 * 86_400;

/// What a user shows a provider.
pub enum Credential {
    /// E-mail address and password, as typed.
    Password {
        /// Address.
        email: String,
        /// Password.
        password: SecretText,
    },
}

/// Where a credential comes from. Throttles are told by it.
#[derive(Debug, Clone, Copy)]
pub struct Visitor {
    /// The client's address.
    pub address: IpAddr,
    /// The device whose key the request proved to hold.
    pub device: DeviceId,
}

/// A person a provider vouches for. The account's key is (issuer, subject); the address is for mail only.
#[derive(Clone)]
pub struct VerifiedIdentity {
    /// Issuer.
    pub issuer: String,
    /// Subject, stable and never reused by the issuer.
    pub subject: String,
    /// Verified e-mail address.
    pub email: String,
    /// The stored password hash the credential matched, if it was a password: whoever opens a session looks once more.
    pub password_hash: Option<String>,
}

/// Why a provider does not vouch.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The credential is wrong, whatever exactly is wrong with it. The user tries again.
    #[error("the credential is not accepted")]
    Refused,
    /// Too many tries for this account. The user waits.
    #[error("too many tries; wait {0} seconds")]
    Throttled(u64),
    /// Too much work is waiting. The client repeats later.
    #[error("too much work is waiting")]
    Overloaded,
    /// The provider failed: a service fault.
    #[error("the login provider failed")]
    Fault(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A way to log in.
pub trait LoginProvider: Send + Sync {
    /// Name in `login_providers`.
    fn name(&self) -> &'static str;
    /// Checks a credential. Takes as long, and writes as much, for an unknown user as for a known one.
    fn authenticate(&self, credential: Credential, visitor: Visitor)
    -> Boxed<'_, Result<VerifiedIdentity, LoginError>>;
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Refused => table::LOGIN_FAILED.into(),
            LoginError::Throttled(seconds) => Self::from(table::RATE_LIMITED).retry_after(seconds),
            LoginError::Overloaded => Self::from(table::OVERLOADED).retry_after(1),
            LoginError::Fault(source) => Self::fault(source.as_ref()),
        }
    }
}

/// Every way to log in, in the order apps are told of them.
pub(crate) fn providers(state: &AppState) -> Vec<Box<dyn LoginProvider>> {
    vec![Box::new(email::EmailProvider(state.clone()))]
}

/// How far a user has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LoginStatus {
    /// Wallet and app are ready.
    Complete,
    /// No wallet yet: set a PIN.
    PinRequired,
    /// There is a wallet, but this app may not use it yet.
    RegisterRequired,
}

impl LoginStatus {
    pub(crate) fn of(user: &User) -> Self {
        match (user.wallet_exists, user.app_registered) {
            (false, _) => Self::PinRequired,
            (true, false) => Self::RegisterRequired,
            (true, true) => Self::Complete,
        }
    }
}

/// A session and its tokens.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionBody {
    /// User id.
    user_id: String,
    /// Verified e-mail address.
    email: String,
    /// Access token (ES256 JWT, RFC 9068), bound to the device key.
    #[schema(value_type = String)]
    #[serde(serialize_with = "shown")]
    access_token: SecretText,
    /// Unix seconds.
    access_expires_at: u64,
    /// Refresh token: opaque, good for one refresh.
    #[schema(value_type = String)]
    #[serde(serialize_with = "shown")]
    refresh_token: SecretText,
    /// Unix seconds.
    refresh_expires_at: u64,
    /// Session id.
    session_id: String,
    /// What the user still has to do.
    login_status: LoginStatus,
    /// The wallet's `uid_h` in hex; null before the first `begin`.
    wallet_id: Option<String>,
}

/// Opens a session for an identity on a device.
pub(crate) async fn open(
    state: &AppState,
    identity: VerifiedIdentity,
    app: AppId,
    device: DeviceId,
) -> Result<SessionBody, Problem> {
    let now = state.now();
    let refresh = RefreshToken::fresh().map_err(|error| Problem::fault(&error))?;
    let new = NewSession {
        issuer: identity.issuer,
        subject: identity.subject,
        email: identity.email,
        password_hash: identity.password_hash,
        fresh_user: UserId::new(random_hex::<16>().map_err(|error| Problem::fault(&error))?),
        id: SessionId::new(random_hex::<16>().map_err(|error| Problem::fault(&error))?),
        app,
        device,
        refresh_hash: refresh.hash(),
        now,
        expires_at: UnixSeconds(now.0.saturating_add(REFRESH_SECONDS)),
    };
    let session = state.accounts(move |accounts| accounts.open_session(new)).await?.ok_or(table::LOGIN_FAILED)?;
    body(state, session, &refresh).await
}

/// Exchanges a refresh token presented with a proof of its session's device.
///
/// The token is looked up before the proof is remembered: strangers have none, so nothing they send takes the room, or the
/// transaction, that keeps sessions alive.
pub(crate) async fn refresh(
    state: &AppState,
    presented: &str,
    app: AppId,
    proof: &UncountedProof,
) -> Result<SessionBody, Problem> {
    let (now, device) = (state.now(), proof.device());
    let presented = RefreshToken::parse(presented).ok_or(table::REFRESH_INVALID)?;
    let known = state.read_accounts(|accounts| accounts.refreshable(&presented.hash(), now))?;
    let known = known.filter(|known| known.session.device == device && known.session.app == app);
    let Refreshable { session, used } = known.ok_or(table::REFRESH_INVALID)?;
    proof.count_for(&session, state)?;
    // A used token comes back for a lost reply, which writes nothing and must not wait, or closes its session.
    if !used {
        let who = Who::session(session.id.as_str());
        let counted = state.refresh_limit().check(who).and_then(|_| state.refresh_limit_daily().check(who));
        counted.map_err(|exceeded| Problem::from(table::RATE_LIMITED).retry_after(exceeded.wait_seconds))?;
    }
    let successor = RefreshToken::fresh().map_err(|error| Problem::fault(&error))?;
    let rotation = Rotation {
        presented: presented.hash(),
        device,
        app,
        successor: successor.hash(),
        successor_masked: presented.successor_masked(&successor),
        now,
        expires_at: UnixSeconds(now.0.saturating_add(REFRESH_SECONDS)),
        opened_after: UnixSeconds(now.0.saturating_sub(SESSION_SECONDS)),
    };
    match state.accounts(move |accounts| accounts.rotate(rotation)).await? {
        RotationOutcome::Rotated(session) => body(state, session, &successor).await,
        RotationOutcome::Repeated(session, masked) => body(state, session, &presented.unmask(&masked)).await,
        RotationOutcome::Reused => {
            state.count_login("refresh", "reused");
            Err(table::REFRESH_REUSED.into())
        }
        RotationOutcome::Refused => Err(table::REFRESH_INVALID.into()),
    }
}

async fn body(state: &AppState, session: Session, refresh: &RefreshToken) -> Result<SessionBody, Problem> {
    let (user_id, app) = (session.user.clone(), session.app.clone());
    let user = state.accounts(move |accounts| accounts.user(&user_id, &app)).await?;
    let user = user.ok_or(table::SESSION_REVOKED)?;
    let (access_token, access_expires_at) =
        state.issuer().access(&session, state.now()).map_err(|error| Problem::fault(&error))?;
    Ok(SessionBody {
        user_id: session.user.as_str().to_owned(),
        access_token,
        access_expires_at: access_expires_at.0,
        refresh_token: refresh.to_text(),
        refresh_expires_at: session.expires_at.0,
        session_id: session.id.as_str().to_owned(),
        login_status: LoginStatus::of(&user),
        wallet_id: user.wallet.map(|wallet| wallet.to_string()),
        email: user.email,
    })
}
