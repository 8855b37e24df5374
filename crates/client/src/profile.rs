//! What a client keeps: device key, session, pinned keys and addresses, newest receipt, transactions that are not settled.

mod file;
mod format;
mod memory;

use core::fmt;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

pub use file::FileProfile;
pub use memory::MemoryProfile;

use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::cosignature::Witness;
use pinseal_protocol::ids::{DeploymentId, Hash32, UnixSeconds, UserIdHash};
use pinseal_protocol::manifest::{Ed25519Public, Manifest};

use crate::device::{DeviceKey, DeviceKeyError};
use crate::outgoing::Ledger;
use crate::values::Address;
use pinseal_protocol::secret::SecretText;

/// Everything one person on one device keeps for one deployment.
#[derive(Debug)]
pub struct Profile {
    /// The device key, made with the profile.
    pub device: DeviceKey,
    /// The login session, if somebody is logged in.
    pub session: Option<Session>,
    /// The deployment this profile trusted first.
    pub deployment: Option<PinnedDeployment>,
    /// Wallets by the e-mail address their owner logs in with.
    pub wallets: BTreeMap<UserName, PinnedWallet>,
    /// The newest signed checkpoint seen.
    pub receipt: Option<Receipt>,
    /// What the deployment said last that protects a PIN there, of what somebody was told.
    pub protection: Option<Protection>,
    /// The highest level it promised not to run below, told or not.
    pub floor: Option<AnchorLevel>,
    /// What was signed here and may still be carried out.
    pub outgoing: Ledger,
}

impl Profile {
    /// An empty profile with a fresh device key.
    ///
    /// # Errors
    /// [`ProfileError::Device`].
    pub fn new() -> Result<Self, ProfileError> {
        Ok(Self {
            device: DeviceKey::generate()?,
            session: None,
            deployment: None,
            wallets: BTreeMap::new(),
            receipt: None,
            protection: None,
            floor: None,
            outgoing: Ledger::default(),
        })
    }

    /// A second copy, tokens included.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            device: self.device.clone(),
            session: self.session.as_ref().map(Session::duplicate),
            deployment: self.deployment,
            wallets: self.wallets.clone(),
            receipt: self.receipt.clone(),
            protection: self.protection.clone(),
            floor: self.floor,
            outgoing: self.outgoing.clone(),
        }
    }

    /// The wallet of whoever is logged in, once an enclave has answered for it.
    pub fn wallet(&self) -> Option<&PinnedWallet> {
        self.wallets.get(&self.session.as_ref()?.user)
    }
}

/// The name a person logs in with: the e-mail address in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(String);

impl UserName {
    /// The person behind an e-mail address as typed.
    pub fn new(email: &str) -> Self {
        Self(email.trim().to_lowercase())
    }

    /// The e-mail address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A login session. The tokens are secrets.
#[derive(Debug)]
pub struct Session {
    /// Who logged in, as typed by them.
    pub user: UserName,
    /// The host's name for the user.
    pub user_id: String,
    /// Names the session in the sessions list.
    pub session_id: String,
    /// Access token.
    pub access_token: SecretText,
    /// When it expires.
    pub access_expires: UnixSeconds,
    /// Refresh token; each is good for one use.
    pub refresh_token: SecretText,
}

impl Session {
    /// A second copy, tokens included.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            user: self.user.clone(),
            user_id: self.user_id.clone(),
            session_id: self.session_id.clone(),
            access_token: self.access_token.duplicate(),
            access_expires: self.access_expires,
            refresh_token: self.refresh_token.duplicate(),
        }
    }
}

/// The identity of a deployment, trusted on first use and never changed afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedDeployment {
    /// Its id.
    pub deployment: DeploymentId,
    /// Its log key K_log.
    pub log: Ed25519Public,
}

/// What a deployment's sealed configuration says, as far as it shows. Operators may change it; a person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    /// H(configuration).
    pub configuration: Hash32,
    /// Level in use.
    pub anchor: AnchorLevel,
    /// Level below which the deployment never runs.
    pub floor: AnchorLevel,
    /// How many witnesses must cosign, 0 where there are none.
    pub required: u8,
    /// The witnesses' verifier keys, by name.
    pub witnesses: Vec<String>,
    /// The key that the deployment's TPM attests with, and the handle of its index, at L2.
    pub tpm: Option<String>,
}

impl Protection {
    /// What a manifest says.
    pub fn of(manifest: &Manifest) -> Self {
        let quorum = manifest.witnesses.as_ref();
        Self {
            configuration: manifest.configuration,
            anchor: manifest.anchor,
            floor: manifest.floor,
            required: quorum.map_or(0, |quorum| quorum.required),
            witnesses: quorum
                .iter()
                .flat_map(|quorum| &quorum.witnesses)
                .filter_map(Witness::verifier_key)
                .map(|key| key.to_string())
                .collect(),
            tpm: manifest.tpm.as_ref().map(|tpm| format!("{} 0x{:08x}", tpm.attester, tpm.index)),
        }
    }
}

/// What is known of one wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedWallet {
    /// Its name towards the enclave.
    pub wallet: UserIdHash,
    /// Address by BIP-44 path, each once vouched for by K_log.
    pub addresses: BTreeMap<String, Address>,
}

/// The newest signed checkpoint and the boot it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// C2SP signed note, verified when it was stored.
    pub note: Vec<u8>,
    /// Leaves it covers.
    pub size: u64,
    /// Its Merkle root.
    pub root: Hash32,
    /// H(manifest) of the boot that gave it.
    pub manifest: Hash32,
}

/// Why the profile cannot be used. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The disk refused. Mend it and repeat.
    #[error("profile storage failed")]
    Io(#[from] io::Error),
    /// A file is not what this version writes. Restore it, or start a new profile and enrol again.
    #[error("profile file {0} is damaged or of a newer version")]
    Damaged(&'static str),
    /// Others may read a file with secrets. Restrict it to yourself (mode 0600) or start a new profile.
    #[error("profile file {0} can be read by others")]
    Exposed(&'static str),
    /// The device key.
    #[error(transparent)]
    Device(#[from] DeviceKeyError),
    /// The program was shutting down.
    #[error("profile access was interrupted")]
    Interrupted,
}

/// Where a profile lies.
pub trait ProfileStore: fmt::Debug + Send + Sync + 'static {
    /// Waits until nobody else, in this process or another, uses the profile, and locks it. May block its thread.
    ///
    /// # Errors
    /// [`ProfileError`].
    fn lock(self: Arc<Self>) -> Result<Box<dyn ProfileLock>, ProfileError>;
}

/// Exclusive use of a profile; ends when dropped.
pub trait ProfileLock: Send {
    /// Reads it, `None` if there is none yet.
    ///
    /// # Errors
    /// [`ProfileError`].
    fn load(&self) -> Result<Option<Profile>, ProfileError>;

    /// Writes it; durable on return.
    ///
    /// # Errors
    /// [`ProfileError`]; the old one is still whole.
    fn save(&mut self, profile: &Profile) -> Result<(), ProfileError>;
}

/// A profile store behind async calls.
#[derive(Debug, Clone)]
pub(crate) struct Vault(Arc<dyn ProfileStore>);

/// Exclusive use across awaits: for the refresh of a session.
pub(crate) struct Locked {
    lock: Box<dyn ProfileLock>,
    pub(crate) profile: Profile,
}

impl Vault {
    pub(crate) fn new(store: Arc<dyn ProfileStore>) -> Self {
        Self(store)
    }

    /// Locks the profile and reads it; the first time, makes one.
    pub(crate) async fn lock(&self) -> Result<Locked, ProfileError> {
        let store = Arc::clone(&self.0);
        blocking(move || {
            let mut lock = store.lock()?;
            let profile = match lock.load()? {
                Some(profile) => profile,
                None => {
                    let profile = Profile::new()?;
                    lock.save(&profile)?;
                    profile
                }
            };
            Ok(Locked { lock, profile })
        })
        .await
    }

    /// The profile as it is now.
    pub(crate) async fn read(&self) -> Result<Profile, ProfileError> {
        Ok(self.lock().await?.profile)
    }

    /// Changes the profile in one step; `change` refuses by returning an error, and then nothing is written.
    pub(crate) async fn update<T: Send + 'static, E: From<ProfileError> + Send + 'static>(
        &self,
        change: impl FnOnce(&mut Profile) -> Result<T, E> + Send,
    ) -> Result<T, E> {
        let mut locked = self.lock().await?;
        let value = change(&mut locked.profile)?;
        locked.save().await?;
        Ok(value)
    }
}

impl Locked {
    /// Writes the profile and gives up the lock.
    pub(crate) async fn save(mut self) -> Result<Profile, ProfileError> {
        blocking(move || {
            self.lock.save(&self.profile)?;
            Ok(self.profile)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProfileError> + Send + 'static,
) -> Result<T, ProfileError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ProfileError::Interrupted)?
}

/// For the fuzz targets: reads `trust.json`, and what was read written again.
#[cfg(feature = "fuzzing")]
pub(crate) fn rewrite_trust(bytes: &[u8], mut profile: Profile) -> Option<Vec<u8>> {
    let trust = format::read_trust(bytes)?;
    (profile.deployment, profile.wallets) = (trust.deployment, trust.wallets);
    (profile.receipt, profile.outgoing) = (trust.receipt, trust.outgoing);
    (profile.protection, profile.floor) = (trust.protection, trust.floor);
    format::write_trust(&profile)
}

/// For the fuzz targets: reads `session.json`, and what was read written again.
#[cfg(feature = "fuzzing")]
pub(crate) fn rewrite_session(bytes: &[u8]) -> Option<Vec<u8>> {
    format::write_session(&format::read_session(bytes)?).map(|written| written.to_vec())
}
