//! The readers of a TPM's answers, of a witness's and of the anchor's file, opened to the fuzz targets.

use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::DeploymentId;
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::note::{SignatureLine, VerifierKey};

use crate::file::slots::Slots;
pub use crate::tpm::scripted::{Asked, Understood, ask};
use crate::witnesses::member;

/// The line by which a witness cosigned a checkpoint, out of its answer.
pub fn cosignature(answer: &[u8], key: &VerifierKey, checkpoint: &Checkpoint) -> Option<SignatureLine> {
    member::cosignature(answer, key, checkpoint)
}

/// Leaves of what a witness says it holds.
pub fn held_size(answer: &[u8]) -> Option<u64> {
    member::held_size(answer)
}

/// The checkpoint that a witness shows, and the log's own note of it.
pub fn own_note(answer: &[u8], deployment: &DeploymentId, log: &Ed25519Public) -> Option<(Checkpoint, Vec<u8>)> {
    member::own_note(answer, deployment, log)
}

/// A new file that holds `note`.
pub fn first_file(note: &[u8]) -> Vec<u8> {
    Slots::first(note)
}

/// What a file holds; `None` if it is none of an anchor's.
pub fn file_holds(file: &[u8]) -> Option<Vec<u8>> {
    Slots::parse(file).map(|slots| slots.newest().to_vec())
}

/// What is written into a file, and where, so that `note` is in force, or without one so that what is in force is made durable.
pub fn file_write(file: &[u8], note: Option<&[u8]>) -> Option<(u64, Vec<u8>)> {
    let slots = Slots::parse(file)?;
    Some(note.map_or_else(|| slots.present(), |note| slots.following(note)))
}
