//! Rows that every request asks for, as they were last read: a live session, a user as an app sees them.
//!
//! They count until the next write of accounts. A write ends them before it returns, so what it changed is seen by whatever is asked after
//! it: a session that was revoked is refused from the next request on. Another process writes no such rows beside a serving host; apps and
//! their keys it does write (`pinseal app`), so these are asked for each time. That something is not there is never kept.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{AppId, Session, SessionId, User, UserId};
use crate::recent::Recent;

/// Rows of each kind that are certainly kept, some 300 bytes each; at most twice as many are.
const ROWS_KEPT: usize = 8_192;

/// See the module.
pub(crate) struct Memory {
    /// Writes so far.
    writes: AtomicU64,
    kept: Mutex<Kept>,
}

/// Rows as they were after so many writes.
pub(crate) struct Kept {
    writes: u64,
    sessions: Recent<SessionId, Session>,
    users: Recent<(UserId, AppId), User>,
}

impl Kept {
    pub(crate) const fn sessions(&mut self) -> &mut Recent<SessionId, Session> {
        &mut self.sessions
    }

    pub(crate) const fn users(&mut self) -> &mut Recent<(UserId, AppId), User> {
        &mut self.users
    }
}

impl Default for Memory {
    fn default() -> Self {
        let kept = Kept { writes: 0, sessions: Recent::new(ROWS_KEPT), users: Recent::new(ROWS_KEPT) };
        Self { writes: AtomicU64::new(0), kept: Mutex::new(kept) }
    }
}

impl Memory {
    /// The row of `key` in `table`: the one kept, or else what `read` finds, which is kept unless accounts are written meanwhile.
    pub(crate) fn recall<K: Eq + Hash, V: Clone, E>(
        &self,
        table: impl Fn(&mut Kept) -> &mut Recent<K, V>,
        key: K,
        read: impl FnOnce(&K) -> Result<Option<V>, E>,
    ) -> Result<Option<V>, E> {
        // Before the read: a write that it may have missed is then another one.
        let writes = self.writes.load(Ordering::Acquire);
        if let Some(row) = self.find(&table, &key, writes) {
            return Ok(Some(row));
        }
        let found = read(&key)?;
        if let Some(row) = &found {
            self.keep(&table, key, row.clone(), writes);
        }
        Ok(found)
    }

    /// Accounts were written, or may have been: nothing that was read before counts any more.
    pub(crate) fn forget(&self) {
        self.writes.fetch_add(1, Ordering::Release);
    }

    fn find<K: Eq + Hash, V: Clone>(
        &self,
        table: &impl Fn(&mut Kept) -> &mut Recent<K, V>,
        key: &K,
        writes: u64,
    ) -> Option<V> {
        let mut kept = self.lock();
        if kept.writes == writes { table(&mut kept).find(key).cloned() } else { None }
    }

    fn keep<K: Eq + Hash, V>(&self, table: &impl Fn(&mut Kept) -> &mut Recent<K, V>, key: K, row: V, writes: u64) {
        let mut kept = self.lock();
        if kept.writes > writes {
            return;
        }
        if kept.writes < writes {
            kept.sessions.clear();
            kept.users.clear();
            kept.writes = writes;
        }
        table(&mut kept).keep(key, row);
    }

    // Rows are kept whole, so a poisoned lock guards sound ones.
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
