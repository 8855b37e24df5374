//! Sign-up, verification, login, reset.

use std::sync::Arc;

use pinseal_protocol::ids::Hash32;
use pinseal_server::Clock as _;
use pinseal_store::accounts::{Accounts as _, Code, CodeMac, CodePurpose, MailDue, PasswordReset};
use serde_json::json;

use crate::bench::{Answer, Bench, Device, PASSWORD};

/// Ends a test that would otherwise wait for ever; nothing that passes comes near it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

const ADA: &str = "ada@example.test";
const NOBODY: &str = "nobody@example.test";
const IN_FLIGHT: &str = "pinseal_http_requests_in_flight";
const HASHED: &str = "pinseal_passwords_hashed_total";

pub(crate) async fn a_user_signs_up_verifies_and_logs_in() {
    let mut bench = Bench::start().await;
    let device = Device::new();
    bench.login_to(&bench.app.clone(), ADA, PASSWORD, &device).await.is(401, "login_failed");
    bench
        .post("/v1/login/email/sign-up", json!({"email": " Ada@Example.TEST", "password": PASSWORD, "locale": "en"}))
        .await;
    let mail = bench.mail().await;
    assert_eq!(mail.to, ADA);
    bench.login_to(&bench.app.clone(), ADA, PASSWORD, &device).await.is(401, "login_failed");
    let code = mail.code().unwrap();
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    let verified = bench.post("/v1/login/email/verify", json!({"email": ADA, "code": spaced})).await;
    assert_eq!(verified.status, 200);
    let again = bench.post("/v1/login/email/verify", json!({"email": ADA, "code": code})).await;
    again.is(400, "code_invalid");

    let session = bench.login("ADA@example.test", &device).await;
    assert_eq!(session.status, "pin_required");
    let me = bench.call("GET", "/v1/me").by(&session, &device).send().await.json();
    assert_eq!(me["user_id"], session.user);
    assert_eq!(me["email"], ADA);
    assert_eq!((&me["login_status"], &me["wallet_id"]), (&json!("pin_required"), &json!(null)));
    bench.login_to(&bench.app.clone(), ADA, "correct-horse-8", &device).await.is(401, "login_failed");
    // The same person on another device is the same user.
    assert_eq!(bench.login(ADA, &Device::new()).await.user, session.user);
    bench.finish().await;
}

pub(crate) async fn known_and_unknown_addresses_get_the_same_answers() {
    let mut bench = Bench::start().await;
    bench.register(ADA).await;
    // Verified, unverified and unknown.
    bench.post("/v1/login/email/sign-up", json!({"email": "eve@example.test", "password": PASSWORD})).await;
    bench.code().await;
    bench.clock.advance(61);
    let device = Device::new();
    let paths = [
        ("resend", json!({})),
        ("reset-request", json!({})),
        ("verify", json!({"code": "000000"})),
        ("reset", json!({"code": "000000", "new_password": "another-pass-1"})),
        ("sign-up", json!({"password": "yet-another-1"})),
        ("sign-up", json!({"password": "short"})),
        ("verify", json!({"code": "12345"})),
    ];
    for (n, (path, more)) in paths.into_iter().enumerate() {
        // A stranger to every step, so that no earlier one has left a trace of the address.
        let nobody = format!("nobody{n}@example.test");
        let mut shapes = Vec::new();
        for email in [ADA, "eve@example.test", &nobody] {
            let mut body = more.clone();
            body["email"] = json!(email);
            let (written, hashed) = (bench.written(), bench.metric(HASHED).await);
            let shape = bench.post(&format!("/v1/login/email/{path}"), body).await.shape();
            // The work is the same too: as many passwords hashed, and something written or not.
            shapes.push((shape, bench.written() > written, bench.metric(HASHED).await - hashed));
        }
        assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{path}: {shapes:#?}");
    }
    let mut shapes = Vec::new();
    for email in [ADA, "eve@example.test", NOBODY] {
        let (written, hashed) = (bench.written(), bench.metric(HASHED).await);
        let shape = bench.login_to(&bench.app.clone(), email, "wrong-pass-1", &device).await.shape();
        shapes.push((shape, bench.written() > written, bench.metric(HASHED).await - hashed));
        assert_eq!(shapes.last().unwrap().2, 1.0);
    }
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:#?}");
    // Mail went to those it concerns: a second verification code, a reset code, and the code of the one new sign-up.
    let to = [bench.mail().await.to, bench.mail().await.to, bench.mail().await.to];
    assert_eq!(to, ["eve@example.test", ADA, "nobody4@example.test"]);
    bench.clock.advance(61);
    bench.post("/v1/login/email/sign-up", json!({"email": ADA, "password": "yet-another-1"})).await;
    let note = bench.mail().await;
    assert!(note.to == ADA && note.text.contains("already has an account"));
    // Nobody took over the account: its own password still logs in.
    bench.login(ADA, &device).await;
    bench.finish().await;
}

pub(crate) async fn a_code_dies_after_three_wrong_answers() {
    let mut bench = Bench::start().await;
    bench.post("/v1/login/email/sign-up", json!({"email": ADA, "password": PASSWORD})).await;
    let code = bench.code().await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..2 {
        bench.post("/v1/login/email/verify", json!({"email": ADA, "code": wrong})).await.is(400, "code_invalid");
    }
    // A reset code is another code, and longer; a wrong answer to it costs this one nothing.
    let reset = json!({"email": ADA, "code": format!("{code}00"), "new_password": "new-pass-99"});
    bench.post("/v1/login/email/reset", reset).await.is(400, "code_invalid");
    bench.post("/v1/login/email/verify", json!({"email": ADA, "code": wrong})).await.is(400, "code_invalid");
    bench.post("/v1/login/email/verify", json!({"email": ADA, "code": code})).await.is(400, "code_invalid");
    bench.clock.advance(60);
    bench.post("/v1/login/email/resend", json!({"email": ADA})).await;
    let code = bench.code().await;
    assert_eq!(bench.post("/v1/login/email/verify", json!({"email": ADA, "code": code})).await.status, 200);
    bench.finish().await;
}

pub(crate) async fn a_code_dies_after_five_minutes() {
    let mut bench = Bench::start().await;
    bench.post("/v1/login/email/sign-up", json!({"email": ADA, "password": PASSWORD})).await;
    let code = bench.code().await;
    bench.clock.advance(300);
    bench.post("/v1/login/email/verify", json!({"email": ADA, "code": code})).await.is(400, "code_invalid");
    bench.post("/v1/login/email/resend", json!({"email": ADA})).await;
    let code = bench.code().await;
    bench.clock.advance(299);
    assert_eq!(bench.post("/v1/login/email/verify", json!({"email": ADA, "code": code})).await.status, 200);
    bench.finish().await;
}

pub(crate) async fn codes_are_mailed_at_most_once_a_minute_and_ten_a_day() {
    let mut bench = Bench::start().await;
    bench.post("/v1/login/email/sign-up", json!({"email": ADA, "password": PASSWORD})).await;
    bench.code().await;
    bench.clock.advance(59);
    assert_eq!(bench.post("/v1/login/email/resend", json!({"email": ADA})).await.status, 202);
    bench.clock.advance(1);
    let mut codes = 1.0;
    for _ in 0..12 {
        assert_eq!(bench.post("/v1/login/email/resend", json!({"email": ADA})).await.status, 202);
        bench.clock.advance(60);
    }
    // The mails keep their order, so a mail to somebody else ends the count.
    bench.post("/v1/login/email/sign-up", json!({"email": "end@example.test", "password": PASSWORD})).await;
    while bench.mail().await.to == ADA {
        codes += 1.0;
    }
    // Those that a newer one made void before they were sent.
    codes += bench.metric(r#"pinseal_mails_total{outcome="void"}"#).await;
    assert_eq!(codes, 10.0);
    assert!(bench.mails.is_empty());
    bench.clock.advance(86_400);
    bench.post("/v1/login/email/resend", json!({"email": ADA})).await;
    assert_eq!(bench.mail().await.to, ADA);
    bench.finish().await;
}

pub(crate) async fn a_second_sign_up_cannot_plant_a_password() {
    let mut bench = Bench::start().await;
    let device = Device::new();
    bench.post("/v1/login/email/sign-up", json!({"email": ADA, "password": PASSWORD})).await;
    bench.code().await;
    bench.clock.advance(61);
    // Somebody else, while Ada looks for her mail.
    bench.post("/v1/login/email/sign-up", json!({"email": ADA, "password": "planted-pass-1"})).await;
    let code = bench.code().await;
    let verified = bench.post("/v1/login/email/verify", json!({"email": ADA, "code": code})).await;
    assert_eq!(verified.text, r#"{"reset_required":true}"#);
    for password in [PASSWORD, "planted-pass-1"] {
        bench.login_to(&bench.app.clone(), ADA, password, &device).await.is(401, "login_failed");
    }
    bench.post("/v1/login/email/reset-request", json!({"email": ADA})).await;
    let code = bench.code().await;
    let reset = json!({"email": ADA, "code": code, "new_password": PASSWORD});
    assert_eq!(bench.post("/v1/login/email/reset", reset).await.status, 200);
    bench.login(ADA, &device).await;

    // The same password twice is one sign-up, also after the code has died.
    let bob = "bob@example.test";
    for _ in 0..2 {
        bench.clock.advance(61);
        bench.post("/v1/login/email/sign-up", json!({"email": bob, "password": PASSWORD})).await;
    }
    // The note about Ada's reset, then two codes for Bob.
    let to = [bench.mail().await.to, bench.mail().await.to, bench.mail().await.to];
    assert_eq!(to, [ADA, bob, bob]);
    bench.clock.advance(301);
    bench.post("/v1/login/email/sign-up", json!({"email": bob, "password": PASSWORD})).await;
    let code = bench.code().await;
    let verified = bench.post("/v1/login/email/verify", json!({"email": bob, "code": code})).await;
    assert_eq!(verified.text, r#"{"reset_required":false}"#);
    bench.login(bob, &device).await;
    bench.finish().await;
}

pub(crate) async fn a_dead_code_lets_nobody_plant_a_password() {
    for is_expired in [false, true] {
        let mut bench = Bench::start().await;
        bench.post("/v1/login/email/sign-up", json!({"email": ADA, "password": PASSWORD})).await;
        let code = bench.code().await;
        if is_expired {
            bench.clock.advance(301);
        } else {
            let wrong = if code == "000000" { "000001" } else { "000000" };
            for _ in 0..3 {
                bench.post("/v1/login/email/verify", json!({"email": ADA, "code": wrong})).await;
            }
            bench.clock.advance(61);
        }
        bench.post("/v1/login/email/verify", json!({"email": ADA, "code": code})).await.is(400, "code_invalid");
        // Somebody else signs up now; Ada has another code sent and types it.
        bench.post("/v1/login/email/sign-up", json!({"email": ADA, "password": "planted-pass-1"})).await;
        bench.code().await;
        bench.clock.advance(61);
        bench.post("/v1/login/email/resend", json!({"email": ADA})).await;
        let code = bench.code().await;
        let verified = bench.post("/v1/login/email/verify", json!({"email": ADA, "code": code})).await;
        assert_eq!(verified.text, r#"{"reset_required":true}"#);
        let device = Device::new();
        for password in [PASSWORD, "planted-pass-1"] {
            bench.login_to(&bench.app.clone(), ADA, password, &device).await.is(401, "login_failed");
        }
        bench.finish().await;
    }
}

pub(crate) async fn a_reset_sets_the_password_and_closes_every_session() {
    let mut bench = Bench::start().await;
    let device = Device::new();
    bench.register(ADA).await;
    let session = bench.login(ADA, &device).await;
    bench.post("/v1/login/email/reset-request", json!({"email": ADA})).await;
    let code = bench.code().await;
    assert_eq!(code.len(), 8, "guesses at many accounts add up");
    let new = "brand-new-pass-2";
    bench.secret(new);
    let reset = json!({"email": ADA, "code": code, "new_password": new});
    assert!(bench.db.is_device_known(ADA, &device.id()).unwrap());
    assert_eq!(bench.post("/v1/login/email/reset", reset.clone()).await.status, 200);
    assert!(!bench.db.is_device_known(ADA, &device.id()).unwrap(), "it may be a thief's");
    bench.post("/v1/login/email/reset", reset).await.is(400, "code_invalid");
    assert!(bench.mail().await.text.contains("was changed"));
    bench.call("GET", "/v1/me").by(&session, &device).send().await.is(401, "session_revoked");
    bench
        .call("POST", "/v1/session/refresh")
        .json(&json!({"refresh_token": session.refresh}))
        .proof(&device, None)
        .send()
        .await
        .is(401, "refresh_invalid");
    bench.login_to(&bench.app.clone(), ADA, PASSWORD, &device).await.is(401, "login_failed");
    bench.login_to(&bench.app.clone(), ADA, new, &device).await.session(&bench);
    bench.finish().await;
}

/// The login has read the old hash and waits for its turn to be compared while the reset is done.
pub(crate) async fn a_login_that_a_reset_overtook_opens_no_session() {
    const AHEAD: u32 = 12;
    let mut bench = Bench::with(|limits| limits.passwords_at_once = 1).await;
    bench.register(ADA).await;
    let mac = CodeMac { address: Hash32([1; 32]), mac: Hash32([2; 32]) };
    let code = Code { purpose: CodePurpose::Reset, mac, now: bench.clock.now() };
    assert_eq!(bench.db.issue_code(ADA, code).unwrap(), MailDue::Code);
    let bench = Arc::new(bench);
    let begun = bench.metric(HASHED).await;
    let ahead = (0..AHEAD).map(|n| {
        let bench = Arc::clone(&bench);
        let body = json!({"email": format!("ahead{n}@example.test"), "password": PASSWORD});
        tokio::spawn(async move { bench.post("/v1/login/email/sign-up", body).await })
    });
    let ahead: Vec<_> = ahead.collect();
    let queued = async |count: u32| {
        while bench.metric(HASHED).await + bench.metric("pinseal_password_queue").await < begun + f64::from(count) {}
    };
    queued(AHEAD).await;
    let device = Device::new();
    let app = bench.app.clone();
    let reset = async {
        queued(AHEAD + 1).await;
        let (email, password_hash, now) = (ADA.into(), "another".into(), bench.clock.now());
        let reset = PasswordReset { email, code: mac, password_hash, device: None, now };
        assert!(bench.db.reset_password(reset).unwrap());
        assert!(bench.metric(HASHED).await < begun + f64::from(AHEAD), "the login was still waiting");
    };
    let (login, ()) = tokio::join!(bench.login_to(&app, ADA, PASSWORD, &device), reset);
    login.is(401, "login_failed");
    for one in ahead {
        assert_eq!(one.await.unwrap().status, 202);
    }
    Arc::into_inner(bench).unwrap().finish().await;
}

pub(crate) async fn addresses_and_passwords_have_a_form() {
    let bench = Bench::start().await;
    for email in ["", "ada", "ada@", "a b@example.test", "ada@127.0.0.1", "ada@example.test\r\nBcc: x@example.test"] {
        bench
            .post("/v1/login/email/sign-up", json!({"email": email, "password": PASSWORD}))
            .await
            .is(400, "email_invalid");
    }
    for password in ["short-1", "no-digit-here", "1234567890", &"a1".repeat(65)] {
        bench
            .post("/v1/login/email/sign-up", json!({"email": ADA, "password": password}))
            .await
            .is(400, "password_rejected");
    }
    for password in ["password1", "Password1", "qwerty123", "abcd1234", &format!("{}7", ADA)] {
        let signed_up = bench.post("/v1/login/email/sign-up", json!({"email": ADA, "password": password})).await;
        signed_up.is(400, "password_common");
        let reset = json!({"email": ADA, "code": "12345678", "new_password": password});
        bench.post("/v1/login/email/reset", reset).await.is(400, "password_common");
    }
    let device = Device::new();
    // A login says nothing about forms: what could not be an account simply is none.
    bench.login_to(&bench.app.clone(), "not an address", PASSWORD, &device).await.is(401, "login_failed");
    bench.login_to(&bench.app.clone(), ADA, &"x".repeat(5_000), &device).await.is(401, "login_failed");
    bench.finish().await;
}

pub(crate) async fn mail_is_sent_off_the_request_path() {
    // A mail server that takes connections and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", silent.local_addr().unwrap());
    let bench = Bench::configured(|config| {
        config.mail.smtp_url = url.into();
        config.limits.mails_waiting_max = 1;
    })
    .await;
    for n in 0..5 {
        let body = json!({"email": format!("user{n}@example.test"), "password": PASSWORD});
        assert_eq!(bench.post("/v1/login/email/sign-up", body).await.status, 202);
    }
    // One is being sent, one waits, at most; the others were dropped and counted.
    assert!(bench.metric(r#"pinseal_mails_total{outcome="dropped"}"#).await >= 3.0);
    bench.finish().await;
}

pub(crate) async fn a_code_that_found_no_place_is_mailed_when_it_is_asked_for_again() {
    // On the way to the mail server: the first connection hears nothing until it is let go, those after it get through.
    let way = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", way.local_addr().unwrap());
    let mut bench = Bench::configured(|config| {
        config.mail.smtp_url = url.into();
        config.limits.mails_waiting_max = 1;
    })
    .await;
    let sign_up = async |name: &str| {
        let body = json!({"email": format!("{name}@example.test"), "password": PASSWORD});
        assert_eq!(bench.post("/v1/login/email/sign-up", body).await.status, 202);
    };
    sign_up("first").await;
    let held = way.accept().await.unwrap();
    sign_up("second").await;
    sign_up("third").await;
    assert!(bench.metric(r#"pinseal_mails_total{outcome="dropped"}"#).await >= 1.0);
    let server = bench.mails.url().trim_start_matches("smtp://").to_owned();
    tokio::spawn(async move {
        drop(held);
        while let Ok((mut near, _)) = way.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(server).await.unwrap();
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    // Within the same minute, by the clock; what was dropped is taken back in its own time.
    let mailed = async {
        loop {
            bench.post("/v1/login/email/resend", json!({"email": "third@example.test"})).await;
            while !bench.mails.is_empty() {
                if bench.mails.next().await.unwrap().to == "third@example.test" {
                    return;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, mailed).await.expect("it may be asked for again at once");
    bench.finish().await;
}

pub(crate) async fn an_address_that_takes_no_mail_delays_nobody_elses() {
    let mut bench = Bench::start().await;
    let later = "later@example.test";
    for email in [later, ADA] {
        let body = json!({"email": email, "password": PASSWORD});
        assert_eq!(bench.post("/v1/login/email/sign-up", body).await.status, 202);
    }
    let first = bench.mail().await;
    assert_eq!((first.to.as_str(), first.text.as_str()), (later, ""), "told to come back later");
    assert_eq!(bench.mail().await.to, ADA, "before the second try");
    bench.finish().await;
}

/// They hang up while the new password is being written.
pub(crate) async fn whoever_hangs_up_keeps_no_owner_from_being_told() {
    let mut bench = Bench::start().await;
    bench.register(ADA).await;
    bench.post("/v1/login/email/reset-request", json!({"email": ADA})).await;
    let code = bench.code().await;
    let held = bench.db.hold_writes();
    let reset = json!({"email": ADA, "code": code, "new_password": "stolen-pass-1"});
    tokio::select! {
        _ = bench.post("/v1/login/email/reset", reset) => panic!("the write is held up"),
        () = async { while bench.db.writes_waiting() == 0 { tokio::task::yield_now().await } } => {}
    }
    while bench.metric(IN_FLIGHT).await > 1.0 {}
    drop(held);
    assert!(bench.mail().await.text.contains("was changed"));
    bench.finish().await;
}

/// A bench behind a proxy, so that requests can come from any address.
async fn throttling() -> Bench {
    Bench::configured(|config| {
        config.trusted_proxies = 1;
        config.limits.logins_per_account_per_quarter = 5;
        config.limits.logins_per_account_anywhere_per_quarter = 8;
    })
    .await
}

async fn login_from(bench: &Bench, address: &str, email: &str, password: &str, device: &Device) -> Answer {
    bench
        .call("POST", "/v1/login/email")
        .header("x-forwarded-for", address)
        .json(&json!({"email": email, "password": password, "device_jwk": device.jwk()}))
        .proof(device, None)
        .send()
        .await
}

pub(crate) async fn accounts_are_throttled_known_or_not() {
    let mut bench = throttling().await;
    let device = Device::new();
    bench.register(ADA).await;
    let home = "198.51.100.1";
    for email in [ADA, NOBODY] {
        for _ in 0..5 {
            login_from(&bench, home, email, "wrong-pass-1", &device).await.is(401, "login_failed");
        }
    }
    let known = login_from(&bench, home, ADA, PASSWORD, &device).await;
    known.is(429, "rate_limited");
    let unknown = login_from(&bench, home, NOBODY, PASSWORD, &device).await;
    assert_eq!(known.shape(), unknown.shape());
    assert_eq!(known.json()["retry_after_seconds"], 180);
    // Another spelling is the same account.
    login_from(&bench, home, "Ada@EXAMPLE.test", PASSWORD, &device).await.is(429, "rate_limited");
    bench.clock.advance(180);
    assert_eq!(login_from(&bench, home, ADA, PASSWORD, &device).await.status, 200);
    bench.finish().await;
}

pub(crate) async fn strangers_do_not_keep_an_owner_out() {
    let mut bench = throttling().await;
    let (phone, laptop, stranger) = (Device::new(), Device::new(), Device::new());
    let (home, theirs) = ("198.51.100.1", "203.0.113.9");
    bench.register(ADA).await;
    assert_eq!(login_from(&bench, home, ADA, PASSWORD, &phone).await.status, 200);
    for _ in 0..5 {
        login_from(&bench, theirs, ADA, "wrong-pass-1", &stranger).await.is(401, "login_failed");
    }
    login_from(&bench, theirs, ADA, "wrong-pass-1", &stranger).await.is(429, "rate_limited");
    // Nobody else is held up by that, nor is another step.
    assert_eq!(login_from(&bench, home, ADA, PASSWORD, &laptop).await.status, 200);
    let reset = bench.call("POST", "/v1/login/email/reset-request").header("x-forwarded-for", theirs);
    assert_eq!(reset.json(&json!({"email": ADA})).send().await.status, 202);
    bench.code().await;
    // From many networks they come to the larger bound. It holds for new devices everywhere, and not for Ada's own.
    login_from(&bench, "198.18.0.10", ADA, "wrong-pass-1", &stranger).await.is(401, "login_failed");
    login_from(&bench, "198.18.1.11", ADA, "wrong-pass-1", &stranger).await.is(429, "rate_limited");
    login_from(&bench, home, ADA, PASSWORD, &Device::new()).await.is(429, "rate_limited");
    for _ in 0..4 {
        login_from(&bench, home, ADA, "wrong-pass-1", &phone).await.is(401, "login_failed");
    }
    assert_eq!(login_from(&bench, home, ADA, PASSWORD, &phone).await.status, 200);
    // It has a bound of its own: it may be a thief who holds it.
    login_from(&bench, home, ADA, PASSWORD, &phone).await.is(429, "rate_limited");
    assert_eq!(login_from(&bench, home, ADA, PASSWORD, &laptop).await.status, 200);
    // Of another account it knows nothing.
    bench.register("bob@example.test").await;
    for _ in 0..5 {
        login_from(&bench, theirs, "bob@example.test", "wrong-pass-1", &stranger).await.is(401, "login_failed");
    }
    login_from(&bench, theirs, "bob@example.test", PASSWORD, &phone).await.is(429, "rate_limited");
    bench.finish().await;
}

/// However many addresses it has. Four networks together are the bound.
pub(crate) async fn one_network_leaves_tries_to_all_others() {
    let mut bench = Bench::configured(|config| {
        config.trusted_proxies = 1;
        config.limits.logins_per_account_per_quarter = 2;
        config.limits.logins_per_account_anywhere_per_quarter = 16;
    })
    .await;
    bench.register(ADA).await;
    let (home, stranger) = ("198.51.100.1", Device::new());
    let site = |number: u8| format!("2001:db8:1:{number:x}::1");
    let net = |third: u8| move |number: u8| format!("198.18.{third}.{number}");
    let served = async |address: &dyn Fn(u8) -> String| {
        let mut served = 0;
        for number in 0..12 {
            let answer = login_from(&bench, &address(number), ADA, "wrong-pass-1", &stranger).await;
            served += u32::from(answer.status == 401);
        }
        served
    };
    for _ in 0..2 {
        assert_eq!((served(&site).await, served(&net(1)).await), (4, 4));
        assert_eq!(login_from(&bench, home, ADA, PASSWORD, &Device::new()).await.status, 200);
        bench.clock.advance(900);
    }
    assert_eq!(served(&site).await, 4);
    for third in 1..4 {
        assert_eq!(served(&net(third)).await, 4);
    }
    login_from(&bench, home, ADA, PASSWORD, &Device::new()).await.is(429, "rate_limited");
    bench.finish().await;
}

pub(crate) async fn strangers_do_not_keep_the_device_of_a_reset_out() {
    let mut bench = throttling().await;
    let (phone, laptop, stranger) = (Device::new(), Device::new(), Device::new());
    let home = "198.51.100.1";
    bench.register(ADA).await;
    for device in [&phone, &laptop] {
        assert_eq!(login_from(&bench, home, ADA, PASSWORD, device).await.status, 200);
    }
    for address in ["203.0.113.9", "198.18.0.9"] {
        for _ in 0..5 {
            login_from(&bench, address, ADA, "wrong-pass-1", &stranger).await;
        }
    }
    login_from(&bench, home, ADA, PASSWORD, &Device::new()).await.is(429, "rate_limited");

    bench.post("/v1/login/email/reset-request", json!({"email": ADA})).await;
    let code = bench.code().await;
    let wrong = if code == "00000000" { "00000001" } else { "00000000" };
    let new = "brand-new-pass-2";
    bench.secret(new);
    let reset = async |code: &str, device: serde_json::Value| {
        let body = json!({"email": ADA, "code": code, "new_password": new, "device_jwk": device});
        bench.post("/v1/login/email/reset", body).await
    };
    reset(wrong, stranger.jwk()).await.is(400, "code_invalid");
    assert!(!bench.db.is_device_known(ADA, &stranger.id()).unwrap());
    let mut other = phone.jwk();
    other["crv"] = "P-384".into();
    reset(&code, other).await.is(400, "invalid_parameter");
    reset(&code, json!(null)).await.is(400, "invalid_json");
    reset(&code, json!(["EC", "P-256"])).await.is(400, "invalid_json");
    assert_eq!(reset(&code, phone.jwk()).await.status, 200);
    assert_eq!(login_from(&bench, home, ADA, new, &phone).await.status, 200);
    // Those of before may be a thief's, who would have tries of their own at the new password on each.
    login_from(&bench, home, ADA, new, &laptop).await.is(429, "rate_limited");
    bench.finish().await;
}
