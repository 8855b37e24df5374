//! A witness: cosigns a log's checkpoints as long as each continues the one before (C2SP tlog-witness, Ed25519 cosignatures).
//!
//! It keeps one row for each log and signs nothing it has not stored first. Whoever puts an older copy of its file back makes it
//! forget; that is what counts as a rolled-back witness in `docs/THREAT-MODEL.md`.

mod checkpoint;
mod connections;
mod http;
mod key;
mod ledger;
mod witness;

pub use http::{BODY_BYTES_MAX, serve};
pub use key::{KeyError, NewKey, WitnessKey};
pub use ledger::{Cosigned, Ledger, LedgerError, Served};
pub use witness::{Clock, Refusal, SystemClock, Witness};
