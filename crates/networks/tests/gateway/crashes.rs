//! The process dies between any two writes, and replies get lost: no transfer is made twice, no nonce is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pinseal_networks::{Gateway, GatewayStore, NonceStore, Reservation, ReservationId, TxStatus};
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::intent::EvmAddress;
use pinseal_store::gateway::{
    FreeRequest, Genesis, HistoryQuery, NetworkId, NewTransaction, OpenTx, Reserve, ReserveRequest, Submit, TxRow,
};
use pinseal_store::{Sqlite, StoreError};
use serde_json::Value;

use crate::hostile::{Reply, serve};
use crate::support::{Disk, HandClock, LOCAL, Node, Scene, anvil, gateway, registry_of, request, transfer};

/// Writes of one send and one pass of the tracker: the first block, the reservation, the binding, the node's word and
/// the verdict. One more, so that a flow without a crash is among the cases.
const WRITES: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instant {
    BeforeTheWrite,
    AfterTheWrite,
}

/// The real store of a process that dies at its n-th write: from then on nothing is answered.
struct DyingStore {
    store: Sqlite,
    at: usize,
    instant: Instant,
    written: AtomicUsize,
}

impl DyingStore {
    fn write<T>(&self, work: impl FnOnce(&Sqlite) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let index = self.written.fetch_add(1, Ordering::SeqCst);
        if index > self.at || (index == self.at && self.instant == Instant::BeforeTheWrite) {
            return Err(StoreError::Stopped);
        }
        let outcome = work(&self.store);
        if index == self.at { Err(StoreError::Stopped) } else { outcome }
    }

    fn read<T>(&self, work: impl FnOnce(&Sqlite) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.written.load(Ordering::SeqCst) > self.at { Err(StoreError::Stopped) } else { work(&self.store) }
    }
}

impl NonceStore for DyingStore {
    fn reserve(&self, request: ReserveRequest) -> Result<Reserve, StoreError> {
        self.write(|store| store.reserve(request))
    }
    fn lowest_free(&self, request: &FreeRequest) -> Result<u64, StoreError> {
        self.read(|store| store.lowest_free(request))
    }
    fn floor(&self, network: &NetworkId, address: EvmAddress) -> Result<u64, StoreError> {
        self.read(|store| store.floor(network, address))
    }
    fn release(&self, id: ReservationId) -> Result<bool, StoreError> {
        self.write(|store| store.release(id))
    }
    fn reservations(&self, network: &NetworkId, address: EvmAddress) -> Result<Vec<Reservation>, StoreError> {
        self.read(|store| store.reservations(network, address))
    }
}

impl GatewayStore for DyingStore {
    fn submit(&self, transaction: NewTransaction) -> Result<Submit, StoreError> {
        self.write(|store| store.submit(transaction))
    }
    fn withdraw(&self, network: &NetworkId, hash: Hash32) -> Result<bool, StoreError> {
        self.write(|store| store.withdraw(network, hash))
    }
    fn record(
        &self,
        network: &NetworkId,
        hash: Hash32,
        status: TxStatus,
        refusals: u32,
        now: UnixSeconds,
    ) -> Result<Option<TxRow>, StoreError> {
        self.write(|store| store.record(network, hash, status, refusals, now))
    }
    fn transaction(&self, hash: Hash32) -> Result<Option<TxRow>, StoreError> {
        self.read(|store| store.transaction(hash))
    }
    fn mined_sibling(&self, row: &TxRow) -> Result<Option<Hash32>, StoreError> {
        self.read(|store| store.mined_sibling(row))
    }
    fn open_transactions(&self, network: &NetworkId) -> Result<Vec<OpenTx>, StoreError> {
        self.read(|store| store.open_transactions(network))
    }
    fn history(&self, query: &HistoryQuery) -> Result<Vec<TxRow>, StoreError> {
        self.read(|store| store.history(query))
    }
    fn observe_genesis(&self, network: &NetworkId, genesis: Hash32) -> Result<Genesis, StoreError> {
        self.write(|store| store.observe_genesis(network, genesis))
    }
    fn last_final_block(&self, network: &NetworkId) -> Result<Option<(u64, Hash32)>, StoreError> {
        self.read(|store| store.last_final_block(network))
    }
    fn forget(&self, network: &NetworkId) -> Result<(), StoreError> {
        self.write(|store| store.forget(network))
    }
}

#[tokio::test]
async fn a_crash_at_any_write_neither_repeats_a_transfer_nor_strands_a_nonce() {
    let mut scene = Scene::new(1, &["--accounts", "40"]).await;
    let mut account = 0;
    for at in 0..WRITES {
        for instant in [Instant::BeforeTheWrite, Instant::AfterTheWrite] {
            // A file of its own, so that the first write of every case is the same one.
            scene.disk = Disk::new();
            let store = DyingStore { store: scene.disk.open(), at, instant, written: AtomicUsize::new(0) };
            scene.restart_with(Arc::new(store));
            let from = scene.node().account(account).await;
            account += 1;
            let raw = one_send(&scene, from).await;
            scene.gateway.track_once().await;

            scene.restart();
            recover(&scene, from, raw).await;
            let context = format!("write {at}, {instant:?}");
            let mined = scene.node().mined_count(from).await;
            let view = scene.gateway.nonces(LOCAL, from).await.unwrap();
            assert_eq!((view.pending, view.gap()), (mined, None), "{context}");
            scene.clock.advance(301);
            assert_eq!(scene.prepare(from).await.nonce, mined, "{context}");
        }
    }
}

/// One send as a client makes it; what it had signed when the process died.
async fn one_send(scene: &Scene, from: EvmAddress) -> Option<Vec<u8>> {
    let prepared = scene.gateway.prepare(transfer(from)).await.ok()?;
    let raw = scene.node().sign(from, prepared.nonce, prepared.fees.normal, 1).await;
    // Whatever the answer is, the client keeps what it signed and asks again.
    if let Ok(sent) = scene.gateway.broadcast(request(raw.clone())).await
        && scene.gateway.nonces(LOCAL, from).await.is_ok_and(|view| view.gap().is_none())
    {
        scene.node().until_mined(sent.hash).await;
    }
    Some(raw)
}

/// The client comes back: with what it signed, or from the start if it had got no nonce.
async fn recover(scene: &Scene, from: EvmAddress, raw: Option<Vec<u8>>) {
    let had_signed = raw.is_some();
    let raw = match raw {
        Some(raw) => raw,
        None => one_send(scene, from).await.unwrap(),
    };
    let sent = scene.gateway.broadcast(request(raw)).await.unwrap();
    if had_signed {
        scene.node().until_mined(sent.hash).await;
        scene.gateway.track_once().await;
        let found = scene.gateway.transaction(sent.hash).await.unwrap().unwrap();
        assert!(matches!(found.status, TxStatus::Final(_)), "{:?}", found.status);
        assert_eq!(scene.node().mined_count(from).await, 1, "made once");
        return;
    }
    // The nonce whose reservation was answered to nobody is filled once it expired.
    if scene.gateway.nonces(LOCAL, from).await.unwrap().gap().is_some() {
        scene.clock.advance(301);
        assert_eq!(scene.send(from).await.nonce, 0);
    }
    scene.node().until_mined(sent.hash).await;
    scene.gateway.track_once().await;
}

/// A node behind a line that loses some replies.
async fn lossy(target: String, loses: fn(&str) -> Loss) -> String {
    let node = reqwest::Client::builder().no_proxy().build().unwrap();
    serve(move |request: Value| {
        let (node, target) = (node.clone(), target.clone());
        async move {
            let loss = loses(request["method"].as_str().unwrap());
            if loss == Loss::Request {
                return Reply::Status(503);
            }
            let forwarded = node.post(&target).header("content-type", "application/json").body(request.to_string());
            let answer = forwarded.send().await.unwrap().text().await.unwrap();
            if loss == Loss::Reply { Reply::Status(502) } else { Reply::Text(answer) }
        }
    })
    .await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    None,
    Request,
    Reply,
}

fn lose_replies_of_sends(method: &str) -> Loss {
    if method == "eth_sendRawTransaction" { Loss::Reply } else { Loss::None }
}

fn lose_sends(method: &str) -> Loss {
    if method == "eth_sendRawTransaction" { Loss::Request } else { Loss::None }
}

async fn signed_through(gateway: &Gateway, node: &Node, account: usize) -> (EvmAddress, Vec<u8>) {
    let from = node.account(account).await;
    let prepared = gateway.prepare(transfer(from)).await.unwrap();
    (from, node.sign(from, prepared.nonce, prepared.fees.normal, 1).await)
}

#[tokio::test]
async fn a_lost_reply_is_no_error_and_the_tracker_finds_the_transaction() {
    let peer = anvil(&[]).await;
    let (node, disk, clock) = (Node::new(&peer.url_text()), Disk::new(), Arc::new(HandClock::default()));
    let line = lossy(peer.url_text(), lose_replies_of_sends).await;
    let gateway = gateway(registry_of(&[line]), Arc::new(disk.open()), &clock);
    let (from, raw) = signed_through(&gateway, &node, 1).await;

    let sent = gateway.broadcast(request(raw.clone())).await.unwrap();
    assert_eq!(sent.status, TxStatus::Submitted);
    let again = gateway.broadcast(request(raw)).await.unwrap();
    assert_eq!(again.hash, sent.hash);
    node.until_mined(sent.hash).await;
    gateway.track_once().await;
    let found = gateway.transaction(sent.hash).await.unwrap().unwrap();
    assert!(matches!(found.status, TxStatus::Final(_)), "{:?}", found.status);
    assert_eq!(node.mined_count(from).await, 1);
}

#[tokio::test]
async fn a_lost_request_is_sent_again_by_the_tracker_when_the_line_is_back() {
    let peer = anvil(&[]).await;
    let (node, disk, clock) = (Node::new(&peer.url_text()), Disk::new(), Arc::new(HandClock::default()));
    let line = lossy(peer.url_text(), lose_sends).await;
    let cut = gateway(registry_of(&[line]), Arc::new(disk.open()), &clock);
    let (from, raw) = signed_through(&cut, &node, 1).await;
    let sent = cut.broadcast(request(raw)).await.unwrap();
    cut.track_once().await;
    assert_eq!(cut.transaction(sent.hash).await.unwrap().unwrap().status, TxStatus::Submitted);
    assert_eq!(node.mined_count(from).await, 0);
    drop(cut);

    let back = gateway(registry_of(&[peer.url_text()]), Arc::new(disk.open()), &clock);
    back.track_once().await;
    node.until_mined(sent.hash).await;
    assert_eq!(node.mined_count(from).await, 1);
    back.track_once().await;
    let found = back.transaction(sent.hash).await.unwrap().unwrap();
    assert!(matches!(found.status, TxStatus::Final(_)), "{:?}", found.status);
}

#[tokio::test]
async fn a_second_endpoint_that_knows_the_transaction_confirms_the_first_ones_lost_reply() {
    let peer = anvil(&[]).await;
    let (node, disk, clock) = (Node::new(&peer.url_text()), Disk::new(), Arc::new(HandClock::default()));
    let line = lossy(peer.url_text(), lose_replies_of_sends).await;
    let gateway = gateway(registry_of(&[line, peer.url_text()]), Arc::new(disk.open()), &clock);
    let (from, raw) = signed_through(&gateway, &node, 1).await;
    let sent = gateway.broadcast(request(raw)).await.unwrap();
    assert_eq!(sent.status, TxStatus::Pending);
    node.until_mined(sent.hash).await;
    assert_eq!(node.mined_count(from).await, 1);
}
