//! A data directory that is not whole yet: it has its name once it is.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use crate::data_dir::{DataDir, our_place, sync_parent};
use crate::failure::{Failure, Outcome};

/// A directory under another name than it is going to have; without [`Draft::keep`] it is taken away again.
#[derive(Debug)]
pub(super) struct Draft {
    data: DataDir,
    to: PathBuf,
}

impl Draft {
    /// Makes it, with the host's part, for a copy of a directory in which it must not lie. `to` is absolute.
    ///
    /// # Errors
    /// `to` is no name or lies in that directory, something lies there, somebody else can have written above it, or it cannot be made.
    pub(super) fn make(to: &Path, of: &DataDir) -> Outcome<Self> {
        // Without a slash at its end: it is a name. And where it is, whatever leads there.
        let (Some(above), Some(name)) = (to.parent(), to.file_name()) else {
            return Err(Failure::usage(format!("{} is no name for a directory that is to be made", to.display())));
        };
        let above = our_place(above)?;
        if above.components().any(|part| part == Component::ParentDir) {
            return Err(Failure::usage(format!("{} leads through a directory that is not there", to.display())));
        }
        let to = above.join(name);
        let root = of.root().canonicalize().map_err(|error| Failure::file("resolve", of.root(), &error))?;
        if to.starts_with(root) {
            return Err(Failure::usage(format!("{} lies in what is to be backed up", to.display()))
                .advise("name a directory on another disk, best of another machine"));
        }
        if to.symlink_metadata().is_ok() {
            return Err(Failure::failed("exists", format!("{} is there already; nothing was changed", to.display()))
                .advise("name a directory that is to be made"));
        }
        let mut name = to.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        if path.symlink_metadata().is_ok() {
            return Err(Failure::failed("exists", format!("{} is there; nothing was changed", path.display())).advise(
                "where no other backup is being made there it is what is left of one that was cut off: remove it",
            ));
        }
        let data = DataDir::make(&path)?;
        // What was missing above it may have been made by somebody else meanwhile. What lies there now stays: nothing is removed where another leads us.
        let found = our_place(&above)?;
        if found != above {
            return Err(Failure::failed("exposed", format!("{} was changed meanwhile", above.display()))
                .advise("name a directory below ones that are yours, or root's, alone to write"));
        }
        Ok(Self { data, to })
    }

    /// The host's part of it.
    pub(super) fn host(&self) -> PathBuf {
        self.data.host()
    }

    /// Gives it its name, durably.
    ///
    /// # Errors
    /// It cannot be named.
    pub(super) fn keep(self) -> Outcome {
        let path = self.data.root();
        // The host's user wrote what lies in it, and is to change none of it any more.
        let closed = std::fs::set_permissions(path, Permissions::from_mode(0o700));
        let closed = closed.and_then(|()| take(&self.data.host(), rustix::process::geteuid().as_raw()));
        let synced = std::fs::File::open(self.data.host()).and_then(|host| host.sync_all());
        closed
            .and(synced)
            .and_then(|()| sync_parent(&self.data.host()))
            .and_then(|()| std::fs::rename(path, &self.to))
            .and_then(|()| sync_parent(&self.to))
            .map_err(|error| Failure::file("name", &self.to, &error))
    }
}

/// Makes what lies in a directory of ours that is closed to everybody else ours as well, and closes it, from above: before anything in a directory is
/// looked at nobody else can put something in its place any more, not even through a descriptor that is open. No link is followed.
fn take(path: &Path, us: u32) -> std::io::Result<()> {
    let found = path.symlink_metadata()?;
    if found.uid() != us {
        std::os::unix::fs::lchown(path, Some(us), None)?;
    }
    if found.is_dir() {
        std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
        for entry in std::fs::read_dir(path)? {
            take(&entry?.path(), us)?;
        }
    }
    Ok(())
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Not there any more once it was kept.
        let _ = std::fs::remove_dir_all(self.data.root());
    }
}
