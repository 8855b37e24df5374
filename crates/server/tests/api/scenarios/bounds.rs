//! Size, time, number.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::bench::{Answer, Bench, Device, PASSWORD, Session, logs};
use crate::doubles::Mood;

const ADA: &str = "ada@example.test";
/// Ends a test that would otherwise wait for ever; nothing that passes comes near it.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn bodies_are_bounded() {
    let bench = Bench::with(|limits| limits.body_bytes_max = 2_000).await;
    let path = "/v1/login/email/resend";
    let call = || bench.call("POST", path);
    call()
        .body("application/json", &format!(r#"{{"email":"{}"}}"#, "a".repeat(2_000)))
        .send()
        .await
        .is(413, "payload_too_large");
    call().body("text/plain", "{}").send().await.is(415, "unsupported_media_type");
    call().send().await.is(415, "unsupported_media_type");
    call().body("application/json", "{").send().await.is(400, "invalid_json");
    let missing = call().body("application/json", "{}").send().await;
    missing.is(400, "invalid_json");
    assert!(missing.json()["detail"].as_str().unwrap().starts_with("missing field `email`"));
    // The answer names the place, never the value, which may be a password.
    let typed = call().body("application/json", r#"{"email":["hunter2-secret"]}"#).send().await;
    typed.is(400, "invalid_json");
    assert!(!typed.text.contains("hunter2-secret"), "{}", typed.text);
    let exact = call().body("Application/JSON; charset=utf-8", &format!(r#"{{"email":"{ADA}"}}"#)).send().await;
    assert_eq!(exact.status, 202);
    bench.get("/v1/nothing/here").await.is(404, "not_found");
    bench.get("/nothing/here").await.is(404, "not_found");
    bench.call("DELETE", "/v1/me").send().await.is(405, "method_not_allowed");
    bench.get("/v1/evidence?nonce=zz").await.is(400, "invalid_parameter");
    bench.get("/v1/evidence").await.is(400, "invalid_parameter");
    bench.call("GET", "/v1/app/info").header("origin", "\u{e4}").send().await.is(400, "invalid_parameter");
    bench.finish().await;
}

pub(crate) async fn requests_are_bounded_in_time() {
    let bench = Bench::with(|limits| {
        limits.body_milliseconds_max = 50;
        limits.request_milliseconds_max = 400;
    })
    .await;
    // A body that never comes.
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    let head = format!(
        "POST /v1/login/email/resend HTTP/1.1\r\nhost: x\r\nx-pinseal-app-id: {}\r\nx-pinseal-app-key: {}\r\n\
         content-type: application/json\r\ncontent-length: 40\r\nconnection: close\r\n\r\n{{\"email\"",
        bench.app.id, bench.app.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    Answer::parse(&answer).is(408, "request_timeout");
    // A head that never ends is hung up on.
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    // Work that never ends.
    bench.enclave.feel(Mood::Hang);
    bench.get(&format!("/v1/evidence?nonce={}", "00".repeat(32))).await.is(504, "timeout");
    bench.finish().await;
}

pub(crate) async fn addresses_are_rate_limited() {
    let bench = Bench::with(|limits| {
        limits.requests_per_minute = 6;
        limits.logins_per_minute = 2;
    })
    .await;
    let first = bench.get("/v1/app/info").await;
    assert_eq!(first.headers["ratelimit-limit"], "6");
    assert_eq!(first.headers["ratelimit-remaining"], "5");
    assert_eq!(first.headers["ratelimit-reset"], "10");
    let resend = async || bench.post("/v1/login/email/resend", json!({"email": ADA})).await;
    assert_eq!(resend().await.status, 202);
    assert_eq!(resend().await.status, 202);
    let refused = resend().await;
    refused.is(429, "rate_limited");
    assert_eq!((refused.headers["ratelimit-limit"].as_str(), refused.headers["retry-after"].as_str()), ("2", "30"));
    for _ in 0..2 {
        assert_eq!(bench.get("/v1/app/info").await.status, 200);
    }
    let refused = bench.get("/v1/app/info").await;
    refused.is(429, "rate_limited");
    assert_eq!((refused.headers["ratelimit-remaining"].as_str(), refused.headers["retry-after"].as_str()), ("0", "10"));
    assert_eq!(refused.json()["retryable"], true);
    // A page of whatever origin can read that, and what it is told to wait.
    let paged = bench.call("GET", "/v1/app/info").header("origin", "https://shop.example.org").send().await;
    paged.is(429, "rate_limited");
    assert_eq!(paged.headers["access-control-allow-origin"], "*");
    assert!(paged.headers["access-control-expose-headers"].contains("retry-after"));
    // Health checks are not counted; what X-Forwarded-For says is not believed without a proxy.
    assert_eq!(bench.get("/healthz").await.status, 200);
    let spoofed = bench.call("GET", "/v1/app/info").header("x-forwarded-for", "203.0.113.9").send().await;
    spoofed.is(429, "rate_limited");
    bench.clock.advance(10);
    assert_eq!(bench.get("/v1/app/info").await.status, 200);
    bench.finish().await;
}

pub(crate) async fn proxies_are_believed_as_far_as_they_are_trusted() {
    let bench = Bench::configured(|config| {
        config.trusted_proxies = 2;
        config.limits.requests_per_minute = 1;
    })
    .await;
    // The client may write whatever it likes before what the two proxies add.
    let from = async |chain: &str| bench.call("GET", "/v1/app/info").header("x-forwarded-for", chain).send().await;
    assert_eq!(from("198.51.100.1, 10.0.0.2").await.status, 200);
    from("203.0.113.9, 198.51.100.1, 10.0.0.2").await.is(429, "rate_limited");
    assert_eq!(from("198.51.100.1, 198.51.100.2, 10.0.0.2").await.status, 200);
    bench.finish().await;
}

pub(crate) async fn work_in_flight_is_bounded() {
    let bench = Bench::with(|limits| limits.requests_in_flight_max = 1).await;
    bench.enclave.feel(Mood::Hang);
    let path = format!("/v1/evidence?nonce={}", "00".repeat(32));
    tokio::select! {
        _ = bench.get(&path) => panic!("the first request hangs"),
        () = async {
            bench.enclave.hanging.notified().await;
            bench.get("/v1/app/info").await.is(503, "overloaded");
            bench.enclave.feel(Mood::Serve);
            assert_eq!(bench.get("/readyz").await.status, 200);
        } => {}
    }
    bench.finish().await;
}

pub(crate) async fn a_slow_body_holds_nobody_elses_place() {
    let bench = Bench::with(|limits| {
        limits.requests_in_flight_max = 1;
        limits.body_milliseconds_max = 60_000;
    })
    .await;
    let body = format!(r#"{{"email":"{ADA}"}}"#);
    let (early, late) = body.split_at(7);
    let begin = async || {
        let mut stream = TcpStream::connect(bench.address).await.unwrap();
        let head = format!(
            "POST /v1/login/email/resend HTTP/1.1\r\nhost: x\r\nx-pinseal-app-id: {}\r\nx-pinseal-app-key: {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{early}",
            bench.app.id,
            bench.app.key,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // It and the question for the number are in flight.
        while bench.metric("pinseal_http_requests_in_flight").await < 2.0 {}
        stream
    };
    let end = async |mut stream: TcpStream| {
        stream.write_all(late.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        Answer::parse(&answer)
    };
    let slow = begin().await;
    let others = async { while bench.get("/v1/app/info").await.status != 200 {} };
    tokio::time::timeout(PATIENCE / 2, others).await.expect("the place was given up");
    assert_eq!(end(slow).await.status, 202);
    // Once its body is there it needs a place like everybody.
    let slow = begin().await;
    bench.enclave.feel(Mood::Hang);
    let path = format!("/v1/evidence?nonce={}", "00".repeat(32));
    let hanging = async {
        loop {
            bench.get(&path).await;
        }
    };
    tokio::select! {
        () = hanging => {}
        () = async {
            bench.enclave.hanging.notified().await;
            end(slow).await.is(503, "overloaded");
        } => {}
    }
    bench.finish().await;
}

pub(crate) async fn a_client_that_does_not_read_is_hung_up_on() {
    let bench = Bench::with(|limits| {
        limits.connections_max = 1;
        limits.stall_milliseconds_max = 100;
        limits.body_milliseconds_max = 120_000;
    })
    .await;
    let socket = TcpSocket::new_v4().unwrap();
    // A small buffer here, and answers larger than any on the way.
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut deaf = socket.connect(bench.address).await.unwrap();
    let ask = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n".repeat(32);
    deaf.write_all(ask.as_bytes()).await.unwrap();
    // The first bytes show that it has the one place there is.
    deaf.read_exact(&mut [0; 16]).await.unwrap();
    let healthy = tokio::time::timeout(PATIENCE, bench.get("/healthz")).await.expect("the place is given back");
    assert_eq!(healthy.status, 200);
    drop(deaf);
    bench.finish().await;
}

pub(crate) async fn one_address_gets_its_share_of_the_connections() {
    let bench = Bench::with(|limits| limits.connections_per_address_max = 2).await;
    let (first, second) = (open(&bench).await.unwrap(), open(&bench).await.unwrap());
    assert!(open(&bench).await.is_none());
    drop(first);
    // The server notices in its own time.
    let reopened = async {
        loop {
            if let Some(stream) = open(&bench).await {
                return stream;
            }
        }
    };
    let third = tokio::time::timeout(PATIENCE, reopened).await.expect("a closed connection makes room");
    drop((second, third));
    bench.finish().await;

    // A proxy makes all of its clients' connections.
    let bench = Bench::configured(|config| {
        config.trusted_proxies = 1;
        config.limits.connections_per_address_max = 1;
    })
    .await;
    let both = (open(&bench).await, open(&bench).await);
    assert!(both.0.is_some() && both.1.is_some());
    drop(both);
    bench.finish().await;
}

/// A connection that was answered once; none if it was closed instead.
async fn open(bench: &Bench) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.ok()?;
    stream.read_exact(&mut [0; 16]).await.ok()?;
    Some(stream)
}

pub(crate) async fn passwords_wait_in_a_bounded_queue() {
    let bench = Bench::with(|limits| {
        limits.passwords_at_once = 1;
        limits.passwords_waiting_max = 1;
    })
    .await;
    let bench = std::sync::Arc::new(bench);
    let tries: Vec<_> = (0..8)
        .map(|n| {
            let bench = std::sync::Arc::clone(&bench);
            tokio::spawn(async move {
                let body = json!({"email": format!("user{n}@example.test"), "password": PASSWORD});
                bench.post("/v1/login/email/sign-up", body).await
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in tries {
        statuses.push(one.await.unwrap());
    }
    let full = statuses.iter().find(|answer| answer.status == 503).expect("eight at once do not fit into two places");
    full.is(503, "overloaded");
    assert!(statuses.iter().any(|answer| answer.status == 202));
    // Places are given back.
    let later =
        bench.post("/v1/login/email/sign-up", json!({"email": "late@example.test", "password": PASSWORD})).await;
    assert_eq!(later.status, 202);
    std::sync::Arc::into_inner(bench).unwrap().finish().await;
}

pub(crate) async fn evidence_is_asked_for_four_at_a_time() {
    let bench = std::sync::Arc::new(Bench::start().await);
    bench.enclave.feel(Mood::Slow);
    let ask = |_| {
        let bench = std::sync::Arc::clone(&bench);
        tokio::spawn(async move { bench.get(&format!("/v1/evidence?nonce={}", "00".repeat(32))).await.status })
    };
    let asked = || bench.enclave.evidence.load(std::sync::atomic::Ordering::SeqCst);
    let asking: Vec<_> = (0..10).map(ask).collect();
    // All of them are there, and the question for their number.
    while bench.metric("pinseal_http_requests_in_flight").await < 11.0 {}
    assert_eq!(asked(), 4);
    // Whoever hangs up is answered all the same.
    asking[0].abort();
    while bench.metric("pinseal_http_requests_in_flight").await > 10.0 {}
    assert_eq!(asked(), 4);
    bench.enclave.feel(Mood::Serve);
    bench.enclave.go_on.notify_waiters();
    for one in asking.into_iter().skip(1) {
        assert_eq!(one.await.unwrap(), 200);
    }
    std::sync::Arc::into_inner(bench).unwrap().finish().await;
}

pub(crate) async fn a_flood_for_evidence_leaves_requests_in_flight_to_others() {
    const ASKED: u32 = 40;
    let bench = std::sync::Arc::new(Bench::with(|limits| limits.requests_in_flight_max = 32).await);
    bench.enclave.feel(Mood::Slow);
    let refused = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let ask = |_| {
        let (bench, refused) = (std::sync::Arc::clone(&bench), std::sync::Arc::clone(&refused));
        tokio::spawn(async move {
            let status = bench.get(&format!("/v1/evidence?nonce={}", "00".repeat(32))).await.status;
            refused.fetch_add(u32::from(status == 503), std::sync::atomic::Ordering::SeqCst);
            status
        })
    };
    let asking: Vec<_> = (0..ASKED).map(ask).collect();
    let refused = || f64::from(refused.load(std::sync::atomic::Ordering::SeqCst));
    // The question for their number is one more.
    while bench.metric("pinseal_http_requests_in_flight").await - 1.0 + refused() < f64::from(ASKED) {}
    assert_eq!(bench.get("/v1/networks").await.status, 200);
    bench.enclave.feel(Mood::Serve);
    bench.enclave.go_on.notify_waiters();
    let mut answered = 0;
    for one in asking {
        answered += usize::from(one.await.unwrap() == 200);
    }
    assert_eq!(answered, 4 + 8, "four are made, a quarter of 32 wait");
    std::sync::Arc::into_inner(bench).unwrap().finish().await;
}

pub(crate) async fn a_panic_is_an_answer() {
    let mut bench = Bench::start().await;
    bench.register(ADA).await;
    let device = Device::new();
    let session: Session = bench.login(ADA, &device).await;
    bench.enclave.feel(Mood::Panic);
    let begin = json!({"method": "status"});
    bench.call("POST", "/v1/wallet/begin").json(&begin).by(&session, &device).send().await.is(500, "internal");
    bench.enclave.feel(Mood::Serve);
    assert_eq!(bench.call("POST", "/v1/wallet/begin").json(&begin).by(&session, &device).send().await.status, 200);
    // The log line tells template, status and trace, and nothing of the request itself.
    bench.get("/v1/tx/eip155:31337/0xfeedbeef").await.is(401, "token_missing");
    let logs = logs();
    let line =
        logs.lines().rev().find(|line| line.contains("/v1/tx/{network}/{hash}")).expect("a line with the template");
    assert!(line.contains("status=401") && line.contains("trace_id=") && line.contains("micros="), "{line}");
    assert!(!line.contains("feedbeef"));
    bench.finish().await;
}
