//! The storage-token boundary: who may read or write which sealed record.
//!
//! [`crate::records::Records`] hands out and takes back a record only against a value made here, and only a verified token
//! makes one. A storage token is good for one wallet, one operation, as many writes as the operation makes
//! ([`Method::writes`]), and once. It is checked when the operation is admitted; the grant then lives as long as the
//! operation, so that a token which expires half-way cannot cost its user the settling write.
//!
//! Named exceptions, which need no storage token: the header stream at boot (no record leaves), and the read that `begin`
//! needs before a storage token can exist ([`BeginGrant`]).

mod spent;

use std::sync::{Mutex, MutexGuard, PoisonError};

use pinseal_protocol::configuration::Issuer;
use pinseal_protocol::ids::{DeploymentId, Hash32, UnixSeconds, UserIdHash};
use pinseal_protocol::kdf;
use pinseal_protocol::request::Method;
use pinseal_protocol::token::{self, StorageKey, TokenError, token_hash};
use pinseal_protocol::verified::Verified;

pub(crate) use spent::SPENT_MAX;
use spent::Spent;

/// Longest life of a storage token. A challenge lives 600 seconds, a longer token would be of no use, and this bounds how
/// long used ones must be remembered.
pub const STORAGE_TOKEN_SECONDS_MAX: u64 = 900;
/// How far in the future a token may claim to be issued: the clocks of login service and host may differ a little.
const ISSUED_AHEAD_SECONDS_MAX: u64 = 60;
/// Access tokens remembered as verified, about 150 bytes each.
const ACCESS_TOKENS_MAX: usize = 16_384;

/// Why a record stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// Malformed, not signed by the login service, for another audience, wallet or operation, or living too long. The
    /// caller's fault.
    #[error("the token does not open this record")]
    Invalid,
    /// Past its expiry: begin again.
    #[error("the token has expired")]
    Expired,
    /// Used before: begin again.
    #[error("the token was used before")]
    Spent,
    /// The operation has made all the writes it is entitled to. The enclave's fault.
    #[error("the operation has no write left")]
    WritesSpent,
    /// Too many tokens were used lately to remember one more. Try later.
    #[error("too many operations")]
    Full,
}

/// A storage token that verifies, not used yet. Only [`Vault::check`] makes one.
#[derive(Debug)]
pub struct Checked {
    wallet: UserIdHash,
    operation: Method,
    token: Hash32,
    expires: UnixSeconds,
}

impl Checked {
    /// The wallet.
    pub const fn wallet(&self) -> &UserIdHash {
        &self.wallet
    }
}

/// The right to one operation on one wallet's record. Only [`Vault`] makes one, once per token.
#[derive(Debug)]
pub struct Grant {
    wallet: UserIdHash,
    operation: Method,
    token: Hash32,
    expires: UnixSeconds,
    writes_made: u8,
}

/// The right to one write of one wallet's record; consumed by [`crate::records::Records::commit`].
#[derive(Debug)]
pub struct WritePermit {
    pub(crate) wallet: UserIdHash,
    pub(crate) token: Hash32,
    pub(crate) number: u8,
    pub(crate) expires: UnixSeconds,
}

/// The right to read one wallet's record for a `begin` of the session whose access token was verified.
///
/// The token names a user, not a wallet: the enclave says which wallet is the user's. The pair is remembered at the first
/// read, and from then on this user opens no other record and nobody else opens this one.
#[derive(Debug)]
pub struct BeginGrant {
    pub(crate) wallet: UserIdHash,
    pub(crate) subject: Hash32,
}

impl Grant {
    /// The wallet.
    pub const fn wallet(&self) -> &UserIdHash {
        &self.wallet
    }

    /// The operation.
    pub const fn operation(&self) -> Method {
        self.operation
    }

    /// Takes one of the operation's writes.
    ///
    /// # Errors
    /// [`VaultError::WritesSpent`].
    pub const fn permit(&mut self) -> Result<WritePermit, VaultError> {
        if self.writes_made >= self.operation.writes() {
            return Err(VaultError::WritesSpent);
        }
        self.writes_made += 1;
        Ok(WritePermit { wallet: self.wallet, token: self.token, number: self.writes_made, expires: self.expires })
    }
}

/// Verifies tokens of one login service for one deployment, and remembers the used ones.
#[derive(Debug)]
pub struct Vault {
    issuer: Issuer,
    storage: StorageKey,
    audience: String,
    spent: Mutex<Spent>,
    /// Whose they are, by hash.
    access: Mutex<Verified<Hash32>>,
}

impl Vault {
    /// A vault that trusts `issuer` for access tokens, and storage tokens of that issuer made under `storage`.
    pub fn new(issuer: Issuer, storage: StorageKey, deployment: &DeploymentId) -> Self {
        Self {
            issuer,
            storage,
            audience: storage_audience(deployment),
            spent: Mutex::new(Spent::default()),
            access: Mutex::new(Verified::new(ACCESS_TOKENS_MAX)),
        }
    }

    /// Remembers tokens that were used in an earlier life of this process ([`crate::records::Records::used_tokens`]).
    pub fn recall(&self, used: Vec<(Hash32, UnixSeconds)>, now: UnixSeconds) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        for (token, expires) in used {
            // Known already or no room left: the batch's transaction refuses it all the same.
            let _ = spent.add(token, expires, now);
        }
    }

    /// Checks a storage token for `operation` on `wallet` without using it up.
    ///
    /// # Errors
    /// [`VaultError::Invalid`] or [`VaultError::Expired`].
    pub fn check(
        &self,
        storage_token: &str,
        wallet: &UserIdHash,
        operation: Method,
        now: UnixSeconds,
    ) -> Result<Checked, VaultError> {
        let claims = self.storage.verify(storage_token).map_err(|_| VaultError::Invalid)?;
        let named = UserIdHash::from_hex(&claims.wallet).ok_or(VaultError::Invalid)?;
        let life = claims.exp.checked_sub(claims.iat).ok_or(VaultError::Invalid)?;
        let sound = named == *wallet
            && claims.iss == self.issuer.issuer
            && claims.aud == self.audience
            && Method::from_name(&claims.operation) == Some(operation)
            && !claims.jti.is_empty()
            && life <= STORAGE_TOKEN_SECONDS_MAX
            && claims.iat <= now.0.saturating_add(ISSUED_AHEAD_SECONDS_MAX);
        if !sound {
            return Err(VaultError::Invalid);
        }
        if now.0 >= claims.exp {
            return Err(VaultError::Expired);
        }
        // The id alone names the token: an issuer that signs two tokens with one id gets one operation.
        let token = kdf::hash("pinseal storage token v1", &[claims.jti.as_bytes()]);
        Ok(Checked { wallet: named, operation, token, expires: UnixSeconds(claims.exp) })
    }

    /// Uses a checked token up.
    ///
    /// # Errors
    /// [`VaultError::Spent`] or [`VaultError::Full`].
    pub fn spend(&self, checked: Checked, now: UnixSeconds) -> Result<Grant, VaultError> {
        let Checked { wallet, operation, token, expires } = checked;
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).add(token, expires, now)?;
        Ok(Grant { wallet, operation, token, expires, writes_made: 0 })
    }

    /// [`Vault::check`] and [`Vault::spend`].
    ///
    /// # Errors
    /// [`VaultError`]; a token for another wallet stays unused.
    pub fn verify(
        &self,
        storage_token: &str,
        wallet: &UserIdHash,
        operation: Method,
        now: UnixSeconds,
    ) -> Result<Grant, VaultError> {
        self.spend(self.check(storage_token, wallet, operation, now)?, now)
    }

    /// Takes back the grant of an operation that was never started; its token may be used again.
    pub fn give_back(&self, grant: Grant) {
        if grant.writes_made == 0 {
            self.spent.lock().unwrap_or_else(PoisonError::into_inner).remove(&grant.token, grant.expires);
        }
    }

    /// Verifies the access token of a session for the read that `begin` needs. `wallet` is the one the enclave named for it.
    ///
    /// # Errors
    /// [`VaultError::Invalid`] or [`VaultError::Expired`].
    pub fn begin(&self, access_token: &str, wallet: UserIdHash, now: UnixSeconds) -> Result<BeginGrant, VaultError> {
        let hash = token_hash(access_token);
        if let Some(subject) = self.access().find(&hash, now) {
            return Ok(BeginGrant { wallet, subject });
        }
        let issuer = &self.issuer;
        let claims = token::verify_access(access_token, &issuer.issuer, &issuer.audience, &issuer.key, now).map_err(
            |error| match error {
                TokenError::Expired => VaultError::Expired,
                _ => VaultError::Invalid,
            },
        )?;
        let subject = kdf::hash("pinseal wallet owner v1", &[claims.iss.as_bytes(), claims.sub.as_bytes()]);
        self.access().remember(hash, claims.exp, subject, now);
        Ok(BeginGrant { wallet, subject })
    }

    /// Tokens are remembered and forgotten whole, so a poisoned lock guards sound ones.
    fn access(&self) -> MutexGuard<'_, Verified<Hash32>> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `aud` of the storage tokens of a deployment.
pub fn storage_audience(deployment: &DeploymentId) -> String {
    format!("store:{deployment}")
}

#[cfg(test)]
impl Grant {
    /// The grant as it was before its first write, so that a test can make the vault forget its token.
    pub(crate) const fn untouched(self) -> Self {
        Self { writes_made: 0, ..self }
    }
}

#[cfg(test)]
pub(crate) mod tests;
