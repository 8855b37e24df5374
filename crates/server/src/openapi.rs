//! The OpenAPI 3.1 document, made from the handlers.

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::problem::ProblemBody;

/// Endpoints an app calls without a user.
const WITHOUT_USER: &[&str] = &["/v1/app/info", "/v1/evidence", "/v1/status", "/v1/networks", "/v1/balances"];
/// Endpoints that show a device key, but no access token.
const WITH_PROOF_ONLY: &[&str] = &["/v1/login/email", "/v1/session/refresh"];
/// Endpoints that honour `Idempotency-Key`.
const IDEMPOTENT: &[&str] = &["/v1/app/register", "/v1/tx/prepare", "/v1/tx/broadcast"];

const DESCRIPTION: &str = "Self-hosted embedded wallets. JSON in snake_case; binary values are lower-case hex without 0x, except \
    EVM addresses, hashes, raw transactions and call data, which are 0x-hex. Amounts are decimal strings in base units. Networks \
    are CAIP-2 ids. Every error is an application/problem+json with a stable code; see docs/errors.md.";

/// The document, pretty-printed with a newline at its end. Committed as `docs/openapi.json`.
pub fn document() -> String {
    let (_, mut api) = crate::routes::endpoints().split_for_parts();
    complete(&mut api);
    // Serialising plain maps and strings does not fail.
    let mut text = api.to_pretty_json().unwrap_or_default();
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
                    .bearer_format("JWT")
                    .description(Some("Sent as `Authorization: DPoP <access token>`."))
                    .build(),
            ),
        );
    api.components = Some(components.build());
    for (path, item) in &mut api.paths.paths {
        for operation in operations(item) {
            complete_operation(path, operation);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.delete].into_iter().filter_map(Option::as_mut)
}

fn complete_operation(path: &str, operation: &mut Operation) {
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
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name()))).build();
    let response = ResponseBuilder::new()
        .description("A problem; see docs/errors.md.")
        .content("application/problem+json", problem)
        .build();
    if !path.starts_with("/v1/") {
        return;
    }
    operation.responses.responses.insert("default".to_owned(), RefOr::T(response));
    let mut security =
        SecurityRequirement::new::<_, [&str; 0], &str>("app_id", []).add::<_, [&str; 0], &str>("app_key", []);
    let fees = path.starts_with("/v1/networks/");
    let login = path.starts_with("/v1/login/");
    if WITH_PROOF_ONLY.contains(&path) {
        security = security.add::<_, [&str; 0], &str>("dpop", []);
    } else if path == "/v1/wallet/sealed" {
        security = security.add::<_, [&str; 0], &str>("access_token", []);
    } else if !WITHOUT_USER.contains(&path) && !fees && !login {
        security = security.add::<_, [&str; 0], &str>("access_token", []).add::<_, [&str; 0], &str>("dpop", []);
    }
    operation.security = Some(vec![security]);
    if IDEMPOTENT.contains(&path) {
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("The same key and body get the same answer for 24 hours."))
            .schema(Some(Object::with_type(Type::String)))
            .build();
        operation.parameters.get_or_insert_default().push(parameter.into());
    }
}
