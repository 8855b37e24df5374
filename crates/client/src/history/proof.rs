//! One entry of the log, as the host shows it, against the checkpoint that the enclave signed.

use pinseal_protocol::cbor;
use pinseal_protocol::history::LoggedWrite;
use pinseal_protocol::ids::{Hash32, UserIdHash, Version};
use pinseal_protocol::log::{Entry, Inclusion, Tree, leaf_hash};

use super::HistoryError;
use crate::api::LogItem;

/// What entries are measured by.
pub(super) struct Frame {
    /// The log, under the pinned log key.
    pub(super) tree: Tree,
    /// The caller's wallet, by the enclave's word.
    pub(super) wallet: UserIdHash,
}

impl Frame {
    /// The item, if it is in the log and is the entry of the write of `expected` to the caller's wallet.
    ///
    /// # Errors
    /// [`HistoryError::Forged`], [`HistoryError::Foreign`] or [`HistoryError::Missing`].
    pub(super) fn write(&self, item: &LogItem, expected: u64) -> Result<LoggedWrite, HistoryError> {
        let path = self.check(item)?;
        let index = item.index;
        let Ok(Entry::Record { wallet, version, outer, detail }) = cbor::from_slice(&item.entry.0) else {
            return Err(HistoryError::Foreign { index });
        };
        if wallet != self.wallet {
            return Err(HistoryError::Foreign { index });
        }
        if version != Version(expected) {
            return Err(HistoryError::Missing { version: expected });
        }
        Ok(LoggedWrite { version, outer, detail, index, path })
    }

    /// The item, if it is in the log and an event of the deployment; `None` if this release does not know its kind.
    ///
    /// # Errors
    /// [`HistoryError::Forged`] or [`HistoryError::Foreign`].
    pub(super) fn event(&self, item: &LogItem) -> Result<Option<Entry>, HistoryError> {
        self.check(item)?;
        match cbor::from_slice(&item.entry.0) {
            Ok(Entry::Record { .. } | Entry::Read { .. }) => Err(HistoryError::Foreign { index: item.index }),
            read => Ok(read.ok()),
        }
    }

    /// The path that leads from the item to the tree's root.
    fn check(&self, item: &LogItem) -> Result<Vec<Hash32>, HistoryError> {
        let forged = HistoryError::Forged { index: item.index };
        let path = item.proof.iter().map(|hash| Hash32::from_slice(&hash.0)).collect::<Option<Vec<_>>>();
        let Some(path) = path else { return Err(forged) };
        let proof = Inclusion { index: item.index, size: self.tree.size, path };
        if proof.verifies(&leaf_hash(&item.entry.0), &self.tree.root) { Ok(proof.path) } else { Err(forged) }
    }
}
