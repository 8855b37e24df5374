//! What the enclave gets from the process around it.

use pinseal_protocol::pin::Argon2Parameters;
use pinseal_protocol::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::passphrase::Passphrase;

/// Bytes in memory that is never swapped or dumped, where the process can arrange it; zeroed on drop.
pub type LockedBytes = Box<dyn AsRef<[u8]> + Send>;

/// Randomness and locked memory. A deterministic one makes the whole enclave deterministic.
pub trait Environment {
    /// Fills `out` from the TEE's own source (RDRAND-backed kernel pool in software mode, NSM in Nitro).
    fn fill_random(&mut self, out: &mut [u8]);

    /// Fills `out` from a second source that is mixed into new seeds.
    fn fill_second_random(&mut self, out: &mut [u8]);

    /// Moves long-lived key material into locked memory.
    fn lock(&mut self, secret: Zeroizing<Vec<u8>>) -> LockedBytes;

    /// The key a root file is sealed under: Argon2id of the passphrase, `None` if the cost is impossible. No process answers
    /// otherwise; a harness that boots a thousand times a second does.
    fn stretch(
        &mut self,
        passphrase: &Passphrase,
        salt: &[u8; 32],
        cost: &Argon2Parameters,
    ) -> Option<SecretBytes<32>> {
        passphrase.stretch(salt, cost)
    }
}

/// Fixed-size randomness.
pub(crate) fn random<const N: usize>(environment: &mut dyn Environment) -> [u8; N] {
    let mut out = [0; N];
    environment.fill_random(&mut out);
    out
}

/// Fixed-size secret randomness.
pub(crate) fn secret_random<const N: usize>(environment: &mut dyn Environment) -> SecretBytes<N> {
    let mut out = SecretBytes::zeroed();
    environment.fill_random(out.expose_secret_mut());
    out
}
