//! Which types of the client hold a secret, that none of them gives it away, and that a PIN erases itself.

use pinseal_client::api::AppCredentials;
use pinseal_client::profile::Session;
use pinseal_client::{Configuration, NewPin, Pin, Profile, SecretText};
use pinseal_probe::{RecordingAllocator, Remains, assert_never_written};

// A new secret type is added here; leaving one out is what a review looks for. `DeviceKey` is a handle: its clones share one key.
assert_never_written!(SecretText, Pin, NewPin, Session, Profile, AppCredentials, Configuration);

#[global_allocator]
static ALLOCATOR: RecordingAllocator = RecordingAllocator;

#[test]
fn a_pin_that_is_dropped_or_refused_leaves_nothing_behind() {
    let text = String::from("48291503");
    let mut remains = Remains::new();
    remains.during(|| {
        drop(NewPin::choose(Pin::parse(&text).unwrap()).unwrap());
        assert!(Pin::parse(&text[..4]).is_err());
    });
    assert_eq!(remains.found([("PIN", text.as_bytes())]), Vec::<String>::new());
}
