//! A request of every operation, with the bodies real clients send.

use pinseal_protocol::cbor;
use pinseal_protocol::ids::{Hash32, RequestId};
use pinseal_protocol::manifest::HpkePublic;
use pinseal_protocol::request::{
    AddressStatement, Method, REQUEST_VERSION, RequestHeader, SealedRequest, SignedStatement, Suite,
};
use pinseal_protocol::token::P256Public;

use crate::harness::base::BASE;
use crate::harness::keys;

/// The caller, as the first byte says it: a stranger, an app, a page, a user; and a content type that the harness adds.
const STRANGER: u8 = 0;
const APP: u8 = 1;
const PAGE: u8 = 2;
const USER: u8 = 3;
const JSON: u8 = 4;

/// Requests without a body.
const PLAIN: [(u8, &str); 34] = [
    (STRANGER, "GET /healthz"),
    (STRANGER, "GET /readyz"),
    (STRANGER, "GET /metrics"),
    (STRANGER, "GET /openapi.json"),
    (STRANGER, "GET /v1/app/info\nx-pinseal-app-id: app_fuzz\nx-pinseal-app-key: k\nx-pinseal-bundle: org.example"),
    (STRANGER, "OPTIONS /v1/login/email\norigin: https://page.test\naccess-control-request-method: POST"),
    (STRANGER, "OPTIONS /v1/login/email\norigin: https://other.test\naccess-control-request-method: POST"),
    (APP, "GET /v1/status\nx-forwarded-for: 192.0.2.1, 198.51.100.2"),
    (PAGE, "GET /v1/app/info"),
    (APP, "GET /v1/networks"),
    (APP, "GET /v1/networks/eip155:1/fees"),
    (APP, "GET /v1/networks/eip155%3A1%2F..%00/fees"),
    (APP, "GET /v1/evidence?nonce=0101010101010101010101010101010101010101010101010101010101010101"),
    (USER, "GET /v1/me\nhost: wallet.test"),
    (USER, "GET /v1/sessions"),
    (USER, "DELETE /v1/sessions/session-of-ada"),
    (USER, "GET /v1/accounts"),
    (USER, "GET /v1/balances?network=eip155:1&address=0x11&token=0x22&token=%f0%9f%a6%80"),
    (USER, "GET /v1/tx?address=0x11&limit=100&cursor=next"),
    (USER, "GET /v1/tx/eip155:1/0x11"),
    (USER, "GET /v1/wallet/history?size=10&limit=32&cursor=7"),
    (USER, "GET /v1/wallet/history?size=18446744073709551615&cursor=-1"),
    (USER, "GET /v1/log/events?size=99"),
    (USER, "POST /v1/app/register\nidempotency-key: once"),
    (USER, "POST /v1/logout"),
    (USER, "GET /v1/me\nauthorization: Bearer x\ndpop: y"),
    (APP, "PATCH /v1/me"),
    (STRANGER, "GET /frame?app=app_fuzz\nhost: page-of-the-wallet.test"),
    (STRANGER, "GET /popup?app=app_fuzz\nhost: page-of-the-wallet.test"),
    (STRANGER, "GET /app.json?app=app_fuzz\nhost: page-of-the-wallet.test"),
    (STRANGER, "GET /logo.png?app=app_fuzz\nhost: page-of-the-wallet.test"),
    (STRANGER, "HEAD /frame?app=app_other\nhost: page-of-the-wallet.test"),
    (STRANGER, "GET /app.json?app=%61pp_fuzz&app=x\nhost: page-of-the-wallet.test"),
    (USER, "GET /v1/wallet/history?size=1\nhost: page-of-the-wallet.test"),
];

/// Requests with a JSON body.
const WITH_BODY: [(u8, &str, &str); 18] = [
    (
        APP,
        "/v1/login/email/sign-up",
        r#"{"email":"ada@b\u00fccher.example","password":"correct-horse-7","locale":"de-AT"}"#,
    ),
    (APP, "/v1/login/email/verify", r#"{"email":" Ada@Example.org ","code":"12 34 56"}"#),
    (APP, "/v1/login/email/resend", r#"{"email":"ada@example.org"}"#),
    (APP, "/v1/login/email/reset-request", r#"{"email":"a@xn--bcher-kva.example"}"#),
    (APP, "/v1/login/email/reset", r#"{"email":"ada@example.org","code":"123456","new_password":"correct-horse-8"}"#),
    (USER, "/v1/session/refresh", r#"{"refresh_token":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#),
    (USER, "/v1/wallet/begin", r#"{"method":"register_prepare"}"#),
    (USER, "/v1/wallet/begin\ncontent-type: application/json; charset=utf-8", r#"{"method":"status"}"#),
    (
        USER,
        "/v1/tx/prepare",
        r#"{"network":"eip155:1","from":"FROM","to":null,"value":"340282366920938463463374607431768211456"}"#,
    ),
    (
        USER,
        "/v1/tx/prepare\nidempotency-key: k",
        r#"{"network":"eip155:1","from":"FROM","to":"0x11","value":"1","data":"0x00","nonce":18446744073709551615}"#,
    ),
    (USER, "/v1/tx/broadcast", r#"{"network":"eip155:1","raw":"0x02"}"#),
    (USER, "/v1/tx/broadcast\nidempotency-key: k", r#"{"network":"eip155:1","raw":"0x0203"}"#),
    (USER, "/v1/tx/release", r#"{"reservation_id":"1"}"#),
    (USER, "/v1/tx/release", r#"["1"]"#),
    (USER, "/v1/networks/eip155:1/rpc", r#"{"method":"eth_call","params":[{"to":"0x11"},"latest"]}"#),
    (USER, "/v1/accounts", r#"{"items":[]}"#),
    (USER, "/v1/accounts", r#"{"items":[{"statement":"STATEMENT","signature":"SIGNATURE"}]}"#),
    (USER, "/v1/wallet/sealed", r#"{"storage_token":"a.b.c","request":"SEALED"}"#),
];

pub(super) fn add(add: &mut impl FnMut(&'static str, Vec<u8>)) {
    for (caller, text) in PLAIN {
        add("http_request", [&[caller], text.as_bytes()].concat());
    }
    let statement = statement();
    let from = format!("0x{}", hex::encode(BASE.addresses[0]));
    for (caller, target, body) in WITH_BODY {
        let body = body.replace("FROM", &from).replace("SEALED", &sealed());
        let body = body.replace("STATEMENT", &hex::encode(&*statement.statement));
        let body = body.replace("SIGNATURE", &hex::encode(&*statement.signature));
        // One that brings its own content type needs none of the harness's.
        let flags = if target.contains("content-type") { caller } else { caller | JSON };
        add("http_request", [&[flags], format!("POST {target}\n\n{body}").as_bytes()].concat());
    }
    add("http_request", [&[USER | JSON], format!("POST /v1/login/email\n\n{}", login()).as_bytes()].concat());
}

fn login() -> String {
    let (x, y) = P256Public::of(keys::key(1)).coordinates();
    let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
    format!(r#"{{"email":"ada@example.org","password":"correct-horse-7","device_jwk":{jwk}}}"#)
}

/// What the enclave says about Ada's first address.
fn statement() -> SignedStatement {
    let statement = cbor::to_vec(&AddressStatement {
        deployment: BASE.configuration.deployment,
        wallet: BASE.ada,
        path: "m/44'/60'/0'/0/0".into(),
        network: "eip155".into(),
        address: BASE.addresses[0].to_vec().into(),
    });
    let signature = BASE.root.sign_log(&AddressStatement::signed_bytes(&statement));
    SignedStatement { statement: statement.into(), signature: signature.to_vec().into() }
}

/// A sealed request of the session, but for the hash of its token, which is filled in.
fn sealed() -> String {
    const TOKEN: Hash32 = Hash32([0xa7; 32]);

    let header = RequestHeader {
        version: REQUEST_VERSION,
        suite: Suite::X25519Aes256Gcm,
        manifest: Hash32([1; 32]),
        method: Method::Status,
        request: RequestId([2; 16]),
        challenge: vec![3; 40].into(),
        token: TOKEN,
        device: P256Public::of(keys::key(1)).thumbprint(),
        receipt_size: 0,
    };
    let request = SealedRequest { header, enc: HpkePublic([4; 32]), ciphertext: vec![5; 64].into() };
    hex::encode(cbor::to_vec(&request)).replace(&hex::encode(TOKEN.0), "{token}")
}
