//! JSON values of the API with their forms checked at the edge.

use core::fmt;
use core::str::FromStr;

use alloy_primitives::U256;
use pinseal_chains::evm;
use pinseal_protocol::intent::{ChainId, EvmAddress};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why text is not the wanted value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not `namespace:reference`.
    #[error("not a network id such as eip155:1")]
    Network,
    /// Not `0x` and 40 hex digits, or mixed case with a wrong EIP-55 checksum: probably mistyped.
    #[error("not an address, or its checksum is wrong")]
    Address,
    /// Not a decimal number below 2^256.
    #[error("not an amount")]
    Amount,
    /// More decimals than the asset has.
    #[error("more decimals than the asset has")]
    Decimals,
    /// Not hex of an even length.
    #[error("not hex")]
    Hex,
}

/// A CAIP-2 network id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(String);

impl Network {
    /// The EVM network of a chain id.
    pub fn evm(chain: ChainId) -> Self {
        Self(chain.to_string())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The EIP-155 chain id, if this is an EVM network.
    pub fn chain_id(&self) -> Option<ChainId> {
        let reference = self.0.strip_prefix("eip155:")?;
        let id = reference.parse::<u64>().ok()?;
        (id != 0 && id.to_string() == reference).then_some(ChainId(id))
    }
}

impl FromStr for Network {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (namespace, reference) = text.split_once(':').ok_or(ValueError::Network)?;
        let namespace_ok = (3..=8).contains(&namespace.len())
            && namespace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let reference_ok = (1..=32).contains(&reference.len())
            && reference.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (namespace_ok && reference_ok).then(|| Self(text.to_owned())).ok_or(ValueError::Network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An EVM address; text is `0x` and hex with the EIP-55 checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(pub EvmAddress);

impl FromStr for Address {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        evm::parse_address(text).map(Self).map_err(|_| ValueError::Address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&evm::checksum(&self.0))
    }
}

/// A number of base units (wei).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(pub U256);

/// Most decimals of an asset: 10^77 is the last power of ten below 2^256.
pub const DECIMALS_MAX: u8 = 77;

impl Amount {
    /// From what a person writes, `1.5` of an asset with 18 decimals. Nothing is rounded.
    ///
    /// # Errors
    /// [`ValueError::Amount`], [`ValueError::Decimals`].
    pub fn from_units(text: &str, decimals: u8) -> Result<Self, ValueError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if fraction.is_empty() || decimals > DECIMALS_MAX {
            return Err(ValueError::Amount);
        }
        let fraction = fraction.trim_end_matches('0');
        let missing = usize::from(decimals).checked_sub(fraction.len()).ok_or(ValueError::Decimals)?;
        let digits = format!("{whole}{fraction}{}", "0".repeat(missing));
        if whole.is_empty() {
            return Err(ValueError::Amount);
        }
        digits.parse()
    }

    /// For people: `1.5`, exact, no trailing zeros.
    pub fn to_units(self, decimals: u8) -> String {
        let decimals = usize::from(decimals);
        let digits = format!("{:0>width$}", self.0.to_string(), width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
    }
}

impl FromStr for Amount {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        // 2^256 has 78 decimal digits; leading zeros may only come from `from_units`.
        if text.is_empty() || text.len() > 2 * usize::from(DECIMALS_MAX) || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ValueError::Amount);
        }
        U256::from_str_radix(text, 10).map(Self).map_err(|_| ValueError::Amount)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Bytes as lower-case hex without a prefix (the API's form of everything but EVM values).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HexBytes(pub Vec<u8>);

impl FromStr for HexBytes {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        hex::decode(text).map(Self).map_err(|_| ValueError::Hex)
    }
}

impl fmt::Display for HexBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for HexBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HexBytes({} bytes)", self.0.len())
    }
}

/// Bytes as `0x` hex (EVM call data, hashes, raw transactions).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EvmBytes(pub Vec<u8>);

impl FromStr for EvmBytes {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        hex::decode(text.strip_prefix("0x").ok_or(ValueError::Hex)?).map(Self).map_err(|_| ValueError::Hex)
    }
}

impl fmt::Display for EvmBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(&self.0))
    }
}

/// JSON strings by way of `FromStr` and `Display`.
macro_rules! as_json_string {
    ($($name:ident)+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )+};
}
as_json_string!(Network Address Amount HexBytes EvmBytes);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use super::*;

    #[test]
    fn amounts_are_exact_both_ways() {
        for (text, decimals, base, back) in [
            ("1.5", 18, "1500000000000000000", "1.5"),
            ("0.000000000000000001", 18, "1", "0.000000000000000001"),
            ("007", 0, "7", "7"),
            ("12.340", 2, "1234", "12.34"),
            ("0", 6, "0", "0"),
        ] {
            let amount = Amount::from_units(text, decimals).unwrap();
            assert_eq!(amount.to_string(), base);
            assert_eq!(amount.to_units(decimals), back);
        }
        assert_eq!(Amount::from_units("1.234", 2).unwrap_err(), ValueError::Decimals);
        for text in ["", ".5", "5.", "-1", "1e3", "0x10", "1.2.3", " 1", "1,5"] {
            assert!(Amount::from_units(text, 18).is_err(), "{text}");
        }
        assert!(Amount::from_units("1", 78).is_err());
        assert!(format!("{}0", U256::MAX).parse::<Amount>().is_err());
    }

    #[test]
    fn a_mistyped_address_is_refused_by_its_checksum() {
        // EIP-55's own example.
        let good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        assert_eq!(good.to_lowercase().parse::<Address>().unwrap().to_string(), good);
        for bad in ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aAe"]
        {
            assert_eq!(bad.parse::<Address>().unwrap_err(), ValueError::Address);
        }
    }

    #[test]
    fn networks_are_caip_2() {
        assert_eq!("eip155:31337".parse::<Network>().unwrap().chain_id(), Some(ChainId(31_337)));
        assert_eq!("eip155:007".parse::<Network>().unwrap().chain_id(), None);
        assert_eq!("solana:5eykt4UsFv8P8NJdTREpY1vz".parse::<Network>().unwrap().chain_id(), None);
        for bad in ["eip155", "eip155:", "EIP155:1", "eip155:1/2", "eip155:../x"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
