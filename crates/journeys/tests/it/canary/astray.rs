//! Secrets in the wrong place of a request: no answer and no log repeats what a client sent.

use pinseal_client::AppCredentials;
use serde_json::json;

use super::whole::Whole;

/// Nothing else looks like it.
pub(super) const MISPLACED: &str = "Zaunkönig-mis-placed-73-secret";

/// Sends it in every place where a confused client could put it. None of these requests succeeds.
pub(super) async fn send(whole: &Whole) {
    let (url, http) = (&whole.recorder.url, reqwest::Client::new());
    let AppCredentials { id, key, .. } = whole.app();
    let post = |path: &str| {
        let post = http.post(format!("{url}{path}"));
        post.header("x-pinseal-app-id", &id).header("x-pinseal-app-key", key.expose_secret())
    };
    let bodies = [
        json!({ "email": 5, "password": { MISPLACED: MISPLACED } }).to_string(),
        json!({ "email": [MISPLACED], "password": MISPLACED }).to_string(),
        json!({ "email": MISPLACED, "password": MISPLACED, "device_jwk": MISPLACED }).to_string(),
        json!({ MISPLACED: MISPLACED, "code": MISPLACED, "refresh_token": [MISPLACED] }).to_string(),
        json!({ "refresh_token": MISPLACED, "email": MISPLACED, "code": MISPLACED, "new_password": MISPLACED })
            .to_string(),
        json!({ "method": MISPLACED, "storage_token": MISPLACED, "request": MISPLACED }).to_string(),
        format!("{{\"password\":\"{MISPLACED}"),
        MISPLACED.to_owned(),
    ];
    let paths = [
        "/v1/login/email",
        "/v1/login/email/sign-up",
        "/v1/login/email/verify",
        "/v1/login/email/reset",
        "/v1/session/refresh",
        "/v1/wallet/begin",
        "/v1/wallet/sealed",
    ];
    let ascii = MISPLACED.replace('ö', "oe");
    for path in paths {
        for body in &bodies {
            let request = post(path).header("content-type", "application/json").body(body.clone());
            let answer = request.header("authorization", format!("DPoP {ascii}")).send().await.unwrap();
            assert!(!answer.status().is_success(), "{path} {body}");
        }
        let answer = post(path).header("dpop", &ascii).body(MISPLACED).send().await.unwrap();
        assert!(!answer.status().is_success(), "{path}");
    }
}
