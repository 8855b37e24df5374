//! What a crash, a full disk, a restored disk or a changed file can and cannot do: over real processes, at named points.
//!
//! Every test has a deployment of its own. Enclave and host are started without a supervisor, so that a fault fires in one life
//! only and the next life is started when the test says so.

mod backup;
mod boot;
mod broken;
mod changed;
mod chaos;
pub(crate) mod deployment;
mod disk;
mod foreign;
mod given_up;
mod killed;
mod paused;
pub(crate) mod process;
mod restored;
mod sweep;
mod synced;
mod told;
mod tpm;
pub(crate) mod user;
mod witnessed;

pub(crate) use process::program;
