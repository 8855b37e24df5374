//! The values.

use alloy_primitives::U256;
use pinseal_protocol::intent::EvmAddress;

use super::Type;

/// One value; which [`Type`] it belongs to is written in the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of `uintN` or `intN`, sign-extended to 256 bits.
    Integer(U256),
    /// Of `address`.
    Address(EvmAddress),
    /// Of `bytesN`.
    FixedBytes(Vec<u8>),
    /// Of `bytes`.
    Bytes(Vec<u8>),
    /// Of `string`.
    String(String),
    /// Of `bool`.
    Bool(bool),
    /// Of `T[]` or `T[n]`.
    Array(Vec<Self>),
    /// Of a struct, in the order of its fields.
    Struct(Vec<Self>),
}

/// Whether a 256-bit word is a value of `uintN` or `intN`.
pub(super) fn fits(word: U256, kind: &Type) -> bool {
    match kind {
        Type::Uint(bits) => word.bit_len() <= usize::from(*bits),
        Type::Int(bits) => {
            // All bits from the sign bit on are equal.
            let magnitude = if word.bit(255) { !word } else { word };
            magnitude.bit_len() < usize::from(*bits)
        }
        _ => false,
    }
}
