//! Read-only connections, lent one at a time.

use std::ops::Deref;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

/// The connections nobody uses right now.
pub(super) struct Pool {
    shelf: Mutex<Shelf>,
    returned: Condvar,
}

struct Shelf {
    idle: Vec<Connection>,
    /// Open connections, lent ones included; none once the pool is closed.
    open: usize,
    closing: bool,
}

/// A borrowed connection; goes back when dropped, also while unwinding.
pub(super) struct Lent<'p> {
    pool: &'p Pool,
    connection: Option<Connection>,
}

impl Pool {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        let shelf = Shelf { open: connections.len(), idle: connections, closing: false };
        Self { shelf: Mutex::new(shelf), returned: Condvar::new() }
    }

    /// Waits for a free connection; `None` once the pool is closed. Reads are short and never nest, so one always comes back.
    pub(super) fn take(&self) -> Option<Lent<'_>> {
        let mut shelf = self.shelf();
        loop {
            if shelf.closing {
                return None;
            }
            if let Some(connection) = shelf.idle.pop() {
                return Some(Lent { pool: self, connection: Some(connection) });
            }
            shelf = self.returned.wait(shelf).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lends nothing any more, and returns once every connection is closed.
    pub(super) fn close(&self) {
        let mut shelf = self.shelf();
        shelf.closing = true;
        self.returned.notify_all();
        loop {
            let idle = shelf.idle.len();
            shelf.open -= idle;
            shelf.idle.clear();
            if shelf.open == 0 {
                return;
            }
            shelf = self.returned.wait(shelf).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Lent<'_> {
    type Target = Connection;

    #[allow(clippy::expect_used, reason = "only drop takes the connection")]
    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("taken only by drop")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.shelf().idle.push(connection);
            // All, since whoever closes the pool waits beside those who want a connection.
            self.pool.returned.notify_all();
        }
    }
}
