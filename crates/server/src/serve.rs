//! Sockets: bounded connections and heads, a deadline for heads and for clients that do not read, a clean end.

mod crowd;
mod stall;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

use crate::edge::Peer;
use crate::metrics::Metrics;
use crate::state::AppState;
pub(crate) use crowd::Activity;
use crowd::{Admitted, Crowd};
pub(crate) use stall::STRETCH_BYTES;
use stall::Stalling;
use sweep::sweep;

/// Time open requests get to end after the signal to stop.
const GRACE: Duration = Duration::from_secs(10);
/// Wait after a failed accept, which mostly means that file descriptors have run out.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Sockets open beyond the connections: of those that were told to leave and have not done it yet.
const LEAVING_MAX: usize = 64;
/// Bytes of a request's head: an access token of 2 KiB, a proof, and whatever browsers and proxies add.
const HEAD_BYTES_MAX: usize = 16 * 1_024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener has no address: it is not usable.
    #[error("the listener is not usable")]
    Listener(#[source] std::io::Error),
    /// The outcome of a write is unknown. The process must end; the next start finds out what is stored.
    #[error("the database has stopped")]
    DatabaseStopped,
}

/// Serves until `shutdown` resolves, then lets open requests end.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    state: AppState,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Listener)?;
    state.listening_on(address);
    let sockets_max = state.connections_max() + LEAVING_MAX;
    let sockets = Arc::new(Semaphore::new(sockets_max));
    let door = Door {
        crowd: Crowd::new(
            state.connections_max(),
            state.connections_per_address_max(),
            state.metrics().connections.clone(),
        ),
        times: Times { head: state.body_time(), stall: state.stall_time() },
        router: crate::routes::router(state.clone()),
    };
    let (stop, stopping) = watch::channel(false);
    let sweeper = tokio::spawn(sweep(state.clone()));
    let mut ending = core::pin::pin!(async {
        tokio::select! {
            () = shutdown => Ok(()),
            () = state.database_stopped() => Err(ServeError::DatabaseStopped),
        }
    });
    let ended = loop {
        // A socket first: those who were told to leave are waited for.
        let socket = tokio::select! {
            socket = Arc::clone(&sockets).acquire_owned() => socket,
            ended = &mut ending => break ended,
        };
        let Ok(socket) = socket else { break Ok(()) };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            ended = &mut ending => break ended,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(admitted) = door.admit(peer.ip(), state.metrics()) else { continue };
                let connection = door.connection(stream, Peer(peer), admitted, stopping.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(socket);
                });
            }
            Err(error) => {
                state.metrics().accept_failures.inc();
                tracing::warn!(kind = ?error.kind(), "a connection could not be accepted");
                // Most likely descriptors have run out, and one that waits has one.
                door.crowd.make_room();
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    };
    sweeper.abort();
    // Nobody listens if no connection is open.
    let _ = stop.send(true);
    let all = u32::try_from(sockets_max).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(GRACE, sockets.acquire_many(all)).await;
    ended
}

/// How long a client may take.
#[derive(Clone, Copy)]
struct Times {
    /// For a request's head.
    head: Duration,
    /// For a stretch of an answer to be taken.
    stall: Duration,
}

/// Where connections come in.
struct Door {
    crowd: Crowd,
    times: Times,
    router: Router,
}

impl Door {
    fn admit(&self, address: std::net::IpAddr, metrics: &Metrics) -> Option<Admitted> {
        match self.crowd.admit(address) {
            Ok((admitted, made_room)) => {
                metrics.connections_closed_for_room.inc_by(made_room.into());
                Some(admitted)
            }
            // Closed without a word: an answer would have to be waited for, too.
            Err(refused) => {
                metrics.connections_refused.with_label_values(&[refused.name()]).inc();
                None
            }
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: Peer,
        admitted: Admitted,
        mut stopping: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (router, activity, times) = (self.router.clone(), admitted.activity(), self.times);
        let service =
            hyper::service::service_fn(move |request| answer(router.clone(), activity.clone(), peer, request));
        async move {
            // Answers are small; waiting to fill a packet would only slow them.
            let _ = stream.set_nodelay(true);
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(times.head)
                .max_buf_size(HEAD_BYTES_MAX)
                .max_headers(HEADERS_MAX)
                .serve_connection(TokioIo::new(Stalling::new(stream, times.stall)), service);
            let mut connection = core::pin::pin!(connection);
            // The guard `wait_for` hands out must not live across the next await.
            let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
            // A connection that ends badly concerns its client alone, so errors are dropped. Who was told to leave goes before
            // anything else of it is read.
            tokio::select! {
                biased;
                () = admitted.told_to_leave() => {}
                _ = connection.as_mut() => {}
                () = stopped => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        }
    }
}

async fn answer(
    router: Router,
    activity: Activity,
    peer: Peer,
    request: hyper::Request<Incoming>,
) -> Result<axum::response::Response, core::convert::Infallible> {
    activity.works();
    let mut request = request.map(Body::new);
    let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(activity.clone());
    let mut answered = router.oneshot(request).await;
    if let Ok(response) = &mut answered
        && is_chunked
    {
        // Where a proxy may have gone by a length that came along (RFC 9112, section 6.3), what follows is nobody's request.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    activity.waits();
    answered
}
