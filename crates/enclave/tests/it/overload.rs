//! What the enclave holds at once is bounded.

use pinseal_protocol::intent::{AccountIndex, Intent};
use pinseal_protocol::limits::IN_FLIGHT_BYTES_MAX;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::request::{Method, Request};
use pinseal_protocol::wire::{FromEnclave, ToEnclave};

use crate::world::{Client, Prepared, World, factor};

/// Close to the longest request there is.
const MESSAGE_BYTES: usize = 250 * 1024;

/// A request to sign four messages of that length together.
fn sign(world: &mut World, client: &mut Client, bytes: usize) -> Prepared {
    let message = |bytes: usize| Intent::EvmPersonalMessage {
        account: AccountIndex::default(),
        message: vec![b'x'; bytes].into(),
    };
    let intents = vec![message(bytes / 4), message(bytes / 4), message(bytes / 4), message(bytes - bytes / 4 * 3)];
    client
        .prepare(world, Method::Sign, |begin| Request::Sign { pin: factor("135790", &begin.current.unwrap()), intents })
        .unwrap()
}

#[test]
fn requests_under_way_hold_so_many_bytes_and_no_more() {
    let mut world = World::new();
    let mut clients = Vec::new();
    for user in 0..IN_FLIGHT_BYTES_MAX / MESSAGE_BYTES + 2 {
        let mut client = Client::new(&format!("user-{user:03}"));
        client.register(&mut world, "135790");
        clients.push(client);
    }
    let mut last = clients.pop().unwrap();
    let mut held = Vec::new();
    let mut bytes = 0;
    let mut room = IN_FLIGHT_BYTES_MAX;
    let mut clients = clients.into_iter();
    while room > 2 * MESSAGE_BYTES {
        let request = sign(&mut world, clients.by_ref().next().as_mut().unwrap(), MESSAGE_BYTES);
        bytes += request.request.ciphertext.len();
        room = IN_FLIGHT_BYTES_MAX - bytes;
        let call = world.next_call();
        held.extend(world.step(call, &request));
    }
    let [FromEnclave::Commit(charge)] = held.as_slice() else { panic!("one batch is in flight: {}", held.len()) };
    // One of half of the room, one that fills the rest to the byte, and one that would be a byte too long.
    let half = sign(&mut world, clients.by_ref().next().as_mut().unwrap(), room / 2);
    let overhead = half.request.ciphertext.len() - room / 2;
    let rest = room - half.request.ciphertext.len();
    let call = world.next_call();
    assert_eq!(world.step(call, &half), []);
    let full = sign(&mut world, &mut last, rest - overhead);
    let long = sign(&mut world, &mut last, rest - overhead + 1);
    assert_eq!((full.request.ciphertext.len(), long.request.ciphertext.len()), (rest, rest + 1));
    let call = world.next_call();
    assert_eq!(world.step(call, &long), [FromEnclave::Refused { call, refusal: Refusal::Overloaded }]);
    let call = world.next_call();
    assert_eq!(world.step(call, &full), [], "the very last byte is there to be used");
    let call = world.next_call();
    assert_eq!(world.step(call, &long), [FromEnclave::Refused { call, refusal: Refusal::Overloaded }]);

    // The first one is answered, and makes room.
    let aborted = ToEnclave::Aborted { batch: charge.batch };
    let effects = world.enclave.step(aborted, &mut world.environment);
    assert!(matches!(effects.as_slice(), [FromEnclave::Replied { .. }, FromEnclave::Commit(_)]), "{}", effects.len());
    let call = world.next_call();
    let effects = world.step(call, &long);
    assert!(matches!(effects.as_slice(), [FromEnclave::Replied { .. }]), "the wallet is busy: opened at last");
}
