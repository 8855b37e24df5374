//! The model holds what is claimed, breaks where nothing is claimed, and the checker finds every planted defect.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod defects;
mod held;
mod names;
mod reduced;
