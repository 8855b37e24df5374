//! What a deployment is: sealed together with its root, committed in every manifest.

use minicbor::{Decode, Encode};

use crate::cbor;
use crate::cosignature::{Quorum, QuorumError};
use crate::ids::{DeploymentId, Hash32};
use crate::kdf;
use crate::limits::{BREAKER_MAX, BREAKER_MIN, ISSUERS_MAX};
use crate::pin::Argon2Parameters;
use crate::token::P256Public;
use crate::tpm::{self, Tpm};

/// The only format this version writes and reads.
pub const CONFIGURATION_VERSION: u16 = 1;

/// Where freshness is kept, and so against whom a guess cannot be bought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum AnchorLevel {
    /// Memory: holds against nothing; tests only.
    #[n(0)]
    L0,
    /// A second file and the clients' receipts: holds against stolen or restored databases, not against root of the host.
    #[n(1)]
    L1,
    /// A TPM 2.0 that the enclave alone can write: holds against root of the host too, given hardware evidence and that this TPM is not rolled
    /// back.
    #[n(2)]
    L2,
    /// k of n witnesses: holds against the operator too, while fewer than 2k - n witnesses lie or roll back, given hardware
    /// evidence.
    #[n(4)]
    L4,
}

impl AnchorLevel {
    /// Every level.
    pub const ALL: &'static [Self] = &[Self::L0, Self::L1, Self::L2, Self::L4];
}

impl core::fmt::Display for AnchorLevel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::L0 => "L0",
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::L4 => "L4",
        })
    }
}

/// A login service whose access tokens the enclave accepts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Issuer {
    /// `iss`.
    #[n(0)]
    pub issuer: String,
    /// `aud`.
    #[n(1)]
    pub audience: String,
    /// ES256 public key.
    #[n(2)]
    pub key: P256Public,
}

/// What the enclave signs and what it does not, for the whole deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(array)]
pub struct Policy {
    /// Allow EIP-7702 authorizations with chain id 0, which hold on every chain.
    #[n(0)]
    pub any_chain_authorization: bool,
}

impl Policy {
    /// H(policy), bound into every record.
    pub fn hash(&self) -> Hash32 {
        kdf::hash("pinseal policy v1", &[&cbor::to_vec(self)])
    }
}

/// The sealed configuration. The root does not unseal under another one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Configuration {
    /// [`CONFIGURATION_VERSION`].
    #[n(0)]
    pub version: u16,
    /// Random name of the deployment.
    #[n(1)]
    pub deployment: DeploymentId,
    /// Login services, one at least and at most [`ISSUERS_MAX`].
    #[n(2)]
    pub issuers: Vec<Issuer>,
    /// Level in use.
    #[n(3)]
    pub anchor: AnchorLevel,
    /// Level below which the deployment never runs.
    #[n(4)]
    pub floor: AnchorLevel,
    /// Signing policy.
    #[n(5)]
    pub policy: Policy,
    /// Cost of PINs set from now on.
    #[n(6)]
    pub argon2: Argon2Parameters,
    /// The witnesses, at [`AnchorLevel::L4`] and there only.
    #[n(7)]
    pub witnesses: Option<Quorum>,
    /// Wrong PINs of devices that are not enrolled, outstanding over all wallets beyond those the operators know of, at which enrolment
    /// pauses: [`BREAKER_MIN`] to [`BREAKER_MAX`].
    #[n(8)]
    pub breaker: u32,
    /// The TPM, at [`AnchorLevel::L2`] and there only.
    #[n(9)]
    pub tpm: Option<Tpm>,
    /// What the TPM's index held when the operators ordered that the deployment go on from there: another TPM's index, or one that a restore
    /// leads on from. Never [`tpm::NOTHING`]; absent where the deployment was made in that index.
    #[n(10)]
    pub base: Option<Hash32>,
}

/// Why a configuration is refused. The operator mends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// Written by a newer Pinseal.
    #[error("configuration has a version this program does not know")]
    Version,
    /// None, or more than [`ISSUERS_MAX`], or one with an empty name, or two for the same tokens.
    #[error("configuration needs one to {ISSUERS_MAX} token issuers, each named once")]
    Issuers,
    /// The level in use lies below the declared floor.
    #[error("anchor level lies below the deployment's floor")]
    Floor,
    /// Outside the accepted range.
    #[error("Argon2 parameters lie outside the accepted range")]
    Argon2,
    /// Witnesses without the level that uses them, or the level without witnesses.
    #[error("witnesses belong to anchor level L4, and L4 to witnesses")]
    Witnesses,
    /// Outside [`BREAKER_MIN`] to [`BREAKER_MAX`].
    #[error("the breaker trips at {BREAKER_MIN} to {BREAKER_MAX} wrong PINs")]
    Breaker,
    /// A TPM without the level that uses it, or the level without one, or a handle that is not left to owners.
    #[error("a TPM belongs to anchor level L2, and L2 to a TPM with an index left to owners")]
    Tpm,
    /// What an index held without a TPM, or an index that held nothing: whoever defined it anew would begin there again.
    #[error("a deployment goes on from what a TPM's index holds, never from an empty one")]
    Base,
    /// See the source.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
}

/// Why one configuration may not follow another. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// The new one contradicts itself.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// It is another deployment's.
    #[error("a deployment keeps its name")]
    Deployment,
    /// Nothing is different.
    #[error("the new configuration is the old one")]
    Same,
    /// The floor was promised to users.
    #[error("the floor of the anchor level never goes down")]
    Floor,
    /// Every record is sealed to the policy.
    #[error("the signing policy cannot change: every record is sealed to it")]
    Policy,
    /// The wallets of a login service are named after it.
    #[error("a token issuer keeps its name and audience: every wallet is named after them")]
    Issuers,
    /// Without a durable anchor there is none that could hold the change.
    #[error("at L0 nothing can be changed")]
    Memory,
    /// The index goes on from what the newest checkpoint made of it; another beginning is a restore's.
    #[error("an index that the deployment keeps is gone on from where it is, unless an older state is restored")]
    Base,
}

impl Configuration {
    /// Checks that `next` may follow this configuration: the same deployment under the same policy, its floor not lower. A restore
    /// may follow with [`SuccessionError::Same`] and [`SuccessionError::Base`], too.
    ///
    /// # Errors
    /// The first [`SuccessionError`] found.
    pub fn check_succession(&self, next: &Self) -> Result<(), SuccessionError> {
        next.check()?;
        if next.deployment != self.deployment {
            return Err(SuccessionError::Deployment);
        }
        if self.anchor == AnchorLevel::L0 || next.anchor == AnchorLevel::L0 {
            return Err(SuccessionError::Memory);
        }
        if next == self {
            return Err(SuccessionError::Same);
        }
        if next.floor < self.floor {
            return Err(SuccessionError::Floor);
        }
        if next.policy != self.policy {
            return Err(SuccessionError::Policy);
        }
        let is_kept =
            |old: &Issuer| next.issuers.iter().any(|new| (&new.issuer, &new.audience) == (&old.issuer, &old.audience));
        if !self.issuers.iter().all(is_kept) {
            return Err(SuccessionError::Issuers);
        }
        // Last: a restore is allowed this, and nothing of the above.
        if next.tpm == self.tpm && next.base != self.base {
            return Err(SuccessionError::Base);
        }
        Ok(())
    }

    /// H(configuration).
    pub fn hash(&self) -> Hash32 {
        kdf::hash("pinseal configuration v1", &[&cbor::to_vec(self)])
    }

    /// Checks everything but the encoding.
    ///
    /// # Errors
    /// The first [`ConfigurationError`] found.
    pub fn check(&self) -> Result<(), ConfigurationError> {
        if self.version != CONFIGURATION_VERSION {
            return Err(ConfigurationError::Version);
        }
        let named = self.issuers.iter().all(|issuer| !issuer.issuer.is_empty() && !issuer.audience.is_empty());
        let mut names: Vec<_> = self.issuers.iter().map(|issuer| (&issuer.issuer, &issuer.audience)).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() || names.len() != self.issuers.len() || names.len() > ISSUERS_MAX || !named {
            return Err(ConfigurationError::Issuers);
        }
        if self.anchor < self.floor {
            return Err(ConfigurationError::Floor);
        }
        if !self.argon2.is_acceptable() {
            return Err(ConfigurationError::Argon2);
        }
        if (self.anchor == AnchorLevel::L4) != self.witnesses.is_some() {
            return Err(ConfigurationError::Witnesses);
        }
        if !(BREAKER_MIN..=BREAKER_MAX).contains(&self.breaker) {
            return Err(ConfigurationError::Breaker);
        }
        if (self.anchor == AnchorLevel::L2) != self.tpm.is_some() || !self.tpm.is_none_or(|tpm| tpm.is_well_formed()) {
            return Err(ConfigurationError::Tpm);
        }
        if self.base.is_some_and(|base| self.tpm.is_none() || base == tpm::NOTHING) {
            return Err(ConfigurationError::Base);
        }
        self.witnesses.as_ref().map_or(Ok(()), |quorum| quorum.check().map_err(ConfigurationError::from))
    }
}
