//! File descriptors handed from one process to another: sockets, pipes and listening ports.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;

use pinseal_client::SecretText;
use rustix::io::{Errno, FdFlags};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};

/// Longest secret read from a descriptor: a passphrase of several lines is a mistake.
const SECRET_BYTES_MAX: usize = 1_024;

/// Takes over a descriptor this process was started with.
///
/// The kernel duplicates it (`pidfd_getfd` on ourselves), which needs no promise about who else owns the number.
///
/// # Errors
/// The number names no open descriptor.
pub(crate) fn inherited(number: RawFd) -> Outcome<OwnedFd> {
    let duplicate = || -> Result<OwnedFd, Errno> {
        if number == 0 {
            return rustix::io::fcntl_dupfd_cloexec(std::io::stdin().as_fd(), 3);
        }
        let me = pidfd_open(getpid(), PidfdFlags::empty())?;
        pidfd_getfd(me, number, PidfdGetfdFlags::empty())
    };
    duplicate().map_err(|error| {
        Failure::usage(format!("file descriptor {number} cannot be used: {error}"))
            .advise("open it in the calling process, for example with `3< file` in a shell and `--pin-fd 3`")
    })
}

/// Lets the next spawned process inherit this descriptor under the same number. Close it here right after the spawn.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn inheritable(fd: &impl AsFd) -> Outcome {
    rustix::io::fcntl_setfd(fd, FdFlags::empty())
        .map_err(|error| Failure::failed("descriptor", format!("cannot hand on a file descriptor: {error}")))
}

/// Closes every descriptor from 3 up but `kept`. Only for a process that is about to become another program: in any other one somebody
/// owns them. So a descriptor the calling shell left open, with a passphrase behind it for instance, ends here.
///
/// # Errors
/// The kernel does not say which are open.
pub(crate) fn close_others(kept: &[RawFd]) -> Outcome {
    let listed = Path::new("/proc/self/fd");
    let open: Vec<RawFd> = std::fs::read_dir(listed)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>())
        .map_err(|error| Failure::file("list", listed, &error))?
        .iter()
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect();
    for number in open.into_iter().filter(|number| *number > 2 && !kept.contains(number)) {
        // The listing's own descriptor is among them and gone already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// Reads the first line of a secret from a descriptor, without its line end.
///
/// # Errors
/// Nothing to read, too long, or not UTF-8.
pub(crate) fn secret(number: RawFd, what: &str) -> Outcome<SecretText> {
    secret_of(number, what, SECRET_BYTES_MAX)
}

/// As [`secret`], of at most so many bytes.
///
/// # Errors
/// As there.
pub(crate) fn secret_of(number: RawFd, what: &str, bytes_max: usize) -> Outcome<SecretText> {
    let file = File::from(inherited(number)?);
    let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max + 1));
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(|error| {
        Failure::failed("descriptor", format!("cannot read the {what} from file descriptor {number}: {error}"))
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::usage(format!("the {what} is not UTF-8")))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() || bytes.len() > bytes_max {
        return Err(Failure::usage(format!("file descriptor {number} holds no usable {what}")));
    }
    Ok(SecretText::new(line.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn a_secret_is_the_first_line_and_nothing_more() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"correct horse\nsecond line\n").unwrap();
        drop(writer);
        assert_eq!(secret(reader.as_raw_fd(), "passphrase").unwrap().expose_secret(), "correct horse");
    }

    #[test]
    fn an_empty_or_endless_secret_is_refused() {
        for bytes in [Vec::new(), vec![b'a'; SECRET_BYTES_MAX + 1], vec![0xff]] {
            let (reader, mut writer) = std::io::pipe().unwrap();
            writer.write_all(&bytes).unwrap();
            drop(writer);
            assert!(secret(reader.as_raw_fd(), "PIN").is_err());
        }
    }

    #[test]
    fn a_number_that_is_not_open_is_a_usage_error() {
        assert_eq!(inherited(9_999).unwrap_err().exit, crate::failure::Exit::Usage);
    }
}
