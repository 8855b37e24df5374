//! Transactions against alloy's full implementation.

use alloy_consensus::transaction::{SignerRecoverable, Transaction as _};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_eips::eip2930::{AccessList, AccessListItem as OracleItem};
use alloy_eips::eip7702;
use alloy_primitives::{Address, B256, Signature, TxKind, U256};
use pinseal_chains::evm::transaction::{AccessListItem, CHAIN_ID_MAX, DynamicFee, Kind, NONCE_MAX, SignedTransaction};
use pinseal_chains::evm::{Authorization, RecoverableSig, SignedAuthorization, Transaction, TransactionError};
use pinseal_protocol::intent::{ChainId, EvmAddress};
use proptest::collection::vec;
use proptest::prelude::*;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, SecretKey};

pub(crate) fn sign(seed: [u8; 32], digest: [u8; 32]) -> RecoverableSig {
    // Clears the top bit and sets the lowest: always in range.
    let mut key = seed;
    key[0] &= 0x7f;
    key[31] |= 1;
    let key = SecretKey::from_secret_bytes(key).unwrap();
    let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest), &key);
    let (id, compact) = signature.serialize_compact();
    RecoverableSig::from_compact(&compact, id.to_u8()).unwrap()
}

/// Small and large values alike, so that RLP's length borders are met.
fn any_u64(max: u64) -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(move |(value, shift)| (value >> shift).min(max))
}

fn any_u128() -> impl Strategy<Value = u128> {
    (any::<u128>(), 0_u32..128).prop_map(|(value, shift)| value >> shift)
}

fn any_u256() -> impl Strategy<Value = U256> {
    (any::<[u8; 32]>(), 0_usize..256).prop_map(|(bytes, shift)| U256::from_be_bytes(bytes) >> shift)
}

fn any_access_list() -> impl Strategy<Value = Vec<AccessListItem>> {
    let item = (any::<[u8; 20]>(), vec(any::<[u8; 32]>(), 0..4))
        .prop_map(|(address, storage_keys)| AccessListItem { address: EvmAddress(address), storage_keys });
    vec(item, 0..4)
}

fn any_fees() -> impl Strategy<Value = DynamicFee> {
    (any_u128(), any_u128())
        .prop_map(|(a, b)| DynamicFee { max_fee_per_gas: a.max(b), max_priority_fee_per_gas: a.min(b) })
}

fn any_authorization() -> impl Strategy<Value = SignedAuthorization> {
    (any_u64(CHAIN_ID_MAX), any::<[u8; 20]>(), any_u64(NONCE_MAX), any::<[u8; 32]>()).prop_map(
        |(chain, address, nonce, key)| {
            let authorization = Authorization { chain: ChainId(chain), address: EvmAddress(address), nonce };
            SignedAuthorization::new(authorization, sign(key, authorization.digest())).unwrap()
        },
    )
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        any_u128().prop_map(|gas_price| Kind::Legacy { gas_price }),
        (any_u128(), any_access_list())
            .prop_map(|(gas_price, access_list)| Kind::AccessList { gas_price, access_list }),
        (any_fees(), any_access_list()).prop_map(|(fees, access_list)| Kind::DynamicFee { fees, access_list }),
        (any_fees(), any_access_list(), vec(any_authorization(), 1..4))
            .prop_map(|(fees, access_list, authorizations)| Kind::SetCode { fees, access_list, authorizations }),
    ]
}

pub(crate) fn any_transaction() -> impl Strategy<Value = Transaction> {
    let to = proptest::option::of(any::<[u8; 20]>());
    let parts = (
        any_u64(CHAIN_ID_MAX),
        any_u64(NONCE_MAX),
        any_u64(u64::MAX),
        to,
        any_u256(),
        vec(any::<u8>(), 0..300),
        any_kind(),
    );
    parts.prop_map(|(chain, nonce, gas_limit, to, value, input, kind)| {
        let to = to.map(EvmAddress).or(matches!(kind, Kind::SetCode { .. }).then_some(EvmAddress([9; 20])));
        Transaction { chain: ChainId(chain.max(1)), nonce, gas_limit, to, value, input, kind }
    })
}

/// The oracle's unsigned payload, signed envelope and hash.
fn oracle(tx: &Transaction, signature: Signature) -> (Vec<u8>, TxEnvelope) {
    fn both<T: SignableTransaction<Signature>>(tx: T, signature: Signature) -> (Vec<u8>, TxEnvelope)
    where
        TxEnvelope: From<alloy_consensus::Signed<T>>,
    {
        (tx.encoded_for_signing(), tx.into_signed(signature).into())
    }
    let chain_id = tx.chain.0;
    let (nonce, gas_limit, value) = (tx.nonce, tx.gas_limit, tx.value);
    let address = |address: &EvmAddress| Address::from(*address.as_bytes());
    let to = tx.to.as_ref().map_or(TxKind::Create, |to| TxKind::Call(address(to)));
    let input = tx.input.clone().into();
    let items = tx.access_list().iter().map(|item| OracleItem {
        address: address(&item.address),
        storage_keys: item.storage_keys.iter().map(|key| B256::from(*key)).collect(),
    });
    let access_list = AccessList(items.collect());
    match &tx.kind {
        Kind::Legacy { gas_price } => {
            let chain_id = Some(chain_id);
            both(TxLegacy { chain_id, nonce, gas_price: *gas_price, gas_limit, to, value, input }, signature)
        }
        Kind::AccessList { gas_price, .. } => {
            let gas_price = *gas_price;
            both(TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input }, signature)
        }
        Kind::DynamicFee { fees, .. } => {
            let DynamicFee { max_fee_per_gas, max_priority_fee_per_gas } = *fees;
            let tx = TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                input,
            };
            both(tx, signature)
        }
        Kind::SetCode { fees, authorizations, .. } => {
            let authorization_list = authorizations.iter().map(|signed| {
                let inner = signed.authorization();
                let inner = eip7702::Authorization {
                    chain_id: U256::from(inner.chain.0),
                    address: address(&inner.address),
                    nonce: inner.nonce,
                };
                assert_eq!(inner.signature_hash().0, signed.authorization().digest());
                inner.into_signed(to_oracle(signed.signature()))
            });
            let tx = TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: fees.max_fee_per_gas,
                max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
                to: address(&tx.to.unwrap()),
                value,
                access_list,
                authorization_list: authorization_list.collect(),
                input,
            };
            both(tx, signature)
        }
    }
}

fn to_oracle(signature: &RecoverableSig) -> Signature {
    Signature::new(U256::from_be_bytes(signature.r()), U256::from_be_bytes(signature.s()), signature.y_parity())
}

proptest! {
    #[test]
    fn payload_digest_envelope_hash_and_sender_agree_with_alloy(tx in any_transaction(), key in any::<[u8; 32]>()) {
        let unsigned = tx.encode_unsigned().unwrap();
        let signature = sign(key, tx.digest());
        let (oracle_unsigned, envelope) = oracle(&tx, to_oracle(&signature));
        prop_assert_eq!(&unsigned, &oracle_unsigned);
        prop_assert_eq!(tx.digest(), envelope.signature_hash().0);

        let (raw, hash) = tx.assemble(&signature);
        prop_assert_eq!(&raw, &envelope.encoded_2718());
        prop_assert_eq!(hash.as_bytes(), &envelope.tx_hash().0);

        let signed = SignedTransaction::parse(&raw).unwrap();
        prop_assert_eq!(signed.transaction(), &tx);
        prop_assert_eq!(signed.sender().as_bytes(), &envelope.recover_signer().unwrap().into_array());
        prop_assert_eq!(signed.hash(), &hash);
    }

    #[test]
    fn an_unsigned_payload_round_trips(tx in any_transaction()) {
        let unsigned = tx.encode_unsigned().unwrap();
        prop_assert_eq!(Transaction::parse_unsigned(&unsigned).unwrap(), tx);
    }

    /// What we take for a signed transaction after a random change, alloy takes for the same one.
    #[test]
    fn a_changed_envelope_is_refused_or_means_the_same_to_alloy(
        tx in any_transaction(),
        key in any::<[u8; 32]>(),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let (mut raw, _) = tx.assemble(&sign(key, tx.digest()));
        let position = position.index(raw.len());
        raw[position] = byte;
        if let Ok(signed) = SignedTransaction::parse(&raw) {
            let envelope = TxEnvelope::decode_2718_exact(&raw).unwrap();
            prop_assert_eq!(envelope.encoded_2718(), raw);
            prop_assert_eq!(&envelope.tx_hash().0, signed.hash().as_bytes());
            prop_assert_eq!(envelope.chain_id(), Some(signed.transaction().chain.0));
            prop_assert_eq!(envelope.nonce(), signed.transaction().nonce);
            prop_assert_eq!(envelope.value(), signed.transaction().value);
            prop_assert_eq!(envelope.to().map(Address::into_array), signed.transaction().to.map(|to| to.0));
            prop_assert_eq!(envelope.recover_signer().unwrap().into_array(), signed.sender().0);
        }
    }
}

#[test]
fn the_builder_refuses_what_the_parser_refuses() {
    let good = Transaction {
        chain: ChainId(1),
        nonce: 0,
        gas_limit: 21_000,
        to: Some(EvmAddress([1; 20])),
        value: U256::ZERO,
        input: Vec::new(),
        kind: Kind::Legacy { gas_price: 1 },
    };
    let fees = DynamicFee { max_fee_per_gas: 2, max_priority_fee_per_gas: 1 };
    let keys = |count: usize| vec![AccessListItem { address: EvmAddress([1; 20]), storage_keys: vec![[0; 32]; count] }];
    assert!(good.encode_unsigned().is_ok());
    let bad = [
        (Transaction { chain: ChainId(0), ..good.clone() }, TransactionError::ChainIdOutOfRange),
        (Transaction { chain: ChainId(CHAIN_ID_MAX + 1), ..good.clone() }, TransactionError::ChainIdOutOfRange),
        (Transaction { nonce: u64::MAX, ..good.clone() }, TransactionError::NonceOutOfRange),
        (Transaction { input: vec![0; 128 * 1024], ..good.clone() }, TransactionError::TooLong),
        (
            Transaction { kind: Kind::AccessList { gas_price: 1, access_list: keys(2049) }, ..good.clone() },
            TransactionError::AccessListTooLong,
        ),
        (
            Transaction { kind: Kind::SetCode { fees, access_list: vec![], authorizations: vec![] }, ..good.clone() },
            TransactionError::NoAuthorizations,
        ),
    ];
    for (tx, error) in bad {
        assert_eq!(tx.encode_unsigned().unwrap_err(), error);
    }
    let largest = Transaction { kind: Kind::AccessList { gas_price: 1, access_list: keys(2048) }, ..good.clone() };
    assert_eq!(Transaction::parse_unsigned(&largest.encode_unsigned().unwrap()).unwrap(), largest);
    // A payload of exactly the bound passes; one byte more does not.
    let overhead = Transaction { input: vec![1; 100_000], ..good.clone() }.encode_unsigned().unwrap().len() - 100_000;
    let edge = Transaction { input: vec![1; 128 * 1024 - overhead], ..good.clone() };
    assert_eq!(edge.encode_unsigned().unwrap().len(), 128 * 1024);
    assert!(Transaction::parse_unsigned(&edge.encode_unsigned().unwrap()).is_ok());
    assert!(Transaction { input: vec![1; 128 * 1024 - overhead + 1], ..good }.encode_unsigned().is_err());
}
