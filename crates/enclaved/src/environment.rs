//! What the state machine gets from this process: randomness and locked memory.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use pinseal_enclave::{Environment, LockedBytes};
use zeroize::Zeroizing;

use crate::journal::{self, Level};

/// The environment of a plain process.
///
/// Its first source is the kernel's pool, which mixes in the processor's generator. Its second is the generator of AWS-LC (CTR-DRBG,
/// with its own seeding), so that a seed is sound while either of the two is.
#[derive(Debug)]
pub(crate) struct ProcessEnvironment {
    generator: SystemRandom,
}

impl ProcessEnvironment {
    /// Starts the generator. Call while files can be opened: the library looks at the processor once, and its generator's first use
    /// looks for files that tell of a cloned machine.
    pub(crate) fn start() -> Self {
        let mut environment = Self { generator: SystemRandom::new() };
        environment.fill_second_random(&mut [0; 32]);
        let _ = digest(&SHA256, b"");
        environment
    }
}

impl Environment for ProcessEnvironment {
    fn fill_random(&mut self, out: &mut [u8]) {
        if getrandom::fill(out).is_err() {
            stop();
        }
    }

    fn fill_second_random(&mut self, out: &mut [u8]) {
        if self.generator.fill(out).is_err() {
            stop();
        }
    }

    /// The allocator puts small blocks into the locked arena; a copy of the exact size makes sure that this is one.
    fn lock(&mut self, secret: Zeroizing<Vec<u8>>) -> LockedBytes {
        Box::new(Zeroizing::new(secret.to_vec()))
    }
}

/// A key made of zeros would be worse than no enclave.
fn stop() -> ! {
    journal::write(Level::Error, "no_randomness", &[]);
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use pinseal_enclave::Passphrase;
    use pinseal_protocol::pin::Argon2Parameters;

    use super::*;

    #[test]
    fn the_process_stretches_the_passphrase_with_argon2id_at_the_cost_of_the_root_file() {
        let passphrase = Passphrase::new(Zeroizing::new(b"correct horse battery staple".to_vec()));
        let cost = Argon2Parameters { memory_kib: 64, passes: 2, lanes: 1 };
        let stretched = ProcessEnvironment::start().stretch(&passphrase, &[7; 32], &cost);
        let stretched = stretched.expect("the cost is possible");
        let again = |cost| passphrase.stretch(&[7; 32], &cost).expect("the cost is possible");
        let alike = |cost| again(cost).expose_secret() == stretched.expose_secret();
        assert!(alike(cost));
        let dearer = Argon2Parameters { passes: 3, ..cost };
        assert!(!alike(dearer));
    }
}
