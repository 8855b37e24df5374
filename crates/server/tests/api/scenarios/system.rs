//! Health, metrics, documentation, key file.

use std::os::unix::fs::PermissionsExt as _;

use pinseal_protocol::ids::DeploymentId;
use pinseal_server::{Clock as _, Issuer, IssuerError, openapi_document};
use pinseal_store::accounts::Accounts as _;
use serde_json::json;

use crate::bench::{Bench, Device, PASSWORD};

pub(crate) async fn health_readiness_metrics_and_docs() {
    let bench = Bench::start().await;
    let bare = |path: &str| bench.call("GET", path).without("x-pinseal-app-id").without("x-pinseal-app-key");
    assert_eq!(bare("/healthz").send().await.json(), json!({"ok": true}));
    let ready = bare("/readyz").send().await.json();
    assert_eq!((&ready["ready"], &ready["checkpoint_sequence"]), (&json!(true), &json!(4)));

    bench.get("/v1/tx/eip155:1/0xfeed").await.is(401, "token_missing");
    let metrics = bare("/metrics").send().await;
    assert!(metrics.headers["content-type"].starts_with("text/plain"));
    for expected in [
        r#"pinseal_http_requests_total{method="GET",route="/v1/tx/{network}/{hash}",status="401"} 1"#,
        "pinseal_http_request_seconds_bucket",
        "pinseal_password_queue 0",
        "pinseal_enclave_wallets 2",
        "pinseal_http_requests_in_flight 1",
    ] {
        assert!(metrics.text.contains(expected), "{expected} in {}", metrics.text);
    }
    assert!(!metrics.text.contains("0xfeed"));
    // A count that moves with a request tells strangers what became of it.
    bare("/metrics").header("x-forwarded-for", "127.0.0.1").send().await.is(404, "not_found");

    assert_eq!(bare("/openapi.json").send().await.text, openapi_document());
    assert_eq!(bare("/docs").send().await.headers["location"], "/docs/");
    let page = bare("/docs/").send().await;
    assert!(page.status == 200 && page.text.contains("swagger-ui"), "{}", page.text);
    assert!(page.headers["content-security-policy"].contains("script-src 'self'"));
    assert!(!page.text.contains("<script>"), "the policy allows no inline script");
    for line in page.text.lines().filter(|line| line.contains("src=") || line.contains("href=")) {
        assert!(!line.contains("//"), "everything comes from this server: {line}");
    }
    assert!(bare("/docs/swagger-ui-bundle.js").send().await.text.len() > 100_000);
    assert!(bare("/docs/swagger-initializer.js").send().await.text.contains("/openapi.json"));
    bare("/docs/nothing.js").send().await.is(404, "not_found");
    bench.finish().await;

    let bench = Bench::configured(|config| config.metrics_open = true).await;
    assert_eq!(bench.call("GET", "/metrics").header("x-forwarded-for", "127.0.0.1").send().await.status, 200);
    bench.finish().await;
}

pub(crate) async fn what_has_expired_is_swept() {
    let mut bench = Bench::start().await;
    let sweep = |bench: &Bench| bench.db.sweep(bench.clock.now()).unwrap();
    bench.register("ada@example.test").await;
    bench.post("/v1/login/email/sign-up", json!({"email": "eve@example.test", "password": PASSWORD})).await;
    bench.code().await;
    let device = Device::new();
    let old = bench.login("ada@example.test", &device).await;
    bench.call("POST", "/v1/app/register").by(&old, &device).header("idempotency-key", "k").send().await;
    assert_eq!(sweep(&bench), 0, "nothing has expired");
    bench.clock.advance(86_400);
    assert_eq!(sweep(&bench), 2, "two codes; a refused registration kept no answer");
    bench.clock.advance(6 * 86_400);
    assert_eq!(sweep(&bench), 2, "the sign-up nobody verified and a refresh token");
    let new = bench.login("ada@example.test", &device).await;
    bench.clock.advance(6 * 86_400);
    assert_eq!(sweep(&bench), 0, "an ended session stays for a week");
    bench.clock.advance(86_400 - 1);
    let refreshed = bench
        .call("POST", "/v1/session/refresh")
        .json(&json!({"refresh_token": new.refresh}))
        .proof(&device, None)
        .send()
        .await
        .session(&bench);
    bench.clock.advance(1);
    assert_eq!(sweep(&bench), 2, "the old session and the spent token");
    assert_eq!(bench.call("GET", "/v1/me").by(&refreshed, &device).send().await.status, 200);
    bench.finish().await;
}

pub(crate) async fn the_issuer_key_file_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("issuer.key");
    let deployment = DeploymentId([1; 16]);
    assert!(matches!(Issuer::load(&path, deployment), Err(IssuerError::File(_))));
    let made = Issuer::create(&path, deployment).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = Issuer::create(&path, deployment).unwrap();
    assert_eq!(made.public(), again.public(), "an existing key is kept");
    assert_eq!(made.name(), format!("pinseal:{deployment}"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Issuer::load(&path, deployment), Err(IssuerError::Mode)));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, b"not a key").unwrap();
    assert!(matches!(Issuer::load(&path, deployment), Err(IssuerError::Key)));
    assert!(matches!(Issuer::create(&path, deployment), Err(IssuerError::Key)));
    assert_eq!(std::fs::read(&path).unwrap(), b"not a key", "nothing is overwritten");
}
