//! The OpenAPI 3.1 document, made from the handlers.
//!
//! An operation lists every status it answers, with the codes of its problems: `make schemathesis` holds the server to it.

mod problems;

use std::collections::BTreeMap;

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{AllOfBuilder, Object, ObjectBuilder, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::problem::ProblemBody;
use problems::Takes;

/// Endpoints an app calls without a user.
const WITHOUT_USER: &[&str] =
    &["/v1/app/info", "/v1/evidence", "/v1/status", "/v1/networks", "/v1/networks/{caip2}/fees"];
/// Endpoints that show a device key, but no access token.
const WITH_PROOF_ONLY: &[&str] = &["/v1/login/email", "/v1/session/refresh"];
/// Headers of no success.
const FAILURES_ONLY: &[&str] = &["Retry-After", "WWW-Authenticate"];
/// Endpoints that honour `Idempotency-Key`.
const IDEMPOTENT: &[&str] = &["/v1/app/register", "/v1/tx/prepare", "/v1/tx/broadcast"];

const DESCRIPTION: &str = "Self-hosted embedded wallets. JSON in snake_case; binary values are lower-case hex without 0x, except \
    EVM addresses, hashes, raw transactions and call data, which are 0x-hex. Amounts are decimal strings in base units. Networks \
    are CAIP-2 ids. Every error is an application/problem+json with a stable code; see docs/errors.md. Only what is no HTTP/1.1 request, or has a \
    head of more than 16 KiB or 64 headers, is answered without a body, with 400, 414 or 431, and hung up on. Requests of a user \
    are signed one by one with the device's key (DPoP, RFC 9449), so that a page like this cannot try them out with a copied token.";

/// The document, pretty-printed with a newline at its end. Committed as `docs/openapi.json`.
pub fn document() -> String {
    let (_, mut api) = crate::routes::endpoints().split_for_parts();
    complete(&mut api);
    // Serialising plain maps and strings does not fail.
    let text = api.to_pretty_json().unwrap_or_default();
    // RFC 9449 registers the scheme; the library's closed list lacks it.
    let mut text = text.replacen(r#""scheme": "bearer""#, r#""scheme": "dpop""#, 1);
    text.push('\n');
    text
}

/// Adds what is the same everywhere: problems, app key, proofs.
fn complete(api: &mut OpenApi) {
    api.info = InfoBuilder::new()
        .title("Pinseal")
        .version("1")
        .description(Some(DESCRIPTION))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let header =
        |name: &str, text: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, text)));
    let components = api.components.take().unwrap_or_default();
    let components = ComponentsBuilder::from(components)
        .schema(ProblemBody::name(), ProblemBody::schema())
        .security_scheme("app_id", header("X-Pinseal-App-Id", "App ID."))
        .security_scheme("app_key", header("X-Pinseal-App-Key", "App Key, bound to origin, package or bundle id."))
        .security_scheme("dpop", header("DPoP", "Proof of the device key (RFC 9449) with the nonce of `DPoP-Nonce`."))
        .security_scheme(
            "access_token",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some(
                        "Sent as `Authorization: DPoP <access token>`. The token is bound to the device's key: it is good for \
                         nothing without a proof made with that key (header `DPoP`), or the device's signature inside a sealed \
                         request.",
                    ))
                    .build(),
            ),
        );
    let components = headers().into_iter().fold(components, |all, (name, header)| all.header(name, header));
    api.components = Some(components.build());
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            complete_operation(path, method, operation);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [("get", &mut item.get), ("post", &mut item.post), ("delete", &mut item.delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn complete_operation(path: &str, method: &str, operation: &mut Operation) {
    // Handlers are named within their module; the document needs names of its own.
    let tag = operation.tags.as_ref().and_then(|tags| tags.first());
    if let (Some(tag), Some(name)) = (tag, &operation.operation_id) {
        operation.operation_id = Some(format!("{tag}_{name}"));
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            // OpenAPI requires a description; the schema says the rest.
            "Done.".clone_into(&mut response.description);
        }
    }
    if !path.starts_with("/v1/") {
        return;
    }
    let (token, proof) = shown(path);
    let mut security =
        SecurityRequirement::new::<_, [&str; 0], &str>("app_id", []).add::<_, [&str; 0], &str>("app_key", []);
    for scheme in [token.then_some("access_token"), proof.then_some("dpop")].into_iter().flatten() {
        security = security.add::<_, [&str; 0], &str>(scheme, []);
    }
    operation.security = Some(vec![security]);
    let idempotency_key = IDEMPOTENT.contains(&path);
    if idempotency_key {
        let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[!-~]{1,128}$"));
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("The same key and body get the same answer for 24 hours."))
            .schema(Some(text));
        operation.parameters.get_or_insert_default().push(parameter.build().into());
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.headers.extend(
                headers().iter().filter(|(name, _)| !FAILURES_ONLY.contains(name)).map(|(name, _)| named(name)),
            );
        }
    }
    let takes = Takes { body: operation.request_body.is_some(), token, proof, idempotency_key };
    let mut by_status: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    for entry in problems::of(path, method, takes) {
        by_status.entry(entry.status).or_default().push(entry.code);
    }
    for (status, codes) in by_status {
        operation.responses.responses.insert(status.to_string(), RefOr::T(problem(status, &codes)));
    }
}

/// Whether the caller shows an access token, and whether a proof.
fn shown(path: &str) -> (bool, bool) {
    if WITH_PROOF_ONLY.contains(&path) {
        (false, true)
    } else if path == "/v1/wallet/sealed" {
        (true, false)
    } else {
        let open = path.starts_with("/v1/login/") || WITHOUT_USER.contains(&path);
        (!open, !open)
    }
}

/// One status with the codes it comes with.
fn problem(status: u16, codes: &[&str]) -> Response {
    let one_of = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes.iter().copied()));
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name(ProblemBody::name()))
        .item(ObjectBuilder::new().schema_type(Type::Object).property("code", one_of));
    let listed: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let mut response = ResponseBuilder::new()
        .description(format!("{}; see docs/errors.md.", listed.join(", ")))
        .content("application/problem+json", ContentBuilder::new().schema(Some(schema)).build())
        .build();
    let headers: &[&str] = match status {
        401 => &["WWW-Authenticate", "DPoP-Nonce"],
        409 | 502 | 503 => &["Retry-After"],
        429 => &["Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"],
        _ => &[],
    };
    response.headers.extend(headers.iter().map(|name| named(name)));
    response
}

/// A header of the document's list.
fn named(name: &str) -> (String, RefOr<Header>) {
    (name.to_owned(), RefOr::Ref(Ref::new(format!("#/components/headers/{name}"))))
}

/// Every header answers come with.
fn headers() -> [(&'static str, Header); 7] {
    [
        ("X-Request-Id", text("Names the request in the operator's log.")),
        ("DPoP-Nonce", text("For the next proof.")),
        ("RateLimit-Limit", number("Requests a minute from one client address.")),
        ("RateLimit-Remaining", number("Of these, left now.")),
        ("RateLimit-Reset", number("Seconds until all are back.")),
        ("Retry-After", number("Seconds to wait, where they are known.")),
        ("WWW-Authenticate", text("What is missing or wrong (RFC 9449, sections 7.1 and 9).")),
    ]
}

fn text(description: &str) -> Header {
    let schema = Object::with_type(Type::String);
    HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build()
}

fn number(description: &str) -> Header {
    let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0_u64));
    HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build()
}
