//! Multiset hash of all record headers: the sum mod 2^512 of HMAC-SHA512(K_ms, wallet, version, H(outer)).
//!
//! Adding and removing one header is O(1). The value never leaves the enclave: its differences would let a host search for
//! collisions. Only an outer MAC over it is signed into checkpoints.

use pinseal_protocol::kdf;
use pinseal_protocol::wire::Header;

use crate::planted::{self, Defect};

/// The running sum.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub(crate) struct Accumulator([u64; 8]);

impl Accumulator {
    pub(crate) const fn empty() -> Self {
        Self([0; 8])
    }

    pub(crate) fn add(&mut self, key: &[u8; 32], header: &Header) {
        let mut carry = false;
        for (limb, term) in self.0.iter_mut().zip(terms(key, header)) {
            let (sum, first) = limb.overflowing_add(term);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = first | second;
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8; 32], header: &Header) {
        let mut borrow = false;
        for (limb, term) in self.0.iter_mut().zip(terms(key, header)) {
            let (difference, first) = limb.overflowing_sub(term);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            *limb = difference;
            borrow = first | second;
        }
    }

    /// Little-endian bytes, for the outer MAC only.
    pub(crate) fn to_bytes(&self) -> [u8; 64] {
        let mut out = [0; 64];
        for (chunk, limb) in out.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        out
    }
}

/// The eight limbs of one header's term, least significant first.
fn terms(key: &[u8; 32], header: &Header) -> impl Iterator<Item = u64> {
    let header = if planted::is(Defect::AccumulatorIgnoresVersion) { &planted::wallet_only(header) } else { header };
    let mac =
        kdf::mac_512(key, "pinseal multiset v1", &[&header.wallet.0, &header.version.0.to_be_bytes(), &header.outer.0]);
    (0..8).map(move |limb| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(mac.get(limb * 8..limb * 8 + 8).unwrap_or(&[0; 8]));
        u64::from_le_bytes(bytes)
    })
}

#[cfg(test)]
mod tests {
    use pinseal_protocol::ids::{Hash32, UserIdHash, Version};
    use proptest::prelude::*;

    use super::*;

    fn header(seed: u8, version: u64) -> Header {
        Header { wallet: UserIdHash([seed; 32]), version: Version(version), outer: Hash32([seed ^ 0x5a; 32]) }
    }

    proptest! {
        #[test]
        fn order_of_changes_does_not_matter_and_removal_undoes(seeds in proptest::collection::vec(any::<(u8, u64)>(), 1..40)) {
            let key = [7; 32];
            let mut forwards = Accumulator::empty();
            let mut backwards = Accumulator::empty();
            for (seed, version) in &seeds { forwards.add(&key, &header(*seed, *version)); }
            for (seed, version) in seeds.iter().rev() { backwards.add(&key, &header(*seed, *version)); }
            prop_assert!(forwards == backwards);
            for (seed, version) in &seeds { forwards.remove(&key, &header(*seed, *version)); }
            prop_assert!(forwards == Accumulator::empty());
        }
    }

    #[test]
    fn another_header_or_key_gives_another_sum() {
        let sum = |key: u8, header: &Header| {
            let mut sum = Accumulator::empty();
            sum.add(&[key; 32], header);
            sum
        };
        let one = header(1, 1);
        let others = [
            Header { wallet: UserIdHash([2; 32]), ..one },
            Header { version: Version(2), ..one },
            Header { outer: Hash32([2; 32]), ..one },
        ];
        assert!(sum(7, &one) == sum(7, &header(1, 1)));
        assert!(others.iter().all(|other| sum(7, &one) != sum(7, other)));
        assert!(sum(7, &one) != sum(8, &one));
    }

    #[test]
    fn a_header_counts_as_often_as_it_is_added() {
        let key = [7; 32];
        let mut twice = Accumulator::empty();
        twice.add(&key, &header(1, 1));
        twice.add(&key, &header(1, 1));
        assert!(twice != Accumulator::empty(), "an XOR accumulator would cancel the pair");
    }
}
