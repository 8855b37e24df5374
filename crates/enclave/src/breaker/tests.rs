#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use pinseal_protocol::pin::Argon2Parameters;
use pinseal_protocol::secret::SecretBytes;
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::environment::LockedBytes;
use crate::passphrase::Passphrase;

struct Counted(u8);

impl Environment for Counted {
    fn fill_random(&mut self, out: &mut [u8]) {
        self.0 += 1;
        out.fill(self.0);
    }

    fn fill_second_random(&mut self, out: &mut [u8]) {
        self.fill_random(out);
    }

    fn lock(&mut self, _: Zeroizing<Vec<u8>>) -> LockedBytes {
        panic!("nothing is locked here")
    }

    fn stretch(&mut self, _: &Passphrase, _: &[u8; 32], _: &Argon2Parameters) -> Option<SecretBytes<32>> {
        None
    }
}

fn key(byte: u8) -> SealingKey {
    SealingKey::new(SecretBytes::take(&mut [byte; 32]))
}

fn follows(sequence: u64, previous: u8) -> Follows {
    Follows { sequence: Sequence(sequence), previous: Hash32([previous; 32]) }
}

#[test]
fn it_opens_where_it_was_sealed_and_nowhere_else_and_never_looks_the_same() {
    let environment = &mut Counted(0);
    let stood = Breaker { outstanding: u64::MAX, base: 7, tripped: true };
    let sealed = stood.seal(&key(1), &follows(4, 2), environment);
    assert_eq!(Breaker::open(&sealed, &key(1), &follows(4, 2)), Some(stood));
    assert_eq!(Breaker::open(&sealed, &key(2), &follows(4, 2)), None, "another key");
    assert_eq!(Breaker::open(&sealed, &key(1), &follows(5, 2)), None, "another place");
    assert_eq!(Breaker::open(&sealed, &key(1), &follows(4, 3)), None, "another log");
    assert_ne!(stood.seal(&key(1), &follows(4, 2), environment), sealed, "each instance draws for itself");
    for at in 0..SealedBreaker::LEN {
        let mut changed = sealed;
        changed.0[at] ^= 1;
        assert_eq!(Breaker::open(&changed, &key(1), &follows(4, 2)), None, "byte {at}");
    }
}

proptest! {
    /// One batch after another, of charges that the gate let through and of what verdicts and clears give back.
    #[test]
    fn no_order_of_batches_takes_it_over_the_ceiling_or_past_a_trip(
        maximum in 10_u32..40,
        batches in prop::collection::vec((0_u64..30, 0_u64..30, prop::bool::weighted(0.05)), 1..60),
    ) {
        let mut breaker = Breaker::default();
        let mut charged_since = 0;
        for (wanted, given_back, resumes) in batches {
            if resumes {
                breaker.resume();
                charged_since = 0;
            }
            let (before, was_tripped) = (breaker, breaker.tripped);
            let mut charged = 0;
            while charged < wanted && breaker.gate(maximum, charged) == Gate::Open {
                charged += 1;
            }
            prop_assert!(!was_tripped || charged == 0);
            let given_back = given_back.min(breaker.outstanding);
            let trips = breaker.apply(Moved { charged, given_back }, maximum);
            charged_since += charged;
            prop_assert_eq!(trips, !was_tripped && before.outstanding + charged == before.ceiling(maximum));
            prop_assert!(before.outstanding + charged <= before.ceiling(maximum));
            prop_assert_eq!(breaker.outstanding, before.outstanding + charged - given_back);
            prop_assert!(breaker.base <= breaker.outstanding && breaker.base <= before.base);
            // What is given back makes room and never takes any: a charge that waits for its batch still fits.
            let room = |breaker: &Breaker| breaker.ceiling(maximum) - breaker.outstanding;
            prop_assert!(room(&breaker) + charged >= room(&before));
            prop_assert!(breaker.tripped || room(&breaker) > 0);
            prop_assert!(breaker.tripped || charged_since > 0 || breaker.outstanding <= before.outstanding);
        }
    }
}
