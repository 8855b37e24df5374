//! The rendered API documentation, from assets inside the binary.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa_swagger_ui::Config;

use crate::problem::{Problem, table};
use crate::state::AppState;

static DOCUMENT: LazyLock<String> = LazyLock::new(crate::openapi::document);
// No validator: the page asks nobody but this server.
static PAGE: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from("/openapi.json").validator_url("none")));

pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/openapi.json", get(document))
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async || asset("")))
        .route("/docs/{*asset}", get(async |Path(path): Path<String>| asset(&path)))
}

async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

fn asset(path: &str) -> Response {
    match utoipa_swagger_ui::serve(path, Arc::clone(&PAGE)) {
        Ok(Some(file)) => {
            // Some of them are long; those in the binary are sent from there, so that no answer holds a copy.
            let bytes = match file.bytes {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => Bytes::from(bytes),
            };
            ([(header::CONTENT_TYPE, file.content_type)], bytes).into_response()
        }
        Ok(None) => Problem::from(table::NOT_FOUND).into_response(),
        Err(error) => Problem::fault(error.as_ref()).into_response(),
    }
}
