//! Who waits for whom while transactions are followed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pinseal_networks::{Gateway, GatewayStore, Registry, TxStatus};
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::intent::EvmAddress;
use pinseal_store::Sqlite;
use pinseal_store::gateway::{Amount, NetworkId, NewTransaction, Owner, Submit};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::hostile::{Reply, serve};
use crate::support::{self, Disk, HandClock};

/// Ends a test that would otherwise wait for ever; nothing that passes comes near it.
const PATIENCE: Duration = Duration::from_secs(30);

fn registry(urls: &[(u64, &str)]) -> Registry {
    let network = |(chain, url): &(u64, &str)| {
        format!(
            "[[network]]\ncaip2 = \"eip155:{chain}\"\naliases = []\nname = \"N{chain}\"\nsymbol = \"ETH\"\ndecimals = 18\nrpc_urls = [{url:?}]\n\
             finality_blocks = 1\nstatus = \"active\"\ntestnet = true\nfee_cap_gwei = 100_000\n"
        )
    };
    Registry::parse(&urls.iter().map(network).collect::<String>(), "test").unwrap()
}

/// Writes one down as sent.
fn sent(store: &Sqlite, chain: u64, owner: &str, number: u8) -> Hash32 {
    let hash = Hash32([number; 32]);
    let new = NewTransaction {
        network: NetworkId(format!("eip155:{chain}")),
        hash,
        sender: EvmAddress([owner.as_bytes()[0]; 20]),
        owner: Owner(owner.to_owned()),
        nonce: u64::from(number),
        recipient: None,
        value: Amount::default(),
        raw: vec![number],
        idempotency: None,
        replaces: None,
        now: UnixSeconds(1_800_000_000),
    };
    assert!(matches!(store.submit(new).unwrap(), Submit::New(_)));
    hash
}

/// What a node of this chain says of a transaction that waits in it, or, once it `is_mined`, that is in the first block.
fn says(request: &Value, chain: u64, is_mined: bool) -> Reply {
    let asked = &request["params"][0];
    Reply::Result(match request["method"].as_str().unwrap() {
        "eth_chainId" => json!(format!("{chain:#x}")),
        "eth_blockNumber" => json!("0x1"),
        "eth_getTransactionCount" => json!("0x0"),
        "eth_getTransactionByHash" => json!({"hash": asked}),
        "eth_getTransactionReceipt" if is_mined => json!({
            "transactionHash": asked, "blockHash": format!("0x{}", "cd".repeat(32)), "blockNumber": "0x1",
            "status": "0x1", "gasUsed": "0x5208",
        }),
        _ => Value::Null,
    })
}

async fn until(gateway: &Gateway, hash: Hash32, is_there: impl Fn(TxStatus) -> bool) {
    let seen = async {
        let mut poll = tokio::time::interval(Duration::from_millis(10));
        while !is_there(gateway.transaction(hash).await.unwrap().unwrap().status) {
            poll.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.unwrap();
}

#[tokio::test]
async fn a_network_whose_nodes_keep_silent_delays_itself_alone() {
    let (disk, clock) = (Disk::new(), Arc::new(HandClock::default()));
    let silent = serve(|_| async { Reply::Silence }).await;
    let is_mined = Arc::new(AtomicBool::new(false));
    let mined = Arc::clone(&is_mined);
    let quick = serve(move |request: Value| {
        let is_mined = mined.load(Ordering::SeqCst);
        async move { says(&request, 10, is_mined) }
    })
    .await;
    let store = disk.open();
    let (waiting, followed) = (sent(&store, 1, "eve", 1), sent(&store, 10, "ada", 2));
    let gateway = support::gateway(registry(&[(1, &silent), (10, &quick)]), Arc::new(store), &clock);
    let (ticks, ticked) = mpsc::channel(1);
    let tracker = tokio::spawn({
        let gateway = gateway.clone();
        async move { gateway.track(ticked).await }
    });
    ticks.send(()).await.unwrap();
    until(&gateway, followed, |status| status == TxStatus::Pending).await;
    // The silent one is still being asked, for a minute.
    is_mined.store(true, Ordering::SeqCst);
    ticks.send(()).await.unwrap();
    until(&gateway, followed, |status| matches!(status, TxStatus::Final(_))).await;
    assert_eq!(gateway.transaction(waiting).await.unwrap().unwrap().status, TxStatus::Submitted);
    tracker.abort();
}

#[tokio::test]
async fn many_transactions_of_one_owner_delay_nobody_elses_for_longer_than_a_pass() {
    let (disk, clock) = (Disk::new(), Arc::new(HandClock::default()));
    let looks: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let (time, looked) = (Arc::clone(&clock), Arc::clone(&looks));
    // Each look takes a second.
    let slow = serve(move |request: Value| {
        if request["method"] == "eth_getTransactionReceipt" {
            time.advance(1);
            *looked.lock().unwrap().entry(request["params"][0].as_str().unwrap().to_owned()).or_default() += 1;
        }
        async move { says(&request, 1, false) }
    })
    .await;
    let store = disk.open();
    let greedy: BTreeSet<String> = (1..=40).map(|number| format!("0x{}", sent(&store, 1, "eve", number))).collect();
    let honest = format!("0x{}", sent(&store, 1, "ada", 41));
    let gateway = support::gateway(registry(&[(1, &slow)]), Arc::new(store), &clock);
    for pass in 1..=10 {
        let report = gateway.track_once().await;
        assert_eq!((report.checked, report.left, report.unreachable.len()), (5, 36, 0), "pass {pass}");
        assert_eq!(looks.lock().unwrap().get(&honest), Some(&pass), "in every pass");
    }
    // Four in each pass, none of them twice.
    let looks = looks.lock().unwrap();
    assert!(greedy.iter().all(|hash| looks.get(hash) == Some(&1)), "{looks:?}");
}

#[tokio::test]
async fn how_high_a_chain_is_said_to_be_is_remembered_and_asks_nobody() {
    let (disk, clock) = (Disk::new(), Arc::new(HandClock::default()));
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let node = serve(move |request: Value| {
        count.fetch_add(usize::from(request["method"] == "eth_blockNumber"), Ordering::SeqCst);
        async move { says(&request, 1, true) }
    })
    .await;
    let store = disk.open();
    sent(&store, 1, "ada", 1);
    let gateway = support::gateway(registry(&[(1, &node)]), Arc::new(store), &clock);
    assert_eq!((gateway.height_told("eip155:1", None), gateway.height_told("eip155:2", None)), (None, None));
    gateway.track_once().await;
    let told = |within| gateway.height_told("eip155:1", within);
    assert_eq!(told(Some(4)), Some(1));
    clock.advance(4);
    assert_eq!((told(Some(4)), told(Some(5)), told(None)), (None, Some(1), Some(1)));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
