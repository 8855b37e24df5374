//! The bodies of the fuzz targets: one function a target, which takes the fuzzer's bytes and panics where a promise breaks.
//!
//! libFuzzer's binaries (`fuzz/`) and the replay of the corpora on stable (`tests/replay.rs`) call the same functions. `docs/fuzzing.md`
//! says what each checks and how to run them.
#![allow(clippy::unwrap_used, reason = "a target fails by panicking")]
#![allow(clippy::cast_possible_truncation, reason = "generators cut numbers to size on purpose")]

mod canonical;
pub mod harness;
mod inputs;
mod samples;
pub mod seeds;
mod targets;
mod verdict;

pub use targets::anchor_file::anchor_file;
pub use targets::boot::{configuration, root_file};
pub use targets::chain::{
    authorization, display, personal_message, transaction, transaction_fields, typed_data, typed_data_json,
};
pub use targets::conversation::conversation;
pub use targets::envelope::{begin_reply, sealed_reply, sealed_request};
pub use targets::evidence::evidence;
pub use targets::http::http_request;
pub use targets::ledger::{checkpoint, consistency, log_entry};
pub use targets::logo::logo;
pub use targets::nitro_chain::nitro_chain;
pub use targets::outside::{api_answer, profile, registry, rpc_answer, server_config};
pub use targets::record::record;
pub use targets::tokens::{access_token, dpop};
pub use targets::tpm::{tpm_answer, tpm_attestation};
pub use targets::wire::{cbor, frame};
pub use targets::witness_answer::witness_answer;
pub use targets::witnesses::{cosignature, witness_request};

/// One target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Name of the binary and of the corpus.
    pub name: &'static str,
    /// Its body.
    pub run: fn(&[u8]),
    /// Longest input worth trying, in bytes.
    pub bytes_max: usize,
}

macro_rules! targets {
    ($($name:ident $bytes_max:literal)+) => {
        /// Every target: those that face the enclave first.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $name, bytes_max: $bytes_max }),+];
    };
}

targets! {
    frame 16384
    cbor 4096
    sealed_request 1024
    record 4096
    log_entry 1024
    consistency 1024
    checkpoint 1024
    cosignature 1024
    witness_request 1024
    tpm_attestation 1024
    tpm_answer 2048
    root_file 4096
    configuration 2048
    transaction 2048
    transaction_fields 1024
    authorization 512
    typed_data 4096
    personal_message 1024
    access_token 2048
    conversation 1024
    typed_data_json 4096
    display 2048
    sealed_reply 2048
    begin_reply 1024
    evidence 2048
    nitro_chain 256
    dpop 2048
    http_request 4096
    registry 4096
    server_config 2048
    logo 2048
    witness_answer 2048
    anchor_file 1024
    rpc_answer 4096
    api_answer 4096
    profile 2048
}
