//! The little of the contract ABI that balances need, decoded as if the contract were hostile.

use alloy_primitives::U256;
use pinseal_protocol::intent::EvmAddress;

use crate::rpc::PeerText;

/// Longest token symbol people are shown.
pub const SYMBOL_CHARS_MAX: usize = 32;
/// Most decimals of a token: 10^77 is the largest power of ten in 256 bits.
pub const DECIMALS_MAX: u8 = 77;
/// Longest reason of a reverted call that is read.
const REASON_LEN_MAX: usize = 1024;
/// Length of an ABI word.
const WORD: usize = 32;

/// `balanceOf(address)`.
pub fn balance_of(address: EvmAddress) -> Vec<u8> {
    let mut call = vec![0x70, 0xa0, 0x82, 0x31];
    call.extend_from_slice(&[0; WORD - EvmAddress::LEN]);
    call.extend_from_slice(address.as_bytes());
    call
}

/// `decimals()`.
pub const DECIMALS: [u8; 4] = [0x31, 0x3c, 0xe5, 0x67];
/// `symbol()`.
pub const SYMBOL: [u8; 4] = [0x95, 0xd8, 0x9b, 0x41];
/// `Error(string)`, which Solidity reverts with.
const ERROR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];

/// Exactly one word as a number.
pub fn uint256(reply: &[u8]) -> Option<U256> {
    <[u8; WORD]>::try_from(reply).ok().map(U256::from_be_bytes)
}

/// Exactly one word as a number of decimals, at most [`DECIMALS_MAX`].
pub fn decimals(reply: &[u8]) -> Option<u8> {
    u8::try_from(uint256(reply)?).ok().filter(|decimals| *decimals <= DECIMALS_MAX)
}

/// A token symbol: an ABI string, or a zero-padded word as early tokens have it. Refused unless it is printable ASCII
/// and a few currency signs: look-alike, invisible and direction-turning characters would let a token pass as another.
pub fn symbol(reply: &[u8]) -> Option<String> {
    let bytes = match <&[u8; WORD]>::try_from(reply) {
        Ok(word) => unpadded(word)?,
        Err(_) => string(reply, SYMBOL_CHARS_MAX * 4)?,
    };
    let text = core::str::from_utf8(bytes).ok()?;
    let is_shown = |c: char| c == ' ' || c.is_ascii_graphic() || matches!(c, '₮' | '€' | '₿');
    let fits = !text.is_empty() && text.trim() == text && text.chars().count() <= SYMBOL_CHARS_MAX;
    (fits && text.chars().all(is_shown)).then(|| text.to_owned())
}

/// The text of `Error(string)`.
pub(crate) fn revert_reason(data: &[u8]) -> Option<PeerText> {
    let reply = data.strip_prefix(ERROR.as_slice())?;
    core::str::from_utf8(string(reply, REASON_LEN_MAX)?).ok().map(PeerText::new)
}

/// The one dynamic string of a reply in its canonical encoding: offset 32, length, bytes, zero padding, nothing else.
fn string(reply: &[u8], len_max: usize) -> Option<&[u8]> {
    let (offset, rest) = reply.split_at_checked(WORD)?;
    let (len, tail) = rest.split_at_checked(WORD)?;
    if uint256(offset)? != U256::from(WORD) {
        return None;
    }
    let len = usize::try_from(uint256(len)?).ok().filter(|len| *len <= len_max)?;
    let (text, padding) = tail.split_at_checked(len)?;
    let is_padded = tail.len() == len.next_multiple_of(WORD) && padding.iter().all(|byte| *byte == 0);
    is_padded.then_some(text)
}

fn unpadded(word: &[u8; WORD]) -> Option<&[u8]> {
    let end = word.iter().position(|byte| *byte == 0).unwrap_or(WORD);
    let (text, padding) = word.split_at_checked(end)?;
    padding.iter().all(|byte| *byte == 0).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(low: u8) -> Vec<u8> {
        let mut word = vec![0; 32];
        word[31] = low;
        word
    }

    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = word(32);
        out.extend(word(u8::try_from(text.len()).unwrap_or(u8::MAX)));
        out.extend(text);
        out.resize(64 + text.len().next_multiple_of(32), 0);
        out
    }

    #[test]
    fn honest_replies_are_read() {
        assert_eq!(uint256(&[0xff; 32]), Some(U256::MAX));
        assert_eq!(decimals(&word(18)), Some(18));
        assert_eq!(symbol(&encoded(b"USDC")), Some("USDC".into()));
        assert_eq!(symbol(&encoded("USD₮0".as_bytes())), Some("USD₮0".into()));
        let mut maker = b"MKR".to_vec();
        maker.resize(32, 0);
        assert_eq!(symbol(&maker), Some("MKR".into()));
    }

    #[test]
    fn hostile_replies_are_refused() {
        for reply in [vec![], vec![0; 31], vec![0; 33], vec![0; 64]] {
            assert_eq!(uint256(&reply), None);
        }
        assert_eq!(decimals(&word(78)), None);
        assert_eq!(decimals(&[0xff; 32]), None);
        for text in
            ["", " USDC", "US\u{202e}DC", "US\u{200b}DC", "\u{3164}", "USD\u{0421}", "US\nDC", "US\u{0}DC", "\u{1b}[2J"]
        {
            assert_eq!(symbol(&encoded(text.as_bytes())), None, "{text:?}");
        }
        assert_eq!(symbol(&encoded(&[b'A'; 33])), None);
        assert_eq!(symbol(&encoded(&[0xff, 0xfe])), None);
        assert_eq!(symbol(&[0; 32]), None);
        assert_eq!(symbol(&[]), None);
    }

    #[test]
    fn strings_have_one_encoding() {
        let good = encoded(b"USDC");
        for (index, value) in [(31, 64), (0, 1), (63, 5), (63, 200), (32, 1), (95, 1)] {
            let mut bad = good.clone();
            bad[index] = value;
            if (index, value) == (63, 5) {
                // One byte more of the padding counts as text, which then has a control character.
                assert_eq!(symbol(&bad), None);
            } else {
                assert_eq!(string(&bad, 128), None, "{index}");
            }
        }
        assert_eq!(string(&[good.as_slice(), &[0; 32]].concat(), 128), None);
        assert_eq!(string(&good[..95], 128), None);
    }
}
