//! The simulator: that every promise holds, that what is not claimed does break, and that planted defects are found.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod by_hand;
mod held;
mod planted;
