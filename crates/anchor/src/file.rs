//! L1: a second file, on a disk of its own where there is one.
//!
//! A database that was stolen or put back meets a newer checkpoint here. Root of the host can put back both; that is said in
//! the threat model and is what the higher levels are for.
//!
//! The file has two slots, and an advance overwrites the one that is not in force, so that it waits for the disk once and needs no
//! room: whatever becomes of the write, the other slot still holds what was anchored before.

pub(crate) mod slots;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pinseal_protocol::configuration::AnchorLevel;

use crate::{AdvanceError, Anchor, LoadError, Receipt};
use slots::{FILE_BYTES, Slots};

/// A step of [`FileAnchor::advance`], in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStep {
    /// Before the new checkpoint is written.
    Write,
    /// It is in place, and not known to be on disk.
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
    /// The checkpoint that this handle has seen reach the disk, newest.
    durable: Option<Vec<u8>>,
}

impl core::fmt::Debug for FileAnchor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FileAnchor").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The file as it was found.
struct Found {
    file: File,
    slots: Slots,
}

/// Links followed one after the other, as many as a kernel follows.
const LINKS_MAX: usize = 40;

/// Where a link leads, whether something lies there or not: the link itself is never replaced by a file.
fn followed(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().map_or_else(|| target.clone(), |directory| directory.join(&target));
    }
    path
}

impl FileAnchor {
    /// An anchor in the file `path`, or in the one that a link there leads to; its directory must exist. Reads nothing yet.
    pub fn new(path: &Path) -> Self {
        let path = &followed(path);
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Self { path: path.to_owned(), directory, hook: None, durable: None }
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

    /// The error with the file that it is about.
    fn at(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
    }

    /// Held until dropped, by one handle of one process at a time.
    fn lock(&self) -> io::Result<File> {
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.beside(".lock"));
        let lock = lock.map_err(|error| self.at(&error))?;
        lock.lock()?;
        Ok(lock)
    }

    /// Opens and reads the file; `None` where there is none. A directory that is gone is a disk that is: nobody knows what lies there.
    fn find(&self, options: &OpenOptions) -> Result<Option<Found>, LoadError> {
        let file = match options.open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.directory.is_dir() => return Ok(None),
            Err(error) => return Err(LoadError::Unavailable(self.at(&error))),
        };
        let slots = read(&file).map_err(LoadError::Unavailable)?;
        // Nothing is overwritten that is not ours.
        let slots = slots.ok_or(LoadError::Damaged)?;
        Ok(Some(Found { file, slots }))
    }

    /// Puts a whole new file in place: only for the first checkpoint.
    fn create(&self, next: &[u8]) -> Result<Found, AdvanceError> {
        let unavailable = |error| AdvanceError::Unavailable(LoadError::Unavailable(error));
        let staged = self.beside(".tmp");
        let stage = || {
            self.step(FileStep::Write)?;
            let mut file =
                OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(&staged)?;
            file.write_all(&Slots::first(next))?;
            file.sync_all()?;
            Ok(file)
        };
        let file = stage().map_err(unavailable)?;
        fs::rename(&staged, &self.path).map_err(AdvanceError::Unknown)?;
        let slots = read(&file).map_err(AdvanceError::Unknown)?.ok_or_else(torn)?;
        Ok(Found { file, slots })
    }

    /// Overwrites the slot that is not in force.
    fn overwrite(&self, found: &Found, next: &[u8]) -> Result<(), AdvanceError> {
        self.step(FileStep::Write).map_err(|error| AdvanceError::Unavailable(LoadError::Unavailable(error)))?;
        let (offset, slot) = found.slots.following(next);
        found.file.write_all_at(&slot, offset).map_err(AdvanceError::Unknown)
    }

    /// Makes what was just written durable. The receipt is what is read back, not what was meant to be written.
    fn receipt(&mut self, file: &File) -> Result<Receipt, AdvanceError> {
        self.step(FileStep::Sync).map_err(AdvanceError::Unknown)?;
        file.sync_data().map_err(AdvanceError::Unknown)?;
        let slots = read(file).map_err(AdvanceError::Unknown)?.ok_or_else(torn)?;
        self.durable = Some(slots.newest().to_vec());
        let _ = self.step(FileStep::Done);
        Ok(Receipt(slots.newest().to_vec()))
    }

    /// Makes durable what somebody else put in force, or this handle without learning how it went: the other slot may be overwritten only
    /// then. Written once more, because a kernel that failed to write a block takes it for clean afterwards; the same bytes, so that
    /// nothing can tear.
    fn settle(&mut self, found: &Found) -> io::Result<()> {
        let (offset, slot) = found.slots.present();
        found.file.write_all_at(&slot, offset)?;
        found.file.sync_all()?;
        self.sync_directory()?;
        self.durable = Some(found.slots.newest().to_vec());
        Ok(())
    }

    /// Makes durable that the file is there.
    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

impl Anchor for FileAnchor {
    fn level(&self) -> AnchorLevel {
        AnchorLevel::L1
    }

    fn load(&self) -> Result<Option<Vec<u8>>, LoadError> {
        let found = self.find(OpenOptions::new().read(true))?;
        Ok(found.map(|found| found.slots.newest().to_vec()))
    }

    fn advance(&mut self, previous: &[u8], next: &[u8]) -> Result<Receipt, AdvanceError> {
        let unavailable = |error| AdvanceError::Unavailable(LoadError::Unavailable(error));
        let _lock = self.lock().map_err(unavailable)?;
        let found = self.find(OpenOptions::new().read(true).write(true)).map_err(AdvanceError::Unavailable)?;
        let held = found.as_ref().map_or(&[][..], |found| found.slots.newest());
        if held != next && held != previous {
            return Err(AdvanceError::Lost { holds: held.to_vec() });
        }
        let Some(found) = found else {
            let made = self.create(next)?;
            self.sync_directory().map_err(AdvanceError::Unknown)?;
            return self.receipt(&made.file);
        };
        if found.slots.newest() == next {
            // Put there by an advance that may have ended anywhere.
            self.settle(&found).map_err(AdvanceError::Unknown)?;
            return self.receipt(&found.file);
        }
        if self.durable.as_deref() != Some(previous) {
            self.settle(&found).map_err(unavailable)?;
        }
        self.overwrite(&found, next)?;
        self.receipt(&found.file)
    }
}

fn torn() -> AdvanceError {
    AdvanceError::Unknown(io::Error::from(io::ErrorKind::InvalidData))
}

/// What the file holds; `None` where it is not an anchor's.
fn read(mut file: &File) -> io::Result<Option<Slots>> {
    file.rewind()?;
    let mut content = Vec::with_capacity(FILE_BYTES + 1);
    file.take(FILE_BYTES as u64 + 1).read_to_end(&mut content)?;
    Ok(Slots::parse(&content))
}

#[cfg(test)]
mod tests;
