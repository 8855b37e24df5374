//! Which types of the enclave hold a secret; none of them gives it away.

use pinseal_probe::assert_keeps_secret;

use crate::challenge::Challenges;
use crate::create::Creating;
use crate::enclave::Enclave;
use crate::operation::Operation;
use crate::passphrase::Passphrase;
use crate::record::{Inner, Pending, Record};
use crate::root::{Keys, Root};
use crate::serving::Serving;
use crate::unlock::Seed;
use crate::writer::Writer;

// A new secret type is added here; leaving one out is what a review looks for. The crate knows no serde.
assert_keeps_secret!(
    Passphrase, Root, Keys, Writer, Creating, Challenges, Inner, Pending, Record, Seed, Operation, Serving, Enclave
);

#[test]
fn debug_shows_no_passphrase() {
    let passphrase = Passphrase::new(zeroize::Zeroizing::new(b"correct horse".to_vec()));
    assert_eq!(format!("{passphrase:?}"), "Passphrase(..)");
}
