//! A recoverable ECDSA signature as the EVM wants it.

use alloy_primitives::{U256, uint};
use pinseal_protocol::intent::EvmAddress;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey};

use super::rlp::{Items, List, RlpError};

/// The order n of secp256k1.
const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
/// n / 2, rounded down: the largest s that EIP-2 allows.
const S_MAX: U256 = uint!(0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0_U256);

/// r in 1..n, s in 1..=n/2 and the parity of the nonce point's y.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecoverableSig {
    r: U256,
    s: U256,
    y_parity: bool,
}

impl RecoverableSig {
    /// From big-endian scalars; `None` if one is out of range or s is high.
    pub fn new(r: [u8; 32], s: [u8; 32], y_parity: bool) -> Option<Self> {
        Self::from_scalars(U256::from_be_bytes(r), U256::from_be_bytes(s), y_parity)
    }

    /// From `r || s` and libsecp256k1's recovery id. `None` as for [`RecoverableSig::new`], and for ids 2 and 3 (r beyond n,
    /// probability below 2^-127), which the EVM cannot express.
    pub fn from_compact(compact: &[u8; 64], recovery_id: u8) -> Option<Self> {
        let (r, s) = compact.split_first_chunk::<32>()?;
        let y_parity = match recovery_id {
            0 => false,
            1 => true,
            _ => return None,
        };
        Self::new(*r, s.try_into().ok()?, y_parity)
    }

    /// From `r || s || v` with v 27 or 28.
    pub fn from_bytes(bytes: &[u8; 65]) -> Option<Self> {
        let (compact, v) = bytes.split_first_chunk::<64>()?;
        Self::from_compact(compact, v.first()?.checked_sub(27)?)
    }

    pub(super) fn from_scalars(r: U256, s: U256, y_parity: bool) -> Option<Self> {
        let in_range = !r.is_zero() && r < ORDER && !s.is_zero() && s <= S_MAX;
        in_range.then_some(Self { r, s, y_parity })
    }

    /// r, big-endian.
    pub const fn r(&self) -> [u8; 32] {
        self.r.to_be_bytes()
    }

    /// s, big-endian.
    pub const fn s(&self) -> [u8; 32] {
        self.s.to_be_bytes()
    }

    /// Whether y of the nonce point is odd.
    pub const fn y_parity(&self) -> bool {
        self.y_parity
    }

    /// `r || s || v` with v 27 or 28, as wallets return signatures over messages.
    pub fn to_bytes(&self) -> [u8; 65] {
        let mut out = [0; 65];
        let (r, rest) = out.split_at_mut(32);
        let (s, v) = rest.split_at_mut(32);
        r.copy_from_slice(&self.r());
        s.copy_from_slice(&self.s());
        v.fill(27 + u8::from(self.y_parity));
        out
    }

    /// The public key that made this signature over `digest`, if there is one.
    pub fn recover(&self, digest: &[u8; 32]) -> Option<PublicKey> {
        let id = if self.y_parity { RecoveryId::One } else { RecoveryId::Zero };
        let [compact @ .., _v] = self.to_bytes();
        RecoverableSignature::from_compact(&compact, id).ok()?.recover(Message::from_digest(*digest)).ok()
    }

    /// The address of [`RecoverableSig::recover`].
    pub fn recover_address(&self, digest: &[u8; 32]) -> Option<EvmAddress> {
        self.recover(digest).map(|key| super::address(&key))
    }

    /// Appends r and s to an RLP list.
    pub(super) fn append_scalars(&self, list: List) -> List {
        list.u256(self.r).u256(self.s)
    }

    /// Reads r and s; the inner `None` means that they are out of range.
    pub(super) fn read_scalars(items: &mut Items<'_>, y_parity: bool) -> Result<Option<Self>, RlpError> {
        let (r, s) = (items.u256()?, items.u256()?);
        Ok(Self::from_scalars(r, s, y_parity))
    }
}
