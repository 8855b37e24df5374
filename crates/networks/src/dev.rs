//! A local EVM node for development, demonstration and tests.

mod anvil;
mod fund;

pub use anvil::{ANVIL_BINARY, Anvil, AnvilError, AnvilOptions};
pub use fund::{FundError, fund};

/// CAIP-2 id of the local chain.
pub const LOCAL_NETWORK: &str = "eip155:31337";
