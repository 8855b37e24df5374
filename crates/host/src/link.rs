//! Frames over the socket to the enclave.

use std::io::{self, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use pinseal_protocol::wire::{self, FrameError, FromEnclave, ToEnclave};

/// How long boot waits for the enclave's next word. Unsealing the root under a passphrase takes seconds, the boot check of a
/// million wallets some more.
pub(crate) const BOOT_WAIT: Duration = Duration::from_secs(300);
/// How long one frame may take to be written: an enclave that does not read that long is stuck.
const WRITE_WAIT: Duration = Duration::from_secs(60);

/// Why the conversation with the enclave ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The enclave closed the connection.
    #[error("the enclave closed the connection")]
    Closed,
    /// The enclave did not answer in time.
    #[error("the enclave did not answer in time")]
    Timeout,
    /// The socket failed; see the source.
    #[error("the connection to the enclave failed")]
    Io(#[source] io::Error),
    /// A frame is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Closed,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Timeout,
            _ => Self::Io(error),
        }
    }
}

/// One connection to the enclave.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
}

impl Link {
    /// Takes the connection over; reads wait at most [`BOOT_WAIT`] until [`Link::wait_forever`].
    pub(crate) fn new(stream: UnixStream) -> Result<Self, LinkError> {
        stream.set_read_timeout(Some(BOOT_WAIT))?;
        stream.set_write_timeout(Some(WRITE_WAIT))?;
        Ok(Self { stream })
    }

    /// From now on the enclave speaks when it has something to say.
    pub(crate) fn wait_forever(&self) -> Result<(), LinkError> {
        Ok(self.stream.set_read_timeout(None)?)
    }

    /// A second handle, for the reading thread.
    pub(crate) fn split(&self) -> Result<Self, LinkError> {
        Ok(Self { stream: self.stream.try_clone()? })
    }

    pub(crate) fn send(&mut self, message: &ToEnclave) -> Result<(), LinkError> {
        let frame = wire::frame(message)?;
        crate::fault::point("host.before_enclave_send");
        Ok(self.stream.write_all(&frame)?)
    }

    pub(crate) fn receive(&mut self) -> Result<FromEnclave, LinkError> {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix)?;
        let mut body = vec![0; wire::frame_length(prefix)?];
        self.stream.read_exact(&mut body)?;
        Ok(wire::parse(&body)?)
    }

    /// Ends the conversation for both directions and every handle.
    pub(crate) fn close(&self) {
        // Already closed is closed.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}
