//! Calls in line: order, tokens, bounds.

use super::*;

#[test]
fn one_call_per_wallet_is_under_way_and_the_others_go_in_order() {
    let mut bench = Bench::new();
    let (_, first) = bench.sent(1, 1);
    let waiting: Vec<Ticket> = (2..5)
        .map(|number| {
            let (ticket, actions) = bench.seal(1, number, &number.to_string());
            assert!(actions.is_empty(), "{actions:?}");
            ticket
        })
        .collect();
    // Another wallet does not wait.
    bench.sent(2, 100);
    let mut call = first;
    for (number, ticket) in (2..5).zip(&waiting) {
        let actions = bench.reply(call, number - 1);
        let actions = bench.load(actions);
        let next = actions.iter().find_map(|action| match action {
            Action::Send(ToEnclave::Sealed { call, request, .. }) => Some((*call, request.header.request)),
            _ => None,
        });
        assert_eq!(next.unwrap().1, RequestId([number; 16]));
        call = next.unwrap().0;
        assert!(answers(&actions).iter().all(|(answered, _)| answered != ticket));
    }
}

#[test]
fn beyond_the_line_a_wallet_is_busy_and_the_token_stays_unused() {
    let mut bench = Bench::new();
    let (_, call) = bench.sent(1, 0);
    for number in 0..WALLET_WAITING_MAX {
        let number = u8::try_from(number + 1).unwrap();
        assert!(bench.seal(1, number, &number.to_string()).1.is_empty());
    }
    assert_eq!(error(&bench.seal(1, 200, "late").1), CallError::Refused(Refusal::Busy));
    assert_eq!(error(&bench.begin(Some(1)).1), CallError::Refused(Refusal::Busy));
    bench.reply(call, 0);
    assert!(bench.seal(1, 200, "late").1.is_empty(), "the same token is taken once there is room");
}

#[test]
fn without_a_good_storage_token_nothing_reaches_the_enclave() {
    let mut bench = Bench::new();
    for refused in [VaultError::Invalid, VaultError::Expired] {
        let (_, actions) = bench.ask(Ask::Sealed { token: Err(refused), request: Box::new(request(Method::Sign, 1)) });
        assert_eq!(error(&actions), CallError::StorageToken(refused));
    }
    bench.sent(1, 1);
    assert_eq!(error(&bench.seal(1, 2, "jti 1").1), CallError::StorageToken(VaultError::Spent));
}

#[test]
fn only_a_receipt_that_the_enclave_may_have_forgotten_comes_with_a_proof() {
    let mut bench = Bench::new();
    let (_, call) = bench.sent(1, 1);
    let proof = |bench: &Bench, seen| bench.pipeline.batches.proof_for(seen);
    for version in 1..=200 {
        bench.write(&[(call, 1, version)]);
        // The next write goes under a grant of its own.
        let token = token(1, Method::Sign, &format!("grant {version}"));
        let grant = bench.vault.verify(token.expose_secret(), &wallet(1), Method::Sign, NOW).unwrap();
        bench.pipeline.calls.get_mut(&call).unwrap().grant = Some(grant);
    }
    // Nothing to prove of an empty log, and nothing can be proved of one longer than ours.
    assert_eq!((proof(&bench, 0), proof(&bench, 201)), (None, None));
    for seen in 1..=200_u64 {
        let remembered = 200 - seen < pinseal_protocol::limits::RECENT_CHECKPOINTS as u64 / 2;
        assert_eq!(proof(&bench, seen), (!remembered).then_some((seen, 200)), "{seen}");
    }
}

#[test]
fn too_long_a_request_is_malformed() {
    let mut bench = Bench::new();
    let mut long = request(Method::Sign, 1);
    long.ciphertext = vec![0; pinseal_protocol::limits::REQUEST_BYTES_MAX].into();
    let token = bench.vault.check(token(1, Method::Sign, "a").expose_secret(), &wallet(1), Method::Sign, NOW);
    assert_eq!(
        error(&bench.ask(Ask::Sealed { token, request: Box::new(long) }).1),
        CallError::Refused(Refusal::Malformed)
    );
    let access_token = AccessToken::from("x".repeat(3_000));
    let (_, actions) = bench.ask(Ask::Begin { access_token, method: Method::Sign, wallet: None });
    assert_eq!(error(&actions), CallError::Refused(Refusal::TokenInvalid));
}

#[test]
fn too_many_calls_are_refused_and_no_more_than_the_bound_are_in_flight() {
    let mut bench = Bench::new();
    let mut sent = 0;
    for _ in 0..CALLS_MAX {
        let (_, actions) = bench.ask(Ask::Evidence { nonce: Nonce([1; 32]) });
        assert!(answers(&actions).is_empty());
        sent += actions.len();
    }
    assert_eq!((sent, bench.pipeline.depths().in_flight), (IN_FLIGHT_MAX, IN_FLIGHT_MAX));
    assert_eq!(error(&bench.ask(Ask::Evidence { nonce: Nonce([1; 32]) }).1), CallError::Overloaded);
    assert_eq!(error(&bench.seal(1, 1, "a").1), CallError::Overloaded);
    let done = FromEnclave::Evidence { call: CallId(1), document: vec![1].into() };
    let actions = bench.step(Event::Enclave(done));
    assert!(matches!(actions.as_slice(), [Action::Answer { .. }, Action::Send(ToEnclave::Evidence { .. })]));
    assert!(answers(&bench.seal(1, 1, "a").1).is_empty(), "the token of the call that was not taken is unused");
}

#[test]
fn a_call_that_timed_out_in_the_line_never_starts_and_its_token_stays_unused() {
    let mut bench = Bench::new();
    let (_, call) = bench.sent(1, 1);
    let (ticket, _) = bench.seal(1, 2, "b");
    bench.now = UnixSeconds(NOW.0 + CALL_SECONDS_MAX);
    let actions = bench.step(Event::Idle);
    assert!(answers(&actions).contains(&(ticket, Err(CallError::Timeout))));
    let actions = bench.reply(call, 1);
    assert!(actions.is_empty(), "{actions:?}");
    let (_, actions) = bench.seal(1, 2, "b");
    assert!(matches!(actions.as_slice(), [Action::Load { .. }]), "{actions:?}");
}
