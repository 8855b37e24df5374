//! Around the enclave: a host, devices, keys, and states to start from.

pub(crate) mod base;
pub(crate) mod device;
pub(crate) mod host;
pub(crate) mod keys;
pub(crate) mod randomness;
pub(crate) mod root;
pub(crate) mod server;
