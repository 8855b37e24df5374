//! `Idempotency-Key`: the same request twice is done once and answered twice.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pinseal_protocol::ids::Hash32;
use pinseal_store::accounts::{Claim, StoredReply};
use sha2::{Digest as _, Sha256};

use crate::auth::Caller;
use crate::carried::carried;
use crate::limits::Who;
use crate::problem::{Problem, TRACE, table, trace_id};
use crate::state::AppState;

/// Longest key.
const KEY_CHARS_MAX: usize = 128;
/// Longest answer kept; the endpoints that use this answer a few hundred bytes.
const REPLY_BYTES_MAX: usize = 64 * 1_024;
/// Wait before a request that runs elsewhere is asked for again.
const RUNNING_RETRY_SECONDS: u64 = 1;

/// Runs `work` once per (user, app, route, key). Without a key it simply runs.
///
/// The work goes on when its client hangs up: so that a later repeat finds the answer instead of doing it again, and without a key because it writes
/// step by step.
pub(crate) async fn once<R, F>(
    state: &AppState,
    caller: &Caller,
    route: &'static str,
    headers: &HeaderMap,
    body: Hash32,
    work: F,
) -> Result<Response, Problem>
where
    R: IntoResponse,
    F: Future<Output = Result<R, Problem>> + Send + 'static,
{
    let Some(key) = key_of(caller, route, headers)? else {
        return carried(async move { work.await.map(IntoResponse::into_response) }).await;
    };
    let counted = state.keyed_limit().check(Who::user(caller.session.user.as_str()));
    counted.map_err(|exceeded| Problem::from(table::RATE_LIMITED).retry_after(exceeded.wait_seconds))?;
    let state = state.clone();
    // Claimed, worked on and settled by one task: a claim that its request left behind would hold up every repeat.
    carried(async move {
        let now = state.now();
        match state.accounts(move |accounts| accounts.claim(&key, &body, now)).await? {
            Claim::Fresh => {}
            Claim::OtherBody => return Err(table::IDEMPOTENCY_KEY_REUSED.into()),
            Claim::Running => {
                return Err(Problem::from(table::IDEMPOTENCY_IN_PROGRESS).retry_after(RUNNING_RETRY_SECONDS));
            }
            Claim::Answered(reply) => return replay(reply),
        }
        // The work in a task of its own: should it panic, the key is freed all the same.
        let worked = tokio::spawn(TRACE.scope(trace_id(), async move { work.await.into_response_parts() })).await;
        let response = worked.unwrap_or_else(|_| Problem::from(table::INTERNAL).into_response());
        let (response, reply) = split(response).await;
        state.accounts(move |accounts| accounts.settle(&key, reply)).await?;
        Ok(response)
    })
    .await
}

trait IntoResponseParts {
    fn into_response_parts(self) -> Response;
}

impl<R: IntoResponse> IntoResponseParts for Result<R, Problem> {
    fn into_response_parts(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(problem) => problem.into_response(),
        }
    }
}

/// The key's hash together with everything it is unique within.
fn key_of(caller: &Caller, route: &str, headers: &HeaderMap) -> Result<Option<Hash32>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    if key.is_empty() || key.len() > KEY_CHARS_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(table::IDEMPOTENCY_KEY_INVALID.into());
    }
    let mut hash = Sha256::new();
    for part in [caller.session.user.as_str(), caller.session.app.as_str(), route, key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Ok(Some(Hash32(hash.finalize().into())))
}

/// What to keep of an answer: successes. A refusal did nothing, and what is refused now (for want of funds, or a network's whim)
/// may be taken later, so it frees the key as a fault does.
async fn split(response: Response) -> (Response, Option<StoredReply>) {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, REPLY_BYTES_MAX).await.unwrap_or_default();
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let reply = parts.status.is_success().then(|| StoredReply {
        status: parts.status.as_u16(),
        content_type: kind.unwrap_or("application/json").to_owned(),
        body: bytes.to_vec(),
    });
    (Response::from_parts(parts, Body::from(bytes)), reply)
}

fn replay(reply: StoredReply) -> Result<Response, Problem> {
    let status = StatusCode::from_u16(reply.status).map_err(|error| Problem::fault(&error))?;
    let kind = HeaderValue::from_str(&reply.content_type).map_err(|error| Problem::fault(&error))?;
    let mut response = (status, reply.body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    Ok(response)
}
