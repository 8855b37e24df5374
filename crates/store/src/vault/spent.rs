//! Tokens used since the process started. Writes are remembered in the database too, see [`crate::records`].

use std::collections::{BTreeSet, HashSet};

use pinseal_protocol::ids::{Hash32, UnixSeconds};

use super::VaultError;

/// Used tokens remembered at once: 3,400 operations a second for the 300 seconds that a token lives, about 120 MB when full. Fewer would
/// be the limit of the whole service, whatever else it can do: a soak at 738 a second met 2^17 after three minutes.
pub(crate) const SPENT_MAX: usize = 1 << 20;

/// Used tokens, each until it expires.
#[derive(Debug, Default)]
pub(super) struct Spent {
    tokens: HashSet<Hash32>,
    by_expiry: BTreeSet<(UnixSeconds, Hash32)>,
}

impl Spent {
    pub(super) fn add(&mut self, token: Hash32, expires: UnixSeconds, now: UnixSeconds) -> Result<(), VaultError> {
        while let Some(&(expiry, expired)) = self.by_expiry.first()
            && expiry <= now
        {
            self.remove(&expired, expiry);
        }
        if self.tokens.contains(&token) {
            return Err(VaultError::Spent);
        }
        if self.tokens.len() >= SPENT_MAX {
            return Err(VaultError::Full);
        }
        self.tokens.insert(token);
        self.by_expiry.insert((expires, token));
        Ok(())
    }

    pub(super) fn remove(&mut self, token: &Hash32, expires: UnixSeconds) {
        self.tokens.remove(token);
        self.by_expiry.remove(&(expires, *token));
    }
}
