//! What the enclave signed is what was approved, by the account it was approved for; checked before anything leaves the client.

use pinseal_chains::evm::transaction::SignedTransaction;
use pinseal_chains::evm::{EvmPolicy, IntentError, RecoverableSig, SignedAuthorization, prepare};
use pinseal_protocol::intent::{Intent, Signed};

use crate::values::Address;

/// Why a result is thrown away. Enclave or channel are broken; the caller must not use any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// Another number or kind of results than intents.
    #[error("the results do not match what was asked for")]
    Mismatch,
    /// Signed, but something else than what was approved.
    #[error("something else was signed than what was approved")]
    OtherContent,
    /// Signed by another key than the account's.
    #[error("the signature is not the account's")]
    OtherSigner,
}

/// Checks an intent as the enclave will, before a PIN is spent on it.
pub(crate) fn check_intent(intent: &Intent) -> Result<(), IntentError> {
    prepare(intent, permissive()).map(|_| ())
}

/// Checks one result against its intent and the signing account's pinned address.
pub(crate) fn verify(intent: &Intent, signed: &Signed, address: Address) -> Result<(), ResultError> {
    let prepared = prepare(intent, permissive()).map_err(|_| ResultError::OtherContent)?;
    let signer = match (intent, signed) {
        (Intent::EvmTransaction { unsigned, .. }, Signed::EvmTransaction { raw, hash }) => {
            let transaction = SignedTransaction::parse(raw).map_err(|_| ResultError::OtherContent)?;
            let payload = transaction.transaction().encode_unsigned().map_err(|_| ResultError::OtherContent)?;
            if payload.as_slice() != unsigned.as_slice() || transaction.hash() != hash {
                return Err(ResultError::OtherContent);
            }
            *transaction.sender()
        }
        (Intent::EvmAuthorization { chain, address, nonce, .. }, Signed::EvmAuthorization { tuple }) => {
            let signed = SignedAuthorization::from_tuple(tuple).map_err(|_| ResultError::OtherContent)?;
            let said = signed.authorization();
            if (said.chain, said.address, said.nonce) != (*chain, *address, *nonce) {
                return Err(ResultError::OtherContent);
            }
            *signed.authority()
        }
        (Intent::EvmPersonalMessage { .. } | Intent::EvmTypedData { .. }, Signed::EvmSignature { signature }) => {
            let bytes = signature.as_slice().try_into().map_err(|_| ResultError::Mismatch)?;
            RecoverableSig::from_bytes(bytes)
                .and_then(|signature| signature.recover_address(&prepared.digest()))
                .ok_or(ResultError::OtherSigner)?
        }
        _ => return Err(ResultError::Mismatch),
    };
    if Address(signer) == address { Ok(()) } else { Err(ResultError::OtherSigner) }
}

/// What the deployment allows is the enclave's to decide.
const fn permissive() -> EvmPolicy {
    EvmPolicy { allow_any_chain_authorization: true }
}
