//! App keys, origins, CORS.

use pinseal_server::Clock as _;
use pinseal_server::{AppError, create_key};
use pinseal_store::accounts::{Accounts as _, Platform};

use crate::bench::{Answer, Bench};

const SHOP: &str = "https://shop.example";
const GAME: &str = "https://game.example:8443";

async fn info(bench: &Bench, app: &str, key: &str, more: &[(&str, &str)]) -> Answer {
    let mut call = bench.call("GET", "/v1/app/info").header("x-pinseal-app-id", app).header("x-pinseal-app-key", key);
    for (name, value) in more {
        call = call.header(name, value);
    }
    call.send().await
}

pub(crate) async fn keys_work_for_their_app_and_origin_only() {
    let bench = Bench::start().await;
    let (shop, game) = (bench.another_app().id, bench.another_app().id);
    let web = |app, origin: &str| bench.key_for(app, Platform::Web(origin.to_owned()));
    let (shop_web, game_web) = (web(&shop, SHOP), web(&game, GAME));
    let android = bench.key_for(&shop, Platform::Android("com.example.shop".into()));
    let ios = bench.key_for(&game, Platform::Ios("com.example.game".into()));
    let server = bench.key_for(&shop, Platform::Server);

    // Every key from every origin: right only on the diagonal, and only there may the page read the answer.
    for (app, key, own) in [(&shop, &shop_web, SHOP), (&game, &game_web, GAME)] {
        let near_misses = [
            "https://shop.example.evil.test",
            "https://evil-shop.example",
            "http://shop.example",
            "https://shop.example:444",
            "https://game.example",
            "https://www.shop.example",
            "null",
            "https://SHOP.example",
            "https://shop.example/",
        ];
        for origin in [SHOP, GAME].into_iter().chain(near_misses) {
            let answer = info(&bench, app.as_str(), key, &[("origin", origin)]).await;
            let allowed = answer.headers.get("access-control-allow-origin");
            if origin == own {
                assert_eq!((answer.status, allowed.map(String::as_str)), (200, Some(own)));
                assert_eq!(answer.json()["app_id"], app.as_str());
                assert!(answer.headers["access-control-expose-headers"].contains("dpop-nonce"));
            } else {
                answer.is(403, "origin_refused");
                assert_eq!(allowed, None, "{origin}");
            }
            assert_eq!(answer.headers["vary"], "origin");
            assert!(!answer.headers.contains_key("access-control-allow-credentials"));
        }
        info(&bench, app.as_str(), key, &[]).await.is(403, "origin_refused");
    }
    // A key of one app under the id of the other; an unknown key; none.
    info(&bench, game.as_str(), &shop_web, &[("origin", SHOP)]).await.is(401, "app_key_invalid");
    info(&bench, shop.as_str(), "pk_web_unknown", &[("origin", SHOP)]).await.is(401, "app_key_invalid");
    bench.call("GET", "/v1/app/info").without("x-pinseal-app-key").send().await.is(401, "app_key_missing");
    bench.call("GET", "/v1/app/info").without("x-pinseal-app-id").send().await.is(401, "app_key_missing");
    bench.call("GET", "/v1/no/such/path").without("x-pinseal-app-id").send().await.is(401, "app_key_missing");

    for (app, key, own) in [(&shop, &android, "com.example.shop"), (&game, &ios, "com.example.game")] {
        assert_eq!(info(&bench, app.as_str(), key, &[("x-pinseal-bundle", own)]).await.status, 200);
        info(&bench, app.as_str(), key, &[("x-pinseal-bundle", "com.example.other")]).await.is(403, "bundle_refused");
        info(&bench, app.as_str(), key, &[]).await.is(403, "bundle_refused");
        let from_page = info(&bench, app.as_str(), key, &[("x-pinseal-bundle", own), ("origin", SHOP)]).await;
        from_page.is(403, "origin_refused");
    }
    assert_eq!(info(&bench, shop.as_str(), &server, &[]).await.status, 200);
    info(&bench, shop.as_str(), &server, &[("origin", SHOP)]).await.is(403, "origin_refused");
    info(&bench, shop.as_str(), &server, &[("x-pinseal-bundle", "com.example.shop")]).await.is(403, "bundle_refused");

    for origin in [
        "https://shop.example/",
        "https://SHOP.example",
        "shop.example",
        "https://shop.example/a",
        "ftp://shop.example",
        "https://shop.example:443",
    ] {
        let refused = create_key(&bench.db, &shop, Platform::Web(origin.into()), bench.clock.now());
        assert!(matches!(refused, Err(AppError::Origin)), "{origin}");
    }
    bench.finish().await;
}

pub(crate) async fn preflights_allow_registered_origins_exactly() {
    let bench = Bench::start().await;
    let app = bench.another_app().id;
    let key = bench.key_for(&app, Platform::Web(SHOP.into()));
    let preflight = async |origin: &str| {
        let call = bench.call("OPTIONS", "/v1/login/email").without("x-pinseal-app-id").without("x-pinseal-app-key");
        call.header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "dpop,content-type")
            .send()
            .await
    };
    let answer = preflight(SHOP).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert_eq!(answer.headers["access-control-allow-origin"], SHOP);
    assert_eq!(answer.headers["access-control-allow-methods"], "GET, POST, DELETE");
    for name in ["authorization", "dpop", "idempotency-key", "x-pinseal-app-id", "x-pinseal-app-key", "content-type"] {
        assert!(answer.headers["access-control-allow-headers"].split(", ").any(|header| header == name), "{name}");
    }
    assert_eq!(answer.headers["vary"], "origin");
    for origin in [GAME, "https://shop.example.evil.test", "http://shop.example", "null", "*"] {
        let answer = preflight(origin).await;
        answer.is(403, "origin_refused");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    bench.call("OPTIONS", "/v1/me").send().await.is(405, "method_not_allowed");
    // A revoked key is no key, and its origin no origin.
    let hash = pinseal_protocol::ids::Hash32(<sha2::Sha256 as sha2::Digest>::digest(key.as_bytes()).into());
    assert!(bench.db.revoke_app_key(&hash, bench.clock.now()).unwrap());
    assert!(!bench.db.revoke_app_key(&hash, bench.clock.now()).unwrap());
    preflight(SHOP).await.is(403, "origin_refused");
    info(&bench, app.as_str(), &key, &[("origin", SHOP)]).await.is(401, "app_key_invalid");
    bench.finish().await;
}
