//! BIP-39: entropy, its words, and the seed.

use core::fmt;

use bip39::{Language, Mnemonic};
use hkdf::Hkdf;
use pinseal_protocol::secret::SecretBytes;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Domain separation of [`Entropy::mix`].
const MIX_SALT: &[u8] = b"pinseal/entropy/v1";
/// The longest phrase: 24 words of at most 8 letters and 23 spaces. Reserved at once, so that no reallocation leaves a copy.
const PHRASE_LEN_MAX: usize = 24 * 8 + 23;
const ENTROPY_LEN_MAX: usize = 32;

/// How many words a phrase has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WordCount {
    /// 128 bits.
    Twelve,
    /// 256 bits.
    TwentyFour,
}

impl WordCount {
    /// Bytes of entropy behind the words.
    pub const fn entropy_len(self) -> usize {
        match self {
            Self::Twelve => 16,
            Self::TwentyFour => 32,
        }
    }

    const fn mix_info(self) -> &'static [u8] {
        match self {
            Self::Twelve => b"bip39 12 words",
            Self::TwentyFour => b"bip39 24 words",
        }
    }
}

/// BIP-39 entropy of 16 or 32 bytes: the one secret from which every key of a wallet follows.
pub struct Entropy {
    words: WordCount,
    /// Zero beyond the length that `words` implies.
    bytes: SecretBytes<ENTROPY_LEN_MAX>,
}

impl Entropy {
    /// From exactly 16 or 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let words = match bytes.len() {
            16 => WordCount::Twelve,
            32 => WordCount::TwentyFour,
            _ => return None,
        };
        let mut entropy = Self { words, bytes: SecretBytes::zeroed() };
        entropy.fill().copy_from_slice(bytes);
        Some(entropy)
    }

    /// Fresh entropy out of two sources: as strong as the better one, whatever the other delivers.
    ///
    /// HKDF-SHA256 with `ikm = tee || system`, `salt = "pinseal/entropy/v1"` and the word count as `info`.
    pub fn mix(tee: &[u8; 32], system: &[u8; 32], words: WordCount) -> Self {
        let mut ikm = Zeroizing::new([0_u8; 64]);
        let (first, second) = ikm.split_at_mut(32);
        first.copy_from_slice(tee);
        second.copy_from_slice(system);
        let hkdf = Hkdf::<Sha256>::new(Some(MIX_SALT), ikm.as_slice());
        let mut entropy = Self { words, bytes: SecretBytes::zeroed() };
        hkdf.expand(words.mix_info(), entropy.fill()).expect("32 bytes are below 255 blocks of SHA-256");
        entropy
    }

    /// From a phrase of 12 or 24 English words with a right checksum.
    ///
    /// # Errors
    /// [`PhraseError`]: what the person who typed it can put right.
    pub fn from_phrase(phrase: &str) -> Result<Self, PhraseError> {
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, phrase).map_err(|error| match error {
            bip39::Error::UnknownWord(index) => PhraseError::UnknownWord(index),
            bip39::Error::InvalidChecksum => PhraseError::WrongChecksum,
            _ => PhraseError::WrongWordCount,
        })?;
        let (mut bytes, len) = mnemonic.to_entropy_array();
        let entropy = bytes.get(..len).and_then(Self::from_bytes);
        bytes.zeroize();
        entropy.ok_or(PhraseError::WrongWordCount)
    }

    /// How many words [`Entropy::phrase`] has.
    pub const fn word_count(&self) -> WordCount {
        self.words
    }

    /// The 16 or 32 bytes.
    pub fn expose_secret(&self) -> &[u8] {
        let bytes: &[u8] = self.bytes.expose_secret();
        bytes.get(..self.words.entropy_len()).unwrap_or(bytes)
    }

    /// The words, in English, separated by one space.
    pub fn phrase(&self) -> Phrase {
        let mut phrase = Zeroizing::new(String::with_capacity(PHRASE_LEN_MAX));
        for (index, word) in self.mnemonic().words().enumerate() {
            if index > 0 {
                phrase.push(' ');
            }
            phrase.push_str(word);
        }
        Phrase(phrase)
    }

    /// The BIP-39 seed; the passphrase is ASCII (or in NFKD already) and empty for every wallet of Pinseal.
    pub fn seed(&self, passphrase: &str) -> Seed {
        Seed(SecretBytes::take(&mut self.mnemonic().to_seed_normalized(passphrase)))
    }

    fn mnemonic(&self) -> Mnemonic {
        Mnemonic::from_entropy_in(Language::English, self.expose_secret()).expect("16 and 32 bytes are BIP-39 lengths")
    }

    fn fill(&mut self) -> &mut [u8] {
        let (used, _) = self.bytes.expose_secret_mut().split_at_mut(self.words.entropy_len());
        used
    }
}

impl ConstantTimeEq for Entropy {
    /// The length is public, the bytes are compared in constant time.
    fn ct_eq(&self, other: &Self) -> Choice {
        self.expose_secret().ct_eq(other.expose_secret())
    }
}

impl ZeroizeOnDrop for Entropy {}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy([redacted])")
    }
}

/// The words of a wallet, for its owner's eyes.
pub struct Phrase(Zeroizing<String>);

impl Phrase {
    /// The words, separated by one space.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl ZeroizeOnDrop for Phrase {}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase([redacted])")
    }
}

/// The 64-byte BIP-39 seed.
#[derive(Debug)]
pub struct Seed(SecretBytes<64>);

impl Seed {
    /// The 64 bytes.
    pub fn expose_secret(&self) -> &[u8; 64] {
        self.0.expose_secret()
    }
}

impl ZeroizeOnDrop for Seed {}

/// Why a phrase is refused. The text never holds a word of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Not 12 or 24 words.
    #[error("a phrase has 12 or 24 words")]
    WrongWordCount,
    /// The word at this place (from 0) is not in the English list.
    #[error("word {} is not in the word list", .0 + 1)]
    UnknownWord(usize),
    /// All words exist, but not in this order: a word was swapped or mistaken.
    #[error("the words do not belong together")]
    WrongChecksum,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn the_longest_phrase_never_outgrows_what_was_reserved_for_it() {
        // 23 times "abstract", word 7 of the list and of the longest, then what checksum and three bits make.
        let mut bytes = [0_u8; 32];
        for bit in (0..23).flat_map(|word| (8..11).map(move |bit| word * 11 + bit)) {
            *bytes.get_mut(bit / 8).unwrap() |= 0x80 >> (bit % 8);
        }
        let phrase = Entropy::from_bytes(&bytes).unwrap().phrase();
        assert!(phrase.expose_secret().starts_with(&"abstract ".repeat(23)), "a phrase of no wallet");
        assert_eq!(phrase.0.capacity(), PHRASE_LEN_MAX, "it grew, and left a copy behind");
        assert!((phrase.0.len()..phrase.0.len() + 8).contains(&PHRASE_LEN_MAX), "the bound is the longest phrase's");
    }
}
