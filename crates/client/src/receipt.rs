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
    /// Of an earlier restore than the one this device holds: a state from before it was put back without the operators' order.
    #[error(
        "the deployment's state is from before restore {held}, which this device has accepted; it shows restore {shown}"
    )]
    RestoreForgotten {
        /// The restore this device has accepted.
        held: u32,
        /// The one shown.
        shown: u32,
    },
    /// The operators put an older state back, and this device has not accepted that.
    #[error("the operators put an older state back (restore {shown}), and this device has not accepted that")]
    Restored {
        /// The restore shown.
        shown: u32,
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

/// The restore that a receipt is of, 0 before the first.
pub(crate) fn restores(receipt: &Receipt) -> u32 {
    Checkpoint::read_unverified(&receipt.note).map_or(0, |checkpoint| checkpoint.restores)
}

/// Checks that `shown` is of no earlier restore than `held`; true if it is of a later one.
fn is_restored(held: &Receipt, shown: &Receipt) -> Result<bool, ReceiptError> {
    let (held, shown) = (restores(held), restores(shown));
    if shown < held { Err(ReceiptError::RestoreForgotten { held, shown }) } else { Ok(shown > held) }
}

/// Checks that `shown` continues `held`.
pub(crate) fn continues(held: Option<&Receipt>, shown: &Receipt) -> Result<(), ReceiptError> {
    let Some(held) = held else { return Ok(()) };
    if is_restored(held, shown)? {
        return Err(ReceiptError::Restored { shown: restores(shown) });
    }
    if shown.size < held.size {
        return Err(ReceiptError::RolledBack { held: held.size, shown: shown.size });
    }
    if shown.size == held.size && shown.root != held.root {
        return Err(ReceiptError::Forked { size: held.size });
    }
    Ok(())
}

/// Checks the checkpoint of a boot. Each boot adds an entry, so a boot this device has no receipt of must show more entries than
/// any receipt of another boot. `Some` with its number if the boot is of a restore that this device has not accepted.
pub(crate) fn boot_continues(held: Option<&Receipt>, boot: &Receipt) -> Result<Option<u32>, ReceiptError> {
    let Some(held) = held else { return Ok(None) };
    if is_restored(held, boot)? {
        return Ok(Some(restores(boot)));
    }
    if held.manifest != boot.manifest && boot.size <= held.size {
        return Err(ReceiptError::RolledBack { held: held.size, shown: boot.size });
    }
    Ok(None)
}

/// Puts `shown` in the place of the stored receipt if it is newer and the two are known to be of one history: the enclave compared `shown` with
/// `presented`, and one boot has one history. What another request has stored meanwhile may be of another branch. It stays, and the next request
/// presents it to the enclave, which then says so.
pub(crate) fn keep(profile: &mut Profile, shown: Receipt, presented: Option<&Receipt>) -> Result<(), ReceiptError> {
    let Some(held) = &profile.receipt else {
        profile.receipt = Some(shown);
        return Ok(());
    };
    let order = restores(held).cmp(&restores(&shown)).then(held.size.cmp(&shown.size));
    if order.is_eq() && held.root != shown.root {
        return Err(ReceiptError::Forked { size: held.size });
    }
    let is_compared = presented.is_some_and(|presented| presented.note == held.note) || held.manifest == shown.manifest;
    if order.is_le() && is_compared {
        profile.receipt = Some(shown);
    }
    Ok(())
}

/// Puts the checkpoint of a restore that its owner has accepted in the place of what was seen before it.
pub(crate) fn keep_restored(profile: &mut Profile, boot: Receipt) {
    if profile.receipt.as_ref().is_none_or(|held| restores(held) < restores(&boot)) {
        profile.receipt = Some(boot);
    }
}

#[cfg(test)]
mod tests {
    use pinseal_protocol::checkpoint::SealedBreaker;
    use pinseal_protocol::ids::{DeploymentId, Sequence, UnixSeconds};
    use pinseal_protocol::manifest::Ed25519Public;

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
        assert_eq!(boot_continues(None, &receipt(1, 1, 1)), Ok(None));
        // The same boot, attested again after requests.
        assert_eq!(boot_continues(Some(&held), &receipt(3, 9, 1)), Ok(None));
        assert_eq!(boot_continues(Some(&held), &receipt(6, 2, 2)), Ok(None));
        for size in [4, 5] {
            let rolled_back = ReceiptError::RolledBack { held: 5, shown: size };
            assert_eq!(boot_continues(Some(&held), &receipt(size, 1, 2)), Err(rolled_back));
        }
    }

    /// As [`receipt`], of a restore; its note says so.
    fn restored(restores: u32, size: u64, root: u8) -> Receipt {
        let checkpoint = Checkpoint {
            deployment: DeploymentId([1; 16]),
            restores,
            size,
            root: Hash32([root; 32]),
            sequence: Sequence(size),
            previous: Hash32([0; 32]),
            time: UnixSeconds(0),
            state: Hash32([0; 32]),
            breaker: SealedBreaker([0; SealedBreaker::LEN]),
            tpm: None,
        };
        let note = checkpoint.to_note(&Ed25519Public([1; 32]), |_| [0; 64]);
        Receipt { note, ..receipt(size, root, u8::try_from(size).expect("small sizes")) }
    }

    #[test]
    fn a_restore_is_told_and_never_forgotten() {
        let (before, after) = (restored(0, 9, 1), restored(2, 5, 2));
        assert_eq!(boot_continues(Some(&before), &after), Ok(Some(2)), "shorter, and of a later restore");
        assert_eq!(continues(Some(&before), &after), Err(ReceiptError::Restored { shown: 2 }));
        let forgotten = ReceiptError::RestoreForgotten { held: 2, shown: 0 };
        assert_eq!(boot_continues(Some(&after), &before), Err(forgotten));
        assert_eq!(continues(Some(&after), &before), Err(forgotten));
        let mut profile = profile(Some(before.clone()));
        keep_restored(&mut profile, after.clone());
        assert_eq!(profile.receipt, Some(after.clone()));
        assert_eq!(keep(&mut profile, before.clone(), Some(&after)), Ok(()));
        keep_restored(&mut profile, before);
        assert_eq!(profile.receipt, Some(after), "and not back");
    }

    #[test]
    fn the_stored_receipt_never_goes_back() {
        let held = receipt(5, 1, 1);
        let mut profile = profile(Some(held.clone()));
        assert_eq!(keep(&mut profile, receipt(4, 7, 1), Some(&held)), Ok(()));
        assert_eq!(profile.receipt, Some(receipt(5, 1, 1)));
        assert_eq!(keep(&mut profile, receipt(5, 2, 1), Some(&held)), Err(ReceiptError::Forked { size: 5 }));
        assert_eq!(keep(&mut profile, receipt(6, 2, 1), Some(&held)), Ok(()));
        assert_eq!(profile.receipt, Some(receipt(6, 2, 1)));
    }

    #[test]
    fn what_was_not_compared_with_the_stored_receipt_takes_its_place_only_within_a_boot() {
        let (presented, held) = (receipt(5, 1, 1), receipt(6, 2, 2));
        let mut profile = profile(Some(held.clone()));
        // A branch of another boot, which was shown what both continue.
        assert_eq!(keep(&mut profile, receipt(50, 3, 3), Some(&presented)), Ok(()));
        assert_eq!(keep(&mut profile, receipt(50, 3, 3), None), Ok(()));
        assert_eq!(profile.receipt, Some(held.clone()));
        assert_eq!(keep(&mut profile, receipt(6, 4, 3), Some(&presented)), Err(ReceiptError::Forked { size: 6 }));
        // Two requests to one boot end in another order than they began.
        assert_eq!(keep(&mut profile, receipt(7, 4, 2), Some(&presented)), Ok(()));
        assert_eq!(profile.receipt, Some(receipt(7, 4, 2)));
        // And a later boot, which was shown what is held.
        assert_eq!(keep(&mut profile, receipt(9, 5, 4), Some(&receipt(7, 4, 2))), Ok(()));
        assert_eq!(profile.receipt, Some(receipt(9, 5, 4)));
    }
}
