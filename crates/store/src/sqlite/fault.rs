//! A seam around the commit of a batch: tests fail it, and watch its order.

/// How a commit is made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// Disk full: rolled back, certainly not stored.
    Full,
    /// I/O error before the commit reached the disk; the caller cannot know.
    ErrorLost,
    /// I/O error after the commit reached the disk; the caller cannot know.
    ErrorStored,
}

/// Called around the commits of [`crate::records::Records`].
pub trait CommitHook: Send + Sync {
    /// Before `COMMIT`; a fault makes it fail.
    fn before_commit(&self) -> Option<CommitFault> {
        None
    }
    /// After `COMMIT` returned: the transaction is on disk.
    fn after_commit(&self) {}
}
