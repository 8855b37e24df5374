//! A backup of what lies in the host's directory, written under the host's user.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use pinseal_host::ChangeError;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_server::Config;
use pinseal_store::backup::{Copied, CopyError, copy};
use pinseal_store::deployment::{Deployment, DeploymentFile};
use zeroize::Zeroizing;

use super::reasons::{changing, orderless};
use super::{log_key, own_issuer};
use crate::backup::BackedUp;
use crate::data_dir;
use crate::deployment::{HostDir, chain, missing};
use crate::failure::{Failure, Outcome};

/// Longest file of settings that is copied.
const SETTINGS_BYTES_MAX: u64 = 1024 * 1024;
/// What belongs to one state of the database and changes only together with it.
const SEALED: [DeploymentFile; 3] = [DeploymentFile::Configuration, DeploymentFile::LogKey, DeploymentFile::Root];

/// Copies everything that a host needs into `to`, which is empty: the database in one snapshot, root and configuration of the same time, keys and
/// settings. Of the anchor it is the place alone: one that is put back proves nothing.
///
/// # Errors
/// There is no deployment, a change is under way, or something cannot be read or written. Parts may lie there then.
pub(super) fn backup(directory: &HostDir, config: &Config, to: &Path) -> Outcome<BackedUp> {
    let failed = |error: &dyn std::error::Error| Failure::failed("file", chain(error));
    let files = Deployment::open(directory.path()).map_err(|error| failed(&error))?;
    let before = Fixed::read(directory, &files)?;
    if !directory.database().exists() {
        return Err(missing(directory));
    }
    let place = HostDir::at(to);
    let copied = copy(&directory.database(), &place.database()).map_err(|error| not_copied(&error))?;
    let settings = settings(directory, config)?;
    // A change of the configuration puts another root in force. One that is half done is in the copy or in the files.
    let entry = copied.newest_entry.as_deref();
    let ordered = pinseal_host::ordered_beside(&files, entry);
    let in_force = pinseal_host::is_in_force(&files, entry).map_err(|error| changing(&error, None))?;
    let is_logged = match ordered {
        Err(ChangeError::Damaged(..)) if in_force.is_some() => false,
        ordered => ordered.map_err(|error| changing(&error, None))?.is_some_and(|ordered| ordered.is_logged()),
    };
    if !is_logged && in_force == Some(false) {
        return Err(Failure { code: "backup".into(), ..orderless() });
    }
    if is_logged || Fixed::read(directory, &files)? != before {
        return Err(under_change());
    }
    let newest = checked(&files, config, &copied)?;
    let there = Deployment::open(to).map_err(|error| failed(&error))?;
    for (file, content) in SEALED.into_iter().zip(&before.sealed) {
        there.write_new(file, content).map_err(|error| failed(&error))?;
    }
    for (name, content) in settings {
        data_dir::write_new(&to.join(name), &content)?;
    }
    // Where a restore writes the anchor: never where a link leads, to which a deployment that lives may hold.
    data_dir::make_directory(&place.anchor_directory(), 0o700)?;
    let is_link = |path: PathBuf| path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    Ok(BackedUp {
        newest,
        wallets: copied.wallets,
        bytes: copied.bytes,
        is_issuer_key_elsewhere: place.server()?.issuer_key_file != place.issuer(),
        is_anchor_elsewhere: is_link(directory.anchor_directory()) || is_link(directory.anchor()),
    })
}

/// Files by their names; some hold secrets.
type Settings = Vec<(&'static str, Zeroizing<Vec<u8>>)>;

/// What stays as it is for as long as no change of the configuration comes nearer its end.
#[derive(PartialEq, Eq)]
struct Fixed {
    /// The files of [`SEALED`].
    sealed: Vec<Vec<u8>>,
    ordered: [Option<Vec<u8>>; 2],
}

impl Fixed {
    fn read(directory: &HostDir, files: &Deployment) -> Outcome<Self> {
        let read = |file| files.read(file).map_err(|error| Failure::failed("file", chain(&error)));
        if read(DeploymentFile::NextRoot)?.is_some() {
            return Err(under_change());
        }
        let sealed = SEALED.into_iter().map(|file| read(file)?.ok_or_else(|| missing(directory)));
        Ok(Self {
            sealed: sealed.collect::<Outcome<_>>()?,
            ordered: [read(DeploymentFile::Order)?, read(DeploymentFile::NextConfiguration)?],
        })
    }
}

fn under_change() -> Failure {
    Failure::failed("backup", "a change of the configuration is under way; nothing was kept")
        .advise("once it is finished, which the next start does as well, make the backup again")
}

/// Keys and settings, under the names that they have in a backup.
fn settings(directory: &HostDir, config: &Config) -> Outcome<Settings> {
    let mut settings = Settings::new();
    for (from, name, is_needed) in directory.settings(config) {
        match content(&from)? {
            Some(content) => settings.push((name, content)),
            None if !is_needed => {}
            None => {
                return Err(Failure::failed("backup", format!("{} is missing; nothing was kept", from.display()))
                    .advise("put it back; where the token issuer's key is lost, `pinseal config change --new-issuer-key` makes another"));
            }
        }
    }
    Ok(settings)
}

/// The newest checkpoint of the copy, as the log's key signed it.
fn checked(files: &Deployment, config: &Config, copied: &Copied) -> Outcome<String> {
    let strange = || {
        Failure::failed("backup", "the database is not this deployment's; nothing was kept")
            .advise("see whether database, log.vkey and configuration.cbor are of one deployment")
    };
    let configuration = pinseal_host::configuration(files).ok().flatten().ok_or_else(strange)?;
    let (key, newest) = (log_key(files)?.ok_or_else(strange)?, copied.newest.as_ref().ok_or_else(strange)?);
    own_issuer(config, &configuration)?;
    Checkpoint::verify(&newest.note, &configuration.deployment, key.key()).map_err(|_| strange())?;
    String::from_utf8(newest.note.clone()).map_err(|_| strange())
}

fn not_copied(error: &CopyError) -> Failure {
    Failure::failed("backup", format!("the database was not copied: {}", chain(error)))
        .advise("see that there is room for it, and that the host's user may write there; nothing was kept")
}

/// What a small file holds, of which some are secret; `None` if there is none.
fn content(path: &Path) -> Outcome<Option<Zeroizing<Vec<u8>>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| Failure::file("open", path, &error))?,
    };
    let mut content = Zeroizing::new(Vec::new());
    file.take(SETTINGS_BYTES_MAX + 1).read_to_end(&mut content).map_err(|error| Failure::file("read", path, &error))?;
    if content.len() as u64 > SETTINGS_BYTES_MAX {
        return Err(Failure::failed("backup", format!("{} is too long to be ours; nothing was kept", path.display())));
    }
    Ok(Some(content))
}
