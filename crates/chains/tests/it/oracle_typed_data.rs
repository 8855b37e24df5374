//! Typed data against alloy's EIP-712, over random types and values.

use alloy_primitives::{I256, U256};
use pinseal_chains::evm::{TypedData, checksum};
use pinseal_protocol::intent::EvmAddress;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Random bytes, read front to back, zeros at the end.
struct Tape<'a>(&'a [u8]);

impl Tape<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    fn word(&mut self) -> U256 {
        let len = self.below(33);
        U256::from_be_slice(&self.bytes(len))
    }
}

/// A document whose struct `S<i>` refers to later ones only, or to itself through a dynamic array.
fn document(tape: &mut Tape<'_>) -> Value {
    let count = 1 + tape.below(4);
    let mut types = Map::new();
    let standard = [
        ("name", "string"),
        ("version", "string"),
        ("chainId", "uint256"),
        ("verifyingContract", "address"),
        ("salt", "bytes32"),
    ];
    let mask = 1 + tape.below(31);
    let chosen = standard.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0);
    let domain_fields: Vec<Value> = chosen.map(|(_, (name, kind))| json!({"name": name, "type": kind})).collect();
    types.insert("EIP712Domain".to_owned(), Value::Array(domain_fields));
    for index in 0..count {
        let fields =
            (0..=tape.below(4)).map(|field| json!({"name": format!("f{field}"), "type": any_type(tape, index, count)}));
        types.insert(format!("S{index}"), Value::Array(fields.collect()));
    }
    let domain = any_value(tape, &types, "EIP712Domain", 0);
    let message = any_value(tape, &types, "S0", 0);
    json!({"types": types, "primaryType": "S0", "domain": domain, "message": message})
}

fn any_type(tape: &mut Tape<'_>, index: usize, count: usize) -> String {
    let mut kind = match tape.below(9) {
        0 => format!("uint{}", 8 * (1 + tape.below(32))),
        1 => format!("int{}", 8 * (1 + tape.below(32))),
        2 => "address".to_owned(),
        3 => "bool".to_owned(),
        4 => "string".to_owned(),
        5 => "bytes".to_owned(),
        6 => format!("bytes{}", 1 + tape.below(32)),
        _ if index + 1 < count => format!("S{}", index + 1 + tape.below(count - index - 1)),
        _ => "uint256".to_owned(),
    };
    for _ in 0..tape.below(3) {
        kind.push_str(["[]", "[2]", "[]", "[1]"][tape.below(4)]);
    }
    kind
}

fn any_value(tape: &mut Tape<'_>, types: &Map<String, Value>, kind: &str, depth: usize) -> Value {
    if let Some(inner) = kind.strip_suffix(']') {
        let (element, len) = inner.rsplit_once('[').unwrap();
        let len = len.parse().unwrap_or_else(|_| if depth > 6 { 0 } else { tape.below(3) });
        return (0..len).map(|_| any_value(tape, types, element, depth + 1)).collect();
    }
    if let Some(fields) = types.get(kind) {
        let members = fields.as_array().unwrap().iter().map(|field| {
            let (name, kind) = (field["name"].as_str().unwrap(), field["type"].as_str().unwrap());
            (name.to_owned(), any_value(tape, types, kind, depth + 1))
        });
        return Value::Object(members.collect());
    }
    match kind {
        "address" => {
            let address = EvmAddress::from_slice(&tape.bytes(20)).unwrap();
            Value::String(checksum(&address))
        }
        "bool" => Value::Bool(tape.byte() & 1 == 1),
        "string" => {
            let len = tape.below(40);
            Value::String(String::from_utf8_lossy(&tape.bytes(len)).into_owned())
        }
        "bytes" => {
            let len = tape.below(70);
            Value::String(format!("0x{}", hex::encode(tape.bytes(len))))
        }
        _ if kind.starts_with("bytes") => {
            Value::String(format!("0x{}", hex::encode(tape.bytes(kind[5..].parse().unwrap()))))
        }
        _ if kind.starts_with("uint") => {
            let bits: usize = kind[4..].parse().unwrap();
            Value::String((tape.word() >> (256 - bits)).to_string())
        }
        _ => {
            let bits: usize = kind[3..].parse().unwrap();
            // An arithmetic shift keeps the sign.
            Value::String(I256::from_raw(tape.word()).asr(256 - bits).to_string())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_typed_data_hash_as_alloy_hashes_them(tape in prop::collection::vec(any::<u8>(), 0..1500)) {
        let document = document(&mut Tape(&tape)).to_string();
        let ours = TypedData::from_json(&document).unwrap_or_else(|e| panic!("{e} in {document}"));
        let oracle: alloy_dyn_abi::TypedData = serde_json::from_str(&document).unwrap();
        prop_assert_eq!(ours.digest(), oracle.eip712_signing_hash().unwrap().0);

        let canonical = ours.to_cbor();
        prop_assert_eq!(TypedData::from_cbor(&canonical).unwrap(), ours);
    }
}

#[test]
fn the_generator_makes_rich_documents() {
    let tape: Vec<u8> = (0..1500_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut nested = 0;
    for start in 0..50 {
        let text = document(&mut Tape(&tape[start * 7..])).to_string();
        nested += usize::from(text.contains("\"S1\"") && text.contains("[]"));
    }
    assert!(nested > 5, "{nested} of 50 have structs and arrays");
}
