//! How much of a user's may wait.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tempfile::TempDir;

use super::*;

const NETWORK: &str = "eip155:1";

struct Bench {
    _directory: TempDir,
    store: Sqlite,
    made: u64,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&directory.path().join("host.db")).unwrap();
        Self { _directory: directory, store, made: 0 }
    }

    /// Records one of `length` bytes, from the address of that number.
    fn submit(&mut self, owner: &str, network: &str, address: u8, length: usize) -> Submit {
        self.made += 1;
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&self.made.to_be_bytes());
        let new = NewTransaction {
            network: NetworkId(network.to_owned()),
            hash: Hash32(hash),
            sender: EvmAddress([address; 20]),
            owner: Owner(owner.to_owned()),
            nonce: self.made,
            recipient: None,
            value: Amount::default(),
            raw: vec![1; length],
            idempotency: None,
            replaces: None,
            now: UnixSeconds(1),
        };
        self.store.submit(new).unwrap()
    }
}

#[test]
fn open_transactions_are_counted_by_user_over_all_addresses_and_networks() {
    let mut bench = Bench::new();
    let mut first = None;
    for address in 0..=u8::MAX {
        let network = if address.is_multiple_of(2) { NETWORK } else { "eip155:10" };
        let Submit::New(row) = bench.submit("ada", network, address, 1) else { panic!("{address} is refused") };
        first.get_or_insert(row);
    }
    assert_eq!(bench.submit("ada", "eip155:137", 0, 1), Submit::TooManyOpen);
    assert!(matches!(bench.submit("bob", NETWORK, 9, 1), Submit::New(_)), "another user's are counted apart");

    // What ends makes room.
    let first = first.unwrap();
    let replaced = TxStatus::Replaced { by: None, settled: true };
    bench.store.record(&first.network, first.hash, replaced, 0, UnixSeconds(2)).unwrap();
    assert!(matches!(bench.submit("ada", "eip155:137", 0, 1), Submit::New(_)));
    assert_eq!(bench.submit("ada", "eip155:137", 0, 1), Submit::TooManyOpen);
}

#[test]
fn open_transactions_have_eight_mebibytes_of_a_user() {
    let mut bench = Bench::new();
    for address in 0..64 {
        assert!(matches!(bench.submit("ada", NETWORK, address, 128 * 1024), Submit::New(_)), "{address}");
    }
    assert_eq!(bench.submit("ada", NETWORK, 64, 1), Submit::TooManyOpen);
    assert!(matches!(bench.submit("bob", NETWORK, 65, 128 * 1024), Submit::New(_)));
}

#[test]
fn a_history_is_read_without_the_signed_bytes() {
    let mut bench = Bench::new();
    bench.submit("ada", NETWORK, 1, 1_000);
    let query = HistoryQuery { network: None, sender: EvmAddress([1; 20]), before: None, limit: 9 };
    let rows = bench.store.history(&query).unwrap();
    assert_eq!(rows.iter().map(|row| row.raw.len()).collect::<Vec<_>>(), [0]);
    assert_eq!(bench.store.transaction(rows[0].hash).unwrap().unwrap().raw.len(), 1_000);
}
