//! The token issuer: one ES256 key, access tokens and storage tokens signed with it.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use pinseal_protocol::ids::{DeploymentId, DeviceId, UnixSeconds, UserIdHash};
use pinseal_protocol::request::Method;
use pinseal_protocol::secret::{SecretBytes, SecretText};
use pinseal_protocol::token::{
    ACCESS_TYP, AccessClaims, P256Public, StorageClaims, StorageKey, TokenError, sign, verify_access,
};
use pinseal_store::accounts::{AppId, Session};
use zeroize::Zeroizing;

use crate::codes::random_hex;

/// Lifetime of an access token: a quarter of an hour.
const ACCESS_SECONDS: u64 = 900;
/// Lifetime of a storage token.
const STORAGE_SECONDS: u64 = 300;
/// A PKCS#8 P-256 key is 138 bytes; anything much longer is another file.
const KEY_FILE_BYTES_MAX: u64 = 1_024;

/// Why the issuer key is not usable. The operator mends the file; nothing was overwritten.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The file cannot be read or made.
    #[error("issuer key file")]
    File(#[source] std::io::Error),
    /// Others than the owner may read it.
    #[error("issuer key file may be read by others than its owner; set its mode to 0600")]
    Mode,
    /// Not a PKCS#8 P-256 private key.
    #[error("issuer key file holds no PKCS#8 P-256 key")]
    Key,
}

/// Signs tokens of one deployment.
pub struct Issuer {
    key: EcdsaKeyPair,
    public: P256Public,
    derive: hmac::Key,
    storage: StorageKey,
    name: String,
    audience: String,
    storage_audience: String,
}

impl core::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Issuer").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Makes the key file at `init`, mode 0600. An existing file is left alone and used.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn create(path: &Path, deployment: DeploymentId) -> Result<Self, IssuerError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| IssuerError::Key)?;
        if !path.try_exists().map_err(IssuerError::File)? {
            place(path, document.as_ref()).map_err(IssuerError::File)?;
        }
        Self::load(path, deployment)
    }

    /// Reads the key file.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn load(path: &Path, deployment: DeploymentId) -> Result<Self, IssuerError> {
        let file = OpenOptions::new().read(true).open(path).map_err(IssuerError::File)?;
        let mode = file.metadata().map_err(IssuerError::File)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(IssuerError::Mode);
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(256));
        file.take(KEY_FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(IssuerError::File)?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &bytes).map_err(|_| IssuerError::Key)?;
        let derive = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        Ok(Self {
            public: P256Public::of(&key),
            key,
            storage: storage_key(&derive),
            derive,
            name: format!("pinseal:{deployment}"),
            audience: deployment.to_string(),
            storage_audience: format!("store:{deployment}"),
        })
    }

    /// The public key; it is part of the enclave's sealed configuration.
    pub const fn public(&self) -> P256Public {
        self.public
    }

    /// `iss`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `aud` of access tokens.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// What the record store checks storage tokens with.
    pub fn storage_key(&self) -> StorageKey {
        storage_key(&self.derive)
    }

    /// A key of its own for one purpose, so that no second secret file is needed.
    pub(crate) fn derive(&self, purpose: &str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, derived(&self.derive, purpose).expose_secret())
    }

    /// An access token for a session, and when it expires.
    pub(crate) fn access(&self, session: &Session, now: UnixSeconds) -> Result<(SecretText, UnixSeconds), TokenError> {
        let exp = now.0.saturating_add(ACCESS_SECONDS);
        let claims = AccessClaims {
            iss: self.name.clone(),
            aud: self.audience.clone(),
            sub: session.user.as_str().to_owned(),
            sid: session.id.as_str().to_owned(),
            app: session.app.as_str().to_owned(),
            jti: random_hex::<16>().map_err(|_| TokenError::Malformed)?,
            iat: now.0,
            exp,
            cnf: AccessClaims::confirmation(&session.device),
        };
        Ok((SecretText::new(sign(ACCESS_TYP, &claims, &self.key)?), UnixSeconds(exp)))
    }

    /// Checks an access token of this issuer.
    pub(crate) fn check(&self, token: &str, now: UnixSeconds) -> Result<Access, TokenError> {
        let claims = verify_access(token, &self.name, &self.audience, &self.public, now)?;
        let device = claims.device().ok_or(TokenError::Claims)?;
        Ok(Access { app: AppId::new(claims.app.clone()), device, claims })
    }

    /// A storage token: one wallet, one operation.
    pub(crate) fn storage(
        &self,
        wallet: &UserIdHash,
        method: Method,
        now: UnixSeconds,
    ) -> Result<SecretText, TokenError> {
        let claims = StorageClaims {
            iss: self.name.clone(),
            aud: self.storage_audience.clone(),
            wallet: wallet.to_string(),
            operation: method.name().to_owned(),
            jti: random_hex::<16>().map_err(|_| TokenError::Malformed)?,
            iat: now.0,
            exp: now.0.saturating_add(STORAGE_SECONDS),
        };
        self.storage.sign(&claims)
    }
}

fn storage_key(derive: &hmac::Key) -> StorageKey {
    StorageKey::new(&derived(derive, "storage tokens"))
}

/// 32 secret bytes for one purpose.
fn derived(key: &hmac::Key, purpose: &str) -> SecretBytes<32> {
    let tag = hmac::sign(key, format!("pinseal derive v1\0{purpose}").as_bytes());
    let mut out = SecretBytes::<32>::zeroed();
    out.expose_secret_mut().copy_from_slice(tag.as_ref());
    out
}

/// Puts the key in place whole or not at all: a crash on the way leaves no half key under its name.
fn place(path: &Path, key: &[u8]) -> std::io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", random_hex::<8>().map_err(std::io::Error::other)?));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let placed = file.write_all(key).and_then(|()| file.sync_all()).and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft)?;
    match placed {
        // Somebody else was faster; their key counts.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        placed => placed?,
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(directory)?.sync_all()
}

/// A verified access token.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) claims: AccessClaims,
    pub(crate) app: AppId,
    pub(crate) device: DeviceId,
}
