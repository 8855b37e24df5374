use pinseal_chains::evm::transaction::{Kind, SignedTransaction};
use pinseal_client::intents::Token;
use pinseal_client::transaction::{FEE_MAX_DEFAULT, GAS_LIMIT_MAX, Patience, Until, WaitError};
use pinseal_client::{Address, Amount, Network, PreparedTransaction, TransactionError, TransactionRequest};
use pinseal_protocol::intent::{AccountIndex, ChainId};
use serde_json::{Value, json};

use crate::enclave::account_address;
use crate::peer::{Canned, Peer, answer, problem};
use crate::world::{Device, PIN, pin, registered};

fn network() -> Network {
    Network::evm(ChainId(31_337))
}

fn recipient() -> Address {
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".parse().unwrap()
}

fn transfer() -> TransactionRequest {
    let amount = Amount::from_units("1.5", 18).unwrap();
    TransactionRequest::native(network(), AccountIndex::default(), recipient(), amount)
}

fn prepare() -> Value {
    let fee = json!({"max_fee_per_gas": "3000000000", "max_priority_fee_per_gas": "1000000000"});
    json!({"network": "eip155:31337", "nonce": 4, "gas_limit": 21000, "balance": "2000000000000000000", "reservation_id": "r1",
        "expires_at": 5, "fees": {"slow": fee, "normal": fee, "fast": fee, "base_fee": "1000000000"}})
}

async fn prepared(device: &Device, request: &TransactionRequest) -> Result<PreparedTransaction, TransactionError> {
    device.client.prepare_transaction(request, &[]).await
}

#[tokio::test]
async fn a_transfer_is_prepared_shown_signed_sent_and_followed() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    peer.host().prepare = prepare();
    let prepared = prepared(&device, &transfer()).await.unwrap();
    assert_eq!(prepared.fee_max().to_string(), "63000000000000");
    assert_eq!(prepared.total_max().to_string(), "1500063000000000000");
    assert!(!prepared.exceeds_balance());
    let shown = format!("{:?}", prepared.view());
    assert!(shown.contains("1.5 ETH") && shown.contains(&recipient().to_string()), "{shown}");

    let signed = attested.sign_transaction(&pin(PIN), &prepared).await.unwrap();
    let parsed = SignedTransaction::parse(signed.raw()).unwrap();
    assert_eq!(Address(*parsed.sender()), account_address(AccountIndex::default()));
    assert_eq!(parsed.transaction(), prepared.transaction());

    // The first answer is lost; the same bytes go out again under the same key.
    peer.next("/v1/tx/broadcast", answer(502, ""));
    device.client.broadcast(&signed).await.unwrap();
    assert_eq!(peer.host().raw.as_deref(), Some(format!("0x{}", hex::encode(signed.raw())).as_str()));
    peer.host().statuses = ["pending", "pending", "mined", "final"].into();
    let waits = device.world.waits.lock().unwrap().len();
    device.client.wait_for(&signed, Until::Mined, Patience::polls(10)).await.unwrap();
    assert_eq!(device.world.waits.lock().unwrap().len() - waits, 2);
    device.client.wait_for(&signed, Until::Final, Patience::polls(10)).await.unwrap();
}

#[tokio::test]
async fn a_broadcast_without_a_clear_answer_is_looked_for_and_never_called_failed() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    peer.host().prepare = prepare();
    let prepared = prepared(&device, &transfer()).await.unwrap();
    let signed = attested.sign_transaction(&pin(PIN), &prepared).await.unwrap();
    let give_up = || problem(504, "network_timeout", true);
    let sends = || peer.count("POST /v1/tx/broadcast");

    // A first answer that is a refusal is final: nothing was sent.
    peer.next("/v1/tx/broadcast", problem(422, "transaction_rejected", false));
    let error = device.client.broadcast(&signed).await.unwrap_err();
    assert!(
        matches!(&error, TransactionError::Api(error) if error.code() == Some("transaction_rejected")),
        "{error:?}"
    );
    assert_eq!(sends(), 1);

    // No answer is clear and the host knows nothing of it, which proves nothing; a later refusal neither.
    let place: &'static str = format!("/v1/tx/eip155:31337/0x{}", signed.hash()).leak();
    for last in [give_up(), problem(422, "transaction_rejected", false)] {
        let before = sends();
        [give_up(), give_up(), last].into_iter().for_each(|answer| peer.next("/v1/tx/broadcast", answer));
        (0..5).for_each(|_| peer.next(place, problem(404, "transaction_unknown", false)));
        let error = device.client.broadcast(&signed).await.unwrap_err();
        assert!(matches!(error, TransactionError::OutcomeUnknown { hash, .. } if hash == signed.hash()), "{error:?}");
        assert_eq!(sends() - before, 3);
        assert!(peer.host().canned.is_empty());
    }

    // The server gave up each time although the transaction was sent.
    for _ in 0..3 {
        peer.host().canned.push_back(Canned { path: "/v1/tx/broadcast", answer: give_up(), after: true });
    }
    let found = device.client.broadcast(&signed).await.unwrap();
    assert_eq!(found.hash.to_string(), format!("0x{}", signed.hash()));
}

#[tokio::test]
async fn a_server_fault_while_preparing_is_asked_again() {
    let peer = Peer::start().await;
    let (device, _attested) = registered(&peer).await;
    peer.host().prepare = prepare();
    peer.next("/v1/tx/prepare", problem(500, "internal", true));
    peer.next("/v1/tx/prepare", problem(504, "network_timeout", true));
    prepared(&device, &transfer()).await.unwrap();
    assert_eq!(peer.count("POST /v1/tx/prepare"), 3);
}

#[tokio::test]
async fn a_replacement_has_the_nonce_that_was_asked_for_or_is_refused() {
    let peer = Peer::start().await;
    let (device, _attested) = registered(&peer).await;
    peer.host().prepare = prepare();
    assert_eq!(prepared(&device, &transfer().in_place_of(4)).await.unwrap().transaction().nonce, 4);
    let error = prepared(&device, &transfer().in_place_of(3)).await.unwrap_err();
    assert!(matches!(error, TransactionError::Unreasonable(_)), "{error:?}");
}

#[tokio::test]
async fn the_host_cannot_burn_more_than_was_allowed() {
    let peer = Peer::start().await;
    let (device, _attested) = registered(&peer).await;
    // 21,000 gas at 3,000 gwei.
    let mut dear = prepare();
    dear["fees"]["normal"]["max_fee_per_gas"] = json!("3000000000000");
    peer.host().prepare = dear;
    let error = prepared(&device, &transfer()).await.unwrap_err();
    assert!(matches!(error, TransactionError::FeeTooHigh { allowed: FEE_MAX_DEFAULT, .. }), "{error:?}");
    assert_eq!(peer.count("POST /v1/tx/release"), 1, "the nonce is given back");
    prepared(&device, &transfer().fee_at_most("63000000000000000".parse().unwrap())).await.unwrap();

    let mut thirsty = prepare();
    thirsty["gas_limit"] = json!(21_001);
    peer.host().prepare = thirsty;
    let error = prepared(&device, &transfer()).await.unwrap_err();
    assert!(matches!(error, TransactionError::GasTooHigh { gas_limit: 21_001, allowed: 21_000 }), "{error:?}");
    prepared(&device, &transfer().gas_at_most(21_001)).await.unwrap();
}

#[tokio::test]
async fn waiting_ends_and_says_how() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    peer.host().prepare = prepare();
    let prepared = prepared(&device, &transfer()).await.unwrap();
    let signed = attested.sign_transaction(&pin(PIN), &prepared).await.unwrap();
    device.client.broadcast(&signed).await.unwrap();

    peer.host().statuses = ["pending"].into();
    assert!(matches!(
        device.client.wait_for(&signed, Until::Mined, Patience::polls(3)).await,
        Err(WaitError::NotYet(_))
    ));
    peer.host().statuses = ["dropped"].into();
    assert!(matches!(device.client.wait_for(&signed, Until::Mined, Patience::polls(3)).await, Err(WaitError::Gone(_))));
    peer.host().statuses = ["failed"].into();
    assert!(matches!(
        device.client.wait_for(&signed, Until::Mined, Patience::polls(3)).await,
        Err(WaitError::Failed(_))
    ));
    peer.host().statuses = ["mined"].into();
    peer.host().hash = Some(format!("0x{}", "11".repeat(32)));
    assert!(matches!(device.client.wait_for(&signed, Until::Mined, Patience::polls(3)).await, Err(WaitError::Other)));
    assert!(matches!(device.client.broadcast(&signed).await, Err(TransactionError::OtherTransaction)));
}

#[tokio::test]
async fn an_unreasonable_proposal_is_refused() {
    let peer = Peer::start().await;
    let (device, _attested) = registered(&peer).await;
    let changes: [(&str, Value); 4] = [
        ("/network", json!("eip155:1")),
        ("/gas_limit", json!(GAS_LIMIT_MAX + 1)),
        ("/fees/normal/max_fee_per_gas", json!("100000000000001")),
        ("/fees/normal", Value::Null),
    ];
    for (pointer, value) in changes {
        let mut proposal = prepare();
        *proposal.pointer_mut(pointer).unwrap() = value;
        peer.host().prepare = proposal;
        let error = prepared(&device, &transfer()).await.unwrap_err();
        assert!(matches!(error, TransactionError::Unreasonable(_)), "{pointer}: {error:?}");
    }
}

#[tokio::test]
async fn a_network_without_1559_gets_a_legacy_transaction() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    let mut proposal = prepare();
    proposal["fees"] = json!({"legacy_gas_price": "25000000000"});
    peer.host().prepare = proposal;
    let prepared = prepared(&device, &transfer()).await.unwrap();
    assert_eq!(prepared.transaction().kind, Kind::Legacy { gas_price: 25_000_000_000 });
    attested.sign_transaction(&pin(PIN), &prepared).await.unwrap();
}

#[tokio::test]
async fn a_token_transfer_is_shown_in_units_the_caller_vouches_for() {
    let peer = Peer::start().await;
    let (device, _attested) = registered(&peer).await;
    peer.host().prepare = prepare();
    let contract: Address = format!("0x{}", "c0".repeat(20)).parse().unwrap();
    let amount = Amount::from_units("12.5", 6).unwrap();
    let request = TransactionRequest::erc20(network(), AccountIndex::default(), contract, recipient(), amount);
    let token = Token { chain: ChainId(31_337), address: contract.0, symbol: "USDT".into(), decimals: 6 };
    let known = device.client.prepare_transaction(&request, &[token]).await.unwrap();
    let shown = format!("{:?}", known.view());
    assert!(shown.contains("12.5 USDT") && shown.contains(&recipient().to_string()), "{shown}");
    let unknown = format!("{:?}", prepared(&device, &request).await.unwrap().view());
    assert!(unknown.contains("12500000") && !unknown.contains("USDT"), "{unknown}");
    assert_eq!(known.transaction().to, Some(contract.0));
    device.client.discard(known).await.unwrap();
}
