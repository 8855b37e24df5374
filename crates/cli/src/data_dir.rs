//! The data directory of a deployment: what lies where, who may read it, and that only one supervisor uses it.
//!
//! ```text
//! pinseal-data/
//!   lock           held by the running supervisor
//!   passphrase     development default, 0600, the supervisor's user only
//!   client.json    defaults for client commands run beside it, 0600
//!   dev/           the local EVM node's state
//!   host/          everything the host process may touch, 0700, the host's user
//! ```

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use pinseal_client::SecretText;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};
use crate::secret;

/// Random bytes of a generated passphrase.
const PASSPHRASE_BYTES: usize = 32;
/// Longest file this module reads.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A last path component that is a link is not opened: its maker may have pointed it at a file of ours.
pub(crate) const NO_LINK: i32 = OFlags::NOFOLLOW.bits().cast_signed();
/// Nobody is waited for who is to speak first, as at a pipe.
pub(crate) const NO_WAIT: i32 = OFlags::NONBLOCK.bits().cast_signed();
/// Mode bits by which group or others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Mode bit of a directory in which everybody keeps what is theirs.
const STICKY: u32 = 0o1000;
/// Mode bits by which group or others do anything.
const EXPOSED: u32 = 0o077;

/// What client commands take as defaults; written by a running system and left when it stops.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClientDefaults {
    /// Wallet API.
    pub(crate) server: String,
    /// App ID.
    pub(crate) app_id: String,
    /// App Key of the server kind.
    #[serde(serialize_with = "secret::write")]
    pub(crate) app_key: SecretText,
    /// The deployment's evidence is software evidence.
    pub(crate) development: bool,
    /// Mailbox page, where mail is caught.
    pub(crate) mailbox: Option<String>,
    /// Local EVM node.
    pub(crate) node: Option<String>,
    /// Network of the local EVM node.
    pub(crate) network: Option<String>,
}

impl ClientDefaults {
    /// The service is on this machine. A file found in the working directory says nothing about who wrote it, so it never sends
    /// anybody's password, or trust in software evidence, anywhere else.
    pub(crate) fn is_local(&self) -> bool {
        is_local(&self.server)
    }

    /// A second copy.
    pub(crate) fn duplicate(&self) -> Self {
        let Self { server, app_id, app_key, development, mailbox, node, network } = self;
        Self {
            server: server.clone(),
            app_id: app_id.clone(),
            app_key: app_key.duplicate(),
            development: *development,
            mailbox: mailbox.clone(),
            node: node.clone(),
            network: network.clone(),
        }
    }
}

/// True for the URL of a service on this machine.
pub(crate) fn is_local(url: &str) -> bool {
    match url::Url::parse(url).ok().as_ref().and_then(url::Url::host) {
        // A service that listens on every address is offered under the unspecified one, which connects to this machine.
        Some(url::Host::Ipv4(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// An existing data directory.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    root: PathBuf,
}

/// Proof that no other supervisor uses the directory; gives it back when dropped, also by a crash.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl DataDir {
    /// Makes the directory (0700 but for the path into `host`) if it is missing.
    ///
    /// # Errors
    /// It cannot be made, or something else lies there.
    pub(crate) fn make(root: &Path) -> Outcome<Self> {
        // Others may pass through, so that the host's own user reaches `host`, but not list or read.
        make_own_directory(root, 0o711)?;
        let root = std::path::absolute(root).map_err(|error| Failure::file("resolve", root, &error))?;
        make_own_directory(&root.join("dev"), 0o700)?;
        // Its owner may be the host's user; nobody but us puts anything in its place, because `root` is ours.
        let host = root.join("host");
        make_directory(&host, 0o700)?;
        real_directory(&host)?;
        Ok(Self { root })
    }

    /// The directory, made or not.
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()) }
    }

    /// Takes the lock.
    ///
    /// # Errors
    /// Another supervisor holds it.
    pub(crate) fn lock(&self) -> Outcome<Lock> {
        let path = self.root.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(NO_LINK)
            .open(&path)
            .map_err(|error| Failure::file("open", &path, &error))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            let _ = (&mut file).take(32).read_to_string(&mut holder);
            let holder = holder.trim();
            let who = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
            return Err(Failure::failed(
                "already_running",
                format!("a system is running already on {}{who}", self.root.display()),
            )
            .advise("stop it with Ctrl-C, or choose another directory with --data DIR"));
        }
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| Failure::file("write", &path, &error))?;
        Ok(Lock { _file: file })
    }

    /// The directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The host's own part.
    pub(crate) fn host(&self) -> PathBuf {
        self.root.join("host")
    }

    /// State of the local EVM node.
    pub(crate) fn node_state(&self) -> PathBuf {
        self.root.join("dev").join("node.json")
    }

    fn passphrase_path(&self) -> PathBuf {
        self.root.join("passphrase")
    }

    /// The stored passphrase, if there is one.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn passphrase(&self) -> Outcome<Option<SecretText>> {
        let path = self.passphrase_path();
        if let Ok(file) = path.symlink_metadata()
            && (!file.is_file() || file.uid() != geteuid().as_raw() || file.mode() & EXPOSED != 0)
        {
            return Err(Failure::failed("exposed", format!("{} is not a file of ours alone", path.display()))
                .advise(format!("if nobody else has read or written it, `chmod 600 {}`", path.display())));
        }
        let text = Zeroizing::new(match read(&path)? {
            Some(text) => text,
            None => return Ok(None),
        });
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty() {
            return Err(Failure::failed("passphrase_empty", format!("{} is empty", path.display()))
                .advise("put the passphrase back there, or give it with --passphrase-fd or --ask-passphrase"));
        }
        Ok(Some(SecretText::new(line.to_owned())))
    }

    /// Makes and stores a random passphrase.
    ///
    /// # Errors
    /// One is stored already, or it cannot be written.
    pub(crate) fn make_passphrase(&self) -> Outcome<SecretText> {
        let mut bytes = Zeroizing::new([0_u8; PASSPHRASE_BYTES]);
        getrandom::fill(bytes.as_mut())
            .map_err(|error| Failure::failed("randomness", format!("no randomness: {error}")))?;
        let passphrase = SecretText::new(hex::encode(bytes.as_ref()));
        let path = self.passphrase_path();
        let line = Zeroizing::new(format!("{}\n", passphrase.expose_secret()));
        write_new(&path, line.as_bytes())?;
        Ok(passphrase)
    }

    /// True if a passphrase is stored here.
    pub(crate) fn has_passphrase(&self) -> bool {
        self.passphrase_path().exists()
    }

    /// True if a system has served from here.
    pub(crate) fn was_used(&self) -> bool {
        self.root.join("client.json").exists()
    }

    /// Takes back what an earlier deployment here offered to clients.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn take_offer_back(&self) -> Outcome {
        let path = self.root.join("client.json");
        absent(std::fs::remove_file(&path)).map_err(|error| Failure::file("remove", &path, &error))
    }

    /// Takes the stored passphrase away, of a deployment that was not made.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn forget_passphrase(&self) -> Outcome {
        let path = self.passphrase_path();
        absent(std::fs::remove_file(draft(&path)))
            .and_then(|()| absent(std::fs::remove_file(&path)))
            .and_then(|()| sync_parent(&path))
            .map_err(|error| Failure::file("remove", &path, &error))
    }

    /// What the last run on this directory offered to clients. It says where a password and a PIN go, so it is believed where nobody but us, or
    /// root, can have written it.
    ///
    /// # Errors
    /// The file is there but not readable or not ours.
    pub(crate) fn client_defaults(&self) -> Outcome<Option<ClientDefaults>> {
        let path = self.root.join("client.json");
        let Some(file) = open(&path)? else { return Ok(None) };
        let found = file.metadata().map_err(|error| Failure::file("look at", &path, &error))?;
        check_ours(&path, &found, ASK)?;
        check_our_directory(&self.root, ASK)?;
        let text = Zeroizing::new(text(&path, file)?);
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| Failure::failed("file", format!("{} is not understood: {error}", path.display())))
    }

    /// Offers `defaults` to clients.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn offer(&self, defaults: &ClientDefaults) -> Outcome {
        let text = Zeroizing::new(serde_json::to_string_pretty(defaults).unwrap_or_default());
        replace(&self.root.join("client.json"), text.as_bytes())
    }
}

/// Reads a small text file; `None` if there is none.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read(path: &Path) -> Outcome<Option<String>> {
    open(path)?.map(|file| text(path, file)).transpose()
}

fn open(path: &Path) -> Outcome<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file("open", path, &error)),
    }
}

fn text(path: &Path, file: File) -> Outcome<String> {
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|error| Failure::file("read", path, &error))?;
    Ok(text)
}

/// What to do where somebody else can have written what a client command goes by.
pub(crate) const ASK: &str = "it would say to whom your password and your PIN go: run this elsewhere, or name a --data and a --profile of your own";

/// A directory, or a link to one, that nobody but us, or root, can have filled.
///
/// # Errors
/// Another user can have; with this advice.
pub(crate) fn check_our_directory(path: &Path, advice: &str) -> Outcome {
    let found = path.metadata().map_err(|error| Failure::file("look at", path, &error))?;
    check_ours(path, &found, advice)
}

/// A directory in which nobody but us, or root, can put something in the place of what we make there, or that we are to make: where it is, without links.
///
/// # Errors
/// Another user can.
pub(crate) fn our_place(path: &Path) -> Outcome<PathBuf> {
    let there = path.ancestors().find(|above| above.exists()).unwrap_or(path);
    let real = there.canonicalize().map_err(|error| Failure::file("look at", there, &error))?;
    // Whoever renames one further up puts another in its place as well.
    for above in real.ancestors() {
        let found = above.metadata().map_err(|error| Failure::file("look at", above, &error))?;
        // In a sticky one nobody renames what is another's.
        let is_sticky = found.mode() & STICKY != 0 && (found.uid() == 0 || found.uid() == geteuid().as_raw());
        if !is_sticky {
            check_ours(above, &found, "name a directory below ones that are yours, or root's, alone to write")?;
        }
    }
    Ok(path.strip_prefix(there).map_or_else(|_| real.clone(), |rest| real.join(rest)))
}

fn check_ours(path: &Path, found: &Metadata, advice: &str) -> Outcome {
    let us = geteuid();
    if (found.uid() != us.as_raw() && found.uid() != 0) || found.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(
            Failure::failed("exposed", format!("somebody else can have written {}", path.display())).advise(advice)
        );
    }
    Ok(())
}

/// Writes a file that must not exist yet, mode 0600, whole and durable when this returns: a crash on the way leaves none under its name.
///
/// # Errors
/// It exists or cannot be written.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Outcome {
    // A link gives a name that is free, and no other.
    place(path, &draft(path), bytes, |draft| std::fs::hard_link(draft, path).and_then(|()| std::fs::remove_file(draft)))
}

/// Writes a file, mode 0600; readers see the old or the new one, whole.
///
/// # Errors
/// It cannot be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Outcome {
    // Several processes may do this at once.
    let draft = beside(path, &format!(".{}.new", std::process::id()));
    place(path, &draft, bytes, |draft| std::fs::rename(draft, path))
}

/// What a file is written as before it has its name: always the same, so that none is left over for longer than until the next.
fn draft(path: &Path) -> PathBuf {
    beside(path, ".new")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Writes a draft of `path` and has it named.
fn place(path: &Path, draft: &Path, bytes: &[u8], name: impl FnOnce(&Path) -> std::io::Result<()>) -> Outcome {
    let write = || {
        // Left over by a crash; or a link, put there by whoever else may write here.
        absent(std::fs::remove_file(draft))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        name(draft)?;
        sync_parent(path)
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(draft);
        Failure::file("write", path, &error)
    })
}

/// Puts `next` in the place of `path`, durable when this returns; nothing happens where there is no `next`.
///
/// # Errors
/// It cannot be renamed.
pub(crate) fn take_over(next: &Path, path: &Path) -> Outcome {
    absent(std::fs::rename(next, path))
        .and_then(|()| sync_parent(path))
        .map_err(|error| Failure::file("replace", path, &error))
}

/// What is not there needs nothing done.
fn absent(done: std::io::Result<()>) -> std::io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Makes one directory and what leads to it.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Outcome {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|error| Failure::file("make", parent, &error))?;
    }
    DirBuilder::new().mode(mode).create(path).map_err(|error| Failure::file("make", path, &error))
}

/// As [`make_directory`], for one that nobody but us may change: whoever can, chooses what a process with our rights opens in it.
///
/// # Errors
/// It cannot be made, or what lies there is not a directory of ours alone.
pub(crate) fn make_own_directory(path: &Path, mode: u32) -> Outcome {
    make_directory(path, mode)?;
    if real_directory(path)?.uid() != geteuid().as_raw() {
        return Err(Failure::failed("exposed", format!("{} belongs to another user", path.display()))
            .advise("choose another directory"));
    }
    Ok(())
}

/// A directory, not a link to one, that its owner alone may write.
fn real_directory(path: &Path) -> Outcome<Metadata> {
    let found = path.symlink_metadata().map_err(|error| Failure::file("look at", path, &error))?;
    if !found.is_dir() {
        return Err(Failure::failed("exposed", format!("{} is not a directory itself", path.display()))
            .advise("choose another directory; a link is not followed"));
    }
    if found.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(Failure::failed("exposed", format!("others may write to {}", path.display()))
            .advise(format!("if nobody else has, `chmod go-w {}`", path.display())));
    }
    Ok(found)
}

pub(crate) fn sync_parent(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn secrets_are_the_owners_alone_and_are_never_overwritten() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::make(&scratch.path().join("data")).unwrap();
        assert!(data.passphrase().unwrap().is_none());
        let made = data.make_passphrase().unwrap();
        assert_eq!(made.expose_secret().len(), PASSPHRASE_BYTES * 2);
        assert_eq!(mode(&data.passphrase_path()), 0o600);
        assert_eq!(mode(&data.host()), 0o700);
        assert!(data.make_passphrase().is_err());
        assert!(data.passphrase().unwrap().unwrap().equals(&made));
    }

    #[test]
    fn a_second_supervisor_is_told_who_holds_the_directory() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::make(scratch.path()).unwrap();
        let lock = data.lock().unwrap();
        let refused = data.lock().unwrap_err();
        assert_eq!(refused.code, "already_running");
        assert!(refused.sentence.contains(&std::process::id().to_string()));
        drop(lock);
        data.lock().unwrap();
    }

    #[test]
    fn a_file_has_its_name_once_it_is_whole() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("passphrase");
        // Of a crash.
        std::fs::write(draft(&path), "half").unwrap();
        let failed = place(&path, &draft(&path), b"whole", |draft| {
            assert!(!path.exists());
            assert_eq!(std::fs::read(draft).unwrap(), b"whole");
            Err(ErrorKind::StorageFull.into())
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
        write_new(&path, b"first").unwrap();
        assert!(write_new(&path, b"second").is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        replace(&path, b"third").unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), mode(&path)), (b"third".to_vec(), 0o600));
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn where_somebody_else_can_say_which_service_it_is_nothing_is_believed() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::make(&scratch.path().join("data")).unwrap();
        assert!(data.client_defaults().unwrap().is_none());
        let file = data.root().join("client.json");
        std::fs::write(&file, "{}").unwrap();
        let refused = || data.client_defaults().unwrap_err().code;
        assert_eq!(refused(), "file", "it is read");
        for (path, safe) in [(&file, 0o600), (&data.root().to_owned(), 0o711)] {
            std::fs::set_permissions(path, Permissions::from_mode(safe | 0o020)).unwrap();
            assert_eq!(refused(), "exposed");
            std::fs::set_permissions(path, Permissions::from_mode(safe)).unwrap();
            // Only root can give a file away.
            if geteuid().is_root() {
                std::os::unix::fs::chown(path, Some(12_345), None).unwrap();
                assert_eq!(refused(), "exposed");
                std::os::unix::fs::chown(path, Some(0), None).unwrap();
            }
        }
        assert_eq!(refused(), "file");
    }

    #[test]
    fn what_others_may_have_planted_is_not_used() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        let code = |made: Outcome<DataDir>| made.map(drop).unwrap_err().code;
        std::fs::create_dir(at("real")).unwrap();
        std::os::unix::fs::symlink(at("real"), at("link")).unwrap();
        assert_eq!(code(DataDir::make(&at("link"))), "exposed");
        std::fs::create_dir(at("open")).unwrap();
        std::fs::set_permissions(at("open"), Permissions::from_mode(0o777)).unwrap();
        assert_eq!(code(DataDir::make(&at("open"))), "exposed");
        std::fs::create_dir(at("within")).unwrap();
        std::os::unix::fs::symlink(at("real"), at("within/host")).unwrap();
        assert_eq!(code(DataDir::make(&at("within"))), "exposed");

        let data = DataDir::make(&at("data")).unwrap();
        std::fs::write(at("precious"), "keep me").unwrap();
        std::os::unix::fs::symlink(at("precious"), at("data/lock")).unwrap();
        assert_eq!(data.lock().unwrap_err().code, "file");
        assert_eq!(std::fs::read_to_string(at("precious")).unwrap(), "keep me");
        data.make_passphrase().unwrap();
        std::fs::set_permissions(data.passphrase_path(), Permissions::from_mode(0o640)).unwrap();
        assert_eq!(data.passphrase().unwrap_err().code, "exposed");
    }

    #[test]
    fn only_a_service_on_this_machine_is_local() {
        for url in
            ["http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:1", "http://localhost:1", "http://0.0.0.0:1"]
        {
            assert!(is_local(url), "{url}");
        }
        for url in [
            "https://evil.example",
            "http://127.0.0.1.evil.example",
            "http://127.0.0.1@evil.example",
            "http://10.0.0.1",
            "127.0.0.1",
        ] {
            assert!(!is_local(url), "{url}");
        }
    }

    #[test]
    fn client_defaults_come_back_as_they_were_offered() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::make(scratch.path()).unwrap();
        let defaults = ClientDefaults {
            server: "http://127.0.0.1:1".to_owned(),
            app_id: "a".to_owned(),
            app_key: SecretText::new("k".to_owned()),
            development: true,
            mailbox: None,
            node: None,
            network: None,
        };
        data.offer(&defaults).unwrap();
        data.offer(&defaults).unwrap();
        let text = |defaults: &ClientDefaults| serde_json::to_string(defaults).unwrap();
        assert_eq!(data.client_defaults().unwrap().as_ref().map(text), Some(text(&defaults)));
        assert!(text(&defaults).contains(r#""app_key":"k""#));
    }
}
