//! The two calls over HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::BytesMut;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::spawn_blocking;
use tower::ServiceExt as _;
use tower_http::timeout::TimeoutLayer;

use crate::connections::{Connection, Connections};
use crate::witness::{Refusal, Witness};

/// Bytes of a request: a proof of 63 lines, and a note with many signatures.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Requests worked on at once, which are here in full; more wait.
const AT_ONCE_MAX: usize = 64;
/// A request that waits longer to be worked on is given up: whoever asks has given it up by then.
const WAIT_TIME: Duration = Duration::from_secs(5);
/// A request that takes longer is given up, wherever it stands: its body is not here, it waits, or it is worked on.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Time for a request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Bytes of a head: its two lines, and what proxies add.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Time open requests get to end after the signal to stop.
const GRACE: Duration = Duration::from_secs(10);
/// Wait after a failed accept, which mostly means that file descriptors have run out.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Serves until `stop` resolves.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    witness: Arc<Witness>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    listener.local_addr()?;
    let (router, connections) = (router(witness), Connections::default());
    let (ended, ending) = watch::channel(false);
    // Closed once every connection has dropped its end.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    let mut stop = core::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let served = connection(stream, connections.admit(peer.ip()), router.clone(), ending.clone());
                let open = open.clone();
                tokio::spawn(async move {
                    served.await;
                    drop(open);
                });
            }
            Err(error) => {
                tracing::warn!(kind = ?error.kind(), "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    // Nobody listens if no connection is open.
    let _ = ended.send(true);
    drop(open);
    let _ = tokio::time::timeout(GRACE, all_closed.recv()).await;
    Ok(())
}

async fn connection(stream: TcpStream, place: Connection, router: Router, mut ending: watch::Receiver<bool>) {
    // Answers are small; waiting to fill a packet would only slow them.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| {
        place.stirs();
        let answered = router.clone().oneshot(request.map(Body::new));
        async {
            let answer = answered.await;
            place.stirs();
            answer
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = core::pin::pin!(served);
    // The guard `wait_for` hands out must not live across the next await.
    let ended = async { drop(ending.wait_for(|ended| *ended).await) };
    // A connection that ends badly concerns its client alone, so errors are dropped.
    tokio::select! {
        biased;
        () = place.told_to_leave() => {}
        _ = served.as_mut() => {}
        () = ended => {
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
    }
}

/// The witness, and who works on it.
#[derive(Clone)]
struct Desk {
    witness: Arc<Witness>,
    places: Arc<Semaphore>,
}

impl Desk {
    /// Works once there is a place. The work keeps it to its end, also where nobody waits for the answer any more.
    async fn work<T: Send + 'static>(self, work: impl FnOnce(&Witness) -> T + Send + 'static) -> Result<T, StatusCode> {
        let place = tokio::time::timeout(WAIT_TIME, self.places.acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(StatusCode::SERVICE_UNAVAILABLE) };
        let worked = spawn_blocking(move || {
            let done = work(&self.witness);
            drop(place);
            done
        });
        worked.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    }
}

fn router(witness: Arc<Witness>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin_hash}/checkpoint", get(checkpoint))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIME))
        .with_state(Desk { witness, places: Arc::new(Semaphore::new(AT_ONCE_MAX)) })
}

// In one buffer: kept as they came, pieces of one byte would take forty times what they hold.
async fn add_checkpoint(State(desk): State<Desk>, body: BytesMut) -> Response {
    match desk.work(move |witness| witness.add_checkpoint(&body)).await {
        Ok(Ok(line)) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], line.to_string()).into_response(),
        Ok(Err(refusal)) => refused(&refusal),
        Err(status) => status.into_response(),
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Malformed => StatusCode::BAD_REQUEST,
        Refusal::UnknownLog => StatusCode::NOT_FOUND,
        Refusal::Signature => StatusCode::FORBIDDEN,
        Refusal::Ended => StatusCode::GONE,
        Refusal::Conflict(size) => {
            let size_type = [(header::CONTENT_TYPE, "text/x.tlog.size")];
            return (StatusCode::CONFLICT, size_type, format!("{size}\n")).into_response();
        }
        Refusal::Inconsistent => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Ledger(error) => {
            tracing::error!(error = %error, "the witness's file fails");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    (status, format!("{refusal}\n")).into_response()
}

async fn checkpoint(State(desk): State<Desk>, Path(origin_hash): Path<String>) -> Response {
    match desk.work(move |witness| witness.newest(&origin_hash)).await {
        Ok(Ok(Some(note))) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response(),
        Ok(Ok(None)) => StatusCode::NOT_FOUND.into_response(),
        Ok(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Err(status) => status.into_response(),
    }
}
