//! Receipts: signed checkpoints a device has seen. They only ever grow.

use pinseal_protocol::checkpoint::{Checkpoint, NoteError};
use pinseal_protocol::ids::Hash32;

use crate::profile::{PinnedDeployment, Profile, Receipt};

/// Why a checkpoint is not believed. The deployment's state is not what this device has seen before: no PIN is given to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not a checkpoint of this deployment under its log key. Somebody between client and enclave changed it.
    #[error("the receipt is not signed by this deployment")]
    Invalid(#[source] NoteError),
    /// Older than the one this device holds: the operator put back an older state.
    #[error("the deployment's state was rolled back: it shows {shown} log entries, this device has seen {held}")]
    RolledBack {
        /// Entries this device has seen.
        held: u64,
        /// Entries shown now.
        shown: u64,
    },
    /// As long as the one this device holds, with other contents: two histories exist.
    #[error("the deployment shows two different histories of {size} log entries")]
    Forked {
        /// Entries.
        size: u64,
    },
}

/// Reads a note under the pinned log key.
pub(crate) fn read(note: &[u8], manifest: Hash32, pinned: &PinnedDeployment) -> Result<Receipt, ReceiptError> {
    let checkpoint = Checkpoint::verify(note, &pinned.deployment, &pinned.log).map_err(ReceiptError::Invalid)?;
    Ok(Receipt { note: note.to_vec(), size: checkpoint.size, root: checkpoint.root, manifest })
}

/// Checks that `shown` continues `held`.
pub(crate) fn continues(held: Option<&Receipt>, shown: &Receipt) -> Result<(), ReceiptError> {
    let Some(held) = held else { return Ok(()) };
    if shown.size < held.size {
        return Err(ReceiptError::RolledBack { held: held.size, shown: shown.size });
    }
    if shown.size == held.size && shown.root != held.root {
        return Err(ReceiptError::Forked { size: held.size });
    }
    Ok(())
}

/// Checks the checkpoint of a boot. Each boot adds an entry, so a boot this device has no receipt of must show more entries than
/// any receipt of another boot.
pub(crate) fn boot_continues(held: Option<&Receipt>, boot: &Receipt) -> Result<(), ReceiptError> {
    match held {
        Some(held) if held.manifest != boot.manifest && boot.size <= held.size => {
            Err(ReceiptError::RolledBack { held: held.size, shown: boot.size })
        }
        _ => Ok(()),
    }
}

/// Keeps the newer of `receipt` and the stored one. Requests under way at once may end in another order than their receipts.
pub(crate) fn keep(profile: &mut Profile, receipt: Receipt) -> Result<(), ReceiptError> {
    match &profile.receipt {
        Some(held) if held.size == receipt.size && held.root != receipt.root => {
            Err(ReceiptError::Forked { size: held.size })
        }
        Some(held) if held.size > receipt.size => Ok(()),
        _ => {
            profile.receipt = Some(receipt);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(size: u64, root: u8, boot: u8) -> Receipt {
        Receipt { note: vec![root], size, root: Hash32([root; 32]), manifest: Hash32([boot; 32]) }
    }

    fn profile(held: Option<Receipt>) -> Profile {
        Profile { receipt: held, ..Profile::new().expect("the test machine has randomness") }
    }

    #[test]
    fn a_reply_continues_what_was_presented() {
        let held = receipt(5, 1, 1);
        assert_eq!(continues(None, &held), Ok(()));
        assert_eq!(continues(Some(&held), &held), Ok(()));
        assert_eq!(continues(Some(&held), &receipt(6, 2, 1)), Ok(()));
        assert_eq!(continues(Some(&held), &receipt(5, 2, 1)), Err(ReceiptError::Forked { size: 5 }));
        assert_eq!(continues(Some(&held), &receipt(4, 1, 1)), Err(ReceiptError::RolledBack { held: 5, shown: 4 }));
    }

    #[test]
    fn a_new_boot_shows_at_least_its_own_entry_more() {
        let held = receipt(5, 1, 1);
        assert_eq!(boot_continues(None, &receipt(1, 1, 1)), Ok(()));
        // The same boot, attested again after requests.
        assert_eq!(boot_continues(Some(&held), &receipt(3, 9, 1)), Ok(()));
        assert_eq!(boot_continues(Some(&held), &receipt(6, 2, 2)), Ok(()));
        for size in [4, 5] {
            let rolled_back = ReceiptError::RolledBack { held: 5, shown: size };
            assert_eq!(boot_continues(Some(&held), &receipt(size, 1, 2)), Err(rolled_back));
        }
    }

    #[test]
    fn the_stored_receipt_never_goes_back() {
        let mut profile = profile(Some(receipt(5, 1, 1)));
        assert_eq!(keep(&mut profile, receipt(4, 7, 1)), Ok(()));
        assert_eq!(profile.receipt, Some(receipt(5, 1, 1)));
        assert_eq!(keep(&mut profile, receipt(5, 2, 1)), Err(ReceiptError::Forked { size: 5 }));
        assert_eq!(keep(&mut profile, receipt(6, 2, 1)), Ok(()));
        assert_eq!(profile.receipt, Some(receipt(6, 2, 1)));
    }
}
