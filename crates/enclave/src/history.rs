//! The detail of a log entry: what happened, sealed to the user, of one size.

use pinseal_protocol::aead::{OVERHEAD_BYTES, SealingKey};
use pinseal_protocol::ids::{DeviceId, UnixSeconds};
use pinseal_protocol::log::{DETAIL_BYTES, SealedDetail};
use pinseal_protocol::request::Method;
use pinseal_protocol::wire::Header;

use crate::root::Keys;

const PLAIN_BYTES: usize = DETAIL_BYTES - OVERHEAD_BYTES;

/// What the user will read of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A wallet was prepared.
    Prepared,
    /// A try was taken off.
    Charged,
    /// The PIN was right.
    Right,
    /// The PIN was wrong.
    Wrong,
    /// The enclave could not decide.
    Fault,
}

/// Seals the detail of the write that `header` names; a header is written once, so its key seals once.
pub(crate) fn seal(
    keys: &Keys,
    header: &Header,
    step: Step,
    method: Method,
    device: &DeviceId,
    time: UnixSeconds,
) -> SealedDetail {
    let mut plain = [0_u8; PLAIN_BYTES];
    let fields = [1, step as u8, method as u8].into_iter().chain(time.0.to_be_bytes()).chain(device.0);
    for (slot, byte) in plain.iter_mut().zip(fields) {
        *slot = byte;
    }
    let key = SealingKey::new(keys.history(&header.wallet));
    // Version and H(outer) name the write: a fork of the log writes other bytes under another info.
    let info = [header.version.0.to_be_bytes().as_slice(), &header.outer.0].concat();
    SealedDetail::from_slice(&key.seal(&info, &header.wallet.0, &plain)).unwrap_or(SealedDetail([0; DETAIL_BYTES]))
}
