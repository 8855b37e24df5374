//! Sent transactions as callers see them, and the cursor that pages through them.

use alloy_primitives::{U256, hex};
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::intent::EvmAddress;
use pinseal_store::gateway::{Amount, TxRow, TxStatus};

use crate::registry::{Caip2, Network};

/// One transaction this system sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxRecord {
    /// The network.
    pub network: Caip2,
    /// Its hash.
    pub hash: Hash32,
    /// Who signed it.
    pub sender: EvmAddress,
    /// The sender's nonce.
    pub nonce: u64,
    /// The called address; `None` creates a contract.
    pub recipient: Option<EvmAddress>,
    /// The native amount moved, in the smallest unit.
    pub value: U256,
    /// The signed bytes; none in a history, nor once it is settled.
    pub raw: Vec<u8>,
    /// When it was recorded.
    pub created: UnixSeconds,
    /// When its status last changed.
    pub updated: UnixSeconds,
    /// What became of it.
    pub status: TxStatus,
    /// Where people look it up.
    pub explorer_url: Option<String>,
}

impl TxRecord {
    /// `network` is `None` for one that left the registry after the transaction was sent.
    pub(crate) fn new(row: TxRow, caip2: Caip2, network: Option<&Network>) -> Self {
        Self {
            explorer_url: network.and_then(|network| network.explorer_url(row.hash)),
            network: caip2,
            hash: row.hash,
            sender: row.sender,
            nonce: row.nonce,
            recipient: row.recipient,
            value: U256::from_be_bytes(row.value.0),
            raw: row.raw,
            created: row.created,
            updated: row.updated,
            status: row.status,
        }
    }

    /// What the sender paid for gas, once it is mined and where the node tells the price.
    pub fn fee_paid(&self) -> Option<U256> {
        let (TxStatus::Mined(at) | TxStatus::Final(at)) = self.status else { return None };
        let Amount(price) = at.gas_price?;
        U256::from_be_bytes(price).checked_mul(U256::from(at.gas_used))
    }
}

/// A place in a history: the transaction above it, which its reader has seen. A running number would tell how much everybody sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub(crate) Hash32);

/// The text is no cursor of ours; the caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct BadCursor;

impl core::fmt::Display for Cursor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&hex::encode(self.0.0))
    }
}

impl core::str::FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let mut hash = Hash32([0; 32]);
        hex::decode_to_slice(text, &mut hash.0).map_err(|_| BadCursor)?;
        let cursor = Self(hash);
        if cursor.to_string() == text { Ok(cursor) } else { Err(BadCursor) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_only_as_it_was_written() {
        let text = "2a".repeat(32);
        assert_eq!(text.parse(), Ok(Cursor(Hash32([42; 32]))));
        assert_eq!(Cursor(Hash32([42; 32])).to_string(), text);
        for other in
            [String::new(), "2a".repeat(31), "2a".repeat(33), "2A".repeat(32), format!("0x{text}"), "zz".repeat(32)]
        {
            assert_eq!(other.parse::<Cursor>(), Err(BadCursor), "{other}");
        }
    }
}
