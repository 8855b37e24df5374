//! Frames out of a stream of bytes, whatever pieces they arrive in.

use core::ops::Range;

use minicbor::{Decode, Encode};

use crate::wire::{self, FrameError};

/// Bytes of the length in front of a frame.
pub const PREFIX_BYTES: usize = 4;

/// Received bytes that are not yet a message: at most one frame and what was received in one go.
#[derive(Default)]
pub struct Frames {
    /// Room that is made once, and holds zeros but for what waits: a message may carry an access token, which must not outlive it here.
    buffer: Vec<u8>,
    /// Where in it what waits begins, and ends.
    start: usize,
    end: usize,
}

/// Says how much waits, not what: a message may carry an access token.
impl core::fmt::Debug for Frames {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Frames").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl Frames {
    /// The next whole message. An impossible length is refused as soon as it is known, before anything is kept for it.
    ///
    /// # Errors
    /// [`FrameError`]; nothing that follows can be understood.
    pub fn message<T: for<'b> Decode<'b, ()> + Encode<()>>(&mut self) -> Result<Option<T>, FrameError> {
        let waiting = self.buffer.get(self.start..self.end).unwrap_or(&[]);
        let Some((prefix, rest)) = waiting.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let length = wire::frame_length(*prefix)?;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = wire::parse(body)?;
        let end = self.start + PREFIX_BYTES + length;
        self.erase(self.start..end);
        self.start = end;
        Ok(Some(message))
    }

    /// Takes up what `receive` writes into room for `bytes` more and says it has written.
    ///
    /// To be called only when [`Self::message`] found no whole message, which bounds what is kept.
    ///
    /// # Errors
    /// Those of `receive`; nothing was taken up.
    pub fn fill<E>(&mut self, bytes: usize, receive: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<usize, E> {
        let (before, waiting) = (self.end, self.waiting());
        self.buffer.copy_within(self.start..before, 0);
        (self.start, self.end) = (0, waiting);
        self.erase(waiting..before);
        let room = self.end..self.end + bytes;
        if self.buffer.len() < room.end {
            self.buffer.resize(room.end, 0);
        }
        let received = receive(self.buffer.get_mut(room).unwrap_or(&mut []))?.min(bytes);
        self.end += received;
        Ok(received)
    }

    fn erase(&mut self, bytes: Range<usize>) {
        self.buffer.get_mut(bytes).unwrap_or(&mut []).fill(0);
    }

    /// Bytes that wait to become a message.
    pub fn waiting(&self) -> usize {
        self.end - self.start
    }
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;

    use super::*;
    use crate::wire::{BatchId, ToEnclave, frame};

    fn feed(frames: &mut Frames, bytes: &[u8]) {
        let fed = frames.fill(bytes.len() + 3, |room| {
            room[..bytes.len()].copy_from_slice(bytes);
            Ok::<_, Infallible>(bytes.len())
        });
        assert_eq!(fed, Ok(bytes.len()));
    }

    #[test]
    fn messages_come_out_whatever_pieces_they_arrive_in() {
        let sent: Vec<ToEnclave> = (0..3).map(|batch| ToEnclave::Aborted { batch: BatchId(batch) }).collect();
        let stream: Vec<u8> = sent.iter().flat_map(|message| frame(message).expect("short")).collect();
        for piece in 1..=stream.len() {
            let (mut frames, mut received) = (Frames::default(), Vec::new());
            for bytes in stream.chunks(piece) {
                feed(&mut frames, bytes);
                while let Some(message) = frames.message::<ToEnclave>().expect("sound") {
                    received.push(message);
                }
            }
            assert!(frames.buffer.iter().all(|byte| *byte == 0), "what was taken is left");
            let again: Vec<u8> = received.iter().flat_map(|message| frame(message).expect("short")).collect();
            assert_eq!((again, frames.waiting()), (stream.clone(), 0), "pieces of {piece}");
        }
    }

    #[test]
    fn an_impossible_length_is_refused_before_its_body_arrives() {
        for prefix in [[0, 0, 0, 0], [0, 0x40, 0, 1], [0xff; 4]] {
            let mut frames = Frames::default();
            feed(&mut frames, &prefix);
            assert!(matches!(frames.message::<ToEnclave>(), Err(FrameError::Length)));
        }
    }

    #[test]
    fn what_failed_to_arrive_leaves_what_waits_as_it_was() {
        let mut frames = Frames::default();
        feed(&mut frames, &[0, 0]);
        assert_eq!(frames.fill(8, |_| Err::<usize, _>("gone")), Err("gone"));
        assert_eq!(frames.waiting(), 2);
        assert!(matches!(frames.message::<ToEnclave>(), Ok(None)));
    }
}
