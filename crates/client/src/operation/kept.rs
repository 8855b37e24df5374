//! What a sealed reply leaves for the next request of its kind, so that a second signature needs no `begin`.
//!
//! Invariant: a PIN typed once is charged at most once, whatever the host says. What a reply left is used once. If the host then refuses
//! the request in clear, which may be a lie that hides a verdict, the PIN goes into a second request only under a challenge for the
//! same version of the record: the first one was not decided when that was made, and of two requests for one version the enclave decides
//! one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pinseal_protocol::challenge;
use pinseal_protocol::ids::{Hash32, UnixSeconds, UserIdHash, Version};
use pinseal_protocol::request::{BeginReply, Method};
use pinseal_protocol::secret::SecretText;

use crate::api::ApiError;
use crate::profile::{Profile, Session, UserName};

/// Shorter than a storage token (300 s) and a challenge (600 s) live; whoever waits longer begins again.
const KEPT_SECONDS_MAX: u64 = 240;

/// A challenge and the storage token that goes with it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) begin: BeginReply,
    pub(crate) storage_token: SecretText,
    user: UserName,
    until: u64,
}

impl Kept {
    pub(crate) const fn new(begin: BeginReply, storage_token: SecretText, user: UserName, now: UnixSeconds) -> Self {
        Self { begin, storage_token, user, until: now.0.saturating_add(KEPT_SECONDS_MAX) }
    }

    /// True if it is of this boot, method, user, device and wallet, and still young enough.
    fn serves(
        &self,
        manifest: &Hash32,
        method: Method,
        profile: &Profile,
        session: &Session,
        now: UnixSeconds,
    ) -> bool {
        let begin = &self.begin;
        begin.manifest == *manifest
            && begin.method == method
            && begin.device == profile.device.id()
            && self.user == session.user
            && profile.wallet().is_none_or(|pinned| pinned.wallet == begin.wallet)
            && now.0 < self.until
    }
}

/// A request under a kept challenge that the host refused in clear: it may have been carried out.
#[derive(Debug)]
pub(crate) struct Doubt {
    wallet: UserIdHash,
    method: Method,
    version: Option<Version>,
    said: ApiError,
}

impl Doubt {
    pub(crate) fn new(wallet: UserIdHash, method: Method, version: Option<Version>, said: ApiError) -> Self {
        Self { wallet, method, version, said }
    }

    /// What the host had said, if the wallet has moved since: the request may have been decided.
    ///
    /// # Errors
    /// The doubt itself where nothing was decided yet.
    pub(crate) fn resolve(self, begin: &BeginReply) -> Result<ApiError, Self> {
        let stands = self.version.is_some() && self.version == challenge::version(&begin.challenge);
        if stands { Err(self) } else { Ok(self.said) }
    }

    pub(crate) fn into_said(self) -> ApiError {
        self.said
    }
}

/// The one place of a client for both. In memory only.
#[derive(Debug, Default)]
pub(crate) struct Continuation(Mutex<(Option<Kept>, Option<Doubt>)>);

impl Continuation {
    // Both are put and taken whole, so a poisoned lock guards a sound pair.
    fn locked(&self) -> MutexGuard<'_, (Option<Kept>, Option<Doubt>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self, kept: Kept) {
        self.locked().0 = Some(kept);
    }

    /// Takes what serves this request; what serves no request of this method any more is forgotten.
    pub(crate) fn take(
        &self,
        manifest: &Hash32,
        method: Method,
        profile: &Profile,
        session: &Session,
        now: UnixSeconds,
    ) -> Option<Kept> {
        let kept = self.locked().0.take_if(|kept| kept.begin.method == method)?;
        kept.serves(manifest, method, profile, session, now).then_some(kept)
    }

    pub(crate) fn doubt(&self, doubt: Doubt) {
        self.locked().1 = Some(doubt);
    }

    /// What is in doubt about this wallet and method.
    pub(crate) fn take_doubt(&self, begin: &BeginReply) -> Option<Doubt> {
        self.locked().1.take_if(|doubt| doubt.wallet == begin.wallet && doubt.method == begin.method)
    }
}
