//! Balances, fees and calls over a real node and a contract of our own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::{U256, hex};
use pinseal_networks::{CallError, GatewayError, TOKENS_MAX, Token, TokenFault};
use pinseal_protocol::intent::EvmAddress;
use serde_json::json;

use crate::hostile::{Reply, serve};
use crate::support::{Disk, HandClock, LOCAL, Scene, TO, gateway, registry_of};

const TOKEN: EvmAddress = EvmAddress([0x70; 20]);
const REVERTS: EvmAddress = EvmAddress([0x71; 20]);
const LIAR: EvmAddress = EvmAddress([0x72; 20]);

/// EVM code that answers balanceOf from storage (slot = holder), decimals with 6 and symbol with "TST".
fn token_code() -> Vec<u8> {
    let mut code = hex::decode("5f3560e01c").unwrap();
    let bodies: [(&str, &str); 3] = [
        ("70a08231", "5b600435545f5260205ff3"),
        ("313ce567", "5b60065f5260205ff3"),
        ("95d89b41", "5b60205f52600360205262545354 60e81b60405260605ff3"),
    ];
    let bodies = bodies.map(|(selector, body)| (selector, hex::decode(body.replace(' ', "")).unwrap()));
    // DUP1 PUSH4 selector EQ PUSH1 target JUMPI, then PUSH0 PUSH0 REVERT.
    let mut target = code.len() + bodies.len() * 10 + 3;
    for (selector, body) in &bodies {
        code.extend([0x80, 0x63]);
        code.extend(hex::decode(selector).unwrap());
        code.extend([0x14, 0x60, u8::try_from(target).unwrap(), 0x57]);
        target += body.len();
    }
    code.extend([0x5f, 0x5f, 0xfd]);
    bodies.iter().for_each(|(_, body)| code.extend(body));
    code
}

#[tokio::test]
async fn native_and_token_balances_are_read_and_a_bad_token_spoils_nothing() {
    let scene = Scene::new(1, &[]).await;
    let node = scene.node();
    let holder = node.account(3).await;
    let code = |code: &[u8]| hex::encode_prefixed(code);
    node.rpc("anvil_setCode", json!([format!("0x{TOKEN}"), code(&token_code())])).await;
    node.rpc("anvil_setCode", json!([format!("0x{REVERTS}"), "0x5f5ffd"])).await;
    // Returns 64 bytes of zeros to everything.
    node.rpc("anvil_setCode", json!([format!("0x{LIAR}"), "0x60405ff3"])).await;
    let slot = format!("0x{}{holder}", "00".repeat(12));
    let amount = format!("0x{:064x}", 1_234_567);
    node.rpc("anvil_setStorageAt", json!([format!("0x{TOKEN}"), slot, amount])).await;

    let balances = scene.gateway.balance(LOCAL, holder, &[TOKEN, TO, REVERTS, LIAR]).await.unwrap();
    assert_eq!(balances.native, U256::from(10).pow(U256::from(22)));
    let found: Vec<_> = balances.tokens.into_iter().map(|token| (token.contract, token.balance)).collect();
    let token = Token { amount: U256::from(1_234_567), decimals: Some(6), symbol: Some("TST".into()) };
    assert_eq!(
        found,
        vec![
            (TOKEN, Ok(token)),
            (TO, Err(TokenFault::NotAToken)),
            (REVERTS, Err(TokenFault::NotAToken)),
            (LIAR, Err(TokenFault::NotAToken)),
        ]
    );
    // Nothing of a local chain's tokens is remembered: the next contract at this address may be another one.
    let mut code_of_another = token_code();
    let place = code_of_another.windows(3).position(|bytes| bytes == [0x60, 0x06, 0x5f]).unwrap();
    code_of_another[place + 1] = 18;
    node.rpc("anvil_setCode", json!([format!("0x{TOKEN}"), code(&code_of_another)])).await;
    let again = scene.gateway.balance(LOCAL, holder, &[TOKEN]).await.unwrap();
    assert_eq!(again.tokens[0].balance.as_ref().unwrap().decimals, Some(18));
    let many = scene.gateway.balance(LOCAL, holder, &[TOKEN; TOKENS_MAX + 1]).await;
    assert!(matches!(many, Err(GatewayError::TooManyTokens)));
}

/// A node whose tokens have 6 decimals and the symbol TST; counts what it is asked about them. [`LIAR`] answers at length.
async fn counting_node(asked: &Arc<AtomicUsize>) -> String {
    let asked = Arc::clone(asked);
    serve(move |request| {
        let call = request["params"][0].clone();
        let (to, data) = (call["to"].as_str().unwrap_or_default(), call["data"].as_str().unwrap_or_default());
        let word = |number: u64| Reply::Result(json!(format!("0x{number:064x}")));
        let reply = match (request["method"].as_str().unwrap(), data) {
            ("eth_chainId", _) => Reply::Result(json!("0x7a69")),
            ("eth_getBalance", _) => Reply::Result(json!("0x1")),
            _ if to == format!("0x{LIAR}") => Reply::Result(json!(format!("0x{}", "00".repeat(16 * 1024)))),
            (_, "0x313ce567") => word(6),
            (_, "0x95d89b41") => Reply::Result(json!(format!("0x{}", hex::encode(b"TST") + &"00".repeat(29)))),
            _ => word(5),
        };
        if request["method"] == "eth_call" {
            asked.fetch_add(1, Ordering::SeqCst);
        }
        async move { reply }
    })
    .await
}

#[tokio::test]
async fn a_token_describes_itself_once_an_hour() {
    let asked = Arc::new(AtomicUsize::default());
    let (disk, clock) = (Disk::new(), Arc::new(HandClock::default()));
    let gateway = gateway(registry_of(&[counting_node(&asked).await]), Arc::new(disk.open()), &clock);
    let token = Token { amount: U256::from(5), decimals: Some(6), symbol: Some("TST".into()) };
    let questions = async |contract| {
        let before = asked.load(Ordering::SeqCst);
        let balances = gateway.balance(LOCAL, TO, &[contract]).await.unwrap();
        (balances.tokens[0].balance.clone(), asked.load(Ordering::SeqCst) - before)
    };
    assert_eq!(questions(TOKEN).await, (Ok(token.clone()), 3));
    assert_eq!(questions(TOKEN).await, (Ok(token.clone()), 1));
    assert_eq!(questions(REVERTS).await, (Ok(token.clone()), 3), "another contract");
    clock.advance(3_599);
    assert_eq!(questions(TOKEN).await, (Ok(token.clone()), 1));
    clock.advance(1);
    assert_eq!(questions(TOKEN).await, (Ok(token), 3));
    // Of an answer that no token gives, not more than a little is read.
    assert_eq!(questions(LIAR).await.0, Err(TokenFault::Unavailable));
}

#[tokio::test]
async fn fees_rise_from_slow_to_fast_and_cover_the_base_fee() {
    let scene = Scene::new(1, &[]).await;
    let from = scene.node().account(1).await;
    for _ in 0..3 {
        scene.send(from).await;
    }
    let fees = scene.gateway.fees(LOCAL).await.unwrap();
    let base = fees.base_fee.unwrap();
    assert!(base > U256::ZERO);
    assert!(fees.slow.max_fee_per_gas > base);
    assert!(fees.slow.max_fee_per_gas <= fees.normal.max_fee_per_gas);
    assert!(fees.normal.max_fee_per_gas < fees.fast.max_fee_per_gas);
}

#[tokio::test]
async fn contract_calls_get_a_gas_margin() {
    let scene = Scene::new(1, &[]).await;
    let node = scene.node();
    let from = node.account(1).await;
    node.rpc("anvil_setCode", json!([format!("0x{TOKEN}"), hex::encode_prefixed(token_code())])).await;
    let data = hex::decode("313ce567").unwrap();
    let request =
        pinseal_networks::PrepareRequest { network: LOCAL.into(), from, to: Some(TOKEN), value: U256::ZERO, data };
    let call = json!([{"from": format!("0x{from}"), "to": format!("0x{TOKEN}"), "data": "0x313ce567"}]);
    let estimate = node.rpc("eth_estimateGas", call).await;
    let estimate = u64::from_str_radix(estimate.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let prepared = scene.gateway.prepare(request).await.unwrap();
    assert_eq!(prepared.gas_limit, estimate + estimate / 5);
}

#[tokio::test]
async fn only_reading_methods_are_passed_on() {
    let scene = Scene::new(1, &[]).await;
    let chain = scene.gateway.call(LOCAL, "eth_chainId", json!([])).await.unwrap();
    assert_eq!(chain, json!("0x7a69"));
    for method in [
        "eth_sendRawTransaction",
        "eth_sendTransaction",
        "eth_accounts",
        "eth_sign",
        "anvil_setBalance",
        "personal_unlockAccount",
        "debug_traceTransaction",
        "eth_chainid",
        "",
    ] {
        let refused = scene.gateway.call(LOCAL, method, json!([])).await;
        assert!(matches!(refused, Err(CallError::NotOffered)), "{method}");
    }
    assert!(matches!(scene.gateway.call(LOCAL, "eth_call", json!({})).await, Err(CallError::Params)));
    let long = json!(["0".repeat(300_000)]);
    assert!(matches!(scene.gateway.call(LOCAL, "eth_call", long).await, Err(CallError::Params)));
    let refused = scene.gateway.call(LOCAL, "eth_getBalance", json!(["nonsense"])).await;
    assert!(matches!(refused, Err(CallError::Gateway(GatewayError::Rpc(_)))));
}
