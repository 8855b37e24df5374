//! What calls leave behind on the stack.
//!
//! A library returns a signature, a MAC or a hash state by value, and the frames it was made in stay as they were until other calls
//! need the room. Whoever calls such a library with a secret overwrites them afterwards.

/// More than making or checking a signature or hashing a password takes, also unoptimised.
pub const DEEP_BYTES: usize = 96 * 1024;
/// More than a hash or a MAC takes.
pub const SHALLOW_BYTES: usize = 16 * 1024;

/// Overwrites the `BYTES` of stack below its caller, so all that calls before this one left there.
#[inline(never)]
pub fn wipe<const BYTES: usize>() {
    core::hint::black_box(&mut [0_u8; BYTES]);
}
