//! L1: a second file, on a disk of its own where there is one.
//!
//! A database that was stolen or put back meets a newer checkpoint here. Root of the host can put back both; that is said in
//! the threat model and is what the higher levels are for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pinseal_protocol::checkpoint::{Checkpoint, NOTE_BYTES_MAX};
use pinseal_protocol::configuration::AnchorLevel;

use crate::{AdvanceError, Anchor, LoadError, Receipt};

/// A step of [`FileAnchor::advance`], in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStep {
    /// Before the new checkpoint is written beside the old one.
    Write,
    /// It is written and synced, and not in place yet.
    Rename,
    /// It is in place; the directory is not synced yet.
    Sync,
    /// It is durable and was read back.
    Done,
}

/// Watches the steps; an error makes that step fail. A panic stands for a crash.
pub trait FileHook: Send + Sync {
    /// Called before the step (after it for [`FileStep::Done`], whose error is ignored).
    ///
    /// # Errors
    /// Whatever the step shall fail with.
    fn step(&self, step: FileStep) -> io::Result<()>;
}

/// A signed checkpoint in a file; advances are serialised by a lock on a file beside it, also between processes.
pub struct FileAnchor {
    path: PathBuf,
    directory: PathBuf,
    hook: Option<Arc<dyn FileHook>>,
}

impl core::fmt::Debug for FileAnchor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FileAnchor").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Whether the file in place is known to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileState {
    /// Synced before it was put in place.
    Synced,
    MaybeUnsynced,
}

impl FileAnchor {
    /// An anchor in the file `path`; its directory must exist. Reads nothing yet.
    pub fn new(path: &Path) -> Self {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Self { path: path.to_owned(), directory, hook: None }
    }

    /// As [`FileAnchor::new`], with a hook around the steps.
    pub fn with_hook(path: &Path, hook: Arc<dyn FileHook>) -> Self {
        Self { hook: Some(hook), ..Self::new(path) }
    }

    fn step(&self, step: FileStep) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook.step(step))
    }

    /// A file beside the anchor's.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    /// Held until dropped, by one handle of one process at a time.
    fn lock(&self) -> io::Result<File> {
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.beside(".lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    /// Writes and syncs the new checkpoint beside the old one.
    fn stage(&self, next: &[u8]) -> io::Result<PathBuf> {
        self.step(FileStep::Write)?;
        let staged = self.beside(".tmp");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&staged)?;
        file.write_all(next)?;
        file.sync_all()?;
        self.step(FileStep::Rename)?;
        Ok(staged)
    }

    /// Makes what the directory says of the file durable, and the file too unless this very advance has synced it already.
    fn sync(&self, file: FileState) -> io::Result<()> {
        self.step(FileStep::Sync)?;
        if file == FileState::MaybeUnsynced {
            File::open(&self.path)?.sync_all()?;
        }
        File::open(&self.directory)?.sync_all()
    }

    /// The receipt is what is read back, not what was meant to be written.
    fn receipt(&self, file: FileState) -> Result<Receipt, AdvanceError> {
        self.sync(file).map_err(AdvanceError::Unknown)?;
        let held = self.load().map_err(|error| match error {
            LoadError::Unavailable(error) => AdvanceError::Unknown(error),
            LoadError::Damaged => AdvanceError::Unknown(io::Error::from(io::ErrorKind::InvalidData)),
        })?;
        let _ = self.step(FileStep::Done);
        Ok(Receipt(held.unwrap_or_default()))
    }
}

impl Anchor for FileAnchor {
    fn level(&self) -> AnchorLevel {
        AnchorLevel::L1
    }

    fn load(&self) -> Result<Option<Vec<u8>>, LoadError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LoadError::Unavailable(error)),
        };
        let mut held = Vec::new();
        file.take(NOTE_BYTES_MAX as u64 + 1).read_to_end(&mut held).map_err(LoadError::Unavailable)?;
        // A rename is whole or not at all, so a torn note is not ours: nothing is overwritten then.
        Checkpoint::read_unverified(&held).map_err(|_| LoadError::Damaged)?;
        Ok(Some(held))
    }

    fn advance(&mut self, previous: &[u8], next: &[u8]) -> Result<Receipt, AdvanceError> {
        let unavailable = |error| AdvanceError::Unavailable(LoadError::Unavailable(error));
        let _lock = self.lock().map_err(unavailable)?;
        let held = self.load().map_err(AdvanceError::Unavailable)?.unwrap_or_default();
        if held == next {
            // Put there by an advance that may have ended anywhere.
            return self.receipt(FileState::MaybeUnsynced);
        }
        if held != previous {
            return Err(AdvanceError::Lost { holds: held });
        }
        let staged = self.stage(next).map_err(unavailable)?;
        fs::rename(&staged, &self.path).map_err(AdvanceError::Unknown)?;
        self.receipt(FileState::Synced)
    }
}

#[cfg(test)]
mod tests;
