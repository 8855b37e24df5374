//! That a PIN erases itself.

use pinseal_client::{NewPin, Pin};
use pinseal_probe::{RecordingAllocator, Remains};

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
