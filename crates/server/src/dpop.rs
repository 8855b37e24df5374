//! The server's half of DPoP (RFC 9449): nonces that need no memory and a memory of proofs that is bounded.

use std::collections::HashSet;
use std::sync::Mutex;

use aws_lc_rs::hmac;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pinseal_protocol::constant_time;
use pinseal_protocol::dpop::{SKEW_SECONDS_MAX, VerifiedProof, verify};
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::token::TokenError;
use sha2::{Digest as _, Sha256};

use crate::problem::{Problem, table};

/// A nonce is made from the number of this window and accepted in it and the next one.
const NONCE_WINDOW_SECONDS: u64 = 120;
/// A generation of remembered proofs. Two of them cover twice the skew, after which `iat` refuses a proof anyway.
const GENERATION_SECONDS: u64 = 2 * SKEW_SECONDS_MAX + 1;
/// Proofs remembered in one generation, 16 bytes each; once for each [`Share`], so that strangers who fill theirs keep no session
/// out. When it is full, further proofs are refused rather than old ones forgotten.
const PROOFS_MAX: usize = 200_000;

/// Whose room a remembered proof takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Share {
    /// Devices that showed, beside the proof, a token of a live session bound to the proof's key.
    Sessions,
    /// Everybody else.
    Strangers,
}

/// Issues nonces and remembers proofs.
pub(crate) struct DpopGuard {
    key: hmac::Key,
    of_sessions: Mutex<Seen>,
    of_strangers: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    generation: u64,
    current: HashSet<[u8; 16]>,
    previous: HashSet<[u8; 16]>,
}

impl DpopGuard {
    /// `key` is fresh for each start: a restart costs every client one retry and forgets no proof that is still valid.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            of_sessions: Mutex::default(),
            of_strangers: Mutex::default(),
        }
    }

    fn nonce_of(&self, window: u64) -> String {
        let tag = hmac::sign(&self.key, &window.to_be_bytes());
        URL_SAFE_NO_PAD.encode(tag.as_ref().get(..16).unwrap_or_default())
    }

    /// The nonce for `DPoP-Nonce`.
    pub(crate) fn nonce(&self, now: UnixSeconds) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.nonce_of(now.0 / NONCE_WINDOW_SECONDS)).ok()
    }

    /// Checks the one proof a request carries, for its method, target and access token. Whether it is new is for
    /// [`Self::remember`] to say, once the caller knows whose proof it is.
    pub(crate) fn verify(
        &self,
        headers: &HeaderMap,
        method: &str,
        target: &str,
        access_token: Option<&str>,
        now: UnixSeconds,
    ) -> Result<VerifiedProof, Problem> {
        let mut proofs = headers.get_all("dpop").iter();
        let (Some(compact), None) = (proofs.next(), proofs.next()) else { return Err(table::DPOP_INVALID.into()) };
        let compact = compact.to_str().map_err(|_| table::DPOP_INVALID)?;
        let verified = verify(compact, method, target, access_token, now).map_err(|error| match error {
            TokenError::Expired => Problem::from(table::DPOP_INVALID).detail("iat is too far from the server's time"),
            TokenError::Claims => Problem::from(table::DPOP_INVALID).detail("htm, htu or ath is another"),
            _ => table::DPOP_INVALID.into(),
        })?;
        let window = now.0 / NONCE_WINDOW_SECONDS;
        let fresh = [Some(window), window.checked_sub(1)].into_iter().flatten();
        let nonce = verified.proof.nonce.as_deref().unwrap_or_default();
        let is_ours = |window| constant_time::equal(self.nonce_of(window).as_bytes(), nonce.as_bytes());
        if !fresh.into_iter().any(is_ours) {
            return Err(table::USE_DPOP_NONCE.into());
        }
        Ok(verified)
    }

    /// Refuses a proof that was used before; takes up room in `share` only if `admit` lets its caller in.
    pub(crate) fn remember(
        &self,
        verified: &VerifiedProof,
        share: Share,
        now: UnixSeconds,
        admit: impl FnOnce() -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let seen = match share {
            Share::Sessions => &self.of_sessions,
            Share::Strangers => &self.of_strangers,
        };
        // A panic while the lock was held left the sets whole: each change is one insertion or one move.
        seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remember(verified, now, admit)
    }
}

impl Seen {
    fn remember(
        &mut self,
        verified: &VerifiedProof,
        now: UnixSeconds,
        admit: impl FnOnce() -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut hash = Sha256::new();
        hash.update(verified.key.0);
        hash.update(verified.proof.jti.as_bytes());
        let mut id = [0_u8; 16];
        id.copy_from_slice(hash.finalize().get(..16).unwrap_or(&[0; 16]));
        let generation = now.0 / GENERATION_SECONDS;
        if generation > self.generation {
            let last = core::mem::take(&mut self.current);
            self.previous = if generation == self.generation + 1 { last } else { HashSet::new() };
            self.generation = generation;
        }
        if self.current.contains(&id) || self.previous.contains(&id) {
            return Err(table::DPOP_REPLAYED.into());
        }
        if self.current.len() >= PROOFS_MAX {
            return Err(Problem::from(table::OVERLOADED).retry_after(GENERATION_SECONDS));
        }
        admit()?;
        self.current.insert(id);
        Ok(())
    }
}
