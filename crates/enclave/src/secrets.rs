//! Which types of the enclave hold a secret; none of them gives it away.

use pinseal_probe::assert_keeps_secret;

use crate::boot::{Boot, Booted};
use crate::challenge::Challenges;
use crate::change::Changing;
use crate::create::Creating;
use crate::enclave::Enclave;
use crate::operation::{Admission, Operation};
use crate::passphrase::Passphrase;
use crate::prime::Priming;
use crate::record::{Inner, Pending, Record};
use crate::root::{Keys, Root};
use crate::serving::Serving;
use crate::unlock::Seed;
use crate::waiting::{Answer, Waiting, Work};
use crate::writer::Writer;

// A new secret type is added here; `journeys` finds the one that is left out. The crate knows no serde.
assert_keeps_secret!(
    Admission, Answer, Boot, Booted, Challenges, Changing, Creating, Enclave, Inner, Keys, Operation, Passphrase,
    Pending, Priming, Record, Root, Seed, Serving, Waiting, Work, Writer,
);

#[test]
fn debug_shows_no_passphrase() {
    let passphrase = Passphrase::new(zeroize::Zeroizing::new(b"correct horse".to_vec()));
    assert_eq!(format!("{passphrase:?}"), "Passphrase(..)");
}
