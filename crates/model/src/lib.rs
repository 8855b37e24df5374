//! Charge, anchor, reveal as a finite model: one user, a few tries, two enclaves that may run at once, restarts, and a host that puts
//! databases back, withholds, aborts and delays as it likes. `stateright` explores every order of steps without a gap.
//!
//! | | |
//! |---|---|
//! | [`checkpoint`] | a checkpoint is the line of entries that leads to it |
//! | [`anchor`] | L1 and L4: what they hold, take and vouch for |
//! | [`state`], `step` | what there is, and what a message does with it |
//! | [`explore`] | what the adversary may do, and what must hold |
//! | [`reduce`] | which states count as one |
//! | `epilogue` | that a user gets in once the faults are gone |
//! | [`defect`] | what the checker must find |
//! | [`names`] | where each name stands in the product |
//!
//! `docs/model.md` says what is modelled, what is left out, and how many states there are.

pub mod anchor;
pub mod checkpoint;
pub mod defect;
mod epilogue;
pub mod explore;
pub mod names;
pub mod promise;
pub mod reduce;
pub mod run;
pub mod setting;
pub mod state;
mod step;

pub use anchor::Anchor;
pub use defect::Defect;
pub use promise::Promise;
pub use run::{Broken, Explored, explore, first_broken};
pub use setting::{CLAIMED, Setting, UNCLAIMED};
