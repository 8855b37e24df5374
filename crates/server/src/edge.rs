//! What every request passes: trace id, log line, metrics, limits, app key, CORS, headers.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::apps::AppCaller;
use crate::codes::random_hex;
use crate::limits::Allowance;
use crate::page::OwnHeaders;
use crate::problem::{Problem, TRACE, table, trace_id};
use crate::serve::Activity;
use crate::state::AppState;

/// What a page may send; matches what the API reads.
const ALLOWED_HEADERS: &str = "authorization, content-type, dpop, idempotency-key, x-pinseal-app-id, x-pinseal-app-key";
/// What a page may read.
const EXPOSED_HEADERS: &str = "dpop-nonce, idempotent-replayed, ratelimit-limit, ratelimit-remaining, ratelimit-reset, \
                               retry-after, x-request-id";
/// Seconds a browser may remember a preflight.
const PREFLIGHT_SECONDS: &str = "600";
/// The API answers data; nothing of it may be run or framed.
const CSP_API: &str = "default-src 'none'; frame-ancestors 'none'";
/// The documentation runs its own scripts only. Swagger UI sets inline styles.
const CSP_DOCS: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                        connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Where proxies write for whom they ask.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The socket's other end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The client's address, as [`client_address`] finds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// A request's place among those in flight. It is given up while the body is awaited, so that clients who send slowly hold
/// nobody else's place; what has arrived of their bodies is bounded by the connections and the longest body.
#[derive(Clone)]
pub(crate) struct InPlace {
    places: Arc<Semaphore>,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    connection: Option<Activity>,
}

impl InPlace {
    fn take(places: &Arc<Semaphore>, connection: Option<Activity>) -> Result<Self, Problem> {
        let place = Self { places: Arc::clone(places), held: Arc::default(), connection };
        place.step_in()?;
        Ok(place)
    }

    /// Gives the place up: it is the client's turn.
    pub(crate) fn step_aside(&self) {
        if let Some(connection) = &self.connection {
            connection.waits();
        }
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes a place, if there is one.
    pub(crate) fn step_in(&self) -> Result<(), Problem> {
        let permit = Arc::clone(&self.places).try_acquire_owned();
        if let Some(connection) = &self.connection {
            connection.works();
        }
        let permit = permit.map_err(|_| Problem::from(table::OVERLOADED).retry_after(1))?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
        Ok(())
    }
}

/// Outermost: names, measures and logs the request, and sets the headers every answer carries.
///
/// The log line holds method, route template, status and time: no path, query, header, body or address of the client.
pub(crate) async fn observe(State(state): State<AppState>, request: Request, next: Next) -> Response {
    // Without randomness the trace id is empty and nothing else works either.
    let trace = random_hex::<16>().unwrap_or_default();
    let started = state.clock().steady();
    let method = known_method(request.method());
    let docs = request.uri().path().starts_with("/docs");
    let is_of_a_page = request.uri().path().starts_with("/v1/") && request.headers().contains_key(header::ORIGIN);
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let flying = InFlight::start(&state);
    let mut response = TRACE.scope(trace.clone(), next.run(request)).await;
    drop(flying);
    let took = state.clock().steady().saturating_sub(started);
    let status = response.status().as_u16();
    state.metrics().request(method, &route, status, took.as_secs_f64());
    if is_for_nothing(&route, status) {
        tracing::debug!(target: "pinseal::http", trace_id = %trace, method, route, status, micros = micros(took), "request");
    } else {
        tracing::info!(target: "pinseal::http", trace_id = %trace, method, route, status, micros = micros(took), "request");
    }
    let own_headers = response.extensions().get::<OwnHeaders>().is_some();
    let is_early = matches!(status, 429 | 500 | 503 | 504);
    let headers = response.headers_mut();
    // What is refused before anybody knows for which app tells nothing of one; and a page that could not read it would take it for a
    // broken connection, and ask again at once.
    if is_of_a_page && is_early && !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
    }
    if let Ok(value) = HeaderValue::from_str(&trace) {
        headers.insert("x-request-id", value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !own_headers {
        headers
            .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(if docs { CSP_DOCS } else { CSP_API }));
        if !docs {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }
    if state.is_https() {
        headers
            .insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains"));
    }
    response
}

/// What anybody may ask without end and gets nothing for: its lines would push others out of a log of bounded length. `/metrics` counts it.
fn is_for_nothing(route: &str, status: u16) -> bool {
    status == 429 || matches!(route, "unmatched" | "/healthz" | "/readyz" | "/metrics")
}

/// A label from a closed set: a client may send any token as a method.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// Counts a request in flight, also one whose client goes away.
struct InFlight<'a>(&'a AppState);

impl<'a> InFlight<'a> {
    fn start(state: &'a AppState) -> Self {
        state.metrics().in_flight.inc();
        Self(state)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.metrics().in_flight.dec();
    }
}

/// A panic is a fault like any other to the client.
pub(crate) fn panicked(_: Box<dyn core::any::Any + Send + 'static>) -> Response {
    tracing::error!(trace_id = %trace_id(), "a request panicked");
    Problem::from(table::INTERNAL).into_response()
}

/// Bounds in time and number; health checks pass even when the rest is full.
pub(crate) async fn bound(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    if request.uri().path() == "/metrics" && !state.is_metrics_open() && !is_from_this_machine(&request) {
        return Problem::from(table::NOT_FOUND).into_response();
    }
    if matches!(request.uri().path(), "/healthz" | "/readyz" | "/metrics") {
        return timed(&state, request, next).await;
    }
    let address = client_address(&request, state.trusted_proxies());
    let allowance = match state.address_limit().check(address) {
        Ok(allowance) => allowance,
        Err(exceeded) => return refused(exceeded.wait_seconds, exceeded.allowance),
    };
    if request.uri().path().starts_with("/v1/login/")
        && request.method() == Method::POST
        && let Err(exceeded) = state.login_limit().check(address)
    {
        return refused(exceeded.wait_seconds, exceeded.allowance);
    }
    let place = match InPlace::take(state.in_flight(), request.extensions().get::<Activity>().cloned()) {
        Ok(place) => place,
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(ClientAddress(address));
    request.extensions_mut().insert(place.clone());
    let mut response = timed(&state, request, next).await;
    // Held until here, also where the handler dropped its request early.
    drop(place);
    allowance.write(response.headers_mut());
    response
}

async fn timed(state: &AppState, request: Request, next: Next) -> Response {
    let work = tokio::time::timeout(state.request_time(), next.run(request));
    work.await.unwrap_or_else(|_| Problem::from(table::TIMEOUT).into_response())
}

fn refused(wait_seconds: u64, allowance: Allowance) -> Response {
    let mut response = Problem::from(table::RATE_LIMITED).retry_after(wait_seconds).into_response();
    allowance.write(response.headers_mut());
    response
}

/// The client's address. Behind n trusted proxies it is the n-th last entry of `X-Forwarded-For`; what stands before that
/// anybody can write.
fn client_address(request: &Request, trusted_proxies: u8) -> IpAddr {
    let peer = request.extensions().get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip());
    let Some(skip) = trusted_proxies.checked_sub(1) else { return peer };
    // As bytes: what a client wrote before it, text or not, hides nothing of what a proxy added.
    let all = request.headers().get_all(FORWARDED_FOR).iter();
    let entries: Vec<&[u8]> = all.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).collect();
    let named = entries.iter().rev().nth(usize::from(skip)).and_then(|entry| address_of(entry));
    named.unwrap_or(peer)
}

/// An address, as some proxies write it with a port.
fn address_of(entry: &[u8]) -> Option<IpAddr> {
    let text = core::str::from_utf8(entry).ok()?.trim();
    text.parse().ok().or_else(|| text.parse().ok().map(|with_port: SocketAddr| with_port.ip()))
}

/// True if the request comes from this machine and for nobody else.
fn is_from_this_machine(request: &Request) -> bool {
    let is_local = request.extensions().get::<Peer>().is_some_and(|peer| peer.0.ip().to_canonical().is_loopback());
    is_local && !request.headers().contains_key(FORWARDED_FOR) && !request.headers().contains_key(header::FORWARDED)
}

/// Of everything below `/v1`: preflights, app key, CORS, a fresh DPoP nonce.
pub(crate) async fn admit(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/v1/") {
        return next.run(request).await;
    }
    if request.method() == Method::OPTIONS {
        return preflight(&state, request.headers()).await.unwrap_or_else(IntoResponse::into_response);
    }
    let (mut response, origin) = match AppCaller::identify(&state, request.headers()) {
        Ok(caller) => {
            let origin = caller.origin.clone();
            request.extensions_mut().insert(caller);
            (next.run(request).await, origin)
        }
        Err(problem) => (problem.into_response(), None),
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin.and_then(|origin| HeaderValue::from_str(&origin).ok()) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
    }
    if let Some(nonce) = state.dpop().nonce(state.now()) {
        headers.insert("dpop-nonce", nonce);
    }
    response
}

/// A preflight carries no app key, so some app's origin is all that can be asked for; the request itself is checked against
/// its own app. An exact match or nothing.
async fn preflight(state: &AppState, headers: &HeaderMap) -> Result<Response, Problem> {
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (Some(origin), true) = (origin, headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)) else {
        return Err(table::METHOD_NOT_ALLOWED.into());
    };
    let asked = origin.clone();
    if !state.accounts(move |accounts| accounts.is_web_origin(&asked)).await? {
        return Err(table::ORIGIN_REFUSED.into());
    }
    let origin = HeaderValue::from_str(&origin).map_err(|_| table::ORIGIN_REFUSED)?;
    let answer: [(HeaderName, HeaderValue); 5] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE")),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS)),
        (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS)),
        (header::VARY, HeaderValue::from_static("origin")),
    ];
    Ok((StatusCode::NO_CONTENT, answer).into_response())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use axum::body::Body;

    fn request(peer: &str, forwarded: &[&[u8]]) -> Request {
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(Peer(SocketAddr::new(peer.parse().unwrap(), 5_000)));
        for value in forwarded {
            request.headers_mut().append(FORWARDED_FOR, HeaderValue::from_bytes(value).unwrap());
        }
        request
    }

    #[test]
    fn the_last_entries_count_whatever_a_client_wrote_before_them() {
        let from = |proxies, forwarded: &[&[u8]]| client_address(&request("10.0.0.1", forwarded), proxies).to_string();
        assert_eq!(from(0, &[b"203.0.113.9"]), "10.0.0.1");
        assert_eq!(from(1, &[b"203.0.113.9, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(from(1, &[b"203.0.113.9", b"198.51.100.1"]), "198.51.100.1");
        assert_eq!(from(2, &[b"198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        // A client's bytes that are no text took their whole line away, and with it the client's own allowance.
        assert_eq!(from(1, &[b"\xff\xfe, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(from(1, &[b"198.51.100.1:44312"]), "198.51.100.1");
        assert_eq!(from(1, &[b"[2001:db8::7]:44312"]), "2001:db8::7");
        for unusable in [&[] as &[&[u8]], &[b""], &[b"198.51.100.1, unknown"], &[b"198.51.100.1, \xff"]] {
            assert_eq!(from(1, unusable), "10.0.0.1");
        }
        assert_eq!(from(2, &[b"198.51.100.1"]), "10.0.0.1", "fewer than there are proxies");
    }

    #[test]
    fn whoever_asks_for_somebody_else_is_not_this_machine() {
        let is_local = |peer, forwarded: &[&[u8]]| is_from_this_machine(&request(peer, forwarded));
        assert!(is_local("127.0.0.1", &[]) && is_local("::1", &[]) && is_local("::ffff:127.0.0.1", &[]));
        assert!(!is_local("198.51.100.1", &[]) && !is_local("127.0.0.1", &[b"127.0.0.1"]));
        let mut forwarded = request("127.0.0.1", &[]);
        forwarded.headers_mut().insert(header::FORWARDED, HeaderValue::from_static("for=_hidden"));
        assert!(!is_from_this_machine(&forwarded));
        assert!(!is_from_this_machine(&Request::new(Body::empty())), "nobody knows where it comes from");
    }
}
