//! CAIP-2 chain ids of EVM networks.

use pinseal_protocol::intent::ChainId;

/// A CAIP-2 id in the `eip155` namespace, spelled the one canonical way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Caip2 {
    text: String,
    chain: u64,
}

/// Why a text is not the CAIP-2 id of an EVM network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Caip2Error {
    /// Not `namespace:reference` in the characters CAIP-2 allows.
    #[error("not a CAIP-2 id")]
    Malformed,
    /// Another namespace than `eip155`.
    #[error("only eip155 networks are known to this release")]
    Namespace,
    /// Not a chain id from 1 to 2^53 - 1 without leading zeros.
    #[error("not a chain id in canonical decimal form")]
    ChainId,
}

/// Largest chain id: what every client's number type holds exactly.
const CHAIN_ID_MAX: u64 = (1 << 53) - 1;
/// Longest CAIP-2 id: eight characters, a colon, thirty-two characters.
const CAIP2_LEN_MAX: usize = 41;

impl Caip2 {
    /// Reads an id.
    ///
    /// # Errors
    /// [`Caip2Error`].
    pub fn parse(text: &str) -> Result<Self, Caip2Error> {
        let (namespace, reference) = text.split_once(':').ok_or(Caip2Error::Malformed)?;
        let in_namespace = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let in_reference = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if text.len() > CAIP2_LEN_MAX
            || !(3..=8).contains(&namespace.len())
            || !(1..=32).contains(&reference.len())
            || !namespace.bytes().all(in_namespace)
            || !reference.bytes().all(in_reference)
        {
            return Err(Caip2Error::Malformed);
        }
        if namespace != "eip155" {
            return Err(Caip2Error::Namespace);
        }
        let chain: u64 = reference.parse().map_err(|_| Caip2Error::ChainId)?;
        if chain == 0 || chain > CHAIN_ID_MAX || chain.to_string() != reference {
            return Err(Caip2Error::ChainId);
        }
        Ok(Self { text: text.to_owned(), chain })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The EIP-155 chain id.
    pub const fn chain_id(&self) -> ChainId {
        ChainId(self.chain)
    }
}

impl core::fmt::Display for Caip2 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_accepted() {
        assert_eq!(Caip2::parse("eip155:8217").map(|id| id.chain_id()), Ok(ChainId(8217)));
        for (text, error) in [
            ("", Caip2Error::Malformed),
            ("eip155", Caip2Error::Malformed),
            ("eip155:", Caip2Error::Malformed),
            ("EIP155:1", Caip2Error::Malformed),
            ("eip155:1:2", Caip2Error::Malformed),
            ("eip155: 1", Caip2Error::Malformed),
            ("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", Caip2Error::Namespace),
            ("eip155:0", Caip2Error::ChainId),
            ("eip155:01", Caip2Error::ChainId),
            ("eip155:0x1", Caip2Error::ChainId),
            ("eip155:-1", Caip2Error::ChainId),
            ("eip155:9007199254740992", Caip2Error::ChainId),
            ("eip155:18446744073709551616", Caip2Error::ChainId),
        ] {
            assert_eq!(Caip2::parse(text), Err(error), "{text}");
        }
    }
}
