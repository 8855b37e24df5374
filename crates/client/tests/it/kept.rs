//! A second signature without `begin`, and what a host cannot make of it.

use std::sync::atomic::Ordering;

use pinseal_client::Attested;
use pinseal_client::operation::OperationError;
use pinseal_protocol::intent::{AccountIndex, Intent, Signed};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Next, Outcome};
use pinseal_protocol::request::BeginError;

use crate::enclave::{Enclave, ed25519};
use crate::peer::{Canned, Peer, problem};
use crate::world::{Device, PIN, WRONG, pin, registered};

async fn sign_with(attested: &Attested, digits: &str) -> Result<Vec<Signed>, OperationError> {
    let intent = Intent::EvmPersonalMessage { account: AccountIndex::default(), message: b"hello".to_vec().into() };
    attested.sign(&pin(digits), &[intent]).await
}

async fn sign(attested: &Attested) -> Result<Vec<Signed>, OperationError> {
    sign_with(attested, PIN).await
}

/// Begins and sealed requests so far.
fn counts(peer: &Peer) -> (usize, usize) {
    (peer.count("POST /v1/wallet/begin"), peer.count("POST /v1/wallet/sealed"))
}

/// A person whose last signature left a challenge, and the counts from here on.
async fn signed_once(peer: &Peer) -> (Device, Attested, impl Fn() -> (usize, usize)) {
    let (device, attested) = registered(peer).await;
    sign(&attested).await.unwrap();
    let (peer, before) = (peer.clone(), counts(peer));
    (device, attested, move || {
        let now = counts(&peer);
        (now.0 - before.0, now.1 - before.1)
    })
}

#[tokio::test]
async fn only_the_first_signature_begins_also_after_a_wrong_pin() {
    let peer = Peer::start().await;
    let (_device, attested, counted) = signed_once(&peer).await;
    sign(&attested).await.unwrap();
    assert!(matches!(sign_with(&attested, WRONG).await, Err(OperationError::WrongPin { .. })));
    sign(&attested).await.unwrap();
    assert_eq!(counted(), (0, 3));
    let host = peer.host();
    let (mut challenges, tokens) = (host.enclave.challenges.clone(), host.tokens.clone());
    assert_eq!(tokens[tokens.len() - 4..], ["of-begin", "of-reply", "of-reply", "of-reply"]);
    let all = challenges.len();
    challenges.dedup();
    assert_eq!(challenges.len(), all, "none is used twice");
}

#[tokio::test]
async fn what_is_old_or_of_another_person_boot_or_reply_is_not_used() {
    let peer = Peer::start().await;
    let (device, attested, counted) = signed_once(&peer).await;
    device.world.now.fetch_add(240, Ordering::SeqCst);
    peer.host().now += 240;
    sign(&attested).await.unwrap();
    assert_eq!(counted(), (1, 1), "too old");

    device.client.api().log_out().await.unwrap();
    let other = "bob@example.org";
    device.client.api().log_in(other, &crate::world::password()).await.unwrap();
    let attested = device.client.attest().await.unwrap();
    attested.list_accounts(&[AccountIndex::default()]).await.unwrap();
    let before = counted();
    sign(&attested).await.unwrap();
    assert_eq!(counted(), (before.0 + 1, before.1 + 1), "somebody else's");

    peer.host().enclave.restart(70);
    let attested = device.client.attest().await.unwrap();
    let before = counted();
    sign(&attested).await.unwrap();
    assert_eq!(counted(), (before.0 + 1, before.1 + 1), "another boot's");

    peer.host().stingy = true;
    sign(&attested).await.unwrap();
    let before = counted();
    sign(&attested).await.unwrap();
    assert_eq!(counted(), (before.0 + 1, before.1 + 1), "without a storage token");
    peer.host().stingy = false;

    let lies: [fn(Next) -> Option<Next>; 2] = [
        |_| None,
        |mut next| {
            next.current.as_mut()?.argon2.memory_kib = 1_024;
            Some(next)
        },
    ];
    for lie in lies {
        peer.host().enclave.leave = Some(lie);
        sign(&attested).await.unwrap();
        let before = counted();
        sign(&attested).await.unwrap();
        assert_eq!(counted(), (before.0 + 1, before.1 + 1), "none, or one that is cheap to search");
    }
}

#[tokio::test]
async fn a_challenge_that_was_overtaken_is_replaced_by_a_begin_once() {
    let peer = Peer::start().await;
    let (_device, attested, counted) = signed_once(&peer).await;
    let overtaken = || Outcome::Refused(Refusal::ChallengeInvalid);
    peer.host().enclave.outcomes = vec![overtaken()];
    sign(&attested).await.unwrap();
    assert_eq!(counted(), (1, 2));
    peer.host().enclave.outcomes = vec![overtaken(), overtaken(), overtaken()];
    let error = sign(&attested).await.unwrap_err();
    assert!(matches!(error, OperationError::Refused { refusal: Refusal::ChallengeInvalid }), "{error:?}");
    assert_eq!(counted(), (2, 4));
}

#[tokio::test]
async fn a_storage_token_or_boot_that_is_gone_is_replaced_by_a_begin_once() {
    let peer = Peer::start().await;
    let (device, attested, counted) = signed_once(&peer).await;
    let refuse = || peer.next("/v1/wallet/sealed", problem(403, "storage_token_refused", false));
    refuse();
    sign(&attested).await.unwrap();
    assert_eq!(counted(), (1, 2));
    refuse();
    refuse();
    let error = sign(&attested).await.unwrap_err();
    assert!(matches!(&error, OperationError::Api(api) if api.code() == Some("storage_token_refused")), "{error:?}");
    assert_eq!(counted(), (2, 4));

    sign(&attested).await.unwrap();
    peer.host().enclave.restart(71);
    peer.next("/v1/wallet/sealed", problem(409, "evidence_outdated", true));
    let error = sign(&attested).await.unwrap_err();
    assert!(matches!(error, OperationError::Begin(BeginError::Signature)) && error.wants_new_evidence(), "{error:?}");
    sign(&device.client.attest().await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_host_that_denies_what_it_carried_out_gets_no_second_try_for_the_same_pin() {
    let peer = Peer::start().await;
    let (device, attested, counted) = signed_once(&peer).await;
    let deny = |code| {
        peer.host().canned.push_back(Canned {
            path: "/v1/wallet/sealed",
            answer: problem(403, code, false),
            after: true,
        })
    };
    let left = || peer.host().enclave.tries.left;
    let before = left();
    deny("storage_token_refused");
    let error = sign_with(&attested, WRONG).await.unwrap_err();
    assert!(matches!(error, OperationError::ReplyLost(_)), "{error:?}");
    assert_eq!((counted(), left()), ((1, 1), before - 1));

    // Another begin reply on top, to have the client attest again and come back with the same PIN.
    sign(&attested).await.unwrap();
    let before = left();
    deny("evidence_outdated");
    peer.host().begin = Some(|_, reply| {
        let mut host = Enclave::new();
        host.signer = ed25519(88);
        host.sign_begin(&reply)
    });
    let error = sign_with(&attested, WRONG).await.unwrap_err();
    assert!(matches!(error, OperationError::Begin(BeginError::Signature)) && error.wants_new_evidence(), "{error:?}");
    assert_eq!(left(), before - 1);
    peer.host().begin = None;
    let attested = device.client.attest().await.unwrap();
    let error = sign_with(&attested, WRONG).await.unwrap_err();
    assert!(matches!(error, OperationError::ReplyLost(_)), "{error:?}");
    assert_eq!(left(), before - 1, "the PIN went into no second request");
    sign(&attested).await.unwrap();
}

#[tokio::test]
async fn a_request_in_doubt_that_overtakes_the_second_one_leaves_the_outcome_unknown() {
    let peer = Peer::start().await;
    let (_device, attested, counted) = signed_once(&peer).await;
    peer.next("/v1/wallet/sealed", problem(403, "storage_token_refused", false));
    // The host hands the first request on after the begin.
    peer.host().enclave.outcomes = vec![Outcome::Refused(Refusal::ChallengeInvalid)];
    let error = sign(&attested).await.unwrap_err();
    assert!(matches!(error, OperationError::ReplyLost(_)), "{error:?}");
    assert_eq!(counted(), (1, 2));
}
