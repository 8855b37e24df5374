//! How much of a user's may wait, and what is kept of it afterwards.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tempfile::TempDir;

use super::*;

const NETWORK: &str = "eip155:1";

struct Bench {
    directory: TempDir,
    store: Sqlite,
    made: u64,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&directory.path().join("host.db")).unwrap();
        Self { directory, store, made: 0 }
    }

    /// Records one of `length` bytes, from the address of that number.
    fn submit(&mut self, owner: &str, network: &str, address: u8, length: usize) -> Submit {
        let new = self.transaction(owner, network, address, length);
        self.store.submit(new).unwrap()
    }

    /// Records one in the place of another.
    fn replace(&mut self, owner: &str, replaced: &TxRow, length: usize) -> Submit {
        let new = self.transaction(owner, &replaced.network.0, replaced.sender.0[0], length);
        self.store.submit(NewTransaction { nonce: replaced.nonce, replaces: Some(replaced.hash), ..new }).unwrap()
    }

    fn transaction(&mut self, owner: &str, network: &str, address: u8, length: usize) -> NewTransaction {
        self.made += 1;
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&self.made.to_be_bytes());
        NewTransaction {
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
        }
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
fn who_may_send_no_more_can_still_replace_what_waits_within_a_bound() {
    let mut bench = Bench::new();
    let mut first = None;
    for address in 0..=u8::MAX {
        let Submit::New(row) = bench.submit("ada", NETWORK, address, 1) else { panic!("{address} is refused") };
        first.get_or_insert(row);
    }
    let mut last = first.unwrap();
    for number in 0..64 {
        let Submit::New(row) = bench.replace("ada", &last, 1) else { panic!("replacement {number} is refused") };
        last = row;
    }
    assert_eq!(bench.replace("ada", &last, 1), Submit::TooManyOpen);

    // A nonce that nothing holds is no replacement, whatever it says.
    let mut bench = Bench::new();
    for address in 0..64 {
        assert!(matches!(bench.submit("ada", NETWORK, address, 128 * 1024), Submit::New(_)), "{address}");
    }
    let unknown = TxRow { nonce: 1_000, hash: Hash32([9; 32]), ..last };
    assert_eq!(bench.replace("ada", &unknown, 1), Submit::TooManyOpen);
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

/// Where a transaction is said to be mined.
const MINED: Inclusion =
    Inclusion { block_number: 7, block_hash: Hash32([7; 32]), success: true, gas_used: 21_000, gas_price: None };

impl Bench {
    fn new_row(&mut self, address: u8) -> TxRow {
        let Submit::New(row) = self.submit("ada", NETWORK, address, 1_000) else { panic!("{address} is refused") };
        row
    }

    fn record(&self, row: &TxRow, status: TxStatus) {
        self.store.record(&row.network, row.hash, status, 0, UnixSeconds(2)).unwrap().unwrap();
    }

    /// How many of its signed bytes are kept.
    fn kept(&self, row: &TxRow) -> usize {
        self.store.transaction(row.hash).unwrap().unwrap().raw.len()
    }
}

#[test]
fn signed_bytes_are_kept_while_they_may_be_sent_again_and_erased_when_that_is_over() {
    let mut bench = Bench::new();
    let [first, alone, dropped] = [1, 2, 3].map(|address| bench.new_row(address));
    let Submit::New(second) = bench.replace("ada", &first, 1_000) else { panic!("the replacement is refused") };
    let replaced = |settled| TxStatus::Replaced { by: None, settled };
    for status in [TxStatus::Pending, TxStatus::Mined(MINED), replaced(false), TxStatus::Dropped] {
        for row in [&second, &alone, &dropped] {
            bench.record(row, status);
            assert_eq!(bench.kept(row), 1_000, "{status:?}");
        }
    }
    bench.record(&second, TxStatus::Final(MINED));
    assert_eq!((bench.kept(&second), bench.kept(&first)), (0, 0), "those that it excludes are settled with it");
    bench.record(&alone, replaced(true));
    assert_eq!((bench.kept(&alone), bench.kept(&dropped)), (0, 1_000));

    // Shown to us again, it is the one that is known, and is not to be sent.
    let again = NewTransaction { hash: second.hash, ..bench.transaction("ada", NETWORK, 1, 1_000) };
    let Submit::Known(known) = bench.store.submit(again).unwrap() else { panic!("it is another one") };
    assert!(!known.status.is_open() && known.raw.is_empty());
}

#[test]
fn what_was_settled_before_bytes_were_erased_loses_them_when_the_database_is_opened() {
    let mut bench = Bench::new();
    let [settled, open] = [1, 2].map(|address| bench.new_row(address));
    bench.record(&settled, TxStatus::Final(MINED));
    let before = |tx: &rusqlite::Transaction<'_>| {
        tx.execute("UPDATE gateway_transaction SET raw = zeroblob(1000)", [])?;
        Ok::<_, SqlError>(tx.execute_batch("PRAGMA user_version = 10")?)
    };
    bench.store.write(before).unwrap();
    assert_eq!(bench.kept(&settled), 1_000);
    bench.store.close().unwrap();
    bench.store = Sqlite::open(&bench.directory.path().join("host.db")).unwrap();
    assert_eq!((bench.kept(&settled), bench.kept(&open)), (0, 1_000));
}

#[test]
fn what_is_followed_is_told_with_its_owner_and_out_of_the_index_alone() {
    let mut bench = Bench::new();
    let [first, second] = [1, 2].map(|address| bench.new_row(address));
    bench.submit("bob", NETWORK, 3, 1_000);
    bench.submit("bob", "eip155:10", 3, 1_000);
    bench.record(&first, TxStatus::Final(MINED));
    let open = bench.store.open_transactions(&NetworkId(NETWORK.to_owned())).unwrap();
    let told = |tx: &OpenTx| (tx.serial, tx.sender.0[0], tx.owner.clone().unwrap().0);
    assert_eq!((open[0].hash, open[0].sender), (second.hash, second.sender));
    assert_eq!(
        open.iter().map(told).collect::<Vec<_>>(),
        [(TxSerial(2), 2, "ada".to_owned()), (TxSerial(3), 3, "bob".to_owned())]
    );
    let plan = |db: &rusqlite::Connection| {
        let question = format!("EXPLAIN QUERY PLAN {}", transactions::OPEN);
        Ok::<_, SqlError>(db.query_row(&question, [NETWORK], |row| row.get::<_, String>(3))?)
    };
    let plan = bench.store.read(plan).unwrap();
    assert!(plan.contains("USING COVERING INDEX gateway_transaction_followed"), "{plan}");
}

fn reserve(store: &Sqlite, now: u64, seconds: u64) -> Reserve {
    let (now, expires) = (UnixSeconds(now), UnixSeconds(now.saturating_add(seconds)));
    let (network, address) = (NetworkId(NETWORK.to_owned()), EvmAddress([1; 20]));
    store.reserve(ReserveRequest { network, address, chain_next: 0, now, expires }).unwrap()
}

/// The nonce that is reserved for two minutes, which is the one that was shown before.
fn reserved(store: &Sqlite, now: u64) -> Option<u64> {
    let (network, address) = (NetworkId(NETWORK.to_owned()), EvmAddress([1; 20]));
    let shown = FreeRequest { network, address, chain_next: 0, now: UnixSeconds(now) };
    let shown = store.lowest_free(&shown).unwrap();
    match reserve(store, now, 120) {
        Reserve::Reserved(reservation) => {
            assert_eq!(reservation.nonce, shown);
            Some(shown)
        }
        Reserve::Full => None,
    }
}

#[test]
fn a_clock_that_ran_ahead_holds_no_nonce_once_it_is_set_right() {
    let Bench { store, directory: _directory, .. } = Bench::new();
    let ahead = 1_000 + 3_600;
    assert_eq!((0..65).filter_map(|_| reserved(&store, ahead)).collect::<Vec<_>>(), (0..64).collect::<Vec<_>>());
    assert_eq!(reserved(&store, 1_000), Some(0));
    assert_eq!(reserved(&store, 1_001), Some(1));
}

#[test]
fn a_clock_that_is_set_back_by_minutes_ends_no_reservation_and_none_is_held_for_longer() {
    let Bench { store, directory: _directory, .. } = Bench::new();
    assert_eq!(reserved(&store, 1_000), Some(0));
    assert_eq!(reserved(&store, 1_000 - 480), Some(1), "nobody else is handed what somebody signs");
    assert_eq!(reserved(&store, 1_000 - 481), Some(0));
    let Reserve::Reserved(held) = reserve(&store, 1_000, u64::MAX) else { panic!("there is room") };
    assert_eq!(held.holder, Holder::Expires(UnixSeconds(1_000 + RESERVATION_SECONDS_MAX)));
}
