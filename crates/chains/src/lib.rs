//! Per chain family: addresses, parsing, decoding for display, digests, assembly. Knows no private key. No I/O.

pub mod decode;
pub mod evm;
