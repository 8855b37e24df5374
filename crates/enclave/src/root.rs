//! The deployment root: 32 bytes made here, sealed under the operators' passphrase together with H(configuration).
//!
//! File: magic, version (2 bytes), canonical CBOR, SHA-256 of all before it. The checksum tells damage from a wrong passphrase;
//! it protects nothing.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use pinseal_protocol::aead::{OpenError, SealingKey};
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::ids::{DeploymentId, Hash32, Term, UserIdHash};
use pinseal_protocol::kdf;
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::pin::Argon2Parameters;
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::tpm::Tpm;
use pinseal_protocol::wire::Halt;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::environment::{Environment, LockedBytes, random, secret_random};
use crate::passphrase::Passphrase;
use crate::writer::Writer;

const MAGIC: &[u8] = b"PINSEAL ROOT\n";
const VERSION: u16 = 1;
const CHECKSUM_BYTES: usize = 32;
/// Longest root file read; ours are about 260 bytes.
const ROOT_BYTES_MAX: usize = 4_096;
/// Cost of the passphrase: once per boot, so more than for a PIN.
const PASSPHRASE_COST: Argon2Parameters = Argon2Parameters { memory_kib: 64 * 1024, passes: 4, lanes: 1 };

/// What lies between version and checksum.
#[derive(Encode, Decode)]
#[cbor(array)]
struct SealedRoot {
    #[n(0)]
    deployment: DeploymentId,
    #[n(1)]
    configuration: Hash32,
    #[n(2)]
    term: Term,
    #[n(3)]
    restores: u32,
    #[n(4)]
    argon2: Argon2Parameters,
    #[n(5)]
    salt: Hash32,
    #[n(6)]
    ciphertext: ByteVec,
}

/// Which configuration is in force, and since which change of it: what a root is sealed with, and every checkpoint bound to. A root opens
/// states of its own tenure only, so one that was made in a change is worth nothing with any state but what followed from that very change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tenure {
    pub(crate) term: Term,
    /// H(configuration).
    pub(crate) configuration: Hash32,
    /// How often the operators have put an older state back.
    pub(crate) restores: u32,
}

impl Tenure {
    /// A new term of `configuration`.
    pub(crate) fn begin(configuration: &Configuration, restores: u32, environment: &mut dyn Environment) -> Self {
        Self { term: Term(random(environment)), configuration: configuration.hash(), restores }
    }
}

/// The root in clear, for as long as a boot takes to derive from it what it needs.
pub(crate) struct Root(SecretBytes<32>);

/// The record keys' epoch that new records are sealed under.
pub(crate) const EPOCH: u32 = 1;

/// Every long-lived key, derived from the root once and held in locked memory.
pub(crate) struct Keys {
    /// Keys of 32 bytes, in the order of [`KEY_LABELS`].
    block: LockedBytes,
    log: Ed25519KeyPair,
    /// At L2.
    writer: Option<Writer>,
}

/// What each long-lived key is derived from the root under. Tests look for all of them, wherever none may be.
pub const KEY_LABELS: [&str; 8] = [
    "pinseal record key v1",
    "pinseal user id key v1",
    "pinseal log key v1",
    "pinseal multiset key v1",
    "pinseal multiset outer key v1",
    "pinseal history key v1",
    "pinseal breaker key v1",
    "pinseal tpm key v1",
];

impl Root {
    /// A new one.
    pub(crate) fn make(environment: &mut dyn Environment) -> Self {
        Self(secret_random(environment))
    }

    /// Seals it for a tenure.
    pub(crate) fn seal(
        &self,
        deployment: DeploymentId,
        tenure: &Tenure,
        passphrase: &Passphrase,
        environment: &mut dyn Environment,
    ) -> Result<Vec<u8>, Halt> {
        let salt = Hash32(random(environment));
        let key = environment.stretch(passphrase, &salt.0, &PASSPHRASE_COST).ok_or(Halt::WrongPassphrase)?;
        let mut sealed = SealedRoot {
            deployment,
            configuration: tenure.configuration,
            term: tenure.term,
            restores: tenure.restores,
            argon2: PASSPHRASE_COST,
            salt,
            ciphertext: Vec::new().into(),
        };
        let aad = sealed.configuration.0;
        sealed.ciphertext = SealingKey::new(key).seal(&info(&sealed), &aad, self.0.expose_secret()).into();
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&VERSION.to_be_bytes());
        file.extend_from_slice(&cbor::to_vec(&sealed));
        let checksum = Sha256::digest(&file);
        file.extend_from_slice(&checksum);
        Ok(file)
    }

    /// Opens a root file under this configuration.
    pub(crate) fn unseal(
        file: &[u8],
        configuration: &Configuration,
        passphrase: &Passphrase,
        environment: &mut dyn Environment,
    ) -> Result<(Self, Tenure), Halt> {
        let sealed = parse(file)?;
        let hash = configuration.hash();
        if sealed.configuration != hash || sealed.deployment != configuration.deployment {
            return Err(Halt::RootForeign);
        }
        if !sealed.argon2.is_acceptable() {
            return Err(Halt::RootDamaged);
        }
        let key = environment.stretch(passphrase, &sealed.salt.0, &sealed.argon2).ok_or(Halt::RootDamaged)?;
        let root =
            SealingKey::new(key).open(&info(&sealed), &hash.0, &sealed.ciphertext).map_err(|error| match error {
                OpenError::WrongKey => Halt::WrongPassphrase,
                OpenError::Damaged => Halt::RootDamaged,
            })?;
        let root = SecretBytes::from_slice(&root).ok_or(Halt::RootDamaged)?;
        Ok((Self(root), Tenure { term: sealed.term, configuration: hash, restores: sealed.restores }))
    }

    /// Every key that follows from it, for an anchor of this configuration.
    pub(crate) fn keys(&self, configuration: &Configuration, environment: &mut dyn Environment) -> Result<Keys, Halt> {
        Keys::derive(self.0.expose_secret(), environment)?.writing_to(configuration.tpm.as_ref())
    }
}

/// Names the key: everything in the file but the ciphertext.
fn info(sealed: &SealedRoot) -> Vec<u8> {
    let argon2 = cbor::to_vec(&sealed.argon2);
    let parts: [&[u8]; 6] = [
        &sealed.deployment.0,
        &sealed.configuration.0,
        &sealed.term.0,
        &sealed.restores.to_be_bytes(),
        &argon2,
        &sealed.salt.0,
    ];
    kdf::hash("pinseal root v1", &parts).0.to_vec()
}

fn parse(file: &[u8]) -> Result<SealedRoot, Halt> {
    if file.len() > ROOT_BYTES_MAX {
        return Err(Halt::RootDamaged);
    }
    let rest = file.strip_prefix(MAGIC).ok_or(Halt::RootDamaged)?;
    let (version, _) = rest.split_first_chunk::<2>().ok_or(Halt::RootDamaged)?;
    if u16::from_be_bytes(*version) > VERSION {
        return Err(Halt::RootNewer);
    }
    let (content, checksum) = file.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Halt::RootDamaged)?;
    if Sha256::digest(content).as_slice() != checksum || u16::from_be_bytes(*version) != VERSION {
        return Err(Halt::RootDamaged);
    }
    let body = content.get(MAGIC.len() + 2..).ok_or(Halt::RootDamaged)?;
    cbor::from_slice(body).map_err(|_| Halt::RootDamaged)
}

impl Keys {
    pub(crate) fn derive(root: &[u8], environment: &mut dyn Environment) -> Result<Self, Halt> {
        let mut block = Zeroizing::new(Vec::with_capacity(KEY_LABELS.len() * 32));
        for label in KEY_LABELS {
            block.extend_from_slice(kdf::derive(root, &[], label, &[]).expose_secret());
        }
        let block = environment.lock(block);
        let seed = slot(&block, 2);
        let log = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Halt::RootDamaged)?;
        Ok(Self { block, log, writer: None })
    }

    /// The same keys, for an anchor in that TPM, or in none.
    pub(crate) fn writing_to(self, tpm: Option<&Tpm>) -> Result<Self, Halt> {
        let writer = tpm.map(|tpm| self.writer_of(tpm)).transpose()?;
        Ok(Self { writer, ..self })
    }

    /// K_tpm, for that TPM's index.
    pub(crate) fn writer_of(&self, tpm: &Tpm) -> Result<Writer, Halt> {
        Writer::derive(slot(&self.block, 7), tpm)
    }

    /// K_rec(e).
    pub(crate) fn record(&self, epoch: u32) -> SecretBytes<32> {
        kdf::derive(slot(&self.block, 0), &[], "pinseal record epoch v1", &[&epoch.to_be_bytes()])
    }

    /// uid_h of a user of an issuer.
    pub(crate) fn wallet(&self, issuer: &str, subject: &str) -> UserIdHash {
        UserIdHash(kdf::mac(slot(&self.block, 1), "pinseal user id v1", &[issuer.as_bytes(), subject.as_bytes()]))
    }

    /// K_ms.
    pub(crate) fn multiset(&self) -> &[u8; 32] {
        slot(&self.block, 3)
    }

    /// K_ms2.
    pub(crate) fn multiset_outer(&self) -> &[u8; 32] {
        slot(&self.block, 4)
    }

    /// The key a user's history is sealed under.
    pub(crate) fn history(&self, wallet: &UserIdHash) -> SecretBytes<32> {
        kdf::derive(slot(&self.block, 5), &[], "pinseal user history v1", &[&wallet.0])
    }

    /// The key that the breaker is sealed under.
    pub(crate) fn breaker(&self) -> SealingKey {
        SealingKey::new(kdf::derive(slot(&self.block, 6), &[], "pinseal breaker seal v1", &[]))
    }

    /// K_tpm, at L2.
    pub(crate) const fn writer(&self) -> Option<&Writer> {
        self.writer.as_ref()
    }

    /// Public half of K_log.
    pub(crate) fn log_public(&self) -> Ed25519Public {
        let mut out = [0; 32];
        out.copy_from_slice(self.log.public_key().as_ref());
        Ed25519Public(out)
    }

    /// Signs with K_log. Only domain-separated text: checkpoints and address statements.
    pub(crate) fn sign_log(&self, message: &[u8]) -> [u8; 64] {
        signature(&self.log, message)
    }
}

/// An Ed25519 signature as an array.
pub(crate) fn signature(key: &Ed25519KeyPair, message: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    out.copy_from_slice(key.sign(message).as_ref());
    out
}

fn slot(block: &LockedBytes, index: usize) -> &[u8; 32] {
    let block: &[u8] = (**block).as_ref();
    block
        .get(index * 32..index * 32 + 32)
        .and_then(|slot| slot.try_into().ok())
        .expect("the block holds one slot per label")
}

#[cfg(test)]
mod tests {
    use pinseal_protocol::order::ORDER_COST;

    use super::*;

    /// One passphrase is behind both, so whoever guesses at it takes the cheaper one.
    #[test]
    fn an_order_costs_a_guesser_as_much_as_a_root() {
        assert_eq!(PASSPHRASE_COST, ORDER_COST);
    }
}
