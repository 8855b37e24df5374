//! What an app learns about the deployment, and letting an app use a wallet.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Extension, Json};
use pinseal_protocol::ids::Hash32;
use serde::Serialize;
use utoipa::ToSchema;

use crate::apps::AppCaller;
use crate::auth::Caller;
use crate::idempotency;
use crate::login::{self, LoginStatus};
use crate::networks::NetworkBody;
use crate::problem::{Problem, table};
use crate::state::AppState;

/// What an app needs to know first.
#[derive(Serialize, ToSchema)]
pub(crate) struct AppInfo {
    /// App ID.
    app_id: String,
    /// Name, as users see it.
    name: String,
    /// Deployment id, hex.
    deployment: String,
    /// Networks served.
    networks: Vec<NetworkBody>,
    /// Ways to log in.
    login_providers: Vec<&'static str>,
    /// Release.
    version: &'static str,
    /// True while evidence proves nothing about hardware.
    development: bool,
}

/// How far the user has come.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoginStatusBody {
    /// What the user still has to do.
    pub(crate) login_status: LoginStatus,
}

/// The app and the deployment.
#[utoipa::path(get, path = "/v1/app/info", tag = "app", responses((status = 200, body = AppInfo)))]
pub(crate) async fn info(
    State(state): State<AppState>,
    Extension(caller): Extension<AppCaller>,
) -> Result<Json<AppInfo>, Problem> {
    Ok(Json(AppInfo {
        app_id: caller.app.id.as_str().to_owned(),
        name: caller.app.name,
        deployment: state.deployment().to_string(),
        networks: state.networks().list().await?,
        login_providers: login::providers(&state).iter().map(|provider| provider.name()).collect(),
        version: env!("CARGO_PKG_VERSION"),
        development: state.development(),
    }))
}

/// Lets this app use the user's wallet.
#[utoipa::path(post, path = "/v1/app/register", tag = "app", responses((status = 200, body = LoginStatusBody)))]
pub(crate) async fn register(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (user, app) = (caller.session.user.clone(), caller.session.app.clone());
    let shared = state.clone();
    // There is no body to tell two requests apart.
    idempotency::once(&state, &caller, "/v1/app/register", &headers, Hash32([0; 32]), async move {
        let now = shared.now();
        if !shared.accounts(move |accounts| accounts.register_app(&user, &app, now)).await? {
            return Err(table::WALLET_NOT_CREATED.into());
        }
        Ok(Json(LoginStatusBody { login_status: LoginStatus::Complete }))
    })
    .await
}
