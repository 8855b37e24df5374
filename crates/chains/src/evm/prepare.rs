//! From an approved intent to a digest, and from a signature to what the user gets.

use alloy_primitives::U256;
use minicbor::bytes::ByteVec;
use pinseal_protocol::intent::{AccountIndex, ChainId, Intent, Signed};

use super::transaction::SIGNATURE_LEN_MAX;
use super::{
    Authorization, AuthorizationError, MESSAGE_LEN_MAX, RecoverableSig, Transaction, TransactionError, TypedData,
    TypedDataError, personal_message_digest,
};

/// What the deployment allows beyond the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EvmPolicy {
    /// Sign EIP-7702 authorizations with chain id 0, which hand the account over on every chain at once.
    pub allow_any_chain_authorization: bool,
}

/// Why an intent is not signed. Found before any key is touched; the client or its user is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntentError {
    /// The account index is beyond [`AccountIndex::END`].
    #[error("no such account")]
    UnknownAccount,
    /// The chain inside the payload is not the network the user chose.
    #[error("the payload is for another chain than the chosen network")]
    ChainMismatch,
    /// Chain id 0 without the policy that allows it.
    #[error("an authorization for every chain is not allowed here")]
    AnyChainNotAllowed,
    /// Beyond [`MESSAGE_LEN_MAX`].
    #[error("message too long")]
    MessageTooLong,
    /// The transaction is refused.
    #[error("invalid transaction")]
    Transaction(#[from] TransactionError),
    /// The authorization is refused.
    #[error("invalid authorization")]
    Authorization(#[from] AuthorizationError),
    /// The typed data are refused.
    #[error("invalid typed data")]
    TypedData(#[from] TypedDataError),
}

/// An intent that will be signed if the PIN is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    account: AccountIndex,
    digest: [u8; 32],
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Transaction(Box<Transaction>),
    Authorization(Authorization),
    Signature,
}

/// Checks an intent and derives its digest.
///
/// # Errors
/// [`IntentError`].
pub fn prepare(intent: &Intent, policy: EvmPolicy) -> Result<Prepared, IntentError> {
    let account = intent.account();
    if !account.is_valid() {
        return Err(IntentError::UnknownAccount);
    }
    let (digest, form) = match intent {
        Intent::EvmTransaction { chain, unsigned, .. } => {
            let tx = Transaction::parse_unsigned(unsigned)?;
            if tx.chain_id() != *chain {
                return Err(IntentError::ChainMismatch);
            }
            (tx.digest(), Form::Transaction(Box::new(tx)))
        }
        Intent::EvmAuthorization { chain, address, nonce, .. } => {
            let authorization = Authorization { chain: *chain, address: *address, nonce: *nonce };
            authorization.check()?;
            if authorization.is_any_chain() && !policy.allow_any_chain_authorization {
                return Err(IntentError::AnyChainNotAllowed);
            }
            (authorization.digest(), Form::Authorization(authorization))
        }
        Intent::EvmPersonalMessage { message, .. } => {
            if message.len() > MESSAGE_LEN_MAX {
                return Err(IntentError::MessageTooLong);
            }
            (personal_message_digest(message), Form::Signature)
        }
        Intent::EvmTypedData { chain, typed_data, .. } => {
            let data = TypedData::from_cbor(typed_data)?;
            if !domain_matches(&data, *chain) {
                return Err(IntentError::ChainMismatch);
            }
            (data.digest(), Form::Signature)
        }
    };
    Ok(Prepared { account, digest, form })
}

/// Whether the domain is silent about the chain or names the chosen one.
pub(crate) fn domain_matches(data: &TypedData, chain: ChainId) -> bool {
    data.domain_chain_id().is_none_or(|id| id == U256::from(chain.0))
}

/// An upper bound of the canonical length of the [`Signed`] that this intent can become. It depends on the intent's kind and
/// length alone, so a reply padded to it tells nothing of r, s, the verdict or the reason of a refusal.
pub fn signed_len_max(intent: &Intent) -> usize {
    /// Array head, tag, inner array head, byte-string head (5 at these lengths) and, for a transaction, the hash (34).
    const FRAME_LEN: usize = 3 + 5 + 34;
    /// Two list heads, chain id and nonce (9 each), address (21), parity (1), r and s (33 each), with room.
    const TUPLE_LEN: usize = 120;
    match intent {
        Intent::EvmTransaction { unsigned, .. } => FRAME_LEN + unsigned.len() + SIGNATURE_LEN_MAX,
        Intent::EvmAuthorization { .. } => FRAME_LEN + TUPLE_LEN,
        Intent::EvmPersonalMessage { .. } | Intent::EvmTypedData { .. } => FRAME_LEN + 65,
    }
}

impl Prepared {
    /// The account that signs.
    pub const fn account(&self) -> AccountIndex {
        self.account
    }

    /// What is signed.
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// What the user gets for the signature over [`Prepared::digest`].
    pub fn finish(&self, signature: &RecoverableSig) -> Signed {
        match &self.form {
            Form::Transaction(tx) => {
                let (raw, hash) = tx.assemble(signature);
                Signed::EvmTransaction { raw: ByteVec::from(raw), hash }
            }
            Form::Authorization(authorization) => {
                Signed::EvmAuthorization { tuple: ByteVec::from(authorization.tuple(signature)) }
            }
            Form::Signature => Signed::EvmSignature { signature: ByteVec::from(signature.to_bytes().to_vec()) },
        }
    }
}
