//! The hex forms of JSON-RPC values (EIP-1474).

use alloy_primitives::{U256, hex};
use pinseal_protocol::ids::Hash32;
use serde::{Deserialize, Deserializer, de};

/// A number of at most 256 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quantity(pub(crate) U256);

/// A number of at most 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quantity64(pub(crate) u64);

/// A 32-byte hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash(pub(crate) Hash32);

/// Bytes of any length; the answer as a whole is bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = digits(&text).ok_or_else(|| de::Error::custom("not a quantity"))?;
        let plain = (1..=64).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_hexdigit());
        if !plain {
            return Err(de::Error::custom("not a quantity of 256 bits"));
        }
        U256::from_str_radix(digits, 16).map(Self).map_err(|_| de::Error::custom("not a quantity"))
    }
}

impl<'de> Deserialize<'de> for Quantity64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wide = Quantity::deserialize(deserializer)?;
        u64::try_from(wide.0).map(Self).map_err(|_| de::Error::custom("beyond 64 bits"))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        digits(&text).and_then(Hash32::from_hex).map(Self).ok_or_else(|| de::Error::custom("not a hash"))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = digits(&text).ok_or_else(|| de::Error::custom("no 0x"))?;
        // `hex::decode` would skip another 0x.
        if !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(de::Error::custom("not hex"));
        }
        hex::decode(digits).map(Self).map_err(|_| de::Error::custom("an odd number of digits"))
    }
}

fn digits(text: &str) -> Option<&str> {
    text.strip_prefix("0x")
}

/// A number as JSON-RPC wants it.
pub(crate) fn hex_quantity(value: U256) -> String {
    format!("{value:#x}")
}

/// Bytes as JSON-RPC wants them.
pub(crate) fn hex_bytes(bytes: &[u8]) -> String {
    hex::encode_prefixed(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value};

    use super::*;

    #[test]
    fn quantities_are_bounded_hex() {
        let quantity = |text: &str| from_value::<Quantity>(Value::from(text)).ok().map(|quantity| quantity.0);
        assert_eq!(quantity("0x0"), Some(U256::ZERO));
        assert_eq!(quantity("0x5208"), Some(U256::from(21_000)));
        assert_eq!(quantity(&format!("0x{}", "f".repeat(64))), Some(U256::MAX));
        for text in ["", "0x", "5208", "0x-1", "0x+1", "0x1_0", "0x 1", "0X1", "0x0x1", "-0x1"] {
            assert_eq!(quantity(text), None, "{text}");
        }
        assert_eq!(quantity(&format!("0x1{}", "0".repeat(64))), None);
        assert!(from_value::<Quantity>(Value::from(21_000)).is_err());
        assert!(from_value::<Quantity64>(Value::from("0x10000000000000000")).is_err());
        assert_eq!(from_value::<Quantity64>(Value::from("0xffffffffffffffff")).ok(), Some(Quantity64(u64::MAX)));
    }

    #[test]
    fn numbers_go_out_without_leading_zeros() {
        assert_eq!(hex_quantity(U256::ZERO), "0x0");
        assert_eq!(hex_quantity(U256::from(21_000)), "0x5208");
        assert_eq!(hex_bytes(&[0, 1]), "0x0001");
    }

    #[test]
    fn bytes_and_hashes_have_whole_bytes() {
        let bytes = |text: &str| from_value::<Bytes>(Value::from(text)).ok().map(|bytes| bytes.0);
        assert_eq!(bytes("0x"), Some(vec![]));
        assert_eq!(bytes("0x00ff"), Some(vec![0, 255]));
        for text in ["", "00", "0x0", "0x0x00", "0xgg"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        assert!(from_value::<Hash>(Value::from(format!("0x{}", "1".repeat(63)))).is_err());
    }
}
