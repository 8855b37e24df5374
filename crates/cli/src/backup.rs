//! What the host process says of a backup that it made.

use pinseal_protocol::checkpoint::Checkpoint;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome};

/// What a backup holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BackedUp {
    /// The newest checkpoint in it, signed.
    pub(crate) newest: String,
    /// Its wallets.
    pub(crate) wallets: u64,
    /// Length of its database.
    pub(crate) bytes: u64,
    /// The settings name another place for the token issuer's key than the one that it has in a backup.
    pub(crate) is_issuer_key_elsewhere: bool,
    /// The anchor lies where a link leads. In the backup there is none.
    pub(crate) is_anchor_elsewhere: bool,
}

impl BackedUp {
    /// The newest checkpoint in it.
    ///
    /// # Errors
    /// It is none: host and command are of different releases.
    pub(crate) fn checkpoint(&self) -> Outcome<Checkpoint> {
        Checkpoint::read_unverified(self.newest.as_bytes())
            .map_err(|_| Failure::failed("protocol", "the host does not say what the backup holds"))
    }
}
