//! Refresh, list, logout.

use serde_json::json;

use crate::bench::{Answer, App, Bench, Device, Session};

const ADA: &str = "ada@example.test";

async fn refresh(bench: &Bench, app: &App, token: &str, device: &Device) -> Answer {
    bench
        .call("POST", "/v1/session/refresh")
        .app(app)
        .json(&json!({"refresh_token": token}))
        .proof(device, None)
        .send()
        .await
}

async fn me(bench: &Bench, session: &Session, device: &Device) -> Answer {
    bench.call("GET", "/v1/me").by(session, device).send().await
}

async fn logged_in() -> (Bench, Device, Session) {
    let mut bench = Bench::start().await;
    bench.register(ADA).await;
    let device = Device::new();
    let session = bench.login(ADA, &device).await;
    (bench, device, session)
}

pub(crate) async fn refresh_tokens_rotate() {
    let (bench, device, first) = logged_in().await;
    let app = bench.app.clone();
    bench.clock.advance(900);
    me(&bench, &first, &device).await.is(401, "token_expired");
    let second = refresh(&bench, &app, &first.refresh, &device).await.session(&bench);
    assert_eq!((&second.user, &second.id), (&first.user, &first.id));
    assert!(second.refresh != first.refresh && second.access != first.access);
    assert_eq!(me(&bench, &second, &device).await.status, 200);
    // A week is counted from the last refresh.
    bench.clock.advance(6 * 86_400);
    let third = refresh(&bench, &app, &second.refresh, &device).await.session(&bench);
    bench.clock.advance(6 * 86_400);
    let fourth = refresh(&bench, &app, &third.refresh, &device).await.session(&bench);
    assert_eq!(me(&bench, &fourth, &device).await.status, 200);
    bench.finish().await;
}

pub(crate) async fn a_lost_refresh_reply_is_fetched_again() {
    let (bench, device, first) = logged_in().await;
    let app = bench.app.clone();
    let lost = refresh(&bench, &app, &first.refresh, &device).await.session(&bench);
    bench.clock.advance(29);
    let again = refresh(&bench, &app, &first.refresh, &device).await.session(&bench);
    assert_eq!(again.refresh, lost.refresh);
    assert_eq!(me(&bench, &again, &device).await.status, 200);
    // Two at once are a retry too.
    let (one, two) =
        tokio::join!(refresh(&bench, &app, &again.refresh, &device), refresh(&bench, &app, &again.refresh, &device));
    let (one, two) = (one.session(&bench), two.session(&bench));
    assert_eq!(one.refresh, two.refresh);
    let again = one;
    // Another device gets nothing by it, and does no harm either.
    refresh(&bench, &app, &lost.refresh, &Device::new()).await.is(401, "refresh_invalid");
    let next = refresh(&bench, &app, &again.refresh, &device).await.session(&bench);
    assert_eq!(me(&bench, &next, &device).await.status, 200);
    bench.finish().await;
}

pub(crate) async fn a_reused_refresh_token_closes_the_session() {
    let (bench, device, first) = logged_in().await;
    let app = bench.app.clone();
    let second = refresh(&bench, &app, &first.refresh, &device).await.session(&bench);
    bench.clock.advance(30);
    refresh(&bench, &app, &first.refresh, &device).await.is(401, "refresh_reused");
    me(&bench, &second, &device).await.is(401, "session_revoked");
    refresh(&bench, &app, &second.refresh, &device).await.is(401, "refresh_invalid");

    // Within the grace too, once the successor was used: two hold the chain.
    let first = bench.login(ADA, &device).await;
    let other = bench.login(ADA, &device).await;
    let second = refresh(&bench, &app, &first.refresh, &device).await.session(&bench);
    let third = refresh(&bench, &app, &second.refresh, &device).await.session(&bench);
    refresh(&bench, &app, &first.refresh, &device).await.is(401, "refresh_reused");
    me(&bench, &third, &device).await.is(401, "session_revoked");
    assert_eq!(me(&bench, &other, &device).await.status, 200, "other sessions stay open");
    bench.finish().await;
}

pub(crate) async fn a_session_is_refreshed_six_times_a_minute() {
    let (bench, device, mut session) = logged_in().await;
    let app = bench.app.clone();
    let other = bench.login(ADA, &device).await;
    let mut last = session.clone();
    for _ in 0..6 {
        last = session;
        session = refresh(&bench, &app, &last.refresh, &device).await.session(&bench);
    }
    let answer = refresh(&bench, &app, &session.refresh, &device).await;
    answer.is(429, "rate_limited");
    assert_eq!(answer.headers["retry-after"], "10");
    // A lost reply is fetched again all the same, the session stays open, and other sessions have their own six.
    assert_eq!(refresh(&bench, &app, &last.refresh, &device).await.session(&bench).refresh, session.refresh);
    assert_eq!(me(&bench, &session, &device).await.status, 200);
    refresh(&bench, &app, &other.refresh, &device).await.session(&bench);
    bench.clock.advance(10);
    refresh(&bench, &app, &session.refresh, &device).await.session(&bench);
    bench.finish().await;
}

pub(crate) async fn refresh_tokens_are_bound_and_expire() {
    let (bench, device, session) = logged_in().await;
    let (app, other) = (bench.app.clone(), bench.another_app());
    refresh(&bench, &app, &session.refresh, &Device::new()).await.is(401, "refresh_invalid");
    refresh(&bench, &other, &session.refresh, &device).await.is(401, "refresh_invalid");
    refresh(&bench, &app, "AAAA", &device).await.is(401, "refresh_invalid");
    refresh(&bench, &app, &"A".repeat(43), &device).await.is(401, "refresh_invalid");
    assert_eq!(me(&bench, &session, &device).await.status, 200, "none of that closed the session");
    bench.clock.advance(7 * 86_400);
    refresh(&bench, &app, &session.refresh, &device).await.is(401, "refresh_invalid");

    // However often it is refreshed, a session ends after 90 days.
    let mut session = bench.login(ADA, &device).await;
    for _ in 0..15 {
        bench.clock.advance(6 * 86_400);
        session = refresh(&bench, &app, &session.refresh, &device).await.session(&bench);
    }
    bench.clock.advance(86_400);
    refresh(&bench, &app, &session.refresh, &device).await.is(401, "refresh_invalid");
    bench.finish().await;
}

pub(crate) async fn sessions_are_listed_and_logged_out_remotely() {
    let (mut bench, phone, on_phone) = logged_in().await;
    bench.clock.advance(5);
    let laptop = Device::new();
    let on_laptop = bench.login(ADA, &laptop).await;
    bench.register("bob@example.test").await;
    let bobs = Device::new();
    let bob = bench.login("bob@example.test", &bobs).await;

    let list = bench.call("GET", "/v1/sessions").by(&on_laptop, &laptop).send().await.json();
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!((&items[0]["session_id"], &items[0]["current"]), (&json!(on_laptop.id), &json!(true)));
    assert_eq!((&items[1]["session_id"], &items[1]["current"]), (&json!(on_phone.id), &json!(false)));
    assert_eq!(items[1]["device"], phone.id().to_string());
    assert_eq!(items[1]["app_id"], bench.app.id.as_str());

    let path = format!("/v1/sessions/{}", on_phone.id);
    bench.call("DELETE", &path).by(&bob, &bobs).send().await.is(404, "not_found");
    assert_eq!(me(&bench, &on_phone, &phone).await.status, 200);
    assert_eq!(bench.call("DELETE", &path).by(&on_laptop, &laptop).send().await.status, 204);
    me(&bench, &on_phone, &phone).await.is(401, "session_revoked");
    let sealed = json!({"storage_token": "x", "request": "00"});
    bench
        .call("POST", "/v1/wallet/sealed")
        .token(&on_phone.access)
        .json(&sealed)
        .send()
        .await
        .is(401, "session_revoked");
    bench.call("DELETE", &path).by(&on_laptop, &laptop).send().await.is(404, "not_found");
    assert_eq!(me(&bench, &on_laptop, &laptop).await.status, 200);
    bench.finish().await;
}

pub(crate) async fn logout_ends_the_session_at_once() {
    let (bench, device, session) = logged_in().await;
    assert_eq!(bench.call("POST", "/v1/logout").by(&session, &device).send().await.status, 204);
    me(&bench, &session, &device).await.is(401, "session_revoked");
    refresh(&bench, &bench.app.clone(), &session.refresh, &device).await.is(401, "refresh_invalid");

    // The thirty-third session closes the first.
    let first = bench.login(ADA, &device).await;
    for _ in 0..31 {
        bench.clock.advance(1);
        bench.login(ADA, &device).await;
    }
    assert_eq!(me(&bench, &first, &device).await.status, 200);
    bench.clock.advance(1);
    bench.login(ADA, &device).await;
    me(&bench, &first, &device).await.is(401, "session_revoked");
    bench.finish().await;
}

pub(crate) async fn a_session_is_refreshed_a_bounded_number_of_times_a_day() {
    let mut bench = Bench::with(|limits| limits.refreshes_per_session_per_day = 2).await;
    bench.register(ADA).await;
    let (app, device) = (bench.app.clone(), Device::new());
    let first = bench.login(ADA, &device).await;
    let second = refresh(&bench, &app, &first.refresh, &device).await.session(&bench);
    let third = refresh(&bench, &app, &second.refresh, &device).await.session(&bench);
    refresh(&bench, &app, &third.refresh, &device).await.is(429, "rate_limited");
    bench.clock.advance(43_200);
    refresh(&bench, &app, &third.refresh, &device).await.session(&bench);
    bench.finish().await;
}
