#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;
use crate::environment::LockedBytes;

/// Counts instead of drawing lots.
struct Counter(u8);

impl Environment for Counter {
    fn fill_random(&mut self, out: &mut [u8]) {
        self.0 = self.0.wrapping_add(1);
        out.fill(self.0);
    }

    fn fill_second_random(&mut self, out: &mut [u8]) {
        self.fill_random(out);
    }

    fn lock(&mut self, secret: Zeroizing<Vec<u8>>) -> LockedBytes {
        Box::new(secret.to_vec())
    }
}

const WALLET: UserIdHash = UserIdHash([1; 32]);
const POLICY: Hash32 = Hash32([2; 32]);

fn keys() -> Keys {
    Keys::derive(&[5; 32], &mut Counter(0)).ok().unwrap()
}

fn record(devices: usize, label: &str) -> Record {
    let mut guard = Guard::default();
    let device = |number: usize| Device {
        device: DeviceId([u8::try_from(number).unwrap(); 32]),
        label: label.into(),
        enrolled: UnixSeconds(0),
        accepted: 0,
        may_try: false,
    };
    (0..devices).for_each(|_| guard.enrol());
    let devices = (0..devices).map(device).collect();
    Record {
        subject: Hash32([3; 32]),
        active: None,
        pending: None,
        accounts: vec![4; 65].into(),
        devices,
        guard,
        restores: 0,
    }
}

/// Sealed, then changed in its outer form; the header names the changed bytes.
fn sealed(record: &Record, keys: &Keys, change: impl FnOnce(&mut Outer)) -> Sealed {
    let sealed = seal(record, &WALLET, None, POLICY, keys, &mut Counter(9)).unwrap();
    let mut outer: Outer = cbor::from_slice(&sealed.outer).unwrap();
    change(&mut outer);
    let bytes = cbor::to_vec(&outer);
    Sealed { header: Header { outer: outer_hash(&bytes), ..sealed.header }, outer: bytes }
}

#[test]
fn a_record_opens_under_its_form_version_and_policy_only() {
    let keys = keys();
    let opens = |sealed: &Sealed, policy| open(&sealed.outer, &sealed.header, policy, &keys).is_ok();
    let good = sealed(&record(1, "laptop"), &keys, |_| {});
    assert!(opens(&good, POLICY));
    assert!(!opens(&good, Hash32([9; 32])), "sealed under another policy");
    assert!(!opens(&sealed(&record(1, "laptop"), &keys, |outer| outer.format = 2), POLICY), "another form");
    let header = Header { version: Version(2), ..good.header };
    assert!(!opens(&Sealed { header, ..good }, POLICY), "another version under the right hash");
}

#[test]
fn a_record_of_too_many_devices_or_of_other_counters_than_devices_is_damaged() {
    let keys = keys();
    let opens = |record: &Record| {
        let sealed = sealed(record, &keys, |_| {});
        open(&sealed.outer, &sealed.header, POLICY, &keys).is_ok()
    };
    assert!(opens(&record(DEVICES_MAX, "laptop")));
    assert!(!opens(&record(DEVICES_MAX + 1, "laptop")));
    let mut uncounted = record(2, "laptop");
    uncounted.guard.enrol();
    assert!(!opens(&uncounted));
}

#[test]
fn a_record_that_outgrew_its_size_is_not_sealed() {
    let keys = keys();
    let seal =
        |record: &Record| seal(record, &WALLET, None, POLICY, &keys, &mut Counter(9)).map(|sealed| sealed.outer.len());
    let small = seal(&record(1, "x"));
    let overhead = minicbor::to_vec(record(1, &"x".repeat(300))).unwrap().len() - 300;
    let longest = RECORD_BYTES - overhead - 1;
    assert_eq!(seal(&record(1, &"x".repeat(longest))), small, "one byte of padding is left");
    assert_eq!(seal(&record(1, &"x".repeat(longest + 1))), None);
}

#[test]
fn padding_may_be_of_any_length_and_is_nothing_but_zeros() {
    let plain = to_plain(&record(2, "laptop")).unwrap();
    let end = plain.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // Also less than what is passed over at once.
    for length in (end..end + 200).chain([plain.len()]) {
        assert!(from_plain(&plain[..length]).is_some(), "{} zeros", length - end);
    }
    for garbage in [1, 63, 64, 65, 128, 300] {
        let mut damaged = plain.to_vec();
        damaged[plain.len() - garbage..].fill(1);
        assert!(from_plain(&damaged).is_none(), "{garbage} bytes behind it");
    }
}
