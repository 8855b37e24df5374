//! What the enclave holds at once is bounded.

use pinseal_protocol::limits::IN_FLIGHT_BYTES_MAX;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::request::{Method, Request};
use pinseal_protocol::wire::{FromEnclave, ToEnclave};

use crate::world::{Client, Prepared, World, factor};

fn verify(world: &mut World, client: &mut Client) -> Prepared {
    client
        .prepare(world, Method::VerifyPin, |begin| Request::VerifyPin {
            pin: factor("135790", &begin.current.unwrap()),
        })
        .unwrap()
}

/// How a request of so many bytes is refused. No request may be that long; but whether there is room is asked first, so that one
/// long one stands for as many as would fill it.
fn refusal(world: &mut World, honest: &Prepared, bytes: usize) -> Refusal {
    let mut request = honest.request.clone();
    request.ciphertext.resize(bytes, 0);
    let call = world.next_call();
    let message = world.sealed_message(call, &honest.wallet, &request);
    match world.enclave.step(message, &mut world.environment).as_slice() {
        [FromEnclave::Refused { refusal, .. }] => *refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn requests_under_way_hold_so_many_bytes_and_no_more() {
    let mut world = World::new();
    let (mut ada, mut bob) = (Client::new("ada"), Client::new("bob"));
    ada.register(&mut world, "135790");
    bob.register(&mut world, "135790");
    let (first, second) = (verify(&mut world, &mut ada), verify(&mut world, &mut bob));
    assert_eq!(refusal(&mut world, &first, IN_FLIGHT_BYTES_MAX), Refusal::Malformed, "there is room for it");
    assert_eq!(refusal(&mut world, &first, IN_FLIGHT_BYTES_MAX + 1), Refusal::Overloaded);
    let mut held = Vec::new();
    for request in [&first, &second] {
        let call = world.next_call();
        held.extend(world.step(call, request));
    }
    let [FromEnclave::Commit(charge)] = held.as_slice() else { panic!("{held:?}") };
    let room = IN_FLIGHT_BYTES_MAX - first.request.ciphertext.len() - second.request.ciphertext.len();
    assert_eq!(refusal(&mut world, &first, room), Refusal::Malformed, "to the last byte");
    assert_eq!(refusal(&mut world, &first, room + 1), Refusal::Overloaded);
    // The first one is answered, and makes room.
    let aborted = ToEnclave::Aborted { batch: charge.batch };
    let effects = world.enclave.step(aborted, &mut world.environment);
    assert!(matches!(effects.as_slice(), [FromEnclave::Replied { .. }, FromEnclave::Commit(_)]), "{effects:?}");
    let room = room + first.request.ciphertext.len();
    assert_eq!(refusal(&mut world, &first, room), Refusal::Malformed, "what was answered makes room again");
    assert_eq!(refusal(&mut world, &first, room + 1), Refusal::Overloaded);
}
