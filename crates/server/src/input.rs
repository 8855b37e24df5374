//! Reading requests: every way in which one can be malformed becomes a problem.

mod values;

use core::future::poll_fn;
use core::pin::Pin;
use std::sync::Arc;

use axum::body::HttpBody as _;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::stack;
use pinseal_protocol::token::object;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::edge::InPlace;
use crate::problem::{Problem, table};
use crate::state::AppState;
pub(crate) use values::Values;

/// Longest body where no body needs to be longer: of the endpoints for strangers, too, so that what they make the server hold is
/// this much a connection.
const SHORT_BODY_BYTES_MAX: usize = 16 * 1_024;

/// A short JSON body, and the hash of its bytes for idempotency.
pub(crate) struct Body<T> {
    pub(crate) value: T,
    pub(crate) hash: Hash32,
}

impl<T: DeserializeOwned> FromRequest<AppState> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        read(request, state, state.body_bytes_max().min(SHORT_BODY_BYTES_MAX)).await
    }
}

/// A body as long as the operator allows. Take it after the caller: it is for those who have shown who they are.
pub(crate) struct LongBody<T>(pub(crate) Body<T>);

impl<T: DeserializeOwned> FromRequest<AppState> for LongBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        read(request, state, state.body_bytes_max()).await.map(Self)
    }
}

async fn read<T: DeserializeOwned>(request: Request, state: &AppState, bytes_max: usize) -> Result<Body<T>, Problem> {
    if !is_plain_json(request.headers()) {
        return Err(table::UNSUPPORTED_MEDIA_TYPE.into());
    }
    let place = request.extensions().get::<InPlace>().cloned();
    if let Some(place) = &place {
        place.step_aside();
    }
    let arriving = collect(request.into_body(), state.body_budget(), bytes_max);
    let arrived = tokio::time::timeout(state.body_time(), arriving).await;
    if let Some(place) = &place {
        place.step_in()?;
    }
    let bytes = arrived.map_err(|_| table::REQUEST_TIMEOUT)??;
    // All of it: where a member is skipped, the parser by itself would not look (RFC 8259, section 8.1).
    let text = core::str::from_utf8(&bytes);
    let text = text.map_err(|_| Problem::from(table::INVALID_JSON).detail("the body is not UTF-8"))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = object(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    let hash = Hash32(Sha256::digest(&bytes).into());
    // Parser and hash leave ends of a body there, which may be ends of a password.
    stack::wipe::<{ stack::SHALLOW_BYTES }>();
    let value = value.map_err(|error| json_problem(&error))?;
    Ok(Body { value, hash })
}

/// True for one `Content-Type` of JSON and no coding on top: nothing here unpacks anything.
fn is_plain_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else { return false };
    let kind = kind.to_str().ok().and_then(|kind| kind.split(';').next()).map(str::trim);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
        && !headers.contains_key(header::CONTENT_ENCODING)
}

/// The bytes of a body. What goes beyond [`SHORT_BODY_BYTES_MAX`] is counted against what all of them may hold together.
async fn collect(mut body: axum::body::Body, budget: &Arc<Semaphore>, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    // A length that was declared is refused before anything is read; otherwise it is what came so far that counts.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(table::PAYLOAD_TOO_LARGE.into());
    }
    let mut pieces = Pieces::default();
    let mut counted: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| Problem::from(table::INVALID_JSON).detail("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = pieces.length + data.len();
        if length > bytes_max {
            return Err(table::PAYLOAD_TOO_LARGE.into());
        }
        let beyond = length.saturating_sub(SHORT_BODY_BYTES_MAX.max(pieces.length));
        if beyond > 0 {
            let full = || Problem::from(table::OVERLOADED).retry_after(1);
            let more = Arc::clone(budget).try_acquire_many_owned(u32::try_from(beyond).map_err(|_| full())?);
            let more = more.map_err(|_| full())?;
            match &mut counted {
                Some(counted) => counted.merge(more),
                None => counted = Some(more),
            }
        }
        pieces.add(&data);
    }
    Ok(pieces.joined())
}

/// A body that arrives, in blocks of [`SHORT_BODY_BYTES_MAX`], so that what it takes is hardly more than what came of it. One block that grows is up to
/// twice that, and what it grew out of lies freed between those of others.
#[derive(Default)]
struct Pieces {
    blocks: Vec<Vec<u8>>,
    length: usize,
}

impl Pieces {
    fn add(&mut self, mut data: &[u8]) {
        self.length += data.len();
        while !data.is_empty() {
            if self.blocks.last().is_none_or(|block| block.len() == SHORT_BODY_BYTES_MAX) {
                self.blocks.push(Vec::new());
            }
            let is_first = self.blocks.len() == 1;
            let Some(block) = self.blocks.last_mut() else { return };
            let (now, later) = data.split_at(data.len().min(SHORT_BODY_BYTES_MAX - block.len()));
            let needed = block.len() + now.len();
            if needed > block.capacity() {
                // The first is as long as a short body needs.
                let bytes = if is_first { 2 * block.capacity() } else { SHORT_BODY_BYTES_MAX };
                block.reserve_exact(bytes.clamp(needed, SHORT_BODY_BYTES_MAX) - block.len());
            }
            block.extend_from_slice(now);
            data = later;
        }
    }

    fn joined(mut self) -> Vec<u8> {
        if self.blocks.len() > 1 { self.blocks.concat() } else { self.blocks.pop().unwrap_or_default() }
    }
}

/// Names the place and never the value: the text of serde's errors may quote a password.
fn json_problem(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let is_plain = ["missing field", "unknown field", values::TOO_MANY].iter().any(|start| text.starts_with(start));
    let detail = if is_plain {
        text
    } else {
        let what = if error.is_data() { "a value has the wrong type" } else { "not JSON" };
        format!("{what} at line {} column {}", error.line(), error.column())
    };
    Problem::from(table::INVALID_JSON).detail(detail)
}

/// A member that is an object, where serde would take a list of the right values as well.
#[derive(Deserialize)]
#[serde(transparent, bound = "T: DeserializeOwned")]
pub(crate) struct ObjectOf<T>(#[serde(deserialize_with = "object")] pub(crate) T);

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

/// Reads hexadecimal, without a prefix.
pub(crate) fn of_hex(text: &str) -> Option<Vec<u8>> {
    // The library would take a prefix off.
    if text.as_bytes().get(1).is_some_and(|second| !second.is_ascii_hexdigit()) {
        return None;
    }
    const_hex::decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_has_no_prefix_and_whole_bytes() {
        assert_eq!(of_hex("00fFa1"), Some(vec![0, 255, 161]));
        assert_eq!(of_hex(""), Some(Vec::new()));
        for refused in ["0x00", "0X00", "x0", "0", "00 ", " 00", "0g", "00f", "é", "0é"] {
            assert_eq!(of_hex(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn a_body_is_what_came_however_it_came_and_takes_hardly_more() {
        let body: Vec<u8> = (0..=u8::MAX).cycle().take(5 * SHORT_BODY_BYTES_MAX + 3).collect();
        for length in [0, 1, SHORT_BODY_BYTES_MAX - 1, SHORT_BODY_BYTES_MAX, SHORT_BODY_BYTES_MAX + 1, body.len()] {
            for at_once in [1, 1_000, SHORT_BODY_BYTES_MAX, SHORT_BODY_BYTES_MAX + 1, body.len()] {
                let mut pieces = Pieces::default();
                body[..length].chunks(at_once).for_each(|data| pieces.add(data));
                let taken: usize = pieces.blocks.iter().map(Vec::capacity).sum();
                assert!(
                    taken <= (length + 1).next_multiple_of(SHORT_BODY_BYTES_MAX),
                    "{taken} for {length}, {at_once} at once"
                );
                assert_eq!(pieces.length, length);
                assert!(pieces.joined() == body[..length], "{length}, {at_once} at once");
            }
        }
    }
}
