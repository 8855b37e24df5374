//! Data of `vectors/decode`: what a user is shown of an intent.

use minicbor::bytes::ByteVec;
use pinseal_chains::decode::{Context, Native, Token, view};
use pinseal_chains::evm::transaction::SignedTransaction;
use pinseal_chains::evm::{SignedAuthorization, Transaction, TypedData, parse_address};
use pinseal_protocol::cbor;
use pinseal_protocol::intent::{AccountIndex, ChainId, Intent};
use proptest::prelude::*;
use serde_json::Value;

use crate::{bytes, cases, load, text};

const TOPICS: [&str; 7] = ["transfers", "tokens", "nfts", "other-calls", "delegation", "messages", "typed-data"];

/// The intent out of its readable form.
fn readable(form: &Value) -> Intent {
    let account = AccountIndex::new(u32::try_from(form["account"].as_u64().unwrap()).unwrap()).unwrap();
    let chain = || ChainId(form["chain"].as_u64().unwrap());
    match text(form, "kind") {
        "evm.transaction" => {
            Intent::EvmTransaction { account, chain: chain(), unsigned: ByteVec::from(bytes(form, "unsigned")) }
        }
        "evm.authorization" => Intent::EvmAuthorization {
            account,
            chain: chain(),
            address: parse_address(text(form, "address")).unwrap(),
            nonce: form["nonce"].as_u64().unwrap(),
        },
        "evm.personal_message" => {
            Intent::EvmPersonalMessage { account, message: ByteVec::from(bytes(form, "message")) }
        }
        "evm.typed_data" => {
            let typed_data = TypedData::from_json(&form["json"].to_string()).unwrap().to_cbor();
            assert_eq!(typed_data, bytes(form, "typed_data"));
            Intent::EvmTypedData { account, chain: chain(), typed_data: ByteVec::from(typed_data) }
        }
        other => panic!("{other}"),
    }
}

fn native(form: &Value) -> Native {
    Native { symbol: text(form, "symbol").to_owned(), decimals: decimals(form) }
}

fn token(form: &Value) -> Token {
    Token {
        chain: ChainId(form["chain"].as_u64().unwrap()),
        address: parse_address(text(form, "address")).unwrap(),
        symbol: text(form, "symbol").to_owned(),
        decimals: decimals(form),
    }
}

fn decimals(form: &Value) -> u8 {
    u8::try_from(form["decimals"].as_u64().unwrap()).unwrap()
}

#[test]
fn every_intent_is_shown_as_its_vector_says() {
    let mut wrong = Vec::new();
    for topic in TOPICS {
        for case in cases(&load(&format!("decode/{topic}.json")), "cases") {
            let intent: Intent = cbor::from_slice(&bytes(case, "intent_cbor")).unwrap();
            assert_eq!(intent, readable(&case["intent"]), "{}", text(case, "name"));
            let tokens: Vec<Token> = case["tokens"].as_array().unwrap().iter().map(token).collect();
            let native = native(&case["native"]);
            let shown = view(&intent, &Context { native: &native, tokens: &tokens }).unwrap();
            let shown = serde_json::to_value(shown).unwrap();
            if shown != case["view"] {
                wrong.push(serde_json::json!({"topic": topic, "name": case["name"], "shown": shown}));
            }
        }
    }
    assert!(wrong.is_empty(), "shown otherwise than the vectors say:\n{}", serde_json::to_string(&wrong).unwrap());
}

#[test]
fn what_cannot_be_parsed_is_not_shown() {
    let native = Native { symbol: "ETH".to_owned(), decimals: 18 };
    let context = Context { native: &native, tokens: &[] };
    let account = AccountIndex::new(0).unwrap();
    for case in cases(&load("evm/transactions.json"), "refused") {
        let unsigned = ByteVec::from(bytes(case, "unsigned"));
        let intent = Intent::EvmTransaction { account, chain: ChainId(1), unsigned };
        assert!(view(&intent, &context).is_err(), "{}", text(case, "name"));
    }
    for case in cases(&load("evm/typed-data.json"), "refused_cbor") {
        let typed_data = ByteVec::from(bytes(case, "cbor"));
        let intent = Intent::EvmTypedData { account, chain: ChainId(1), typed_data };
        assert!(view(&intent, &context).is_err(), "{}", text(case, "name"));
    }
}

/// Selectors of known calls, and words that are often right: small numbers, offsets, clean addresses.
fn any_calldata() -> impl Strategy<Value = Vec<u8>> {
    let selectors: Vec<Vec<u8>> = ["tokens", "nfts"]
        .iter()
        .flat_map(|topic| cases(&load(&format!("decode/{topic}.json")), "cases").to_vec())
        .map(|case| Transaction::parse_unsigned(&bytes(&case["intent"], "unsigned")).unwrap().input[..4].to_vec())
        .collect();
    let word = prop_oneof![
        (0_u8..=8).prop_map(|n| [vec![0; 31], vec![n]].concat()),
        (0_u8..8).prop_map(|n| [vec![0; 31], vec![n * 32]].concat()),
        any::<[u8; 20]>().prop_map(|address| [vec![0; 12], address.to_vec()].concat()),
        any::<[u8; 32]>().prop_map(|word| word.to_vec()),
    ];
    let tail = prop::collection::vec(any::<u8>(), 0..40);
    (prop::sample::select(selectors), prop::collection::vec(word, 0..12), tail)
        .prop_map(|(selector, words, tail)| [selector, words.concat(), tail].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_calldata_has_a_view(input in any_calldata()) {
        let file = load("decode/tokens.json");
        let mut tx = Transaction::parse_unsigned(&bytes(&cases(&file, "cases")[0]["intent"], "unsigned")).unwrap();
        tx.input = input;
        let unsigned = ByteVec::from(tx.encode_unsigned().unwrap());
        let intent = Intent::EvmTransaction { account: AccountIndex::new(0).unwrap(), chain: tx.chain, unsigned };
        let native = Native { symbol: "ETH".to_owned(), decimals: 18 };
        let shown = view(&intent, &Context { native: &native, tokens: &[] }).unwrap();
        // What is not understood is never shown without a warning.
        let json = serde_json::to_value(&shown).unwrap();
        prop_assert!(json["kind"] != "contract_call" || !shown.warnings.is_empty());
    }

    #[test]
    fn no_bytes_make_a_parser_panic(data in prop::collection::vec(any::<u8>(), 0..200), first in any::<u8>()) {
        // A plausible first byte leads further in.
        for head in [first, 0x01, 0x02, 0x04, 0x84, 0xf8] {
            let data = [&[head], data.as_slice()].concat();
            let _ = Transaction::parse_unsigned(&data);
            let _ = SignedTransaction::parse(&data);
            let _ = SignedAuthorization::from_tuple(&data);
            let _ = TypedData::from_cbor(&data);
            let _ = TypedData::from_json(&String::from_utf8_lossy(&data));
        }
    }
}
