//! JSON-RPC 2.0 answers, read strictly.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{EndpointFault, Refusal};

/// An answer to our request.
#[derive(Debug)]
pub(super) enum Answer {
    /// It was served.
    Result(Value),
    /// It was refused.
    Error(Refusal),
}

#[derive(Deserialize)]
struct RawAnswer {
    jsonrpc: String,
    id: Value,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    #[serde(default)]
    error: Option<RawError>,
}

#[derive(Deserialize)]
struct RawError {
    code: i64,
    message: String,
    #[serde(default)]
    data: Option<Value>,
}

/// Tells `null`, which is a result, from an absent one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads the answer to request `id`.
pub(super) fn answer(body: &[u8], id: u64) -> Result<Answer, EndpointFault> {
    let raw: RawAnswer = serde_json::from_slice(body).map_err(|_| EndpointFault::Malformed("not JSON-RPC"))?;
    if raw.jsonrpc != "2.0" {
        return Err(EndpointFault::Malformed("not version 2.0"));
    }
    if raw.id.as_u64() != Some(id) {
        return Err(EndpointFault::WrongId);
    }
    // Some nodes add `"result": null` to an error.
    match (raw.result, raw.error) {
        (Some(result), None) => Ok(Answer::Result(result)),
        (None | Some(Value::Null), Some(error)) => {
            Ok(Answer::Error(Refusal::new(error.code, &error.message, error.data.as_ref())))
        }
        (Some(_), Some(_)) => Err(EndpointFault::Malformed("both result and error")),
        (None, None) => Err(EndpointFault::Malformed("neither result nor error")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_to_our_request_counts() {
        assert!(matches!(answer(br#"{"jsonrpc":"2.0","id":7,"result":null}"#, 7), Ok(Answer::Result(Value::Null))));
        assert!(matches!(
            answer(br#"{"jsonrpc":"2.0","id":7,"result":null,"error":{"code":-1,"message":"x"}}"#, 7),
            Ok(Answer::Error(_))
        ));
        for body in [
            r#"{"jsonrpc":"2.0","id":8,"result":1}"#,
            r#"{"jsonrpc":"2.0","id":"7","result":1}"#,
            r#"{"jsonrpc":"2.0","id":null,"result":1}"#,
            r#"{"jsonrpc":"2.0","id":7.0,"result":1}"#,
        ] {
            assert!(matches!(answer(body.as_bytes(), 7), Err(EndpointFault::WrongId)), "{body}");
        }
        for body in [
            "",
            "null",
            "[]",
            "<html>",
            r#"{"jsonrpc":"1.0","id":7,"result":1}"#,
            r#"{"id":7,"result":1}"#,
            r#"{"jsonrpc":"2.0","id":7}"#,
            r#"{"jsonrpc":"2.0","id":7,"error":null}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":1,"error":{"code":-1,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":1,"result":2}"#,
            r#"{"jsonrpc":"2.0","id":7,"error":"x"}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":1} trailing"#,
        ] {
            assert!(matches!(answer(body.as_bytes(), 7), Err(EndpointFault::Malformed(_))), "{body}");
        }
        let deep = format!("{{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
        assert!(matches!(answer(deep.as_bytes(), 7), Err(EndpointFault::Malformed(_))));
    }
}
