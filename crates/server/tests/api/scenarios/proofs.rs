//! DPoP and access tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pinseal_protocol::dpop::Proof;
use pinseal_protocol::token::token_hash;
use pinseal_server::Clock as _;
use serde_json::json;

use crate::bench::{Bench, Device, PASSWORD, Session};

const ADA: &str = "ada@example.test";

async fn logged_in() -> (Bench, Device, Session) {
    let mut bench = Bench::start().await;
    bench.register(ADA).await;
    let device = Device::new();
    let session = bench.login(ADA, &device).await;
    (bench, device, session)
}

fn proof(bench: &Bench, session: &Session, jti: &str) -> Proof {
    Proof {
        jti: jti.into(),
        htm: "GET".into(),
        htu: format!("{}/v1/me", bench.base),
        iat: bench.clock.now().0,
        ath: Some(URL_SAFE_NO_PAD.encode(token_hash(&session.access).0)),
        nonce: Some(bench.nonce()),
    }
}

pub(crate) async fn a_proof_is_for_one_request_one_token_and_one_key() {
    let (bench, device, session) = logged_in().await;
    let other = bench.login(ADA, &device).await;
    let good = proof(&bench, &session, "good");
    let send = async |compact: String| {
        bench.call("GET", "/v1/me").token(&session.access).header("dpop", &compact).send().await
    };
    assert_eq!(send(device.sign(&good)).await.status, 200);
    bench.call("GET", "/v1/me").token(&session.access).send().await.is(401, "dpop_invalid");
    send("garbage".into()).await.is(401, "dpop_invalid");
    send(Device::new().sign(&Proof { jti: "key".into(), ..good.clone() })).await.is(401, "dpop_invalid");
    for bad in [
        Proof { htm: "POST".into(), ..good.clone() },
        Proof { htu: format!("{}/v1/sessions", bench.base), ..good.clone() },
        Proof { htu: format!("{}/v1/me?x=1", bench.base), ..good.clone() },
        Proof { htu: "http://elsewhere.test/v1/me".into(), ..good.clone() },
        Proof { ath: None, ..good.clone() },
        Proof { ath: Some(URL_SAFE_NO_PAD.encode(token_hash(&other.access).0)), ..good.clone() },
        Proof { iat: good.iat - 61, ..good.clone() },
        Proof { iat: good.iat + 61, ..good.clone() },
    ] {
        let answer = send(device.sign(&Proof { jti: format!("{bad:?}"), ..bad })).await;
        answer.is(401, "dpop_invalid");
        assert!(answer.headers["www-authenticate"].contains("invalid_dpop_proof"));
    }
    // By the name the client used: localhost is the same server.
    let port = bench.address.port();
    let local = Proof { jti: "local".into(), htu: format!("http://localhost:{port}/v1/me"), ..good.clone() };
    let call = bench.call("GET", "/v1/me").token(&session.access);
    let answer = call.header("host", &format!("localhost:{port}")).header("dpop", &device.sign(&local)).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // At login the proof is made with the key that is named, and names no token.
    let (a, b) = (Device::new(), Device::new());
    let body = json!({"email": ADA, "password": PASSWORD, "device_jwk": a.jwk()});
    bench.call("POST", "/v1/login/email").json(&body).proof(&b, None).send().await.is(401, "dpop_invalid");
    bench.call("POST", "/v1/login/email").json(&body).send().await.is(401, "dpop_invalid");
    let with_token = Some(session.access.clone());
    bench.call("POST", "/v1/login/email").json(&body).proof(&a, with_token).send().await.is(401, "dpop_invalid");
    let mut bad_key = body;
    bad_key["device_jwk"]["kty"] = json!("RSA");
    bench.call("POST", "/v1/login/email").json(&bad_key).proof(&a, None).send().await.is(400, "invalid_parameter");
    bench.finish().await;
}

pub(crate) async fn a_proof_is_used_once_with_a_fresh_nonce() {
    let (bench, device, session) = logged_in().await;
    let send =
        async |compact: &str| bench.call("GET", "/v1/me").token(&session.access).header("dpop", compact).send().await;
    let compact = device.sign(&proof(&bench, &session, "once"));
    assert_eq!(send(&compact).await.status, 200);
    send(&compact).await.is(401, "dpop_replayed");
    bench.clock.advance(60);
    send(&compact).await.is(401, "dpop_replayed");
    // Another key may choose the same id.
    let phone = Device::new();
    let on_phone = bench.login(ADA, &phone).await;
    let same_id = phone.sign(&proof(&bench, &on_phone, "once"));
    let answer = bench.call("GET", "/v1/me").token(&on_phone.access).header("dpop", &same_id).send().await;
    assert_eq!(answer.status, 200);

    for nonce in [None, Some("made-up".to_owned())] {
        let answer = send(&device.sign(&Proof { nonce, ..proof(&bench, &session, "nonce") })).await;
        answer.is(401, "use_dpop_nonce");
        assert!(answer.headers["www-authenticate"].contains("use_dpop_nonce"));
        assert_eq!(answer.headers["dpop-nonce"], bench.nonce());
    }
    // A nonce is good for its window of two minutes and the next one.
    let old = bench.nonce();
    bench.clock.advance(120);
    let aged = Proof { nonce: Some(old.clone()), ..proof(&bench, &session, "aged") };
    assert_eq!(send(&device.sign(&aged)).await.status, 200);
    bench.clock.advance(120);
    let answer = send(&device.sign(&Proof { nonce: Some(old), ..proof(&bench, &session, "old") })).await;
    answer.is(401, "use_dpop_nonce");
    assert_eq!(send(&device.sign(&proof(&bench, &session, "new"))).await.status, 200);
    bench.finish().await;
}

/// What is refused takes none of the room that live sessions need for their proofs.
pub(crate) async fn only_a_sessions_own_device_takes_its_share_of_remembered_proofs() {
    let mut bench = Bench::with(|limits| limits.requests_per_user_per_minute = 2).await;
    bench.register(ADA).await;
    let device = Device::new();
    let session = bench.login(ADA, &device).await;
    let me =
        async |compact: &str| bench.call("GET", "/v1/me").token(&session.access).header("dpop", compact).send().await;
    // A stolen token with keys made for the occasion.
    let stranger = Device::new().sign(&proof(&bench, &session, "stranger"));
    for _ in 0..2 {
        me(&stranger).await.is(401, "dpop_invalid");
    }
    // The user's own, beyond the allowance: not remembered either, so it is good once there is some again.
    for jti in ["one", "two"] {
        assert_eq!(me(&device.sign(&proof(&bench, &session, jti))).await.status, 200);
    }
    let waiting = device.sign(&proof(&bench, &session, "three"));
    me(&waiting).await.is(429, "rate_limited");
    bench.clock.advance(31);
    assert_eq!(me(&waiting).await.status, 200);
    me(&waiting).await.is(401, "dpop_replayed");

    let refresh = async |token: &str, device: &Device, jti: &str| {
        let htu = format!("{}/v1/session/refresh", bench.base);
        let compact = device.sign(&Proof { htm: "POST".into(), htu, ath: None, ..proof(&bench, &session, jti) });
        let body = json!({"refresh_token": token});
        bench.call("POST", "/v1/session/refresh").json(&body).header("dpop", &compact).send().await
    };
    // Nobody's refresh token, and somebody else's.
    let other = Device::new();
    for token in ["A".repeat(43), session.refresh.clone()] {
        for _ in 0..2 {
            refresh(&token, &other, "again").await.is(401, "refresh_invalid");
        }
    }
    // A session's own refresh takes room where its other calls do, and counts as one of them.
    bench.clock.advance(60);
    assert_eq!(refresh(&session.refresh, &device, "shared").await.session(&bench).id, session.id);
    me(&device.sign(&proof(&bench, &session, "shared"))).await.is(401, "dpop_replayed");
    assert_eq!(me(&device.sign(&proof(&bench, &session, "last"))).await.status, 200);
    me(&device.sign(&proof(&bench, &session, "beyond"))).await.is(429, "rate_limited");
    bench.finish().await;
}

pub(crate) async fn access_tokens_are_checked() {
    let (bench, device, session) = logged_in().await;
    bench.call("GET", "/v1/me").proof(&device, None).send().await.is(401, "token_missing");
    let bearer = bench.call("GET", "/v1/me").header("authorization", &format!("Bearer {}", session.access));
    bearer.proof(&device, Some(session.access.clone())).send().await.is(401, "token_missing");
    let mut parts: Vec<String> = session.access.split('.').map(str::to_owned).collect();
    parts[2] = URL_SAFE_NO_PAD.encode([7_u8; 64]);
    let forged = Session { access: parts.join("."), ..session.clone() };
    bench.call("GET", "/v1/me").by(&forged, &device).send().await.is(401, "token_invalid");
    // Another app's key with this app's token.
    let other = bench.another_app();
    bench.call("GET", "/v1/me").app(&other).by(&session, &device).send().await.is(401, "token_invalid");
    // Sealed calls take the token without a proof, but take no other token.
    let sealed = json!({"storage_token": "x", "request": "00"});
    bench.call("POST", "/v1/wallet/sealed").json(&sealed).send().await.is(401, "token_missing");
    bench.call("POST", "/v1/wallet/sealed").token(&forged.access).json(&sealed).send().await.is(401, "token_invalid");
    // The cache of verified tokens does not outlive them.
    assert_eq!(bench.call("GET", "/v1/me").by(&session, &device).send().await.status, 200);
    bench.clock.advance(900);
    bench.call("GET", "/v1/me").by(&session, &device).send().await.is(401, "token_expired");
    bench.finish().await;
}
