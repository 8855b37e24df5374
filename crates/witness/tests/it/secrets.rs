//! Which types of the witness hold its key, that none of them gives it away, and that reading and writing its file leaves nothing of it.

use pinseal_probe::{Remains, assert_keeps_secret};
use pinseal_witness::{NewKey, Witness, WitnessKey};

// A new secret type is added here; `journeys` finds the one that is left out. The crate knows no serde.
assert_keeps_secret!(NewKey, Witness, WitnessKey);

/// What of a key's file is secret: the seed, as it is and in hex. Before it stands what every such document begins with.
fn seed(file: &str) -> (Vec<u8>, String) {
    let digits = file.lines().nth(1).unwrap().get(32..96).unwrap();
    (hex::decode(digits).unwrap(), digits.to_owned())
}

#[test]
fn a_key_that_is_made_or_read_leaves_nothing_in_freed_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let mut remains = Remains::new();
    remains.during(|| {
        drop(WitnessKey::create(&path, "witness.example/w1").unwrap());
        drop(WitnessKey::load(&path).unwrap());
    });
    let (seed, digits) = seed(&std::fs::read_to_string(&path).unwrap());
    assert_eq!(remains.found([("seed", seed.as_slice()), ("seed in hex", digits.as_bytes())]), Vec::<String>::new());
}

#[test]
fn debug_shows_no_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let key = WitnessKey::create(&path, "witness.example/w1").unwrap();
    let (seed, digits) = seed(&std::fs::read_to_string(&path).unwrap());
    let shown = format!("{key:?} {key:02x?}");
    assert!(shown.contains("witness.example/w1"), "{shown}");
    for secret in [digits, format!("{seed:?}"), format!("{seed:02x?}")] {
        assert!(!shown.contains(secret.trim_matches(['[', ']'])), "{shown}");
    }
}
