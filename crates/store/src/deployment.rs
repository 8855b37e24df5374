//! The few files of a deployment that lie beside the database.
//!
//! The sealed root is a file of its own so that an operator can copy it to a safe place and see that it exists; without it
//! (or the passphrase) every record is lost. Files are written whole (temporary file, sync, link, sync of the directory),
//! mode 0600, and an existing one is never overwritten, but by the whole one that follows it in a change of the configuration.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Longest file read; ours are a few kilobytes at most.
pub const FILE_BYTES_MAX: u64 = 64 * 1024;

/// One of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentFile {
    /// Canonical configuration: written first, by whoever sets the deployment up.
    Configuration,
    /// Genesis checkpoint: there only while a creation is under way, so that a crash can be resumed.
    Genesis,
    /// Verifier key of the log, as text: what witnesses and auditors are given.
    LogKey,
    /// Sealed root: its appearance is what makes the deployment.
    Root,
    /// Canonical configuration that is to follow, while a change is under way.
    NextConfiguration,
    /// The operators' order for it.
    Order,
    /// The log's verifier key after a restore.
    NextLogKey,
    /// Where the witnesses and the TPM answer that it names, as text.
    NextPlaces,
    /// The root sealed with it: its appearance is what ends the change.
    NextRoot,
}

impl DeploymentFile {
    /// Every file.
    pub const ALL: &'static [Self] = &[
        Self::Configuration,
        Self::Genesis,
        Self::LogKey,
        Self::Root,
        Self::NextConfiguration,
        Self::Order,
        Self::NextLogKey,
        Self::NextPlaces,
        Self::NextRoot,
    ];

    /// Name inside the directory.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration.cbor",
            Self::Genesis => "genesis.note",
            Self::LogKey => "log.vkey",
            Self::Root => "root.sealed",
            Self::NextConfiguration => "configuration.next.cbor",
            Self::Order => "order.cbor",
            Self::NextLogKey => "log.next.vkey",
            Self::NextPlaces => "places.next.toml",
            Self::NextRoot => "root.next.sealed",
        }
    }
}

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// It exists; it was not touched.
    #[error("{0} exists already and is never overwritten")]
    Exists(&'static str),
    /// Longer than [`FILE_BYTES_MAX`].
    #[error("{0} is too long to be ours")]
    TooLong(&'static str),
    /// See the source.
    #[error("cannot read or write {0}")]
    Io(&'static str, #[source] io::Error),
}

/// The directory.
#[derive(Debug, Clone)]
pub struct Deployment {
    directory: PathBuf,
}

impl Deployment {
    /// Opens or creates (mode 0700) the directory.
    ///
    /// # Errors
    /// [`DeploymentError::Io`].
    pub fn open(directory: &Path) -> Result<Self, DeploymentError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| DeploymentError::Io("the data directory", error))?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// Where a file lies, for messages to the operator.
    pub fn path(&self, file: DeploymentFile) -> PathBuf {
        self.directory.join(file.name())
    }

    /// The content of a file, or `None` if there is none.
    ///
    /// # Errors
    /// [`DeploymentError`].
    pub fn read(&self, file: DeploymentFile) -> Result<Option<Vec<u8>>, DeploymentError> {
        let failed = |error| DeploymentError::Io(file.name(), error);
        let opened = match File::open(self.path(file)) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut content = Vec::new();
        opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(failed)?;
        if content.len() as u64 > FILE_BYTES_MAX {
            return Err(DeploymentError::TooLong(file.name()));
        }
        Ok(Some(content))
    }

    /// Writes a new file; when this returns it is on disk, whole.
    ///
    /// # Errors
    /// [`DeploymentError::Exists`], and then nothing was changed.
    pub fn write_new(&self, file: DeploymentFile, content: &[u8]) -> Result<(), DeploymentError> {
        let failed = |error| DeploymentError::Io(file.name(), error);
        let path = self.path(file);
        if content.len() as u64 > FILE_BYTES_MAX {
            return Err(DeploymentError::TooLong(file.name()));
        }
        let temporary = self.directory.join(format!(".{}.tmp", file.name()));
        // A crash may have left one behind.
        remove(&temporary).map_err(failed)?;
        let mut written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(failed)?;
        written.write_all(content).and_then(|()| written.sync_all()).map_err(failed)?;
        // Unlike a rename, a link fails where the name is taken.
        let linked = fs::hard_link(&temporary, &path);
        remove(&temporary).map_err(failed)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(DeploymentError::Exists(file.name()));
            }
            linked => linked.map_err(failed)?,
        }
        self.sync().map_err(failed)
    }

    /// Removes the genesis note once the creation is complete. Never touches other files.
    ///
    /// # Errors
    /// [`DeploymentError::Io`].
    pub fn remove_genesis(&self) -> Result<(), DeploymentError> {
        self.remove(DeploymentFile::Genesis)
    }

    /// Removes what an attempt left behind that never got as far as the sealed root. Touches nothing where there is a root.
    ///
    /// # Errors
    /// [`DeploymentError`].
    pub fn remove_unfinished(&self) -> Result<(), DeploymentError> {
        if self.read(DeploymentFile::Root)?.is_some() {
            return Ok(());
        }
        // The note last: a key without it and without a root is what is left of a deployment that was whole.
        self.remove(DeploymentFile::LogKey)?;
        self.remove(DeploymentFile::Genesis)
    }

    /// Puts `next` in the place of `file`, at once; nothing happens where there is no `next`.
    ///
    /// # Errors
    /// [`DeploymentError::Io`].
    pub fn take_over(&self, next: DeploymentFile, file: DeploymentFile) -> Result<(), DeploymentError> {
        match fs::rename(self.path(next), self.path(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed.and_then(|()| self.sync()).map_err(|error| DeploymentError::Io(file.name(), error)),
        }
    }

    /// Removes what was ordered and is not carried out. Touches nothing that is in force.
    ///
    /// # Errors
    /// [`DeploymentError::Io`].
    pub fn withdraw_change(&self) -> Result<(), DeploymentError> {
        self.remove(DeploymentFile::NextLogKey)?;
        self.remove(DeploymentFile::NextPlaces)?;
        self.remove(DeploymentFile::NextConfiguration)?;
        self.remove(DeploymentFile::Order)
    }

    fn remove(&self, file: DeploymentFile) -> Result<(), DeploymentError> {
        let failed = |error| DeploymentError::Io(file.name(), error);
        remove(&self.path(file)).map_err(failed)?;
        self.sync().map_err(failed)
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_written_once_whole_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let deployment = Deployment::open(&directory.path().join("data")).unwrap();
        for file in DeploymentFile::ALL {
            assert_eq!(deployment.read(*file).unwrap(), None);
            deployment.write_new(*file, file.name().as_bytes()).unwrap();
            assert!(matches!(deployment.write_new(*file, b"other"), Err(DeploymentError::Exists(_))));
            assert_eq!(deployment.read(*file).unwrap(), Some(file.name().as_bytes().to_vec()));
            assert_eq!(fs::metadata(deployment.path(*file)).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let names = fs::read_dir(directory.path().join("data")).unwrap().count();
        assert_eq!(names, DeploymentFile::ALL.len(), "no temporary file stays");
    }

    #[test]
    fn a_left_over_temporary_file_does_not_stop_a_later_write() {
        let directory = tempfile::tempdir().unwrap();
        let deployment = Deployment::open(directory.path()).unwrap();
        fs::write(directory.path().join(".root.sealed.tmp"), b"torn").unwrap();
        deployment.write_new(DeploymentFile::Root, b"whole").unwrap();
        assert_eq!(deployment.read(DeploymentFile::Root).unwrap(), Some(b"whole".to_vec()));
    }

    #[test]
    fn genesis_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let deployment = Deployment::open(directory.path()).unwrap();
        deployment.write_new(DeploymentFile::Root, b"root").unwrap();
        deployment.remove_genesis().unwrap();
        deployment.write_new(DeploymentFile::Genesis, b"note").unwrap();
        deployment.remove_genesis().unwrap();
        assert_eq!(deployment.read(DeploymentFile::Genesis).unwrap(), None);
        assert_eq!(deployment.read(DeploymentFile::Root).unwrap(), Some(b"root".to_vec()));
    }

    #[test]
    fn an_unfinished_creation_is_cleared_away_only_before_there_is_a_root() {
        let directory = tempfile::tempdir().unwrap();
        let deployment = Deployment::open(directory.path()).unwrap();
        let early = [DeploymentFile::Genesis, DeploymentFile::LogKey];
        for file in early {
            deployment.write_new(file, b"early").unwrap();
        }
        deployment.remove_unfinished().unwrap();
        for file in early {
            assert_eq!(deployment.read(file).unwrap(), None);
            deployment.write_new(file, b"again").unwrap();
        }
        deployment.write_new(DeploymentFile::Root, b"root").unwrap();
        deployment.remove_unfinished().unwrap();
        for file in early {
            assert_eq!(deployment.read(file).unwrap(), Some(b"again".to_vec()));
        }
    }
}
