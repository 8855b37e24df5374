//! What the enclave holds at once is bounded.

use std::collections::BTreeMap;

use pinseal_protocol::limits::IN_FLIGHT_BYTES_MAX;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::request::{Method, Request};
use pinseal_protocol::wire::{Batch, CallId, FromEnclave, ToEnclave};

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

/// Batches as the host sees them go out, and how many of others each write waited for.
#[derive(Default)]
struct Line {
    in_flight: Option<Batch>,
    sent: u64,
    /// Of each write that waits: batches sent when it began to, and whether one was in flight.
    waiting: BTreeMap<CallId, (u64, bool)>,
    /// Writes by the number of others' batches they waited for.
    waited: BTreeMap<u64, u32>,
    replied: u32,
}

impl Line {
    fn enqueue(&mut self, call: CallId) {
        self.waiting.insert(call, (self.sent, self.in_flight.is_some()));
    }

    fn see(&mut self, effects: Vec<FromEnclave>) {
        for effect in effects {
            match effect {
                FromEnclave::Commit(batch) => {
                    assert!(self.in_flight.is_none(), "one batch in flight");
                    self.sent += 1;
                    for record in &batch.records {
                        let (sent, in_flight) = self.waiting.remove(&record.call).expect("asked for");
                        let others = self.sent - sent - 1 + u64::from(in_flight);
                        *self.waited.entry(others).or_default() += 1;
                    }
                    self.in_flight = Some(batch);
                }
                FromEnclave::Replied { call, .. } => {
                    // It writes nothing more.
                    self.waiting.remove(&call);
                    self.replied += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Stores and anchors what is in flight: every call in it begins to wait again, or is answered.
    fn commit(&mut self, world: &mut World) {
        let batch = self.in_flight.take().expect("something in flight");
        world.disk.store(&batch);
        world.disk.anchored = batch.checkpoint.to_vec();
        for record in &batch.records {
            self.enqueue(record.call);
        }
        let committed = ToEnclave::Committed { batch: batch.batch, receipt: batch.checkpoint.clone(), nonce: None };
        let effects = world.enclave.step(committed, &mut world.environment);
        self.see(effects);
    }
}

#[test]
fn at_most_one_batch_of_others_comes_before_each_of_the_two_commits_of_a_request() {
    const PEOPLE: usize = 8;
    let mut world = World::new();
    let mut people: Vec<Client> = (0..PEOPLE).map(|number| Client::new(&format!("user{number}"))).collect();
    people.iter_mut().for_each(|client| drop(client.register(&mut world, "135790")));
    let mut waited: BTreeMap<u64, u32> = BTreeMap::new();
    // Bit n of a pattern: a batch is committed after the n-th request came.
    for pattern in [0_u32, 0b1, 0b0101_0101, 0b0011_0011, 0b1000_0000, 0b0110_1101, 0xff] {
        let requests: Vec<Prepared> = people.iter_mut().map(|client| verify(&mut world, client)).collect();
        let mut line = Line::default();
        for (number, request) in requests.iter().enumerate() {
            let call = world.next_call();
            line.enqueue(call);
            let effects = world.step(call, request);
            line.see(effects);
            if pattern >> number & 1 == 1 && line.in_flight.is_some() {
                line.commit(&mut world);
            }
        }
        while line.in_flight.is_some() {
            line.commit(&mut world);
        }
        assert_eq!(line.replied as usize, PEOPLE, "pattern {pattern:b}");
        assert_eq!(line.waited.values().sum::<u32>() as usize, 2 * PEOPLE, "pattern {pattern:b}: two commits each");
        line.waited.into_iter().for_each(|(others, writes)| *waited.entry(others).or_default() += writes);
    }
    assert!(waited.keys().all(|others| *others <= 1), "{waited:?}");
    assert!(waited[&0] > 0 && waited[&1] > 0, "both happen: {waited:?}");
}
