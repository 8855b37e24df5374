//! Text of a host's answers ends up on terminals and in what people approve: nothing in it moves a cursor, sets a clipboard or turns words round.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Drops what could move a cursor or reverse text.
pub(crate) fn printable(text: &str) -> String {
    let is_harmless = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().filter(is_harmless).collect()
}

/// Reads an answer, every text in it as [`printable`] gives it.
///
/// # Errors
/// It is no such answer.
pub(crate) fn read<T: DeserializeOwned>(answer: &[u8]) -> serde_json::Result<T> {
    let read = serde_json::from_slice(answer)?;
    // Nearly every answer is, and what holds secrets is copied no further.
    if answer.is_ascii() && !answer.contains(&b'\\') {
        return Ok(read);
    }
    // Read strictly all the same: a value of its own takes the last of two members of one name.
    let mut value = serde_json::from_slice(answer)?;
    clean(&mut value);
    T::deserialize(value)
}

/// Values only: names are matched, and never shown.
fn clean(value: &mut Value) {
    match value {
        Value::String(text) => *text = printable(text),
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(members) => members.values_mut().for_each(clean),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use super::read;
    use crate::api::NetworkInfo;

    #[test]
    fn a_name_sets_no_clipboard_and_turns_no_words_round() {
        let network = |name: &str, explorer: &str| {
            let text = format!(
                r#"[{{"caip2":"eip155:1","name":"{name}","symbol":"ETH","decimals":18,"explorer":"{explorer}","testnet":false}}]"#
            );
            read::<Vec<NetworkInfo>>(text.as_bytes()).unwrap().remove(0)
        };
        let plain = network("Ethereum", "https://explorer.example");
        let bent = network(r"Ether\u001b]52;c;MHg=\u0007eum\u202e", "https://explorer.example\u{9b}2J/\u{200b}é");
        assert_eq!(bent.name, "Ether]52;c;MHg=eum");
        assert_eq!(bent.explorer.as_deref(), Some("https://explorer.example2J/é"));
        assert_eq!((plain.name.as_str(), plain.caip2), ("Ethereum", bent.caip2));
        assert!(read::<Vec<NetworkInfo>>(br#"[{"caip2":"eip155:1","name":"\u0000"}]"#).is_err(), "what is missing");
    }
}
