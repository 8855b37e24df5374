//! Problems: the only form an error leaves the server in (RFC 9457).

pub(crate) mod table;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use table::ErrorEntry;

/// Prefix of `type`; the code follows.
const TYPE_PREFIX: &str = "https://pinseal.dev/errors/";

tokio::task_local! {
    /// The trace id of the request at work.
    pub(crate) static TRACE: String;
}

/// A refusal or fault on its way to the client.
#[derive(Debug)]
pub(crate) struct Problem {
    entry: ErrorEntry,
    detail: Option<String>,
    data: Option<String>,
    retry_after_seconds: Option<u64>,
}

/// `application/problem+json` (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// `https://pinseal.dev/errors/` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// What it means, in one sentence.
    title: &'static str,
    /// HTTP status.
    status: u16,
    /// Stable code; see docs/errors.md.
    code: &'static str,
    /// True if the same request may succeed later without anybody changing anything.
    retryable: bool,
    /// Names this request in the server's log.
    trace_id: String,
    /// What exactly was wrong, where the caller can mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// With `rpc_refused`: what a contract returned when the call reverted, 0x and hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    /// Seconds to wait before the next try.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
}

impl Problem {
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// What a contract returned.
    pub(crate) fn data(mut self, data: Option<&[u8]>) -> Self {
        self.data = data.map(const_hex::encode_prefixed);
        self
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// A fault of ours: the cause goes to the log, the client learns the trace id.
    pub(crate) fn fault(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut causes = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push_str(": ");
            causes.push_str(&cause.to_string());
            source = cause.source();
        }
        tracing::error!(trace_id = %trace_id(), causes, "service fault");
        table::INTERNAL.into()
    }
}

impl From<ErrorEntry> for Problem {
    fn from(entry: ErrorEntry) -> Self {
        Self { entry, detail: None, data: None, retry_after_seconds: None }
    }
}

pub(crate) fn trace_id() -> String {
    TRACE.try_with(Clone::clone).unwrap_or_default()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.entry.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = ProblemBody {
            kind: format!("{TYPE_PREFIX}{}", self.entry.code),
            title: self.entry.meaning,
            status: status.as_u16(),
            code: self.entry.code,
            retryable: self.entry.retryable,
            trace_id: trace_id(),
            detail: self.detail,
            data: self.data,
            retry_after_seconds: self.retry_after_seconds,
        };
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, challenge(self.entry.code));
        }
        response
    }
}

/// RFC 9449, section 7.1 and 9.
fn challenge(code: &str) -> HeaderValue {
    HeaderValue::from_static(match code {
        "use_dpop_nonce" => r#"DPoP error="use_dpop_nonce", algs="ES256""#,
        "dpop_invalid" | "dpop_replayed" => r#"DPoP error="invalid_dpop_proof", algs="ES256""#,
        "token_invalid" | "token_expired" | "session_revoked" => r#"DPoP error="invalid_token", algs="ES256""#,
        _ => r#"DPoP algs="ES256""#,
    })
}
