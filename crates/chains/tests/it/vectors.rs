//! Data of `vectors/evm`.

use alloy_primitives::U256;
use pinseal_chains::evm::transaction::{Kind, SignedTransaction};
use pinseal_chains::evm::{
    Authorization, RecoverableSig, SignedAuthorization, Transaction, TypedData, checksum, parse_address,
    personal_message_digest,
};
use pinseal_protocol::intent::{ChainId, EvmAddress};
use serde_json::Value;

use crate::{array, bytes, cases, load, text};

fn address(case: &Value, key: &str) -> EvmAddress {
    parse_address(text(case, key)).unwrap()
}

fn signature(case: &Value) -> RecoverableSig {
    RecoverableSig::new(array(case, "r"), array(case, "s"), case["y_parity"] == 1).unwrap()
}

#[test]
fn transactions_have_the_digests_bytes_and_senders_of_other_wallets() {
    for case in cases(&load("evm/transactions.json"), "cases") {
        let name = text(case, "name");
        let unsigned = bytes(case, "unsigned");
        let tx = Transaction::parse_unsigned(&unsigned).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        check_fields(&tx, case);
        assert_eq!(tx.encode_unsigned().unwrap(), unsigned, "{name}");
        assert_eq!(tx.digest(), array(case, "digest"), "{name}");

        let (raw, hash) = tx.assemble(&signature(case));
        assert_eq!(hex::encode(&raw), hex::encode(bytes(case, "signed")), "{name}");
        assert_eq!(hash.as_bytes(), &array(case, "hash"), "{name}");

        let signed = SignedTransaction::parse(&raw).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(signed.transaction(), &tx, "{name}");
        assert_eq!(signed.signature(), &signature(case), "{name}");
        assert_eq!(signed.sender(), &address(case, "sender"), "{name}");
        assert_eq!(signed.hash(), &hash, "{name}");
    }
}

fn check_fields(tx: &Transaction, case: &Value) {
    let decimal = |key: &str| match &case[key] {
        Value::String(text) => text.parse::<U256>().unwrap(),
        number => U256::from(number.as_u64().unwrap()),
    };
    assert_eq!(U256::from(tx.chain_id().0), decimal("chain"));
    assert_eq!(U256::from(tx.nonce), decimal("nonce"));
    assert_eq!(U256::from(tx.gas_limit), decimal("gas_limit"));
    assert_eq!(tx.value, decimal("value"));
    assert_eq!(tx.input, bytes(case, "input"));
    assert_eq!(tx.to, case["to"].as_str().map(|to| parse_address(to).unwrap()));
    let kind = match &tx.kind {
        Kind::Legacy { gas_price } => {
            assert_eq!(U256::from(*gas_price), decimal("gas_price"));
            "legacy"
        }
        Kind::AccessList { gas_price, .. } => {
            assert_eq!(U256::from(*gas_price), decimal("gas_price"));
            "eip2930"
        }
        Kind::DynamicFee { fees, .. } | Kind::SetCode { fees, .. } => {
            assert_eq!(U256::from(fees.max_fee_per_gas), decimal("max_fee_per_gas"));
            assert_eq!(U256::from(fees.max_priority_fee_per_gas), decimal("max_priority_fee_per_gas"));
            if matches!(tx.kind, Kind::SetCode { .. }) { "eip7702" } else { "eip1559" }
        }
    };
    assert_eq!(kind, text(case, "type"));
    assert_eq!(tx.access_list().len() as u64, case["access_list_addresses"].as_u64().unwrap());
    let keys: usize = tx.access_list().iter().map(|item| item.storage_keys.len()).sum();
    assert_eq!(keys as u64, case["access_list_keys"].as_u64().unwrap());
    let wanted = case["authorizations"].as_array().unwrap();
    assert_eq!(tx.authorizations().len(), wanted.len());
    for (signed, wanted) in tx.authorizations().iter().zip(wanted) {
        assert_eq!(signed.authority(), &address(wanted, "authority"));
        assert_eq!(signed.authorization(), &authorization(wanted));
    }
}

fn authorization(case: &Value) -> Authorization {
    Authorization {
        chain: ChainId(case["chain"].as_u64().unwrap()),
        address: address(case, "address"),
        nonce: case["nonce"].as_u64().unwrap(),
    }
}

#[test]
fn malformed_transactions_are_refused_for_their_reason() {
    for case in cases(&load("evm/transactions.json"), "refused") {
        let error = Transaction::parse_unsigned(&bytes(case, "unsigned")).unwrap_err();
        assert_eq!(format!("{error:?}"), text(case, "error"), "{}", text(case, "name"));
    }
}

#[test]
fn authorizations_have_the_digests_and_tuples_of_other_wallets() {
    for case in cases(&load("evm/authorizations.json"), "cases") {
        let authorization = authorization(case);
        assert_eq!(authorization.digest(), array(case, "digest"));
        let signed = SignedAuthorization::new(authorization, signature(case)).unwrap();
        assert_eq!(signed.authority(), &address(case, "authority"));
        assert_eq!(signed.to_tuple(), bytes(case, "tuple"));
        assert_eq!(SignedAuthorization::from_tuple(&bytes(case, "tuple")).unwrap(), signed);
    }
}

#[test]
fn personal_messages_have_the_digests_of_other_wallets() {
    for case in cases(&load("evm/personal-messages.json"), "cases") {
        let digest = personal_message_digest(&bytes(case, "message"));
        assert_eq!(digest, array(case, "digest"));
        let signature = RecoverableSig::from_bytes(&array(case, "signature")).unwrap();
        assert_eq!(signature.recover_address(&digest).unwrap(), address(case, "signer"));
        assert_eq!(signature.to_bytes().to_vec(), bytes(case, "signature"));
    }
}

#[test]
fn addresses_are_spelled_as_eip_55_says() {
    let file = load("evm/addresses.json");
    for case in cases(&file, "checksummed") {
        let spelled = case.as_str().unwrap();
        let parsed = parse_address(spelled).unwrap();
        assert_eq!(checksum(&parsed), spelled);
        assert_eq!(parse_address(&spelled.to_lowercase()).unwrap(), parsed);
        assert_eq!(parse_address(&format!("0x{}", spelled[2..].to_uppercase())).unwrap(), parsed);
    }
    for case in cases(&file, "refused") {
        let error = parse_address(text(case, "text")).unwrap_err();
        assert_eq!(format!("{error:?}"), text(case, "error"), "{}", text(case, "name"));
    }
}

#[test]
fn typed_data_have_the_canonical_bytes_and_the_digests_of_other_wallets() {
    for case in cases(&load("evm/typed-data.json"), "cases") {
        let name = text(case, "name");
        let data = TypedData::from_json(&case["json"].to_string()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(hex::encode(data.to_cbor()), hex::encode(bytes(case, "cbor")), "{name}");
        assert_eq!(TypedData::from_cbor(&bytes(case, "cbor")).unwrap(), data, "{name}");
        assert_eq!(data.digest(), array(case, "digest"), "{name}");
        assert_eq!(
            data.domain_chain_id().map(|id| id.to_string()).as_deref(),
            case["domain_chain_id"].as_str(),
            "{name}"
        );
        let signature = RecoverableSig::from_bytes(&array(case, "signature")).unwrap();
        assert_eq!(signature.recover_address(&data.digest()).unwrap(), address(case, "signer"), "{name}");
    }
}

#[test]
fn typed_data_that_leave_a_doubt_are_refused_for_their_reason() {
    let file = load("evm/typed-data.json");
    for case in cases(&file, "refused_json") {
        let error = TypedData::from_json(text(case, "text")).expect_err(text(case, "name"));
        assert_eq!(format!("{error:?}"), text(case, "error"), "{}", text(case, "name"));
    }
    for case in cases(&file, "refused_cbor") {
        let error = TypedData::from_cbor(&bytes(case, "cbor")).expect_err(text(case, "name"));
        assert_eq!(format!("{error:?}"), text(case, "error"), "{}", text(case, "name"));
    }
}
