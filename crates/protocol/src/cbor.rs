//! Canonical CBOR (RFC 8949, section 4.2.1): one value, one encoding.
//!
//! Every message, record and signed structure is an array of definite length with shortest integers. Decoding checks this by
//! encoding the value again and comparing, so two byte strings never mean the same thing.

use core::convert::Infallible;

use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

/// Why bytes are not the canonical encoding of the wanted type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// Not CBOR, not this type, or a length beyond the type's bound. The sender is at fault.
    #[error("not a well-formed message")]
    Malformed,
    /// Well-formed, but another encoding of the same value exists or bytes trail it. The sender is at fault.
    #[error("not in canonical form")]
    NotCanonical,
}

/// Encodes `value` canonically.
pub fn to_vec<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    match minicbor::encode(value, &mut out) {
        Ok(()) => out,
        // A `Vec` writer is infallible and our types have no encoder that fails by itself.
        Err(error) => match error.into_write() {
            Some(never) => match never {},
            None => Vec::new(),
        },
    }
}

/// Encodes `value` canonically into memory that is zeroed on drop. All of it is reserved at once: a buffer that grows leaves
/// copies of what it held behind.
pub fn to_zeroizing<T: Encode<()>>(value: &T) -> Zeroizing<Vec<u8>> {
    let mut length = Length(0);
    let counted = minicbor::encode(value, &mut length);
    let mut out = Zeroizing::new(Vec::with_capacity(length.0));
    match counted.and_then(|()| minicbor::encode(value, &mut *out)) {
        Ok(()) => out,
        // As in `to_vec`: nothing here fails.
        Err(_) => Zeroizing::new(Vec::new()),
    }
}

/// Counts what is written.
struct Length(usize);

impl minicbor::encode::Write for Length {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0 += bytes.len();
        Ok(())
    }
}

/// Decodes one canonical value and nothing after it.
///
/// # Errors
/// [`CborError::Malformed`] or [`CborError::NotCanonical`]; the input is never partly accepted.
pub fn from_slice<T: for<'b> Decode<'b, ()> + Encode<()>>(bytes: &[u8]) -> Result<T, CborError> {
    let value: T = minicbor::decode(bytes).map_err(|_| CborError::Malformed)?;
    if to_vec(&value) == bytes { Ok(value) } else { Err(CborError::NotCanonical) }
}
