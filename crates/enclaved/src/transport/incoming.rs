//! Frames out of a stream of bytes.

use std::os::fd::BorrowedFd;

use pinseal_protocol::limits::FRAME_BYTES_MAX;
use pinseal_protocol::wire::{self, FrameError, ToEnclave};
use rustix::io::Errno;

use super::TransportError;

/// Most bytes taken from the kernel at a time.
const CHUNK_BYTES: usize = 64 * 1024;

const PREFIX_BYTES: usize = 4;

/// Received bytes that are not yet a message: at most one frame and one chunk.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    buffer: Vec<u8>,
    /// Bytes at the front that were taken already.
    taken: usize,
}

impl Incoming {
    /// The next whole message. An impossible length is refused as soon as it is known, before anything is kept for it.
    pub(super) fn next(&mut self) -> Result<Option<ToEnclave>, FrameError> {
        let waiting = self.buffer.get(self.taken..).unwrap_or(&[]);
        let Some((prefix, rest)) = waiting.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let length = wire::frame_length(*prefix)?;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = wire::parse(body)?;
        self.taken += PREFIX_BYTES + length;
        Ok(Some(message))
    }

    /// Receives what is there, once. `false` if the host closed its end.
    ///
    /// Called only when [`Self::next`] found no whole message, which bounds what is kept. Descriptors a host might send along are not
    /// asked for and so never arrive.
    pub(super) fn receive(&mut self, stream: BorrowedFd<'_>) -> Result<bool, TransportError> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let before = self.buffer.len();
        debug_assert!(before < PREFIX_BYTES + FRAME_BYTES_MAX, "a whole frame would have been taken");
        self.buffer.resize(before + CHUNK_BYTES, 0);
        let result = rustix::io::read(stream, self.buffer.get_mut(before..).unwrap_or(&mut []));
        self.buffer.truncate(before + result.unwrap_or(0));
        match result {
            Ok(0) | Err(Errno::CONNRESET) => Ok(false),
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => Ok(true),
            Err(error) => Err(TransportError::Io(error.raw_os_error())),
        }
    }
}
