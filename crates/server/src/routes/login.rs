//! Login with e-mail address and password.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use pinseal_protocol::secret::SecretText;
use pinseal_protocol::token::{P256Public, object};
use pinseal_store::accounts::CodePurpose;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::apps::AppCaller;
use crate::auth::Proof;
use crate::edge::ClientAddress;
use crate::input::{Body, invalid};
use crate::login::email::{self, EmailProvider, Reset};
use crate::login::{self, Credential, LoginProvider as _, SessionBody, Visitor};
use crate::problem::{Problem, table};
use crate::state::AppState;

/// An empty object.
#[derive(Serialize, ToSchema)]
pub(crate) struct Empty {}

/// A new account.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SignUpRequest {
    /// E-mail address.
    #[schema(format = Email, max_length = 254)]
    email: String,
    /// 8 to 128 characters with a letter and a digit.
    #[schema(value_type = String, min_length = 8, max_length = 128)]
    password: SecretText,
    /// BCP 47 tag for mails; English is used so far.
    #[allow(dead_code, reason = "accepted so that clients need not change when mails are translated")]
    locale: Option<String>,
}

/// An address and the code mailed to it.
#[derive(Deserialize, ToSchema)]
pub(crate) struct VerifyRequest {
    /// E-mail address.
    #[schema(format = Email, max_length = 254)]
    email: String,
    /// Six digits; spaces do not count.
    #[schema(value_type = String, pattern = r"^(\s*[0-9]){6}\s*$")]
    code: SecretText,
}

/// The address is verified.
#[derive(Serialize, ToSchema)]
pub(crate) struct Verified {
    /// True if sign-ups gave different passwords before the address was verified: choose the password by a reset.
    reset_required: bool,
}

/// An address.
#[derive(Deserialize, ToSchema)]
pub(crate) struct EmailRequest {
    /// E-mail address.
    #[schema(format = Email, max_length = 254)]
    email: String,
}

/// A new password for an address, with the code mailed to it.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ResetRequest {
    /// E-mail address.
    #[schema(format = Email, max_length = 254)]
    email: String,
    /// Eight digits; spaces do not count.
    #[schema(value_type = String, pattern = r"^(\s*[0-9]){8}\s*$")]
    code: SecretText,
    /// 8 to 128 characters with a letter and a digit.
    #[schema(value_type = String, min_length = 8, max_length = 128)]
    new_password: SecretText,
    /// The public key of the device that the next login will be made on: like one that the account was used on before, it is not held up by strangers'
    /// tries. Every other device is a new one after a reset.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = DeviceJwk, required = false)]
    device_jwk: Option<DeviceJwk>,
}

/// A device that may be left out, but is one where it is named.
fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DeviceJwk>, D::Error> {
    object(deserializer).map(Some)
}

/// A P-256 public key (RFC 7517).
#[derive(Deserialize, ToSchema)]
pub(crate) struct DeviceJwk {
    /// `EC`.
    #[schema(pattern = "^EC$")]
    kty: String,
    /// `P-256`.
    #[schema(pattern = "^P-256$")]
    crv: String,
    /// Base64url, 32 bytes.
    #[schema(pattern = "^[A-Za-z0-9_-]{43}$")]
    x: String,
    /// Base64url, 32 bytes.
    #[schema(pattern = "^[A-Za-z0-9_-]{43}$")]
    y: String,
}

impl DeviceJwk {
    fn key(&self) -> Result<P256Public, Problem> {
        (self.kty == "EC" && self.crv == "P-256")
            .then(|| P256Public::from_coordinates(&self.x, &self.y))
            .flatten()
            .ok_or_else(|| invalid("device_jwk"))
    }
}

/// A login on a device.
#[derive(Deserialize, ToSchema)]
pub(crate) struct LoginRequest {
    /// E-mail address.
    #[schema(format = Email, max_length = 254)]
    email: String,
    /// Password.
    #[schema(value_type = String)]
    password: SecretText,
    /// The device's public key; the DPoP proof is made with it.
    #[serde(deserialize_with = "object")]
    device_jwk: DeviceJwk,
}

/// Starts a sign-up and mails a code of six digits. The answer is the same for known and unknown addresses.
#[utoipa::path(post, path = "/v1/login/email/sign-up", tag = "login", request_body = SignUpRequest,
    responses((status = 202, body = Empty)))]
pub(crate) async fn sign_up(
    State(state): State<AppState>,
    Extension(from): Extension<ClientAddress>,
    body: Body<SignUpRequest>,
) -> Result<(StatusCode, Json<Empty>), Problem> {
    email::sign_up(&state, from.0, &body.value.email, body.value.password).await?;
    Ok((StatusCode::ACCEPTED, Json(Empty {})))
}

/// Verifies an address with the mailed code.
#[utoipa::path(post, path = "/v1/login/email/verify", tag = "login", request_body = VerifyRequest,
    responses((status = 200, body = Verified)))]
pub(crate) async fn verify(
    State(state): State<AppState>,
    Extension(from): Extension<ClientAddress>,
    body: Body<VerifyRequest>,
) -> Result<Json<Verified>, Problem> {
    let reset_required = email::verify(&state, from.0, &body.value.email, body.value.code.expose_secret()).await?;
    Ok(Json(Verified { reset_required }))
}

/// Mails a further verification code, at most once a minute. The answer is always the same.
#[utoipa::path(post, path = "/v1/login/email/resend", tag = "login", request_body = EmailRequest,
    responses((status = 202, body = Empty)))]
pub(crate) async fn resend(
    State(state): State<AppState>,
    Extension(from): Extension<ClientAddress>,
    body: Body<EmailRequest>,
) -> Result<(StatusCode, Json<Empty>), Problem> {
    email::send_code(&state, from.0, &body.value.email, CodePurpose::Verify).await?;
    Ok((StatusCode::ACCEPTED, Json(Empty {})))
}

/// Logs in on a device. Carries a DPoP proof of the device key, without `ath`.
#[utoipa::path(post, path = "/v1/login/email", tag = "login", request_body = LoginRequest,
    responses((status = 200, body = SessionBody)))]
pub(crate) async fn login(
    State(state): State<AppState>,
    Extension(caller): Extension<AppCaller>,
    Extension(from): Extension<ClientAddress>,
    proof: Proof,
    body: Body<LoginRequest>,
) -> Result<Json<SessionBody>, Problem> {
    let LoginRequest { email, password, device_jwk } = body.value;
    let named = device_jwk.key()?;
    if named != proof.key {
        return Err(Problem::from(table::DPOP_INVALID).detail("the proof is made with another key than device_jwk"));
    }
    let provider = EmailProvider(state.clone());
    let visitor = Visitor { address: from.0, device: named.thumbprint() };
    let vouched = provider.authenticate(Credential::Password { email, password }, visitor).await;
    let outcome = if vouched.is_ok() { "accepted" } else { "refused" };
    state.count_login("login", outcome);
    Ok(Json(login::open(&state, vouched?, caller.app.id, named.thumbprint()).await?))
}

/// Mails a code of eight digits that resets the password. The answer is always the same.
#[utoipa::path(post, path = "/v1/login/email/reset-request", tag = "login", request_body = EmailRequest,
    responses((status = 202, body = Empty)))]
pub(crate) async fn reset_request(
    State(state): State<AppState>,
    Extension(from): Extension<ClientAddress>,
    body: Body<EmailRequest>,
) -> Result<(StatusCode, Json<Empty>), Problem> {
    email::send_code(&state, from.0, &body.value.email, CodePurpose::Reset).await?;
    Ok((StatusCode::ACCEPTED, Json(Empty {})))
}

/// Sets a new password with the mailed code and revokes every session.
#[utoipa::path(post, path = "/v1/login/email/reset", tag = "login", request_body = ResetRequest,
    responses((status = 200, body = Empty)))]
pub(crate) async fn reset(
    State(state): State<AppState>,
    Extension(caller): Extension<AppCaller>,
    Extension(from): Extension<ClientAddress>,
    body: Body<ResetRequest>,
) -> Result<Json<Empty>, Problem> {
    let ResetRequest { email, code, new_password, device_jwk } = body.value;
    let key = device_jwk.map(|jwk| jwk.key()).transpose()?;
    let device = key.map(|key| (key.thumbprint(), caller.app.id));
    email::reset(&state, from.0, Reset { email, code, password: new_password, device }).await?;
    Ok(Json(Empty {}))
}
