//! `begin` and the records it asks for.

use super::*;

#[test]
fn begin_asks_again_with_the_record_the_enclave_names() {
    let mut bench = Bench::new();
    let (ticket, actions) = bench.begin(None);
    let [Action::Send(ToEnclave::Begin { call, outer: None, .. })] = actions.as_slice() else { panic!("{actions:?}") };
    let call = *call;
    let needs = FromEnclave::Begun { call, begun: Begun::NeedsRecord(wallet(1)) };
    let actions = bench.step(Event::Enclave(needs.clone()));
    match actions.as_slice() {
        [Action::Load { load: Load::Begin { wallet: named, named_by_enclave: true, .. }, .. }] => {
            assert_eq!(*named, wallet(1));
        }
        other => panic!("{other:?}"),
    }
    let actions = bench.load(actions);
    assert!(matches!(actions.as_slice(), [Action::Send(ToEnclave::Begin { outer: Some(_), .. })]), "{actions:?}");
    let signed = SignedBeginReply { reply: vec![1].into(), signature: vec![2].into() };
    let begun = Begun::Reply(wallet(1), signed.clone());
    let actions = bench.step(Event::Enclave(FromEnclave::Begun { call, begun }));
    let answer = Answer::Begun(BeginAnswer { wallet: wallet(1), reply: signed });
    assert_eq!(answers(&actions), [(ticket, Ok(answer))]);
    // The wallet is free again.
    bench.sent(1, 1);
}

#[test]
fn begin_ends_when_the_enclave_keeps_asking() {
    let mut bench = Bench::new();
    let (_, actions) = bench.begin(Some(1));
    let [Action::Load { call, load: Load::Begin { named_by_enclave: false, .. } }] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    let call = *call;
    bench.load(actions);
    let needs = FromEnclave::Begun { call, begun: Begun::NeedsRecord(wallet(1)) };
    for _ in 0..ROUNDS_MAX {
        let actions = bench.step(Event::Enclave(needs.clone()));
        assert!(matches!(actions.as_slice(), [Action::Load { .. }]), "{actions:?}");
        bench.load(actions);
    }
    assert_eq!(error(&bench.step(Event::Enclave(needs))), CallError::Refused(Refusal::RecordStale));
    assert_eq!(bench.pipeline.depths().calls, 0);
    bench.sent(1, 1);
}

#[test]
fn begin_waits_while_a_sealed_call_holds_the_wallet() {
    let mut bench = Bench::new();
    let (_, sealed) = bench.sent(1, 1);
    let (_, actions) = bench.begin(None);
    let [Action::Send(ToEnclave::Begin { call, .. })] = actions.as_slice() else { panic!("{actions:?}") };
    let needs = FromEnclave::Begun { call: *call, begun: Begun::NeedsRecord(wallet(1)) };
    assert!(bench.step(Event::Enclave(needs)).is_empty(), "its record is about to change");
    let actions = bench.reply(sealed, 1);
    assert!(matches!(actions.as_slice(), [Action::Answer { .. }, Action::Load { load: Load::Begin { .. }, .. }]));
}

#[test]
fn a_record_of_another_user_is_not_opened_for_a_begin() {
    let mut bench = Bench::new();
    let failures = [
        (LoadFailure::Foreign, CallError::Refused(Refusal::TokenInvalid)),
        (LoadFailure::Token(VaultError::Invalid), CallError::Refused(Refusal::TokenInvalid)),
        (LoadFailure::Token(VaultError::Expired), CallError::Refused(Refusal::TokenExpired)),
        (LoadFailure::Storage, CallError::Storage),
    ];
    for (failure, expected) in failures {
        let (_, actions) = bench.begin(Some(1));
        let [Action::Load { call, .. }] = actions.as_slice() else { panic!("{actions:?}") };
        let actions = bench.step(Event::Loaded { call: *call, loaded: Err(failure) });
        assert_eq!(error(&actions), expected);
    }
}
