//! One profile, two people: what was begun for one of them is not carried on for the other.

use std::sync::Arc;

use pinseal_client::operation::Words;
use pinseal_client::{AccountError, ApiError, HistoryError, MemoryProfile, OperationError, TransactionError};
use pinseal_protocol::intent::AccountIndex;

use crate::out::{Afterwards, somebody_else};
use crate::peer::{Peer, problem};
use crate::unsettled::{name_nonce, pay};
use crate::world::{Device, PIN, any_development, device_in, new_pin, pin, registered};

const BEGIN: &str = "POST /v1/wallet/begin";
const SEALED: &str = "POST /v1/wallet/sealed";

fn is_changed(error: &OperationError) -> bool {
    matches!(error, OperationError::Api(ApiError::UserChanged))
}

/// Ann's device, with the profile from after another program has logged in as Bob. It happens once the host has had this call again.
async fn taken_over(peer: &Peer, device: &Device, call: &'static str) -> Device {
    let inner = Arc::new(MemoryProfile::holding(device.client.profile().await.unwrap()));
    let before = peer.count(call);
    let store = Afterwards { inner, peer: peer.clone(), call, before, happens: somebody_else };
    device_in(peer, any_development(), Arc::new(store))
}

#[tokio::test]
async fn a_pin_goes_to_nobodys_wallet_but_that_of_whom_it_was_attested_for() {
    let peer = Peer::start().await;
    let (device, _) = registered(&peer).await;
    // Bob logs in while Ann types.
    let device = taken_over(&peer, &device, "GET /v1/me").await;
    let attested = device.client.attest().await.unwrap();
    device.client.api().me().await.unwrap();
    let asked = (peer.count(BEGIN), peer.count(SEALED));
    let ann = pin(PIN);
    let index = [AccountIndex::default()];
    assert!(is_changed(&attested.verify_pin(&ann).await.unwrap_err()));
    assert!(is_changed(&attested.change_pin(&ann, &new_pin("730154")).await.unwrap_err()));
    assert!(is_changed(&attested.register(&new_pin(PIN), Words::Twelve, "laptop").await.unwrap_err()));
    assert!(is_changed(&attested.enrol_device(&ann, "laptop").await.unwrap_err()));
    assert!(is_changed(&attested.clear_tries(&ann).await.unwrap_err()));
    assert!(is_changed(&attested.status().await.unwrap_err()));
    assert!(is_changed(&attested.list_accounts(&index).await.unwrap_err()));
    let error = attested.accounts().await.unwrap_err();
    assert!(matches!(error, OperationError::Account(AccountError::Api(ApiError::UserChanged))), "{error:?}");
    let error = attested.history(None).await.unwrap_err();
    assert!(matches!(&error, HistoryError::Operation(error) if is_changed(error)), "{error:?}");
    assert_eq!((peer.count(BEGIN), peer.count(SEALED)), asked, "nobody was asked anything for Bob");
}

#[tokio::test]
async fn an_operation_ends_where_somebody_else_logs_in_between_its_steps() {
    let peer = Peer::start().await;
    let (device, _) = registered(&peer).await;
    let device = taken_over(&peer, &device, BEGIN).await;
    let attested = device.client.attest().await.unwrap();
    let sealed = peer.count(SEALED);
    assert!(is_changed(&attested.verify_pin(&pin(PIN)).await.unwrap_err()));
    assert_eq!(peer.count(SEALED), sealed, "the PIN stayed here");
}

/// The new PIN would be confirmed at, and the first one's wallet made anew in, another's.
#[tokio::test]
async fn of_two_steps_under_one_pin_the_second_is_not_taken_for_somebody_else() {
    let peer = Peer::start().await;
    let (device, _) = registered(&peer).await;
    let device = taken_over(&peer, &device, SEALED).await;
    let attested = device.client.attest().await.unwrap();
    // The nonce for its proofs.
    device.client.api().me().await.unwrap();
    let begun = peer.count(BEGIN);
    assert!(is_changed(&attested.change_pin(&pin(PIN), &new_pin("730154")).await.unwrap_err()));
    assert_eq!(peer.count(BEGIN), begun + 1);
}

#[tokio::test]
async fn nobodys_session_is_renewed_for_somebody_elses_call() {
    let peer = Peer::start().await;
    let (device, _) = registered(&peer).await;
    let device = taken_over(&peer, &device, "GET /v1/me").await;
    peer.next("/v1/me", problem(401, "token_expired", true));
    let error = device.client.api().me().await.unwrap_err();
    assert!(matches!(error, ApiError::UserChanged), "{error:?}");
    assert_eq!(peer.count("POST /v1/session/refresh"), 0);
}

#[tokio::test]
async fn what_is_sent_again_is_sent_for_whom_it_was_sent_first() {
    let peer = Peer::start().await;
    let (device, _) = registered(&peer).await;
    name_nonce(&peer, 4);
    let device = taken_over(&peer, &device, "POST /v1/tx/prepare").await;
    peer.next("/v1/tx/prepare", problem(502, "gateway", true));
    let error = device.client.prepare_transaction(&pay("1.5"), &[]).await.unwrap_err();
    assert!(matches!(error, TransactionError::Api(ApiError::UserChanged)), "{error:?}");
    assert_eq!(peer.count("POST /v1/tx/prepare"), 1);
}

/// Who is there now is served as ever.
#[tokio::test]
async fn whoever_is_logged_in_gets_a_client_of_their_own() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    let own = device.client.own().await.unwrap();
    own.api().me().await.unwrap();
    device.client.api().log_in("bob@example.org", &crate::world::password()).await.unwrap();
    device.client.api().me().await.unwrap();
    assert!(matches!(own.api().me().await, Err(ApiError::UserChanged)));
    assert!(is_changed(&attested.status().await.unwrap_err()));
    device.client.own().await.unwrap().api().me().await.unwrap();
    // And nobody in particular while nobody is.
    device.client.api().log_out().await.unwrap();
    let nobodys = device.client.own().await.unwrap();
    assert!(matches!(nobodys.api().me().await, Err(ApiError::NotLoggedIn)));
    device.client.api().log_in("bob@example.org", &crate::world::password()).await.unwrap();
    nobodys.api().me().await.unwrap();
}

/// Whoever logs in later attests for themselves.
#[tokio::test]
async fn evidence_that_was_verified_for_nobody_takes_no_pin() {
    let peer = Peer::start().await;
    let device = crate::world::device(&peer);
    let attested = device.client.attest().await.unwrap();
    device.client.api().log_in("bob@example.org", &crate::world::password()).await.unwrap();
    let error = attested.register(&new_pin(PIN), Words::Twelve, "laptop").await.unwrap_err();
    assert!(matches!(error, OperationError::Api(ApiError::NotLoggedIn)), "{error:?}");
    assert_eq!(peer.count(BEGIN), 0);
}

#[tokio::test]
async fn a_payment_that_one_approved_is_not_signed_by_another() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let prepared = device.client.prepare_transaction(&pay("1.5"), &[]).await.unwrap();
    let signed = attested.sign_transaction(&pin(PIN), &prepared).await.unwrap();
    device.client.api().log_in("bob@example.org", &crate::world::password()).await.unwrap();
    let of_bob = device.client.attest().await.unwrap();
    let begun = peer.count(BEGIN);
    assert!(is_changed(&of_bob.sign_transaction(&pin(PIN), &prepared).await.unwrap_err()));
    assert_eq!(peer.count(BEGIN), begun, "the PIN was tried nowhere");
    let error = device.client.broadcast(&signed).await.unwrap_err();
    assert!(matches!(error, TransactionError::Api(ApiError::UserChanged)), "{error:?}");
    assert!(device.client.outgoing().await.unwrap().get(&signed.hash()).is_none(), "nothing left, and nothing is kept");
    assert!(matches!(device.client.discard(prepared).await, Err(ApiError::UserChanged)));
    assert_eq!(peer.count("POST /v1/tx/release"), 0);
}

#[tokio::test]
async fn ones_client_shows_nobody_elses_account() {
    let peer = Peer::start().await;
    let (device, _) = registered(&peer).await;
    let own = device.client.own().await.unwrap();
    let account = own.account(AccountIndex::default()).await.unwrap();
    device.client.api().log_in("bob@example.org", &crate::world::password()).await.unwrap();
    assert_eq!(own.account(AccountIndex::default()).await.unwrap(), account);
    let error = device.client.account(AccountIndex::default()).await.unwrap_err();
    assert!(matches!(error, AccountError::Unknown), "Bob has none here: {error:?}");
}

#[tokio::test]
async fn nobody_is_logged_out_by_somebody_else() {
    let peer = Peer::start().await;
    let (device, _) = registered(&peer).await;
    let own = device.client.own().await.unwrap();
    device.client.api().log_in("bob@example.org", &crate::world::password()).await.unwrap();
    let error = own.api().log_out().await.unwrap_err();
    assert!(matches!(error, ApiError::UserChanged), "{error:?}");
    assert_eq!(peer.count("POST /v1/logout"), 0);
    device.client.api().me().await.unwrap();
    // Nor where it happens once the server has been told: what was logged out is the one that was there before.
    let device = taken_over(&peer, &device, "POST /v1/logout").await;
    device.client.api().log_out().await.unwrap();
    assert!(device.client.profile().await.unwrap().session.is_some());
}
