//! Records as they were last read or written, each for one reader: who begins an operation goes on with it at once, and who has signed signs
//! again, so the same record is asked for soon after. Whoever asked writes the next version, or the database is asked again.
//!
//! Nobody is shown a record that is older than a commit which has returned.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::wire::RecordWrite;

use crate::recent::Recent;

/// Records that are certainly kept, some 3 KB each; at most twice as many are.
const RECORDS_KEPT: usize = 2_048;

/// See the module.
pub(super) struct RecentRecords(Mutex<Kept>);

struct Kept {
    commits: u64,
    outers: Recent<UserIdHash, Vec<u8>>,
}

impl Default for RecentRecords {
    fn default() -> Self {
        Self(Mutex::new(Kept { commits: 0, outers: Recent::new(RECORDS_KEPT) }))
    }
}

impl RecentRecords {
    /// Commits so far; asked for before a read.
    pub(super) fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// Keeps what was read, unless there was a commit since there were `commits`: it may have been read before that.
    pub(super) fn read(&self, wallet: UserIdHash, outer: &[u8], commits: u64) {
        let mut kept = self.lock();
        if kept.commits == commits {
            kept.outers.keep(wallet, outer.to_vec());
        }
    }

    pub(super) fn take(&self, wallet: &UserIdHash) -> Option<Vec<u8>> {
        self.lock().outers.take(wallet)
    }

    /// A commit has returned, with these records stored; `None` if it failed, and then perhaps some of them.
    pub(super) fn committed(&self, records: Option<Vec<RecordWrite>>) {
        let mut kept = self.lock();
        kept.commits += 1;
        match records {
            Some(records) => {
                records.into_iter().for_each(|record| kept.outers.keep(record.wallet, record.outer.into()))
            }
            None => kept.outers.clear(),
        }
    }

    // Records are kept whole, so a poisoned lock guards sound ones.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
