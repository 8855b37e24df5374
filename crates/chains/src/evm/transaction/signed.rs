//! Signed transactions, as they are broadcast.

use alloy_primitives::keccak256;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::intent::EvmAddress;

use super::{Transaction, TransactionError, parse};
use crate::evm::RecoverableSig;

/// A transaction whose sender recovers from its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTransaction {
    transaction: Transaction,
    signature: RecoverableSig,
    sender: EvmAddress,
    hash: Hash32,
}

impl SignedTransaction {
    /// Reads an EIP-2718 envelope or a legacy transaction with EIP-155, and nothing after it.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub fn parse(raw: &[u8]) -> Result<Self, TransactionError> {
        let (transaction, signature) = parse::signed(raw)?;
        let sender = signature.recover_address(&transaction.digest()).ok_or(TransactionError::InvalidSignature)?;
        Ok(Self { transaction, signature, sender, hash: Hash32(keccak256(raw).0) })
    }

    /// What was signed.
    pub const fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// The signature.
    pub const fn signature(&self) -> &RecoverableSig {
        &self.signature
    }

    /// Who signed it.
    pub const fn sender(&self) -> &EvmAddress {
        &self.sender
    }

    /// Keccak-256 of the bytes, by which nodes know it.
    pub const fn hash(&self) -> &Hash32 {
        &self.hash
    }
}
