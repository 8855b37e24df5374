//! The PIN factor S = Argon2id(PIN) and the parameters a client computes it with.

use minicbor::{Decode, Encode};
use zeroize::ZeroizeOnDrop;

use crate::ids::{DeploymentId, Hash32, UserIdHash};
use crate::kdf;
use crate::secret::SecretBytes;

/// Least memory a client may be asked to use (OWASP's floor for t = 2).
pub const MEMORY_KIB_MIN: u32 = 19 * 1024;
/// Most memory a client lets itself be asked for.
pub const MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Fewest passes.
pub const PASSES_MIN: u32 = 2;
/// Most passes.
pub const PASSES_MAX: u32 = 16;
/// Most lanes.
pub const LANES_MAX: u32 = 4;

/// Argon2id version 0x13 (RFC 9106): a client refuses anything below its floor, whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Argon2Parameters {
    /// m, in KiB.
    #[n(0)]
    pub memory_kib: u32,
    /// t.
    #[n(1)]
    pub passes: u32,
    /// p.
    #[n(2)]
    pub lanes: u32,
}

impl Argon2Parameters {
    /// 64 MiB, three passes, one lane.
    pub const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

    /// Neither below the floor nor beyond what a phone can do.
    pub fn is_acceptable(&self) -> bool {
        (MEMORY_KIB_MIN..=MEMORY_KIB_MAX).contains(&self.memory_kib)
            && (PASSES_MIN..=PASSES_MAX).contains(&self.passes)
            && (1..=LANES_MAX).contains(&self.lanes)
    }
}

crate::ids::byte_newtype! {
    /// Random salt of one PIN's life.
    PinSalt, 16
}

/// What a client needs to turn one PIN into its factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PinParameters {
    /// Salt, mixed with deployment and wallet by [`PinParameters::argon2_salt`].
    #[n(0)]
    pub salt: PinSalt,
    /// Cost.
    #[n(1)]
    pub argon2: Argon2Parameters,
}

impl PinParameters {
    /// The salt given to Argon2id: H(deployment, uid_h, salt).
    pub fn argon2_salt(&self, deployment: &DeploymentId, wallet: &UserIdHash) -> Hash32 {
        kdf::hash("pinseal pin salt v1", &[&deployment.0, &wallet.0, &self.salt.0])
    }
}

/// S, 32 bytes. Exists in the client and, opened from the envelope, in the enclave.
#[derive(Encode, Decode)]
#[cbor(transparent)]
pub struct PinFactor(#[n(0)] SecretBytes<32>);

impl PinFactor {
    /// Takes the Argon2id output.
    pub const fn new(bytes: SecretBytes<32>) -> Self {
        Self(bytes)
    }

    /// The bytes, for key derivation only.
    pub fn expose_secret(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

impl ZeroizeOnDrop for PinFactor {}

impl core::fmt::Debug for PinFactor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PinFactor(..)")
    }
}
