//! What else can become of a transaction: replaced, reorganised away, dropped.

use alloy_primitives::U256;
use pinseal_networks::{BroadcastError, BroadcastRequest, Fee, PrepareError, TxRecord, TxStatus};
use pinseal_protocol::ids::Hash32;
use serde_json::json;

use crate::support::{Scene, request, transfer};

async fn status(scene: &Scene, hash: Hash32) -> TxStatus {
    scene.gateway.transaction(hash).await.unwrap().unwrap().status
}

fn doubled(fee: Fee) -> Fee {
    Fee {
        max_fee_per_gas: fee.max_fee_per_gas * U256::from(2),
        max_priority_fee_per_gas: (fee.max_priority_fee_per_gas + U256::from(1)) * U256::from(2),
    }
}

async fn sent_and_pending(scene: &Scene) -> TxRecord {
    let from = scene.node().account(1).await;
    let sent = scene.send(from).await;
    scene.gateway.track_once().await;
    assert_eq!(status(scene, sent.hash).await, TxStatus::Pending);
    sent
}

#[tokio::test]
async fn a_named_replacement_takes_the_nonce_and_the_first_one_ends_replaced() {
    let scene = Scene::new(1, &["--no-mining"]).await;
    let node = scene.node();
    let first = sent_and_pending(&scene).await;
    let fee = doubled(scene.gateway.fees("local").await.unwrap().fast);
    let raw = node.sign(first.sender, 0, fee, 2).await;
    let replacement = BroadcastRequest { replaces: Some(first.hash), ..request(raw) };
    let second = scene.gateway.broadcast(replacement).await.unwrap();

    node.mine(1).await;
    scene.gateway.track_once().await;
    assert!(matches!(status(&scene, second.hash).await, TxStatus::Final(_)));
    assert_eq!(status(&scene, first.hash).await, TxStatus::Replaced { by: Some(second.hash), settled: true });
    assert_eq!(scene.gateway.track_once().await.checked, 0);
    assert_eq!(scene.prepare(first.sender).await.nonce, 1);
}

#[tokio::test]
async fn a_prepared_replacement_has_the_nonce_and_fees_that_the_pool_takes() {
    let scene = Scene::new(1, &["--no-mining"]).await;
    let node = scene.node();
    let from = node.account(1).await;
    let prepared = scene.prepare(from).await;
    let early = scene.gateway.prepare_replacement(transfer(from), prepared.nonce).await;
    assert!(matches!(early, Err(PrepareError::NothingToReplace)), "reserved, not sent: {early:?}");
    // Dearer than any tier, so that only a rise above it is taken.
    let dear = doubled(doubled(prepared.fees.fast));
    let first = scene.gateway.broadcast(request(node.sign(from, prepared.nonce, dear, 1).await)).await.unwrap();
    let other = scene.gateway.prepare_replacement(transfer(node.account(2).await), prepared.nonce).await;
    assert!(matches!(other, Err(PrepareError::NothingToReplace)), "another sender's: {other:?}");

    let again = scene.gateway.prepare_replacement(transfer(from), prepared.nonce).await.unwrap();
    assert_eq!((again.nonce, again.replaces), (prepared.nonce, Some(first.hash)));
    let raw = node.sign(from, again.nonce, again.fees.slow, 2).await;
    let unnamed = scene.gateway.broadcast(request(raw.clone())).await;
    assert!(matches!(unnamed, Err(BroadcastError::NonceTaken { by }) if by == first.hash), "{unnamed:?}");
    let second = scene.gateway.broadcast(BroadcastRequest { replaces: again.replaces, ..request(raw) }).await.unwrap();
    assert_eq!(second.status, TxStatus::Pending);

    node.mine(1).await;
    scene.gateway.track_once().await;
    assert!(matches!(status(&scene, second.hash).await, TxStatus::Final(_)));
    let late = scene.gateway.prepare_replacement(transfer(from), prepared.nonce).await;
    assert!(matches!(late, Err(PrepareError::NothingToReplace)), "mined: {late:?}");
}

#[tokio::test]
async fn a_transaction_displaced_from_elsewhere_ends_replaced_by_an_unknown_one() {
    let scene = Scene::new(2, &["--no-mining"]).await;
    let node = scene.node();
    let first = sent_and_pending(&scene).await;
    let fee = doubled(scene.gateway.fees("local").await.unwrap().fast);
    let raw = node.sign(first.sender, 0, fee, 2).await;
    node.rpc("eth_sendRawTransaction", json!([alloy_primitives::hex::encode_prefixed(raw)])).await;

    node.mine(1).await;
    scene.gateway.track_once().await;
    let replaced = TxStatus::Replaced { by: None, settled: false };
    assert_eq!(status(&scene, first.hash).await, replaced);
    scene.gateway.track_once().await;
    assert_eq!(status(&scene, first.hash).await, replaced, "one block is not final yet");
    node.mine(1).await;
    scene.gateway.track_once().await;
    assert_eq!(status(&scene, first.hash).await, TxStatus::Replaced { by: None, settled: true });
    assert_eq!(scene.prepare(first.sender).await.nonce, 1);
}

#[tokio::test]
async fn a_reorganised_transaction_is_sent_again_and_still_becomes_final_once() {
    let scene = Scene::new(3, &["--no-mining"]).await;
    let node = scene.node();
    let before = node.rpc("evm_snapshot", json!([])).await;
    let sent = sent_and_pending(&scene).await;
    node.mine(1).await;
    scene.gateway.track_once().await;
    assert!(matches!(status(&scene, sent.hash).await, TxStatus::Mined(_)));

    assert_eq!(node.rpc("evm_revert", json!([before])).await, json!(true));
    node.rpc("anvil_dropAllTransactions", json!([])).await;
    node.mine(1).await;
    scene.gateway.track_once().await;
    assert_eq!(status(&scene, sent.hash).await, TxStatus::Pending);
    // Its nonce is still its own.
    assert_eq!(scene.prepare(sent.sender).await.nonce, 1);

    node.mine(1).await;
    scene.gateway.track_once().await;
    let TxStatus::Mined(at) = status(&scene, sent.hash).await else { panic!("not mined again") };
    assert_eq!(at.block_number, 2);
    node.mine(1).await;
    scene.gateway.track_once().await;
    assert!(matches!(status(&scene, sent.hash).await, TxStatus::Mined(_)));
    node.mine(1).await;
    scene.gateway.track_once().await;
    assert!(matches!(status(&scene, sent.hash).await, TxStatus::Final(_)));
    assert_eq!(node.mined_count(sent.sender).await, 1);
}

#[tokio::test]
async fn a_transaction_nodes_keep_refusing_is_dropped_and_its_nonce_freed() {
    let scene = Scene::new(1, &["--no-mining"]).await;
    let node = scene.node();
    let sent = sent_and_pending(&scene).await;
    node.rpc("anvil_dropTransaction", json!([format!("0x{}", sent.hash)])).await;
    node.set_balance(sent.sender, 0).await;
    for _ in 0..2 {
        scene.gateway.track_once().await;
        assert_eq!(status(&scene, sent.hash).await, TxStatus::Pending);
    }
    scene.gateway.track_once().await;
    assert_eq!(status(&scene, sent.hash).await, TxStatus::Dropped);

    node.set_balance(sent.sender, 10_u128.pow(20)).await;
    let second = scene.send(sent.sender).await;
    assert_eq!(second.nonce, sent.nonce);
    node.mine(1).await;
    scene.gateway.track_once().await;
    assert!(matches!(status(&scene, second.hash).await, TxStatus::Final(_)));
    // The same transfer signed anew is the same transaction if its fee did not change.
    if second.hash != sent.hash {
        assert_eq!(status(&scene, sent.hash).await, TxStatus::Replaced { by: Some(second.hash), settled: true });
    }
    assert_eq!(node.mined_count(sent.sender).await, 1);
}

#[tokio::test]
async fn a_dropped_transaction_that_somebody_kept_is_still_recognised_when_mined() {
    let scene = Scene::new(1, &["--no-mining"]).await;
    let node = scene.node();
    let sent = sent_and_pending(&scene).await;
    node.rpc("anvil_dropTransaction", json!([format!("0x{}", sent.hash)])).await;
    node.set_balance(sent.sender, 0).await;
    for _ in 0..3 {
        scene.gateway.track_once().await;
    }
    assert_eq!(status(&scene, sent.hash).await, TxStatus::Dropped);
    assert_eq!(scene.gateway.track_once().await.checked, 0, "it is let alone for a moment");
    node.set_balance(sent.sender, 10_u128.pow(20)).await;
    node.rpc("eth_sendRawTransaction", json!([alloy_primitives::hex::encode_prefixed(&sent.raw)])).await;
    node.mine(1).await;
    scene.clock.advance(4);
    scene.gateway.track_once().await;
    assert!(matches!(status(&scene, sent.hash).await, TxStatus::Final(_)));
    assert_eq!(scene.prepare(sent.sender).await.nonce, 1);
}

/// Anvil takes what costs less gas than its data must (EIP-7623), and forgets it when it should mine it.
#[tokio::test]
async fn a_transaction_that_a_node_takes_and_forgets_is_sent_ever_more_seldom() {
    let scene = Scene::new(1, &["--no-mining"]).await;
    let node = scene.node();
    let from = node.account(1).await;
    let fee = scene.gateway.fees("local").await.unwrap().fast;
    let below_floor = node.sign_data(from, 0, fee, 1_000, 30_000).await;
    let sent = scene.gateway.broadcast(request(below_floor)).await.unwrap();
    let mut asked = 0;
    for _ in 0..300 {
        asked += scene.gateway.track_once().await.checked;
        node.mine(1).await;
        scene.clock.advance(200);
    }
    assert!((8..20).contains(&asked), "{asked} times in 17 hours");
    assert!(scene.gateway.transaction(sent.hash).await.unwrap().is_some());
}

#[tokio::test]
async fn a_mined_and_reverted_transaction_is_final_and_not_a_success() {
    let scene = Scene::new(1, &["--no-mining"]).await;
    let node = scene.node();
    let sent = sent_and_pending(&scene).await;
    let recipient = sent.recipient.unwrap();
    node.rpc("anvil_setCode", json!([format!("0x{recipient}"), "0x5f5ffd"])).await;
    node.mine(1).await;
    scene.gateway.track_once().await;
    let TxStatus::Final(at) = status(&scene, sent.hash).await else { panic!("not final") };
    assert!(!at.success);
}

#[tokio::test]
async fn a_dropped_transaction_can_be_sent_again_and_is_never_forgotten() {
    let scene = Scene::new(1, &["--no-mining"]).await;
    let node = scene.node();
    let sent = sent_and_pending(&scene).await;
    node.rpc("anvil_dropTransaction", json!([format!("0x{}", sent.hash)])).await;
    node.set_balance(sent.sender, 0).await;
    for _ in 0..3 {
        scene.gateway.track_once().await;
    }
    assert_eq!(status(&scene, sent.hash).await, TxStatus::Dropped);

    // Refused again; but a node may have kept it from the first time, so it is not reported as never sent.
    let again = scene.gateway.broadcast(request(sent.raw.clone())).await.unwrap();
    assert_eq!(again.status, TxStatus::Submitted);
    node.set_balance(sent.sender, 10_u128.pow(20)).await;
    assert_eq!(scene.prepare(sent.sender).await.nonce, 1, "it has its nonce again");
    assert_eq!(scene.gateway.broadcast(request(sent.raw)).await.unwrap().status, TxStatus::Pending);
    node.mine(1).await;
    scene.gateway.track_once().await;
    assert!(matches!(status(&scene, sent.hash).await, TxStatus::Final(_)));
}
