//! Chance and passphrases of a test.

use pinseal_enclave::{Environment, LockedBytes, Passphrase};
use pinseal_protocol::pin::Argon2Parameters;
use pinseal_protocol::secret::SecretBytes;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// SHA-256 in counter mode: the same seed gives the same enclave.
pub struct Randomness {
    seed: u64,
    counter: u64,
    /// Everything handed out, in order.
    pub given: Vec<Vec<u8>>,
    /// Passphrases cost what they cost; else next to nothing, since a test boots many times.
    full_cost: bool,
}

impl Randomness {
    pub fn new(seed: u64) -> Self {
        Self::with_cost(seed, false)
    }

    pub fn with_cost(seed: u64, full_cost: bool) -> Self {
        Self { seed, counter: 0, given: Vec::new(), full_cost }
    }
}

impl Environment for Randomness {
    fn fill_random(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            self.counter += 1;
            let block =
                Sha256::new().chain_update(self.seed.to_be_bytes()).chain_update(self.counter.to_be_bytes()).finalize();
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        self.given.push(out.to_vec());
    }

    fn fill_second_random(&mut self, out: &mut [u8]) {
        self.fill_random(out);
    }

    fn stretch(
        &mut self,
        passphrase: &Passphrase,
        salt: &[u8; 32],
        cost: &Argon2Parameters,
    ) -> Option<SecretBytes<32>> {
        let least = Argon2Parameters { memory_kib: 8, passes: 1, lanes: 1 };
        passphrase.stretch(salt, if self.full_cost { cost } else { &least })
    }

    fn lock(&mut self, secret: Zeroizing<Vec<u8>>) -> LockedBytes {
        struct Plain(Zeroizing<Vec<u8>>);
        impl AsRef<[u8]> for Plain {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Box::new(Plain(secret))
    }
}
