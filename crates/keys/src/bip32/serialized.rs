//! The Base58Check form of extended keys (`xprv`, `xpub`), read only: for import and for comparison with other wallets.

use pinseal_protocol::secret::SecretBytes;
use secp256k1::PublicKey;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{ExtendedPrivate, ExtendedPublic};
use crate::private_key::PrivateKey;

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// Version, depth, fingerprint, number, chain code and key.
const PAYLOAD_LEN: usize = 78;
const CHECKSUM_LEN: usize = 4;
/// Every extended key of the main network has this many characters.
const TEXT_LEN: usize = 111;
const VERSION_PRIVATE: [u8; 4] = [0x04, 0x88, 0xad, 0xe4];
const VERSION_PUBLIC: [u8; 4] = [0x04, 0x88, 0xb2, 0x1e];

/// Why a text is not an extended key. The text never holds a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExtendedKeyError {
    /// Not Base58, or of another length.
    #[error("not an extended key")]
    Malformed,
    /// A mistyped character.
    #[error("the checksum does not match")]
    WrongChecksum,
    /// Another network, or a public key where a private one is wanted.
    #[error("not the wanted kind of extended key")]
    WrongVersion,
    /// Depth zero with a parent or a number.
    #[error("a master key with a parent")]
    OrphanWithParent,
    /// Not a key of the curve.
    #[error("the key is not a valid one")]
    InvalidKey,
}

/// Where an extended key says it stands in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Steps below the master key.
    pub depth: u8,
    /// First four bytes of HASH160 of the parent's public key.
    pub parent_fingerprint: [u8; 4],
    /// The child's index in its parent.
    pub number: u32,
}

impl ExtendedPrivate {
    /// Reads an `xprv` of the main network.
    ///
    /// # Errors
    /// [`ExtendedKeyError`]; the person who typed it can put it right.
    pub fn from_xprv(text: &str) -> Result<(Self, Position), ExtendedKeyError> {
        let payload = decode_check(text)?;
        let (position, chain_code, key) = split(&payload, VERSION_PRIVATE)?;
        let (0, key) = key.split_first().map(|(first, rest)| (*first, rest)).ok_or(ExtendedKeyError::Malformed)? else {
            return Err(ExtendedKeyError::InvalidKey);
        };
        let key = SecretBytes::from_slice(key).and_then(PrivateKey::new).ok_or(ExtendedKeyError::InvalidKey)?;
        let chain_code = SecretBytes::from_slice(chain_code).ok_or(ExtendedKeyError::Malformed)?;
        Ok((Self { key, chain_code }, position))
    }
}

impl ExtendedPublic {
    /// Reads an `xpub` of the main network.
    ///
    /// # Errors
    /// [`ExtendedKeyError`]; the person who typed it can put it right.
    pub fn from_xpub(text: &str) -> Result<(Self, Position), ExtendedKeyError> {
        let payload = decode_check(text)?;
        let (position, chain_code, key) = split(&payload, VERSION_PUBLIC)?;
        let key: [u8; 33] = key.try_into().map_err(|_| ExtendedKeyError::Malformed)?;
        let key = PublicKey::from_byte_array_compressed(key).map_err(|_| ExtendedKeyError::InvalidKey)?;
        let chain_code = chain_code.try_into().map_err(|_| ExtendedKeyError::Malformed)?;
        Ok((Self { key, chain_code }, position))
    }
}

/// Position, chain code (32 bytes) and key (33 bytes) of a payload of the wanted version.
fn split(payload: &[u8; PAYLOAD_LEN], version: [u8; 4]) -> Result<(Position, &[u8], &[u8]), ExtendedKeyError> {
    let (head, rest) = payload.split_at(13);
    let (chain_code, key) = rest.split_at(32);
    let [v0, v1, v2, v3, depth, p0, p1, p2, p3, n0, n1, n2, n3] = *head else {
        return Err(ExtendedKeyError::Malformed);
    };
    if [v0, v1, v2, v3] != version {
        return Err(ExtendedKeyError::WrongVersion);
    }
    let number = u32::from_be_bytes([n0, n1, n2, n3]);
    let position = Position { depth, parent_fingerprint: [p0, p1, p2, p3], number };
    if depth == 0 && (position.parent_fingerprint != [0; 4] || number != 0) {
        return Err(ExtendedKeyError::OrphanWithParent);
    }
    Ok((position, chain_code, key))
}

/// Base58Check of exactly one extended key.
fn decode_check(text: &str) -> Result<Zeroizing<[u8; PAYLOAD_LEN]>, ExtendedKeyError> {
    if text.len() != TEXT_LEN {
        return Err(ExtendedKeyError::Malformed);
    }
    let mut bytes = Zeroizing::new([0_u8; PAYLOAD_LEN + CHECKSUM_LEN]);
    for character in text.bytes() {
        let digit = ALPHABET.iter().position(|c| *c == character).ok_or(ExtendedKeyError::Malformed)?;
        let mut carry = u32::try_from(digit).map_err(|_| ExtendedKeyError::Malformed)?;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 58;
            let [.., low] = carry.to_be_bytes();
            *byte = low;
            carry >>= 8;
        }
        if carry != 0 {
            return Err(ExtendedKeyError::Malformed);
        }
    }
    let (payload, checksum) = bytes.split_at(PAYLOAD_LEN);
    let digest = Sha256::digest(Sha256::digest(payload));
    if !digest.as_slice().starts_with(checksum) {
        return Err(ExtendedKeyError::WrongChecksum);
    }
    let mut out = Zeroizing::new([0_u8; PAYLOAD_LEN]);
    out.copy_from_slice(payload);
    Ok(out)
}
