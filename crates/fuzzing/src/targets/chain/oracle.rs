//! Alloy's opinion: what Pinseal accepts, alloy reads as the same. The other way round nothing is asked, since Pinseal is stricter.

use alloy_consensus::transaction::{SignerRecoverable as _, Transaction as _};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::{Decodable2718 as _, Encodable2718 as _};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702;
use alloy_primitives::{Address, B256, Signature, TxKind, U256};
use alloy_rlp::Decodable as _;
use pinseal_chains::evm::transaction::{DynamicFee, Kind, SignedTransaction};
use pinseal_chains::evm::{RecoverableSig, SignedAuthorization, Transaction, TypedData};
use pinseal_protocol::intent::EvmAddress;

/// A signed transaction.
pub(super) fn reads_signed(signed: &SignedTransaction, raw: &[u8]) {
    let tx = signed.transaction();
    let envelope = TxEnvelope::decode_2718_exact(raw).expect("alloy reads what is accepted");
    assert_eq!(envelope.encoded_2718(), raw);
    assert_eq!(envelope.tx_hash().0, signed.hash().0);
    assert_eq!(envelope.signature_hash().0, tx.digest());
    assert_eq!(envelope.chain_id(), Some(tx.chain.0));
    assert_eq!((envelope.nonce(), envelope.gas_limit(), envelope.value()), (tx.nonce, tx.gas_limit, tx.value));
    assert_eq!(envelope.input().as_ref(), tx.input);
    assert_eq!(envelope.to().map(Address::into_array), tx.to.map(|to| to.0));
    let price = match &tx.kind {
        Kind::Legacy { gas_price } | Kind::AccessList { gas_price, .. } => *gas_price,
        Kind::DynamicFee { fees, .. } | Kind::SetCode { fees, .. } => fees.max_fee_per_gas,
    };
    assert_eq!(envelope.max_fee_per_gas(), price);
    assert_eq!(envelope.access_list().map_or(0, |list| list.0.len()), tx.access_list().len());
    let signer = envelope.recover_signer().expect("alloy recovers what is accepted");
    assert_eq!(signer.into_array(), signed.sender().0);
}

/// An unsigned payload: alloy writes the same from the same fields.
pub(super) fn encodes_unsigned(tx: &Transaction, payload: &[u8]) {
    let chain_id = tx.chain.0;
    let (nonce, gas_limit, value) = (tx.nonce, tx.gas_limit, tx.value);
    let to = tx.to.as_ref().map_or(TxKind::Create, |to| TxKind::Call(address(to)));
    let input = tx.input.clone().into();
    let items = tx.access_list().iter().map(|item| AccessListItem {
        address: address(&item.address),
        storage_keys: item.storage_keys.iter().map(|key| B256::from(*key)).collect(),
    });
    let access_list = AccessList(items.collect());
    let encoded = match &tx.kind {
        Kind::Legacy { gas_price } => {
            let chain_id = Some(chain_id);
            encode(&TxLegacy { chain_id, nonce, gas_price: *gas_price, gas_limit, to, value, input })
        }
        Kind::AccessList { gas_price, .. } => {
            let gas_price = *gas_price;
            encode(&TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input })
        }
        Kind::DynamicFee { fees, .. } => {
            let DynamicFee { max_fee_per_gas, max_priority_fee_per_gas } = *fees;
            encode(&TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                input,
            })
        }
        Kind::SetCode { fees, authorizations, .. } => encode(&TxEip7702 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
            to: address(tx.to.as_ref().expect("a 7702 transaction has a recipient")),
            value,
            access_list,
            authorization_list: authorizations.iter().map(to_alloy).collect(),
            input,
        }),
    };
    assert_eq!(encoded, payload);
}

/// A signed tuple.
pub(super) fn reads_authorization(signed: &SignedAuthorization, tuple: &[u8]) {
    let mut rest = tuple;
    let read = eip7702::SignedAuthorization::decode(&mut rest).expect("alloy reads what is accepted");
    assert!(rest.is_empty());
    assert_eq!(read, to_alloy(signed));
    assert_eq!(read.signature_hash().0, signed.authorization().digest());
    let authority = read.recover_authority().expect("alloy recovers what is accepted");
    assert_eq!(authority.into_array(), signed.authority().0);
}

/// Typed data as JSON. Alloy refuses a struct that refers to itself, which EIP-712 allows through a dynamic array, and hashes the
/// domain's fields in the order of the standard whatever order is declared; `vectors/` settles both with other libraries. It also reads
/// types that nothing refers to, which Pinseal drops unread.
pub(super) fn hashes_typed_data(read: &TypedData, json: &str) {
    let other: alloy_dyn_abi::TypedData = match serde_json::from_str(json) {
        Ok(other) => other,
        Err(_) if has_unused_types(read, json) => return,
        Err(error) => panic!("alloy reads what is accepted: {error}"),
    };
    match other.eip712_signing_hash() {
        Ok(hash) if has_domain_in_order(read) => assert_eq!(hash.0, read.digest()),
        Ok(_) | Err(alloy_dyn_abi::Error::CircularDependency(_)) => {}
        Err(error) => panic!("alloy hashes what is accepted: {error}"),
    }
}

fn has_unused_types(read: &TypedData, json: &str) -> bool {
    let document: serde_json::Value = serde_json::from_str(json).expect("it was read as JSON");
    document["types"].as_object().is_some_and(|types| types.len() > read.schema().structs().len())
}

fn has_domain_in_order(read: &TypedData) -> bool {
    const STANDARD: [&str; 5] = ["name", "version", "chainId", "verifyingContract", "salt"];
    let domain = read.schema().structs().iter().find(|declared| declared.name() == "EIP712Domain");
    let fields = domain.expect("typed data have a domain").fields();
    fields.iter().map(|field| STANDARD.iter().position(|name| *name == field.name())).is_sorted()
}

fn encode<T: SignableTransaction<Signature>>(tx: &T) -> Vec<u8> {
    tx.encoded_for_signing()
}

fn address(address: &EvmAddress) -> Address {
    Address::from(address.0)
}

fn to_alloy(signed: &SignedAuthorization) -> eip7702::SignedAuthorization {
    let inner = signed.authorization();
    let signature: &RecoverableSig = signed.signature();
    eip7702::Authorization { chain_id: U256::from(inner.chain.0), address: address(&inner.address), nonce: inner.nonce }
        .into_signed(Signature::new(
            U256::from_be_bytes(signature.r()),
            U256::from_be_bytes(signature.s()),
            signature.y_parity(),
        ))
}
