//! Who calls: access token, device proof, live session, right app.

use std::sync::Mutex;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use pinseal_protocol::dpop::VerifiedProof;
use pinseal_protocol::ids::{DeviceId, UnixSeconds};
use pinseal_protocol::token::{AccessToken, P256Public, TokenError, token_hash};
use pinseal_protocol::verified::Verified;
use pinseal_store::accounts::{Session, SessionId, User};

use crate::apps::AppCaller;
use crate::dpop::Share;
use crate::issuer::{Access, Issuer};
use crate::limits::Who;
use crate::login::LoginStatus;
use crate::problem::{Problem, table};
use crate::state::AppState;

/// Verified tokens remembered, about 1 KiB each.
const TOKENS_MAX: usize = 16_384;

/// A caller who showed an access token and, with a fresh proof, its device key.
pub(crate) struct Caller {
    pub(crate) session: Session,
    pub(crate) access_token: AccessToken,
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let (caller, access) = Self::by_token(parts, state)?;
        let target = state.target(parts);
        let now = state.now();
        let token = Some(caller.access_token.expose_secret());
        let proof = state.dpop().verify(&parts.headers, parts.method.as_str(), &target, token, now)?;
        if proof.key.thumbprint() != access.device {
            return Err(Problem::from(table::DPOP_INVALID).detail("the token is bound to another device key"));
        }
        // Only now, so that nobody spends a user's allowance with a token alone, nor the room for proofs beyond that allowance.
        state.dpop().remember(&proof, Share::Sessions, now, || count_user(state, &caller.session))?;
        Ok(caller)
    }
}

/// Counts a request of a user.
fn count_user(state: &AppState, session: &Session) -> Result<(), Problem> {
    let counted = state.user_limit().check(Who::user(session.user.as_str()));
    counted.map(|_| ()).map_err(|exceeded| Problem::from(table::RATE_LIMITED).retry_after(exceeded.wait_seconds))
}

impl Caller {
    /// The user, as the session's app sees them.
    pub(crate) fn user(&self, state: &AppState) -> Result<User, Problem> {
        let known = state.read_accounts(|accounts| accounts.user(&self.session.user, &self.session.app))?;
        Ok(known.ok_or(table::SESSION_REVOKED)?)
    }

    fn by_token(parts: &Parts, state: &AppState) -> Result<(Self, Access), Problem> {
        let app = parts.extensions.get::<AppCaller>().ok_or(table::APP_KEY_MISSING)?;
        let token = bearer(&parts.headers)?;
        let now = state.now();
        let access = state.tokens().check(token, state.issuer(), now).map_err(|error| match error {
            TokenError::Expired => table::TOKEN_EXPIRED,
            _ => table::TOKEN_INVALID,
        })?;
        if access.app != app.app.id {
            return Err(table::TOKEN_INVALID.into());
        }
        let id = SessionId::new(access.claims.sid.clone());
        let session = state.read_accounts(|accounts| accounts.session(&id, now))?;
        // The table decides, not the token: a session revoked anywhere is refused from the next request on.
        let session = session.ok_or(table::SESSION_REVOKED)?;
        if session.user.as_str() != access.claims.sub || session.device != access.device {
            return Err(table::TOKEN_INVALID.into());
        }
        Ok((Self { session, access_token: AccessToken::from(token.to_owned()) }, access))
    }
}

/// A caller whose app may see and use the user's wallet, or whose user has none yet.
pub(crate) struct WalletCaller(pub(crate) Caller);

impl FromRequestParts<AppState> for WalletCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        match caller.user(state)? {
            user if LoginStatus::of(&user) == LoginStatus::RegisterRequired => Err(table::APP_NOT_REGISTERED.into()),
            _ => Ok(Self(caller)),
        }
    }
}

/// A caller of a sealed endpoint: the enclave checks possession of the device key by the signature inside. Counted no further: each
/// sealed request needs a storage token, and each of these is counted where it is given out.
pub(crate) struct SealedCaller(pub(crate) Caller);

impl FromRequestParts<AppState> for SealedCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        Ok(Self(Caller::by_token(parts, state)?.0))
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(table::TOKEN_MISSING.into()) };
    let value = value.to_str().map_err(|_| table::TOKEN_MISSING)?;
    let (scheme, token) = value.split_once(' ').ok_or(table::TOKEN_MISSING)?;
    if !scheme.eq_ignore_ascii_case("dpop") || token.is_empty() {
        return Err(table::TOKEN_MISSING.into());
    }
    Ok(token)
}

/// Verified access tokens.
pub(crate) struct Tokens(Mutex<Verified<Access>>);

impl Default for Tokens {
    fn default() -> Self {
        Self(Mutex::new(Verified::new(TOKENS_MAX)))
    }
}

impl Tokens {
    fn check(&self, token: &str, issuer: &Issuer, now: UnixSeconds) -> Result<Access, TokenError> {
        crate::kept::keep(token);
        let hash = token_hash(token);
        // Entries are inserted and removed whole, so a poisoned lock guards a sound map.
        let lock = || self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(access) = lock().find(&hash, now) {
            return Ok(access);
        }
        let access = issuer.check(token, now)?;
        lock().remember(hash, access.claims.exp, access.clone(), now);
        Ok(access)
    }
}

/// A device that showed its key with a fresh proof, without an access token (login).
pub(crate) struct Proof {
    pub(crate) key: P256Public,
}

impl FromRequestParts<AppState> for Proof {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let UncountedProof(proof) = UncountedProof::from_request_parts(parts, state).await?;
        state.dpop().remember(&proof, Share::Strangers, state.now(), || Ok(()))?;
        Ok(Self { key: proof.key })
    }
}

/// A proof without an access token that is not known to be new yet: what else the request shows decides whose room it takes.
pub(crate) struct UncountedProof(VerifiedProof);

impl FromRequestParts<AppState> for UncountedProof {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let target = state.target(parts);
        state.dpop().verify(&parts.headers, parts.method.as_str(), &target, None, state.now()).map(Self)
    }
}

impl UncountedProof {
    /// The device that proved to hold its key.
    pub(crate) fn device(&self) -> DeviceId {
        self.0.key.thumbprint()
    }

    /// Counts it for a live session of this device.
    pub(crate) fn count_for(&self, session: &Session, state: &AppState) -> Result<(), Problem> {
        state.dpop().remember(&self.0, Share::Sessions, state.now(), || count_user(state, session))
    }
}
