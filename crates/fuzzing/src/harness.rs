//! Around the enclave: a host, devices, keys, and states to start from. The simulator takes devices, disk and keys from here.

pub mod base;
pub mod device;
pub mod host;
pub mod keys;
pub mod randomness;
pub(crate) mod root;
pub(crate) mod server;
