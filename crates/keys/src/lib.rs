//! Secret types, BIP-39 and BIP-32 derivation and signing. No I/O; used inside the enclave and by offline recovery only.
//!
//! Every secret type here has a redacted `Debug`, no `Clone`, `Display` or `Serialize`, lies on the heap (a move copies a
//! pointer, not the secret) and is zeroized on drop.
//!
//! What this does not reach: `secp256k1::SecretKey` and `Scalar` are `Copy` and pass by value, and the hash states of HMAC
//! and PBKDF2 live on the stack. Our own copies are erased as soon as they were used, but registers and dead stack slots
//! keep remainders until they are overwritten; the enclave process is therefore not dumpable and has no swap or core file.

pub mod bip32;
mod entropy;
mod evm;
mod private_key;

pub use entropy::{Entropy, Phrase, PhraseError, Seed, WordCount};
pub use evm::{AccountPublic, EvmMaster};
pub use pinseal_chains::evm::RecoverableSig;
pub use private_key::PrivateKey;

/// Why a key could not be derived or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// This child does not exist (BIP-32: probability below 2^-127). The caller takes the next index, or fresh entropy.
    #[error("no key exists at this place of the derivation tree")]
    Underivable,
    /// A hardened index where only a non-hardened one has a public derivation. The caller's fault.
    #[error("child index is not below 2^31")]
    IndexOutOfRange,
    /// The signature did not verify under its own key: the machine miscalculated. Nothing leaves; the caller stops serving.
    #[error("a signature failed its own verification")]
    Fault,
}
