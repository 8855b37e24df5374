//! Small changes to good bytes: refused, or another value with another digest. Never a second spelling of the same one.

use minicbor::bytes::ByteVec;
use pinseal_chains::decode::{Context, Native, View, view};
use pinseal_chains::evm::transaction::SignedTransaction;
use pinseal_chains::evm::{SignedAuthorization, Transaction, TypedData};
use pinseal_protocol::intent::{AccountIndex, ChainId, Intent};

use crate::{bytes, cases, load};

/// Every single-bit flip, every truncation, and a byte more at every place.
fn mutations(good: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let flips = (0..good.len() * 8).map(|bit| {
        let mut bad = good.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        bad
    });
    let cuts = (0..good.len()).map(|len| good[..len].to_vec());
    let longer = (0..=good.len()).flat_map(|at| {
        [0x00_u8, 0x80, 0xc0, 0xff].map(|extra| {
            let mut bad = good.to_vec();
            bad.insert(at, extra);
            bad
        })
    });
    flips.chain(cuts).chain(longer).filter(move |bad| bad != good)
}

#[test]
fn a_changed_unsigned_payload_is_refused_or_has_another_digest() {
    for case in cases(&load("evm/transactions.json"), "cases") {
        let good = bytes(case, "unsigned");
        let digest = Transaction::parse_unsigned(&good).unwrap().digest();
        let mut refused = 0;
        for bad in mutations(&good) {
            match Transaction::parse_unsigned(&bad) {
                Ok(tx) => {
                    assert_eq!(tx.encode_unsigned().unwrap(), bad);
                    assert_ne!(tx.digest(), digest);
                }
                Err(_) => refused += 1,
            }
        }
        // At least the truncations.
        assert!(refused >= good.len());
    }
}

#[test]
fn a_changed_signed_transaction_is_refused_or_has_another_hash() {
    for case in cases(&load("evm/transactions.json"), "cases") {
        let good = bytes(case, "signed");
        let before = SignedTransaction::parse(&good).unwrap();
        for bad in mutations(&good) {
            if let Ok(after) = SignedTransaction::parse(&bad) {
                assert_ne!(after.hash(), before.hash());
                assert!(after.transaction() != before.transaction() || after.sender() != before.sender());
            }
        }
    }
}

#[test]
fn a_changed_authorization_is_refused_or_has_another_authority() {
    for case in cases(&load("evm/authorizations.json"), "cases") {
        let good = bytes(case, "tuple");
        let before = SignedAuthorization::from_tuple(&good).unwrap();
        for bad in mutations(&good) {
            if let Ok(after) = SignedAuthorization::from_tuple(&bad) {
                assert_ne!(after.authority(), before.authority());
            }
        }
    }
}

#[test]
fn changed_typed_data_are_refused_or_have_another_digest_and_look() {
    let mut compared = 0;
    for case in cases(&load("evm/typed-data.json"), "cases") {
        let good = bytes(case, "cbor");
        let before = TypedData::from_cbor(&good).unwrap();
        let mut refused = 0;
        for bad in mutations(&good) {
            match TypedData::from_cbor(&bad) {
                Ok(after) => {
                    assert_eq!(after.to_cbor(), bad);
                    assert_ne!(after, before);
                    assert_ne!(after.digest(), before.digest());
                    if after.schema() == before.schema() && after.primary_type() == before.primary_type() {
                        assert_ne!(shown(&bad), shown(&good), "what is shown is what is signed");
                        compared += 1;
                    }
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused >= good.len());
    }
    assert!(compared > 1000, "{compared}");
}

fn shown(typed_data: &[u8]) -> View {
    let native = Native { symbol: "ETH".to_owned(), decimals: 18 };
    let intent = Intent::EvmTypedData {
        account: AccountIndex::new(0).unwrap(),
        chain: ChainId(1),
        typed_data: ByteVec::from(typed_data.to_vec()),
    };
    view(&intent, &Context { native: &native, tokens: &[] }).unwrap()
}
