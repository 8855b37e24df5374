//! What a batch stores, what it drops, and how one fails.

use super::*;

#[test]
fn a_reply_leaves_only_after_charge_and_settle_are_stored_and_anchored() {
    let mut bench = Bench::new();
    let (ticket, call) = bench.sent(1, 1);
    for version in [1, 2] {
        bench.write(&[(call, 1, version)]);
    }
    let actions = bench.reply(call, 1);
    assert_eq!(answers(&actions), [(ticket, Ok(Answer::Sealed(reply(1))))]);
    assert_eq!((bench.pipeline.batches(), bench.pipeline.wallets()), (2, 1));
    assert_eq!(bench.pipeline.depths().calls, 0);
}

#[test]
fn superseded_records_are_dropped_when_idle_and_named_to_the_next_batch() {
    let mut bench = Bench::new();
    let dropped = |actions: &[Action]| match actions {
        [Action::DropOld { anchored }] => Some(anchored.0),
        [] => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(dropped(&bench.step(Event::Idle)), Some(0), "what a crash left behind");
    assert_eq!(dropped(&bench.step(Event::Idle)), None);
    let (_, call) = bench.sent(1, 1);
    bench.write(&[(call, 1, 1)]);
    assert_eq!(dropped(&bench.step(Event::Idle)), None, "a new wallet supersedes nothing");
    let actions = bench.commit(&[(call, 1, 2)]);
    assert_eq!(dropped(&bench.step(Event::Idle)), None, "not while a batch is in flight");
    let [Action::Store { batch, anchored, .. }] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(anchored.0, 1);
    let (batch, next) = (batch.batch, batch.checkpoint.to_vec());
    bench.step(Event::Stored { batch, stored: Stored::Yes });
    bench.step(Event::Advanced { batch, advanced: Advanced::Receipt(next, None) });
    assert_eq!(dropped(&bench.step(Event::Idle)), Some(2));
}

#[test]
fn a_write_no_grant_covers_aborts_its_batch() {
    let mut bench = Bench::new();
    let (_, one) = bench.sent(1, 1);
    let (_, two) = bench.sent(2, 2);
    for writes in [vec![(one, 2, 1)], vec![(CallId(99), 1, 1)], vec![(two, 2, 1), (one, 3, 1)]] {
        let actions = bench.commit(&writes);
        assert!(matches!(actions.as_slice(), [Action::Send(ToEnclave::Aborted { .. })]), "{actions:?}");
    }
    // Two writes are what signing is entitled to.
    bench.write(&[(one, 1, 1)]);
    bench.write(&[(one, 1, 2)]);
    let actions = bench.commit(&[(one, 1, 3)]);
    assert!(matches!(actions.as_slice(), [Action::Send(ToEnclave::Aborted { .. })]), "{actions:?}");
}

#[test]
fn a_full_disk_aborts_the_batch_and_the_next_one_follows_the_same_checkpoint() {
    let mut bench = Bench::new();
    let (_, call) = bench.sent(1, 1);
    let before = bench.pipeline.anchored().clone();
    bench.commit(&[(call, 1, 1)]);
    let actions = bench.step(Event::Stored { batch: BatchId(1), stored: Stored::No });
    assert!(matches!(actions.as_slice(), [Action::Send(ToEnclave::Aborted { batch: BatchId(1) })]), "{actions:?}");
    assert_eq!(*bench.pipeline.anchored(), before);
    bench.write(&[(call, 1, 1)]);
}

#[test]
fn an_unknown_outcome_stops_everything() {
    let failures: [fn(&mut Bench) -> Vec<Action>; 3] = [
        |bench| bench.step(Event::Stored { batch: BatchId(1), stored: Stored::Unknown("disk".into()) }),
        |bench| bench.step(Event::Stored { batch: BatchId(1), stored: Stored::Discontinuous }),
        |bench| {
            bench.step(Event::Stored { batch: BatchId(1), stored: Stored::Yes });
            bench.step(Event::Advanced { batch: BatchId(1), advanced: Advanced::Failed("disk".into()) })
        },
    ];
    for fail in failures {
        let mut bench = Bench::new();
        let (ticket, call) = bench.sent(1, 1);
        let (waiting, _) = bench.seal(1, 2, "b");
        bench.commit(&[(call, 1, 1)]);
        let actions = fail(&mut bench);
        let Some(Action::Stop(stop)) = actions.last() else { panic!("{actions:?}") };
        let error = stop.call_error();
        assert_eq!(answers(&actions), [(ticket, Err(error)), (waiting, Err(error))]);
        assert!(!actions.iter().any(|action| matches!(action, Action::Send(_))), "the enclave is told nothing");
        // Nothing leaves any more, whatever the enclave says.
        assert!(bench.reply(call, 1).is_empty());
        let (ticket, actions) = bench.seal(2, 9, "c");
        assert_eq!(answers(&actions), [(ticket, Err(error))]);
    }
}

#[test]
fn a_lost_anchor_fences_this_instance_and_no_reply_leaves_it() {
    let mut bench = Bench::new();
    let (ticket, call) = bench.sent(1, 1);
    bench.commit(&[(call, 1, 1)]);
    bench.step(Event::Stored { batch: BatchId(1), stored: Stored::Yes });
    let lost = Advanced::Lost(b"another".to_vec());
    let actions = bench.step(Event::Advanced { batch: BatchId(1), advanced: lost });
    match actions.as_slice() {
        [Action::Send(ToEnclave::Committed { receipt, .. })] => assert_eq!(receipt.as_slice(), b"another"),
        other => panic!("{other:?}"),
    }
    assert!(bench.reply(call, 1).is_empty(), "even if the enclave did not notice");
    assert_eq!(error(&bench.begin(None).1), CallError::EnclaveGone(Some(Halt::Fenced)));
    let halted = FromEnclave::Halted { halt: Halt::Fenced, detail: "lost".into() };
    let actions = bench.step(Event::Enclave(halted));
    assert_eq!(answers(&actions), [(ticket, Err(CallError::EnclaveGone(Some(Halt::Fenced))))]);
}
