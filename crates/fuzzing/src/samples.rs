//! Payloads to start from: those of `vectors/`, which every implementation reads.

use std::sync::LazyLock;

use pinseal_chains::evm::{Transaction, TypedData};
use pinseal_protocol::intent::ChainId;
use serde_json::Value;

/// Longest sample: longer ones teach nothing more and slow everything down.
const SAMPLE_BYTES_MAX: usize = 1_024;

static TRANSACTIONS: LazyLock<Vec<(ChainId, Vec<u8>)>> = LazyLock::new(|| {
    let unsigned = field(include_str!("../../../vectors/evm/transactions.json"), "unsigned");
    let chain = |bytes: &Vec<u8>| Some(Transaction::parse_unsigned(bytes).ok()?.chain_id());
    unsigned.into_iter().filter_map(|bytes| Some((chain(&bytes)?, bytes))).collect()
});

static TYPED_DATA: LazyLock<Vec<(ChainId, Vec<u8>)>> = LazyLock::new(|| {
    let canonical = field(include_str!("../../../vectors/evm/typed-data.json"), "cbor");
    let chain = |bytes: &Vec<u8>| {
        let chain = TypedData::from_cbor(bytes).ok()?.domain_chain_id();
        Some(ChainId(chain.map_or(Some(1), |chain| u64::try_from(chain).ok())?))
    };
    canonical.into_iter().filter_map(|bytes| Some((chain(&bytes)?, bytes))).collect()
});

/// Unsigned transactions of every form, and their chains.
pub(crate) fn transactions() -> &'static [(ChainId, Vec<u8>)] {
    &TRANSACTIONS
}

/// Typed data in canonical form, and chains that fit their domains.
pub(crate) fn typed_data() -> &'static [(ChainId, Vec<u8>)] {
    &TYPED_DATA
}

/// A field of every case of a vector file, from hex.
pub(crate) fn field(file: &str, name: &str) -> Vec<Vec<u8>> {
    let file: Value = serde_json::from_str(file).expect("vectors are JSON");
    let cases = file["cases"].as_array().expect("vectors have cases");
    let bytes = cases.iter().filter_map(|case| hex::decode(case[name].as_str()?.strip_prefix("0x")?).ok());
    let found: Vec<_> = bytes.filter(|bytes| bytes.len() <= SAMPLE_BYTES_MAX).collect();
    assert!(!found.is_empty(), "no {name} in the vectors");
    found
}
