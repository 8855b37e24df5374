//! RFC 9457 problem documents, read with care: their text ends up on terminals.

use serde::Deserialize;

use super::text::printable;

/// Longest code; ours have at most 24 characters.
const CODE_CHARS_MAX: usize = 64;
/// Longest text shown of a title or detail.
const TEXT_CHARS_MAX: usize = 300;

/// What the server said about a refused call. It travelled in clear: it is the host's word, never a verdict on a PIN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{title} [{code}]")]
pub struct ProblemError {
    /// HTTP status.
    pub status: u16,
    /// Stable code, lower case with underscores.
    pub code: String,
    /// One line for people.
    pub title: String,
    /// More for people.
    pub detail: Option<String>,
    /// True if the same call may succeed later.
    pub retryable: bool,
    /// Names the call in the operator's logs.
    pub trace_id: String,
    /// When to try again.
    pub retry_after_seconds: Option<u64>,
}

#[derive(Deserialize)]
struct Document {
    code: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    retryable: bool,
    #[serde(default)]
    trace_id: String,
    #[serde(default)]
    retry_after_seconds: Option<u64>,
}

impl ProblemError {
    /// Reads a document; `None` if it has no proper code. Control characters and excess length are dropped from its texts.
    pub(crate) fn read(status: u16, body: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(body).ok()?;
        let is_code = (1..=CODE_CHARS_MAX).contains(&document.code.len())
            && document.code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        is_code.then(|| Self {
            status,
            title: short(&document.title),
            detail: document.detail.as_deref().map(short),
            retryable: document.retryable,
            trace_id: short(&document.trace_id),
            retry_after_seconds: document.retry_after_seconds,
            code: document.code,
        })
    }
}

/// Within bounds.
fn short(text: &str) -> String {
    printable(text).chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use super::*;

    #[test]
    fn terminal_escapes_do_not_get_through() {
        let body = br#"{"code":"rate_limited","title":"a\u001b[2Jb\u202ec","retryable":true,"retry_after_seconds":7}"#;
        let problem = ProblemError::read(429, body).unwrap();
        assert_eq!(problem.to_string(), "a[2Jbc [rate_limited]");
        assert_eq!((problem.retryable, problem.retry_after_seconds), (true, Some(7)));
    }

    #[test]
    fn a_document_without_a_proper_code_is_no_problem_document() {
        for body in [&br#"{"code":"Rate Limited"}"#[..], br#"{"code":""}"#, br#"{"title":"x"}"#, b"<html>", b""] {
            assert!(ProblemError::read(500, body).is_none());
        }
    }
}
