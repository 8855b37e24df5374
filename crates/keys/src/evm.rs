//! The EVM branch of a wallet: m/44'/60'/0'/0 and the accounts below it.

use pinseal_protocol::secret::SecretBytes;
use secp256k1::PublicKey;
use zeroize::ZeroizeOnDrop;

use crate::bip32::{ExtendedPrivate, ExtendedPublic, HARDENED};
use crate::private_key::ChildOf;
use crate::{Entropy, KeyError, RecoverableSig};

/// BIP-44 down to the change level: purpose 44', coin type 60', account 0', external chain 0.
const CHANGE_LEVEL: [u32; 4] = [HARDENED + 44, HARDENED + 60, HARDENED, 0];

/// The private key of m/44'/60'/0'/0; account n is its non-hardened child n.
#[derive(Debug)]
pub struct EvmMaster(ExtendedPrivate);

impl EvmMaster {
    /// Derives the branch, with the empty BIP-39 passphrase, as MetaMask and other wallets do.
    ///
    /// # Errors
    /// [`KeyError::Underivable`] for less than one wallet in 2^124; the caller takes fresh entropy.
    pub fn from_entropy(entropy: &Entropy) -> Result<Self, KeyError> {
        ExtendedPrivate::master(&entropy.seed(""))?.descend(&CHANGE_LEVEL).map(Self)
    }

    /// Length of [`EvmMaster::to_secret_bytes`].
    pub const SECRET_LEN: usize = 64;

    /// Private key (32 bytes), then chain code (32): what a sealed record keeps so that unlocking skips PBKDF2 and the
    /// hardened derivations.
    pub fn to_secret_bytes(&self) -> SecretBytes<{ Self::SECRET_LEN }> {
        let mut out = SecretBytes::zeroed();
        let (key, chain_code) = out.expose_secret_mut().split_at_mut(32);
        key.copy_from_slice(self.0.key().expose_secret());
        chain_code.copy_from_slice(self.0.chain_code());
        out
    }

    /// The inverse of [`EvmMaster::to_secret_bytes`]; `None` if the first 32 bytes are no private key.
    pub fn from_secret_bytes(bytes: &[u8; Self::SECRET_LEN]) -> Option<Self> {
        ExtendedPrivate::from_parts(bytes.first_chunk()?, bytes.last_chunk()?).map(Self)
    }

    /// What is needed to list the accounts' addresses without a secret.
    pub fn account_public(&self) -> AccountPublic {
        AccountPublic(self.0.public())
    }

    /// Signs `digest` with the key of account `n`: RFC 6979, low s. `public` is this branch's public half as it is kept; the
    /// signature leaves only if it verifies under the account's key derived from there, so a miscalculation on the private side does
    /// not check itself.
    ///
    /// # Errors
    /// [`KeyError::IndexOutOfRange`] for n from 2^31 on; [`KeyError::Underivable`] for one n in 2^127, which
    /// [`AccountPublic::child`] refuses as well; [`KeyError::Fault`] if the machine miscalculated or `public` is another branch's.
    pub fn sign(&self, n: u32, digest: &[u8; 32], public: &AccountPublic) -> Result<RecoverableSig, KeyError> {
        let tweak = public.0.child_tweak(n)?;
        self.0
            .key()
            .add(&tweak)
            .ok_or(KeyError::Underivable)?
            .sign(digest, &ChildOf { parent: public.0.key(), tweak: &tweak })
    }
}

impl ZeroizeOnDrop for EvmMaster {}

/// Public key and chain code of m/44'/60'/0'/0. No secret, but it links the accounts of one wallet; and with the private key of
/// any one account it gives away all of them (see [`ExtendedPublic`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountPublic(ExtendedPublic);

impl AccountPublic {
    /// Length of [`AccountPublic::to_bytes`].
    pub const LEN: usize = 65;

    /// The public key of account `n`.
    ///
    /// # Errors
    /// As for [`ExtendedPublic::child`].
    pub fn child(&self, n: u32) -> Result<PublicKey, KeyError> {
        Ok(*self.0.child(n)?.key())
    }

    /// Compressed public key (33 bytes), then chain code (32).
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let (key, chain_code) = out.split_at_mut(33);
        key.copy_from_slice(&self.0.key().serialize());
        chain_code.copy_from_slice(self.0.chain_code());
        out
    }

    /// The inverse of [`AccountPublic::to_bytes`]; `None` if the first 33 bytes are no point of the curve.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let (key, chain_code) = bytes.split_first_chunk::<33>()?;
        let key = PublicKey::from_byte_array_compressed(*key).ok()?;
        Some(Self(ExtendedPublic::new(key, chain_code.try_into().ok()?)))
    }
}
