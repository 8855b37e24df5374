//! The detail of a log entry: sealed to the user as it is written, opened for the user's enrolled devices.

use pinseal_protocol::aead::SealingKey;
use pinseal_protocol::history::{Detail, History, LoggedWrite, OpenedWrite};
use pinseal_protocol::ids::{Hash32, Version};
use pinseal_protocol::log::{DETAIL_BYTES, SealedDetail, Tree};
use pinseal_protocol::wire::Header;

use crate::planted::{self, Defect};
use crate::root::Keys;

/// Seals the detail of the write that `header` names; a header is written once, so its key seals once.
pub(crate) fn seal(keys: &Keys, header: &Header, detail: &Detail) -> SealedDetail {
    let key = SealingKey::new(keys.history(&header.wallet));
    let sealed = key.seal(&info(header.version, &header.outer), &header.wallet.0, &detail.to_plain());
    SealedDetail::from_slice(&sealed).unwrap_or(SealedDetail([0; DETAIL_BYTES]))
}

/// What `writes` say, each for itself: one that is not in the log, of another wallet or another write, or damaged, takes nothing from the
/// others. `seen` is the log that the caller presents, which the committed one continues. A verdict leaves the enclave, sealed, with the batch that
/// is to be stored; whoever hands it back before that is anchored, or after it was given up, learns nothing.
pub(crate) fn open(keys: &Keys, newest: &Header, writes: &[LoggedWrite], seen: Option<&Tree>) -> History {
    let key = SealingKey::new(keys.history(&newest.wallet));
    let open = |write: &LoggedWrite| {
        let is_logged = seen.is_some_and(|tree| write.is_in(tree, &newest.wallet));
        if !is_logged && !planted::is(Defect::HistoryOfUnanchored) {
            return None;
        }
        let plain = key.open(&info(write.version, &write.outer), &newest.wallet.0, &write.detail.0).ok()?;
        Detail::from_plain(&plain)
    };
    let opened = |write| open(write).map_or(OpenedWrite::NotOpened, OpenedWrite::Opened);
    History { current: newest.version, writes: writes.iter().map(opened).collect() }
}

/// Version and H(outer) name the write: a fork of the log writes other bytes under another info.
fn info(version: Version, outer: &Hash32) -> Vec<u8> {
    [version.0.to_be_bytes().as_slice(), &outer.0].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

    use pinseal_protocol::cbor;
    use pinseal_protocol::history::Step;
    use pinseal_protocol::ids::{DeviceId, UnixSeconds, UserIdHash};
    use pinseal_protocol::log::{Entry, leaf_hash};
    use pinseal_protocol::request::Method;
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

    /// A log that holds this write alone.
    fn alone(write: &LoggedWrite, wallet: UserIdHash) -> Tree {
        let LoggedWrite { version, outer, detail, .. } = *write;
        Tree { size: 1, root: leaf_hash(&cbor::to_vec(&Entry::Record { wallet, version, outer, detail })) }
    }

    #[test]
    fn a_detail_opens_for_its_own_write_and_wallet_only() {
        let keys = Keys::derive(&[5; 32], &mut Derived).unwrap();
        let header = Header { wallet: UserIdHash([1; 32]), version: Version(2), outer: Hash32([3; 32]) };
        let said =
            Detail { step: Step::Wrong, method: Method::Sign, time: UnixSeconds(0x0506), device: DeviceId([4; 32]) };
        let detail = seal(&keys, &header, &said);
        let own = LoggedWrite { version: header.version, outer: header.outer, detail, index: 0, path: Vec::new() };
        let newest = Header { version: Version(9), ..header };
        let opens = |header: &Header, write: &LoggedWrite| {
            // Whatever it is, the log has it.
            let log = alone(write, header.wallet);
            open(&keys, header, core::slice::from_ref(write), Some(&log)).writes[0]
        };
        let mut damaged = own.clone();
        damaged.detail.0[DETAIL_BYTES - 1] ^= 1;
        let others = [
            LoggedWrite { version: Version(3), ..own.clone() },
            LoggedWrite { outer: Hash32([4; 32]), ..own.clone() },
            damaged,
            LoggedWrite { detail: SealedDetail([0; DETAIL_BYTES]), ..own.clone() },
        ];
        for other in others {
            assert_eq!(opens(&newest, &other), OpenedWrite::NotOpened, "{other:?}");
            let opened = open(&keys, &newest, &[own.clone(), other, own.clone()], Some(&alone(&own, header.wallet)));
            let whole = OpenedWrite::Opened(said);
            assert_eq!(opened, History { current: Version(9), writes: vec![whole, OpenedWrite::NotOpened, whole] });
        }
        let stranger = Header { wallet: UserIdHash([2; 32]), ..newest };
        assert_eq!(opens(&stranger, &own), OpenedWrite::NotOpened);
    }

    #[test]
    fn a_write_that_the_log_does_not_have_stays_sealed() {
        let keys = Keys::derive(&[5; 32], &mut Derived).unwrap();
        let header = Header { wallet: UserIdHash([1; 32]), version: Version(2), outer: Hash32([3; 32]) };
        let said = Detail { step: Step::Right, method: Method::Sign, time: UnixSeconds(6), device: DeviceId([4; 32]) };
        let detail = seal(&keys, &header, &said);
        let write = LoggedWrite { version: header.version, outer: header.outer, detail, index: 0, path: Vec::new() };
        let log = alone(&write, header.wallet);
        let other = Tree { root: Hash32([9; 32]), ..log };
        let elsewhere = LoggedWrite { index: 1, ..write.clone() };
        let longer = LoggedWrite { path: vec![Hash32([0; 32])], ..write.clone() };
        let ask = |write: &LoggedWrite, log| open(&keys, &header, core::slice::from_ref(write), log).writes[0];
        assert_eq!(ask(&write, Some(&log)), OpenedWrite::Opened(said));
        for (write, log) in [(&write, None), (&write, Some(&other)), (&elsewhere, Some(&log)), (&longer, Some(&log))] {
            assert_eq!(ask(write, log), OpenedWrite::NotOpened, "{write:?} in {log:?}");
        }
    }

    /// What is sealed is what [`Detail::to_plain`] says, so that logs written before stay readable.
    #[test]
    fn a_detail_is_sealed_as_it_always_was() {
        let keys = Keys::derive(&[5; 32], &mut Derived).unwrap();
        let header = Header { wallet: UserIdHash([1; 32]), version: Version(2), outer: Hash32([3; 32]) };
        let said = Detail { step: Step::Fault, method: Method::Sign, time: UnixSeconds(6), device: DeviceId([4; 32]) };
        let key = SealingKey::new(keys.history(&header.wallet));
        let opened = key.open(&info(Version(2), &header.outer), &header.wallet.0, &seal(&keys, &header, &said).0);
        let plain = [&[1, 4, 3, 0, 0, 0, 0, 0, 0, 0, 6], [4; 32].as_slice(), &[0; 5]].concat();
        assert_eq!(opened.unwrap().to_vec(), plain);
    }
}
