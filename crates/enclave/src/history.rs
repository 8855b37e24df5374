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
    /// A restore was accepted.
    Accepted,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

    use pinseal_protocol::ids::{Hash32, UserIdHash, Version};
    use zeroize::Zeroizing;

    use super::*;
    use crate::environment::{Environment, LockedBytes};

    /// Keys are derived; nothing is drawn.
    struct Derived;

    impl Environment for Derived {
        fn fill_random(&mut self, _: &mut [u8]) {}

        fn fill_second_random(&mut self, _: &mut [u8]) {}

        fn lock(&mut self, secret: Zeroizing<Vec<u8>>) -> LockedBytes {
            Box::new(secret)
        }
    }

    #[test]
    fn a_detail_opens_to_what_happened_and_for_its_own_write_only() {
        let keys = Keys::derive(&[5; 32], &mut Derived).unwrap();
        let header = Header { wallet: UserIdHash([1; 32]), version: Version(2), outer: Hash32([3; 32]) };
        let detail = seal(&keys, &header, Step::Wrong, Method::Sign, &DeviceId([4; 32]), UnixSeconds(0x0506));
        let key = SealingKey::new(keys.history(&header.wallet));
        let info = |version: u64| [version.to_be_bytes().as_slice(), &[3; 32]].concat();
        let opened = key.open(&info(2), &header.wallet.0, &detail.0).unwrap();
        let said = [&[1, Step::Wrong as u8, Method::Sign as u8, 0, 0, 0, 0, 0, 0, 5, 6], [4; 32].as_slice()].concat();
        assert_eq!((&opened[..said.len()], opened.len()), (said.as_slice(), DETAIL_BYTES - OVERHEAD_BYTES));
        assert!(opened[said.len()..].iter().all(|byte| *byte == 0));
        assert!(key.open(&info(3), &header.wallet.0, &detail.0).is_err());
    }
}
