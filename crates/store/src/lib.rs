//! Durable host storage over SQLite: sealed records and the log, accounts, and the chain gateway's tables.
//!
//! [`Sqlite`] is the one database handle; the modules below are what can be done with it. [`vault`] decides who may touch a
//! sealed record, [`deployment`] holds the few files an operator backs up apart from the database.

pub mod accounts;
pub mod backup;
pub mod clock;
pub mod deployment;
pub mod gateway;
mod recent;
pub mod records;
#[cfg(test)]
mod secrets;
mod sqlite;
pub mod vault;

pub use sqlite::{CommitFault, CommitHook, OpenError, READERS, Sqlite, StoreError, WRITES_QUEUED_MAX};
