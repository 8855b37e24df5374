//! Sessions.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use pinseal_protocol::secret::SecretText;
use pinseal_store::accounts::{Session, SessionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::apps::AppCaller;
use crate::auth::{Caller, UncountedProof};
use crate::input::{Body, PathOf};
use crate::login::{self, LoginStatus, SessionBody};
use crate::problem::{Problem, table};
use crate::state::AppState;

/// A refresh token.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RefreshRequest {
    /// The token of the last login or refresh.
    #[schema(value_type = String)]
    refresh_token: SecretText,
}

/// One of the user's sessions.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionItem {
    /// Session id.
    session_id: String,
    /// Device id (RFC 7638 thumbprint), hex.
    device: String,
    /// Unix seconds.
    created_at: u64,
    /// Unix seconds of the last refresh.
    last_used_at: u64,
    /// True for the session of this request.
    current: bool,
    /// The app it was opened through.
    app_id: String,
}

/// The user's live sessions, newest first; there are at most 32.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionList {
    /// Sessions.
    items: Vec<SessionItem>,
    /// Always null: the list is whole.
    next_cursor: Option<String>,
}

/// The user.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    /// User id.
    user_id: String,
    /// Verified e-mail address.
    email: String,
    /// What the user still has to do.
    login_status: LoginStatus,
    /// The wallet's `uid_h` in hex; null before the first `begin`.
    wallet_id: Option<String>,
}

/// Exchanges a refresh token. Carries a DPoP proof of the device key, without `ath`.
///
/// The old token is spent. Should the answer get lost, the same device gets the same refresh token again for 30 seconds, while
/// it is unused; any other second use revokes the session.
#[utoipa::path(post, path = "/v1/session/refresh", tag = "session", request_body = RefreshRequest,
    responses((status = 200, body = SessionBody)))]
pub(crate) async fn refresh(
    State(state): State<AppState>,
    Extension(caller): Extension<AppCaller>,
    proof: UncountedProof,
    body: Body<RefreshRequest>,
) -> Result<Json<SessionBody>, Problem> {
    Ok(Json(login::refresh(&state, body.value.refresh_token.expose_secret(), caller.app.id, &proof).await?))
}

/// The user's live sessions; to an app that the user has not let use the wallet, those that were opened through it.
#[utoipa::path(get, path = "/v1/sessions", tag = "session", responses((status = 200, body = SessionList)))]
pub(crate) async fn list(State(state): State<AppState>, caller: Caller) -> Result<Json<SessionList>, Problem> {
    let items = shown(&state, &caller).await?.into_iter().map(|session| SessionItem {
        current: session.id == caller.session.id,
        session_id: session.id.as_str().to_owned(),
        device: session.device.to_string(),
        created_at: session.created_at.0,
        last_used_at: session.last_used_at.0,
        app_id: session.app.as_str().to_owned(),
    });
    Ok(Json(SessionList { items: items.collect(), next_cursor: None }))
}

/// The sessions that this caller may know of and end.
async fn shown(state: &AppState, caller: &Caller) -> Result<Vec<Session>, Problem> {
    let is_stranger = LoginStatus::of(&caller.user(state)?) == LoginStatus::RegisterRequired;
    let (user, now) = (caller.session.user.clone(), state.now());
    let mut sessions = state.accounts(move |accounts| accounts.sessions(&user, now)).await?;
    sessions.retain(|session| !is_stranger || session.app == caller.session.app);
    Ok(sessions)
}

/// Logs out one of the user's sessions that `GET /v1/sessions` shows, on whatever device.
#[utoipa::path(delete, path = "/v1/sessions/{id}", tag = "session", params(("id" = String, Path, description = "Session id.")),
    responses((status = 204, description = "Logged out.")))]
pub(crate) async fn revoke(
    State(state): State<AppState>,
    caller: Caller,
    PathOf(id): PathOf<String>,
) -> Result<StatusCode, Problem> {
    let id = SessionId::new(id);
    if !shown(&state, &caller).await?.iter().any(|session| session.id == id) {
        return Err(table::NOT_FOUND.into());
    }
    let (user, now) = (caller.session.user, state.now());
    let revoked = state.accounts(move |accounts| accounts.revoke(&user, &id, now)).await?;
    if revoked { Ok(StatusCode::NO_CONTENT) } else { Err(table::NOT_FOUND.into()) }
}

/// Logs out this session.
#[utoipa::path(post, path = "/v1/logout", tag = "session", responses((status = 204, description = "Logged out.")))]
pub(crate) async fn logout(State(state): State<AppState>, caller: Caller) -> Result<StatusCode, Problem> {
    let (user, id, now) = (caller.session.user, caller.session.id, state.now());
    state.accounts(move |accounts| accounts.revoke(&user, &id, now)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The user.
#[utoipa::path(get, path = "/v1/me", tag = "session", responses((status = 200, body = Me)))]
pub(crate) async fn me(State(state): State<AppState>, caller: Caller) -> Result<Json<Me>, Problem> {
    let (id, app) = (caller.session.user.clone(), caller.session.app);
    let user = state.accounts(move |accounts| accounts.user(&id, &app)).await?.ok_or(table::SESSION_REVOKED)?;
    Ok(Json(Me {
        user_id: caller.session.user.as_str().to_owned(),
        login_status: LoginStatus::of(&user),
        wallet_id: user.wallet.map(|wallet| wallet.to_string()),
        email: user.email,
    }))
}
