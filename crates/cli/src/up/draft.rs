//! A data directory that is not whole yet: it has its name once it is.

use std::path::{Path, PathBuf};

use crate::data_dir::{DataDir, sync_parent};
use crate::failure::{Failure, Outcome};

/// A directory under another name than it is going to have; without [`Draft::keep`] it is taken away again.
#[derive(Debug)]
pub(super) struct Draft {
    data: DataDir,
    to: PathBuf,
}

impl Draft {
    /// Makes it, with the host's part.
    ///
    /// # Errors
    /// Something lies at `to`, or it cannot be made.
    pub(super) fn make(to: &Path) -> Outcome<Self> {
        let to = std::path::absolute(to).map_err(|error| Failure::file("resolve", to, &error))?;
        if to.symlink_metadata().is_ok() {
            return Err(Failure::failed("exists", format!("{} is there already; nothing was changed", to.display()))
                .advise("name a directory that is to be made"));
        }
        let mut name = to.as_os_str().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let path = PathBuf::from(name);
        if path.symlink_metadata().is_ok() {
            return Err(Failure::failed("exists", format!("{} is left over; nothing was changed", path.display()))
                .advise("remove it: it is no whole backup"));
        }
        Ok(Self { data: DataDir::make(&path)?, to })
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
        let synced = std::fs::File::open(self.data.host()).and_then(|host| host.sync_all());
        synced
            .and_then(|()| sync_parent(&self.data.host()))
            .and_then(|()| std::fs::rename(path, &self.to))
            .and_then(|()| sync_parent(&self.to))
            .map_err(|error| Failure::file("name", &self.to, &error))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Not there any more once it was kept.
        let _ = std::fs::remove_dir_all(self.data.root());
    }
}
