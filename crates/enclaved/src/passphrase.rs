//! The sealing passphrase, read once from a descriptor.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// Longest passphrase.
pub(crate) const PASSPHRASE_BYTES_MAX: usize = pinseal_enclave::Passphrase::BYTES_MAX;

/// Why there is no passphrase; whoever started the process is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// The descriptor cannot be read.
    #[error("the descriptor cannot be read (error {0})")]
    Unreadable(i32),
    /// Nothing was written to it.
    #[error("it is empty")]
    Empty,
    /// Longer than any passphrase.
    #[error("it is longer than {PASSPHRASE_BYTES_MAX} bytes")]
    TooLong,
}

/// Reads `source` to its end, drops one newline there, and closes it. What was read is zeroed when the result is dropped.
pub(crate) fn read(source: OwnedFd) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    // One byte for the newline, one to notice that there is more. Never grows, so no copy stays behind.
    let mut buffer = Zeroizing::new(vec![0_u8; PASSPHRASE_BYTES_MAX + 2]);
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(&source, &mut *rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                // Interrupted or ready: the read above tells.
                let _ = rustix::event::poll(&mut [PollFd::new(&source, PollFlags::IN)], None);
            }
            Err(error) => return Err(PassphraseError::Unreadable(error.raw_os_error())),
        }
    }
    buffer.truncate(filled);
    if buffer.last() == Some(&b'\n') {
        buffer.pop();
    }
    match buffer.len() {
        0 => Err(PassphraseError::Empty),
        1..=PASSPHRASE_BYTES_MAX => Ok(buffer),
        _ => Err(PassphraseError::TooLong),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

    use std::io::{Seek, Write};

    use super::*;

    fn written(bytes: &[u8]) -> Result<Vec<u8>, PassphraseError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        read(file.into()).map(|read| read.to_vec())
    }

    #[test]
    fn one_newline_at_the_end_is_dropped() {
        assert_eq!(written(b"correct horse\n"), Ok(b"correct horse".to_vec()));
        assert_eq!(written(b"correct horse"), Ok(b"correct horse".to_vec()));
        assert_eq!(written(b"two\n\n"), Ok(b"two\n".to_vec()));
    }

    #[test]
    fn empty_and_overlong_are_refused() {
        assert_eq!(written(b""), Err(PassphraseError::Empty));
        assert_eq!(written(b"\n"), Err(PassphraseError::Empty));
        assert_eq!(written(&[b'x'; 1024]).map(|read| read.len()), Ok(1024));
        assert_eq!(written(&[[b'x'; 1024].as_slice(), b"\n"].concat()).map(|read| read.len()), Ok(1024));
        assert_eq!(written(&[b'x'; 1025]), Err(PassphraseError::TooLong));
        assert_eq!(written(&[b'x'; 100_000]), Err(PassphraseError::TooLong));
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        let directory = std::fs::File::open("/").unwrap();
        assert_eq!(read(directory.into()), Err(PassphraseError::Unreadable(libc::EISDIR)));
    }
}
