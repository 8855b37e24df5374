//! EVM: what can be signed, parsed strictly, and what becomes of it.
//!
//! Every parser here accepts exactly one encoding of a value, so that what is shown is what is signed.

mod address;
mod authorization;
mod message;
mod prepare;
mod rlp;
mod signature;
pub mod transaction;
pub mod typed_data;

pub use address::{AddressError, address, address_of_slice, checksum, parse_address};
pub use authorization::{Authorization, AuthorizationError, SignedAuthorization};
pub use message::{MESSAGE_LEN_MAX, personal_message_digest};
pub use prepare::{EvmPolicy, IntentError, Prepared, prepare, signed_len_max};
pub use rlp::RlpError;
pub use signature::RecoverableSig;
pub use transaction::{Transaction, TransactionError};
pub use typed_data::{TypedData, TypedDataError};
