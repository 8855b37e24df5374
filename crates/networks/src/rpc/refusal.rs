//! What a node says when it refuses, and what it means.

use serde_json::Value;

use crate::abi;

/// Longest message of a node that is kept.
const MESSAGE_LEN_MAX: usize = 200;
/// Longest revert data that is kept.
const DATA_LEN_MAX: usize = 8 * 1024;

/// Text of a peer: cut, printable ASCII, still not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerText(String);

impl PeerText {
    /// Cuts a peer's text to what may be shown and logged.
    pub(crate) fn new(text: &str) -> Self {
        let shown = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
        Self(text.chars().take(MESSAGE_LEN_MAX).map(shown).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl core::fmt::Display for PeerText {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A JSON-RPC error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("code {code}: {message}")]
pub struct Refusal {
    code: i64,
    message: PeerText,
    data: Option<Vec<u8>>,
}

/// What a refusal means for a transaction. Nodes differ in words, so it is read from the words of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// The nonce was used; prepare again.
    NonceTooLow,
    /// The node has this very transaction.
    AlreadyKnown,
    /// The fee is below what the pool takes, or below the base fee; prepare again.
    Underpriced,
    /// The nonce is taken in the pool and the fee is not enough higher to replace what has it.
    ReplacementUnderpriced,
    /// The sender cannot pay for value and gas.
    InsufficientFunds,
    /// Too little gas for what it does, or more than a block holds.
    Gas,
    /// The call would revert, with the contract's reason where it gave one.
    Reverted(Option<PeerText>),
    /// The node cannot read it.
    Invalid,
    /// None of these; whether the node holds it is not known.
    Other,
}

impl Rejection {
    /// True if the node surely does not hold the transaction.
    pub const fn is_definite(&self) -> bool {
        !matches!(self, Self::AlreadyKnown | Self::Other | Self::Reverted(_))
    }
}

/// Words of go-ethereum, Erigon, Nethermind, Besu, Reth, Bor, Kaia and anvil. The first match counts, so the special
/// stands before the general.
const WORDS: &[(&str, Rejection)] = &[
    ("already known", Rejection::AlreadyKnown),
    ("already imported", Rejection::AlreadyKnown),
    ("alreadyknown", Rejection::AlreadyKnown),
    ("known transaction", Rejection::AlreadyKnown),
    ("already exists in the pool", Rejection::AlreadyKnown),
    ("replacement transaction underpriced", Rejection::ReplacementUnderpriced),
    ("replacementnotallowed", Rejection::ReplacementUnderpriced),
    ("replacement not allowed", Rejection::ReplacementUnderpriced),
    ("there is another tx which has the same nonce", Rejection::ReplacementUnderpriced),
    ("nonce too low", Rejection::NonceTooLow),
    ("oldnonce", Rejection::NonceTooLow),
    ("nonce is too low", Rejection::NonceTooLow),
    ("insufficient funds", Rejection::InsufficientFunds),
    ("insufficientfunds", Rejection::InsufficientFunds),
    ("insufficient balance", Rejection::InsufficientFunds),
    ("upfront cost exceeds", Rejection::InsufficientFunds),
    ("underpriced", Rejection::Underpriced),
    ("less than block base fee", Rejection::Underpriced),
    ("feetoolow", Rejection::Underpriced),
    ("fee too low", Rejection::Underpriced),
    ("gas price too low", Rejection::Underpriced),
    ("gas tip cap", Rejection::Underpriced),
    ("below the minimum", Rejection::Underpriced),
    ("intrinsic gas too", Rejection::Gas),
    ("intrinsic gas exceeds", Rejection::Gas),
    // EIP-7623: go-ethereum's words, and Reth's.
    ("floor data gas", Rejection::Gas),
    ("gas floor (", Rejection::Gas),
    ("exceeds block gas limit", Rejection::Gas),
    ("gas limit exceeded", Rejection::Gas),
    ("gas limit too high", Rejection::Gas),
    ("gas required exceeds", Rejection::Gas),
    ("out of gas", Rejection::Gas),
    ("exceeds the configured cap", Rejection::Invalid),
    ("max initcode size exceeded", Rejection::Invalid),
    ("oversized data", Rejection::Invalid),
    ("failed to decode", Rejection::Invalid),
    ("rlp:", Rejection::Invalid),
    ("invalid sender", Rejection::Invalid),
    ("invalid signature", Rejection::Invalid),
    ("transaction type not supported", Rejection::Invalid),
    ("invalid chain id", Rejection::Invalid),
];

impl Refusal {
    pub(crate) fn new(code: i64, message: &str, data: Option<&Value>) -> Self {
        Self { code, message: PeerText::new(message), data: data.and_then(revert_data) }
    }

    /// The JSON-RPC error code.
    pub const fn code(&self) -> i64 {
        self.code
    }

    /// The node's words.
    pub const fn message(&self) -> &PeerText {
        &self.message
    }

    /// What a call that reverted returned, as far as it is kept: the contract's bytes, which mean what the contract says.
    pub fn data(&self) -> Option<&[u8]> {
        self.data.as_deref()
    }

    /// What it means for a transaction.
    pub fn rejection(&self) -> Rejection {
        let words = self.message.as_str().to_ascii_lowercase();
        if let Some((_, rejection)) = WORDS.iter().find(|(text, _)| words.contains(text)) {
            return rejection.clone();
        }
        // Code 3 is go-ethereum's "execution reverted"; others say it in words.
        if self.code == 3 || words.contains("revert") {
            return Rejection::Reverted(self.data.as_deref().and_then(abi::revert_reason));
        }
        Rejection::Other
    }

    /// True if the node does not have the method.
    pub(crate) fn is_unknown_method(&self) -> bool {
        let words = self.message.as_str().to_ascii_lowercase();
        self.code == -32601 || words.contains("method not found") || words.contains("not available")
    }
}

fn revert_data(data: &Value) -> Option<Vec<u8>> {
    let digits = data.as_str()?.strip_prefix("0x")?;
    if digits.len() > 2 * DATA_LEN_MAX || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    alloy_primitives::hex::decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_every_known_node_are_told_apart() {
        for (message, rejection) in [
            ("nonce too low: next nonce 5, tx nonce 4", Rejection::NonceTooLow),
            ("OldNonce", Rejection::NonceTooLow),
            ("already known", Rejection::AlreadyKnown),
            ("transaction already imported", Rejection::AlreadyKnown),
            ("known transaction: 0xabc", Rejection::AlreadyKnown),
            ("replacement transaction underpriced", Rejection::ReplacementUnderpriced),
            ("there is another tx which has the same nonce in the tx pool", Rejection::ReplacementUnderpriced),
            ("transaction underpriced: tip needed 25000000000", Rejection::Underpriced),
            ("max fee per gas less than block base fee: address 0x, maxFeePerGas: 1", Rejection::Underpriced),
            ("Insufficient funds for gas * price + value", Rejection::InsufficientFunds),
            ("insufficient funds of the sender for gas * price + value", Rejection::InsufficientFunds),
            ("intrinsic gas too low", Rejection::Gas),
            ("Intrinsic gas exceeds gas limit", Rejection::Gas),
            ("insufficient gas for floor data gas cost: gas 600000, minimum needed 1221000", Rejection::Gas),
            ("gas floor (1221000) exceeds the gas limit (600000)", Rejection::Gas),
            ("exceeds block gas limit", Rejection::Gas),
            ("Failed to decode transaction", Rejection::Invalid),
            ("rlp: expected input list", Rejection::Invalid),
            ("tx fee (1.05 ether) exceeds the configured cap (1.00 ether)", Rejection::Invalid),
            ("max initcode size exceeded: code size 49153, limit 49152", Rejection::Invalid),
            ("oversized data: transaction size 131073, limit 131072", Rejection::Invalid),
            ("execution reverted", Rejection::Reverted(None)),
            ("internal error", Rejection::Other),
            ("txpool is full", Rejection::Other),
        ] {
            assert_eq!(Refusal::new(-32000, message, None).rejection(), rejection, "{message}");
        }
    }

    #[test]
    fn a_nodes_text_is_cut_and_made_plain() {
        let refusal = Refusal::new(1, &format!("\u{1b}[31m\n\u{202e}{}", "x".repeat(9999)), None);
        assert_eq!(refusal.message().as_str().len(), MESSAGE_LEN_MAX);
        assert!(refusal.message().as_str().starts_with("?[31m??x"));
    }

    #[test]
    fn the_contracts_reason_is_read_from_the_data() {
        let data = Value::from(concat!(
            "0x08c379a0",
            "0000000000000000000000000000000000000000000000000000000000000020",
            "0000000000000000000000000000000000000000000000000000000000000003",
            "6e6f210000000000000000000000000000000000000000000000000000000000",
        ));
        let refusal = Refusal::new(3, "execution reverted: no!", Some(&data));
        assert_eq!(refusal.rejection(), Rejection::Reverted(Some(PeerText::new("no!"))));
    }
}
