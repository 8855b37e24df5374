use pinseal_client::{ApiError, SecretText};

use crate::peer::{NOW, Peer, answer, problem};
use crate::world::{EMAIL, device, logged_in, password};

#[tokio::test]
async fn the_nonce_is_fetched_once_and_renewed_when_the_server_renews_it() {
    let peer = Peer::start().await;
    let device = logged_in(&peer).await;
    assert_eq!(peer.count("POST /v1/login/email"), 2);
    device.client.api().me().await.unwrap();
    assert_eq!(peer.count("GET /v1/me"), 1);
    peer.host().nonce = "nonce-2".into();
    device.client.api().me().await.unwrap();
    assert_eq!(peer.count("GET /v1/me"), 3);
}

#[tokio::test]
async fn a_server_that_is_never_content_with_a_nonce_is_asked_twice() {
    let peer = Peer::start().await;
    let device = device(&peer);
    for _ in 0..9 {
        peer.next("/v1/login/email", problem(401, "use_dpop_nonce", true));
    }
    let error = device.client.api().log_in(EMAIL, &password()).await.unwrap_err();
    assert_eq!(error.code(), Some("use_dpop_nonce"));
    assert_eq!(peer.count("POST /v1/login/email"), 2);
}

/// Strangers' tries do not hold it up at the login after.
#[tokio::test]
async fn a_reset_names_the_device_that_it_is_done_on() {
    let peer = Peer::start().await;
    let device = logged_in(&peer).await;
    device.client.api().reset(EMAIL, &SecretText::new("12345678".to_owned()), &password()).await.unwrap();
    assert_eq!(peer.count("POST /v1/login/email/reset"), 1);
}

#[tokio::test]
async fn an_expired_token_is_refreshed_and_the_call_repeated() {
    for stale in ["token_expired", "token_invalid"] {
        let peer = Peer::start().await;
        let device = logged_in(&peer).await;
        peer.next("/v1/me", problem(401, stale, true));
        device.client.api().me().await.unwrap();
        assert_eq!(peer.host().refreshes, 1, "{stale}");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_again_after_its_refresh_is_not_refreshed_for_ever() {
    let peer = Peer::start().await;
    let device = logged_in(&peer).await;
    peer.next("/v1/me", problem(401, "token_invalid", false));
    peer.next("/v1/me", problem(401, "token_invalid", false));
    assert!(device.client.api().me().await.is_err());
    assert_eq!(peer.host().refreshes, 1);
}

#[tokio::test]
async fn a_token_about_to_expire_is_refreshed_first() {
    let peer = Peer::start().await;
    let device = logged_in(&peer).await;
    let mut profile = device.client.profile().await.unwrap();
    profile.session.as_mut().unwrap().access_expires.0 = NOW + 60;
    let device = crate::world::device_with(&peer, crate::world::any_development(), Some(profile));
    device.client.api().me().await.unwrap();
    let seen = peer.host().seen.clone();
    assert_eq!(peer.host().refreshes, 1);
    assert_eq!(seen.iter().filter(|call| *call == "GET /v1/me").count(), 1, "{seen:?}");
    // The new session was kept.
    let kept = device.client.profile().await.unwrap().session.unwrap();
    assert_eq!(kept.access_token.expose_secret(), peer.host().access);
    assert_eq!(kept.refresh_token.expose_secret(), peer.host().refresh);
}

#[tokio::test]
async fn parallel_calls_refresh_once() {
    let peer = Peer::start().await;
    let device = logged_in(&peer).await;
    // The token the profile holds is no longer good.
    peer.host().access = "another".into();
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = device.client.clone();
            tokio::spawn(async move { client.api().me().await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(peer.host().refreshes, 1);
}

#[tokio::test]
async fn a_reused_refresh_token_ends_the_session_here_too() {
    let peer = Peer::start().await;
    let device = logged_in(&peer).await;
    peer.host().refresh = "rotated by a thief".into();
    peer.host().access = "another".into();
    let error = device.client.api().me().await.unwrap_err();
    assert!(matches!(&error, ApiError::SessionEnded(problem) if problem.code == "refresh_reused"), "{error:?}");
    assert!(matches!(device.client.api().me().await, Err(ApiError::NotLoggedIn)));
}

#[tokio::test]
async fn a_refresh_that_fails_otherwise_keeps_the_session() {
    let peer = Peer::start().await;
    let device = logged_in(&peer).await;
    for answer in [answer(502, ""), problem(401, "dpop_replayed", false), problem(429, "rate_limited", true)] {
        peer.next("/v1/me", problem(401, "token_expired", true));
        peer.next("/v1/session/refresh", answer);
        device.client.api().me().await.unwrap_err();
        assert!(device.client.profile().await.unwrap().session.is_some());
    }
    device.client.api().me().await.unwrap();
}

#[tokio::test]
async fn a_session_revoked_elsewhere_is_forgotten() {
    let peer = Peer::start().await;
    let device = logged_in(&peer).await;
    peer.next("/v1/me", problem(401, "session_revoked", false));
    assert!(matches!(device.client.api().me().await, Err(ApiError::SessionEnded(_))));
    assert!(device.client.profile().await.unwrap().session.is_none());
}

#[tokio::test]
async fn logging_out_forgets_the_session_even_if_the_server_is_away() {
    let peer = Peer::start().await;
    let device = logged_in(&peer).await;
    peer.next("/v1/logout", answer(502, ""));
    assert!(device.client.api().log_out().await.is_err());
    assert!(device.client.profile().await.unwrap().session.is_none());
    device.client.api().log_out().await.unwrap();
}
