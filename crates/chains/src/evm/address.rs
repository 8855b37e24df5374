//! EVM addresses and their EIP-55 spelling.

use alloy_primitives::keccak256;
use pinseal_protocol::intent::EvmAddress;
use secp256k1::PublicKey;

/// Why a text is not an address. The person who typed it can put it right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not `0x` and 40 hex digits.
    #[error("an address is 0x and 40 hex digits")]
    Malformed,
    /// The mix of upper and lower case does not match: a digit was mistyped.
    #[error("the address does not match its checksum")]
    WrongChecksum,
}

/// The address of a public key: the last 20 bytes of the Keccak-256 of its coordinates.
pub fn address(key: &PublicKey) -> EvmAddress {
    let [_tag, coordinates @ ..] = key.serialize_uncompressed();
    let hash = keccak256(coordinates);
    EvmAddress(last_20(&hash.0))
}

/// The address of exactly 20 bytes.
pub fn address_of_slice(bytes: &[u8]) -> Option<EvmAddress> {
    EvmAddress::from_slice(bytes)
}

/// The EIP-55 spelling: `0x` and 40 hex digits, whose case is a checksum.
pub fn checksum(address: &EvmAddress) -> String {
    let lower = address.to_string();
    let hash = keccak256(lower.as_bytes());
    let mut out = String::with_capacity(42);
    out.push_str("0x");
    for (index, digit) in lower.chars().enumerate() {
        let byte = hash.0.get(index / 2).copied().unwrap_or_default();
        let nibble = if index % 2 == 0 { byte >> 4 } else { byte & 0x0f };
        out.push(if nibble >= 8 { digit.to_ascii_uppercase() } else { digit });
    }
    out
}

/// Reads an address. All lower or all upper case carries no checksum and is accepted; any mix must be the EIP-55 spelling.
///
/// # Errors
/// [`AddressError`].
pub fn parse_address(text: &str) -> Result<EvmAddress, AddressError> {
    let digits = text.strip_prefix("0x").ok_or(AddressError::Malformed)?;
    let address = EvmAddress::from_hex(digits).ok_or(AddressError::Malformed)?;
    let has_upper = digits.bytes().any(|b| b.is_ascii_uppercase());
    let has_lower = digits.bytes().any(|b| b.is_ascii_lowercase());
    if has_upper && has_lower && checksum(&address) != text {
        return Err(AddressError::WrongChecksum);
    }
    Ok(address)
}

/// The low-order 20 bytes of a 32-byte word.
fn last_20(word: &[u8; 32]) -> [u8; 20] {
    let mut out = [0; 20];
    out.copy_from_slice(word.split_at(12).1);
    out
}
