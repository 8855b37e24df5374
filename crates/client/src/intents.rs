//! Intents from what an app hands over, and what they mean for the person who approves them.

use minicbor::bytes::ByteVec;
use pinseal_chains::decode::{self, Context, Native};
use pinseal_chains::evm::{IntentError, TypedData, TypedDataError};
use pinseal_protocol::intent::{AccountIndex, ChainId, Intent};

pub use pinseal_chains::decode::{Token, View};

/// Decimals of the native currency on every EVM network: the EVM counts in wei. Never taken from the host, which could shift the
/// decimal point of what a person approves.
pub const EVM_NATIVE_DECIMALS: u8 = 18;

/// Symbols of the networks this client knows by itself.
const SYMBOLS: &[(u64, &str)] =
    &[(1, "ETH"), (56, "BNB"), (137, "POL"), (1_001, "KAIA"), (8_217, "KAIA"), (31_337, "ETH"), (11_155_111, "ETH")];

/// `evm.personal_message` (EIP-191).
pub fn personal_message(account: AccountIndex, message: &[u8]) -> Intent {
    Intent::EvmPersonalMessage { account, message: ByteVec::from(message.to_vec()) }
}

/// `evm.typed_data` (EIP-712 v4) from the JSON an app hands over.
///
/// # Errors
/// [`TypedDataError`]; the app is at fault and nothing can be shown, so nothing is signed.
pub fn typed_data(account: AccountIndex, chain: ChainId, json: &str) -> Result<Intent, TypedDataError> {
    let data = TypedData::from_json(json)?;
    Ok(Intent::EvmTypedData { account, chain, typed_data: ByteVec::from(data.to_cbor()) })
}

/// What `intent` means. `tokens` are those whose symbol and decimals the caller trusts; amounts of others are shown in base units.
///
/// # Errors
/// [`IntentError`]; the enclave would refuse it too.
pub fn view(intent: &Intent, tokens: &[Token]) -> Result<View, IntentError> {
    let native = Native { symbol: symbol(intent).to_owned(), decimals: EVM_NATIVE_DECIMALS };
    decode::view(intent, &Context { native: &native, tokens })
}

/// The native currency's symbol where this client knows the network, else a word that claims nothing.
fn symbol(intent: &Intent) -> &'static str {
    let chain = match intent {
        Intent::EvmTransaction { chain, .. }
        | Intent::EvmAuthorization { chain, .. }
        | Intent::EvmTypedData { chain, .. } => chain.0,
        Intent::EvmPersonalMessage { .. } => 0,
    };
    SYMBOLS.iter().find(|(id, _)| *id == chain).map_or("native coin", |(_, symbol)| symbol)
}
