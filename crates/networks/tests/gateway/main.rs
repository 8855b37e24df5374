//! The gateway against a real node, and against nodes that lie.
#![allow(clippy::unwrap_used, reason = "in a test a surprise is a failure, and the panic says where")]

mod balances;
mod crashes;
mod fates;
mod fees;
mod hostile;
mod nonces;
mod property;
mod sends;
mod support;
mod tracking;
