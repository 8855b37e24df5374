//! A profile in a directory that only its owner can read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Profile, ProfileError, ProfileLock, ProfileStore, format};
use crate::device::DeviceKey;

const DEVICE_FILE: &str = "device.p8";
const TRUST_FILE: &str = "trust.json";
const SESSION_FILE: &str = "session.json";
const LOCK_FILE: &str = "lock";
/// Longest file read; a profile with every account of a dozen wallets stays far below.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A directory (mode 0700) with `device.p8`, `trust.json`, `session.json` and `lock` (mode 0600 each).
#[derive(Debug)]
pub struct FileProfile {
    directory: PathBuf,
}

impl FileProfile {
    /// A profile in `directory`, made at first use.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Where it lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl ProfileStore for FileProfile {
    fn lock(self: Arc<Self>) -> Result<Box<dyn ProfileLock>, ProfileError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.directory.join(LOCK_FILE))?;
        // flock: held by this open file, given up by the system when the process ends, however it ends.
        lock.lock()?;
        Ok(Box::new(Guard { directory: self.directory.clone(), _lock: lock }))
    }
}

struct Guard {
    directory: PathBuf,
    _lock: File,
}

impl ProfileLock for Guard {
    fn load(&self) -> Result<Option<Profile>, ProfileError> {
        let trust = self.read(TRUST_FILE)?;
        let Some(device) = self.read(DEVICE_FILE)? else {
            // The key is written first; pins without it are the rest of a profile somebody took apart.
            return if trust.is_some() { Err(ProfileError::Damaged(DEVICE_FILE)) } else { Ok(None) };
        };
        let device = DeviceKey::from_pkcs8(&device)?;
        let (deployment, wallets, receipt, protection, floor, outgoing) = match trust {
            Some(bytes) => {
                let trust = format::read_trust(&bytes).ok_or(ProfileError::Damaged(TRUST_FILE))?;
                (trust.deployment, trust.wallets, trust.receipt, trust.protection, trust.floor, trust.outgoing)
            }
            None => Default::default(),
        };
        let session = match self.read(SESSION_FILE)? {
            Some(bytes) => Some(format::read_session(&bytes).ok_or(ProfileError::Damaged(SESSION_FILE))?),
            None => None,
        };
        Ok(Some(Profile { device, session, deployment, wallets, receipt, protection, floor, outgoing }))
    }

    fn save(&mut self, profile: &Profile) -> Result<(), ProfileError> {
        if self.read(DEVICE_FILE)?.as_deref().map(Vec::as_slice) != Some(profile.device.pkcs8()) {
            self.write(DEVICE_FILE, profile.device.pkcs8())?;
        }
        let trust = format::write_trust(profile).ok_or(ProfileError::Damaged(TRUST_FILE))?;
        if self.read(TRUST_FILE)?.as_deref() != Some(&trust) {
            self.write(TRUST_FILE, &trust)?;
        }
        match &profile.session {
            Some(session) => {
                let bytes = format::write_session(session).ok_or(ProfileError::Damaged(SESSION_FILE))?;
                if self.read(SESSION_FILE)?.as_deref() != Some(&*bytes) {
                    self.write(SESSION_FILE, &bytes)?;
                }
            }
            None => match fs::remove_file(self.directory.join(SESSION_FILE)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            },
        }
        Ok(())
    }
}

impl Guard {
    fn read(&self, name: &'static str) -> Result<Option<Zeroizing<Vec<u8>>>, ProfileError> {
        let file = match File::open(self.directory.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if file.metadata()?.mode() & 0o077 != 0 {
            return Err(ProfileError::Exposed(name));
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(ProfileError::Damaged(name));
        }
        Ok(Some(bytes))
    }

    /// Whole or not at all, also across a power cut: new file, fsync, rename, fsync of the directory.
    fn write(&self, name: &'static str, bytes: &[u8]) -> Result<(), ProfileError> {
        let temporary = self.directory.join(format!("{name}.tmp"));
        // A leftover of an interrupted write may have another mode or be a link; it is never written through.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, self.directory.join(name))?;
        File::open(&self.directory)?.sync_all()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use pinseal_protocol::ids::{DeploymentId, Hash32, UnixSeconds, UserIdHash};
    use pinseal_protocol::manifest::Ed25519Public;

    use super::super::{PinnedDeployment, PinnedWallet, Protection, Receipt, Session, UserName, Vault};
    use super::*;
    use crate::outgoing::{Content, Known, Outgoing, Standing};
    use pinseal_protocol::configuration::AnchorLevel;
    use pinseal_protocol::secret::SecretText;

    fn full() -> Profile {
        let address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".parse().unwrap();
        let mut profile = Profile::new().unwrap();
        profile.session = Some(Session {
            user: UserName::new(" Ann@Example.org "),
            user_id: "u1".into(),
            session_id: "s1".into(),
            access_token: SecretText::new("access-secret".into()),
            access_expires: UnixSeconds(1_700_000_000),
            refresh_token: SecretText::new("refresh-secret".into()),
        });
        profile.deployment = Some(PinnedDeployment { deployment: DeploymentId([1; 16]), log: Ed25519Public([2; 32]) });
        profile.wallets = BTreeMap::from([(
            UserName::new("ann@example.org"),
            PinnedWallet {
                wallet: UserIdHash([3; 32]),
                addresses: BTreeMap::from([("m/44'/60'/0'/0/0".into(), address)]),
            },
        )]);
        profile.receipt = Some(Receipt { note: vec![4; 9], size: 5, root: Hash32([6; 32]), manifest: Hash32([7; 32]) });
        profile.floor = Some(AnchorLevel::L4);
        profile.protection = Some(Protection {
            configuration: Hash32([8; 32]),
            anchor: AnchorLevel::L4,
            floor: AnchorLevel::L1,
            required: 2,
            witnesses: vec!["one".into(), "two".into(), "three".into()],
            tpm: Some("04 0x01800000".into()),
        });
        let signed = Outgoing {
            network: "eip155:1".parse().unwrap(),
            from: address,
            nonce: 9,
            hash: Hash32([10; 32]),
            content: Content::new(None, "13".parse().unwrap(), b"code"),
            summary: "Sends 1 ETH.".into(),
            signed_at: UnixSeconds(12),
            standing: Standing::Waiting,
            known: Known::Awaited,
            stays_accepted: false,
        };
        profile.outgoing.sign(signed, &[address], &[]).unwrap();
        profile
    }

    fn lock(directory: &Path) -> Box<dyn ProfileLock> {
        Arc::new(FileProfile::new(directory)).lock().unwrap()
    }

    #[test]
    fn a_profile_comes_back_as_it_was_saved() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er");
        let profile = full();
        assert!(lock(&path).load().unwrap().is_none());
        lock(&path).save(&profile).unwrap();
        let back = lock(&path).load().unwrap().unwrap();
        assert_eq!(back.device.id(), profile.device.id());
        assert_eq!(
            (back.deployment, &back.wallets, &back.receipt, &back.protection, back.floor, &back.outgoing),
            (
                profile.deployment,
                &profile.wallets,
                &profile.receipt,
                &profile.protection,
                profile.floor,
                &profile.outgoing
            )
        );
        assert_eq!(back.wallet().unwrap().wallet, UserIdHash([3; 32]));
        let session = back.session.as_ref().unwrap();
        assert_eq!(session.user.as_str(), "ann@example.org");
        assert_eq!(session.access_token.expose_secret(), "access-secret");
        assert_eq!(session.refresh_token.expose_secret(), "refresh-secret");
        assert_eq!(session.access_expires, UnixSeconds(1_700_000_000));

        lock(&path).save(&Profile { session: None, ..back }).unwrap();
        assert!(lock(&path).load().unwrap().unwrap().session.is_none());
        assert!(!path.join(SESSION_FILE).exists());
    }

    #[test]
    fn nobody_else_can_read_any_file_and_exposed_ones_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        lock(&path).save(&full()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let mut names = 0;
        for entry in fs::read_dir(&path).unwrap() {
            names += 1;
            assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(names, 4);
        fs::set_permissions(path.join(DEVICE_FILE), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(lock(&path).load(), Err(ProfileError::Exposed(DEVICE_FILE))));
    }

    #[test]
    fn a_damaged_or_missing_part_is_an_error_and_never_a_fresh_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        lock(&path).save(&full()).unwrap();
        let trust = fs::read_to_string(path.join(TRUST_FILE)).unwrap();
        for damaged in [trust.replace("\"version\": 1", "\"version\": 2"), trust[..trust.len() / 2].to_owned()] {
            fs::write(path.join(TRUST_FILE), damaged).unwrap();
            assert!(matches!(lock(&path).load(), Err(ProfileError::Damaged(TRUST_FILE))));
        }
        fs::write(path.join(TRUST_FILE), trust).unwrap();
        fs::remove_file(path.join(DEVICE_FILE)).unwrap();
        assert!(matches!(lock(&path).load(), Err(ProfileError::Damaged(DEVICE_FILE))));
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!("{:?}", full());
        assert!(!shown.contains("secret") && shown.contains("access_token: [redacted]"), "{shown}");
    }

    #[tokio::test]
    async fn parallel_updates_through_two_stores_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let first = Vault::new(Arc::new(FileProfile::new(directory.path().join("p"))));
        let second = Vault::new(Arc::new(FileProfile::new(directory.path().join("p"))));
        let device = first.read().await.unwrap().device.id();
        let mut tasks = Vec::new();
        for number in 0..16_u8 {
            let vault = if number % 2 == 0 { first.clone() } else { second.clone() };
            tasks.push(tokio::spawn(async move {
                vault
                    .update(|profile| {
                        let pinned = PinnedWallet { wallet: UserIdHash([number; 32]), addresses: BTreeMap::new() };
                        profile.wallets.insert(UserName::new(&format!("{number}@example.org")), pinned);
                        Ok::<_, ProfileError>(())
                    })
                    .await
            }));
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let profile = second.read().await.unwrap();
        assert_eq!((profile.wallets.len(), profile.device.id()), (16, device));
    }
}
