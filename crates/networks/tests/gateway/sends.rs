//! The ordinary path: prepare, sign, send, follow, list.

use alloy_primitives::U256;
use pinseal_networks::dev::{Anvil, AnvilError, AnvilOptions, FundError, fund};
use pinseal_networks::{
    BroadcastError, Cursor, HistoryRequest, PrepareError, PrepareRequest, Rejection, RpcUrl, TxStatus,
};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::intent::EvmAddress;
use serde_json::json;

use crate::hostile::{Reply, serve};
use crate::support::{LOCAL, Scene, TO, anvil, anvil_binary, keyed, request, transfer};

#[tokio::test]
async fn what_was_sent_is_mined_followed_to_finality_and_listed() {
    let scene = Scene::new(1, &[]).await;
    let from = scene.node().account(1).await;

    let prepared = scene.prepare(from).await;
    assert_eq!((prepared.nonce, prepared.gas_limit, prepared.chain_id.0), (0, 21_000, 31337));
    assert!(prepared.balance > U256::from(10).pow(U256::from(21)));
    assert!(prepared.fees.base_fee.is_some());
    let raw = scene.node().sign(from, prepared.nonce, prepared.fees.fast, 7).await;

    let sent = scene.gateway.broadcast(keyed(raw.clone(), "order-1")).await.unwrap();
    assert_eq!((sent.sender, sent.nonce, sent.recipient, sent.value), (from, 0, Some(TO), U256::from(7)));
    assert_eq!(sent.raw, raw);
    assert_eq!(sent.status, TxStatus::Pending);
    scene.node().until_mined(sent.hash).await;
    assert_eq!(sent.explorer_url, Some(format!("https://explorer.example/tx/0x{}", sent.hash)));

    let report = scene.gateway.track_once().await;
    assert_eq!((report.checked, report.changed, report.unreachable.len()), (1, 1, 0));
    let found = scene.gateway.transaction(sent.hash).await.unwrap().unwrap();
    let TxStatus::Final(at) = found.status else { panic!("{:?}", found.status) };
    assert_eq!((at.block_number, at.success, at.gas_used), (1, true, 21_000));
    assert!(found.fee_paid().unwrap() > U256::ZERO);
    assert_eq!(scene.gateway.track_once().await.checked, 0);

    let again = scene.gateway.broadcast(keyed(raw, "order-1")).await.unwrap();
    assert_eq!(again, found);
    assert_eq!(scene.node().mined_count(from).await, 1);
}

#[tokio::test]
async fn the_same_bytes_sent_at_the_same_time_are_one_transaction() {
    let scene = Scene::new(1, &[]).await;
    let from = scene.node().account(1).await;
    let prepared = scene.prepare(from).await;
    let raw = scene.node().sign(from, prepared.nonce, prepared.fees.normal, 1).await;
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (gateway, raw) = (scene.gateway.clone(), raw.clone());
        sends.spawn(async move { gateway.broadcast(keyed(raw, "k")).await.unwrap() });
    }
    let records = sends.join_all().await;
    scene.node().until_mined(records[0].hash).await;
    assert!(records.windows(2).all(|pair| pair[0].hash == pair[1].hash && pair[0].created == pair[1].created));
    assert_eq!(scene.node().mined_count(from).await, 1);
    let all = HistoryRequest { network: None, address: from, cursor: None, limit: 10 };
    assert_eq!(scene.gateway.history(all).await.unwrap().transactions.len(), 1);
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_one_transaction() {
    let scene = Scene::new(1, &[]).await;
    let from = scene.node().account(1).await;
    let fee = scene.prepare(from).await.fees.normal;
    let first = scene.node().sign(from, 0, fee, 1).await;
    let second = scene.node().sign(from, 1, fee, 1).await;

    let sent = scene.gateway.broadcast(keyed(first, "k")).await.unwrap();
    let refused = scene.gateway.broadcast(keyed(second.clone(), "k")).await;
    assert!(matches!(refused, Err(BroadcastError::KeyReused { first }) if first == sent.hash), "{refused:?}");
    assert!(scene.gateway.broadcast(keyed(second, "l")).await.is_ok());
    // Another sender's keys are its own.
    let other = scene.node().account(2).await;
    assert!(scene.gateway.broadcast(keyed(scene.node().sign(other, 0, fee, 1).await, "k")).await.is_ok());
}

#[tokio::test]
async fn history_is_paged_newest_first_and_each_transaction_shown_once() {
    let scene = Scene::new(1, &[]).await;
    let (from, other) = (scene.node().account(1).await, scene.node().account(2).await);
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.push(scene.send(from).await.hash);
        scene.send(other).await;
    }
    sent.reverse();

    let mut listed = Vec::new();
    let mut cursor = None;
    let mut pages = 0;
    loop {
        let request = HistoryRequest { network: Some(LOCAL.into()), address: from, cursor, limit: 2 };
        let page = scene.gateway.history(request).await.unwrap();
        listed.extend(page.transactions.into_iter().map(|transaction| transaction.hash));
        pages += 1;
        let Some(next) = page.next else { break };
        cursor = Some(next.to_string().parse::<Cursor>().unwrap());
    }
    assert_eq!((pages, listed), (3, sent));
    let nobody = HistoryRequest { network: None, address: TO, cursor: None, limit: 10 };
    assert_eq!(scene.gateway.history(nobody).await.unwrap().transactions, vec![]);
    // A place in one sender's history is none in another's, and says nothing of how many send.
    let place = cursor.unwrap();
    assert_eq!(place.to_string().len(), 64);
    let foreign = HistoryRequest { network: None, address: other, cursor: Some(place), limit: 10 };
    assert_eq!(scene.gateway.history(foreign).await.unwrap().transactions, vec![]);
}

#[tokio::test]
async fn a_transaction_for_another_chain_or_in_pieces_is_refused_before_anything_is_written() {
    let scene = Scene::new(1, &[]).await;
    let from = scene.node().account(1).await;
    let raw = scene.node().sign(from, 0, scene.prepare(from).await.fees.normal, 1).await;

    let cut = scene.gateway.broadcast(request(raw[..raw.len() - 1].to_vec())).await;
    assert!(matches!(cut, Err(BroadcastError::Transaction(_))), "{cut:?}");
    let mut long = raw.clone();
    long.push(0);
    assert!(matches!(scene.gateway.broadcast(request(long)).await, Err(BroadcastError::Transaction(_))));

    let mut foreign = scene.gateway.networks().to_vec();
    assert_eq!(foreign.pop().unwrap().chain_id().0, 31337);
    let unknown = pinseal_networks::BroadcastRequest { network: "nowhere".into(), ..request(raw) };
    assert!(matches!(scene.gateway.broadcast(unknown).await, Err(BroadcastError::Gateway(_))));
    assert_eq!(scene.gateway.track_once().await.checked, 0);
}

#[tokio::test]
async fn a_refused_transaction_leaves_no_trace_and_its_nonce_is_free() {
    let scene = Scene::new(1, &[]).await;
    let node = scene.node();
    let from = node.account(1).await;
    let prepared = scene.prepare(from).await;
    let raw = node.sign(from, prepared.nonce, prepared.fees.normal, 1).await;
    node.set_balance(from, 0).await;

    let refused = scene.gateway.broadcast(keyed(raw.clone(), "k")).await;
    assert!(
        matches!(refused, Err(BroadcastError::Rejected { rejection: Rejection::InsufficientFunds, .. })),
        "{refused:?}"
    );
    let view = scene.gateway.nonces(LOCAL, from).await.unwrap();
    assert_eq!(view.reservations, vec![]);

    // Once there are funds, the same bytes under the same key go through.
    node.set_balance(from, 10_u128.pow(18)).await;
    assert_eq!(scene.gateway.broadcast(keyed(raw, "k")).await.unwrap().nonce, 0);
}

#[tokio::test]
async fn a_nonce_used_elsewhere_is_refused_by_name() {
    let scene = Scene::new(1, &[]).await;
    let node = scene.node();
    let from = node.account(1).await;
    let prepared = scene.prepare(from).await;
    let raw = node.sign(from, prepared.nonce, prepared.fees.normal, 1).await;
    let elsewhere = json!([{"from": format!("0x{from}"), "to": format!("0x{TO}"), "value": "0x9"}]);
    let hash = node.rpc("eth_sendTransaction", elsewhere).await;
    node.until_mined(Hash32::from_hex(&hash.as_str().unwrap()[2..]).unwrap()).await;

    let refused = scene.gateway.broadcast(request(raw)).await;
    assert!(matches!(refused, Err(BroadcastError::Rejected { rejection: Rejection::NonceTooLow, .. })), "{refused:?}");
    assert_eq!(scene.prepare(from).await.nonce, 1);
}

#[tokio::test]
async fn what_cannot_be_paid_or_would_revert_is_said_when_it_is_prepared() {
    let scene = Scene::new(1, &[]).await;
    let poor = EvmAddress([0x42; 20]);
    let refused = scene.gateway.prepare(PrepareRequest { value: U256::from(1), ..transfer(poor) }).await;
    assert!(matches!(refused, Err(PrepareError::InsufficientFunds)), "{refused:?}");

    let from = scene.node().account(1).await;
    // PUSH0 PUSH0 REVERT
    scene.node().rpc("anvil_setCode", json!([format!("0x{TO}"), "0x5f5ffd"])).await;
    let refused = scene.gateway.prepare(transfer(from)).await;
    assert!(matches!(refused, Err(PrepareError::WouldRevert(None))), "{refused:?}");
    assert_eq!(scene.gateway.nonces(LOCAL, from).await.unwrap().reservations, vec![]);
}

#[tokio::test]
async fn the_tracker_runs_on_handed_in_ticks_and_wakes_when_something_was_sent() {
    let scene = Scene::new(1, &["--no-mining"]).await;
    let node = scene.node();
    let first = scene.send(node.account(1).await).await;
    let (ticks, ticked) = tokio::sync::mpsc::channel(1);
    let tracker = tokio::spawn({
        let gateway = scene.gateway.clone();
        async move { gateway.track(ticked).await }
    });
    node.mine(1).await;
    ticks.send(()).await.unwrap();
    until_final(&scene, first.hash).await;

    // No tick from here on: a broadcast alone lets the tracker look at what waits.
    let second = scene.send(node.account(1).await).await;
    node.mine(1).await;
    scene.send(node.account(2).await).await;
    until_final(&scene, second.hash).await;
    drop(ticks);
    tracker.await.unwrap();
}

async fn until_final(scene: &Scene, hash: Hash32) {
    let is_final = async {
        let mut poll = tokio::time::interval(std::time::Duration::from_millis(10));
        loop {
            poll.tick().await;
            let found = scene.gateway.transaction(hash).await.unwrap().unwrap();
            if matches!(found.status, TxStatus::Final(_)) {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), is_final).await.unwrap();
}

#[tokio::test]
async fn the_local_chain_funds_an_address_and_says_what_is_wrong() {
    let node = anvil(&[]).await;
    let wei = U256::from(10).pow(U256::from(18));
    fund(node.url(), TO, wei).await.unwrap();
    fund(node.url(), TO, wei).await.unwrap();
    let peer = crate::support::Node::new(&node.url_text());
    let balance = peer.rpc("eth_getBalance", json!([format!("0x{TO}"), "latest"])).await;
    assert_eq!(balance, json!(format!("{:#x}", wei * U256::from(2))));

    let port = url_port(&node.url_text());
    let busy = Anvil::spawn(&anvil_binary(), &AnvilOptions { port, arguments: vec![] }).await;
    assert!(matches!(&busy, Err(AnvilError::Ended(_))), "{busy:?}");
    let absent = Anvil::spawn(std::path::Path::new("/nowhere/anvil"), &AnvilOptions::default()).await;
    assert!(absent.unwrap_err().to_string().contains("run make setup"));

    let url = node.url().clone();
    node.stop().await;
    assert!(matches!(fund(&url, TO, wei).await, Err(FundError::Rpc(_))));
    let other = serve(|request: serde_json::Value| async move {
        assert_eq!(request["method"], "eth_chainId", "a node of another chain is asked for nothing else");
        Reply::Result(json!("0x1"))
    })
    .await;
    assert!(matches!(fund(&RpcUrl::parse(&other).unwrap(), TO, wei).await, Err(FundError::Rpc(_))));
}

fn url_port(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}
