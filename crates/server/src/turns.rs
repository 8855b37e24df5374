//! Turns at scarce work: so many at once, and the others in fair lines.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::lines::{Lines, Source};

/// The turns; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    at_once_max: usize,
    state: Mutex<State>,
}

/// While anybody waits, as many work as may: who is done hands the turn on.
#[derive(Debug)]
struct State {
    working: usize,
    lines: Lines<oneshot::Sender<Turn>>,
}

/// Too many wait, and others before this one; the client repeats later.
#[derive(Debug, thiserror::Error)]
#[error("too many wait already")]
pub(crate) struct Full;

impl Turns {
    pub(crate) fn new(at_once_max: usize, waiting_max: usize) -> Self {
        let state = Mutex::new(State { working: 0, lines: Lines::new(waiting_max) });
        Self(Arc::new(Shared { at_once_max, state }))
    }

    /// In work or waiting.
    pub(crate) fn depth(&self) -> usize {
        let state = self.lock();
        state.working + state.lines.waiting()
    }

    /// Waits for a turn.
    pub(crate) async fn take(&self, source: Source) -> Result<Turn, Full> {
        let (waiting, called) = {
            let mut state = self.lock();
            if state.working < self.0.at_once_max {
                state.working += 1;
                return Ok(Turn(self.clone()));
            }
            let (call, called) = oneshot::channel();
            // Whoever lost its place for this one learns it as its call is dropped.
            let joined = state.lines.join(source, call).map_err(|_| Full)?;
            (Waiting { turns: self, source, number: joined.number }, called)
        };
        let turn = called.await.map_err(|_| Full);
        drop(waiting);
        turn
    }

    // Every change is whole before the lock is given back, so a poisoned one guards a sound state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in line, until its owner is called or goes away.
struct Waiting<'a> {
    turns: &'a Turns,
    source: Source,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let left = self.turns.lock().lines.leave(self.source, self.number);
        drop(left);
    }
}

/// A turn, until it is dropped. Move it into the work, so that it lasts as long as that does, whoever still waits for it.
#[derive(Debug)]
pub(crate) struct Turn(Turns);

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.lock();
            let next = state.lines.next();
            state.working -= usize::from(next.is_none());
            next
        };
        // To somebody who went away meanwhile, the turn is dropped in turn.
        if let Some(call) = next {
            drop(call.send(Self(self.0.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn from(last: u8) -> Source {
        Source::address(std::net::IpAddr::from([192, 0, last, 1]))
    }

    #[test]
    fn a_turn_goes_to_the_next_line_and_back_when_nobody_waits() {
        let turns = Turns::new(1, 3);
        let first = poll(pin!(turns.take(from(1)))).unwrap().unwrap();
        let (mut flood, mut flooded) = (pin!(turns.take(from(1))), pin!(turns.take(from(1))));
        let mut honest = pin!(turns.take(from(2)));
        assert!(poll(flood.as_mut()).is_none() && poll(flooded.as_mut()).is_none() && poll(honest.as_mut()).is_none());
        assert_eq!(turns.depth(), 4);
        drop(first);
        let second = poll(flood.as_mut()).unwrap().unwrap();
        assert!(poll(honest.as_mut()).is_none() && poll(flooded.as_mut()).is_none());
        drop(second);
        assert!(poll(flooded.as_mut()).is_none(), "the other line first");
        drop(poll(honest.as_mut()).unwrap());
        drop(poll(flooded.as_mut()).unwrap());
        assert_eq!(turns.depth(), 0);
    }

    #[test]
    fn whoever_loses_its_place_is_told_at_once() {
        let turns = Turns::new(1, 2);
        let _working = poll(pin!(turns.take(from(1)))).unwrap().unwrap();
        let (mut one, mut two) = (pin!(turns.take(from(1))), pin!(turns.take(from(1))));
        assert!(poll(one.as_mut()).is_none() && poll(two.as_mut()).is_none());
        assert!(poll(pin!(turns.take(from(1)))).unwrap().is_err());
        let mut honest = pin!(turns.take(from(2)));
        assert!(poll(honest.as_mut()).is_none());
        assert!(poll(two.as_mut()).unwrap().is_err() && poll(one.as_mut()).is_none());
    }

    #[test]
    fn a_turn_passes_by_whoever_went_away() {
        let turns = Turns::new(1, 4);
        let first = poll(pin!(turns.take(from(1)))).unwrap().unwrap();
        let mut gone_in_line = Box::pin(turns.take(from(1)));
        let mut gone_when_called = Box::pin(turns.take(from(1)));
        let mut stays = pin!(turns.take(from(1)));
        assert!(poll(gone_in_line.as_mut()).is_none() && poll(gone_when_called.as_mut()).is_none());
        assert!(poll(stays.as_mut()).is_none());
        drop(gone_in_line);
        assert_eq!(turns.depth(), 3);
        drop(first);
        drop(gone_when_called);
        drop(poll(stays.as_mut()).unwrap().unwrap());
        assert_eq!(turns.depth(), 0);
    }
}
