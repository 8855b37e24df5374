//! What a user can read of the writes to their wallet: the detail of a log entry, and the messages that open it.

use minicbor::{Decode, Encode};

use crate::aead::OVERHEAD_BYTES;
use crate::cbor;
use crate::ids::{DeviceId, Hash32, UnixSeconds, UserIdHash, Version};
use crate::log::{DETAIL_BYTES, Entry, Inclusion, SealedDetail, Tree, leaf_hash};
use crate::request::Method;

/// Bytes of a detail before it is sealed: format, step, method, time, device, and zeros.
pub const DETAIL_PLAIN_BYTES: usize = DETAIL_BYTES - OVERHEAD_BYTES;
/// The only format of a detail that this version writes and reads.
const DETAIL_FORMAT: u8 = 1;

/// What one write says of the operation it belongs to. The numbers lie in the log and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Step {
    /// A wallet was prepared.
    #[n(0)]
    Prepared,
    /// A try was taken off; what came of it says the write after this one.
    #[n(1)]
    Charged,
    /// The PIN was right.
    #[n(2)]
    Right,
    /// The PIN was wrong.
    #[n(3)]
    Wrong,
    /// The enclave could not decide.
    #[n(4)]
    Fault,
    /// A restore was accepted; no PIN was tried.
    #[n(5)]
    Accepted,
}

impl Step {
    /// Every step, in the order of their numbers.
    pub const ALL: &'static [Self] =
        &[Self::Prepared, Self::Charged, Self::Right, Self::Wrong, Self::Fault, Self::Accepted];
}

/// The detail of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Detail {
    /// What happened.
    #[n(0)]
    pub step: Step,
    /// In which operation.
    #[n(1)]
    pub method: Method,
    /// When, by the host's clock.
    #[n(2)]
    pub time: UnixSeconds,
    /// Which device asked.
    #[n(3)]
    pub device: DeviceId,
}

impl Detail {
    /// The bytes that are sealed; as many whatever they say.
    pub fn to_plain(&self) -> [u8; DETAIL_PLAIN_BYTES] {
        let mut plain = [0; DETAIL_PLAIN_BYTES];
        let head = [DETAIL_FORMAT, self.step as u8, self.method as u8];
        let fields = head.into_iter().chain(self.time.0.to_be_bytes()).chain(self.device.0);
        for (slot, byte) in plain.iter_mut().zip(fields) {
            *slot = byte;
        }
        plain
    }

    /// The detail that has exactly these bytes.
    pub fn from_plain(plain: &[u8]) -> Option<Self> {
        let (&[_, step, method], rest) = plain.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (device, _) = rest.split_first_chunk()?;
        let detail = Self {
            step: *Step::ALL.get(usize::from(step))?,
            method: *Method::ALL.get(usize::from(method))?,
            time: UnixSeconds(u64::from_be_bytes(*time)),
            device: DeviceId(*device),
        };
        (detail.to_plain() == *plain).then_some(detail)
    }
}

/// One write to the caller's wallet, as its log entry has it: what names the write, the detail that opens for it alone, and the proof that the
/// entry is in the log. The enclave opens nothing else: what was to be written and never was says nothing to anybody.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LoggedWrite {
    /// Version written.
    #[n(0)]
    pub version: Version,
    /// H(outer).
    #[n(1)]
    pub outer: Hash32,
    /// As it lies in the log.
    #[n(2)]
    pub detail: SealedDetail,
    /// Place of the entry in the log.
    #[n(3)]
    pub index: u64,
    /// RFC 6962 inclusion proof, in the log of the receipt that the request presents.
    #[n(4)]
    pub path: Vec<Hash32>,
}

impl LoggedWrite {
    /// True if the entry of this write to `wallet` is in the log of `tree`, where it says.
    pub fn is_in(&self, tree: &Tree, wallet: &UserIdHash) -> bool {
        let entry = Entry::Record { wallet: *wallet, version: self.version, outer: self.outer, detail: self.detail };
        let proof = Inclusion { index: self.index, size: tree.size, path: self.path.clone() };
        proof.verifies(&leaf_hash(&cbor::to_vec(&entry)), &tree.root)
    }
}

/// What became of one [`LoggedWrite`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub enum OpenedWrite {
    /// What it says.
    #[n(0)]
    Opened(#[n(0)] Detail),
    /// It is not in the log that was presented, not of this wallet, not of the write it was said to be of, or damaged.
    #[n(1)]
    NotOpened,
}

/// Answer to `open_history`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct History {
    /// The newest version of the caller's wallet in the log of the checkpoint that this reply carries. Versions begin at 1 and follow one
    /// another without a gap, so whoever holds the entries of all of them up to this one holds all there are.
    #[n(0)]
    pub current: Version,
    /// One for each that was asked for, in order.
    #[n(1)]
    pub writes: Vec<OpenedWrite>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

    use super::*;

    const DETAIL: Detail = Detail {
        step: Step::Wrong,
        method: Method::Sign,
        time: UnixSeconds(0x0102_0304_0506_0708),
        device: DeviceId([0xd1; 32]),
    };

    #[test]
    fn every_step_and_method_is_read_as_it_was_written() {
        for (number, step) in Step::ALL.iter().enumerate() {
            assert_eq!(usize::from(*step as u8), number);
            assert_eq!(minicbor::decode::<u8>(&minicbor::to_vec(step).unwrap()).unwrap(), *step as u8);
            for (number, method) in Method::ALL.iter().enumerate() {
                assert_eq!(usize::from(*method as u8), number);
                assert_eq!(minicbor::decode::<u8>(&minicbor::to_vec(method).unwrap()).unwrap(), *method as u8);
                let detail = Detail { step: *step, method: *method, ..DETAIL };
                assert_eq!(Detail::from_plain(&detail.to_plain()), Some(detail));
            }
        }
    }

    #[test]
    fn the_bytes_in_the_log_are_these() {
        let head = [1, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(DETAIL.to_plain().to_vec(), [head.as_slice(), &[0xd1; 32], &[0; 5]].concat());
    }

    #[test]
    fn bytes_of_another_length_format_or_meaning_are_no_detail() {
        let plain = DETAIL.to_plain();
        for end in 0..plain.len() {
            assert_eq!(Detail::from_plain(&plain[..end]), None, "{end} bytes");
        }
        assert_eq!(Detail::from_plain(&[plain.as_slice(), &[0]].concat()), None, "a byte too many");
        for (at, value) in [(0, 0), (0, 2), (1, 6), (2, 13), (1, 255), (2, 255), (43, 1), (47, 1)] {
            let mut changed = plain;
            changed[at] = value;
            assert_eq!(Detail::from_plain(&changed), None, "byte {at} is {value}");
        }
    }
}
