//! Sockets: bounded connections, a deadline for heads and for clients that do not read, a clean end.

mod crowd;
mod stall;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

use crate::edge::Peer;
use crate::state::AppState;
use crowd::Crowd;
use stall::Stalling;

/// Time open requests get to end after the signal to stop.
const GRACE: Duration = Duration::from_secs(10);
/// Wait after a failed accept, which mostly means that file descriptors have run out.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// How often what has expired is deleted.
const SWEEP: Duration = Duration::from_secs(600);

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
    let places_max = state.connections_max();
    let places = Arc::new(Semaphore::new(places_max));
    let times = Times { head: state.body_time(), stall: state.stall_time() };
    let crowd = Crowd::new(state.connections_per_address_max());
    let router = crate::routes::router(state.clone());
    let (stop, stopping) = watch::channel(false);
    let sweeper = tokio::spawn(sweep(state.clone()));
    let mut ending = core::pin::pin!(async {
        tokio::select! {
            () = shutdown => Ok(()),
            () = state.database_stopped() => Err(ServeError::DatabaseStopped),
        }
    });
    let ended = loop {
        // A place first: what we cannot serve waits in the kernel's queue, which is bounded too.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            ended = &mut ending => break ended,
        };
        let Ok(place) = place else { break Ok(()) };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            ended = &mut ending => break ended,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Closed without a word: an answer would have to be waited for, too.
                let Some(admitted) = crowd.admit(peer.ip()) else { continue };
                let connection = connection(router.clone(), stream, Peer(peer), times, stopping.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop((place, admitted));
                });
            }
            Err(error) => {
                tracing::warn!(kind = ?error.kind(), "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    };
    sweeper.abort();
    // Nobody listens if no connection is open.
    let _ = stop.send(true);
    let all = u32::try_from(places_max).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(GRACE, places.acquire_many(all)).await;
    ended
}

/// How long a client may take.
#[derive(Clone, Copy)]
struct Times {
    /// For a request's head.
    head: Duration,
    /// Without taking any byte of an answer.
    stall: Duration,
}

async fn connection(router: Router, stream: TcpStream, peer: Peer, times: Times, mut stopping: watch::Receiver<bool>) {
    // Answers are small; waiting to fill a packet would only slow them.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(peer);
        request
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.head)
        .serve_connection(TokioIo::new(Stalling::new(stream, times.stall)), TowerToHyperService::new(service));
    let mut connection = core::pin::pin!(connection);
    // The guard `wait_for` hands out must not live across the next await.
    let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
    // A connection that ends badly concerns its client alone, so errors are dropped.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

async fn sweep(state: AppState) {
    let mut tick = tokio::time::interval(SWEEP);
    loop {
        tick.tick().await;
        let now = state.now();
        if let Err(error) = state.try_accounts(move |accounts| accounts.sweep(now)).await {
            tracing::warn!(error = %error, "expired rows could not be deleted");
        }
    }
}
