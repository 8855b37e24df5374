//! Who calls: access token, device proof, live session, right app.

use std::sync::Mutex;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::token::{AccessToken, P256Public, TokenError, token_hash};
use pinseal_protocol::verified::Verified;
use pinseal_store::accounts::{Session, SessionId};

use crate::apps::AppCaller;
use crate::issuer::{Access, Issuer};
use crate::limits::Who;
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
        let proof = state.dpop().check(
            &parts.headers,
            parts.method.as_str(),
            &target,
            Some(caller.access_token.expose_secret()),
            state.now(),
        )?;
        if proof.key.thumbprint() != access.device {
            return Err(Problem::from(table::DPOP_INVALID).detail("the token is bound to another device key"));
        }
        // Only now, so that nobody spends a user's allowance with a token alone.
        let counted = state.user_limit().check(Who::user(caller.session.user.as_str()));
        counted.map_err(|exceeded| Problem::from(table::RATE_LIMITED).retry_after(exceeded.wait_seconds))?;
        Ok(caller)
    }
}

impl Caller {
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

/// A device that showed its key with a fresh proof, without an access token (login and refresh).
pub(crate) struct Proof {
    pub(crate) key: P256Public,
}

impl FromRequestParts<AppState> for Proof {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let target = state.target(parts);
        let proof = state.dpop().check(&parts.headers, parts.method.as_str(), &target, None, state.now())?;
        Ok(Self { key: proof.key })
    }
}
