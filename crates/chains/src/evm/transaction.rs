//! Transactions: legacy with EIP-155, EIP-2930, EIP-1559 and EIP-7702.

mod encode;
mod parse;
mod signed;

use alloy_primitives::{U256, keccak256};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::intent::{ChainId, EvmAddress};

pub use signed::SignedTransaction;

use super::{AuthorizationError, RecoverableSig, RlpError, SignedAuthorization};

/// The longest unsigned payload: what nodes accept into their pools (go-ethereum's `txMaxSize`).
pub const UNSIGNED_LEN_MAX: usize = 128 * 1024;
/// What a signature adds at most: v (9 bytes), r and s (33 each) and a longer list header.
pub const SIGNATURE_LEN_MAX: usize = 80;
/// Most addresses in an access list; each costs 2400 gas, and nobody names more.
pub const ACCESS_LIST_ADDRESSES_MAX: usize = 256;
/// Most storage keys in an access list, over all its addresses.
pub const ACCESS_LIST_KEYS_MAX: usize = 2048;
/// Most authorizations in one transaction; each is recovered, which takes some 40 microseconds.
pub const AUTHORIZATIONS_MAX: usize = 64;
/// The largest chain id (EIP-2294), so that v of a legacy transaction fits 64 bits.
pub const CHAIN_ID_MAX: u64 = u64::MAX / 2 - 36;
/// The largest nonce an account can sign with (EIP-2681).
pub const NONCE_MAX: u64 = u64::MAX - 1;

/// Why a transaction is refused. The sender is at fault; nothing was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// No bytes at all.
    #[error("empty transaction")]
    Empty,
    /// Beyond [`UNSIGNED_LEN_MAX`] (with [`SIGNATURE_LEN_MAX`] more for a signed one).
    #[error("transaction too long")]
    TooLong,
    /// An EIP-2718 type this version does not know. A newer client may have made it.
    #[error("unknown transaction type {0:#04x}")]
    UnknownType(u8),
    /// Not the RLP of this type.
    #[error("malformed transaction")]
    Rlp(#[from] RlpError),
    /// A legacy transaction without chain id could be replayed on every chain.
    #[error("legacy transaction without replay protection (EIP-155)")]
    NotReplayProtected,
    /// The fields after the chain id of a legacy payload are not 0, 0.
    #[error("the payload is not an unsigned transaction")]
    NotUnsigned,
    /// Zero, or beyond [`CHAIN_ID_MAX`].
    #[error("chain id out of range")]
    ChainIdOutOfRange,
    /// Beyond [`NONCE_MAX`].
    #[error("nonce out of range")]
    NonceOutOfRange,
    /// The priority fee is above the maximum fee: no node accepts it.
    #[error("priority fee above the maximum fee")]
    PriorityAboveMaximum,
    /// More addresses or keys than [`ACCESS_LIST_ADDRESSES_MAX`] and [`ACCESS_LIST_KEYS_MAX`].
    #[error("access list too long")]
    AccessListTooLong,
    /// EIP-7702 transactions cannot create a contract.
    #[error("an EIP-7702 transaction needs a recipient")]
    NoRecipient,
    /// EIP-7702 transactions carry at least one authorization.
    #[error("an EIP-7702 transaction needs an authorization")]
    NoAuthorizations,
    /// More than [`AUTHORIZATIONS_MAX`].
    #[error("too many authorizations")]
    TooManyAuthorizations,
    /// One of the signed authorizations would be ignored by the chain.
    #[error("invalid authorization in the list")]
    Authorization(#[from] AuthorizationError),
    /// r or s out of range, s high, or no sender recovers from them.
    #[error("invalid signature")]
    InvalidSignature,
    /// Another encoding of the same transaction exists.
    #[error("transaction not in canonical form")]
    NotCanonical,
}

/// A transaction without its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The network it is valid on.
    pub chain: ChainId,
    /// The sender's nonce.
    pub nonce: u64,
    /// Gas the sender pays for at most.
    pub gas_limit: u64,
    /// The recipient; `None` creates a contract.
    pub to: Option<EvmAddress>,
    /// Wei to send.
    pub value: U256,
    /// Calldata or creation code.
    pub input: Vec<u8>,
    /// What depends on the type.
    pub kind: Kind,
}

/// What the transaction types differ in. Prices are in wei per gas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// With the chain id in v (EIP-155).
    Legacy {
        /// Price of all gas.
        gas_price: u128,
    },
    /// Type 0x01 (EIP-2930).
    AccessList {
        /// Price of all gas.
        gas_price: u128,
        /// What it declares to touch.
        access_list: Vec<AccessListItem>,
    },
    /// Type 0x02 (EIP-1559).
    DynamicFee {
        /// The two fees.
        fees: DynamicFee,
        /// What it declares to touch.
        access_list: Vec<AccessListItem>,
    },
    /// Type 0x04 (EIP-7702).
    SetCode {
        /// The two fees.
        fees: DynamicFee,
        /// What it declares to touch.
        access_list: Vec<AccessListItem>,
        /// Which accounts run which code from now on.
        authorizations: Vec<SignedAuthorization>,
    },
}

/// EIP-1559 fees in wei per gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynamicFee {
    /// The most that is paid, base fee included.
    pub max_fee_per_gas: u128,
    /// The most that the block's producer gets of it.
    pub max_priority_fee_per_gas: u128,
}

/// One address of an access list and its storage keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessListItem {
    /// The address.
    pub address: EvmAddress,
    /// Storage keys at it.
    pub storage_keys: Vec<[u8; 32]>,
}

impl Transaction {
    /// Reads an unsigned payload: exactly the bytes whose Keccak-256 is signed, and nothing else.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub fn parse_unsigned(payload: &[u8]) -> Result<Self, TransactionError> {
        parse::unsigned(payload)
    }

    /// The unsigned payload; [`Transaction::parse_unsigned`] takes it back to the same value.
    ///
    /// # Errors
    /// [`TransactionError`] if a field breaks a rule that the parser checks.
    pub fn encode_unsigned(&self) -> Result<Vec<u8>, TransactionError> {
        self.check()?;
        let payload = encode::unsigned(self);
        if payload.len() > UNSIGNED_LEN_MAX { Err(TransactionError::TooLong) } else { Ok(payload) }
    }

    /// The network it is valid on.
    pub const fn chain_id(&self) -> ChainId {
        self.chain
    }

    /// What is signed: Keccak-256 of the unsigned payload.
    pub fn digest(&self) -> [u8; 32] {
        keccak256(encode::unsigned(self)).0
    }

    /// The signed transaction as it is broadcast, and its hash.
    pub fn assemble(&self, signature: &RecoverableSig) -> (Vec<u8>, Hash32) {
        let raw = encode::signed(self, signature);
        let hash = Hash32(keccak256(&raw).0);
        (raw, hash)
    }

    /// The most wei that gas can cost; saturates, which no balance can reach.
    pub fn fee_max(&self) -> U256 {
        let price = match &self.kind {
            Kind::Legacy { gas_price } | Kind::AccessList { gas_price, .. } => *gas_price,
            Kind::DynamicFee { fees, .. } | Kind::SetCode { fees, .. } => fees.max_fee_per_gas,
        };
        U256::from(price).saturating_mul(U256::from(self.gas_limit))
    }

    /// What it declares to touch.
    pub fn access_list(&self) -> &[AccessListItem] {
        match &self.kind {
            Kind::Legacy { .. } => &[],
            Kind::AccessList { access_list, .. }
            | Kind::DynamicFee { access_list, .. }
            | Kind::SetCode { access_list, .. } => access_list,
        }
    }

    /// The signed authorizations it carries.
    pub fn authorizations(&self) -> &[SignedAuthorization] {
        match &self.kind {
            Kind::SetCode { authorizations, .. } => authorizations,
            _ => &[],
        }
    }

    /// The rules beyond the encoding.
    fn check(&self) -> Result<(), TransactionError> {
        if self.chain.0 == 0 || self.chain.0 > CHAIN_ID_MAX {
            return Err(TransactionError::ChainIdOutOfRange);
        }
        if self.nonce > NONCE_MAX {
            return Err(TransactionError::NonceOutOfRange);
        }
        if let Kind::DynamicFee { fees, .. } | Kind::SetCode { fees, .. } = &self.kind
            && fees.max_priority_fee_per_gas > fees.max_fee_per_gas
        {
            return Err(TransactionError::PriorityAboveMaximum);
        }
        let keys: usize = self.access_list().iter().map(|item| item.storage_keys.len()).sum();
        if self.access_list().len() > ACCESS_LIST_ADDRESSES_MAX || keys > ACCESS_LIST_KEYS_MAX {
            return Err(TransactionError::AccessListTooLong);
        }
        if let Kind::SetCode { authorizations, .. } = &self.kind {
            if self.to.is_none() {
                return Err(TransactionError::NoRecipient);
            }
            if authorizations.is_empty() {
                return Err(TransactionError::NoAuthorizations);
            }
            if authorizations.len() > AUTHORIZATIONS_MAX {
                return Err(TransactionError::TooManyAuthorizations);
            }
        }
        Ok(())
    }
}
