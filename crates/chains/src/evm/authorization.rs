//! EIP-7702 authorizations: which contract's code an account runs.

use alloy_primitives::keccak256;
use pinseal_protocol::intent::{ChainId, EvmAddress};

use super::RecoverableSig;
use super::rlp::{Items, List, RlpError};
use super::transaction::{CHAIN_ID_MAX, NONCE_MAX};

/// The byte before the RLP that keeps an authorization's digest apart from every transaction's.
const MAGIC: u8 = 0x05;

/// Why a signed authorization is refused. The sender is at fault: no chain would accept it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationError {
    /// Not the RLP of a tuple.
    #[error("malformed authorization")]
    Rlp(#[from] RlpError),
    /// Chain id or nonce beyond what any chain accepts.
    #[error("authorization with a chain id or nonce out of range")]
    OutOfRange,
    /// r or s out of range, s high, or no key recovers from them.
    #[error("authorization with an invalid signature")]
    InvalidSignature,
}

/// What the account's owner agrees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authorization {
    /// The chain it holds for; 0 means every chain.
    pub chain: ChainId,
    /// The contract whose code the account will run; the zero address takes a delegation back.
    pub address: EvmAddress,
    /// The account's nonce at the time it is applied.
    pub nonce: u64,
}

impl Authorization {
    /// `keccak256(0x05 || rlp([chain_id, address, nonce]))`.
    pub fn digest(&self) -> [u8; 32] {
        let mut preimage = vec![MAGIC];
        self.append(List::default()).write_to(&mut preimage);
        keccak256(preimage).0
    }

    /// Whether it holds on every chain.
    pub const fn is_any_chain(&self) -> bool {
        self.chain.0 == 0
    }

    /// The signed tuple `[chain_id, address, nonce, y_parity, r, s]` in RLP.
    pub fn tuple(&self, signature: &RecoverableSig) -> Vec<u8> {
        self.signed_list(signature).into_vec()
    }

    /// Whether chain id (0 included) and nonce are ones a chain could accept.
    pub(crate) const fn check(&self) -> Result<(), AuthorizationError> {
        if self.chain.0 <= CHAIN_ID_MAX && self.nonce <= NONCE_MAX {
            Ok(())
        } else {
            Err(AuthorizationError::OutOfRange)
        }
    }

    fn signed_list(&self, signature: &RecoverableSig) -> List {
        signature.append_scalars(self.append(List::default()).u64(u64::from(signature.y_parity())))
    }

    fn append(&self, list: List) -> List {
        list.u64(self.chain.0).bytes(self.address.as_bytes()).u64(self.nonce)
    }
}

/// An authorization with a signature from which its authority recovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedAuthorization {
    authorization: Authorization,
    signature: RecoverableSig,
    authority: EvmAddress,
}

impl SignedAuthorization {
    /// Puts both together.
    ///
    /// # Errors
    /// [`AuthorizationError::InvalidSignature`] if no key recovers, [`AuthorizationError::OutOfRange`].
    pub fn new(authorization: Authorization, signature: RecoverableSig) -> Result<Self, AuthorizationError> {
        authorization.check()?;
        let authority =
            signature.recover_address(&authorization.digest()).ok_or(AuthorizationError::InvalidSignature)?;
        Ok(Self { authorization, signature, authority })
    }

    /// Reads one tuple `[chain_id, address, nonce, y_parity, r, s]` that fills `bytes` exactly.
    ///
    /// # Errors
    /// [`AuthorizationError`].
    pub fn from_tuple(bytes: &[u8]) -> Result<Self, AuthorizationError> {
        Self::read(Items::open(bytes)?)
    }

    /// The tuple `[chain_id, address, nonce, y_parity, r, s]` in RLP.
    pub fn to_tuple(&self) -> Vec<u8> {
        self.authorization.tuple(&self.signature)
    }

    /// What was signed.
    pub const fn authorization(&self) -> &Authorization {
        &self.authorization
    }

    /// Who signed it.
    pub const fn authority(&self) -> &EvmAddress {
        &self.authority
    }

    /// The signature.
    pub const fn signature(&self) -> &RecoverableSig {
        &self.signature
    }

    pub(super) fn list(&self) -> List {
        self.authorization.signed_list(&self.signature)
    }

    pub(super) fn read(mut items: Items<'_>) -> Result<Self, AuthorizationError> {
        let chain = ChainId(items.u64()?);
        let address = EvmAddress(items.array()?);
        let nonce = items.u64()?;
        let y_parity = items.parity()?;
        let signature =
            RecoverableSig::read_scalars(&mut items, y_parity)?.ok_or(AuthorizationError::InvalidSignature)?;
        items.end()?;
        Self::new(Authorization { chain, address, nonce }, signature)
    }
}
