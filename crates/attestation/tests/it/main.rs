//! Evidence: what a client accepts, and that everything near it is refused.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod errors_page;
mod nitro;
mod software;
