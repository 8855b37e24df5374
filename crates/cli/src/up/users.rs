//! System users the children run as.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::failure::{Failure, Outcome};

/// The user the enclave runs as, if the system has it.
const ENCLAVE_USER: &str = "pinseal-enclave";
/// The user the host runs as, if the system has it.
const HOST_USER: &str = "pinseal-host";

/// A system user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// Name.
    pub(crate) name: String,
    /// User id.
    pub(crate) uid: u32,
    /// Primary group.
    pub(crate) gid: u32,
    /// Every group, as the system's database has them: that of a TPM's device among them.
    pub(crate) groups: Vec<u32>,
}

/// Who runs what; `None` means our own user.
#[derive(Debug, Clone, Default)]
pub(crate) struct Users {
    /// The enclave's.
    pub(crate) enclave: Option<User>,
    /// The host's.
    pub(crate) host: Option<User>,
}

impl Users {
    /// As asked for, else the usual ones where they exist. Only root can switch users.
    ///
    /// # Errors
    /// A user was asked for that does not exist or cannot be switched to, or both are the same.
    pub(crate) fn choose(enclave: Option<&str>, host: Option<&str>) -> Outcome<Self> {
        let is_root = rustix::process::geteuid().is_root();
        let pick = |asked: Option<&str>, usual: &str| match asked {
            Some(name) if !is_root => Err(Failure::usage(format!("only root can run a process as user {name}"))),
            Some(name) => match find(name) {
                Some(user) => Ok(Some(user)),
                None => Err(Failure::usage(format!("there is no user {name}"))),
            },
            None if is_root => Ok(find(usual)),
            None => Ok(None),
        };
        let users = Self { enclave: pick(enclave, ENCLAVE_USER)?, host: pick(host, HOST_USER)? };
        match (&users.enclave, &users.host) {
            (Some(enclave), Some(host)) if enclave.uid == host.uid => {
                Err(Failure::usage("enclave and host must not share one user")
                    .advise("use two system users, so that neither can look into the other"))
            }
            _ => Ok(users),
        }
    }

    /// Gives the host's directory, and what is in it, to the host's user, unless that user owns it already: then what lies in it is
    /// not ours to give away any more. What leads to it is passed through by that user, as a backup that was put in place does not let it.
    ///
    /// # Errors
    /// The owner cannot be changed, or is a third user, who may be another host's and serve from it.
    pub(crate) fn own(&self, directory: &Path) -> Outcome {
        let Some(user) = &self.host else { return Ok(()) };
        let found = |path: &Path| path.symlink_metadata().map_err(|error| Failure::file("look at", path, &error));
        let (owner, us) = (found(directory)?.uid(), rustix::process::geteuid().as_raw());
        if owner != user.uid && owner != us {
            return Err(Failure::usage(format!("{} belongs to another user than {}", directory.display(), user.name))
                .advise("name the user that the host runs as with --host-user"));
        }
        if let Some(above) = directory.parent() {
            let mode = found(above)?.mode();
            if found(above)?.uid() == us && mode & 0o001 == 0 {
                std::fs::set_permissions(above, Permissions::from_mode(mode & 0o7777 | 0o011))
                    .map_err(|error| Failure::file("let the host's user pass through", above, &error))?;
            }
        }
        if owner == user.uid { Ok(()) } else { give(directory, user) }
    }
}

/// Contents first, so that an interrupted attempt is made again.
fn give(path: &Path, user: &User) -> Outcome {
    let kind = path.symlink_metadata().map_err(|error| Failure::file("look at", path, &error))?.file_type();
    if kind.is_dir() {
        for entry in std::fs::read_dir(path).map_err(|error| Failure::file("list", path, &error))? {
            give(&entry.map_err(|error| Failure::file("list", path, &error))?.path(), user)?;
        }
    }
    std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid))
        .map_err(|error| Failure::file("change the owner of", path, &error))
}

/// Looks a user up in the local databases of users and groups.
fn find(name: &str) -> Option<User> {
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    parse(&std::fs::read_to_string("/etc/passwd").ok()?, &groups, name)
}

fn parse(passwd: &str, group: &str, name: &str) -> Option<User> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(User { name: name.to_owned(), uid, gid, groups: groups(group, name, gid) })
}

/// The user's own group and those that name it as a member.
fn groups(group: &str, name: &str, own: u32) -> Vec<u32> {
    let member = |line: &str| -> Option<u32> {
        let fields: Vec<_> = line.split(':').collect();
        let [_, _, gid, members] = fields.as_slice() else { return None };
        members.split(',').any(|member| member.trim() == name).then(|| gid.parse().ok())?
    };
    let others = group.lines().filter_map(member).filter(|gid| *gid != own);
    std::iter::once(own).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npinseal-host-old:x:7:7::/:/bin/false\npinseal-host:x:998:997::/nonexistent:/usr/sbin/nologin\n";
        let group = "root:x:0:\ntss:x:112:tss,pinseal-host\nother:x:9:pinseal-host-old\npinseal-host:x:997:pinseal-host\nbroken\nlast:x:no:pinseal-host";
        let user = User { name: "pinseal-host".to_owned(), uid: 998, gid: 997, groups: vec![997, 112] };
        assert_eq!(parse(passwd, group, "pinseal-host"), Some(user));
        assert_eq!(parse(passwd, group, "pinseal"), None);
    }
}
