//! Nodes that are slow, wrong or malicious.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::U256;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use pinseal_networks::{
    BroadcastError, CallError, EndpointFault, Gateway, GatewayConfig, GatewayError, PrepareError, Rejection, RpcError,
    RpcLimits, TxStatus,
};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::intent::{ChainId, EvmAddress};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{self, Disk, HandClock, LOCAL, Node, anvil, registry_of, request, transfer};

/// What a hostile node answers.
pub(crate) enum Reply {
    /// A result for this request.
    Result(Value),
    /// A JSON-RPC answer as it stands.
    Json(Value),
    /// Any text with status 200.
    Text(String),
    /// A status with HTML.
    Status(u16),
    /// A status with a JSON-RPC answer.
    StatusJson(u16, Value),
    /// Nothing, ever.
    Silence,
    /// Elsewhere.
    Redirect(String),
}

/// Serves one behaviour on a free loopback port.
pub(crate) async fn serve<F, A>(behave: F) -> String
where
    F: Fn(Value) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Reply> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let handler = move |Json(request): Json<Value>| {
        let behave = behave.clone();
        async move { respond(request.clone(), behave(request).await).await }
    };
    let app = Router::new().route("/", post(handler.clone())).route("/{key}", post(handler));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn respond(request: Value, reply: Reply) -> Response {
    match reply {
        Reply::Result(result) => Json(json!({"jsonrpc": "2.0", "id": request["id"], "result": result})).into_response(),
        Reply::Json(answer) => Json(answer).into_response(),
        Reply::Text(text) => text.into_response(),
        Reply::Status(status) => (code(status), "<html>oops</html>").into_response(),
        Reply::StatusJson(status, answer) => (code(status), Json(answer)).into_response(),
        Reply::Silence => std::future::pending().await,
        Reply::Redirect(target) => (StatusCode::TEMPORARY_REDIRECT, [("location", target)]).into_response(),
    }
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap()
}

/// A node whose answers have no end.
async fn serve_endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _len = connection.read(&mut request).await;
                let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
                let chunk = [b"4000\r\n".as_slice(), &[b' '; 0x4000], b"\r\n"].concat();
                let mut alive = connection.write_all(head).await;
                while alive.is_ok() {
                    alive = connection.write_all(&chunk).await;
                }
            });
        }
    });
    url
}

fn gateway(urls: &[String], disk: &Disk) -> Gateway {
    patient_for(Duration::from_secs(60), urls, disk)
}

/// Gives an endpoint up after this long; short only where one stays silent, so that a busy machine changes no outcome.
fn patient_for(exchange_time_max: Duration, urls: &[String], disk: &Disk) -> Gateway {
    let limits = RpcLimits { exchange_time_max, call_time_max: 4 * exchange_time_max, answer_len_max: 256 * 1024 };
    let config = GatewayConfig { limits, ..GatewayConfig::default() };
    Gateway::new(registry_of(urls), Arc::new(disk.open()), config).unwrap()
}

/// Answers `eth_chainId` truly and everything else as told.
async fn node_with(reply: fn(&Value) -> Reply) -> String {
    serve(move |request: Value| async move {
        if request["method"] == "eth_chainId" { Reply::Result(json!("0x7a69")) } else { reply(&request) }
    })
    .await
}

async fn fault_of(reply: fn(&Value) -> Reply) -> EndpointFault {
    fault_at(node_with(reply).await).await
}

async fn fault_at(url: String) -> EndpointFault {
    let disk = Disk::new();
    fault_through(gateway(std::slice::from_ref(&url), &disk), &url).await
}

async fn fault_through(gateway: Gateway, url: &str) -> EndpointFault {
    match gateway.block_number(LOCAL).await {
        Err(GatewayError::Rpc(RpcError::Unavailable { endpoint, fault, .. })) => {
            assert_eq!(endpoint, url);
            fault
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let fault = fault_at(serve_endless().await).await;
    assert!(matches!(fault, EndpointFault::TooLong), "{fault:?}");
}

#[tokio::test]
async fn an_oversized_answer_is_not_even_read() {
    let fault = fault_of(|_| Reply::Result(json!("x".repeat(300 * 1024)))).await;
    assert!(matches!(fault, EndpointFault::TooLong), "{fault:?}");
}

#[tokio::test]
async fn a_silent_node_is_given_up() {
    let url = node_with(|_| Reply::Silence).await;
    let hasty = patient_for(Duration::from_millis(300), std::slice::from_ref(&url), &Disk::new());
    assert!(matches!(fault_through(hasty, &url).await, EndpointFault::TimedOut));
}

#[tokio::test]
async fn answers_that_are_none_are_told_apart() {
    assert!(matches!(fault_of(|_| Reply::Text("<html>".into())).await, EndpointFault::Malformed(_)));
    assert!(matches!(fault_of(|_| Reply::Json(json!([]))).await, EndpointFault::Malformed(_)));
    assert!(matches!(fault_of(|_| Reply::Result(json!(5))).await, EndpointFault::Malformed(_)));
    assert!(matches!(fault_of(|_| Reply::Result(json!("0x1ffffffffffffffff"))).await, EndpointFault::Malformed(_)));
    assert!(matches!(
        fault_of(|request| {
            let id = request["id"].as_u64().map(|id| id + 1);
            Reply::Json(json!({"jsonrpc": "2.0", "id": id, "result": "0x1"}))
        })
        .await,
        EndpointFault::WrongId
    ));
    assert!(matches!(fault_of(|_| Reply::Status(500)).await, EndpointFault::Status(500)));
    assert!(matches!(fault_of(|_| Reply::Status(429)).await, EndpointFault::Throttled));
    assert!(matches!(
        fault_of(|request| Reply::StatusJson(500, json!({"jsonrpc": "2.0", "id": request["id"], "result": "0x1"})))
            .await,
        EndpointFault::Status(500)
    ));
    assert!(matches!(fault_of(|_| Reply::Redirect("http://127.0.0.1:9/".into())).await, EndpointFault::Status(307)));
    let limit = |request: &Value| {
        let error = json!({"code": -32005, "message": "limit exceeded"});
        Reply::Json(json!({"jsonrpc": "2.0", "id": request["id"], "error": error}))
    };
    assert!(matches!(fault_of(limit).await, EndpointFault::Throttled));
}

#[tokio::test]
async fn a_refusal_with_status_500_is_a_refusal() {
    let disk = Disk::new();
    let url = node_with(|request| {
        let error = json!({"code": -32601, "message": "method not found"});
        Reply::StatusJson(500, json!({"jsonrpc": "2.0", "id": request["id"], "error": error}))
    })
    .await;
    let refused = gateway(&[url], &disk).block_number(LOCAL).await;
    assert!(
        matches!(&refused, Err(GatewayError::Rpc(RpcError::Refused(refusal))) if refusal.code() == -32601),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_node_of_another_chain_is_never_used() {
    let disk = Disk::new();
    let liar = serve(|request: Value| async move {
        assert_eq!(request["method"], "eth_chainId", "nothing else may be asked");
        Reply::Result(json!("0x1"))
    })
    .await;
    let alone = gateway(std::slice::from_ref(&liar), &disk);
    let Err(GatewayError::Rpc(RpcError::Unavailable { fault, .. })) = alone.block_number(LOCAL).await else {
        panic!("used")
    };
    assert!(matches!(fault, EndpointFault::WrongChain { expected: ChainId(31337), found: ChainId(1) }), "{fault:?}");
    let peer = anvil(&[]).await;
    assert_eq!(gateway(&[liar, peer.url_text()], &Disk::new()).block_number(LOCAL).await.unwrap(), 0);
}

#[tokio::test]
async fn a_read_finds_the_endpoint_that_works() {
    let peer = anvil(&[]).await;
    let urls = [
        "http://127.0.0.1:9".to_owned(),
        node_with(|_| Reply::Status(500)).await,
        node_with(|_| Reply::Silence).await,
        peer.url_text(),
    ];
    let disk = Disk::new();
    let gateway = patient_for(Duration::from_secs(4), &urls, &disk);
    assert_eq!(gateway.block_number(LOCAL).await.unwrap(), 0);
    let node = Node::new(&peer.url_text());
    let from = node.account(1).await;
    let prepared = gateway.prepare(transfer(from)).await.unwrap();
    let raw = node.sign(from, prepared.nonce, prepared.fees.normal, 1).await;
    let sent = gateway.broadcast(request(raw)).await.unwrap();
    assert_eq!(sent.status, TxStatus::Pending);
    node.until_mined(sent.hash).await;
}

#[tokio::test]
async fn a_key_in_a_url_reaches_the_node_and_no_error() {
    let url = node_with(|_| Reply::Status(403)).await;
    let disk = Disk::new();
    let shown = |error: &dyn std::error::Error| {
        let mut text = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(inner) = source {
            text = format!("{text} {inner} {inner:?}");
            source = inner.source();
        }
        text
    };
    let keyed = format!("{}/HIDDEN", url.replace("http://", "http://user:HIDDEN@"));
    let refused = gateway(&[keyed], &disk).block_number(LOCAL).await.unwrap_err();
    assert!(matches!(&refused, GatewayError::Rpc(RpcError::Unavailable { fault: EndpointFault::Status(403), .. })));
    assert!(!shown(&refused).contains("HIDDEN"), "{}", shown(&refused));

    let away = gateway(&["http://user:HIDDEN@127.0.0.1:9/HIDDEN?HIDDEN".into()], &Disk::new());
    let unreachable = away.block_number(LOCAL).await.unwrap_err();
    assert!(shown(&unreachable).contains("127.0.0.1:9"));
    assert!(!shown(&unreachable).contains("HIDDEN"), "{}", shown(&unreachable));
    assert!(!format!("{away:?}").contains("HIDDEN"));
}

/// A node whose answers are well-formed, with one of them replaced.
async fn dear_node(method: &'static str, result: fn() -> Value) -> String {
    serve(move |request: Value| async move {
        let asked = request["method"].as_str().unwrap_or_default();
        if asked == method {
            return Reply::Result(result());
        }
        Reply::Result(match asked {
            "eth_chainId" => json!("0x7a69"),
            "eth_estimateGas" => json!("0x5208"),
            "eth_getBalance" => json!("0xde0b6b3a7640000"),
            "eth_getTransactionCount" => json!("0x3"),
            "eth_feeHistory" => {
                json!({"baseFeePerGas": ["0x5", "0x5"], "gasUsedRatio": [0.5], "reward": [["0x1", "0x2", "0x3"]]})
            }
            _ => Value::Null,
        })
    })
    .await
}

#[tokio::test]
async fn answers_that_would_cost_the_user_dearly_are_not_believed() {
    let from = EvmAddress([0x33; 20]);
    let honest = gateway(&[dear_node("none", || Value::Null).await], &Disk::new());
    let prepared = honest.prepare(transfer(from)).await.unwrap();
    assert_eq!((prepared.nonce, prepared.fees.base_fee), (3, Some(U256::from(5))));

    let dear_fees = || {
        let base = "0xffffffffffffffffffff";
        json!({"baseFeePerGas": [base, base], "gasUsedRatio": [0.5], "reward": [["0x1", "0x2", "0x3"]]})
    };
    let dear_tips = || {
        let tip = "0xffffffffffffffffffff";
        json!({"baseFeePerGas": ["0x1", "0x1"], "gasUsedRatio": [0.5], "reward": [[tip, tip, tip]]})
    };
    for (method, result) in [
        ("eth_feeHistory", dear_fees as fn() -> Value),
        ("eth_feeHistory", dear_tips),
        ("eth_estimateGas", || json!("0xffffffffff")),
        ("eth_estimateGas", || json!("0x1")),
    ] {
        let disk = Disk::new();
        let refused = gateway(&[dear_node(method, result).await], &disk).prepare(transfer(from)).await;
        assert!(matches!(refused, Err(PrepareError::Gateway(GatewayError::Implausible(_)))), "{method}: {refused:?}");
    }
    let far = serve(|request: Value| async move {
        Reply::Result(match (request["method"].as_str().unwrap_or_default(), request["params"][1].as_str()) {
            ("eth_chainId", _) => json!("0x7a69"),
            ("eth_getTransactionCount", Some("pending")) => json!("0xffffffff"),
            ("eth_getTransactionCount", _) => json!("0x0"),
            _ => Value::Null,
        })
    })
    .await;
    let refused = gateway(&[far], &Disk::new()).nonces(LOCAL, from).await;
    assert!(matches!(refused, Err(GatewayError::Implausible(_))), "{refused:?}");
}

#[tokio::test]
async fn a_node_without_fee_history_is_priced_by_its_gas_price() {
    let url = node_with(|request| match request["method"].as_str() {
        Some("eth_gasPrice") => Reply::Result(json!("0x64")),
        _ => {
            let error = json!({"code": -32601, "message": "the method eth_feeHistory does not exist"});
            Reply::Json(json!({"jsonrpc": "2.0", "id": request["id"], "error": error}))
        }
    })
    .await;
    let fees = gateway(&[url], &Disk::new()).fees(LOCAL).await.unwrap();
    assert_eq!(fees.base_fee, None);
    let prices = [fees.slow, fees.normal, fees.fast].map(|fee| fee.max_fee_per_gas);
    assert_eq!(prices, [100, 110, 125].map(U256::from));
}

#[tokio::test]
async fn a_receipt_of_another_transaction_or_no_chain_is_not_believed() {
    let peer = anvil(&[]).await;
    let node = Node::new(&peer.url_text());
    let from = node.account(1).await;
    let disk = Disk::new();
    let honest = gateway(&[peer.url_text()], &disk);
    let prepared = honest.prepare(transfer(from)).await.unwrap();
    let raw = node.sign(from, prepared.nonce, prepared.fees.normal, 1).await;
    let sent = honest.broadcast(request(raw)).await.unwrap();
    drop(honest);

    let (own, other) = (format!("0x{}", sent.hash), format!("0x{}", "ab".repeat(32)));
    let most = "0x8000000000000000";
    for (hash, number, gas) in [(&other, "0x1", "0x5208"), (&own, most, "0x5208"), (&own, "0x1", most)] {
        let receipt = json!({
            "transactionHash": hash, "blockHash": format!("0x{}", "cd".repeat(32)),
            "blockNumber": number, "status": "0x1", "gasUsed": gas,
        });
        let liar = serve(move |request: Value| {
            let receipt = receipt.clone();
            async move {
                Reply::Result(match request["method"].as_str() {
                    Some("eth_chainId") => json!("0x7a69"),
                    Some("eth_blockNumber") => json!("0x64"),
                    Some("eth_getTransactionReceipt") => receipt,
                    _ => Value::Null,
                })
            }
        })
        .await;
        let lied_to = gateway(&[liar], &disk);
        let report = lied_to.track_once().await;
        assert_eq!((report.checked, report.changed, report.unreachable.len()), (1, 0, 0), "{number} {gas}");
        assert_eq!(lied_to.transaction(sent.hash).await.unwrap().unwrap().status, TxStatus::Pending);
    }
}

#[tokio::test]
async fn what_a_caller_asks_and_takes_too_long_is_asked_of_each_endpoint_once() {
    let asked = Arc::<AtomicUsize>::default();
    let mut urls = Vec::new();
    for _ in 0..2 {
        let asked = Arc::clone(&asked);
        let slow = serve(move |request: Value| {
            let asked = Arc::clone(&asked);
            async move {
                if request["method"] == "eth_chainId" {
                    return Reply::Result(json!("0x7a69"));
                }
                asked.fetch_add(1, Ordering::SeqCst);
                Reply::Silence
            }
        });
        urls.push(slow.await);
    }
    let gateway = patient_for(Duration::from_millis(500), &urls, &Disk::new());
    let told = gateway.call(LOCAL, "eth_getLogs", json!([{}])).await;
    assert!(matches!(&told, Err(CallError::Gateway(GatewayError::Rpc(RpcError::Unavailable { .. })))), "{told:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn one_transaction_a_node_stumbles_over_does_not_keep_the_others_from_being_followed() {
    let peer = anvil(&[]).await;
    let node = Node::new(&peer.url_text());
    let disk = Disk::new();
    let honest = gateway(&[peer.url_text()], &disk);
    let mut sent = Vec::new();
    for account in [1, 2] {
        let from = node.account(account).await;
        let prepared = honest.prepare(transfer(from)).await.unwrap();
        let raw = node.sign(from, prepared.nonce, prepared.fees.normal, 1).await;
        sent.push(honest.broadcast(request(raw)).await.unwrap().hash);
    }
    for hash in &sent {
        node.until_mined(*hash).await;
    }
    drop(honest);

    let (target, stumbles_over) = (peer.url_text(), format!("0x{}", sent[0]));
    let forward = reqwest::Client::builder().no_proxy().build().unwrap();
    let clumsy = serve(move |request: Value| {
        let (target, stumbles_over, forward) = (target.clone(), stumbles_over.clone(), forward.clone());
        async move {
            if request["params"][0] == stumbles_over.as_str() {
                return Reply::Result(json!("what?"));
            }
            let answer = forward.post(&target).header("content-type", "application/json").body(request.to_string());
            Reply::Text(answer.send().await.unwrap().text().await.unwrap())
        }
    })
    .await;
    let gateway = gateway(&[clumsy], &disk);
    let report = gateway.track_once().await;
    assert_eq!((report.checked, report.changed, report.unreachable.len()), (2, 1, 0));
    assert_eq!(gateway.transaction(sent[0]).await.unwrap().unwrap().status, TxStatus::Pending);
    assert!(matches!(gateway.transaction(sent[1]).await.unwrap().unwrap().status, TxStatus::Final(_)));
}

#[tokio::test]
async fn a_node_that_lags_in_receipts_does_not_make_a_mined_transaction_a_replaced_one() {
    let peer = anvil(&[]).await;
    let node = Node::new(&peer.url_text());
    let disk = Disk::new();
    let lags = Arc::new(AtomicBool::new(true));
    let (target, flag) = (peer.url_text(), Arc::clone(&lags));
    let forward = reqwest::Client::builder().no_proxy().build().unwrap();
    let lagging = serve(move |request: Value| {
        let (target, flag, forward) = (target.clone(), Arc::clone(&flag), forward.clone());
        async move {
            if request["method"] == "eth_getTransactionReceipt" && flag.load(Ordering::SeqCst) {
                return Reply::Result(Value::Null);
            }
            let answer = forward.post(&target).header("content-type", "application/json").body(request.to_string());
            Reply::Text(answer.send().await.unwrap().text().await.unwrap())
        }
    })
    .await;
    let gateway = gateway(&[lagging], &disk);
    let from = node.account(1).await;
    let prepared = gateway.prepare(transfer(from)).await.unwrap();
    let raw = node.sign(from, prepared.nonce, prepared.fees.normal, 1).await;
    let sent = gateway.broadcast(request(raw)).await.unwrap();
    node.until_mined(sent.hash).await;
    gateway.track_once().await;
    let doubtful = TxStatus::Replaced { by: None, settled: false };
    assert_eq!(gateway.transaction(sent.hash).await.unwrap().unwrap().status, doubtful);

    lags.store(false, Ordering::SeqCst);
    gateway.track_once().await;
    let found = gateway.transaction(sent.hash).await.unwrap().unwrap();
    assert!(matches!(found.status, TxStatus::Final(_)), "{:?}", found.status);
}

/// Their receipts are longer than any answer that is read, as those with megabytes of logs are.
#[tokio::test]
async fn transactions_that_nodes_stumble_over_keep_no_other_one_from_being_followed() {
    let peer = anvil(&["--no-mining"]).await;
    let node = Node::new(&peer.url_text());
    let (mallory, ada) = (node.account(1).await, node.account(2).await);
    let long: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let (behind, asked) = (node.clone(), Arc::clone(&long));
    let url = serve(move |request: Value| {
        let (behind, asked) = (behind.clone(), Arc::clone(&asked));
        async move {
            let method = request["method"].as_str().unwrap().to_owned();
            if method == "eth_getTransactionReceipt"
                && let Some(times) = asked.lock().unwrap().get_mut(request["params"][0].as_str().unwrap())
            {
                *times += 1;
                return Reply::Text("x".repeat(300 * 1024));
            }
            Reply::Result(behind.rpc(&method, request["params"].clone()).await)
        }
    })
    .await;
    let disk = Disk::new();
    let gateway = gateway(&[url], &disk);
    let send = async |from| send_one(&gateway, &node, from).await;
    for _ in 0..4 {
        let hash = send(mallory).await;
        long.lock().unwrap().insert(format!("0x{hash}"), 0);
    }
    let honest = send(ada).await;
    node.mine(1).await;
    let report = gateway.track_once().await;
    assert_eq!((report.checked, report.unreachable.len()), (5, 0));
    assert!(matches!(gateway.transaction(honest).await.unwrap().unwrap().status, TxStatus::Final(_)));
    // After some more tries they are let alone for a while.
    while gateway.track_once().await.checked > 0 {}
    assert!(long.lock().unwrap().values().all(|times| (3..20).contains(times)), "{long:?}");
}

/// Has a transfer prepared, signed and sent.
async fn send_one(gateway: &Gateway, node: &Node, from: EvmAddress) -> Hash32 {
    let prepared = gateway.prepare(transfer(from)).await.unwrap();
    let raw = node.sign(from, prepared.nonce, prepared.fees.normal, 1).await;
    gateway.broadcast(request(raw)).await.unwrap().hash
}

fn refused(request: &Value, words: &str) -> Reply {
    let error = json!({"code": -32000, "message": words});
    Reply::Json(json!({"jsonrpc": "2.0", "id": request["id"], "error": error}))
}

/// Nodes of some providers show what waits in them to nobody, and know it all the same.
#[tokio::test]
async fn a_transaction_that_a_node_only_says_it_has_is_looked_at_as_often_as_any_other() {
    let peer = anvil(&["--no-mining"]).await;
    let node = Node::new(&peer.url_text());
    let from = node.account(1).await;
    let behind = node.clone();
    let url = serve(move |request: Value| {
        let behind = behind.clone();
        async move {
            let answer = behind.ask(&request).await;
            if request["method"] == "eth_getTransactionByHash" && answer["result"]["blockNumber"].is_null() {
                return Reply::Result(Value::Null);
            }
            Reply::Json(answer)
        }
    })
    .await;
    let disk = Disk::new();
    let gateway = gateway(&[url], &disk);
    let hash = send_one(&gateway, &node, from).await;
    for _ in 0..20 {
        assert_eq!(gateway.track_once().await.checked, 1);
        assert_eq!(gateway.transaction(hash).await.unwrap().unwrap().status, TxStatus::Pending);
    }
    node.mine(1).await;
    gateway.track_once().await;
    assert!(matches!(gateway.transaction(hash).await.unwrap().unwrap().status, TxStatus::Final(_)));
}

/// As Nethermind does: within a block it knows what it has refused, too.
#[tokio::test]
async fn what_a_node_refuses_at_first_and_then_knows_is_dropped_all_the_same() {
    let peer = anvil(&["--no-mining"]).await;
    let node = Node::new(&peer.url_text());
    let from = node.account(1).await;
    let (behind, sent) = (node.clone(), Arc::<AtomicUsize>::default());
    let url = serve(move |request: Value| {
        let (behind, sent) = (behind.clone(), Arc::clone(&sent));
        async move {
            let words = match sent.load(Ordering::SeqCst) {
                0 => None,
                odd if odd % 2 == 1 => Some("insufficient funds for gas * price + value"),
                _ => Some("already known"),
            };
            if request["method"] == "eth_sendRawTransaction" {
                sent.fetch_add(1, Ordering::SeqCst);
                if let Some(words) = words {
                    return refused(&request, words);
                }
            }
            Reply::Json(behind.ask(&request).await)
        }
    })
    .await;
    let disk = Disk::new();
    let gateway = gateway(&[url], &disk);
    let hash = send_one(&gateway, &node, from).await;
    node.rpc("anvil_dropTransaction", json!([format!("0x{hash}")])).await;
    for _ in 0..5 {
        assert_ne!(gateway.transaction(hash).await.unwrap().unwrap().status, TxStatus::Dropped);
        gateway.refresh(hash).await.unwrap();
    }
    assert_eq!(gateway.transaction(hash).await.unwrap().unwrap().status, TxStatus::Dropped);
}

/// Forwards to a real node, but refuses every transaction in these words.
async fn refusing(peer: &Node, words: &'static str) -> String {
    let peer = peer.clone();
    serve(move |request: Value| {
        let peer = peer.clone();
        async move {
            let method = request["method"].as_str().unwrap();
            if method == "eth_sendRawTransaction" {
                return refused(&request, words);
            }
            Reply::Result(peer.rpc(method, request["params"].clone()).await)
        }
    })
    .await
}

#[tokio::test]
async fn gas_below_the_floor_of_its_data_is_said_at_once_and_frees_the_nonce() {
    let peer = anvil(&["--no-mining"]).await;
    let node = Node::new(&peer.url_text());
    let from = node.account(1).await;
    let url = refusing(&node, "insufficient gas for floor data gas cost: gas 30000, minimum needed 31000").await;
    let gateway = gateway(&[url], &Disk::new());
    let prepared = gateway.prepare(transfer(from)).await.unwrap();
    let raw = node.sign_data(from, prepared.nonce, prepared.fees.normal, 1_000, 30_000).await;
    let refused = gateway.broadcast(request(raw)).await;
    assert!(matches!(refused, Err(BroadcastError::Rejected { rejection: Rejection::Gas, .. })), "{refused:?}");
    assert_eq!(gateway.prepare(transfer(from)).await.unwrap().nonce, prepared.nonce);
}

/// In words that say nothing of it, so that a node may hold it all the same.
#[tokio::test]
async fn what_no_node_ever_held_is_dropped_after_a_day_of_refusals_and_its_nonce_freed() {
    let peer = anvil(&["--no-mining"]).await;
    let node = Node::new(&peer.url_text());
    let from = node.account(1).await;
    let (disk, clock) = (Disk::new(), Arc::new(HandClock::default()));
    let registry = registry_of(&[refusing(&node, "txpool is full").await]);
    let gateway = support::gateway(registry, Arc::new(disk.open()), &clock);
    let prepared = gateway.prepare(transfer(from)).await.unwrap();
    let raw = node.sign(from, prepared.nonce, prepared.fees.normal, 1).await;
    let sent = gateway.broadcast(request(raw)).await.unwrap();
    assert_eq!(sent.status, TxStatus::Submitted);
    let mut looked = 0;
    for _ in 0..23 {
        looked += gateway.track_once().await.checked;
        assert_eq!(gateway.transaction(sent.hash).await.unwrap().unwrap().status, TxStatus::Submitted);
        clock.advance(3_600);
    }
    assert!(looked > 10, "{looked}");
    // The next look may be nine hours away by now.
    clock.advance(10 * 3_600);
    gateway.track_once().await;
    assert_eq!(gateway.transaction(sent.hash).await.unwrap().unwrap().status, TxStatus::Dropped);
    assert_eq!(gateway.prepare(transfer(from)).await.unwrap().nonce, sent.nonce);
}
