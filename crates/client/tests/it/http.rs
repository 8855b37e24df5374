use std::convert::Infallible;

use axum::body::Body;
use pinseal_client::ApiError;
use pinseal_client::api::RESPONSE_BYTES_MAX;

use crate::peer::{Peer, answer, problem};
use crate::world::{device, logged_in};

#[tokio::test]
async fn an_oversized_body_is_cut_off_announced_or_not() {
    let peer = Peer::start().await;
    let device = device(&peer);
    peer.next("/v1/app/info", answer(200, vec![b' '; RESPONSE_BYTES_MAX + 1]));
    assert!(matches!(device.client.api().app_info().await, Err(ApiError::TooLong)));

    // Without a length, chunk after chunk.
    struct Endless(usize);
    impl axum::body::HttpBody for Endless {
        type Data = axum::body::Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Infallible>>> {
            // Far beyond the bound, so that the test ends even if the client has none.
            self.0 += 1;
            let more = self.0 <= 8 * RESPONSE_BYTES_MAX / CHUNK;
            let frame = more.then(|| Ok(http_body::Frame::data(vec![b' '; CHUNK].into())));
            std::task::Poll::Ready(frame)
        }
    }
    const CHUNK: usize = 64 * 1024;
    peer.next("/v1/app/info", answer(200, Body::new(Endless(0))));
    assert!(matches!(device.client.api().app_info().await, Err(ApiError::TooLong)));
}

#[tokio::test]
async fn problems_keep_their_code_and_everything_else_is_a_status() {
    let peer = Peer::start().await;
    let device = device(&peer);
    peer.next("/v1/app/info", problem(429, "rate_limited", true));
    let error = device.client.api().app_info().await.unwrap_err();
    assert!(matches!(&error, ApiError::Problem(problem) if problem.code == "rate_limited" && problem.trace_id == "t"));
    assert!(error.is_retryable());
    for (status, body) in [(502, "<html>"), (500, ""), (404, r#"{"error":"x"}"#)] {
        peer.next("/v1/app/info", answer(status, body));
        let error = device.client.api().app_info().await.unwrap_err();
        assert!(matches!(error, ApiError::Status(said) if said == status), "{error:?}");
    }
    peer.next("/v1/app/info", answer(200, r#"{"app_id":1}"#));
    assert!(matches!(device.client.api().app_info().await, Err(ApiError::Malformed(_))));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let peer = Peer::start().await;
    let other = Peer::start().await;
    let device = logged_in(&peer).await;
    let mut redirect = answer(307, "");
    redirect.headers_mut().insert("location", format!("{}/v1/me", other.url).parse().unwrap());
    peer.next("/v1/me", redirect);
    assert!(matches!(device.client.api().me().await, Err(ApiError::Status(307))));
    assert!(other.host().seen.is_empty());
}

#[tokio::test]
async fn a_server_that_is_away_is_a_transport_failure() {
    let peer = Peer::start().await;
    let device = device(&peer);
    let url = peer.url.clone();
    drop(peer);
    // The listener ends with the peer; the port refuses from then on.
    while tokio::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let error = device.client.api().app_info().await.unwrap_err();
    assert!(matches!(error, ApiError::Transport(_)) && error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn errors_and_debug_output_hold_no_secret() {
    let peer = Peer::start().await;
    let device = logged_in(&peer).await;
    peer.next("/v1/me", problem(500, "internal", true));
    let error = device.client.api().me().await.unwrap_err();
    let shown = format!("{error} {error:?} {:?} {:?}", device.client, device.client.profile().await.unwrap());
    let host = peer.host();
    for secret in [host.access.as_str(), host.refresh.as_str(), "key_1", "correct horse"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
