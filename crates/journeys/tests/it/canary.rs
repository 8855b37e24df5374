//! Canaries: secrets that the test knows are looked for, in every form they could have, wherever they must not be.
//!
//! What may be where is the table in docs/THREAT-MODEL.md; [`secrets`] knows the secrets, [`forms`] how they could be written,
//! [`memory`] and [`registers`] read processes, [`trawl`] everything on disk. The `planted` tests prove that what is there is found.

mod astray;
mod command;
mod core;
mod enclave;
mod everywhere;
mod forms;
mod mail;
mod memory;
mod net;
mod opened;
mod person;
mod planted;
mod recorder;
mod registers;
mod secrets;
mod trawl;
mod whole;
