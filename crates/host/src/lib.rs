//! Request pipeline between API and enclave.
//!
//! [`Pipeline`] decides, without I/O: events in, actions out. [`Trunk`] is the thin shell of threads, socket, database and
//! anchor around it. [`create()`] makes a new deployment, [`Trunk::start`] boots one, and [`change()`] changes what it is sealed with.

mod anchoring;
mod boot;
mod call;
mod change;
mod create;
pub mod fault;
mod link;
mod pause;
pub mod pipeline;
#[cfg(feature = "planted")]
pub mod planted;
#[cfg(not(feature = "planted"))]
mod planted;
mod prime;
#[cfg(test)]
mod secrets;
mod trunk;

pub use boot::{BootError, Hello};
pub use call::{BeginAnswer, CallError, Stop};
pub use change::{
    ChangeError, ChangeParts, Earlier, Ordered, change, finish_change, given_up, is_in_force, is_unfinished,
    newest_entry, next_configuration, order_change, ordered, ordered_beside, rehearse, root_in_force,
};
pub use create::{CreateError, configuration, create, finish_creation, log_key};
pub use link::LinkError;
pub use pause::Pause;
pub use pinseal_store::clock::{Clock, SystemClock};
pub use pipeline::Pipeline;
pub use prime::{PrimeError, prime};
pub use trunk::{AnchorState, BatchMetrics, CommitLatency, Distribution, Parts, Trunk, TrunkStatus};
