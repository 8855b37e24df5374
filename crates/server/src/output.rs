//! The answers that carry a secret to its owner: the only places where one is serialised.

use pinseal_protocol::secret::SecretText;
use serde::Serializer;

/// For `serialize_with`, so that each such member names it.
pub(crate) fn shown<S: Serializer>(secret: &SecretText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}
