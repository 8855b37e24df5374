//! Evidence: what is verified before anybody is asked for a PIN.

use pinseal_attestation::EvidenceKind;
use pinseal_attestation::verify::{self, Expected, Verified, VerifyError};
use pinseal_protocol::cbor::{self, CborError};
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::{DeploymentId, Hash32, Nonce};
use pinseal_protocol::manifest::{self, MANIFEST_VERSION, Manifest};

pub use pinseal_attestation::verify::{
    DevelopmentMeasurements, DevelopmentMode, MeasurementList, MeasurementListError, NitroImage, NitroImages, Policy,
    nitro::{Pcr, PcrIndex},
};

use crate::api::ApiError;
use crate::client::Client;
use crate::environment;
use crate::profile::{PinnedDeployment, Profile, ProfileError, Protection};
use crate::receipt::{self, ReceiptError};

/// Oldest evidence accepted. The nonce proves that it is fresh; this bounds the difference of the two clocks.
pub const AGE_SECONDS_MAX: u64 = 300;

/// Why there is no evidence to rely on. The client does not ask for a PIN.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The server gave none.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The evidence itself is refused.
    #[error(transparent)]
    Evidence(#[from] VerifyError),
    /// The manifest is not a canonical manifest. The server is at fault, or the client is outdated.
    #[error("the manifest is not understood")]
    Manifest(#[source] CborError),
    /// The manifest is of a version this client does not know. Update the client.
    #[error("the server speaks version {0} of the protocol; update this client")]
    Version(u16),
    /// The deployment is not the one this profile trusted first. Never overridden: if the operator really started anew, start a new
    /// profile.
    #[error("this is another deployment ({shown}) than the one this device trusts ({pinned})")]
    DeploymentChanged {
        /// Trusted before.
        pinned: DeploymentId,
        /// Shown now.
        shown: DeploymentId,
    },
    /// The deployment's log key is not the one this profile trusted first. As above.
    #[error("the deployment's log key is not the one this device trusts")]
    LogKeyChanged,
    /// The deployment runs below the level it promises, or at L0 with hardware evidence.
    #[error("the deployment's freshness anchor {shown} lies below {floor}")]
    AnchorTooLow {
        /// In use.
        shown: AnchorLevel,
        /// Least acceptable.
        floor: AnchorLevel,
    },
    /// The deployment promised a higher level before, for good: no enclave of ours takes that back.
    #[error("the deployment promised this device never to run below {promised}, and now says {shown}")]
    FloorLowered {
        /// Floor shown before.
        promised: AnchorLevel,
        /// Floor shown now.
        shown: AnchorLevel,
    },
    /// Witnesses at a level that uses none, none where it needs them, or a quorum that is no majority of them.
    #[error("the deployment's anchor level {0} does not fit its witnesses")]
    Witnesses(AnchorLevel),
    /// A TPM at a level that uses none, none where it needs one, or one that cannot be.
    #[error("the deployment's anchor level {0} does not fit its TPM")]
    Tpm(AnchorLevel),
    /// The boot's checkpoint contradicts what this device has seen.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// A verified boot of a known deployment: the only way to anything that takes a PIN.
///
/// Stays good until the enclave restarts; then operations fail with [`crate::OperationError::wants_new_evidence`] and the caller
/// attests again, by [`Attested::client`], which is for the same user. It is for whoever was logged in when it was attested: where somebody else is, its
/// operations fail with [`ApiError::UserChanged`], and where nobody was, with [`ApiError::NotLoggedIn`].
#[derive(Debug, Clone)]
pub struct Attested {
    client: Client,
    manifest: Manifest,
    manifest_hash: Hash32,
    verified: Verified,
    first_use: bool,
    before: Option<Protection>,
    restored: Option<u32>,
    restores: u32,
}

impl Client {
    /// Fetches evidence for a fresh nonce and verifies it, the manifest and the boot's checkpoint; trusts a deployment on first use
    /// and never another one afterwards. What it gives is for whoever is logged in, and for nobody where nobody is.
    ///
    /// # Errors
    /// [`EvidenceError`]; nothing was pinned or stored.
    pub async fn attest(&self) -> Result<Attested, EvidenceError> {
        let client = self.own().await?;
        let nonce = Nonce(environment::random(self.environment()));
        let answer = self.api().evidence(&nonce).await?;
        let manifest_hash = manifest::hash_of(&answer.manifest.0);
        let expected = Expected {
            user_data: manifest_hash,
            nonce,
            now: self.environment().now(),
            age_seconds_max: AGE_SECONDS_MAX,
        };
        let verified = verify::verify(&answer.document.0, self.policy(), &expected)?;
        let manifest: Manifest = cbor::from_slice(&answer.manifest.0).map_err(EvidenceError::Manifest)?;
        check_manifest(&manifest, &verified)?;
        let shown = PinnedDeployment { deployment: manifest.deployment, log: manifest.log };
        let boot = receipt::read(&manifest.checkpoint, manifest_hash, &shown)?;
        let protection = Protection::of(&manifest);
        let restores = receipt::restores(&boot);
        let (first_use, before, restored) = self
            .vault()
            .update(move |profile| {
                if let Some(pinned) = profile.deployment {
                    same_deployment(&pinned, &shown)?;
                }
                // Profiles from before floors were kept apart have the one that somebody was told.
                let promised = profile.floor.max(profile.protection.as_ref().map(|told| told.floor));
                if let Some(promised) = promised.filter(|promised| protection.floor < *promised) {
                    return Err(EvidenceError::FloorLowered { promised, shown: protection.floor });
                }
                let restored = receipt::boot_continues(profile.receipt.as_ref(), &boot)?;
                // A boot on another branch may be as long as it likes: only a reply shows, once the enclave has compared the two, that
                // what it brings continues the receipt held here.
                profile.receipt.get_or_insert(boot);
                // A promise counts from when it was seen; a change is remembered once somebody was told, and until then told again.
                profile.floor = Some(protection.floor);
                let before = profile.protection.get_or_insert_with(|| protection.clone());
                let before = Some(before.clone()).filter(|before| *before != protection);
                Ok::<_, EvidenceError>((profile.deployment.replace(shown).is_none(), before, restored))
            })
            .await?;
        Ok(Attested { client, manifest, manifest_hash, verified, first_use, before, restored, restores })
    }
}

fn check_manifest(manifest: &Manifest, verified: &Verified) -> Result<(), EvidenceError> {
    if manifest.version != MANIFEST_VERSION {
        return Err(EvidenceError::Version(manifest.version));
    }
    // L0 holds against nothing; beside evidence that proves nothing it does no further harm.
    let least = if verified.kind == EvidenceKind::Software { AnchorLevel::L0 } else { AnchorLevel::L1 };
    let floor = manifest.floor.max(least);
    if manifest.anchor < floor {
        return Err(EvidenceError::AnchorTooLow { shown: manifest.anchor, floor });
    }
    let fits = match &manifest.witnesses {
        Some(quorum) => manifest.anchor == AnchorLevel::L4 && quorum.check().is_ok(),
        None => manifest.anchor != AnchorLevel::L4,
    };
    if !fits {
        return Err(EvidenceError::Witnesses(manifest.anchor));
    }
    let fits = match &manifest.tpm {
        Some(tpm) => manifest.anchor == AnchorLevel::L2 && tpm.is_well_formed(),
        None => manifest.anchor != AnchorLevel::L2,
    };
    if !fits {
        return Err(EvidenceError::Tpm(manifest.anchor));
    }
    Ok(())
}

fn same_deployment(pinned: &PinnedDeployment, shown: &PinnedDeployment) -> Result<(), EvidenceError> {
    if pinned.deployment != shown.deployment {
        return Err(EvidenceError::DeploymentChanged { pinned: pinned.deployment, shown: shown.deployment });
    }
    if pinned.log != shown.log {
        return Err(EvidenceError::LogKeyChanged);
    }
    Ok(())
}

impl Attested {
    /// What the evidence says. Its `statement` must be shown to the user.
    pub const fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The boot's manifest.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// True if the profile met this deployment for the first time: show its id, so that a careful person can compare it.
    pub const fn is_first_use(&self) -> bool {
        self.first_use
    }

    /// What protected a PIN here when somebody was told last, if the operators have changed it since: show the difference, then
    /// [`Attested::acknowledge_protection`].
    pub const fn protection_before(&self) -> Option<&Protection> {
        self.before.as_ref()
    }

    /// Somebody was shown what protects a PIN here now. Where another program was told of a later change meanwhile, that stays.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub async fn acknowledge_protection(&self) -> Result<(), ProfileError> {
        let (before, protection) = (self.before.clone(), Protection::of(&self.manifest));
        let keep = move |profile: &mut Profile| {
            if before.is_some() && profile.protection == before {
                profile.protection = Some(protection);
            }
            Ok::<_, ProfileError>(())
        };
        self.client.vault().update(keep).await
    }

    /// The restore that made an older state the state again and that this device has not accepted. No PIN is given to it before
    /// [`Attested::accept_restore`].
    pub const fn restored(&self) -> Option<u32> {
        self.restored
    }

    /// The client it belongs to, of the user it is for.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Restores so far, as the boot's checkpoint says.
    pub const fn restores(&self) -> u32 {
        self.restores
    }

    pub(crate) const fn manifest_hash(&self) -> Hash32 {
        self.manifest_hash
    }

    pub(crate) const fn deployment(&self) -> PinnedDeployment {
        PinnedDeployment { deployment: self.manifest.deployment, log: self.manifest.log }
    }
}
