//! The wallet page: its origin, its headers, its files.

use pinseal_server::{
    AppError, Clock as _, ListedToken, Logo, WalletImage, WalletPage, accent, change_theme, create_key, parse_colour,
    revoke_origin,
};
use pinseal_store::accounts::{Accounts as _, AppId, Change, NewAppKey, Platform};
use serde_json::{Value, json};

use crate::bench::{Answer, Bench};

fn page(bench: &Bench) -> String {
    format!("wallet.localhost:{}", bench.address.port())
}

async fn asked(bench: &Bench, method: &str, path: &str, more: &[(&str, &str)]) -> Answer {
    let request =
        bench.http.request(method.parse().unwrap(), format!("{}{path}", bench.base)).header("host", page(bench));
    let request = more.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Answer::of(request.send().await.unwrap()).await
}

pub(crate) async fn the_wallet_page_has_an_origin_of_its_own() {
    let bench = Bench::start().await;
    let document = asked(&bench, "GET", "/", &[]).await;
    assert_eq!((document.status, document.headers["content-type"].as_str()), (200, "text/html; charset=utf-8"));
    let csp = &document.headers["content-security-policy"];
    for part in [
        "script-src 'self';",
        &format!("connect-src 'self' {};", bench.base),
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'; trusted-types pinseal-worker;",
    ] {
        assert!(csp.contains(part), "{part} in {csp}");
    }
    assert!(!csp.contains("unsafe"), "{csp}");
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(document.headers[name], value, "{name}");
    }
    // WebAssembly is compiled in the worker alone.
    let worker = asked(&bench, "GET", "/assets/worker/argon2-3c4d.js", &[]).await;
    assert!(worker.headers["content-security-policy"].contains("script-src 'self' 'wasm-unsafe-eval';"));

    // The page's origin has no API, and the API's no page.
    for (path, is_api) in
        [("/v1/networks", true), ("/healthz", true), ("/docs/", true), ("/", false), ("/index.html", false)]
    {
        let on_page = asked(&bench, "GET", path, &[]).await;
        assert_eq!(on_page.status == 404, is_api, "{path}");
    }
    for path in ["/", "/index.html", "/settings.json", "/assets/page-1a2b.js"] {
        bench.call("GET", path).send().await.is(404, "not_found");
    }
    asked(&bench, "POST", "/", &[]).await.is(405, "method_not_allowed");
    for path in ["/..%2fissuer.key", "//etc/passwd", "/assets", "/assets/page-1a2b.js.gz", "/.gitignore"] {
        asked(&bench, "GET", path, &[]).await.is(404, "not_found");
    }

    // What its operator lists is told as it is written.
    let listed = Bench::configured(|config| {
        let pcr = |digit: &str| digit.repeat(96);
        config.wallet_images = vec![WalletImage { pcr0: pcr("a"), pcr1: pcr("b"), pcr2: pcr("c") }];
        let contract = format!("0x{}", "70".repeat(20));
        config.tokens = vec![ListedToken { network: "eip155:1".into(), contract, symbol: "TST".into(), decimals: 6 }];
    })
    .await;
    let told = asked(&listed, "GET", "/settings.json", &[]).await.json();
    assert_eq!(told["images"], json!([{ "pcr0": "a".repeat(96), "pcr1": "b".repeat(96), "pcr2": "c".repeat(96) }]));
    let token =
        json!({ "network": "eip155:1", "contract": format!("0x{}", "70".repeat(20)), "symbol": "TST", "decimals": 6 });
    assert_eq!(told["tokens"], json!([token]));
    listed.finish().await;

    // What the page is told makes calls from its origin good, and from no other.
    let settings = asked(&bench, "GET", "/settings.json", &[]).await;
    assert_eq!(settings.headers["cache-control"], "no-cache");
    let Value::Object(told) = settings.json() else { panic!("{}", settings.text) };
    assert_eq!((&told["server"], &told["development"]), (&json!(bench.base), &json!(true)));
    let call = |origin: &str| {
        let bare = bench.call("GET", "/v1/app/info").without("x-pinseal-app-id").without("x-pinseal-app-key");
        let as_app = bare.header("x-pinseal-app-id", told["app_id"].as_str().unwrap());
        as_app.header("x-pinseal-app-key", told["app_key"].as_str().unwrap()).header("origin", origin)
    };
    let own = call(&format!("http://{}", page(&bench))).send().await;
    assert_eq!(
        (own.status, own.headers["access-control-allow-origin"].clone()),
        (200, format!("http://{}", page(&bench)))
    );
    call(&bench.base).send().await.is(403, "origin_refused");
    bench.finish().await;
}

pub(crate) async fn a_page_that_moves_leaves_no_origin_behind() {
    let bench = Bench::start().await;
    let [first, second] = ["https://wallet.example.org", "https://purse.example.org"];
    // Whether pages of that origin may call the API, with the key that a page there was told.
    let is_served = async |origin: &str, key: &str| {
        let bare = |method| bench.call(method, "/v1/app/info").without("x-pinseal-app-id").without("x-pinseal-app-key");
        let preflight = bare("OPTIONS").header("origin", origin).header("access-control-request-method", "GET");
        let called = bare("GET").header("x-pinseal-app-id", "app_wallet").header("x-pinseal-app-key", key);
        let (preflight, called) = (preflight.send().await.status, called.header("origin", origin).send().await.status);
        assert_eq!(preflight == 204, called == 200, "{origin}: {preflight}, {called}");
        called == 200
    };
    let at_first = bench.page_at(Some(first)).await.unwrap();
    assert!(is_served(first, &at_first).await);
    assert!(!is_served(&format!("http://{}", page(&bench)), &at_first).await, "the page of the run before");
    let at_second = bench.page_at(Some(second)).await.unwrap();
    assert_eq!((is_served(first, &at_first).await, is_served(second, &at_second).await), (false, true));

    // It may go back, and has its key of then.
    assert_eq!(bench.page_at(Some(first)).await.unwrap(), at_first);
    assert_eq!((is_served(first, &at_first).await, is_served(second, &at_second).await), (true, false));
    // An operator who takes the origin away has it back with the next start, which does not fail.
    let (app, now) = (AppId::new("app_wallet"), bench.clock.now());
    assert_eq!(revoke_origin(&bench.db, &app, first, now).unwrap(), 1);
    assert!(!is_served(first, &at_first).await);
    assert_eq!(bench.page_at(Some(first)).await.unwrap(), at_first);
    assert!(is_served(first, &at_first).await);

    assert_eq!(bench.page_at(None).await, None);
    assert_eq!((is_served(first, &at_first).await, is_served(second, &at_second).await), (false, false));
    // Nobody else's keys are concerned.
    assert_eq!(bench.get("/v1/app/info").await.status, 200);
    bench.finish().await;
}

pub(crate) async fn an_app_opens_the_page_from_its_own_origins_only() {
    let bench = Bench::start().await;
    let ancestors = |answer: &Answer| {
        let csp = answer.headers["content-security-policy"].clone();
        let (_, sources) = csp.split_once("frame-ancestors ").unwrap();
        sources.to_owned()
    };
    let id = bench.another_app().id;
    let ask = |entry: &str, id: &str| format!("/{entry}?app={id}");
    // An app without pages is none here.
    asked(&bench, "GET", &ask("app.json", id.as_str()), &[]).await.is(404, "app_unknown");
    for origin in ["https://shop.example.org", "http://localhost:5173", "https://shop.example.org"] {
        bench.key_for(&id, Platform::Web(origin.into()));
    }
    bench.key_for(&id, Platform::Android("org.example.shop".into()));

    let frame = asked(&bench, "GET", &ask("frame", id.as_str()), &[]).await;
    let document = asked(&bench, "GET", "/", &[]).await;
    assert_eq!((frame.status, &frame.text), (200, &document.text));
    assert_eq!(ancestors(&frame), "http://localhost:5173 https://shop.example.org");
    assert!(!frame.headers.contains_key("x-frame-options"));
    let popup = asked(&bench, "GET", &ask("popup", id.as_str()), &[]).await;
    assert_eq!((popup.status, ancestors(&popup).as_str()), (200, "'none'"));
    assert_eq!(popup.headers["cross-origin-opener-policy"], "unsafe-none");
    // But for that, all three are the same.
    let strip = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        for name in ["x-request-id", "date", "x-frame-options", "cross-origin-opener-policy"] {
            headers.remove(name);
        }
        headers.retain(|name, _| !name.starts_with("ratelimit"));
        let csp = headers["content-security-policy"].split("frame-ancestors").next().unwrap().to_owned();
        headers.insert("content-security-policy".into(), csp);
        headers
    };
    assert_eq!(strip(&frame), strip(&document));
    assert_eq!(strip(&popup), strip(&document));
    assert_eq!(popup.headers["x-frame-options"], "DENY");

    let told = asked(&bench, "GET", &ask("app.json", id.as_str()), &[]).await;
    let origins = ["http://localhost:5173", "https://shop.example.org"];
    assert_eq!(told.json(), json!({ "app_id": id.as_str(), "name": "Other", "origins": origins }));
    assert!(!told.headers.contains_key("access-control-allow-origin"));
    assert_eq!(told.headers["cross-origin-resource-policy"], "same-origin");

    for wrong in ["app_nobody", "app_wallet", "", "app_%2e", &format!("{}&x=1", id.as_str()), &"a".repeat(65)] {
        asked(&bench, "GET", &ask("app.json", wrong), &[]).await.is(404, "app_unknown");
        for entry in ["frame", "popup"] {
            let page = asked(&bench, "GET", &ask(entry, wrong), &[]).await;
            page.is(404, "app_unknown");
            assert_eq!(page.headers["content-security-policy"], "default-src 'none'; frame-ancestors 'none'");
        }
    }
    asked(&bench, "GET", "/frame", &[]).await.is(404, "app_unknown");
    asked(&bench, "POST", &ask("frame", id.as_str()), &[]).await.is(405, "method_not_allowed");

    // What a policy would read as more than one origin is registered by nobody, and if it were, it would frame nothing.
    let now = bench.clock.now();
    let strange = ["https://*.example.org", "https://*", "https://a;b", "https://a,b", "https://a'b", "data://x"];
    for (number, strange) in (0_u8..).zip(strange) {
        let platform = Platform::Web(strange.into());
        assert!(matches!(create_key(&bench.db, &id, platform.clone(), now), Err(AppError::Origin)), "{strange}");
        let hash = pinseal_protocol::ids::Hash32([number; 32]);
        bench.db.create_app_key(NewAppKey { hash, app: id.clone(), platform: platform.clone(), now }).unwrap();
        let frame = asked(&bench, "GET", &ask("frame", id.as_str()), &[]).await;
        assert_eq!(ancestors(&frame), "http://localhost:5173 https://shop.example.org", "{strange}");
        assert_eq!(bench.db.revoke_bound(&id, platform, now).unwrap(), 1);
    }

    // An origin that is taken away is refused at once, whichever key it had.
    assert_eq!(revoke_origin(&bench.db, &id, "https://shop.example.org", now).unwrap(), 2);
    let frame = asked(&bench, "GET", &ask("frame", id.as_str()), &[]).await;
    assert_eq!(ancestors(&frame), "http://localhost:5173");
    assert_eq!(revoke_origin(&bench.db, &id, "http://localhost:5173", now).unwrap(), 1);
    asked(&bench, "GET", &ask("app.json", id.as_str()), &[]).await.is(404, "app_unknown");

    // The list has an end, and what is on it already is no more of it: a key of a back end and a package are there.
    let origin = |number: usize| Platform::Web(format!("https://s{number}.example.org"));
    for number in 0..14 {
        create_key(&bench.db, &id, origin(number), now).unwrap();
    }
    assert!(matches!(create_key(&bench.db, &id, origin(14), now), Err(AppError::Bindings)));
    create_key(&bench.db, &id, origin(3), now).unwrap();
    let unknown = create_key(&bench.db, &AppId::new("app_nobody"), origin(0), now);
    assert!(matches!(unknown, Err(AppError::Unknown)));
    bench.finish().await;
}

/// A PNG: 32 by 32 white pixels.
const PICTURE: &str = "89504e470d0a1a0a0000000d49484452000000200000002001000000005b0147590000000f4944415478da63f80f040c83970000dae97f8126f2fa630000000049454e44ae426082";

pub(crate) async fn an_app_looks_as_its_operator_says_on_the_page_for_it_alone() {
    let bench = Bench::start().await;
    let (id, other) = (bench.another_app().id, bench.another_app().id);
    for app in [&id, &other] {
        bench.key_for(app, Platform::Web("https://shop.example.org".into()));
    }
    let app = |id: &AppId| format!("/app.json?app={}", id.as_str());
    let logo = |id: &AppId| format!("/logo.png?app={}", id.as_str());
    let plain = asked(&bench, "GET", &app(&id), &[]).await.json();
    assert_eq!((&plain["accent"], &plain["logo"]), (&Value::Null, &Value::Null));
    asked(&bench, "GET", &logo(&id), &[]).await.is(404, "not_found");

    let picture = const_hex::decode(PICTURE).unwrap();
    let green = accent(parse_colour("#0a7d4f").unwrap(), None).unwrap();
    let drawn = Logo::parse(&picture).unwrap();
    change_theme(&bench.db, &id, Some("Shop".into()), Change::Set(green), Change::Set(drawn.clone())).unwrap();
    let told = asked(&bench, "GET", &app(&id), &[]).await.json();
    assert_eq!(told["name"], "Shop");
    assert_eq!(told["accent"], json!({ "light": "#0a7d4f", "dark": green.dark.to_string() }));
    assert_eq!(told["logo"], logo(&id));
    let request = bench.http.get(format!("{}{}", bench.base, logo(&id))).header("host", page(&bench));
    let shown = request.send().await.unwrap();
    for (name, value) in [
        ("content-type", "image/png"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(shown.headers()[name], value, "{name}");
    }
    assert_eq!(shown.bytes().await.unwrap(), drawn.into_bytes());
    asked(&bench, "POST", &logo(&id), &[]).await.is(405, "method_not_allowed");

    let untouched = asked(&bench, "GET", &app(&other), &[]).await.json();
    assert_eq!((&untouched["name"], &untouched["logo"]), (&json!("Other"), &Value::Null));
    asked(&bench, "GET", &logo(&other), &[]).await.is(404, "not_found");
    let unnamed = change_theme(&bench.db, &id, Some("a\u{7}".into()), Change::Keep, Change::Keep);
    assert!(matches!(unnamed, Err(AppError::Name)));
    let unknown = change_theme(&bench.db, &AppId::new("app_nobody"), None, Change::Remove, Change::Remove);
    assert!(matches!(unknown, Err(AppError::Unknown)));
    change_theme(&bench.db, &id, None, Change::Remove, Change::Remove).unwrap();
    asked(&bench, "GET", &logo(&id), &[]).await.is(404, "not_found");

    // An app without pages shows nothing of itself.
    revoke_origin(&bench.db, &id, "https://shop.example.org", bench.clock.now()).unwrap();
    asked(&bench, "GET", &logo(&id), &[]).await.is(404, "app_unknown");
    bench.finish().await;
}

pub(crate) async fn the_wallet_page_is_hashed_packed_and_kept_as_it_is_built() {
    let bench = Bench::start().await;
    let path = "/assets/page-1a2b.js";
    let plain = asked(&bench, "GET", path, &[]).await;
    assert_eq!(plain.headers["cache-control"], "public, max-age=31536000, immutable");
    assert!(plain.text.starts_with("document.title") && !plain.headers.contains_key("content-encoding"));
    let packed = asked(&bench, "GET", path, &[("accept-encoding", "br;q=1, gzip;q=0.8")]).await;
    assert_eq!((packed.headers["content-encoding"].as_str(), packed.text.as_str()), ("gzip", "packed"));
    assert!(!asked(&bench, "GET", "/", &[("accept-encoding", "gzip")]).await.headers.contains_key("content-encoding"));

    let status = bench.get("/v1/status").await.json();
    assert_eq!(status["wallet_page"]["url"], format!("http://{}", page(&bench)));
    // As `sha256sum` over the files says: what is packed does not count.
    let same = |text: &str| {
        let files = [("index.html", "<!doctype html>"), ("assets/a.js", text), ("assets/a.js.gz", "anything")];
        WalletPage::new(files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec().into()))).unwrap()
    };
    assert_eq!(same("one").hash(), "68d4ee69aba8cad5b8d6564eacfa2d5bd4efbffbb2f864a22a30b52676b75f7b");
    assert_ne!(same("one").hash(), same("other").hash());
    assert_eq!(status["wallet_page"]["sha256"].as_str().unwrap().len(), 64);
    assert!(WalletPage::new([("assets/a.js".to_owned(), "alone".into())]).is_none(), "no document, no page");
    bench.finish().await;
}
