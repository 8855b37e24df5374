//! From intent to digest and from signature to reply.

use alloy_primitives::keccak256;
use minicbor::bytes::ByteVec;
use pinseal_chains::evm::transaction::SignedTransaction;
use pinseal_chains::evm::{
    AuthorizationError, EvmPolicy, IntentError, MESSAGE_LEN_MAX, RecoverableSig, SignedAuthorization, TransactionError,
    TypedDataError, prepare, signed_len_max,
};
use pinseal_protocol::cbor;
use pinseal_protocol::intent::{AccountIndex, ChainId, EvmAddress, Intent, Signed};
use proptest::prelude::*;

use crate::oracle_transaction::{any_transaction, sign};
use crate::{array, bytes, cases, load, text};

const STRICT: EvmPolicy = EvmPolicy { allow_any_chain_authorization: false };

fn account() -> AccountIndex {
    AccountIndex::new(0).unwrap()
}

fn transaction(chain: u64, unsigned: Vec<u8>) -> Intent {
    Intent::EvmTransaction { account: account(), chain: ChainId(chain), unsigned: ByteVec::from(unsigned) }
}

fn message(message: Vec<u8>) -> Intent {
    Intent::EvmPersonalMessage { account: account(), message: ByteVec::from(message) }
}

fn authorization(chain: u64, nonce: u64) -> Intent {
    Intent::EvmAuthorization { account: account(), chain: ChainId(chain), address: EvmAddress([7; 20]), nonce }
}

fn typed_data(chain: u64, typed_data: Vec<u8>) -> Intent {
    Intent::EvmTypedData { account: account(), chain: ChainId(chain), typed_data: ByteVec::from(typed_data) }
}

#[test]
fn a_transaction_becomes_its_envelope() {
    for case in cases(&load("evm/transactions.json"), "cases") {
        let intent = transaction(case["chain"].as_u64().unwrap(), bytes(case, "unsigned"));
        let prepared = prepare(&intent, STRICT).unwrap();
        assert_eq!(prepared.digest(), array(case, "digest"));
        let signature = RecoverableSig::new(array(case, "r"), array(case, "s"), case["y_parity"] == 1).unwrap();
        let Signed::EvmTransaction { raw, hash } = prepared.finish(&signature) else {
            panic!("{}", text(case, "name"))
        };
        assert_eq!(raw.to_vec(), bytes(case, "signed"));
        assert_eq!(hash.as_bytes(), &array(case, "hash"));
    }
}

#[test]
fn a_transaction_for_another_chain_is_refused() {
    for case in cases(&load("evm/transactions.json"), "cases") {
        let chain = case["chain"].as_u64().unwrap();
        for other in [0, chain + 1, chain - 1] {
            let intent = transaction(other, bytes(case, "unsigned"));
            assert_eq!(prepare(&intent, STRICT).unwrap_err(), IntentError::ChainMismatch);
        }
    }
}

#[test]
fn typed_data_for_another_chain_are_refused() {
    let mut silent = 0;
    for case in cases(&load("evm/typed-data.json"), "cases") {
        let chain: Option<u64> = case["domain_chain_id"].as_str().map(|id| id.parse().unwrap());
        let signed_for = chain.unwrap_or(137);
        let prepared = prepare(&typed_data(signed_for, bytes(case, "cbor")), STRICT).unwrap();
        assert_eq!(prepared.digest(), array(case, "digest"));
        let signature = RecoverableSig::from_bytes(&array(case, "signature")).unwrap();
        let wanted = Signed::EvmSignature { signature: ByteVec::from(bytes(case, "signature")) };
        assert_eq!(prepared.finish(&signature), wanted);
        match prepare(&typed_data(signed_for + 1, bytes(case, "cbor")), STRICT) {
            Err(error) => assert_eq!(error, IntentError::ChainMismatch),
            Ok(_) => {
                assert_eq!(chain, None);
                silent += 1;
            }
        }
    }
    assert!(silent > 0, "a domain without a chain holds on the chosen network");
}

#[test]
fn an_authorization_for_every_chain_needs_the_policy() {
    let lax = EvmPolicy { allow_any_chain_authorization: true };
    assert_eq!(EvmPolicy::default(), STRICT);
    assert_eq!(prepare(&authorization(0, 1), STRICT).unwrap_err(), IntentError::AnyChainNotAllowed);
    let prepared = prepare(&authorization(0, 1), lax).unwrap();
    let signature = sign([3; 32], prepared.digest());
    let Signed::EvmAuthorization { tuple } = prepared.finish(&signature) else { panic!("an authorization") };
    let signed = SignedAuthorization::from_tuple(&tuple).unwrap();
    assert!(signed.authorization().is_any_chain());
    assert_eq!(signed.authority(), &signature.recover_address(&prepared.digest()).unwrap());
    assert!(prepare(&authorization(1, 1), STRICT).is_ok());
    let out_of_range = IntentError::Authorization(AuthorizationError::OutOfRange);
    assert_eq!(prepare(&authorization(1, u64::MAX), STRICT).unwrap_err(), out_of_range);
    assert_eq!(prepare(&authorization(u64::MAX, 1), lax).unwrap_err(), out_of_range);
}

#[test]
fn an_intent_that_cannot_be_parsed_is_refused() {
    assert_eq!(
        prepare(&transaction(1, vec![]), STRICT).unwrap_err(),
        IntentError::Transaction(TransactionError::Empty)
    );
    assert_eq!(
        prepare(&typed_data(1, vec![0x80]), STRICT).unwrap_err(),
        IntentError::TypedData(TypedDataError::Malformed)
    );
    assert!(prepare(&message(vec![0; MESSAGE_LEN_MAX]), STRICT).is_ok());
    assert_eq!(prepare(&message(vec![0; MESSAGE_LEN_MAX + 1]), STRICT).unwrap_err(), IntentError::MessageTooLong);
    // An index beyond the end can only come off the wire.
    let wire = [0x82, 0x02, 0x82, 0x19, 0x03, 0xe8, 0x40];
    let intent: Intent = cbor::from_slice(&wire).unwrap();
    assert_eq!(intent.account().value(), AccountIndex::END);
    assert_eq!(prepare(&intent, STRICT).unwrap_err(), IntentError::UnknownAccount);
}

#[test]
fn a_typed_digest_cannot_be_had_by_a_message() {
    // The bytes under a transaction's or typed data's digest, sent as a message, are hashed with the message's prefix.
    for case in cases(&load("evm/transactions.json"), "cases") {
        let unsigned = bytes(case, "unsigned");
        let prepared = prepare(&message(unsigned.clone()), STRICT).unwrap();
        assert_ne!(prepared.digest(), keccak256(&unsigned).0);
    }
}

/// The scalars with the longest encoding.
fn longest_signature() -> RecoverableSig {
    let mut low = [0xff; 32];
    low[0] = 0x7e;
    RecoverableSig::new(low, low, true).unwrap()
}

#[test]
fn the_reply_length_bound_is_a_function_of_kind_and_length() {
    let a = signed_len_max(&transaction(1, vec![0; 500]));
    assert_eq!(a, signed_len_max(&transaction(u64::MAX, vec![0xff; 500])), "also where the payload is refused");
    assert!(a < signed_len_max(&transaction(1, vec![0; 501])));
    assert_eq!(signed_len_max(&authorization(0, 0)), signed_len_max(&authorization(u64::MAX, u64::MAX)));
    let largest = prepare(&authorization(9_223_372_036_854_775_771, u64::MAX - 1), STRICT).unwrap();
    let reply = cbor::to_vec(&largest.finish(&longest_signature()));
    assert!(reply.len() <= signed_len_max(&authorization(1, 1)), "{}", reply.len());
    let reply = cbor::to_vec(&prepare(&message(vec![]), STRICT).unwrap().finish(&longest_signature()));
    assert!(reply.len() <= signed_len_max(&message(vec![])), "{}", reply.len());
}

proptest! {
    #[test]
    fn no_reply_is_longer_than_its_bound(tx in any_transaction(), key in any::<[u8; 32]>()) {
        let intent = transaction(tx.chain.0, tx.encode_unsigned().unwrap());
        let prepared = prepare(&intent, STRICT).unwrap();
        for signature in [sign(key, prepared.digest()), longest_signature()] {
            let reply = prepared.finish(&signature);
            prop_assert!(cbor::to_vec(&reply).len() <= signed_len_max(&intent));
            if let Signed::EvmTransaction { raw, .. } = reply && signature != longest_signature() {
                let sender = signature.recover_address(&prepared.digest()).unwrap();
                let signed = SignedTransaction::parse(&raw).unwrap();
                prop_assert_eq!(signed.sender(), &sender);
            }
        }
    }
}
