//! A stream whose other end must read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Bytes of an answer that its client takes in the time it has, or else the rest: 1.6 KB/s by default, which the slowest of mobile networks
/// bring.
pub(crate) const STRETCH_BYTES: usize = 16 * 1_024;

/// A connection that fails once it has waited this long for its other end to take a stretch, or all there is to take. Otherwise a client
/// that asks for a long answer and takes it byte by byte, or not at all, would hold its place, and the answer, for as long as it likes.
pub(super) struct Stalling<S> {
    stream: S,
    time_max: Duration,
    owed: Option<Owed>,
}

/// What the other end has to take, from the moment on when a write first had to wait.
struct Owed {
    deadline: Pin<Box<Sleep>>,
    taken: usize,
}

impl<S> Stalling<S> {
    pub(super) fn new(stream: S, time_max: Duration) -> Self {
        Self { stream, time_max, owed: None }
    }

    /// Starts, settles or asks the deadline, as the write has gone.
    fn judge(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(outcome) = written {
            let taken = outcome.as_ref().copied().unwrap_or(0);
            self.owed = self.owed.take().map(|owed| Owed { taken: owed.taken + taken, ..owed });
            self.owed.take_if(|owed| owed.taken >= STRETCH_BYTES);
            return Poll::Ready(outcome);
        }
        let start = || Owed { deadline: Box::pin(tokio::time::sleep(self.time_max)), taken: 0 };
        let owed = self.owed.get_or_insert_with(start);
        owed.deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.judge(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // A TCP stream keeps nothing back, so neither of these waits for the other end. Who flushes has written all there was.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.owed = None;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::task::Waker;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::{Instant, MissedTickBehavior, interval};

    use super::*;

    /// When the other end is hung up on, if it owes anything.
    fn due<S>(stalling: &Stalling<S>) -> Option<Instant> {
        stalling.owed.as_ref().map(|owed| owed.deadline.deadline())
    }

    #[tokio::test]
    async fn a_stretch_or_all_there_is_gives_new_time_and_nothing_less_does() {
        let mut near = Stalling::new(tokio::io::sink(), Duration::from_secs(3_600));
        let mut context = Context::from_waker(Waker::noop());
        assert!(near.judge(&mut context, Poll::Ready(Ok(100))).is_ready() && due(&near).is_none(), "nothing waited");
        assert!(near.judge(&mut context, Poll::Pending).is_pending());
        let first = due(&near).unwrap();
        for _ in 1..STRETCH_BYTES {
            assert!(near.judge(&mut context, Poll::Ready(Ok(1))).is_ready());
            assert!(near.judge(&mut context, Poll::Pending).is_pending());
        }
        assert_eq!(due(&near), Some(first), "byte by byte");
        assert!(near.judge(&mut context, Poll::Ready(Ok(1))).is_ready() && due(&near).is_none(), "the whole stretch");
        assert!(near.judge(&mut context, Poll::Pending).is_pending() && due(&near).unwrap() > first);
        near.flush().await.unwrap();
        assert!(due(&near).is_none(), "the rest");
    }

    #[tokio::test]
    async fn whoever_takes_an_answer_byte_by_byte_is_hung_up_on() {
        let (near, mut far) = duplex(1);
        let mut near = Stalling::new(near, Duration::from_millis(100));
        let reading = async {
            let mut pace = interval(Duration::from_millis(1));
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while far.read_u8().await.is_ok() {
                pace.tick().await;
            }
        };
        let answer = [7; STRETCH_BYTES];
        let written = async { near.write_all(&answer).await.unwrap_err().kind() };
        tokio::select! {
            kind = written => assert_eq!(kind, io::ErrorKind::TimedOut),
            () = reading => unreachable!("the other end stays"),
        }
    }
}
