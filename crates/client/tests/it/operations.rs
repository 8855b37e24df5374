use pinseal_client::operation::{LockKind, OperationError, Words};
use pinseal_client::receipt::ReceiptError;
use pinseal_protocol::envelope::EnvelopeError;
use pinseal_protocol::ids::{DeviceId, UserIdHash};
use pinseal_protocol::intent::AccountIndex;
use pinseal_protocol::pin::PinSalt;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{BeginError, BeginReply, Method, SignedBeginReply, WalletState};

use crate::enclave::{Enclave, account_address, ed25519};
use crate::peer::{BeginLie, Canned, Peer, answer, problem};
use crate::world::{PIN, WRONG, logged_in, new_pin, pin, registered};

/// Whether an error is the expected one.
type Expected = fn(&OperationError) -> bool;

#[tokio::test]
async fn every_operation_reaches_the_enclave_and_its_answer_comes_back() {
    let peer = Peer::start().await;
    let device = logged_in(&peer).await;
    let attested = device.client.attest().await.unwrap();
    attested.register_prepare(&new_pin(PIN), Words::TwentyFour, "laptop").await.unwrap();
    let registered = attested.register_confirm(&pin(PIN)).await.unwrap();
    assert_eq!(registered.account.address, account_address(AccountIndex::default()));
    assert_eq!(registered.tries.left, 5);
    attested.verify_pin(&pin(PIN)).await.unwrap();
    attested.change_pin(&pin(PIN), &new_pin("739164")).await.unwrap();
    attested.verify_pin(&pin("739164")).await.unwrap();
    attested.enrol_device(&pin("739164"), "phone").await.unwrap();
    attested.revoke_device(&pin("739164"), DeviceId([4; 32])).await.unwrap();
    attested.clear_tries(&pin("739164")).await.unwrap();
    assert_eq!(attested.status().await.unwrap().status.state, WalletState::Active);
    let second = AccountIndex::new(1).unwrap();
    assert_eq!(attested.list_accounts(&[second]).await.unwrap()[0].address, account_address(second));

    // Each request presented the receipt of the one before, and the newest is kept.
    let sizes: Vec<u64> = peer.host().enclave.opened.iter().map(|(_, size)| *size).collect();
    assert_eq!(sizes, [10, 11, 13, 15, 17, 19, 21, 23, 25, 27, 27]);
    assert_eq!(device.client.profile().await.unwrap().receipt.unwrap().size, 27);
}

#[tokio::test]
async fn each_kind_of_failure_is_its_own() {
    let peer = Peer::start().await;
    let (_device, attested) = registered(&peer).await;
    let error = attested.verify_pin(&pin(WRONG)).await.unwrap_err();
    assert!(matches!(error, OperationError::WrongPin { tries } if tries.left == 4), "{error:?}");

    let cases: [(Outcome, Expected); 9] = [
        (Outcome::ServiceFault, |e| matches!(e, OperationError::ServiceFault { .. }) && e.is_retryable()),
        (Outcome::Refused(Refusal::Locked), |e| matches!(e, OperationError::Locked { kind: LockKind::Device, .. })),
        (Outcome::Refused(Refusal::WalletLocked), |e| {
            matches!(e, OperationError::Locked { kind: LockKind::Wallet, .. })
        }),
        (Outcome::Refused(Refusal::PinSpent), |e| matches!(e, OperationError::Locked { kind: LockKind::PinSpent, .. })),
        (Outcome::Refused(Refusal::Delayed), |e| matches!(e, OperationError::Delayed { seconds: 60, .. })),
        (Outcome::Refused(Refusal::Malformed), |e| matches!(e, OperationError::Outdated)),
        (Outcome::Refused(Refusal::StateRolledBack), |e| matches!(e, OperationError::StateRolledBack)),
        (Outcome::Refused(Refusal::RecordDamaged), |e| {
            matches!(e, OperationError::Refused { refusal: Refusal::RecordDamaged }) && !e.is_retryable()
        }),
        // A right answer to another question.
        (Outcome::TriesCleared, |e| matches!(e, OperationError::Unexpected)),
    ];
    peer.host().enclave.tries.delay_seconds = 60;
    for (outcome, expected) in cases {
        peer.host().enclave.outcomes = vec![outcome.clone()];
        let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
        assert!(expected(&error), "{outcome:?}: {error:?}");
    }
}

#[tokio::test]
async fn what_the_host_says_in_clear_is_never_a_verdict_on_the_pin() {
    let peer = Peer::start().await;
    let (_device, attested) = registered(&peer).await;
    for code in ["pin_locked", "wallet_locked", "pin_spent", "pin_delayed", "wrong_pin", "state_rolled_back"] {
        peer.next("/v1/wallet/sealed", problem(423, code, false));
        let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
        assert!(matches!(&error, OperationError::Api(api) if api.code() == Some(code)), "{code}: {error:?}");
    }
    peer.next("/v1/wallet/sealed", problem(400, "request_malformed", false));
    assert!(matches!(attested.verify_pin(&pin(PIN)).await.unwrap_err(), OperationError::Outdated));
    peer.next("/v1/wallet/begin", problem(423, "pin_locked", false));
    assert!(matches!(attested.verify_pin(&pin(PIN)).await.unwrap_err(), OperationError::Api(_)));
}

#[tokio::test]
async fn a_swapped_begin_reply_is_refused_before_a_pin_factor_leaves() {
    fn resign(enclave: &Enclave, change: impl Fn(&mut BeginReply), mut reply: BeginReply) -> SignedBeginReply {
        change(&mut reply);
        enclave.sign_begin(&reply)
    }
    let lies: [(BeginLie, BeginError); 6] = [
        // The host's own key.
        (
            |_, reply| {
                let mut host = Enclave::new();
                host.signer = ed25519(88);
                host.sign_begin(&reply)
            },
            BeginError::Signature,
        ),
        // The enclave's signature over another salt, for which the host has tables.
        (
            |enclave, mut reply| {
                let signature = enclave.sign_begin(&reply).signature;
                reply.current.as_mut().unwrap().salt = PinSalt([0; 16]);
                SignedBeginReply { signature, ..Enclave::new().sign_begin(&reply) }
            },
            BeginError::Signature,
        ),
        (|e, r| resign(e, |r| r.device = DeviceId([5; 32]), r), BeginError::Malformed),
        (|e, r| resign(e, |r| r.method = Method::Sign, r), BeginError::Malformed),
        (|e, r| resign(e, |r| r.manifest = pinseal_protocol::ids::Hash32([5; 32]), r), BeginError::OtherBoot),
        // Cheap to search.
        (|e, r| resign(e, |r| r.current.as_mut().unwrap().argon2.memory_kib = 1_024, r), BeginError::Parameters),
    ];
    let peer = Peer::start().await;
    let (_device, attested) = registered(&peer).await;
    let sealed = peer.count("POST /v1/wallet/sealed");
    for (number, (lie, expected)) in lies.into_iter().enumerate() {
        peer.host().begin = Some(lie);
        let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
        assert!(matches!(&error, OperationError::Begin(begin) if *begin == expected), "lie {number}: {error:?}");
    }
    // A true begin reply of the enclave, but for the wallet of somebody the host has a token for.
    peer.host().begin = Some(|e, r| resign(e, |r| r.wallet = UserIdHash([0xb2; 32]), r));
    let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
    assert!(matches!(error, OperationError::WalletChanged), "{error:?}");
    assert_eq!(peer.count("POST /v1/wallet/sealed"), sealed);
}

#[tokio::test]
async fn a_failed_operation_does_not_pin_a_wallet() {
    let peer = Peer::start().await;
    let device = logged_in(&peer).await;
    let attested = device.client.attest().await.unwrap();
    peer.host().enclave.outcomes = vec![Outcome::Refused(Refusal::TokenInvalid)];
    attested.status().await.unwrap_err();
    assert!(device.client.profile().await.unwrap().wallet().is_none());
    attested.status().await.unwrap();
    assert_eq!(device.client.profile().await.unwrap().wallet().unwrap().wallet, peer.host().enclave.wallet);
}

#[tokio::test]
async fn an_older_forked_or_foreign_receipt_overrules_the_outcome() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    let held = device.client.profile().await.unwrap().receipt.unwrap();

    peer.host().enclave.receipt = Some(|enclave| enclave.note_at(12, &enclave.log));
    let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
    assert!(matches!(error, OperationError::Receipt(ReceiptError::RolledBack { held: 13, shown: 12 })), "{error:?}");

    peer.host().enclave.fork = 0xff;
    peer.host().enclave.receipt = Some(|enclave| enclave.note_at(13, &enclave.log));
    let error = attested.verify_pin(&pin(WRONG)).await.unwrap_err();
    assert!(matches!(error, OperationError::Receipt(ReceiptError::Forked { size: 13 })), "{error:?}");

    peer.host().enclave.fork = 0;
    peer.host().enclave.receipt = Some(|enclave| enclave.note_at(40, &ed25519(77)));
    let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
    assert!(matches!(error, OperationError::Receipt(ReceiptError::Invalid(_))), "{error:?}");
    assert_eq!(device.client.profile().await.unwrap().receipt.unwrap(), held);
}

#[tokio::test]
async fn a_receipt_is_replaced_only_once_the_enclave_has_compared_it() {
    let peer = Peer::start().await;
    let (device, _) = registered(&peer).await;
    let held = device.client.profile().await.unwrap().receipt.unwrap();

    // Another branch, grown longer than what this device has seen: the boot alone does not show it.
    peer.host().enclave.fork = 0xff;
    peer.host().enclave.restart(60);
    let attested = device.client.attest().await.unwrap();
    assert_eq!(device.client.profile().await.unwrap().receipt.unwrap(), held);
    // Nor does a refusal from before the comparison.
    peer.host().enclave.outcomes = vec![Outcome::Refused(Refusal::TokenInvalid)];
    attested.status().await.unwrap_err();
    assert_eq!(device.client.profile().await.unwrap().receipt.unwrap(), held);
    // So the request that counts still presents it.
    attested.verify_pin(&pin(PIN)).await.unwrap();
    assert_eq!(peer.host().enclave.opened.last().unwrap().1, held.size);
    assert_ne!(device.client.profile().await.unwrap().receipt.unwrap(), held);
}

#[tokio::test]
async fn the_reply_of_another_request_is_refused() {
    let peer = Peer::start().await;
    let (_device, attested) = registered(&peer).await;
    attested.verify_pin(&pin(PIN)).await.unwrap();
    peer.host().replay = true;
    let error = attested.verify_pin(&pin(WRONG)).await.unwrap_err();
    assert!(matches!(error, OperationError::Envelope(EnvelopeError::OtherRequest)), "{error:?}");
}

#[tokio::test]
async fn a_reply_that_is_none_is_refused() {
    let peer = Peer::start().await;
    let (_device, attested) = registered(&peer).await;
    for body in [r#"{"reply":"00"}"#, r#"{"reply":""}"#] {
        peer.next("/v1/wallet/sealed", answer(200, body));
        let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
        assert!(matches!(error, OperationError::Malformed), "{error:?}");
    }
    for body in [r#"{"reply":"xy"}"#, "{}", "<html>"] {
        peer.next("/v1/wallet/sealed", answer(200, body));
        let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
        assert!(matches!(error, OperationError::ReplyLost(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_lost_reply_is_fetched_with_the_identical_bytes() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    peer.host().sealed.clear();
    peer.next("/v1/wallet/sealed", answer(502, "<html>gateway"));
    peer.next("/v1/wallet/sealed", problem(409, "wallet_busy", true));
    attested.verify_pin(&pin(PIN)).await.unwrap();
    let sealed = peer.host().sealed.clone();
    assert_eq!(sealed.len(), 3);
    assert!(sealed.iter().all(|body| body == &sealed[0]));
    assert_eq!(device.world.waits.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn without_any_reply_the_outcome_is_called_unknown() {
    let peer = Peer::start().await;
    let (_device, attested) = registered(&peer).await;
    peer.host().sealed.clear();
    for _ in 0..4 {
        peer.host().canned.push_back(Canned { path: "/v1/wallet/sealed", answer: answer(504, ""), after: false });
    }
    let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
    assert!(matches!(error, OperationError::ReplyLost(_)) && !error.is_retryable(), "{error:?}");
    assert_eq!(peer.host().sealed.len(), 4);

    // A refusal after a lost reply does not make the loss certain.
    peer.next("/v1/wallet/sealed", answer(504, ""));
    peer.next("/v1/wallet/sealed", problem(409, "challenge_invalid", true));
    let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
    assert!(matches!(error, OperationError::ReplyLost(_)), "{error:?}");
}

#[tokio::test]
async fn a_sealed_refusal_of_token_or_challenge_is_cured_once() {
    let peer = Peer::start().await;
    let (_device, attested) = registered(&peer).await;
    peer.host().enclave.outcomes = vec![Outcome::Refused(Refusal::TokenExpired)];
    attested.verify_pin(&pin(PIN)).await.unwrap();
    assert_eq!(peer.host().refreshes, 1);
    peer.host().enclave.outcomes = vec![Outcome::Refused(Refusal::ChallengeInvalid); 2];
    let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
    assert!(matches!(error, OperationError::Refused { refusal: Refusal::ChallengeInvalid }));
    assert!(peer.host().enclave.outcomes.is_empty());
}

#[tokio::test]
async fn what_cannot_succeed_is_refused_without_sending_a_pin() {
    let peer = Peer::start().await;
    let device = logged_in(&peer).await;
    let attested = device.client.attest().await.unwrap();
    let refused = |result: Result<_, OperationError>, expected| {
        assert!(matches!(result, Err(OperationError::Refused { refusal }) if refusal == expected));
    };
    refused(attested.verify_pin(&pin(PIN)).await, Refusal::WalletMissing);
    refused(attested.change_pin_confirm(&pin(PIN)).await, Refusal::NothingPending);
    assert!(matches!(
        attested.register_prepare(&new_pin(PIN), Words::Twelve, "a\nb").await,
        Err(OperationError::OutOfBounds)
    ));
    assert!(matches!(attested.sign(&pin(PIN), &[]).await, Err(OperationError::OutOfBounds)));
    assert_eq!(peer.count("POST /v1/wallet/sealed"), 0);
}
