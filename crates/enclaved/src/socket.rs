//! The one connection to the host.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::journal::{self, Field, Level};

/// Why the socket cannot be used; whoever started the process is at fault, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The descriptor is not open.
    #[error("the descriptor is not open")]
    NotOpen(#[source] io::Error),
    /// The descriptor is not a unix stream socket.
    #[error("the descriptor is not a unix stream socket")]
    NotUnixStream,
    /// Another process serves on this path: stop it, or choose another path.
    #[error("another process is live on this path")]
    Live,
    /// Something that is not a socket lies at this path; it was left alone.
    #[error("something that is not a socket lies at this path")]
    Occupied,
    /// The socket could not be made or used.
    #[error("it cannot be made or used")]
    Io(#[from] io::Error),
}

impl From<Errno> for SocketError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Where the host comes in.
#[derive(Debug)]
pub(crate) enum HostSocket {
    /// It is there already.
    Connected(OwnedFd),
    /// One connection is to be accepted.
    Listening {
        /// The listening socket.
        listener: OwnedFd,
        /// Held to the end of the process, so that nobody else takes the path.
        lock: Option<OwnedFd>,
    },
}

/// The host's stream, ready for the loop: it never blocks.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: OwnedFd,
    _lock: Option<OwnedFd>,
}

impl HostSocket {
    /// A socket that the parent process left open.
    pub(crate) fn adopt(socket: OwnedFd) -> Result<Self, SocketError> {
        let is_unix_stream = sockopt::socket_domain(&socket).is_ok_and(|domain| domain == AddressFamily::UNIX)
            && sockopt::socket_type(&socket).is_ok_and(|kind| kind == SocketType::STREAM);
        if !is_unix_stream {
            return Err(SocketError::NotUnixStream);
        }
        if sockopt::socket_acceptconn(&socket)? {
            set_nonblocking(&socket, false)?;
            return Ok(Self::Listening { listener: socket, lock: None });
        }
        set_nonblocking(&socket, true)?;
        Ok(Self::Connected(socket))
    }

    /// A new socket at `path` that only this user may connect to. A dead one left there is replaced.
    pub(crate) fn bind(path: &Path) -> Result<Self, SocketError> {
        let lock = lock(path)?;
        remove_if_dead(path)?;
        // Between binding and a later chmod anyone could connect; the mask leaves no such moment.
        let before = rustix::process::umask(Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(path);
        rustix::process::umask(before);
        Ok(Self::Listening { listener: listener?.into(), lock: Some(lock) })
    }

    /// Everything this socket holds open.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        match self {
            Self::Connected(stream) => vec![stream.as_raw_fd()],
            Self::Listening { listener, lock } => {
                std::iter::once(listener).chain(lock).map(AsRawFd::as_raw_fd).collect()
            }
        }
    }

    /// The descriptor to accept from, if the host is not there yet.
    pub(crate) fn listener(&self) -> Option<RawFd> {
        match self {
            Self::Connected(_) => None,
            Self::Listening { listener, .. } => Some(listener.as_raw_fd()),
        }
    }

    /// Waits for the host, a process of user `host`, and closes the door behind it. Whoever else gets through the file's mode is
    /// sent away: the one connection there is would be theirs.
    pub(crate) fn accept(self, host: u32) -> Result<Connection, SocketError> {
        match self {
            Self::Connected(stream) => Ok(Connection { stream, _lock: None }),
            Self::Listening { listener, lock } => loop {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let stream = match rustix::net::accept_with(&listener, flags) {
                    Ok(stream) => stream,
                    // Somebody hung up before being let in.
                    Err(Errno::INTR | Errno::CONNABORTED) => continue,
                    Err(error) => return Err(error.into()),
                };
                // As of the moment it connected; the kernel says so, not the other side.
                let user = sockopt::socket_peercred(&stream)?.uid.as_raw();
                if user == host {
                    return Ok(Connection { stream, _lock: lock });
                }
                journal::write(Level::Warn, "stranger_refused", &[("uid", Field::Number(user.into()))]);
            },
        }
    }
}

fn set_nonblocking(socket: &impl AsFd, nonblocking: bool) -> Result<(), SocketError> {
    let mut flags = rustix::fs::fcntl_getfl(socket)?;
    flags.set(OFlags::NONBLOCK, nonblocking);
    Ok(rustix::fs::fcntl_setfl(socket, flags)?)
}

/// Takes the lock beside the path. Asking a live process by connecting to it would use up the one connection it serves.
fn lock(path: &Path) -> Result<OwnedFd, SocketError> {
    let mut name = OsString::from(path);
    name.push(".lock");
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(&name, flags, Mode::RUSR | Mode::WUSR)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(SocketError::Live),
        Err(error) => Err(error.into()),
    }
}

/// The lock keeps our own kind away; a socket of another program is asked whether it answers.
fn remove_if_dead(path: &Path) -> Result<(), SocketError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::Occupied),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::Live),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(std::fs::remove_file(path)?),
        Err(error) => Err(error.into()),
    }
}
