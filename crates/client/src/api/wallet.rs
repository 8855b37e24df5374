//! Calls that carry evidence and sealed requests. Their contents are opaque here.

use core::time::Duration;

use pinseal_protocol::ids::Nonce;
use pinseal_protocol::request::{Method, SignedStatement};
use serde::Serialize;

use super::exchange::{Authorization, Call};
use super::types::{AccountEntry, BeginResponse, Empty, EvidenceResponse, Items, SealedResponse};
use super::{Api, ApiError};
use crate::values::HexBytes;
use pinseal_protocol::secret::SecretText;

/// How often the same sealed bytes are sent before the outcome is called unknown.
const SENDS_MAX: u32 = 4;
/// Wait before the first resend; doubles each time.
const RESEND_WAIT: Duration = Duration::from_millis(500);

/// What became of a sealed request without a reply.
pub(crate) enum SealedError {
    /// The host refused it.
    Refused(ApiError),
    /// It may have been carried out.
    Lost(ApiError),
}

/// The answer may come if the same bytes are sent again: nobody answered, or the wallet was still busy with them.
fn is_worth_a_resend(error: &ApiError) -> bool {
    match error {
        ApiError::Transport(_) | ApiError::Status(502..=504) => true,
        ApiError::Problem(problem) => {
            problem.retryable && (matches!(problem.status, 502..=504) || problem.code == "wallet_busy")
        }
        _ => false,
    }
}

/// A refusal of the caller (4xx) or for want of room was made before the enclave had the request. Everything else, a fault that the
/// host admits included, may have come after the charge.
fn may_have_been_carried_out(error: &ApiError) -> bool {
    match error {
        ApiError::Problem(problem) => {
            problem.status >= 500 && !matches!(problem.code.as_str(), "enclave_overloaded" | "overloaded")
        }
        _ => true,
    }
}

#[derive(Serialize)]
struct Begin {
    method: &'static str,
}

#[derive(Serialize)]
struct Sealed<'a> {
    storage_token: &'a str,
    request: HexBytes,
}

#[derive(Serialize)]
struct StatementEntry {
    statement: HexBytes,
    signature: HexBytes,
}

#[derive(Serialize)]
struct Statements {
    items: Vec<StatementEntry>,
}

impl Api {
    pub(crate) async fn evidence(&self, nonce: &Nonce) -> Result<EvidenceResponse, ApiError> {
        let call = Call::get(&["v1", "evidence"]).query("nonce", nonce);
        self.exchange(&call, Authorization::App).await
    }

    pub(crate) async fn begin(&self, method: Method) -> Result<BeginResponse, ApiError> {
        self.authorized(&Call::post(&["v1", "wallet", "begin"], &Begin { method: method.name() })?).await
    }

    /// Sends a sealed request, the same bytes again while no answer comes: the host answers an identical resend with the same
    /// reply, so that nothing is charged twice.
    pub(crate) async fn sealed(
        &self,
        access_token: &SecretText,
        storage_token: &SecretText,
        request: Vec<u8>,
    ) -> Result<SealedResponse, SealedError> {
        let body = Sealed { storage_token: storage_token.expose_secret(), request: HexBytes(request) };
        let call = Call::post(&["v1", "wallet", "sealed"], &body).map_err(SealedError::Refused)?;
        let mut wait = RESEND_WAIT;
        let mut lost = false;
        let mut sends = 0;
        loop {
            let error = match self.send_sealed(&call, access_token).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            sends += 1;
            lost |= may_have_been_carried_out(&error);
            if sends < SENDS_MAX && is_worth_a_resend(&error) {
                self.inner.environment.sleep(wait).await;
                wait *= 2;
            } else if lost {
                return Err(SealedError::Lost(error));
            } else {
                return Err(SealedError::Refused(error));
            }
        }
    }

    async fn send_sealed(&self, call: &Call<'_>, access_token: &SecretText) -> Result<SealedResponse, ApiError> {
        self.exchange(call, Authorization::Token(access_token.expose_secret())).await
    }

    pub(crate) async fn cached_statements(&self) -> Result<Vec<SignedStatement>, ApiError> {
        let answer: Items<AccountEntry> = self.authorized(&Call::get(&["v1", "accounts"])).await?;
        let signed = |entry: AccountEntry| SignedStatement {
            statement: entry.statement.0.into(),
            signature: entry.signature.0.into(),
        };
        Ok(answer.items.into_iter().map(signed).collect())
    }

    pub(crate) async fn cache_statements(&self, statements: &[SignedStatement]) -> Result<(), ApiError> {
        let entry = |signed: &SignedStatement| StatementEntry {
            statement: HexBytes(signed.statement.to_vec()),
            signature: HexBytes(signed.signature.to_vec()),
        };
        let body = Statements { items: statements.iter().map(entry).collect() };
        let _: Empty = self.authorized(&Call::post(&["v1", "accounts"], &body)?).await?;
        Ok(())
    }
}
