//! Advancing the anchor, shared by boot and commit.

use pinseal_anchor::{AdvanceError, Anchor};

/// Attempts before giving up. A second one settles an unknown outcome; a place that fails thrice is broken.
const ATTEMPTS_MAX: u32 = 3;

/// What the enclave is told of an advance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Advance {
    /// The receipt of the new checkpoint.
    Done(Vec<u8>),
    /// Another instance was faster; this is what the anchor holds. The enclave stops itself on seeing it.
    Lost(Vec<u8>),
}

/// Advances, repeating where the anchor allows it. An error means: unknown or impossible, so the host stops.
pub(crate) fn advance(anchor: &mut dyn Anchor, previous: &[u8], next: &[u8]) -> Result<Advance, AdvanceError> {
    let mut attempts = 1;
    loop {
        match anchor.advance(previous, next) {
            Ok(receipt) => return Ok(Advance::Done(receipt.0)),
            Err(AdvanceError::Lost { holds }) => return Ok(Advance::Lost(holds)),
            Err(error) if attempts >= ATTEMPTS_MAX => return Err(error),
            Err(_) => attempts += 1,
        }
    }
}
