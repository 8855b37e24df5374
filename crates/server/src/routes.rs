//! Every endpoint, and the order of the layers around them.

mod account;
mod app;
mod docs;
mod history;
pub(crate) mod login;
mod network;
pub(crate) mod session;
mod system;
pub(crate) mod wallet;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::edge;
use crate::page;
use crate::problem::{Problem, table};
use crate::state::AppState;

/// The endpoints with their description, before any layer.
pub(crate) fn endpoints() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(system::healthz))
        .routes(routes!(system::readyz))
        .routes(routes!(system::metrics))
        .routes(routes!(system::status))
        .routes(routes!(app::info))
        .routes(routes!(app::register))
        .routes(routes!(wallet::evidence))
        .routes(routes!(login::sign_up))
        .routes(routes!(login::verify))
        .routes(routes!(login::resend))
        .routes(routes!(login::login))
        .routes(routes!(login::reset_request))
        .routes(routes!(login::reset))
        .routes(routes!(session::refresh))
        .routes(routes!(session::list))
        .routes(routes!(session::revoke))
        .routes(routes!(session::logout))
        .routes(routes!(session::me))
        .routes(routes!(wallet::begin))
        .routes(routes!(wallet::sealed))
        .routes(routes!(account::list, account::keep))
        .routes(routes!(history::history))
        .routes(routes!(history::events))
        .merge(network::endpoints())
}

/// The whole API. Serve it with [`crate::serve`], which also tells it the client's address.
pub fn router(state: AppState) -> Router {
    let (router, _) = endpoints().split_for_parts();
    // The last layer added is the outermost one.
    router
        .merge(docs::router())
        .fallback(async || Problem::from(table::NOT_FOUND))
        .method_not_allowed_fallback(async || Problem::from(table::METHOD_NOT_ALLOWED))
        .layer(from_fn_with_state(state.clone(), edge::admit))
        .layer(from_fn_with_state(state.clone(), page::by_host))
        .layer(from_fn_with_state(state.clone(), edge::bound))
        .layer(CatchPanicLayer::custom(edge::panicked))
        .layer(from_fn_with_state(state.clone(), edge::observe))
        .with_state(state)
}
