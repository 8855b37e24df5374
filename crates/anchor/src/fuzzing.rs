//! The reader of a TPM's answers, opened to the fuzz targets: the commands of an anchor, over answers from a script.

pub use crate::tpm::scripted::{Asked, Understood, ask};
