//! What the operator tells the wallet page: the enclave images it trusts, and the tokens it shows.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Hex digits of a Nitro register, SHA-384.
const PCR_DIGITS: usize = 96;
/// Images of one list: a few releases beside each other. The page's client takes no more.
const IMAGES_MAX: usize = 16;
/// Tokens of one network: they are asked for in one request of balances.
const TOKENS_PER_NETWORK_MAX: usize = 16;
/// Tokens in all; the page reads them whenever it is opened.
const TOKENS_MAX: usize = 256;
/// Characters of a symbol, as wallets show it.
const SYMBOL_CHARS_MAX: usize = 11;
/// More than any token has; 256 bits have 78 digits.
const DECIMALS_MAX: u8 = 36;

/// An AWS Nitro image that the wallet page trusts, by its registers as `nitro-cli` prints them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalletImage {
    /// PCR 0, 96 hex digits in lower case.
    pub pcr0: String,
    /// PCR 1.
    pub pcr1: String,
    /// PCR 2.
    pub pcr2: String,
}

/// An ERC-20 token that the wallet page shows, with what its amounts mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedToken {
    /// CAIP-2 id of an EVM network.
    pub network: String,
    /// Contract, 0x and 40 hex digits.
    pub contract: String,
    /// What it is called: 1 to 11 letters and digits, and `.`, `-`, `_`, `$` or `+` among them.
    pub symbol: String,
    /// Places behind the point.
    pub decimals: u8,
}

/// What is wrong with one of these lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WalletSettingsError {
    /// Not SHA-384 in hex, or all zeros, which is debug mode.
    #[error("an image of wallet_images has PCR 0, 1 and 2, 96 hex digits each in lower case, and none all zeros")]
    Image,
    /// More images than the page takes.
    #[error("wallet_images has more than {IMAGES_MAX} images")]
    Images,
    /// A member has the wrong form, or the contract is listed twice.
    #[error("a token has network, contract, symbol and decimals of the documented forms, and is listed once")]
    Token,
    /// More tokens than the page takes.
    #[error("tokens has more than {TOKENS_MAX} tokens, or more than {TOKENS_PER_NETWORK_MAX} of one network")]
    Tokens,
}

/// Checks both lists.
pub(crate) fn check(images: &[WalletImage], tokens: &[ListedToken]) -> Result<(), WalletSettingsError> {
    if images.len() > IMAGES_MAX {
        return Err(WalletSettingsError::Images);
    }
    if images.iter().flat_map(|image| [&image.pcr0, &image.pcr1, &image.pcr2]).any(|pcr| !is_pcr(pcr)) {
        return Err(WalletSettingsError::Image);
    }
    let mut seen = BTreeSet::new();
    for token in tokens {
        if !is_token(token) || !seen.insert((&token.network, token.contract.to_lowercase())) {
            return Err(WalletSettingsError::Token);
        }
        if tokens.iter().filter(|other| other.network == token.network).count() > TOKENS_PER_NETWORK_MAX {
            return Err(WalletSettingsError::Tokens);
        }
    }
    if tokens.len() > TOKENS_MAX { Err(WalletSettingsError::Tokens) } else { Ok(()) }
}

fn is_pcr(text: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == PCR_DIGITS && text.bytes().all(is_hex) && text.bytes().any(|byte| byte != b'0')
}

fn is_token(token: &ListedToken) -> bool {
    let is_chain = token.network.strip_prefix("eip155:").is_some_and(|id| {
        !id.starts_with('0') && (1..=20).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit())
    });
    let is_contract = token
        .contract
        .strip_prefix("0x")
        .is_some_and(|digits| digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'$' | b'+');
    let is_symbol = (1..=SYMBOL_CHARS_MAX).contains(&token.symbol.len()) && token.symbol.bytes().all(fits);
    is_chain && is_contract && is_symbol && token.decimals <= DECIMALS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> WalletImage {
        let pcr = |digit: &str| digit.repeat(PCR_DIGITS);
        WalletImage { pcr0: pcr("a"), pcr1: pcr("1"), pcr2: pcr("f") }
    }

    fn token(network: &str, contract: u64) -> ListedToken {
        let contract = format!("0x{contract:040x}");
        ListedToken { network: network.into(), contract, symbol: "USDC.e".into(), decimals: 6 }
    }

    #[test]
    fn an_image_is_three_registers_that_say_something() {
        assert_eq!(check(&[image()], &[]), Ok(()));
        for pcr in ["", "0", &"0".repeat(PCR_DIGITS), &"A".repeat(PCR_DIGITS), &"a".repeat(PCR_DIGITS + 1)] {
            let wrong = WalletImage { pcr1: pcr.into(), ..image() };
            assert_eq!(check(&[wrong], &[]), Err(WalletSettingsError::Image), "{pcr}");
        }
        assert_eq!(check(&vec![image(); IMAGES_MAX + 1], &[]), Err(WalletSettingsError::Images));
    }

    #[test]
    fn a_token_says_what_its_amounts_mean_and_once() {
        let good = token("eip155:1", 1);
        assert_eq!(check(&[], &[good.clone(), token("eip155:1", 2), token("eip155:10", 1)]), Ok(()));
        for wrong in [
            ListedToken { network: "eip155:01".into(), ..good.clone() },
            ListedToken { network: "solana:1".into(), ..good.clone() },
            ListedToken { contract: "0x12".into(), ..good.clone() },
            ListedToken { contract: good.contract.replace("0x", ""), ..good.clone() },
            ListedToken { symbol: String::new(), ..good.clone() },
            ListedToken { symbol: "a b".into(), ..good.clone() },
            ListedToken { symbol: "\u{202e}CDSU".into(), ..good.clone() },
            ListedToken { symbol: "TWELVELETTER".into(), ..good.clone() },
            ListedToken { decimals: 37, ..good.clone() },
        ] {
            assert_eq!(check(&[], std::slice::from_ref(&wrong)), Err(WalletSettingsError::Token), "{wrong:?}");
        }
        let same = ListedToken { contract: "0xABCDEFabcdefABCDEFabcdefABCDEFabcdefABCD".into(), ..good.clone() };
        let again = ListedToken { contract: same.contract.to_lowercase(), ..same.clone() };
        assert_eq!(check(&[], &[same, again]), Err(WalletSettingsError::Token));
        let many = |count: u64| (0..count).map(|number| token("eip155:1", number)).collect::<Vec<_>>();
        assert_eq!(check(&[], &many(16)), Ok(()));
        assert_eq!(check(&[], &many(17)), Err(WalletSettingsError::Tokens));
    }
}
