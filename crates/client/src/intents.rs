//! Intents from what an app hands over, and what they mean for the person who approves them.

use minicbor::bytes::ByteVec;
use pinseal_chains::decode::{self, Context, Native};
use pinseal_chains::evm::{IntentError, TypedData, TypedDataError};
use pinseal_protocol::intent::{AccountIndex, ChainId, Intent};

use crate::values::{Amount, Network};

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
    let native = Native { symbol: symbol(chain(intent)).to_owned(), decimals: EVM_NATIVE_DECIMALS };
    decode::view(intent, &Context { native: &native, tokens })
}

/// The symbol of a network's native currency where this client knows the network, else a word that claims nothing. Never taken from the host.
pub fn native_symbol(network: &Network) -> &'static str {
    symbol(network.chain_id())
}

/// An amount of a network's native currency, in units, with its [`native_symbol`].
pub fn native(network: &Network, amount: Amount) -> String {
    format!("{} {}", amount.to_units(EVM_NATIVE_DECIMALS), native_symbol(network))
}

fn chain(intent: &Intent) -> Option<ChainId> {
    match intent {
        Intent::EvmTransaction { chain, .. }
        | Intent::EvmAuthorization { chain, .. }
        | Intent::EvmTypedData { chain, .. } => Some(*chain),
        Intent::EvmPersonalMessage { .. } => None,
    }
}

fn symbol(chain: Option<ChainId>) -> &'static str {
    let known = SYMBOLS.iter().find(|(id, _)| chain.is_some_and(|chain| chain.0 == *id));
    known.map_or("native coin", |(_, symbol)| symbol)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use super::*;

    #[test]
    fn a_native_amount_has_this_clients_own_decimals_and_symbol() {
        let amount = Amount::from_units("1.5", EVM_NATIVE_DECIMALS).unwrap();
        let shown = |network: &str| native(&network.parse().unwrap(), amount);
        assert_eq!(shown("eip155:137"), "1.5 POL");
        assert_eq!(shown("eip155:424242"), "1.5 native coin");
        assert_eq!(shown("solana:5eykt4UsFv8P8NJdTREpY1vz"), "1.5 native coin");
    }
}
