//! Receipts: how the enclave knows that the anchor holds a checkpoint.
//!
//! | level | a receipt is | which shows |
//! |---|---|---|
//! | L0, L1 | the note itself, read back from the anchor | what the host says the anchor holds |
//! | L2 | the note, and the TPM's signed word on its index | that the index holds what was there before, extended by this note's hash |
//! | L4 | the note and the lines of k cosignatures | that k of n witnesses saw it continue all they cosigned before |
//!
//! A receipt is for one note, byte for byte. A note of a boot contains that boot's fresh nonce (in the BOOT entry under its
//! root), so no receipt made before the boot, or for another instance, fits.

use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::tpm::TpmNonce;
use pinseal_protocol::wire::Halt;

use crate::enclave::Stop;
use crate::planted;
use crate::root::Keys;

/// True if `receipt` shows that the configured anchor holds `note`, which was signed or verified here. Without what the level needs, nothing does.
pub(crate) fn vouches(configuration: &Configuration, keys: &Keys, note: &[u8], receipt: &[u8]) -> bool {
    match (configuration.anchor, &configuration.witnesses, &configuration.tpm, keys.writer()) {
        (AnchorLevel::L0 | AnchorLevel::L1, None, None, _) => receipt == note,
        (AnchorLevel::L2, None, Some(tpm), Some(writer)) => Checkpoint::read_unverified(note).is_ok_and(|checkpoint| {
            tpm.vouches(writer.public(), note, &checkpoint, receipt)
                || planted::is_certified(tpm, writer.public(), note, &checkpoint, receipt)
        }),
        (AnchorLevel::L4, Some(quorum), None, _) => {
            quorum.is_met_by(note, receipt) || planted::vouches(quorum, note, receipt)
        }
        _ => false,
    }
}

/// What the next checkpoint will be let into the TPM's index with: at L2 there has to be one.
pub(crate) fn session(keys: &Keys, nonce: Option<TpmNonce>) -> Result<Option<TpmNonce>, Stop> {
    match (keys.writer(), nonce) {
        (Some(_), None) => Err(Stop::new(Halt::Protocol, "no session of the TPM")),
        (Some(_), nonce) => Ok(nonce),
        (None, _) => Ok(None),
    }
}
