//! How a boot ends, and who is told.

use super::*;

#[test]
fn a_halt_is_told_to_everybody_with_its_kind() {
    let mut bench = Bench::new();
    let (one, _) = bench.sent(1, 1);
    let (two, _) = bench.begin(None);
    let (three, _) = bench.ask(Ask::Evidence { nonce: Nonce([1; 32]) });
    let halted = FromEnclave::Halted { halt: Halt::RolledBack, detail: "why".into() };
    let actions = bench.step(Event::Enclave(halted));
    let gone = CallError::EnclaveGone(Some(Halt::RolledBack));
    assert_eq!(answers(&actions), [(one, Err(gone)), (two, Err(gone)), (three, Err(gone))]);
    assert!(bench.step(Event::Disconnected).is_empty(), "the halt stays the reason");
    assert_eq!(error(&bench.begin(None).1), gone);
    assert!(matches!(bench.pipeline.stopped(), Some(Stop::Halted { halt: Halt::RolledBack, .. })));
}

#[test]
fn a_disconnect_is_told_to_everybody() {
    let mut bench = Bench::new();
    let (ticket, _) = bench.begin(None);
    let actions = bench.step(Event::Disconnected);
    assert_eq!(answers(&actions), [(ticket, Err(CallError::EnclaveGone(None)))]);
}

#[test]
fn an_enclave_that_breaks_the_conversation_is_dropped() {
    let breaches: [fn(&Bench, CallId) -> FromEnclave; 8] = [
        |_, _| FromEnclave::Replied { call: CallId(99), reply: reply(1) },
        |_, call| FromEnclave::Replied { call, reply: reply(2) },
        |_, _| FromEnclave::Refused { call: CallId(99), refusal: Refusal::Busy },
        |_, call| FromEnclave::Begun { call, begun: Begun::Refused(Refusal::Busy) },
        |_, call| FromEnclave::Evidence { call, document: vec![].into() },
        |_, _| FromEnclave::Ready { manifest: vec![].into(), wallets: 0 },
        |_, _| FromEnclave::RollForward { previous: vec![].into(), checkpoint: vec![].into(), authorisation: None },
        |bench, call| FromEnclave::Commit(Batch { previous: vec![1].into(), ..bench.batch(&[(call, 1, 1)]) }),
    ];
    for breach in breaches {
        let mut bench = Bench::new();
        let (ticket, call) = bench.sent(1, 1);
        let frame = breach(&bench, call);
        let actions = bench.step(Event::Enclave(frame));
        assert_eq!(answers(&actions), [(ticket, Err(CallError::EnclaveGone(None)))]);
        assert!(matches!(actions.last(), Some(Action::Stop(Stop::Protocol(_)))));
    }
    let mut bench = Bench::new();
    let (_, call) = bench.sent(1, 1);
    bench.commit(&[(call, 1, 1)]);
    let actions = bench.commit(&[(call, 1, 2)]);
    assert!(matches!(actions.last(), Some(Action::Stop(Stop::Protocol("two batches in flight")))));
}
