//! Strict reading and writing of RLP lists, on `alloy-rlp`'s headers.

use alloy_primitives::U256;
use alloy_rlp::{Decodable, Encodable, Header};

/// Why bytes are not the one RLP encoding of what is wanted. The sender is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RlpError {
    /// An item reaches beyond its list or beyond the input, or the list has too few items.
    #[error("RLP ends too early")]
    Truncated,
    /// Bytes after the outermost list.
    #[error("bytes after the end of the RLP")]
    Trailing,
    /// More items than the list has fields.
    #[error("RLP list with too many items")]
    TooManyItems,
    /// A length or a single byte in a longer form than needed.
    #[error("RLP in non-canonical form")]
    NotCanonical,
    /// An integer or a length with a leading zero.
    #[error("RLP integer with a leading zero")]
    LeadingZero,
    /// A string where a list belongs, or the other way round.
    #[error("RLP string and list mistaken")]
    WrongKind,
    /// An integer that does not fit its field, or a string of the wrong length.
    #[error("RLP value of the wrong size")]
    WrongSize,
}

impl From<alloy_rlp::Error> for RlpError {
    fn from(error: alloy_rlp::Error) -> Self {
        use alloy_rlp::Error;
        match error {
            Error::InputTooShort => Self::Truncated,
            Error::LeadingZero => Self::LeadingZero,
            Error::NonCanonicalSingleByte | Error::NonCanonicalSize => Self::NotCanonical,
            Error::UnexpectedString | Error::UnexpectedList => Self::WrongKind,
            Error::ListLengthMismatch { .. } => Self::TooManyItems,
            Error::Overflow | Error::UnexpectedLength | Error::Custom(_) => Self::WrongSize,
        }
    }
}

/// The items of one list, read front to back.
pub(super) struct Items<'a>(&'a [u8]);

impl<'a> Items<'a> {
    /// Opens a list that fills `bytes` exactly.
    pub(super) fn open(mut bytes: &'a [u8]) -> Result<Self, RlpError> {
        let payload = Header::decode_bytes(&mut bytes, true)?;
        if bytes.is_empty() { Ok(Self(payload)) } else { Err(RlpError::Trailing) }
    }

    pub(super) fn list(&mut self) -> Result<Self, RlpError> {
        Ok(Self(Header::decode_bytes(&mut self.0, true)?))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], RlpError> {
        Ok(Header::decode_bytes(&mut self.0, false)?)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RlpError> {
        self.bytes()?.try_into().map_err(|_| RlpError::WrongSize)
    }

    pub(super) fn u64(&mut self) -> Result<u64, RlpError> {
        Ok(u64::decode(&mut self.0)?)
    }

    pub(super) fn u128(&mut self) -> Result<u128, RlpError> {
        Ok(u128::decode(&mut self.0)?)
    }

    pub(super) fn u256(&mut self) -> Result<U256, RlpError> {
        let bytes = self.bytes()?;
        if bytes.first() == Some(&0) {
            return Err(RlpError::LeadingZero);
        }
        U256::try_from_be_slice(bytes).ok_or(RlpError::WrongSize)
    }

    pub(super) fn parity(&mut self) -> Result<bool, RlpError> {
        match self.u64()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(RlpError::WrongSize),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses items that nobody read.
    pub(super) const fn end(self) -> Result<(), RlpError> {
        if self.is_empty() { Ok(()) } else { Err(RlpError::TooManyItems) }
    }
}

/// A list under construction.
#[derive(Default)]
pub(super) struct List(Vec<u8>);

impl List {
    pub(super) fn u64(mut self, value: u64) -> Self {
        value.encode(&mut self.0);
        self
    }

    pub(super) fn u128(mut self, value: u128) -> Self {
        value.encode(&mut self.0);
        self
    }

    pub(super) fn u256(self, value: U256) -> Self {
        self.bytes(&value.to_be_bytes_trimmed_vec())
    }

    pub(super) fn bytes(mut self, value: &[u8]) -> Self {
        value.encode(&mut self.0);
        self
    }

    pub(super) fn list(mut self, inner: Self) -> Self {
        inner.write_to(&mut self.0);
        self
    }

    /// Appends the whole list to `out`.
    pub(super) fn write_to(self, out: &mut Vec<u8>) {
        Header { list: true, payload_length: self.0.len() }.encode(out);
        out.extend_from_slice(&self.0);
    }

    pub(super) fn into_vec(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len() + 9);
        self.write_to(&mut out);
        out
    }
}
