//! The host's account table: kept only with the enclave's signature.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::bench::{Bench, Device};

pub(crate) async fn statements_are_verified_before_they_are_kept() {
    let mut bench = Bench::start().await;
    bench.register("ada@example.test").await;
    let device = Device::new();
    let session = bench.login("ada@example.test", &device).await;
    let keep = async |items: serde_json::Value| {
        bench.call("POST", "/v1/accounts").json(&json!({"items": items})).by(&session, &device).send().await
    };
    let wallet = bench.enclave.wallet_of(&session.user);
    let good = bench.enclave.statement(wallet, [0xab; 20]);
    let item = |statement: &[u8], signature: &[u8]| json!({"statement": hex::encode(statement), "signature": hex::encode(signature)});
    // Before a first begin the server does not know the wallet.
    keep(json!([item(&good.statement, &good.signature)])).await.is(400, "statement_invalid");
    bench.call("POST", "/v1/wallet/begin").json(&json!({"method": "status"})).by(&session, &device).send().await;
    let kept = keep(json!([item(&good.statement, &good.signature)])).await;
    assert_eq!(kept.status, 200, "{}", kept.text);
    let other = bench.enclave.statement(bench.enclave.wallet_of("somebody else"), [0xcd; 20]);
    keep(json!([item(&other.statement, &other.signature)])).await.is(400, "statement_invalid");
    let swapped = bench.enclave.statement(wallet, [0xcd; 20]);
    keep(json!([item(&swapped.statement, &good.signature)])).await.is(400, "statement_invalid");
    keep(json!([{"statement": "zz", "signature": ""}])).await.is(400, "statement_invalid");
    keep(json!(vec![item(&good.statement, &good.signature); 17])).await.is(400, "invalid_parameter");
    assert_eq!(bench.enclave.evidence.load(Ordering::SeqCst), 0, "the host knows the key");
    let list = bench.call("GET", "/v1/accounts").by(&session, &device).send().await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let account = &list["items"][0];
    assert_eq!(account["address"], format!("0x{}", "ab".repeat(20)));
    assert_eq!((&account["network"], &account["path"]), (&json!("eip155"), &json!("m/44'/60'/0'/0/0")));
    assert_eq!(account["statement"], hex::encode(good.statement.as_slice()));
    bench.finish().await;
}
