//! HTTP requests, through the server's own router.

use std::sync::LazyLock;

use axum::http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use pinseal_protocol::token::token_hash;
use serde_json::Value;

use crate::harness::server::{Answer, Caller, ORIGIN, SERVER, SERVER_KEY, WALLET_URL};

/// Headers tried; hyper takes no more.
const HEADERS_MAX: usize = 64;
/// In a body, stands for the hash of the access token that goes along: a sealed request names it.
const TOKEN_HASH: &str = "{token}";

/// What the server says about itself.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&pinseal_server::openapi_document()).expect("the document is JSON"));

/// A byte that says who calls, then a request as text: a line with method and target, headers, an empty line, the body. Every answer is
/// one that docs/openapi.json lists for the operation; none is a fault, a panic included. What is carried out had the credentials
/// the document asks for and, where there is a body, an object in it. No answer gives credentials away. What
/// says who may frame it names nobody, or the app's own origin on the wallet page's host.
pub fn http_request(data: &[u8]) {
    let Some((flags, text)) = data.split_first() else { return };
    let caller = [Caller::Stranger, Caller::App, Caller::Page, Caller::User][usize::from(flags & 3)];
    let token = SERVER.token();
    let Some(mut request) = parse(text, &token) else { return };
    if flags & 4 != 0 {
        request.headers_mut().append(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let answer = SERVER.answer(caller, &token, &request);
    assert!(!matches!(answer.status, 500 | 504), "a fault: {}", String::from_utf8_lossy(&answer.body));
    for secret in [token.as_str(), SERVER_KEY] {
        assert!(!contains(&answer.body, secret) || contains(data, secret), "an answer gives credentials away");
    }
    let said = |name: &str| answer.headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    assert_eq!((said("x-request-id").len(), said("x-content-type-options")), (32, b"nosniff".as_slice()));
    if let Some((_, sources)) = String::from_utf8_lossy(said("content-security-policy")).split_once("frame-ancestors ")
    {
        assert!(["'none'", ORIGIN].contains(&sources), "framed by {sources}");
    }
    let code = code(request.method(), &answer);
    let operation = operation(request.method(), request.uri().path());
    if is_for_the_page(&request) {
        assert!(operation.is_none() || answer.status >= 400, "the page's host serves the API");
    } else if let Some(operation) = operation {
        documented(operation, answer.status, code.as_deref());
        if answer.status < 300 {
            entitled(operation, caller, data);
            let takes_body = operation.get("requestBody").is_some();
            assert!(!takes_body || is_object(request.body()), "something else than an object was taken");
        }
    }
}

/// True if the first host named is the wallet page's.
fn is_for_the_page(request: &Request<Vec<u8>>) -> bool {
    let named = request.headers().get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    WALLET_URL.split_once("://").is_some_and(|(_, host)| host.as_bytes().eq_ignore_ascii_case(named))
}

/// The request, if it is one that hyper would let through.
fn parse(text: &[u8], token: &str) -> Option<Request<Vec<u8>>> {
    let end = text.windows(2).position(|pair| pair == b"\n\n").unwrap_or(text.len());
    let (head, body) = (&text[..end], text.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines.next()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let mut request = Request::new(with_token(body, token));
    *request.method_mut() = Method::from_bytes(&first[..space]).ok()?;
    *request.uri_mut() = Uri::try_from(&first[space + 1..]).ok()?;
    for line in lines.take(HEADERS_MAX) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
    }
    Some(request)
}

fn with_token(body: &[u8], token: &str) -> Vec<u8> {
    let place = body.windows(TOKEN_HASH.len()).position(|window| window == TOKEN_HASH.as_bytes());
    let Some(place) = place else { return body.to_vec() };
    let hash = hex::encode(token_hash(token).0);
    [&body[..place], hash.as_bytes(), &body[place + TOKEN_HASH.len()..]].concat()
}

/// A refusal has the form of RFC 9457 and a code; a health check alone says no in a way of its own.
fn code(method: &Method, answer: &Answer) -> Option<String> {
    if answer.status < 400 {
        return None;
    }
    let kind = answer.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    assert_eq!(kind, Some(b"application/problem+json".as_slice()), "{}", answer.status);
    // Of the answer to HEAD there are the headers alone (RFC 9110, section 9.3.2).
    if *method == Method::HEAD && answer.body.is_empty() {
        return None;
    }
    let problem: Value = serde_json::from_slice(&answer.body).expect("a problem is JSON");
    assert_eq!(problem["status"], answer.status);
    Some(problem["code"].as_str().expect("a problem has a code").to_owned())
}

/// The operation that the document has for a method and a path.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let path: Vec<&str> = path.split('/').collect();
    // A parameter is not empty.
    let is = |one: &str, other: &str| one == other || one.starts_with('{') && !other.is_empty();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == path.len() && template.iter().zip(&path).all(|(one, other)| is(one, other))
    };
    let paths = DOCUMENT["paths"].as_object().expect("the document has paths");
    let (_, item) = paths.iter().find(|(template, _)| fits(template))?;
    // Methods are told apart by case (RFC 9110, section 9.1): `Get` is another one than GET.
    let mut operations = item.as_object()?.iter();
    operations.find(|(name, _)| name.to_ascii_uppercase() == method.as_str()).map(|(_, operation)| operation)
}

fn documented(operation: &Value, status: u16, code: Option<&str>) {
    let listed = &operation["responses"][status.to_string()];
    assert!(listed.is_object(), "{} is not said to answer {status}", operation["operationId"]);
    let codes = &listed["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"];
    if let (Some(codes), Some(code)) = (codes.as_array(), code) {
        assert!(codes.iter().any(|listed| listed == code), "{}: {code} is not listed", operation["operationId"]);
    }
}

/// Who was served had shown what the document asks for. The harness alone knows keys and tokens, unless the input holds one.
fn entitled(operation: &Value, caller: Caller, data: &[u8]) {
    let needs = |scheme: &str| {
        operation["security"].as_array().is_some_and(|all| all.iter().any(|one| one.get(scheme).is_some()))
    };
    if needs("app_key") {
        assert!(caller != Caller::Stranger || contains(data, "pk_"), "served without an app key");
    }
    if needs("access_token") || needs("dpop") {
        assert_eq!(caller, Caller::User, "served without a token or a proof");
    }
}

/// By the grammar alone: what a number or an escape would stand for is nobody's business where it is skipped.
fn is_object(body: &[u8]) -> bool {
    let text = core::str::from_utf8(body);
    let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    text.is_ok_and(|text| is_json(text) && text.trim_ascii_start().starts_with('{'))
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
