//! What a hostile host, network or enclave can try against the client, and what the client makes of it.
//!
//! The peer is an HTTP server of this test alone, with the real envelope on its enclave side, because the real ones do not lie.
//! The honest path over the real server, host and enclave is told in the workspace's journey tests.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap fails the test")]

mod asked_again;
mod enclave;
mod evidence;
mod full;
mod history;
mod http;
mod kept;
mod operations;
mod out;
mod peer;
mod results;
mod secrets;
mod sessions;
mod transactions;
mod unsettled;
mod whose;
mod world;
