//! Rust client core: login, evidence, sealed requests, intents. The CLI, the tests and later the mobile bindings stand on it.
//!
//! The order of every use is fixed by types. A [`Client`] logs in and talks to the host. [`Client::attest`] verifies the enclave's
//! evidence and gives an [`Attested`], and only an [`Attested`] has methods that take a PIN. What comes back is checked before it
//! is handed out: addresses against the log key and the pinned ones, signatures against the intent and the address, receipts
//! against the newest one this device holds. The host can refuse; it cannot change what is shown or signed without being noticed.

pub mod account;
pub mod api;
pub mod client;
pub mod device;
pub mod environment;
pub mod evidence;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod history;
pub mod intents;
pub mod operation;
pub mod outgoing;
pub mod pin;
pub mod profile;
pub mod receipt;
#[cfg(test)]
mod secrets;
pub mod signed;
pub mod transaction;
pub mod values;

pub use account::{Account, AccountError};
pub use api::{Api, ApiError, AppCredentials, ConnectError, Platform, ProblemError, ServerUrl};
pub use client::{Client, Configuration};
pub use environment::{Environment, System};
pub use evidence::{Attested, EvidenceError};
pub use history::{History, HistoryError};
pub use operation::{LockKind, OperationError};
pub use outgoing::{Accepted, Known, Outgoing, Standing};
pub use pin::{NewPin, Pin, PinError};
pub use pinseal_protocol::secret::SecretText;
pub use profile::{FileProfile, MemoryProfile, Profile, ProfileError, ProfileStore, Protection};
pub use transaction::{PreparedTransaction, SignedTransaction, Speed, TransactionError, TransactionRequest};
pub use values::{Address, Amount, Network};
