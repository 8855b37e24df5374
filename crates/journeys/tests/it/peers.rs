//! Other wallets' libraries and a real EVM node judge what Pinseal signs.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use alloy_primitives::U256;
use pinseal_chains::evm::transaction::{AccessListItem, DynamicFee, Kind, Transaction};
use pinseal_chains::evm::{self, EvmPolicy, SignedAuthorization, TypedData};
use pinseal_keys::{Entropy, EvmMaster};
use pinseal_networks::dev::{Anvil, AnvilOptions};
use pinseal_protocol::intent::{AccountIndex, ChainId, EvmAddress, Intent, Signed};
use serde_json::{Value, json};

/// The development phrase that anvil funds, too.
const PHRASE: &str = "test test test test test test test test test test test junk";
const CHAIN: ChainId = ChainId(31_337);
const TYPED_DATA: &str = r#"{
  "types": {
    "EIP712Domain": [
      {"name": "name", "type": "string"}, {"name": "version", "type": "string"},
      {"name": "chainId", "type": "uint256"}, {"name": "verifyingContract", "type": "address"}],
    "Order": [
      {"name": "maker", "type": "address"}, {"name": "legs", "type": "Leg[]"}, {"name": "memo", "type": "string"},
      {"name": "salt", "type": "bytes32"}, {"name": "limits", "type": "int64[2]"}, {"name": "open", "type": "bool"}],
    "Leg": [{"name": "token", "type": "address"}, {"name": "amount", "type": "uint256"}, {"name": "data", "type": "bytes"}]
  },
  "primaryType": "Order",
  "domain": {"name": "Exchange", "version": "2", "chainId": 31337,
             "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC"},
  "message": {
    "maker": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    "legs": [
      {"token": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "amount": "115792089237316195423570985008687907853269984665640564039457584007913129639935", "data": "0x"},
      {"token": "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", "amount": "1", "data": "0xdeadbeef"}],
    "memo": "caf\u00e9 \u20ac",
    "salt": "0x0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
    "limits": ["-9223372036854775808", "9223372036854775807"],
    "open": true
  }
}"#;

fn peers() -> PathBuf {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../peers"));
    assert!(path.join("node_modules/viem").exists(), "run `make setup` first");
    path
}

fn master() -> EvmMaster {
    EvmMaster::from_entropy(&Entropy::from_phrase(PHRASE).unwrap()).unwrap()
}

fn address(master: &EvmMaster, index: u32) -> EvmAddress {
    evm::address(&master.account_public().child(index).unwrap())
}

/// Through the very functions the enclave calls.
fn sign(master: &EvmMaster, intent: &Intent) -> Signed {
    let prepared = evm::prepare(intent, EvmPolicy::default()).unwrap();
    prepared.finish(&master.sign(prepared.account().value(), &prepared.digest(), &master.account_public()).unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn signature(signed: Signed) -> String {
    let Signed::EvmSignature { signature } = signed else { panic!("{signed:?}") };
    hex(&signature)
}

fn authorization(master: &EvmMaster, account: u32, address: EvmAddress, nonce: u64) -> SignedAuthorization {
    let account = AccountIndex::new(account).unwrap();
    let intent = Intent::EvmAuthorization { account, chain: CHAIN, address, nonce };
    let Signed::EvmAuthorization { tuple } = sign(master, &intent) else { panic!() };
    SignedAuthorization::from_tuple(&tuple).unwrap()
}

fn fees() -> DynamicFee {
    DynamicFee { max_fee_per_gas: 40_000_000_000, max_priority_fee_per_gas: 1_000_000_000 }
}

/// One transaction of every type, nonces counting up.
fn transactions(master: &EvmMaster) -> Vec<(&'static str, Transaction)> {
    let to = address(master, 1);
    let access_list = vec![AccessListItem { address: to, storage_keys: vec![[7; 32], [0; 32]] }];
    let kinds = [
        ("legacy", Kind::Legacy { gas_price: 30_000_000_000 }),
        ("eip2930", Kind::AccessList { gas_price: 30_000_000_000, access_list: access_list.clone() }),
        ("eip1559", Kind::DynamicFee { fees: fees(), access_list: access_list.clone() }),
        (
            "eip7702",
            Kind::SetCode {
                fees: fees(),
                access_list,
                authorizations: vec![authorization(master, 2, EvmAddress([0x11; 20]), 0)],
            },
        ),
    ];
    let transaction = |(nonce, (name, kind)): (u64, (&'static str, Kind))| {
        let transaction = Transaction {
            chain: CHAIN,
            nonce,
            gas_limit: 120_000,
            to: Some(to),
            value: U256::from(1_000_000_007_u64),
            input: vec![0xab; usize::try_from(nonce).unwrap()],
            kind,
        };
        (name, transaction)
    };
    (0_u64..).zip(kinds).map(transaction).collect()
}

fn signed(master: &EvmMaster, transaction: &Transaction) -> (String, String) {
    let unsigned = transaction.encode_unsigned().unwrap();
    let intent = Intent::EvmTransaction { account: AccountIndex::default(), chain: CHAIN, unsigned: unsigned.into() };
    let Signed::EvmTransaction { raw, hash } = sign(master, &intent) else { panic!() };
    (hex(&raw), hex(&hash.0))
}

#[test]
fn viem_and_ethers_derive_the_same_addresses_recover_and_repeat_every_signature() {
    let master = master();
    let account = AccountIndex::default();
    let message = |text: &str| {
        let intent = Intent::EvmPersonalMessage { account, message: text.as_bytes().to_vec().into() };
        json!({"message": text, "signature": signature(sign(&master, &intent))})
    };
    let typed_data = TypedData::from_json(TYPED_DATA).unwrap().to_cbor();
    let intent = Intent::EvmTypedData { account, chain: CHAIN, typed_data: typed_data.into() };
    let authorization = authorization(&master, 0, EvmAddress([0x22; 20]), 9);
    let input = json!({
        "phrase": PHRASE,
        "addresses": (0..5).map(|index| evm::checksum(&address(&master, index))).collect::<Vec<_>>(),
        "messages": [message("hello"), message(""), message("caf\u{e9} \u{1f511}"), message(&"x".repeat(5_000))],
        "typedData": [{"json": serde_json::from_str::<Value>(TYPED_DATA).unwrap(), "signature": signature(sign(&master, &intent))}],
        "transactions": transactions(&master).iter().map(|(name, transaction)| {
            let (raw, hash) = signed(&master, transaction);
            json!({"type": name, "raw": raw, "hash": hash})
        }).collect::<Vec<_>>(),
        "authorizations": [{
            "chainId": CHAIN.0,
            "address": evm::checksum(&EvmAddress([0x22; 20])),
            "nonce": 9,
            "r": hex(&authorization.signature().r()),
            "s": hex(&authorization.signature().s()),
            "yParity": u8::from(authorization.signature().y_parity()),
        }],
    });
    let stdout = node("verify.mjs", &input);
    assert!(stdout.trim_end().ends_with("53 checks passed"), "{stdout}");
}

#[tokio::test]
async fn anvil_mines_every_type_of_transaction() {
    let binary = peers().join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    let anvil = Anvil::spawn(&binary, &AnvilOptions::default()).await.unwrap();
    let master = master();
    let signed = |(name, transaction): &(&str, Transaction)| {
        let (raw, hash) = signed(&master, transaction);
        json!({"type": name, "raw": raw, "hash": hash})
    };
    let transactions: Vec<Value> = transactions(&master).iter().map(signed).collect();
    let input = json!({
        "rpc": anvil.url_text(),
        "from": evm::checksum(&address(&master, 0)),
        "transactions": transactions,
    });
    let stdout = tokio::task::spawn_blocking(move || node("mine.mjs", &input)).await.unwrap();
    assert!(stdout.trim_end().ends_with("4 transactions mined"), "{stdout}");
}

/// Runs a script of `peers/` on one JSON input; what it printed, if it was content.
fn node(script: &str, input: &Value) -> String {
    let mut child = Command::new("node")
        .arg(script)
        .current_dir(peers())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    stdout.into_owned()
}
