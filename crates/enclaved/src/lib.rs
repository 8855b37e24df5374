//! The enclave's own process: transport, hardening, passphrase. The state machine it runs is `pinseal_enclave`.
//!
//! One process is one boot with one host. It hardens itself before it reads a byte, takes the passphrase from a descriptor, exchanges
//! frames over one unix socket and ends when the host goes. There is one thread and one loop: no runtime, no timer, no network.

pub mod arguments;
pub mod exit;
pub mod hardening;
pub mod journal;
pub mod run;

mod environment;
mod faults;
mod passphrase;
mod socket;
mod transport;

pub use hardening::WipingAllocator;
pub use run::run;
