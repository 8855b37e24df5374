//! Frames out of the host's stream.

use std::os::fd::BorrowedFd;

use pinseal_protocol::frames::{Frames, PREFIX_BYTES};
use pinseal_protocol::limits::FRAME_BYTES_MAX;
use pinseal_protocol::wire::{FrameError, ToEnclave};
use rustix::io::Errno;

use super::TransportError;

/// Most bytes taken from the kernel at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Received bytes that are not yet a message: at most one frame and one chunk.
#[derive(Debug, Default)]
pub(super) struct Incoming(Frames);

impl Incoming {
    /// The next whole message. An impossible length is refused as soon as it is known, before anything is kept for it.
    pub(super) fn next(&mut self) -> Result<Option<ToEnclave>, FrameError> {
        self.0.message()
    }

    /// Receives what is there, once. `false` if the host closed its end.
    ///
    /// Called only when [`Self::next`] found no whole message, which bounds what is kept. Descriptors a host might send along are not
    /// asked for and so never arrive.
    pub(super) fn receive(&mut self, stream: BorrowedFd<'_>) -> Result<bool, TransportError> {
        debug_assert!(self.0.waiting() < PREFIX_BYTES + FRAME_BYTES_MAX, "a whole frame would have been taken");
        match self.0.fill(CHUNK_BYTES, |room| rustix::io::read(stream, room)) {
            Ok(0) | Err(Errno::CONNRESET) => Ok(false),
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => Ok(true),
            Err(error) => Err(TransportError::Io(error.raw_os_error())),
        }
    }
}
