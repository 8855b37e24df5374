//! Frames over the socket to the enclave.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use pinseal_protocol::frames::Frames;
use pinseal_protocol::wire::{self, FrameError, FromEnclave, ToEnclave};

/// How long boot waits for the enclave's next word. Unsealing the root under a passphrase takes seconds, the boot check of a
/// million wallets some more.
pub(crate) const BOOT_WAIT: Duration = Duration::from_secs(300);
/// How long one frame may take to be written: an enclave that does not read that long is stuck.
const WRITE_WAIT: Duration = Duration::from_secs(60);
/// Most bytes taken from the kernel at a time: the answers to some twenty signatures.
const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes that wait to be sent from which on they are.
const OUTGOING_BYTES_FULL: usize = 256 * 1024;

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
    incoming: Frames,
    /// Frames that were put down and not sent yet.
    outgoing: Vec<u8>,
}

impl Link {
    /// Takes the connection over; reads wait at most [`BOOT_WAIT`] until [`Link::wait_forever`].
    pub(crate) fn new(stream: UnixStream) -> Result<Self, LinkError> {
        stream.set_read_timeout(Some(BOOT_WAIT))?;
        stream.set_write_timeout(Some(WRITE_WAIT))?;
        Ok(Self { stream, incoming: Frames::default(), outgoing: Vec::new() })
    }

    /// From now on the enclave speaks when it has something to say.
    pub(crate) fn wait_forever(&self) -> Result<(), LinkError> {
        Ok(self.stream.set_read_timeout(None)?)
    }

    /// A second handle, for the reading thread, with what was received and not read yet. This one is for sending from now on.
    pub(crate) fn split(&mut self) -> Result<Self, LinkError> {
        let stream = self.stream.try_clone()?;
        Ok(Self { stream, incoming: std::mem::take(&mut self.incoming), outgoing: Vec::new() })
    }

    /// Sends a message, after those that were put down.
    pub(crate) fn send(&mut self, message: &ToEnclave) -> Result<(), LinkError> {
        self.put(message)?;
        self.flush()
    }

    /// Puts a message down, to be sent with those that follow it at once: each write wakes the enclave.
    pub(crate) fn put(&mut self, message: &ToEnclave) -> Result<(), LinkError> {
        let frame = wire::frame(message)?;
        crate::fault::point("host.before_enclave_send");
        self.outgoing.extend_from_slice(&frame);
        if self.outgoing.len() >= OUTGOING_BYTES_FULL { self.flush() } else { Ok(()) }
    }

    /// Sends what was put down.
    pub(crate) fn flush(&mut self) -> Result<(), LinkError> {
        let sent = self.stream.write_all(&self.outgoing);
        // Access tokens are in it, and the room stays.
        self.outgoing.fill(0);
        self.outgoing.clear();
        Ok(sent?)
    }

    pub(crate) fn receive(&mut self) -> Result<FromEnclave, LinkError> {
        loop {
            if let Some(message) = self.incoming.message()? {
                return Ok(message);
            }
            let stream = &mut self.stream;
            match self.incoming.fill(CHUNK_BYTES, |room| stream.read(room)) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends the conversation for both directions and every handle.
    pub(crate) fn close(&self) {
        // Already closed is closed.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}
