//! Receipts: how the enclave knows that the anchor holds a checkpoint.
//!
//! | level | a receipt is | which shows |
//! |---|---|---|
//! | L0, L1 | the note itself, read back from the anchor | what the host says the anchor holds |
//! | L4 | the note and the lines of k cosignatures | that k of n witnesses saw it continue all they cosigned before |
//!
//! A receipt is for one note, byte for byte. A note of a boot contains that boot's fresh nonce (in the BOOT entry under its
//! root), so no receipt made before the boot, or for another instance, fits.

use pinseal_protocol::configuration::{AnchorLevel, Configuration};

use crate::planted;

/// True if `receipt` shows that the configured anchor holds `note`. Without what the level needs, nothing does.
pub(crate) fn vouches(configuration: &Configuration, note: &[u8], receipt: &[u8]) -> bool {
    match (configuration.anchor, &configuration.witnesses) {
        (AnchorLevel::L0 | AnchorLevel::L1, None) => receipt == note,
        (AnchorLevel::L4, Some(quorum)) => quorum.is_met_by(note, receipt) || planted::vouches(quorum, note, receipt),
        _ => false,
    }
}
