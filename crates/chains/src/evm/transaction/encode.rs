//! Writing transactions.

use super::{AccessListItem, DynamicFee, Kind, SignedAuthorization, Transaction};
use crate::evm::RecoverableSig;
use crate::evm::rlp::List;

pub(super) const TYPE_ACCESS_LIST: u8 = 0x01;
pub(super) const TYPE_DYNAMIC_FEE: u8 = 0x02;
pub(super) const TYPE_SET_CODE: u8 = 0x04;

pub(super) fn unsigned(tx: &Transaction) -> Vec<u8> {
    match &tx.kind {
        Kind::Legacy { gas_price } => legacy_body(tx, *gas_price).u64(tx.chain.0).u64(0).u64(0).into_vec(),
        _ => envelope(tx, None),
    }
}

pub(super) fn signed(tx: &Transaction, signature: &RecoverableSig) -> Vec<u8> {
    match &tx.kind {
        Kind::Legacy { gas_price } => {
            // The chain id is at most CHAIN_ID_MAX (EIP-2294), for which v fits; saturating only to be total.
            let v = tx.chain.0.saturating_mul(2).saturating_add(35 + u64::from(signature.y_parity()));
            signature.append_scalars(legacy_body(tx, *gas_price).u64(v)).into_vec()
        }
        _ => envelope(tx, Some(signature)),
    }
}

/// The EIP-2718 type byte and the fields, with the signature's three at the end where there is one.
fn envelope(tx: &Transaction, signature: Option<&RecoverableSig>) -> Vec<u8> {
    let head = List::default().u64(tx.chain.0).u64(tx.nonce);
    let (tag, list) = match &tx.kind {
        Kind::Legacy { gas_price } => return legacy_body(tx, *gas_price).into_vec(),
        Kind::AccessList { gas_price, access_list } => {
            (TYPE_ACCESS_LIST, body(tx, head.u128(*gas_price)).list(access(access_list)))
        }
        Kind::DynamicFee { fees, access_list } => {
            (TYPE_DYNAMIC_FEE, body(tx, append_fees(head, fees)).list(access(access_list)))
        }
        Kind::SetCode { fees, access_list, authorizations } => {
            let list = body(tx, append_fees(head, fees)).list(access(access_list));
            (TYPE_SET_CODE, list.list(tuples(authorizations)))
        }
    };
    let list = match signature {
        Some(signature) => signature.append_scalars(list.u64(u64::from(signature.y_parity()))),
        None => list,
    };
    let mut out = vec![tag];
    list.write_to(&mut out);
    out
}

fn legacy_body(tx: &Transaction, gas_price: u128) -> List {
    body(tx, List::default().u64(tx.nonce).u128(gas_price))
}

fn append_fees(list: List, fees: &DynamicFee) -> List {
    list.u128(fees.max_priority_fee_per_gas).u128(fees.max_fee_per_gas)
}

/// Gas limit, recipient, value and input, which all types have in this order.
fn body(tx: &Transaction, list: List) -> List {
    let to: &[u8] = tx.to.as_ref().map_or(&[], |to| to.as_bytes());
    list.u64(tx.gas_limit).bytes(to).u256(tx.value).bytes(&tx.input)
}

fn access(items: &[AccessListItem]) -> List {
    items.iter().fold(List::default(), |list, item| {
        let keys = item.storage_keys.iter().fold(List::default(), |keys, key| keys.bytes(key));
        list.list(List::default().bytes(item.address.as_bytes()).list(keys))
    })
}

fn tuples(authorizations: &[SignedAuthorization]) -> List {
    authorizations.iter().fold(List::default(), |list, signed| list.list(signed.list()))
}
