//! The answers that carry a secret to its owner: the only places where one is serialised.

use pinseal_protocol::secret::SecretText;
use serde::Serializer;

/// For `serialize_with`, so that each such member names it.
pub(crate) fn shown<S: Serializer>(secret: &SecretText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

/// As [`shown`], where there may be none.
pub(crate) fn shown_if_any<S: Serializer>(secret: &Option<SecretText>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => shown(secret, serializer),
        None => serializer.serialize_none(),
    }
}
