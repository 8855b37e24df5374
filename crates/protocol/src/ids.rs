//! Newtypes for every id, hash and count that crosses a seam.

/// Declares a fixed-size public byte string with hex display and canonical CBOR (a byte string of exactly that length).
macro_rules! byte_newtype {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// From a slice of exactly the right length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// From lower- or upper-case hex of exactly the right length.
            pub fn from_hex(text: &str) -> Option<Self> {
                let mut out = [0_u8; $len];
                $crate::ids::decode_hex(text, &mut out)?;
                Some(Self(out))
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let mut text = [0_u8; 2 * $len];
                $crate::ids::encode_hex(&self.0, &mut text);
                f.write_str(core::str::from_utf8(&text).map_err(|_| core::fmt::Error)?)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                let bytes = d.bytes()?;
                Self::from_slice(bytes).ok_or_else(|| minicbor::decode::Error::message("wrong length"))
            }
        }
    };
}
pub(crate) use byte_newtype;

/// Writes lower-case hex, two characters a byte.
pub(crate) fn encode_hex(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or_default();
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(*byte)]);
    }
}

/// Reads exactly `out.len()` bytes of hex.
pub(crate) fn decode_hex(text: &str, out: &mut [u8]) -> Option<()> {
    let text = text.as_bytes();
    if text.len() != out.len() * 2 {
        return None;
    }
    for (pair, byte) in text.chunks_exact(2).zip(out) {
        let high = char::from(*pair.first()?).to_digit(16)?;
        let low = char::from(*pair.get(1)?).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(())
}

byte_newtype! {
    /// The time for which one sealed configuration is in force; random, made by the enclave, sealed with the root and bound into every
    /// checkpoint.
    Term, 32
}
byte_newtype! {
    /// One installation of Pinseal; random, fixed in its sealed configuration.
    DeploymentId, 16
}
byte_newtype! {
    /// `uid_h`: keyed hash of a user id, made in the enclave. Names a wallet towards host and log.
    UserIdHash, 32
}
byte_newtype! {
    /// RFC 7638 SHA-256 thumbprint of a device's P-256 public key; the access token's `cnf.jkt`.
    DeviceId, 32
}
byte_newtype! {
    /// Client-chosen random name of one sealed request.
    RequestId, 16
}
byte_newtype! {
    /// A SHA-256 or Keccak-256 value.
    Hash32, 32
}
byte_newtype! {
    /// Hash of the enclave image.
    Measurement, 32
}
byte_newtype! {
    /// Freshness chosen by whoever asks.
    Nonce, 32
}

/// Unix time in whole seconds, as the host tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, minicbor::Encode, minicbor::Decode)]
#[cbor(transparent)]
pub struct UnixSeconds(#[n(0)] pub u64);

/// Version of a wallet's record; grows by one with every write. Eight bytes on the wire, so that its size tells nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u64);

impl Version {
    /// The version after this one, or `None` after 2^64 - 1 writes.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl<C> minicbor::Encode<C> for Version {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0.to_be_bytes())?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Version {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = d.bytes()?.try_into().map_err(|_| minicbor::decode::Error::message("wrong length"))?;
        Ok(Self(u64::from_be_bytes(bytes)))
    }
}

/// Number of a checkpoint; the genesis checkpoint is 0 and each anchored one adds 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, minicbor::Encode, minicbor::Decode)]
#[cbor(transparent)]
pub struct Sequence(#[n(0)] pub u64);
