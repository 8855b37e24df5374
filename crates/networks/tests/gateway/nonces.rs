//! One writer of nonces, whatever happens around it.

use std::collections::BTreeSet;

use pinseal_networks::{BroadcastError, Gap, PrepareError, TxStatus};
use tokio::task::JoinSet;

use crate::support::{LOCAL, Scene, TO, anvil, request, transfer};

#[tokio::test]
async fn fifty_parallel_sends_get_fifty_nonces_and_are_all_mined() {
    let scene = Scene::new(1, &[]).await;
    let from = scene.node().account(1).await;
    let mut sends = JoinSet::new();
    for _ in 0..50 {
        let (gateway, node) = (scene.gateway.clone(), scene.node());
        sends.spawn(async move {
            let prepared = gateway.prepare(transfer(from)).await.unwrap();
            let raw = node.sign(from, prepared.nonce, prepared.fees.normal, 1).await;
            gateway.broadcast(request(raw)).await.unwrap()
        });
    }
    let sent = sends.join_all().await;
    let nonces: BTreeSet<u64> = sent.iter().map(|record| record.nonce).collect();
    assert_eq!(nonces, (0..50).collect());
    for record in &sent {
        scene.node().until_mined(record.hash).await;
    }
    assert_eq!(scene.node().mined_count(from).await, 50);

    scene.gateway.track_once().await;
    for record in sent {
        let found = scene.gateway.transaction(record.hash).await.unwrap().unwrap();
        assert!(matches!(found.status, TxStatus::Final(_)), "{:?}", found.status);
    }
    assert_eq!(scene.gateway.nonces(LOCAL, from).await.unwrap().reservations, vec![]);
    assert_eq!(scene.prepare(from).await.nonce, 50);
}

#[tokio::test]
async fn a_restart_forgets_neither_reservations_nor_open_transactions() {
    let mut scene = Scene::new(2, &[]).await;
    let from = scene.node().account(1).await;
    let sent = scene.send(from).await;
    scene.node().until_mined(sent.hash).await;
    assert_eq!(scene.prepare(from).await.nonce, 1);

    scene.restart();
    assert_eq!(scene.prepare(from).await.nonce, 2);
    scene.gateway.track_once().await;
    let found = scene.gateway.transaction(sent.hash).await.unwrap().unwrap();
    assert!(matches!(found.status, TxStatus::Mined(_)), "{:?}", found.status);

    scene.restart();
    scene.node().mine(1).await;
    scene.gateway.track_once().await;
    let found = scene.gateway.transaction(sent.hash).await.unwrap().unwrap();
    assert!(matches!(found.status, TxStatus::Final(_)), "{:?}", found.status);
}

#[tokio::test]
async fn an_abandoned_nonce_is_filled_first_so_that_later_sends_move() {
    let scene = Scene::new(1, &[]).await;
    let node = scene.node();
    let from = node.account(1).await;
    let first = scene.prepare(from).await;
    let (second, third) = (scene.prepare(from).await, scene.prepare(from).await);
    assert_eq!([first.nonce, second.nonce, third.nonce], [0, 1, 2]);
    let mut last = None;
    for prepared in [second, third] {
        let raw = node.sign(from, prepared.nonce, prepared.fees.normal, 1).await;
        last = Some(scene.gateway.broadcast(request(raw)).await.unwrap().hash);
    }
    scene.gateway.track_once().await;
    let gap = async || scene.gateway.nonces(LOCAL, from).await.unwrap().gap();
    assert_eq!(gap().await, Some(Gap { nonce: 0, until: Some(first.reserved.unwrap().expires) }));
    assert_eq!(node.mined_count(from).await, 0);

    // The first is never sent. As long as it is held, nobody else gets its nonce.
    assert_eq!(scene.prepare(from).await.nonce, 3);
    scene.clock.advance(121);
    assert_eq!(gap().await, Some(Gap { nonce: 0, until: None }));
    let filled = scene.prepare(from).await;
    assert_eq!(filled.nonce, 0);
    let raw = node.sign(from, 0, filled.fees.normal, 1).await;
    scene.gateway.broadcast(request(raw)).await.unwrap();
    node.until_mined(last.unwrap()).await;
    scene.gateway.track_once().await;
    assert_eq!(node.mined_count(from).await, 3);
    assert_eq!(scene.prepare(from).await.nonce, 3);
}

/// What a person leaves on the screen for ever, with no word to the host, on however many devices, costs nobody anything.
#[tokio::test]
async fn what_is_looked_at_and_left_holds_no_nonce_that_others_wait_for() {
    let scene = Scene::new(1, &[]).await;
    let from = scene.node().account(1).await;
    for _ in 0..70 {
        let left = scene.gateway.propose(transfer(from)).await.unwrap();
        assert_eq!((left.nonce, left.reserved), (0, None));
    }
    assert_eq!(scene.gateway.nonces(LOCAL, from).await.unwrap().reservations, vec![]);
    let sent = scene.send(from).await;
    scene.node().until_mined(sent.hash).await;
    scene.gateway.track_once().await;
    let found = scene.gateway.transaction(sent.hash).await.unwrap().unwrap();
    assert!(matches!(found.status, TxStatus::Final(_)), "{:?}", found.status);

    // What is held by somebody who signs is not proposed to another, and what has expired is.
    let held = scene.prepare(from).await;
    assert_eq!((held.nonce, scene.gateway.propose(transfer(from)).await.unwrap().nonce), (1, 2));
    scene.clock.advance(121);
    assert_eq!(scene.gateway.propose(transfer(from)).await.unwrap().nonce, 1);
}

#[tokio::test]
async fn two_devices_that_look_at_once_sign_with_different_nonces_and_both_are_mined() {
    let scene = Scene::new(1, &[]).await;
    let (node, from) = (scene.node(), scene.node().account(1).await);
    let shown = [0, 1].map(|_| scene.gateway.propose(transfer(from)));
    let [one, two] = shown;
    assert_eq!((one.await.unwrap().nonce, two.await.unwrap().nonce), (0, 0));
    // Both approve; the second one's signature is there first.
    let (first, second) = (scene.prepare(from).await, scene.prepare(from).await);
    let late =
        scene.gateway.broadcast(request(node.sign(from, second.nonce, second.fees.normal, 2).await)).await.unwrap();
    let below = async |nonce| scene.gateway.nonces_below(LOCAL, from, nonce).await.unwrap().gap_below(nonce);
    assert_eq!(below(late.nonce).await.map(|gap| gap.nonce), Some(0));
    let early =
        scene.gateway.broadcast(request(node.sign(from, first.nonce, first.fees.normal, 1).await)).await.unwrap();
    assert_eq!((early.nonce, late.nonce), (0, 1));
    node.until_mined(late.hash).await;
    assert_eq!((node.mined_count(from).await, below(late.nonce).await), (2, None));
}

#[tokio::test]
async fn no_node_is_asked_what_a_transaction_waits_for_where_all_before_it_were_sent_from_here() {
    let scene = Scene::new(2, &["--no-mining"]).await;
    let from = scene.node().account(1).await;
    for _ in 0..3 {
        scene.send(from).await;
    }
    let gateway = scene.gateway.clone();
    scene.anvil.stop().await;
    assert_eq!(gateway.nonces_below(LOCAL, from, 2).await.unwrap().gap_below(2), None);
    assert!(
        gateway.nonces_below(LOCAL, from, 9).await.is_err(),
        "only a node knows whether 3 to 8 were used elsewhere"
    );
}

#[tokio::test]
async fn a_late_signature_over_an_expired_nonce_never_displaces_the_one_sent_since() {
    let scene = Scene::new(1, &["--no-mining"]).await;
    let node = scene.node();
    let from = node.account(1).await;
    let late = scene.prepare(from).await;
    scene.clock.advance(121);
    let quick = scene.prepare(from).await;
    assert_eq!((late.nonce, quick.nonce), (0, 0));
    let sent = scene.gateway.broadcast(request(node.sign(from, 0, quick.fees.slow, 1).await)).await.unwrap();
    let refused = scene.gateway.broadcast(request(node.sign(from, 0, late.fees.fast, 2).await)).await;
    assert!(matches!(refused, Err(BroadcastError::NonceTaken { by }) if by == sent.hash), "{refused:?}");
    // The late one's reservation is not the quick one's to give back.
    assert!(!scene.gateway.release(late.reserved.unwrap().id).await.unwrap());
    assert!(!scene.gateway.release(quick.reserved.unwrap().id).await.unwrap());
}

#[tokio::test]
async fn a_released_nonce_is_the_next_ones_and_hoarding_is_bounded() {
    let scene = Scene::new(1, &[]).await;
    let from = scene.node().account(1).await;
    let first = scene.prepare(from).await;
    assert_eq!(scene.prepare(from).await.nonce, 1);
    assert!(scene.gateway.release(first.reserved.unwrap().id).await.unwrap());
    assert!(!scene.gateway.release(first.reserved.unwrap().id).await.unwrap());
    assert_eq!(scene.prepare(from).await.nonce, 0);
    for nonce in 2..64 {
        assert_eq!(scene.prepare(from).await.nonce, nonce);
    }
    assert!(matches!(scene.gateway.prepare(transfer(from)).await, Err(PrepareError::TooManyReserved)));
    let other = scene.node().account(2).await;
    assert_eq!(scene.prepare(other).await.nonce, 0);
    scene.clock.advance(121);
    assert_eq!(scene.prepare(from).await.nonce, 0);
}

#[tokio::test]
async fn what_the_user_sent_elsewhere_is_counted() {
    let scene = Scene::new(1, &["--no-mining"]).await;
    let from = scene.node().account(1).await;
    let elsewhere = serde_json::json!([{"from": format!("0x{from}"), "to": format!("0x{TO}"), "value": "0x9"}]);
    scene.node().rpc("eth_sendTransaction", elsewhere).await;
    assert_eq!(scene.prepare(from).await.nonce, 1);
}

#[tokio::test]
async fn a_local_chain_that_starts_anew_starts_its_nonces_anew() {
    let mut scene = Scene::new(1, &[]).await;
    let from = scene.node().account(1).await;
    let sent = scene.send(from).await;
    scene.gateway.track_once().await;
    assert_eq!(scene.prepare(from).await.nonce, 1);

    // Development nodes put the time into their first block; a second apart is enough.
    let timestamp = "--timestamp=1900000000";
    let old = std::mem::replace(&mut scene.anvil, anvil(&[timestamp]).await);
    old.stop().await;
    scene.restart();
    assert_eq!(scene.prepare(from).await.nonce, 0);
    assert_eq!(scene.gateway.transaction(sent.hash).await.unwrap(), None);
}

#[tokio::test]
async fn a_local_chain_put_back_to_an_older_state_takes_the_same_transaction_again() {
    let mut scene = Scene::new(1, &[]).await;
    let node = scene.node();
    let from = node.account(1).await;
    let kept = scene.send(from).await;
    node.until_mined(kept.hash).await;
    let snapshot = node.rpc("evm_snapshot", serde_json::json!([])).await;
    let lost = scene.send(from).await;
    node.until_mined(lost.hash).await;
    scene.gateway.track_once().await;
    assert!(matches!(scene.gateway.transaction(lost.hash).await.unwrap().unwrap().status, TxStatus::Final(_)));

    // The same state: nothing is forgotten.
    scene.restart();
    assert_eq!(scene.prepare(from).await.nonce, 2);
    assert!(scene.gateway.transaction(kept.hash).await.unwrap().is_some());

    node.rpc("evm_revert", serde_json::json!([snapshot])).await;
    scene.restart();
    assert_eq!(scene.prepare(from).await.nonce, 1);
    scene.gateway.broadcast(request(lost.raw)).await.unwrap();
    node.until_mined(lost.hash).await;
    scene.gateway.track_once().await;
    assert_eq!(node.mined_count(from).await, 2);
    assert!(matches!(scene.gateway.transaction(lost.hash).await.unwrap().unwrap().status, TxStatus::Final(_)));
}
