//! The loop between the host's stream and the state machine.
//!
//! One thread, no timer. The host's messages are handled in order; while the host does not take what was sent, nothing more is read
//! from it, so that it can make this process neither grow nor block for anyone but itself.

mod incoming;
mod kind;

#[cfg(feature = "fault-points")]
pub(crate) use kind::KINDS;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

use pinseal_protocol::wire::{self, FrameError, FromEnclave, Halt, ToEnclave};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::faults::{Faults, Side};
use crate::journal::{self, Level};
use incoming::Incoming;

/// While more than this waits to be sent, nothing is handled.
const OUTGOING_BYTES_PAUSE: usize = 1024 * 1024;

/// What the loop runs: the enclave, or a stand-in in this module's tests.
pub(crate) trait Machine {
    /// The first frame of the connection.
    fn hello(&self) -> FromEnclave;
    /// Takes one message and returns what it causes.
    fn step(&mut self, message: ToEnclave) -> Vec<FromEnclave>;
    /// Nothing more will be handled.
    fn is_halted(&self) -> bool;
}

/// How a conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The host closed the connection.
    HostGone {
        /// Messages handled.
        handled: u64,
    },
    /// The machine did all it was asked for.
    Finished,
    /// The machine refused to go on, and said so.
    Halted(Halt),
}

/// Why a conversation was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The host sent no valid frame. It is at fault; whatever follows cannot be understood.
    #[error("the host broke the protocol")]
    Frame(#[source] FrameError),
    /// A message of this process does not fit into a frame: our fault.
    #[error("a message to the host does not fit into a frame")]
    Oversize,
    /// The kernel failed the connection.
    #[error("the connection failed (error {0})")]
    Io(i32),
}

/// Exchanges messages until the host goes, the machine halts, or the host breaks the protocol.
pub(crate) fn serve(
    stream: BorrowedFd<'_>,
    machine: &mut dyn Machine,
    faults: &mut Faults,
) -> Result<End, TransportError> {
    let mut link = Link { stream, outgoing: VecDeque::new() };
    let mut incoming = Incoming::default();
    let mut handled = 0;
    let mut host_writes = true;
    say(&mut link, faults, &machine.hello())?;
    loop {
        while link.outgoing.len() <= OUTGOING_BYTES_PAUSE {
            let message = match incoming.next() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) => return Err(link.break_off(error)),
            };
            handled += 1;
            if let Some(end) = turn(&mut link, machine, faults, message)? {
                link.flush()?;
                return Ok(end);
            }
        }
        let paused = link.outgoing.len() > OUTGOING_BYTES_PAUSE;
        if !link.send_some()? {
            return Ok(End::HostGone { handled });
        }
        let still_paused = link.outgoing.len() > OUTGOING_BYTES_PAUSE;
        if paused && !still_paused {
            // Whole messages may have arrived before the pause; nothing would announce them again.
            continue;
        }
        if !host_writes && link.outgoing.is_empty() {
            return Ok(End::HostGone { handled });
        }
        let reads = host_writes && !still_paused;
        if link.wait(reads)? && reads {
            host_writes = incoming.receive(stream)?;
        }
    }
}

/// Handles one message. `Some` if it was the last.
fn turn(
    link: &mut Link<'_>,
    machine: &mut dyn Machine,
    faults: &mut Faults,
    message: ToEnclave,
) -> Result<Option<End>, TransportError> {
    let kind = kind::of_incoming(&message);
    fault(link, faults, Side::Before, kind);
    let answers = machine.step(message);
    if !faults.leaves_stack() {
        crate::hardening::sys::wipe_stack();
    }
    fault(link, faults, Side::After, kind);
    for answer in &answers {
        say(link, faults, answer)?;
    }
    if !machine.is_halted() {
        return Ok(None);
    }
    match answers.last() {
        Some(FromEnclave::Halted { halt, .. }) => Ok(Some(End::Halted(*halt))),
        _ => Ok(Some(End::Finished)),
    }
}

fn say(link: &mut Link<'_>, faults: &mut Faults, message: &FromEnclave) -> Result<(), TransportError> {
    let kind = kind::of_outgoing(message);
    fault(link, faults, Side::Before, kind);
    link.enqueue(message)?;
    fault(link, faults, Side::After, kind);
    Ok(())
}

/// Ends the process if a crash test asked for it here; what was sent before this place reaches the host.
fn fault(link: &mut Link<'_>, faults: &mut Faults, side: Side, kind: &'static str) {
    if faults.is_due(side, kind) {
        let _ = link.flush();
        journal::write(Level::Error, "fault_point", &[("kind", journal::Field::Text(kind))]);
        std::process::abort();
    }
}

/// The sending half, and waiting for either.
struct Link<'a> {
    stream: BorrowedFd<'a>,
    /// Frames that the kernel has not taken yet, one after the other: all that a few messages caused goes out at once, and wakes the host once.
    outgoing: VecDeque<u8>,
}

impl Link<'_> {
    fn enqueue(&mut self, message: &FromEnclave) -> Result<(), TransportError> {
        let frame = wire::frame(message).map_err(|_| TransportError::Oversize)?;
        self.outgoing.extend(frame);
        Ok(())
    }

    /// Sends what the kernel takes. `false` if the host is gone.
    fn send_some(&mut self) -> Result<bool, TransportError> {
        while !self.outgoing.is_empty() {
            match rustix::io::write(self.stream, self.outgoing.as_slices().0) {
                Ok(written) => drop(self.outgoing.drain(..written)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(true),
                Err(Errno::PIPE | Errno::CONNRESET) => return Ok(false),
                Err(error) => return Err(TransportError::Io(error.raw_os_error())),
            }
        }
        Ok(true)
    }

    /// Waits until something can be sent or, if wanted, received. `true` if receiving is worth a try.
    fn wait(&self, reads: bool) -> Result<bool, TransportError> {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, reads);
        events.set(PollFlags::OUT, !self.outgoing.is_empty());
        let stream = self.stream.as_fd();
        let mut waited = [PollFd::from_borrowed_fd(stream, events)];
        match rustix::event::poll(&mut waited, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(false),
            Err(error) => return Err(TransportError::Io(error.raw_os_error())),
        }
        let [waited] = waited;
        Ok(waited.revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR))
    }

    /// Sends all that waits, unless the host goes.
    fn flush(&mut self) -> Result<(), TransportError> {
        while self.send_some()? && !self.outgoing.is_empty() {
            self.wait(false)?;
        }
        Ok(())
    }

    /// Tells the host what was wrong, if it still listens, without waiting for it.
    fn break_off(&mut self, error: FrameError) -> TransportError {
        let told = self.enqueue(&FromEnclave::Halted { halt: Halt::Protocol, detail: error.to_string() });
        if told.is_ok() {
            // The frame's own error is the one to report.
            let _ = self.send_some();
        }
        TransportError::Frame(error)
    }
}

#[cfg(test)]
mod tests;
