//! The HTTP connection between client and server, seen and if need be changed: what whoever runs the host's front end can do.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{HeaderName, Request, Response, header};
use serde_json::Value;

/// Longest body carried.
const BODY_BYTES_MAX: usize = 1 << 20;

/// One exchange as it passed.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) path: String,
    pub(crate) request: Bytes,
    /// As the server gave it.
    pub(crate) status: u16,
    pub(crate) answer: Bytes,
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Deliver,
    /// The connection breaks before the answer is there.
    Lose,
}

/// An answer on its way to the client.
pub(crate) struct Answer<'a> {
    pub(crate) path: &'a str,
    pub(crate) status: &'a mut u16,
    pub(crate) body: &'a mut Value,
}

type OnRequest = Box<dyn FnMut(&str, &mut Value) + Send>;
type OnAnswer = Box<dyn FnMut(Answer<'_>) -> Fate + Send>;

/// A proxy on a port of its own.
pub(crate) struct Between {
    pub(crate) url: String,
    inner: Arc<Inner>,
    task: tokio::task::JoinHandle<()>,
}

struct Inner {
    upstream: String,
    http: reqwest::Client,
    seen: Mutex<Vec<Exchange>>,
    on_request: Mutex<Option<OnRequest>>,
    on_answer: Mutex<Option<OnAnswer>>,
}

impl Between {
    pub(crate) async fn start(upstream: String, http: reqwest::Client) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            upstream,
            http,
            seen: Mutex::default(),
            on_request: Mutex::default(),
            on_answer: Mutex::default(),
        });
        let app = Router::new().fallback(carry).with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, inner, task }
    }

    /// The exchanges since the last call.
    pub(crate) fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.inner.seen.lock().unwrap())
    }

    /// Changes every JSON request from now on: path and body.
    pub(crate) fn change_requests(&self, change: impl FnMut(&str, &mut Value) + Send + 'static) {
        *self.inner.on_request.lock().unwrap() = Some(Box::new(change));
    }

    /// Changes or loses every answer from now on.
    pub(crate) fn change_answers(&self, change: impl FnMut(Answer<'_>) -> Fate + Send + 'static) {
        *self.inner.on_answer.lock().unwrap() = Some(Box::new(change));
    }

    /// Lets everything pass again.
    pub(crate) fn honest(&self) {
        *self.inner.on_request.lock().unwrap() = None;
        *self.inner.on_answer.lock().unwrap() = None;
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(State(inner): State<Arc<Inner>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap();
    let path = parts.uri.path().to_owned();
    if let Some(change) = inner.on_request.lock().unwrap().as_mut()
        && let Ok(mut json) = serde_json::from_slice::<Value>(&body)
    {
        change(&path, &mut json);
        body = serde_json::to_vec(&json).unwrap().into();
    }
    let target = parts.uri.path_and_query().map_or(path.as_str(), |target| target.as_str());
    let mut forward = inner.http.request(parts.method, format!("{}{target}", inner.upstream));
    for (name, value) in parts.headers.iter().filter(|(name, _)| is_end_to_end(name)) {
        forward = forward.header(name, value);
    }
    let answer = forward.body(body.clone()).send().await.unwrap();
    let (mut status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let mut bytes = answer.bytes().await.unwrap();
    let exchange = Exchange { path: path.clone(), request: body, status, answer: bytes.clone() };
    inner.seen.lock().unwrap().push(exchange);
    let mut fate = Fate::Deliver;
    if let Some(change) = inner.on_answer.lock().unwrap().as_mut() {
        let mut json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        fate = change(Answer { path: &path, status: &mut status, body: &mut json });
        bytes = serde_json::to_vec(&json).unwrap().into();
    }
    let mut response = Response::builder().status(status);
    for (name, value) in headers.iter().filter(|(name, _)| is_end_to_end(name)) {
        response = response.header(name, value);
    }
    response.body(if fate == Fate::Lose { Body::new(Broken) } else { Body::from(bytes) }).unwrap()
}

/// Everything but what belongs to one connection alone. `Host` stays: proofs name the URL the client used.
fn is_end_to_end(name: &HeaderName) -> bool {
    ![header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION].contains(name)
}

/// A body whose connection breaks.
struct Broken;

impl HttpBody for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}
