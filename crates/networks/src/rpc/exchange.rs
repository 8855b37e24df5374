//! One request and its answer, bounded in time and size.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::wire::{self, Answer};
use super::{EndpointFault, Fault, Refusal, RpcLimits};
use crate::registry::RpcUrl;

/// JSON-RPC error code of providers that want fewer requests (EIP-1474).
const LIMIT_EXCEEDED: i64 = -32005;

/// Sends one request and reads its result.
pub(super) async fn exchange(
    http: &reqwest::Client,
    url: &RpcUrl,
    limits: &RpcLimits,
    id: u64,
    method: &str,
    params: &Value,
) -> Result<Value, Fault> {
    let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
    let (status, body) = tokio::time::timeout(limits.exchange_time_max, transfer(http, url, limits, request))
        .await
        .map_err(|_| EndpointFault::TimedOut)??;
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(EndpointFault::Throttled.into());
    }
    // Some nodes send refusals with a status of 400 or 500: the JSON-RPC answer counts, where there is one.
    match wire::answer(&body, id) {
        Ok(Answer::Result(result)) if status.is_success() => Ok(result),
        Ok(Answer::Error(refusal)) => Err(refused(refusal)),
        Err(fault) if status.is_success() => Err(fault.into()),
        Ok(Answer::Result(_)) | Err(_) => Err(EndpointFault::Status(status.as_u16()).into()),
    }
}

fn refused(refusal: Refusal) -> Fault {
    if refusal.code() == LIMIT_EXCEEDED { Fault::Endpoint(EndpointFault::Throttled) } else { Fault::Refused(refusal) }
}

async fn transfer(
    http: &reqwest::Client,
    url: &RpcUrl,
    limits: &RpcLimits,
    request: String,
) -> Result<(StatusCode, Vec<u8>), EndpointFault> {
    let response = http
        .post(url.expose().clone())
        .header(CONTENT_TYPE, "application/json")
        .body(request)
        .send()
        .await
        .map_err(unreachable)?;
    let status = response.status();
    Ok((status, read_bounded(response, limits.answer_len_max).await?))
}

async fn read_bounded(mut response: Response, len_max: usize) -> Result<Vec<u8>, EndpointFault> {
    if response.content_length().is_some_and(|len| usize::try_from(len).map_or(true, |len| len > len_max)) {
        return Err(EndpointFault::TooLong);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > len_max {
            return Err(EndpointFault::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The URL may carry a key; the error must not.
fn unreachable(error: reqwest::Error) -> EndpointFault {
    EndpointFault::Unreachable(error.without_url())
}
