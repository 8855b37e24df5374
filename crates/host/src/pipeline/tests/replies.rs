//! Replies that are kept for a resend, and those that are not.

use super::*;

#[test]
fn an_identical_resend_waits_for_the_same_answer_and_gets_it_again_later() {
    let mut bench = Bench::new();
    let (first, call) = bench.sent(1, 1);
    let mut waiting = vec![first];
    for _ in 1..RESENDS_MAX {
        let (ticket, actions) = bench.seal(1, 1, "jti 1");
        assert!(actions.is_empty(), "{actions:?}");
        waiting.push(ticket);
    }
    assert_eq!(error(&bench.seal(1, 1, "jti 1").1), CallError::Overloaded);
    let actions = bench.reply(call, 1);
    let expected: Vec<_> = waiting.iter().map(|ticket| (*ticket, Ok(Answer::Sealed(reply(1))))).collect();
    assert_eq!(answers(&actions), expected);
    // Even when the token has expired meanwhile.
    bench.now = UnixSeconds(NOW.0 + 599);
    let (ticket, actions) =
        bench.ask(Ask::Sealed { token: Err(VaultError::Expired), request: Box::new(request(Method::Sign, 1)) });
    assert_eq!(answers(&actions), [(ticket, Ok(Answer::Sealed(reply(1))))]);
    bench.now = UnixSeconds(NOW.0 + 600);
    let (_, actions) =
        bench.ask(Ask::Sealed { token: Err(VaultError::Expired), request: Box::new(request(Method::Sign, 1)) });
    assert_eq!(error(&actions), CallError::StorageToken(VaultError::Expired));
    assert_eq!((bench.pipeline.depths().replies, bench.pipeline.depths().reply_bytes), (0, 0));
}

#[test]
fn a_changed_request_under_the_same_id_is_another_request() {
    let mut bench = Bench::new();
    let (_, call) = bench.sent(1, 1);
    bench.reply(call, 1);
    let mut changed = request(Method::Sign, 1);
    changed.ciphertext[0] ^= 1;
    let token = bench.vault.check(token(1, Method::Sign, "jti 1").expose_secret(), &wallet(1), Method::Sign, NOW);
    let (_, actions) = bench.ask(Ask::Sealed { token, request: Box::new(changed) });
    assert_eq!(error(&actions), CallError::StorageToken(VaultError::Spent));
}

#[test]
fn refusals_in_clear_are_told_and_not_kept() {
    let mut bench = Bench::new();
    let (_, call) = bench.sent(1, 1);
    let refused = FromEnclave::Refused { call, refusal: Refusal::StaleManifest };
    assert_eq!(error(&bench.step(Event::Enclave(refused))), CallError::Refused(Refusal::StaleManifest));
    assert_eq!(bench.pipeline.depths().replies, 0);
}

#[test]
fn a_late_reply_is_kept_for_the_resend() {
    let mut bench = Bench::new();
    let (ticket, call) = bench.sent(1, 1);
    bench.now = UnixSeconds(NOW.0 + CALL_SECONDS_MAX);
    let actions = bench.step(Event::Idle);
    assert_eq!(answers(&actions), [(ticket, Err(CallError::Timeout))]);
    let (again, actions) = bench.seal(1, 1, "jti 1");
    assert!(answers(&actions).is_empty(), "still under way");
    assert_eq!(answers(&bench.reply(call, 1)), [(again, Ok(Answer::Sealed(reply(1))))]);
}
