//! Since when enrolment is paused, and whom that turned away.

use pinseal_protocol::cbor;
use pinseal_protocol::log::Entry;

use super::*;
use crate::pause::Pause;

const THEN: UnixSeconds = UnixSeconds(77);

impl Bench {
    /// Commit of a batch that trips the breaker; its id, and the checkpoint after it.
    fn trip(&mut self, writes: &[(CallId, u8, u64)]) -> (BatchId, Vec<u8>) {
        let mut batch = self.batch(writes);
        batch.entries.insert(0, cbor::to_vec(&Entry::Tripped { time: THEN }).into());
        let told = (batch.batch, batch.checkpoint.to_vec());
        let actions = self.step(Event::Enclave(FromEnclave::Commit(batch)));
        assert!(matches!(actions.as_slice(), [Action::Store { .. }]), "{actions:?}");
        told
    }
}

#[test]
fn enrolment_is_paused_once_that_is_anchored_and_not_before() {
    let mut bench = Bench::new();
    let (_, signing) = bench.sent(1, 1);
    bench.write(&[(signing, 1, 1)]);
    let (_, call) = bench.sent_to(Method::EnrolDevice, 2, 2);
    let (batch, _) = bench.trip(&[(call, 2, 1)]);
    bench.step(Event::Stored { batch, stored: Stored::No });
    assert_eq!(bench.pipeline.paused(), None, "an aborted batch pauses nothing");
    let (_, call) = bench.sent_to(Method::EnrolDevice, 3, 3);
    let (batch, next) = bench.trip(&[(call, 3, 1)]);
    bench.step(Event::Stored { batch, stored: Stored::Yes });
    assert_eq!(bench.pipeline.paused(), None);
    bench.step(Event::Advanced { batch, advanced: Advanced::Receipt(next, None) });
    assert_eq!(bench.pipeline.paused(), Some(Pause { index: 1, time: THEN }));
    bench.reply(call, 3);
    assert_eq!(bench.pipeline.turned_away(), 0, "that one was tested");
}

#[test]
fn who_is_answered_without_a_write_while_it_is_paused_was_turned_away() {
    let mut bench = Bench::new();
    let (_, call) = bench.sent_to(Method::EnrolDevice, 1, 1);
    bench.reply(call, 1);
    assert_eq!(bench.pipeline.turned_away(), 0, "refused for another reason");
    let mut bench = Bench::new();
    bench.pipeline = bench.pipeline.paused_since(Some(Pause { index: 5, time: THEN }));
    let (_, enrolling) = bench.sent_to(Method::EnrolDevice, 1, 1);
    let (_, signing) = bench.sent(2, 2);
    bench.reply(enrolling, 1);
    bench.reply(signing, 2);
    assert_eq!(bench.pipeline.turned_away(), 1);
}
