//! What an owner accepted, or was shown, is what it was: where it is something else by then, they are asked again.

use pinseal_client::transaction::{Patience, Until, WaitError};
use pinseal_client::{Known, Standing, TransactionError, TransactionRequest};
use pinseal_protocol::intent::AccountIndex;

use crate::enclave::account_address;
use crate::peer::{Peer, problem};
use crate::unsettled::{accepted, hashes, kept, name_nonce, network, pay, prepared, signed, stopped_by, tell};
use crate::world::{Device, PIN, pin, registered};

fn nothing() -> TransactionRequest {
    TransactionRequest { to: account_address(AccountIndex::default()), ..pay("0") }
}

async fn proposed(device: &Device, request: TransactionRequest) -> pinseal_client::PreparedTransaction {
    device.client.propose_transaction(&request, &[]).await.unwrap()
}

#[tokio::test]
async fn what_was_to_be_replaced_and_is_not_is_asked_again_also_where_nobody_is_paid() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    peer.next("/v1/tx/broadcast", problem(422, "transaction_rejected", false));
    device.client.broadcast(&first).await.unwrap_err();
    tell(&peer, first.hash(), "dropped");
    // Its owner wants it gone, and reads that this takes its place. When the nonce is held the host names another one.
    let shown = proposed(&device, nothing()).await;
    assert_eq!((hashes(shown.instead()), hashes(shown.unreplaced())), (vec![first.hash()], vec![]));
    name_nonce(&peer, 5);
    for said in ["dropped", "pending", "mined", "final"] {
        tell(&peer, first.hash(), said);
        let held = prepared(&device, &nothing()).await.unwrap();
        assert!(held.is_otherwise_beside(&shown), "{said}");
        assert_eq!(hashes(held.replaced_no_more(&shown)), [first.hash()], "{said}");
        // Asked again, they know.
        let shown = proposed(&device, nothing()).await;
        assert_eq!((hashes(shown.instead()), hashes(shown.unreplaced())), (vec![], vec![first.hash()]), "{said}");
        assert!(!held.is_otherwise_beside(&shown) && held.replaced_no_more(&shown).is_empty(), "{said}");
    }
    let beside = attested.sign_transaction(&pin(PIN), &prepared(&device, &nothing()).await.unwrap()).await.unwrap();
    peer.host().told.clear();
    device.client.broadcast(&beside).await.unwrap();
}

#[tokio::test]
async fn what_pays_nobody_is_not_handed_over_beside_what_its_owner_was_not_shown() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 5);
    let own = signed(&device, &attested, &nothing()).await;
    let shown = proposed(&device, nothing()).await;
    name_nonce(&peer, 4);
    let other = signed(&device, &attested, &pay("1.5")).await;
    peer.next("/v1/tx/broadcast", problem(422, "transaction_rejected", false));
    device.client.broadcast(&other).await.unwrap_err();
    let error = device.client.broadcast(&own).await.unwrap_err();
    assert!(matches!(&error, TransactionError::Unsettled(entries) if hashes(entries) == [other.hash()]), "{error:?}");
    assert!(error.was_never_handed_over() && kept(&device, own.hash()).await.is_none());
    // Shown what it does not take the place of, they hand it over.
    tell(&peer, other.hash(), "dropped");
    name_nonce(&peer, 5);
    let again = prepared(&device, &nothing()).await.unwrap();
    assert!(again.is_otherwise_beside(&shown));
    let again = attested.sign_transaction(&pin(PIN), &again).await.unwrap();
    peer.host().told.clear();
    device.client.broadcast(&again).await.unwrap();
}

#[tokio::test]
async fn what_was_accepted_while_it_waited_is_kept_and_stops_what_comes_after_it_is_denied() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    peer.next("/v1/tx/broadcast", problem(422, "transaction_rejected", false));
    device.client.broadcast(&first).await.unwrap_err();
    tell(&peer, first.hash(), "pending");
    name_nonce(&peer, 5);
    assert_eq!(stopped_by(prepared(&device, &pay("1.5")).await), [first.hash()]);
    let beside = pay("1.5").beside(accepted(first.hash(), Standing::Waiting));
    let second = signed(&device, &attested, &beside).await;
    peer.host().told.clear();
    device.client.broadcast(&second).await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Waiting, Known::Told)));
    // As long as it waits nothing more is said of it.
    for sent in [&first, &second] {
        tell(&peer, sent.hash(), "pending");
    }
    name_nonce(&peer, 6);
    assert_eq!(hashes(prepared(&device, &pay("1.5")).await.unwrap().beside()), [second.hash()]);
    // The host names its nonce, which no honest one does while it waits.
    name_nonce(&peer, 4);
    let error = prepared(&device, &pay("1.7")).await.unwrap_err();
    assert!(matches!(error, TransactionError::Unreasonable(_)), "{error:?}");
    // The lie: neither was sent. Whoever pays a third time is asked about both.
    name_nonce(&peer, 6);
    for sent in [&first, &second] {
        tell(&peer, sent.hash(), "dropped");
    }
    device.client.transactions(&network(), account_address(AccountIndex::default()), 10, None).await.unwrap();
    assert_eq!(stopped_by(prepared(&device, &pay("1.5")).await), [first.hash(), second.hash()]);
    for sent in [&first, &second] {
        tell(&peer, sent.hash(), "pending");
    }
    assert_eq!(stopped_by(prepared(&device, &pay("1.7")).await), [first.hash(), second.hash()]);
}

#[tokio::test]
async fn what_was_accepted_as_reverted_still_uses_up_its_nonce() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    device.client.broadcast(&first).await.unwrap();
    let second = signed(&device, &attested, &pay("1.6").in_place_of(4)).await;
    device.client.broadcast(&second).await.unwrap();
    tell(&peer, first.hash(), "replaced");
    tell(&peer, second.hash(), "failed");
    let waited = device.client.wait_for(&second, Until::Mined, Patience::polls(3)).await;
    assert!(matches!(waited, Err(WaitError::Failed(_))), "{waited:?}");
    name_nonce(&peer, 5);
    assert_eq!(stopped_by(prepared(&device, &pay("1.6")).await), [second.hash()]);
    let third = signed(&device, &attested, &pay("1.6").beside(accepted(second.hash(), Standing::Reverted))).await;
    peer.host().told.clear();
    device.client.broadcast(&third).await.unwrap();
    assert_eq!(kept(&device, second.hash()).await, Some((Standing::Reverted, Known::Doubtful)));
    for (sent, status) in [(&first, "replaced"), (&second, "failed"), (&third, "pending")] {
        tell(&peer, sent.hash(), status);
    }
    // What it took the place of is not on its way, and cannot be any more; the same as that is not paid again unasked.
    name_nonce(&peer, 6);
    let other = prepared(&device, &pay("1.7")).await.unwrap();
    assert_eq!((hashes(other.beside()), hashes(other.unreplaced())), (vec![third.hash()], vec![]));
    assert_eq!(stopped_by(prepared(&device, &pay("1.5")).await), [first.hash()]);
    assert_eq!(hashes(prepared(&device, &pay("1.6")).await.unwrap().repeated()), [third.hash()]);
    name_nonce(&peer, 4);
    let error = prepared(&device, &pay("1.7")).await.unwrap_err();
    assert!(matches!(error, TransactionError::Unreasonable(_)), "its nonce is used up: {error:?}");
    // It did something after all.
    name_nonce(&peer, 6);
    tell(&peer, second.hash(), "mined");
    assert_eq!(stopped_by(prepared(&device, &pay("1.7")).await), [second.hash()]);
}
