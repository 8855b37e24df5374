//! Reading transactions.

use alloy_primitives::U256;
use pinseal_protocol::intent::{ChainId, EvmAddress};

use super::encode::{self, TYPE_ACCESS_LIST, TYPE_DYNAMIC_FEE, TYPE_SET_CODE};
use super::{
    ACCESS_LIST_ADDRESSES_MAX, ACCESS_LIST_KEYS_MAX, AUTHORIZATIONS_MAX, AccessListItem, DynamicFee, Kind,
    SIGNATURE_LEN_MAX, Transaction, TransactionError, UNSIGNED_LEN_MAX,
};
use crate::evm::rlp::{Items, RlpError};
use crate::evm::{RecoverableSig, SignedAuthorization};

/// The first byte from which an RLP list, and so a legacy transaction, starts.
const LIST_START: u8 = 0xc0;

pub(super) fn unsigned(payload: &[u8]) -> Result<Transaction, TransactionError> {
    if payload.len() > UNSIGNED_LEN_MAX {
        return Err(TransactionError::TooLong);
    }
    let tx = match split(payload)? {
        Envelope::Legacy(mut items) => {
            let body = Body::read_legacy(&mut items)?;
            if items.is_empty() {
                return Err(TransactionError::NotReplayProtected);
            }
            let chain = ChainId(items.u64()?);
            let (r, s) = (items.bytes()?, items.bytes()?);
            if !r.is_empty() || !s.is_empty() {
                return Err(TransactionError::NotUnsigned);
            }
            items.end()?;
            body.legacy(chain)
        }
        Envelope::Typed(tag, mut items) => {
            let tx = read_typed(tag, &mut items)?;
            items.end()?;
            tx
        }
    };
    tx.check()?;
    // The reader is strict already; this makes the promise independent of it.
    if encode::unsigned(&tx) == payload { Ok(tx) } else { Err(TransactionError::NotCanonical) }
}

pub(super) fn signed(raw: &[u8]) -> Result<(Transaction, RecoverableSig), TransactionError> {
    if raw.len() > UNSIGNED_LEN_MAX + SIGNATURE_LEN_MAX {
        return Err(TransactionError::TooLong);
    }
    let (tx, signature) = match split(raw)? {
        Envelope::Legacy(mut items) => {
            let body = Body::read_legacy(&mut items)?;
            // v = 35 + 2 * chain id + parity; 27 and 28 are the form without chain id.
            let v = items.u64()?.checked_sub(35).ok_or(TransactionError::NotReplayProtected)?;
            let signature = RecoverableSig::read_scalars(&mut items, v % 2 == 1)?;
            items.end()?;
            (body.legacy(ChainId(v / 2)), signature)
        }
        Envelope::Typed(tag, mut items) => {
            let tx = read_typed(tag, &mut items)?;
            let y_parity = items.parity()?;
            let signature = RecoverableSig::read_scalars(&mut items, y_parity)?;
            items.end()?;
            (tx, signature)
        }
    };
    tx.check()?;
    let signature = signature.ok_or(TransactionError::InvalidSignature)?;
    if encode::signed(&tx, &signature) == raw { Ok((tx, signature)) } else { Err(TransactionError::NotCanonical) }
}

enum Envelope<'a> {
    Legacy(Items<'a>),
    Typed(u8, Items<'a>),
}

fn split(bytes: &[u8]) -> Result<Envelope<'_>, TransactionError> {
    match bytes.split_first() {
        None => Err(TransactionError::Empty),
        Some((tag, _)) if *tag >= LIST_START => Ok(Envelope::Legacy(Items::open(bytes)?)),
        Some((tag @ (&TYPE_ACCESS_LIST | &TYPE_DYNAMIC_FEE | &TYPE_SET_CODE), rest)) => {
            Ok(Envelope::Typed(*tag, Items::open(rest)?))
        }
        Some((tag, _)) => Err(TransactionError::UnknownType(*tag)),
    }
}

/// The fields of a typed transaction up to the signature.
fn read_typed(tag: u8, items: &mut Items<'_>) -> Result<Transaction, TransactionError> {
    let chain = ChainId(items.u64()?);
    let nonce = items.u64()?;
    if tag == TYPE_ACCESS_LIST {
        let gas_price = items.u128()?;
        let body = Body::read(nonce, items)?;
        let access_list = read_access_list(items)?;
        return Ok(body.with(chain, Kind::AccessList { gas_price, access_list }));
    }
    let max_priority_fee_per_gas = items.u128()?;
    let fees = DynamicFee { max_priority_fee_per_gas, max_fee_per_gas: items.u128()? };
    let body = Body::read(nonce, items)?;
    let access_list = read_access_list(items)?;
    let kind = if tag == TYPE_SET_CODE {
        Kind::SetCode { fees, access_list, authorizations: read_authorizations(items)? }
    } else {
        Kind::DynamicFee { fees, access_list }
    };
    Ok(body.with(chain, kind))
}

/// What all types share, and the gas price that comes first in a legacy transaction.
struct Body {
    nonce: u64,
    gas_price: u128,
    gas_limit: u64,
    to: Option<EvmAddress>,
    value: U256,
    input: Vec<u8>,
}

impl Body {
    fn read_legacy(items: &mut Items<'_>) -> Result<Self, RlpError> {
        let nonce = items.u64()?;
        let gas_price = items.u128()?;
        Ok(Self { gas_price, ..Self::read(nonce, items)? })
    }

    fn read(nonce: u64, items: &mut Items<'_>) -> Result<Self, RlpError> {
        let gas_limit = items.u64()?;
        let to = match items.bytes()? {
            [] => None,
            bytes => Some(EvmAddress::from_slice(bytes).ok_or(RlpError::WrongSize)?),
        };
        Ok(Self { nonce, gas_price: 0, gas_limit, to, value: items.u256()?, input: items.bytes()?.to_vec() })
    }

    fn legacy(self, chain: ChainId) -> Transaction {
        let gas_price = self.gas_price;
        self.with(chain, Kind::Legacy { gas_price })
    }

    fn with(self, chain: ChainId, kind: Kind) -> Transaction {
        let Self { nonce, gas_limit, to, value, input, .. } = self;
        Transaction { chain, nonce, gas_limit, to, value, input, kind }
    }
}

fn read_access_list(items: &mut Items<'_>) -> Result<Vec<AccessListItem>, TransactionError> {
    let mut list = items.list()?;
    let mut out = Vec::new();
    let mut keys_left = ACCESS_LIST_KEYS_MAX;
    while !list.is_empty() {
        if out.len() == ACCESS_LIST_ADDRESSES_MAX {
            return Err(TransactionError::AccessListTooLong);
        }
        let mut entry = list.list()?;
        let address = EvmAddress(entry.array()?);
        let mut keys = entry.list()?;
        entry.end()?;
        let mut storage_keys = Vec::new();
        while !keys.is_empty() {
            keys_left = keys_left.checked_sub(1).ok_or(TransactionError::AccessListTooLong)?;
            storage_keys.push(keys.array()?);
        }
        out.push(AccessListItem { address, storage_keys });
    }
    Ok(out)
}

fn read_authorizations(items: &mut Items<'_>) -> Result<Vec<SignedAuthorization>, TransactionError> {
    let mut list = items.list()?;
    let mut out = Vec::new();
    while !list.is_empty() {
        if out.len() == AUTHORIZATIONS_MAX {
            return Err(TransactionError::TooManyAuthorizations);
        }
        out.push(SignedAuthorization::read(list.list()?)?);
    }
    Ok(out)
}
