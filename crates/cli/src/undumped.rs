//! What every command does first: nobody else of its user reads this program's memory, and no crash writes it to a disk.
//!
//! The supervisor keeps the sealing passphrase, a client has its PIN, the host what people log in with. With the feature `fault-points`,
//! `PINSEAL_FAULT=every.stay_dumpable:1` leaves it out, for tests that must read this program without being root, and for the proof that an
//! image would be found.

use crate::failure::{Failure, Outcome};

/// Closes the process, before it reads anything.
///
/// # Errors
/// The system does not do it; then nothing must be read.
pub(crate) fn begin() -> Outcome {
    if is_left_out() {
        return Ok(());
    }
    // The limit comes last, so that whoever sees it in `/proc` knows of both.
    pinseal_undumped::not_dumpable().and_then(|()| pinseal_undumped::no_core()).map_err(|error| {
        Failure::failed("memory", format!("the system does not keep this program's memory from others: {error}"))
    })
}

#[cfg(not(feature = "fault-points"))]
const fn is_left_out() -> bool {
    false
}

#[cfg(feature = "fault-points")]
fn is_left_out() -> bool {
    std::env::var("PINSEAL_FAULT").is_ok_and(|fault| fault == "every.stay_dumpable:1")
}
