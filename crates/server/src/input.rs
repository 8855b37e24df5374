//! Reading requests: every way in which one can be malformed becomes a problem.

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use pinseal_protocol::ids::Hash32;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::edge::InPlace;
use crate::problem::{Problem, table};
use crate::state::AppState;

/// A JSON body, and the hash of its bytes for idempotency.
pub(crate) struct Body<T> {
    pub(crate) value: T,
    pub(crate) hash: Hash32,
}

impl<T: DeserializeOwned> FromRequest<AppState> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
            return Err(table::UNSUPPORTED_MEDIA_TYPE.into());
        }
        let place = request.extensions().get::<InPlace>().cloned();
        let arriving = Bytes::from_request(request, state);
        if let Some(place) = &place {
            place.step_aside();
        }
        let arrived = tokio::time::timeout(state.body_time(), arriving).await;
        if let Some(place) = &place {
            place.step_in()?;
        }
        let bytes = arrived.map_err(|_| table::REQUEST_TIMEOUT)?.map_err(|rejection| {
            match rejection.into_response_status() {
                StatusCode::PAYLOAD_TOO_LARGE => Problem::from(table::PAYLOAD_TOO_LARGE),
                _ => Problem::from(table::INVALID_JSON).detail("the body broke off"),
            }
        })?;
        let value = serde_json::from_slice(&bytes).map_err(|error| json_problem(&error))?;
        Ok(Self { value, hash: Hash32(Sha256::digest(&bytes).into()) })
    }
}

trait RejectionStatus {
    fn into_response_status(self) -> StatusCode;
}

impl RejectionStatus for axum::extract::rejection::BytesRejection {
    fn into_response_status(self) -> StatusCode {
        self.status()
    }
}

/// Names the place and never the value: the text of serde's errors may quote a password.
fn json_problem(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let detail = if text.starts_with("missing field") || text.starts_with("unknown field") {
        text
    } else {
        let what = if error.is_data() { "a value has the wrong type" } else { "not JSON" };
        format!("{what} at line {} column {}", error.line(), error.column())
    };
    Problem::from(table::INVALID_JSON).detail(detail)
}

/// Path parameters.
pub(crate) struct PathOf<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<AppState> for PathOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value)).map_err(|_: PathRejection| invalid("the path"))
    }
}

/// Query parameters.
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|_: QueryRejection| invalid("the query"))
    }
}

/// A value with the wrong form.
pub(crate) fn invalid(what: &str) -> Problem {
    Problem::from(table::INVALID_PARAMETER).detail(format!("{what} has the wrong form"))
}
