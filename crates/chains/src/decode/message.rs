//! The view of a personal message.

use alloy_primitives::hex;
use pinseal_protocol::intent::AccountIndex;

use super::{View, ViewKind, WarningCode, text};

pub(super) fn view(message: &[u8], account: AccountIndex) -> View {
    let mut view = View::new(ViewKind::Message, "Sign a message");
    view.account(account);
    view.field("Length", format!("{} bytes", message.len()));
    match core::str::from_utf8(message) {
        // A message of which nothing shows is better read as bytes.
        Ok(content) if content.chars().any(|c| !c.is_control() && !c.is_whitespace()) && !is_raw_hash(message) => {
            view.say("Prove with a signature that this account agrees to the text.".to_owned());
            view.field("Message", text::escape_lines(content));
            if text::has_hidden(content) {
                view.danger(
                    WarningCode::HiddenCharacters,
                    "The text has characters that do not show or that change the reading direction; they are shown escaped.",
                );
            }
            if is_spelled_hash(content) {
                warn_opaque(&mut view);
            }
        }
        _ => {
            view.say("Prove with a signature that this account agrees to these bytes.".to_owned());
            view.field("Message (hex)", hex::encode_prefixed(message));
            warn_opaque(&mut view);
        }
    }
    view
}

fn warn_opaque(view: &mut View) {
    view.danger(
        WarningCode::OpaqueMessage,
        "What this says cannot be read: it may be the hash of anything, a contract or an order included.",
    );
}

/// 32 bytes that are valid UTF-8 by chance at most.
fn is_raw_hash(message: &[u8]) -> bool {
    message.len() == 32 && !message.iter().all(|b| b.is_ascii_graphic() || *b == b' ')
}

/// 32 bytes spelled in hex.
fn is_spelled_hash(content: &str) -> bool {
    let digits = content.strip_prefix("0x").unwrap_or(content);
    digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}
