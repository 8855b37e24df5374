//! What the server itself does around the gateway.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pinseal_server::Limits;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::bench::{Answer, Bench, Device, Session};
use crate::doubles::{SENDER, Weather};

const NETWORK: &str = "eip155:31337";
/// Ends a test that would otherwise wait for ever; nothing that passes comes near it.
const PATIENCE: Duration = Duration::from_secs(30);

async fn with_account() -> (Bench, Device, Session, String) {
    furnish(Bench::start().await).await
}

async fn furnish(mut bench: Bench) -> (Bench, Device, Session, String) {
    bench.register("ada@example.test").await;
    let device = Device::new();
    let session = bench.login("ada@example.test", &device).await;
    bench.call("POST", "/v1/wallet/begin").json(&json!({"method": "status"})).by(&session, &device).send().await;
    let statement = bench.enclave.statement(bench.enclave.wallet_of(&session.user), SENDER);
    let item = json!({"statement": hex::encode(statement.statement.as_slice()), "signature": hex::encode(statement.signature.as_slice())});
    let kept = bench.call("POST", "/v1/accounts").json(&json!({"items": [item]})).by(&session, &device).send().await;
    assert_eq!(kept.status, 200);
    (bench, device, session, format!("0x{}", hex::encode(SENDER)))
}

async fn post(
    bench: &Bench,
    session: &Session,
    device: &Device,
    path: &str,
    key: Option<&str>,
    body: &Value,
) -> Answer {
    let mut call = bench.call("POST", path).json(body).by(session, device);
    if let Some(key) = key {
        call = call.header("idempotency-key", key);
    }
    call.send().await
}

pub(crate) async fn a_reading_call_goes_through_and_no_other() {
    let (bench, device, session, _) = with_account().await;
    let path = format!("/v1/networks/{NETWORK}/rpc");
    let ask = async |body: Value| post(&bench, &session, &device, &path, None, &body).await;
    let told = ask(json!({"method": "eth_blockNumber", "params": []})).await;
    assert_eq!((told.status, told.json()), (200, json!({"result": "0x10"})));
    let params = json!([{"fromBlock": "0x1", "topics": [null]}]);
    assert_eq!(ask(json!({"method": "eth_getLogs", "params": params})).await.json(), json!({"result": params}));
    ask(json!({"method": "eth_sendRawTransaction", "params": ["0x00"]})).await.is(400, "invalid_parameter");
    let refused = ask(json!({"method": "eth_call", "params": [{}]})).await;
    refused.is(422, "rpc_refused");
    assert!(refused.text.contains("execution reverted"), "{}", refused.text);
    assert_eq!(refused.json()["data"], "0x08c3");
    ask(json!({"method": "eth_call", "params": {}})).await.is(400, "invalid_json");
    let elsewhere = json!({"method": "eth_blockNumber", "params": []});
    post(&bench, &session, &device, "/v1/networks/eip155:999/rpc", None, &elsewhere).await.is(404, "network_unknown");
    // For users: the operator's nodes are not everybody's.
    bench.call("POST", &path).json(&elsewhere).send().await.is(401, "token_missing");
    bench.finish().await;
}

pub(crate) async fn a_repeated_request_is_done_once() {
    let (mut bench, device, session, from) = with_account().await;
    let body = json!({"network": NETWORK, "from": from, "to": from, "value": "1"});
    let prepare = async |key: Option<&'static str>, body: &Value| {
        post(&bench, &session, &device, "/v1/tx/prepare", key, body).await
    };
    let first = prepare(Some("k-1"), &body).await;
    assert_eq!(first.status, 200, "{}", first.text);
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let second = prepare(Some("k-1"), &body).await;
    assert_eq!((second.status, &second.text), (200, &first.text));
    assert_eq!(second.headers["idempotent-replayed"], "true");
    assert_eq!(second.headers["content-type"], "application/json");
    assert_eq!(bench.chain.calls.load(Ordering::SeqCst), 1);
    let mut other = body.clone();
    other["value"] = json!("2");
    prepare(Some("k-1"), &other).await.is(409, "idempotency_key_reused");
    assert_ne!(prepare(None, &body).await.text, first.text);
    assert_ne!(prepare(Some("k-2"), &body).await.text, first.text);
    for bad in ["", "two words"] {
        prepare(Some(bad), &body).await.is(400, "idempotency_key_invalid");
    }
    // A refusal or a fault is nothing done, and the repeat runs again.
    for (weather, status, code) in [
        (Weather::Rejected, 422, "transaction_rejected"),
        (Weather::Funds, 422, "funds_insufficient"),
        (Weather::Away, 502, "network_unavailable"),
    ] {
        bench.chain.set(weather);
        prepare(Some(code), &body).await.is(status, code);
        bench.chain.set(Weather::Fair);
        let answer = prepare(Some(code), &body).await;
        assert!(answer.status == 200 && !answer.headers.contains_key("idempotent-replayed"), "{answer:?}");
    }
    // While the first runs, the second is told to come back; the work goes on though its client hangs up.
    bench.chain.set(Weather::Slow);
    tokio::select! {
        _ = prepare(Some("k-5"), &body) => panic!("the first request waits"),
        () = async {
            bench.chain.waiting.notified().await;
            let busy = prepare(Some("k-5"), &body).await;
            busy.is(409, "idempotency_in_progress");
            assert_eq!(busy.headers["retry-after"], "1");
        } => {}
    }
    let before = bench.chain.calls.load(Ordering::SeqCst);
    bench.chain.go_on.notify_one();
    let answer = loop {
        let answer = prepare(Some("k-5"), &body).await;
        if answer.status != 409 {
            break answer;
        }
    };
    assert_eq!(answer.headers["idempotent-replayed"], "true");
    assert_eq!(bench.chain.calls.load(Ordering::SeqCst), before);
    // The key is this user's: another user's same key is another key. After a day it is forgotten.
    bench.chain.set(Weather::Fair);
    bench.register("bob@example.test").await;
    let bobs = Device::new();
    let bob = bench.login("bob@example.test", &bobs).await;
    post(&bench, &bob, &bobs, "/v1/app/register", Some("k-1"), &json!({})).await.is(409, "wallet_not_created");
    bench.clock.advance(86_400);
    let session = bench.login("ada@example.test", &device).await;
    let later = post(&bench, &session, &device, "/v1/tx/prepare", Some("k-1"), &other).await;
    assert_eq!(later.status, 200, "{}", later.text);
    bench.finish().await;
}

pub(crate) async fn gateway_faults_are_problems() {
    let (bench, device, session, from) = with_account().await;
    let fees = async || bench.get(&format!("/v1/networks/{NETWORK}/fees")).await;
    assert_eq!(fees().await.json()["normal"]["max_fee_per_gas"], "2");
    assert_eq!(bench.get("/v1/networks").await.json()["items"][0]["caip2"], NETWORK);
    bench.get("/v1/networks/eip155:999/fees").await.is(404, "network_unknown");
    for (weather, status, code) in [(Weather::Away, 502, "network_unavailable"), (Weather::Fault, 500, "internal")] {
        bench.chain.set(weather);
        fees().await.is(status, code);
    }
    bench.chain.set(Weather::Funds);
    let transfer = json!({"network": NETWORK, "from": from, "value": "1"});
    post(&bench, &session, &device, "/v1/tx/prepare", None, &transfer).await.is(422, "funds_insufficient");
    bench.chain.set(Weather::Fair);
    let mine = async |path: String| bench.call("GET", &path).by(&session, &device).send().await;
    let waiting = mine(format!("/v1/tx/{NETWORK}/0xaa")).await.json();
    assert_eq!((&waiting["status"], &waiting["waits_for"]), (&json!("pending"), &json!({"nonce": 0, "until": 7})));
    mine(format!("/v1/tx/{NETWORK}/0xbb")).await.is(404, "transaction_unknown");
    // Somebody else's looks like none.
    mine(format!("/v1/tx/{NETWORK}/0xcc")).await.is(404, "transaction_unknown");
    assert_eq!(mine(format!("/v1/tx?address={from}")).await.json()["items"].as_array().unwrap().len(), 20);
    let page = mine(format!("/v1/tx?address={from}&limit=3&network={NETWORK}")).await.json();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next_cursor"]), (3, &json!("next")));
    mine(format!("/v1/tx?address={from}&limit=101")).await.is(400, "invalid_parameter");
    for (reserve, held) in [(json!(true), true), (Value::Null, true), (json!(false), false)] {
        let wanted = json!({"network": NETWORK, "from": from, "value": "1", "reserve": reserve});
        let prepared = post(&bench, &session, &device, "/v1/tx/prepare", None, &wanted).await.json();
        assert_eq!((prepared.get("reservation_id").is_some(), prepared.get("expires_at").is_some()), (held, held));
    }
    let released = post(&bench, &session, &device, "/v1/tx/release", None, &json!({"reservation_id": "1"})).await;
    assert_eq!(released.status, 204);
    let unknown = json!({"reservation_id": "2"});
    post(&bench, &session, &device, "/v1/tx/release", None, &unknown).await.is(404, "reservation_unknown");
    bench.finish().await;
}

pub(crate) async fn balances_are_for_users_and_each_token_counts() {
    let (bench, device, session, from) = with_account().await;
    let mine = async |path: String| bench.call("GET", &path).by(&session, &device).send().await;
    let path = |tokens: &str| format!("/v1/balances?network={NETWORK}&address={from}{tokens}");
    bench.get(&path("")).await.is(401, "token_missing");
    let left = async || mine("/v1/me".into()).await.headers["ratelimit-remaining"].parse::<u32>().unwrap();
    let before = left().await;
    let tokens = mine(path("&token=0x01&token=0x02")).await.json();
    assert_eq!(tokens["native"]["amount"], "2", "both tokens were read");
    assert_eq!(left().await, before - 4, "the two questions and the two tokens");
    mine(path("&token=zz")).await.is(400, "invalid_parameter");
    mine("/v1/balances?address=0x01".into()).await.is(400, "invalid_parameter");
    assert_eq!(mine(path(&"&token=0x01".repeat(16))).await.status, 200);
    mine(path(&"&token=0x01".repeat(17))).await.is(400, "invalid_parameter");
    bench.finish().await;

    let bench = Bench::with(|limits| limits.requests_per_minute = 20).await;
    let (bench, device, session, from) = furnish(bench).await;
    let calls = bench.chain.calls.load(Ordering::SeqCst);
    let path = format!("/v1/balances?network={NETWORK}&address={from}{}", "&token=0x01".repeat(16));
    let refused = bench.call("GET", &path).by(&session, &device).send().await;
    refused.is(429, "rate_limited");
    assert_eq!(bench.chain.calls.load(Ordering::SeqCst), calls, "no node was asked");
    bench.finish().await;
}

pub(crate) async fn the_gateway_is_reached_for_own_accounts_only() {
    let (bench, device, session, from) = with_account().await;
    let stranger = format!("0x{}", "cd".repeat(20));
    let prepare = |from: &str| json!({"network": NETWORK, "from": from, "to": stranger, "value": "1"});
    let broadcast = |from: &str| json!({"network": NETWORK, "raw": format!("{from}00")});
    let send = async |path, body| post(&bench, &session, &device, path, None, &body).await;
    send("/v1/tx/prepare", prepare(&stranger)).await.is(403, "account_unknown");
    send("/v1/tx/broadcast", broadcast(&stranger)).await.is(403, "account_unknown");
    assert_eq!(bench.chain.calls.load(Ordering::SeqCst), 0);
    assert_eq!(send("/v1/tx/prepare", prepare(&from.to_uppercase().replace("0X", "0x"))).await.status, 200);
    assert_eq!(send("/v1/tx/broadcast", broadcast(&from)).await.json()["hash"], "0xaa");
    bench.chain.set(Weather::Waiting);
    send("/v1/tx/broadcast", broadcast(&from)).await.is(409, "transactions_waiting");
    bench.chain.set(Weather::Fair);
    bench.call("POST", "/v1/tx/prepare").json(&prepare(&from)).send().await.is(401, "token_missing");
    bench.finish().await;
}

/// Asks until the answer is another one than a refusal that passes.
async fn after_a_while(ask: impl AsyncFn() -> Answer) -> Answer {
    let asking = async {
        loop {
            let answer = ask().await;
            if !matches!(answer.status, 409 | 503) {
                return answer;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the refusal passes")
}

pub(crate) async fn requests_that_wait_for_nodes_leave_places_for_others() {
    // Four places for those that wait for nodes, two of them for one network.
    let (bench, device, session, _) = furnish(Bench::with(|limits| limits.requests_in_flight_max = 8).await).await;
    let fees = async || bench.get(&format!("/v1/networks/{NETWORK}/fees")).await;
    bench.chain.set(Weather::Slow);
    tokio::select! {
        _ = async { tokio::join!(fees(), fees()) } => panic!("both wait for a node"),
        () = async {
            while bench.chain.calls.load(Ordering::SeqCst) < 2 {
                tokio::task::yield_now().await;
            }
            let third = tokio::time::timeout(PATIENCE, fees()).await.expect("refused at once");
            third.is(503, "overloaded");
            bench.get("/v1/networks/eip155:10/fees").await.is(404, "network_unknown");
            assert_eq!(bench.call("GET", "/v1/me").by(&session, &device).send().await.status, 200);
        } => {}
    }
    bench.chain.set(Weather::Fair);
    assert_eq!(after_a_while(fees).await.status, 200);
    bench.finish().await;
}

pub(crate) async fn calls_that_take_long_leave_places_to_money() {
    // Eight places for those that wait for nodes, four of them for one network, two of those for calls.
    let (bench, device, session, from) = furnish(Bench::with(|limits| limits.requests_in_flight_max = 16).await).await;
    let path = format!("/v1/networks/{NETWORK}/rpc");
    let logs = json!({"method": "eth_getLogs", "params": []});
    let call = async || post(&bench, &session, &device, &path, None, &logs).await;
    bench.chain.set(Weather::Slow);
    tokio::select! {
        _ = async { tokio::join!(call(), call()) } => panic!("both wait for a node"),
        () = async {
            while bench.chain.calls.load(Ordering::SeqCst) < 2 {
                tokio::task::yield_now().await;
            }
            let third = tokio::time::timeout(PATIENCE, call()).await.expect("refused at once");
            third.is(503, "overloaded");
            bench.chain.set(Weather::Fair);
            let transfer = json!({"network": NETWORK, "from": from, "to": from, "value": "1"});
            assert_eq!(post(&bench, &session, &device, "/v1/tx/prepare", None, &transfer).await.status, 200);
            let signed = json!({"network": NETWORK, "raw": format!("{from}00")});
            assert_eq!(post(&bench, &session, &device, "/v1/tx/broadcast", None, &signed).await.status, 200);
            let balance = format!("/v1/balances?network={NETWORK}&address={from}");
            assert_eq!(bench.call("GET", &balance).by(&session, &device).send().await.status, 200);
        } => {}
    }
    bench.finish().await;
}

pub(crate) async fn transactions_are_listed_while_every_place_at_nodes_is_taken() {
    // One place for those that wait for nodes.
    let (bench, device, session, from) = furnish(Bench::with(|limits| limits.requests_in_flight_max = 3).await).await;
    let list = async || {
        let listed = bench.call("GET", &format!("/v1/tx?address={from}&limit=1")).by(&session, &device);
        let listed = tokio::time::timeout(PATIENCE, listed.send()).await.expect("no node is waited for");
        assert_eq!(listed.status, 200, "{}", listed.text);
        listed.json()["items"][0].get("waits_for").is_some()
    };
    assert!(list().await, "with what a node says");
    bench.chain.set(Weather::Slow);
    let fees = async || bench.get(&format!("/v1/networks/{NETWORK}/fees")).await;
    tokio::select! {
        _ = fees() => panic!("it waits for a node"),
        () = async {
            bench.chain.waiting.notified().await;
            assert!(!list().await, "without");
        } => {}
    }
    bench.finish().await;
}

/// Asks for a long answer and takes no more than its beginning.
async fn deaf(bench: &Bench, session: &Session, device: &Device) -> TcpStream {
    let (path, body) = (format!("/v1/networks/{NETWORK}/rpc"), r#"{"method":"eth_getCode","params":[]}"#);
    let url = format!("{}{path}", bench.base);
    let proof = device.proof(&bench.clock, "POST", &url, Some(&session.access), &bench.nonce());
    let ask = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nx-pinseal-app-id: {}\r\nx-pinseal-app-key: {}\r\n\
         authorization: DPoP {}\r\ndpop: {proof}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        bench.address,
        bench.app.id,
        bench.app.key,
        session.access,
        body.len()
    );
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(bench.address).await.unwrap();
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    stream
}

pub(crate) async fn answers_nobody_takes_keep_their_places() {
    let limits = |limits: &mut Limits| {
        limits.stall_milliseconds_max = 120_000;
        limits.body_milliseconds_max = 120_000;
    };
    let (bench, device, session, _) = furnish(Bench::with(limits).await).await;
    let mut answers = Vec::new();
    for _ in 0..16 {
        answers.push(deaf(&bench, &session, &device).await);
    }
    let path = format!("/v1/networks/{NETWORK}/rpc");
    let short = json!({"method": "eth_blockNumber", "params": []});
    let ask = async || post(&bench, &session, &device, &path, None, &short).await;
    ask().await.is(429, "rate_limited");
    assert_eq!(bench.get(&format!("/v1/networks/{NETWORK}/fees")).await.status, 200, "others are served");
    drop(answers);
    let served = async { while ask().await.status != 200 {} };
    tokio::time::timeout(PATIENCE, served).await.expect("what is closed holds nothing");
    bench.finish().await;
}

pub(crate) async fn answers_nobody_takes_make_room_for_others() {
    let limits = |limits: &mut Limits| {
        // Four places for one network, two of them for calls.
        limits.requests_in_flight_max = 16;
        limits.stall_milliseconds_max = 120_000;
        limits.body_milliseconds_max = 120_000;
    };
    let (bench, device, session, _) = furnish(Bench::with(limits).await).await;
    let mut both = [deaf(&bench, &session, &device).await, deaf(&bench, &session, &device).await];
    // Both places are hers.
    let path = format!("/v1/networks/{NETWORK}/rpc");
    let short = json!({"method": "eth_blockNumber", "params": []});
    assert_eq!(post(&bench, &session, &device, &path, None, &short).await.status, 200);
    let mut rest = Vec::new();
    let cut = tokio::time::timeout(PATIENCE, both[0].read_to_end(&mut rest)).await.expect("it ends");
    let whole = String::from_utf8_lossy(&rest).split("content-length: ").nth(1).unwrap_or_default().to_owned();
    let length: usize = whole.split('\r').next().unwrap().parse().unwrap();
    assert!(cut.is_err() || rest.len() < length, "the older one was given up");
    drop(both);
    bench.finish().await;
}

pub(crate) async fn work_whose_client_hung_up_keeps_its_place() {
    let (bench, device, session, from) = furnish(Bench::with(|limits| limits.requests_in_flight_max = 2).await).await;
    let body = json!({"network": NETWORK, "from": from, "to": from, "value": "1"});
    let fees = async || bench.get(&format!("/v1/networks/{NETWORK}/fees")).await;
    for key in [Some("k"), None] {
        bench.chain.set(Weather::Slow);
        tokio::select! {
            _ = post(&bench, &session, &device, "/v1/tx/prepare", key, &body) => panic!("it waits for a node"),
            () = bench.chain.waiting.notified() => {}
        }
        while bench.metric("pinseal_http_requests_in_flight").await > 1.0 {}
        bench.chain.set(Weather::Fair);
        fees().await.is(503, "overloaded");
        bench.chain.go_on.notify_one();
        assert_eq!(after_a_while(fees).await.status, 200);
    }
    bench.finish().await;
}

pub(crate) async fn a_client_that_hangs_up_leaves_no_key_claimed() {
    let (bench, device, session, from) = with_account().await;
    let body = json!({"network": NETWORK, "from": from, "to": from, "value": "1"});
    let prepare = async || post(&bench, &session, &device, "/v1/tx/prepare", Some("k"), &body).await;
    let held = bench.db.hold_writes();
    tokio::select! {
        _ = prepare() => panic!("the write is held up"),
        () = async { while bench.db.writes_waiting() == 0 { tokio::task::yield_now().await } } => {}
    }
    while bench.metric("pinseal_http_requests_in_flight").await > 1.0 {}
    drop(held);
    assert_eq!(after_a_while(prepare).await.headers["idempotent-replayed"], "true");
    assert_eq!(bench.chain.calls.load(Ordering::SeqCst), 1);
    bench.finish().await;
}

pub(crate) async fn parameters_have_a_bounded_number_of_values() {
    let (bench, device, session, _) = with_account().await;
    let path = format!("/v1/networks/{NETWORK}/rpc");
    let ask = async |count: usize| {
        let body = json!({"method": "eth_getLogs", "params": vec![json!({}); count]});
        post(&bench, &session, &device, &path, None, &body).await
    };
    assert_eq!(ask(8_192).await.status, 200);
    let refused = ask(8_193).await;
    refused.is(400, "invalid_json");
    assert!(refused.text.contains("too many values"), "{}", refused.text);
    bench.finish().await;
}

pub(crate) async fn keyed_requests_are_counted_for_a_day() {
    let (bench, device, session, from) =
        furnish(Bench::with(|limits| limits.keyed_requests_per_user_per_day = 2).await).await;
    let body = json!({"network": NETWORK, "from": from, "to": from, "value": "1"});
    let prepare = async |key| post(&bench, &session, &device, "/v1/tx/prepare", key, &body).await;
    for key in ["k-1", "k-2"] {
        assert_eq!(prepare(Some(key)).await.status, 200);
    }
    prepare(Some("k-3")).await.is(429, "rate_limited");
    assert_eq!(prepare(None).await.status, 200, "what leaves nothing behind is not counted");
    bench.finish().await;
}
