//! Instruments for tests, never part of a release build: `journeys` checks that no crate depends on this one but for its tests.
//!
//! - [`RecordingAllocator`] and [`Remains`] keep what a piece of work leaves behind in freed memory, to be searched for secrets.
//! - [`marks`] tells valgrind's memcheck which bytes are secret, so that it reports every branch and every memory address that
//!   depends on one.
//! - [`assert_keeps_secret`] fails the build where a type can be shown, copied or compared by accident.

mod assertion;
#[allow(unsafe_code, reason = "one instruction sequence that valgrind recognises; a no-op elsewhere")]
pub mod marks;
#[allow(unsafe_code, reason = "an allocator")]
mod remains;

#[doc(hidden)]
pub use core;
pub use remains::{RecordingAllocator, Remains, search};
