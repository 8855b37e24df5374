//! Secrets kept on purpose: a test that looks for secrets in this process's memory must find these before it counts.
//!
//! With the feature `fault-points`, and only after [`keep_secrets`] was called, a copy of each secret that passes here stays on the
//! heap for as long as the process lives, or lies on the stack below what is in use, as a careless function leaves it. Without the
//! feature there is no code here.

/// Keeps a copy, if a test asked for it.
#[cfg(not(feature = "fault-points"))]
pub(crate) const fn keep(_: &[u8]) {}

#[cfg(feature = "fault-points")]
pub use enabled::{Kept, keep_secrets};

#[cfg(feature = "fault-points")]
pub(crate) use enabled::keep;

#[cfg(feature = "fault-points")]
mod enabled {
    use std::sync::{Mutex, PoisonError};

    /// Deeper than what runs after it in the same step.
    const STACK_BYTES: usize = 64 * 1024;

    /// Where copies are kept.
    #[derive(Debug)]
    pub enum Kept {
        /// On the heap, these so far.
        Heap(Vec<Box<[u8]>>),
        /// On the stack, until something else is written there.
        Stack,
    }

    static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

    /// From now on secrets are kept. For tests alone.
    pub fn keep_secrets(place: Kept) {
        *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }

    /// Keeps a copy, if a test asked for it.
    pub(crate) fn keep(secret: &[u8]) {
        match KEPT.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            None => {}
            Some(Kept::Heap(kept)) => kept.push(secret.into()),
            Some(Kept::Stack) => leave_on_stack(secret),
        }
    }

    #[inline(never)]
    fn leave_on_stack(secret: &[u8]) {
        let mut frame = [0_u8; STACK_BYTES];
        // The lowest address, which is the deepest place.
        for (place, byte) in frame.iter_mut().zip(secret) {
            *place = *byte;
        }
        std::hint::black_box(&mut frame);
    }
}
