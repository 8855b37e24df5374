//! The operators' passphrase, under which the root is sealed in software mode.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use pinseal_protocol::pin::Argon2Parameters;
use pinseal_protocol::secret::SecretBytes;
use zeroize::Zeroizing;

/// A passphrase, zeroed on drop.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Longest passphrase read, in bytes.
    pub const BYTES_MAX: usize = 1_024;

    /// Takes the bytes as the operator gave them.
    pub const fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// Argon2id of the passphrase; `None` if the parameters are impossible.
    pub fn stretch(&self, salt: &[u8; 32], parameters: &Argon2Parameters) -> Option<SecretBytes<32>> {
        let params = Params::new(parameters.memory_kib, parameters.passes, parameters.lanes, Some(32)).ok()?;
        // Memory of our own: the last blocks give the result away, and the library leaves them as they are.
        let mut blocks = Zeroizing::new(Vec::new());
        blocks.try_reserve_exact(params.block_count()).ok()?;
        blocks.resize(params.block_count(), Block::default());
        let mut out = SecretBytes::<32>::zeroed();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(&self.0, salt, out.expose_secret_mut(), blocks.as_mut_slice())
            .ok()?;
        Some(out)
    }
}

impl core::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Passphrase(..)")
    }
}
