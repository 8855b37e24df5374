//! The way to the enclave and what the server learns on it.

use minicbor::bytes::ByteVec;
use pinseal_protocol::cbor;
use pinseal_protocol::ids::{Hash32, RequestId};
use pinseal_protocol::manifest::HpkePublic;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::SealedReply;
use pinseal_protocol::request::{Method, RequestHeader, SealedRequest, SignedBeginReply, Suite};
use pinseal_protocol::token::token_hash;
use pinseal_server::{Clock as _, Limits, refusal_entry};
use serde_json::{Value, json};

use crate::bench::{Answer, App, Bench, Device, Session};
use crate::doubles::Mood;

const ADA: &str = "ada@example.test";

async fn begin(bench: &Bench, app: &App, session: &Session, device: &Device, method: &str) -> Answer {
    bench.call("POST", "/v1/wallet/begin").app(app).json(&json!({"method": method})).by(session, device).send().await
}

fn sealed_request(session: &Session, device: &Device, method: Method) -> String {
    let header = RequestHeader {
        version: 1,
        suite: Suite::X25519Aes256Gcm,
        manifest: Hash32([0; 32]),
        method,
        request: RequestId([6; 16]),
        challenge: ByteVec::from(vec![9; 32]),
        token: token_hash(&session.access),
        device: device.id(),
        receipt_size: 0,
    };
    let request = SealedRequest { header, enc: HpkePublic([1; 32]), ciphertext: ByteVec::from(vec![2; 100]) };
    hex::encode(cbor::to_vec(&request))
}

async fn sealed(bench: &Bench, session: &Session, storage_token: &Value, request: &str) -> Answer {
    let body = json!({"storage_token": storage_token, "request": request});
    bench.call("POST", "/v1/wallet/sealed").token(&session.access).json(&body).send().await
}

pub(crate) async fn a_wallet_is_made_and_another_app_registers() {
    let mut bench = Bench::start().await;
    bench.register(ADA).await;
    let (app, other) = (bench.app.clone(), bench.another_app());
    let device = Device::new();
    let session = bench.login(ADA, &device).await;
    let register = async |app: &App, session: &Session| {
        bench
            .call("POST", "/v1/app/register")
            .app(app)
            .by(session, &device)
            .header("idempotency-key", "one")
            .send()
            .await
    };
    register(&app, &session).await.is(409, "wallet_not_created");

    let begun = begin(&bench, &app, &session, &device, "register_confirm").await.json();
    let reply: SignedBeginReply = cbor::from_slice(&hex::decode(begun["begin"].as_str().unwrap()).unwrap()).unwrap();
    let manifest = bench.enclave.manifest();
    let reply = reply.verify(&manifest.boot, &manifest.hash(), &device.id(), Method::RegisterConfirm).unwrap();
    assert_eq!(reply.wallet, bench.enclave.wallet_of(&session.user));
    bench.secret(begun["storage_token"].as_str().unwrap());
    // The storage token is for one operation.
    let sign = sealed_request(&session, &device, Method::Sign);
    sealed(&bench, &session, &begun["storage_token"], &sign).await.is(403, "storage_token_refused");
    let confirm = sealed_request(&session, &device, Method::RegisterConfirm);
    let answer = sealed(&bench, &session, &begun["storage_token"], &confirm).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer: SealedReply =
        cbor::from_slice(&hex::decode(answer.json()["reply"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(answer.request, RequestId([6; 16]));

    // The wallet exists now, for the app it was made through; another app asks first.
    let me = bench.call("GET", "/v1/me").by(&session, &device).send().await.json();
    assert_eq!(me["login_status"], "complete");
    assert_eq!(me["wallet_id"], bench.enclave.wallet_of(&session.user).to_string());
    let answer = bench.login_to(&other, ADA, crate::bench::PASSWORD, &device).await;
    let elsewhere = answer.session(&bench);
    assert_eq!((elsewhere.status.as_str(), &elsewhere.user), ("register_required", &session.user));
    begin(&bench, &other, &elsewhere, &device, "sign").await.is(403, "app_not_registered");
    assert_eq!(begin(&bench, &other, &elsewhere, &device, "status").await.status, 200);
    a_stranger_to_the_wallet_sees_nothing_of_it(&bench, &other, (&session, &elsewhere), &device).await;
    assert_eq!(register(&other, &elsewhere).await.text, r#"{"login_status":"complete"}"#);
    assert_eq!(register(&other, &elsewhere).await.headers["idempotent-replayed"], "true");
    assert_eq!(begin(&bench, &other, &elsewhere, &device, "sign").await.status, 200);

    begin(&bench, &app, &session, &device, "export").await.is(400, "invalid_parameter");
    sealed(&bench, &session, &begun["storage_token"], "00").await.is(400, "request_malformed");
    sealed(&bench, &session, &begun["storage_token"], "zz").await.is(400, "request_malformed");
    // An enclave that names another wallet is not the one this user's wallet is in.
    bench.enclave.feel(Mood::OtherWallet);
    begin(&bench, &app, &session, &device, "sign").await.is(409, "wallet_conflict");
    bench.finish().await;
}

/// Its client hangs up before the host has found out that there is a wallet now.
pub(crate) async fn a_wallet_is_noted_for_the_app_it_was_made_through() {
    let mut bench = Bench::start().await;
    bench.register(ADA).await;
    let (app, other, device) = (bench.app.clone(), bench.another_app(), Device::new());
    let session = bench.login(ADA, &device).await;
    let elsewhere = bench.login_to(&other, ADA, crate::bench::PASSWORD, &device).await.session(&bench);
    let begun = begin(&bench, &app, &session, &device, "register_confirm").await.json();
    let confirm = sealed_request(&session, &device, Method::RegisterConfirm);
    bench.enclave.feel(Mood::Slow);
    tokio::select! {
        _ = sealed(&bench, &session, &begun["storage_token"], &confirm) => panic!("the enclave is asked once more"),
        () = bench.enclave.hanging.notified() => {}
    }
    while bench.metric("pinseal_http_requests_in_flight").await > 1.0 {}
    bench.enclave.feel(Mood::Serve);
    bench.enclave.go_on.notify_one();
    let status = async |app: &App, session: &Session| {
        let me = bench.call("GET", "/v1/me").app(app).by(session, &device).send().await.json();
        me["login_status"].as_str().unwrap().to_owned()
    };
    let noted = async { while status(&app, &session).await != "complete" {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), noted).await.expect("it is noted all the same");
    begin(&bench, &other, &elsewhere, &device, "sign").await.is(403, "app_not_registered");
    assert_eq!(status(&other, &elsewhere).await, "register_required");
    bench.finish().await;
}

/// An app that the user has not let use the wallet, with a session of the user's all the same.
async fn a_stranger_to_the_wallet_sees_nothing_of_it(
    bench: &Bench,
    app: &App,
    (session, elsewhere): (&Session, &Session),
    device: &Device,
) {
    let call = |method, path: &str| bench.call(method, path).app(app).by(elsewhere, device);
    let transfer = json!({"network": "eip155:31337", "from": "0xab", "value": "1"});
    let raw = json!({"network": "eip155:31337", "raw": format!("0x{}", "ab".repeat(21))});
    for refused in [
        call("GET", "/v1/accounts"),
        call("POST", "/v1/accounts").json(&json!({"items": []})),
        call("POST", "/v1/tx/prepare").json(&transfer),
        call("POST", "/v1/tx/broadcast").json(&raw),
        call("POST", "/v1/tx/release").json(&json!({"reservation_id": "1"})),
        call("GET", "/v1/tx/eip155:31337/0xaa"),
        call("GET", "/v1/tx?address=0xab"),
    ] {
        refused.send().await.is(403, "app_not_registered");
    }
    let sessions = call("GET", "/v1/sessions").send().await.json();
    let ids: Vec<&Value> = sessions["items"].as_array().unwrap().iter().map(|item| &item["session_id"]).collect();
    assert_eq!(ids, [&json!(elsewhere.id)]);
    call("DELETE", &format!("/v1/sessions/{}", session.id)).send().await.is(404, "not_found");
    assert_eq!(bench.call("GET", "/v1/me").by(session, device).send().await.status, 200);
}

pub(crate) async fn refusals_keep_their_wire_code() {
    let mut bench = Bench::start().await;
    bench.register(ADA).await;
    let app = bench.app.clone();
    let device = Device::new();
    let session = bench.login(ADA, &device).await;
    let begun = begin(&bench, &app, &session, &device, "sign").await.json();
    let request = sealed_request(&session, &device, Method::Sign);
    for refusal in Refusal::ALL {
        bench.enclave.feel(Mood::Refuse(*refusal));
        let entry = refusal_entry(*refusal);
        let answer = sealed(&bench, &session, &begun["storage_token"], &request).await;
        answer.is(entry.status, refusal.code());
        assert_eq!(answer.json()["retryable"], refusal.is_retryable());
        begin(&bench, &app, &session, &device, "sign").await.is(entry.status, refusal.code());
    }
    bench.enclave.feel(Mood::StorageToken);
    sealed(&bench, &session, &begun["storage_token"], &request).await.is(403, "storage_token_refused");
    bench.finish().await;
}

pub(crate) async fn a_sealed_request_goes_with_its_own_session_only() {
    let mut bench = Bench::start().await;
    bench.register(ADA).await;
    bench.register("bob@example.test").await;
    let app = bench.app.clone();
    let (laptop, phone, bobs) = (Device::new(), Device::new(), Device::new());
    let session = bench.login(ADA, &laptop).await;
    let elsewhere = bench.login(ADA, &phone).await;
    let bob = bench.login("bob@example.test", &bobs).await;
    let token = begin(&bench, &app, &session, &laptop, "sign").await.json()["storage_token"].clone();
    let his_token = begin(&bench, &app, &bob, &bobs, "sign").await.json()["storage_token"].clone();
    // Whatever gets through is answered 500 now.
    bench.enclave.feel(Mood::Fault);
    let request = |session: &Session, device: &Device| sealed_request(session, device, Method::Sign);
    let own = request(&session, &laptop);
    sealed(&bench, &session, &token, &own).await.is(500, "internal");
    for (caller, token, request) in [
        // Shown by another session of the same user, and by somebody else.
        (&elsewhere, &token, &own),
        (&bob, &token, &own),
        (&bob, &his_token, &own),
        // Of another token or device than the session's.
        (&session, &token, &request(&elsewhere, &laptop)),
        (&session, &token, &request(&session, &phone)),
        // With a storage token of another wallet, or of nobody.
        (&session, &his_token, &own),
        (&session, &json!("e30.e30.e30"), &own),
        (&session, &json!(session.access), &own),
    ] {
        sealed(&bench, caller, token, request).await.is(403, "storage_token_refused");
    }
    bench.finish().await;
}

pub(crate) async fn a_signature_leaves_a_storage_token_for_the_next() {
    let mut bench = Bench::start().await;
    bench.register(ADA).await;
    let app = bench.app.clone();
    let device = Device::new();
    let session = bench.login(ADA, &device).await;
    let begun = begin(&bench, &app, &session, &device, "sign").await.json();
    let sign = sealed_request(&session, &device, Method::Sign);
    let mut token = begun["storage_token"].clone();
    for _ in 0..3 {
        let answer = sealed(&bench, &session, &token, &sign).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let next = answer.json()["storage_token"].clone();
        bench.secret(next.as_str().expect("a token for the next signature"));
        assert_ne!(next, token);
        token = next;
    }
    // For the same operation only, and no other operation leaves one.
    let status = sealed_request(&session, &device, Method::Status);
    sealed(&bench, &session, &token, &status).await.is(403, "storage_token_refused");
    let begun = begin(&bench, &app, &session, &device, "status").await.json();
    let answer = sealed(&bench, &session, &begun["storage_token"], &status).await;
    assert_eq!((answer.status, answer.json().get("storage_token")), (200, None));
    // What was refused in clear leaves none.
    bench.enclave.feel(Mood::Refuse(Refusal::DeviceInvalid));
    let refused = sealed(&bench, &session, &token, &sign).await;
    assert!(!refused.text.contains("storage_token"), "{}", refused.text);
    bench.finish().await;
}

/// Somebody logged in who has begun a signature, under these limits.
struct Signer {
    bench: Bench,
    device: Device,
    session: Session,
    begun: Value,
    /// The sealed request.
    sign: String,
}

async fn signer(limit: impl FnOnce(&mut Limits)) -> Signer {
    let mut bench = Bench::with(limit).await;
    bench.register(ADA).await;
    let device = Device::new();
    let session = bench.login(ADA, &device).await;
    let begun = begin(&bench, &bench.app, &session, &device, "sign").await.json();
    let sign = sealed_request(&session, &device, Method::Sign);
    Signer { bench, device, session, begun, sign }
}

pub(crate) async fn storage_tokens_after_signatures_are_counted_like_begins() {
    let Signer { bench, device, session, begun, sign } = signer(|limits| limits.requests_per_user_per_minute = 4).await;
    let app = bench.app.clone();
    let mut tokens = vec![begun["storage_token"].clone()];
    while tokens.len() < 10 {
        let answer = sealed(&bench, &session, tokens.last().unwrap(), &sign).await;
        assert_eq!(answer.status, 200, "what was carried out is answered: {}", answer.text);
        match answer.json().get("storage_token") {
            Some(token) => tokens.push(token.clone()),
            None => break,
        }
    }
    assert!((2..=5).contains(&tokens.len()), "{}", tokens.len());
    begin(&bench, &app, &session, &device, "sign").await.is(429, "rate_limited");
}

pub(crate) async fn operations_that_write_are_counted_for_a_day() {
    let Signer { bench, device, session, begun, sign } =
        signer(|limits| limits.writing_operations_per_user_per_day = 3).await;
    let app = bench.app.clone();
    let first = sealed(&bench, &session, &begun["storage_token"], &sign).await.json();
    let second = sealed(&bench, &session, &first["storage_token"], &sign).await.json();
    let third = sealed(&bench, &session, &second["storage_token"], &sign).await;
    assert_eq!(third.status, 200, "what was begun is carried out: {}", third.text);
    assert!(third.json().get("storage_token").is_none());
    let refused = begin(&bench, &app, &session, &device, "sign").await;
    refused.is(429, "rate_limited");
    assert_eq!(refused.headers["retry-after"], "28800", "a third of a day");
    assert_eq!(begin(&bench, &app, &session, &device, "status").await.status, 200, "what only reads goes on");
    bench.clock.advance(28_800);
    let session = bench.login(ADA, &device).await;
    assert_eq!(begin(&bench, &app, &session, &device, "sign").await.status, 200);
    bench.finish().await;
}

pub(crate) async fn the_log_shows_everybody_their_own_wallet_and_the_deployments_events() {
    let mut bench = Bench::start().await;
    let bob = "bob@example.test";
    bench.register(ADA).await;
    bench.register(bob).await;
    let (app, other) = (bench.app.clone(), bench.another_app());
    let (device, bobs) = (Device::new(), Device::new());
    let session = bench.login(ADA, &device).await;
    let get = async |path: &str| bench.call("GET", path).by(&session, &device).send().await;
    get("/v1/wallet/history?size=40").await.is(409, "wallet_not_created");
    begin(&bench, &app, &session, &device, "status").await;

    let page = get("/v1/wallet/history?size=40&limit=4").await.json();
    let hers = hex::encode(bench.enclave.wallet_of(&session.user).0);
    let shown = |index: u8| json!({"index": index, "entry": hers, "proof": [hex::encode([index; 32])]});
    assert_eq!(page, json!({"items": [shown(9), shown(8), shown(7), shown(6)], "next_cursor": "5"}));
    let rest = get("/v1/wallet/history?size=40&cursor=5").await.json();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (6, &json!(null)));
    // Nobody names a wallet: it is the caller's, whatever else is sent.
    let his = bench.login(bob, &bobs).await;
    begin(&bench, &app, &his, &bobs, "status").await;
    let answer = bench.call("GET", &format!("/v1/wallet/history?size=40&wallet={hers}")).by(&his, &bobs).send().await;
    assert_eq!(answer.json()["items"][0]["entry"], hex::encode(bench.enclave.wallet_of(&his.user).0));
    let events = get("/v1/log/events?size=40&limit=1").await.json();
    assert_eq!((&events["items"][0]["entry"], &events["next_cursor"]), (&json!(hex::encode("boot")), &json!("8")));

    for path in ["/v1/wallet/history", "/v1/log/events"] {
        for query in [
            "",
            "?size=41",
            "?size=-1",
            "?size=x",
            "?size=40&limit=0",
            "?size=40&limit=33",
            "?size=40&cursor=10",
            "?size=40&cursor=-1",
            "?size=40&cursor=99999999999999999999",
        ] {
            get(&format!("{path}{query}")).await.is(400, "invalid_parameter");
        }
        bench.get(&format!("{path}?size=40")).await.is(401, "token_missing");
        bench.enclave.feel(Mood::Fault);
        get(&format!("{path}?size=40")).await.is(500, "internal");
        bench.enclave.feel(Mood::Serve);
    }
    // An app the user has not let in sees nothing of the wallet.
    let confirm = sealed_request(&session, &device, Method::RegisterConfirm);
    let begun = begin(&bench, &app, &session, &device, "register_confirm").await.json();
    assert_eq!(sealed(&bench, &session, &begun["storage_token"], &confirm).await.status, 200);
    let elsewhere = bench.login_to(&other, ADA, crate::bench::PASSWORD, &device).await.session(&bench);
    let answer = bench.call("GET", "/v1/wallet/history?size=40").app(&other).by(&elsewhere, &device).send().await;
    answer.is(403, "app_not_registered");
    bench.finish().await;
}

pub(crate) async fn an_interrupted_request_is_not_called_harmless() {
    let mut bench = Bench::start().await;
    bench.register(ADA).await;
    let app = bench.app.clone();
    let device = Device::new();
    let session = bench.login(ADA, &device).await;
    let begun = begin(&bench, &app, &session, &device, "sign").await.json();
    bench.enclave.feel(Mood::Interrupted);
    let request = sealed_request(&session, &device, Method::Sign);
    let answer = sealed(&bench, &session, &begun["storage_token"], &request).await;
    answer.is(503, "outcome_unknown");
    assert_eq!((&answer.json()["retryable"], answer.headers["retry-after"].as_str()), (&json!(true), "1"));
    assert!(!answer.text.contains("gone"), "causes stay in the log");
    bench.finish().await;
}

pub(crate) async fn a_missing_enclave_is_a_service_problem() {
    let bench = Bench::start().await;
    let evidence = async || bench.get(&format!("/v1/evidence?nonce={}", "ab".repeat(32))).await;
    let answer = evidence().await.json();
    assert_eq!(answer["document"], "ab".repeat(32));
    assert_eq!(answer["manifest"], hex::encode(cbor::to_vec(&bench.enclave.manifest())));
    let status = bench.get("/v1/status").await.json();
    assert_eq!((&status["anchor_level"], &status["checkpoint"]["sequence"]), (&json!("L1"), &json!(4)));
    let anchor =
        json!({ "level": "L1", "floor": "L1", "tpm": null, "witnesses": null, "age_seconds": 3, "restores": 2 });
    assert_eq!(status["anchor"], anchor);
    assert_eq!(bench.get("/readyz").await.json()["anchor"], anchor);
    assert_eq!(status["development"], true);
    bench.clock.advance(7);
    assert_eq!(bench.get("/v1/status").await.json()["uptime_seconds"], 7);
    bench.enclave.feel(Mood::Away);
    let away = evidence().await;
    away.is(503, "enclave_unavailable");
    assert_eq!((&away.json()["retryable"], away.headers["retry-after"].as_str()), (&json!(true), "1"));
    bench.get("/v1/status").await.is(503, "enclave_unavailable");
    assert_eq!(bench.get("/readyz").await.status, 503);
    bench.enclave.feel(Mood::Fault);
    let fault = evidence().await;
    fault.is(500, "internal");
    assert!(!fault.text.contains("broken"), "causes stay in the log");
    assert!(crate::bench::logs().contains("broken"));
    assert!(bench.clock.now().0 > 0);
    bench.finish().await;
}
