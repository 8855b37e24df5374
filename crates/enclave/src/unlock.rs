//! Opening and sealing the seed: PIN factor and root together, never one alone.

use pinseal_keys::{AccountPublic, Entropy, EvmMaster, WordCount};
use pinseal_protocol::aead::{OpenError, SealingKey};
use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::kdf;
use pinseal_protocol::pin::{PinFactor, PinParameters};
use pinseal_protocol::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::environment::{Environment, secret_random};
use crate::kept::keep;
use crate::record::Inner;

/// Word count (1 byte), entropy padded to 32, m/44'/60'/0'/0 as private key and chain code: one size for 12 and 24 words.
const SECRET_BYTES: usize = 1 + 32 + EvmMaster::SECRET_LEN;

/// Compressed generator of secp256k1 (SEC 2, section 2.4.1), then 32 zeros.
const DECOY_PUBLIC: [u8; AccountPublic::LEN] = {
    let point = [
        0x02, 0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07, 0x02,
        0x9b, 0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98,
    ];
    let mut out = [0; AccountPublic::LEN];
    let (head, _) = out.split_at_mut(point.len());
    head.copy_from_slice(&point);
    out
};

/// A wallet's seed in clear, with the branch derived from it.
pub(crate) struct Seed {
    plain: SecretBytes<SECRET_BYTES>,
}

/// Why the seed does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnlockError {
    WrongPin,
    Damaged,
}

impl Seed {
    /// Fresh entropy from both sources.
    pub(crate) fn generate(words: WordCount, environment: &mut dyn Environment) -> Option<Self> {
        let first = secret_random::<32>(environment);
        let mut second = SecretBytes::<32>::zeroed();
        environment.fill_second_random(second.expose_secret_mut());
        Self::from_entropy(&Entropy::mix(first.expose_secret(), second.expose_secret(), words))
    }

    fn from_entropy(entropy: &Entropy) -> Option<Self> {
        let master = EvmMaster::from_entropy(entropy).ok()?;
        let bytes = entropy.expose_secret();
        let mut plain = SecretBytes::<SECRET_BYTES>::zeroed();
        let (head, rest) = plain.expose_secret_mut().split_at_mut(1);
        let (padded, branch) = rest.split_at_mut(32);
        head.fill(if bytes.len() == 16 { 12 } else { 24 });
        padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
        branch.copy_from_slice(master.to_secret_bytes().expose_secret());
        keep(plain.expose_secret());
        Some(Self { plain })
    }

    /// What is opened in place of the seed when the PIN is wrong, so that the same work follows either way. Its keys are the
    /// well-known ones of private key 1; nothing made with them leaves.
    pub(crate) fn decoy() -> Self {
        let mut plain = SecretBytes::<SECRET_BYTES>::zeroed();
        if let Some(low) = plain.expose_secret_mut().get_mut(64) {
            *low = 1;
        }
        Self { plain }
    }

    /// The branch that signs.
    pub(crate) fn master(&self) -> Option<EvmMaster> {
        EvmMaster::from_secret_bytes(self.plain.expose_secret().last_chunk()?)
    }

    /// The public half of [`Seed::decoy`]'s branch: the curve's generator, and the chain code of zeros.
    pub(crate) fn decoy_public() -> Option<AccountPublic> {
        AccountPublic::from_bytes(&DECOY_PUBLIC)
    }

    /// Seals the seed under a PIN factor with fresh k_u and rho.
    pub(crate) fn seal(
        &self,
        pin: &PinFactor,
        place: &Place<'_>,
        parameters: PinParameters,
        environment: &mut dyn Environment,
    ) -> Inner {
        let factor_key = secret_random(environment);
        let rho = secret_random(environment);
        let key = unlock_key(pin, &factor_key, &rho);
        let ciphertext = key.seal(&place.info(), place.accounts, self.plain.expose_secret()).into();
        Inner { parameters, generation: place.generation, factor_key, rho, ciphertext }
    }
}

/// Opens the seed.
pub(crate) fn unlock(
    inner: &Inner,
    pin: &PinFactor,
    wallet: &UserIdHash,
    accounts: &[u8],
) -> Result<Seed, UnlockError> {
    let place = Place { wallet, generation: inner.generation, accounts };
    let key = unlock_key(pin, &inner.factor_key, &inner.rho);
    let plain = key.open(&place.info(), accounts, &inner.ciphertext).map_err(|error| match error {
        OpenError::WrongKey => UnlockError::WrongPin,
        OpenError::Damaged => UnlockError::Damaged,
    })?;
    let plain = SecretBytes::from_slice(&plain).ok_or(UnlockError::Damaged)?;
    keep(plain.expose_secret());
    Ok(Seed { plain })
}

/// What an inner is bound to.
pub(crate) struct Place<'a> {
    pub(crate) wallet: &'a UserIdHash,
    pub(crate) generation: u64,
    /// Public form of the branch: whoever swaps it closes the wallet, and shows no address of their own.
    pub(crate) accounts: &'a [u8],
}

impl Place<'_> {
    fn info(&self) -> Vec<u8> {
        kdf::hash("pinseal inner v1", &[&self.wallet.0, &self.generation.to_be_bytes()]).0.to_vec()
    }
}

/// K_u = HKDF(HMAC(k_u, S), rho, "unlock").
fn unlock_key(pin: &PinFactor, factor_key: &SecretBytes<32>, rho: &SecretBytes<32>) -> SealingKey {
    keep(pin.expose_secret());
    let factor = Zeroizing::new(kdf::mac(factor_key.expose_secret(), "pinseal factor v1", &[pin.expose_secret()]));
    SealingKey::new(kdf::derive(factor.as_ref(), rho.expose_secret(), "pinseal unlock v1", &[]))
}
