//! Randomness that is the same every time: an input that fails once fails always.

use core::convert::Infallible;

use pinseal_enclave::{Environment, LockedBytes, Passphrase};
use pinseal_protocol::kdf;
use pinseal_protocol::pin::Argon2Parameters;
use pinseal_protocol::secret::SecretBytes;
use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// SHA-256 in counter mode over a seed.
pub struct Randomness {
    seed: u64,
    counter: u64,
}

impl Randomness {
    /// From this seed on.
    pub const fn new(seed: u64) -> Self {
        Self { seed, counter: 0 }
    }

    /// The next 32 bytes.
    pub fn block(&mut self) -> [u8; 32] {
        self.counter += 1;
        let hash = Sha256::new().chain_update(self.seed.to_be_bytes()).chain_update(self.counter.to_be_bytes());
        hash.finalize().into()
    }

    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let block = self.block();
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

impl Environment for Randomness {
    fn fill_random(&mut self, out: &mut [u8]) {
        self.fill(out);
    }

    fn fill_second_random(&mut self, out: &mut [u8]) {
        self.fill(out);
    }

    fn lock(&mut self, secret: Zeroizing<Vec<u8>>) -> LockedBytes {
        Box::new(Zeroizing::new(secret.to_vec()))
    }

    /// A hash in Argon2id's place: a boot then takes less than a millisecond. Impossible costs stay impossible.
    fn stretch(&mut self, _: &Passphrase, salt: &[u8; 32], cost: &Argon2Parameters) -> Option<SecretBytes<32>> {
        let Argon2Parameters { memory_kib, passes, lanes } = *cost;
        let possible = passes > 0 && lanes > 0 && memory_kib >= lanes.saturating_mul(8);
        let parts = [memory_kib, passes, lanes].map(u32::to_be_bytes);
        possible.then(|| SecretBytes::take(&mut kdf::hash("fuzz stretch", &[salt, &parts[0], &parts[1], &parts[2]]).0))
    }
}

impl TryRng for Randomness {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut out = [0; 4];
        self.fill(&mut out);
        Ok(u32::from_le_bytes(out))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut out = [0; 8];
        self.fill(&mut out);
        Ok(u64::from_le_bytes(out))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Randomness {}
