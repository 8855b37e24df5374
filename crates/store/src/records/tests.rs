#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod history;
mod steps;

use std::sync::Mutex;

use minicbor::bytes::ByteVec;
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::SealedBreaker;
use pinseal_protocol::ids::{Hash32, Nonce, Version};
use pinseal_protocol::log::{self, Entry, SealedDetail};
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::request::Method;
use pinseal_protocol::wire::{BatchId, CallId, RecordWrite};

use super::*;
use crate::sqlite::CommitFault;
use crate::vault::tests::{DEPLOYMENT, Login, NOW};

/// Writes batches the way an enclave does.
struct Scribe {
    checkpoint: Checkpoint,
    frontier: Frontier,
}

fn note(checkpoint: &Checkpoint) -> Vec<u8> {
    checkpoint.to_note(&Ed25519Public([3; 32]), |_| [9; 64])
}

impl Scribe {
    fn new() -> Self {
        let checkpoint = Checkpoint {
            deployment: DEPLOYMENT,
            restores: 0,
            size: 0,
            root: log::empty_root(),
            sequence: Sequence(0),
            previous: Hash32([0; 32]),
            time: NOW,
            state: Hash32([0; 32]),
            breaker: SealedBreaker([0; SealedBreaker::LEN]),
            tpm: None,
        };
        Self { checkpoint, frontier: Frontier::default() }
    }

    /// Without records, that of a boot.
    fn batch(&self, records: &[(u8, u64)]) -> Batch {
        if records.is_empty() {
            self.batch_of(&[], vec![ByteVec::from(boot(self.checkpoint.sequence.0))])
        } else {
            let entry = |(wallet, version): &(u8, u64)| ByteVec::from(entry(*wallet, *version));
            self.batch_of(records, records.iter().map(entry).collect())
        }
    }

    fn batch_of(&self, records: &[(u8, u64)], entries: Vec<ByteVec>) -> Batch {
        let mut frontier = self.frontier.clone();
        for entry in &entries {
            frontier.append(log::leaf_hash(entry), |_| {});
        }
        let checkpoint = Checkpoint {
            size: frontier.size(),
            root: frontier.root(),
            sequence: Sequence(self.checkpoint.sequence.0 + 1),
            previous: self.checkpoint.hash(),
            ..self.checkpoint
        };
        let record = |(wallet, version): &(u8, u64)| RecordWrite {
            call: CallId(u64::from(*wallet)),
            wallet: UserIdHash([*wallet; 32]),
            version: Version(*version),
            hash: Hash32([*wallet; 32]),
            outer: outer(*wallet, *version).into(),
        };
        Batch {
            batch: BatchId(checkpoint.sequence.0),
            previous: note(&self.checkpoint).into(),
            checkpoint: note(&checkpoint).into(),
            frontier,
            records: records.iter().map(record).collect(),
            entries,
            authorisation: None,
        }
    }

    /// The batch was stored.
    fn advance(&mut self, batch: &Batch) {
        self.checkpoint = Checkpoint::read_unverified(&batch.checkpoint).unwrap();
        self.frontier = batch.frontier.clone();
    }
}

fn outer(wallet: u8, version: u64) -> Vec<u8> {
    [vec![wallet; 4_000], version.to_be_bytes().to_vec()].concat()
}

/// The log entry of a write.
fn entry(wallet: u8, version: u64) -> Vec<u8> {
    cbor::to_vec(&Entry::Record {
        wallet: UserIdHash([wallet; 32]),
        version: Version(version),
        outer: Hash32([wallet; 32]),
        detail: SealedDetail([9; 96]),
    })
}

/// The log entry of a boot after so many checkpoints.
fn boot(number: u64) -> Vec<u8> {
    let hash = Hash32([7; 32]);
    cbor::to_vec(&Entry::Boot { nonce: Nonce([8; 32]), keys: hash, configuration: hash, time: UnixSeconds(number) })
}

/// The log entry of a batch in which nobody wrote.
fn read(number: u64) -> Vec<u8> {
    let mut nonce = [0; 32];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    cbor::to_vec(&Entry::Read { nonce: Nonce(nonce) })
}

struct Bench {
    _directory: tempfile::TempDir,
    path: std::path::PathBuf,
    records: Records,
    login: Login,
    scribe: Scribe,
    tokens: u32,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pinseal.db");
        let records = Records::new(Sqlite::open(&path).unwrap());
        let scribe = Scribe::new();
        records.store_genesis(&note(&scribe.checkpoint)).unwrap();
        Self { _directory: directory, path, records, login: Login::new(), scribe, tokens: 0 }
    }

    fn grant(&mut self, wallet: u8) -> Grant {
        self.tokens += 1;
        self.login.grant(wallet, Method::Sign, &self.tokens.to_string())
    }

    fn permits(&mut self, wallets: &[u8]) -> Vec<WritePermit> {
        wallets.iter().map(|wallet| self.grant(*wallet).permit().unwrap()).collect()
    }

    fn commit(&mut self, records: &[(u8, u64)], anchored: u64) -> Result<(), CommitError> {
        let batch = self.scribe.batch(records);
        let wallets: Vec<u8> = records.iter().map(|(wallet, _)| *wallet).collect();
        let permits = self.permits(&wallets);
        self.records.commit(batch.clone(), permits, Sequence(anchored), NOW)?;
        self.scribe.advance(&batch);
        Ok(())
    }

    fn stored(&mut self, wallet: u8) -> Option<Vec<u8>> {
        let grant = self.grant(wallet);
        self.records.fetch(&grant).unwrap()
    }

    fn sequence(&self) -> u64 {
        self.records.newest().unwrap().unwrap().checkpoint.sequence.0
    }
}

#[test]
fn a_batch_is_stored_whole_and_survives_reopening() {
    let mut bench = Bench::new();
    bench.commit(&[], 0).unwrap();
    bench.commit(&[(2, 1), (1, 1)], 1).unwrap();
    drop(std::mem::replace(&mut bench.records, Records::new(Sqlite::open(&bench.path).unwrap())));
    assert_eq!(bench.stored(1), Some(outer(1, 1)));
    assert_eq!(bench.stored(3), None);
    let newest = bench.records.newest().unwrap().unwrap();
    assert_eq!((newest.checkpoint, newest.frontier), (bench.scribe.checkpoint, bench.scribe.frontier.clone()));
    let entries = bench.records.entries(0, 10).unwrap();
    assert_eq!(entries, [boot(0), entry(2, 1), entry(1, 1)]);
}

/// Every row of every table of the log and the records.
fn rows(sqlite: &Sqlite) -> Vec<String> {
    let of = |db: &rusqlite::Connection, table: &str| -> rusqlite::Result<Vec<String>> {
        let mut statement = db.prepare(&format!("SELECT * FROM {table}"))?;
        let count = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let cells = (0..count).map(|cell| Ok(format!("{:?}", row.get_ref(cell)?)));
            Ok(format!("{table}: {}", cells.collect::<rusqlite::Result<Vec<_>>>()?.join(" ")))
        };
        statement.query_map([], row)?.collect()
    };
    let tables = ["records", "outers", "superseded", "log_entries", "log_events", "log_nodes", "checkpoints"];
    sqlite
        .read(|db| Ok::<_, SqlError>(tables.iter().map(|table| of(db, table)).collect::<Result<Vec<_>, _>>()?.concat()))
        .unwrap()
}

#[test]
fn a_batch_about_the_deployment_itself_is_taken_out_again_to_the_last_row_and_no_other_is() {
    // As many entries before it as complete none, one and several nodes of the log.
    for before in 1..10 {
        let mut bench = Bench::new();
        bench.commit(&[], 0).unwrap();
        (1..before).for_each(|number| bench.commit(&[(1, number)], number).unwrap());
        let sequence = bench.sequence();
        // A change begins once everything before it is anchored.
        bench.records.drop_superseded(Sequence(sequence)).unwrap();
        let kept = rows(&bench.records.sqlite);
        let then = bench.scribe.checkpoint;
        // A batch of one entry of its own, as a change is, under the number that a boot would have.
        bench.commit(&[], sequence).unwrap();
        let change = bench.scribe.checkpoint;
        let (newest, previous) = bench.records.last_step().unwrap().unwrap();
        assert_eq!((newest.checkpoint, previous.checkpoint), (change, then));
        assert!(matches!(bench.records.undo_change(&then), Err(CommitError::Discontinuous)), "not the newest");
        bench.records.undo_change(&change).unwrap();
        assert_eq!(rows(&bench.records.sqlite), kept, "{before}");
        // It goes on from there, as if nothing had been.
        bench.scribe = Scribe { checkpoint: then, frontier: bench.records.newest().unwrap().unwrap().frontier };
        bench.commit(&[(2, 1)], sequence).unwrap();
        assert_eq!(bench.stored(2), Some(outer(2, 1)));
        // What wrote a record stays: nobody has the one before any more.
        let wrote = bench.scribe.checkpoint;
        assert_eq!(bench.records.last_step().unwrap(), None);
        assert!(matches!(bench.records.undo_change(&wrote), Err(CommitError::Discontinuous)));
        assert_eq!(bench.sequence(), wrote.sequence.0);
    }
}

#[test]
fn that_somebody_read_is_in_the_log_and_no_event() {
    let mut bench = Bench::new();
    bench.commit(&[], 0).unwrap();
    bench.commit(&[(1, 1)], 1).unwrap();
    for sequence in [3, 4] {
        let read = bench.scribe.batch_of(&[], vec![ByteVec::from(read(sequence))]);
        bench.records.commit(read.clone(), Vec::new(), Sequence(sequence - 1), NOW).unwrap();
        bench.scribe.advance(&read);
        let newest = bench.records.newest().unwrap().unwrap();
        assert_eq!((newest.checkpoint.sequence.0, newest.checkpoint.size), (sequence, sequence));
    }
    bench.commit(&[(1, 2)], 4).unwrap();
    assert_eq!(bench.records.entries(0, 10).unwrap(), [boot(0), entry(1, 1), read(3), read(4), entry(1, 2)]);
    let query = LogQuery { size: 5, from: None, count: 10 };
    let events = bench.records.events(query).unwrap().unwrap();
    assert_eq!(events.items.iter().map(|listed| listed.entry.clone()).collect::<Vec<_>>(), [boot(0)]);
    let writes = bench.records.history(&UserIdHash([1; 32]), query).unwrap().unwrap();
    assert_eq!(writes.items.iter().map(|listed| listed.proof.index).collect::<Vec<_>>(), [4, 1]);
}

#[test]
fn headers_stream_in_ascending_order_in_chunks_of_any_size() {
    let mut bench = Bench::new();
    bench.commit(&[(9, 1), (3, 1), (255, 1), (0, 1), (7, 1)], 0).unwrap();
    bench.commit(&[(3, 2)], 1).unwrap();
    for size in 1..=6 {
        let mut wallets = Vec::new();
        let mut after = None;
        loop {
            let chunk = bench.records.headers(after, size).unwrap();
            let Some(last) = chunk.last() else { break };
            after = Some(last.wallet);
            wallets.extend(chunk.iter().map(|header| (header.wallet.0[0], header.version.0)));
        }
        assert_eq!(wallets, [(0, 1), (3, 2), (7, 1), (9, 1), (255, 1)]);
    }
}

#[test]
fn the_previous_record_is_kept_until_its_batch_is_anchored() {
    let mut bench = Bench::new();
    bench.commit(&[(1, 1)], 0).unwrap();
    bench.commit(&[(1, 2)], 1).unwrap();
    assert_eq!(bench.records.superseded().unwrap(), 1);
    // The batch of version 3 is committed while only sequence 1 is known to be anchored: version 1 stays.
    bench.commit(&[(1, 3)], 1).unwrap();
    assert_eq!(bench.records.superseded().unwrap(), 2);
    assert_eq!(bench.records.drop_superseded(Sequence(2)).unwrap(), 1);
    assert_eq!(bench.records.drop_superseded(Sequence(3)).unwrap(), 1);
    assert_eq!(bench.records.drop_superseded(Sequence(3)).unwrap(), 0);
    assert_eq!(bench.stored(1), Some(outer(1, 3)));
    bench.commit(&[(1, 4)], 3).unwrap();
    bench.commit(&[(2, 1)], 4).unwrap();
    assert_eq!(bench.records.superseded().unwrap(), 0, "the next commit drops what was anchored before it");
}

#[test]
fn a_record_without_a_permit_for_its_wallet_refuses_the_whole_batch() {
    let mut bench = Bench::new();
    let batch = bench.scribe.batch(&[(1, 1), (2, 1)]);
    let cases =
        [bench.permits(&[1]), bench.permits(&[2, 1]), bench.permits(&[1, 3]), bench.permits(&[1, 2, 3]), vec![]];
    for permits in cases {
        let result = bench.records.commit(batch.clone(), permits, Sequence(0), NOW);
        assert!(matches!(result, Err(CommitError::Forbidden)), "{result:?}");
        assert_eq!((bench.sequence(), bench.stored(1)), (0, None));
    }
    let permits = bench.permits(&[1, 2]);
    bench.records.commit(batch, permits, Sequence(0), NOW).unwrap();
}

#[test]
fn a_permit_stored_once_is_used_up_even_after_a_restart() {
    let mut bench = Bench::new();
    let token = bench.login.sign(&Login::claims(1, Method::Sign, "once"));
    let permit = |bench: &Bench| {
        // Forgets what this process remembers of used tokens, as a restart does.
        let checked = bench.login.vault.check(&token, &UserIdHash([1; 32]), Method::Sign, NOW).unwrap();
        let mut grant = bench.login.vault.spend(checked, NOW).unwrap();
        let permit = grant.permit().unwrap();
        bench.login.vault.give_back(Grant::untouched(grant));
        permit
    };
    let batch = bench.scribe.batch(&[(1, 1)]);
    bench.records.commit(batch.clone(), vec![permit(&bench)], Sequence(0), NOW).unwrap();
    bench.scribe.advance(&batch);
    let again = bench.scribe.batch(&[(1, 2)]);
    let result = bench.records.commit(again, vec![permit(&bench)], Sequence(1), NOW);
    assert!(matches!(result, Err(CommitError::Forbidden)), "{result:?}");
    assert_eq!(bench.stored(1), Some(outer(1, 1)));
}

#[test]
fn a_batch_that_does_not_continue_the_log_is_refused() {
    let mut bench = Bench::new();
    bench.commit(&[(1, 1)], 0).unwrap();
    let good = bench.scribe.batch(&[(1, 2)]);
    let stale = Scribe::new().batch(&[(1, 2)]);
    let mut skipping = Scribe { checkpoint: bench.scribe.checkpoint, frontier: bench.scribe.frontier.clone() };
    skipping.checkpoint.sequence = Sequence(7);
    let mut broken = vec![
        stale,
        Batch { previous: good.checkpoint.clone(), ..good.clone() },
        Batch { checkpoint: good.previous.clone(), ..good.clone() },
        Batch { previous: good.previous.clone(), ..skipping.batch(&[(1, 2)]) },
        Batch { frontier: Frontier::default(), ..good.clone() },
        Batch { entries: vec![ByteVec::from(b"another".to_vec())], ..good.clone() },
        Batch { entries: vec![], ..good.clone() },
    ];
    for version in [0, 1, 3] {
        let mut batch = good.clone();
        batch.records[0].version = Version(version);
        broken.push(batch);
    }
    for batch in broken {
        let permits = bench.permits(&[1]);
        let result = bench.records.commit(batch, permits, Sequence(1), NOW);
        assert!(matches!(result, Err(CommitError::Discontinuous)), "{result:?}");
        assert_eq!((bench.sequence(), bench.stored(1)), (1, Some(outer(1, 1))));
    }
    let permits = bench.permits(&[1]);
    let ahead = bench.records.commit(good.clone(), permits, Sequence(2), NOW);
    assert!(matches!(ahead, Err(CommitError::Discontinuous)), "the anchor cannot be ahead of the database");
    let permits = bench.permits(&[1]);
    bench.records.commit(good, permits, Sequence(1), NOW).unwrap();
}

#[test]
fn genesis_is_stored_once_and_only_into_an_empty_database() {
    let mut bench = Bench::new();
    let genesis = note(&bench.scribe.checkpoint);
    bench.records.store_genesis(&genesis).unwrap();
    let mut other = bench.scribe.checkpoint;
    other.state = Hash32([8; 32]);
    assert!(matches!(bench.records.store_genesis(&note(&other)), Err(CommitError::Discontinuous)));
    bench.commit(&[(1, 1)], 0).unwrap();
    assert!(matches!(bench.records.store_genesis(&genesis), Err(CommitError::Discontinuous)));
    let later = bench.scribe.checkpoint;
    assert!(matches!(bench.records.store_genesis(&note(&later)), Err(CommitError::Discontinuous)));
}

#[test]
fn consistency_proofs_from_stored_nodes_verify_between_all_sizes() {
    let mut bench = Bench::new();
    let mut roots = vec![log::empty_root()];
    for version in 1..=21 {
        bench.commit(&[(1, version)], version - 1).unwrap();
        roots.push(bench.scribe.frontier.root());
    }
    let sizes = 1..roots.len();
    for new in sizes.clone() {
        for old in 1..=new {
            let proof = bench.records.consistency(old as u64, new as u64).unwrap().unwrap();
            assert!(proof.verifies(&roots[old], &roots[new]), "{old} {new}");
            assert!(!proof.verifies(&Hash32([0; 32]), &roots[new]), "{old} {new}");
        }
    }
    for (old, new) in [(0, 5), (6, 5), (1, 22), (22, 22), (u64::MAX, u64::MAX)] {
        assert_eq!(bench.records.consistency(old, new).unwrap(), None);
    }
}

#[test]
fn begin_reads_only_the_record_of_its_user() {
    let mut bench = Bench::new();
    bench.commit(&[(1, 1), (2, 1)], 0).unwrap();
    let read = |user: &str, wallet: u8| {
        let token = bench.login.access(user, 60);
        let grant = bench.login.vault.begin(&token, UserIdHash([wallet; 32]), NOW).unwrap();
        bench.records.fetch_for_begin(grant)
    };
    assert_eq!(read("ann", 1).unwrap(), Some(outer(1, 1)));
    assert_eq!(read("ann", 1).unwrap(), Some(outer(1, 1)));
    assert!(matches!(read("ann", 2), Err(ReadError::Foreign)));
    assert!(matches!(read("bob", 1), Err(ReadError::Foreign)));
    assert_eq!(read("bob", 2).unwrap(), Some(outer(2, 1)));
}

#[test]
fn a_record_that_was_read_or_written_lately_is_handed_on_once() {
    let mut bench = Bench::new();
    let grant = bench.grant(1);
    assert_eq!(bench.records.take_recent(&grant), None);
    bench.commit(&[(1, 1)], 0).unwrap();
    bench.commit(&[(1, 2)], 1).unwrap();
    assert_eq!(bench.records.clone().take_recent(&grant), Some(outer(1, 2)));
    assert_eq!(bench.records.take_recent(&grant), None);
    assert_eq!(bench.stored(1), Some(outer(1, 2)));
    assert_eq!(bench.records.take_recent(&grant), Some(outer(1, 2)));
}

#[test]
fn no_record_from_before_a_commit_is_handed_on_after_it() {
    let mut bench = Bench::new();
    bench.commit(&[(1, 1)], 0).unwrap();
    let (grant, wallet) = (bench.grant(1), UserIdHash([1; 32]));
    // Read before the commit, handed in after it.
    let before = bench.records.recent.commits();
    bench.commit(&[(1, 2)], 1).unwrap();
    bench.records.recent.read(wallet, &outer(1, 1), before);
    assert_eq!(bench.records.take_recent(&grant), Some(outer(1, 2)));
    bench.records.recent.read(wallet, &outer(1, 1), before);
    assert_eq!(bench.records.take_recent(&grant), None);
    // A commit that failed may be stored for all that is known.
    assert_eq!(bench.stored(1), Some(outer(1, 2)));
    let batch = bench.scribe.batch(&[(1, 3)]);
    assert!(bench.records.commit(batch, vec![], Sequence(2), NOW).is_err());
    assert_eq!(bench.records.take_recent(&grant), None);
}

/// Fails the n-th commit.
struct FailAt(Mutex<u32>, CommitFault);

impl CommitHook for FailAt {
    fn before_commit(&self) -> Option<CommitFault> {
        let mut left = self.0.lock().unwrap();
        *left = left.wrapping_sub(1);
        (*left == 0).then_some(self.1)
    }
}

#[test]
fn a_full_disk_at_the_nth_commit_stores_nothing_of_that_batch_and_the_next_goes_on() {
    let mut bench = Bench::new();
    let sqlite = Sqlite::open(&bench.path).unwrap();
    bench.records = Records::with_hook(sqlite, Arc::new(FailAt(Mutex::new(2), CommitFault::Full)));
    bench.commit(&[(1, 1)], 0).unwrap();
    assert!(matches!(bench.commit(&[(1, 2)], 1), Err(CommitError::NotStored(_))));
    assert_eq!((bench.sequence(), bench.stored(1), bench.records.superseded().unwrap()), (1, Some(outer(1, 1)), 0));
    bench.commit(&[(1, 2)], 1).unwrap();
    assert_eq!(bench.stored(1), Some(outer(1, 2)));
}

#[test]
fn a_really_full_disk_stores_nothing_of_the_batch() {
    let mut bench = Bench::new();
    bench.commit(&[(1, 1)], 0).unwrap();
    let sqlite = Sqlite::open(&bench.path).unwrap();
    sqlite.limit_pages(0).unwrap();
    let records = std::mem::replace(&mut bench.records, Records::new(sqlite.clone()));
    drop(records);
    let many: Vec<(u8, u64)> = (2..100).map(|wallet| (wallet, 1)).collect();
    assert!(matches!(bench.commit(&many, 1), Err(CommitError::NotStored(_))));
    assert_eq!((bench.sequence(), bench.records.headers(None, 10).unwrap().len()), (1, 1));
    assert!(!bench.records.is_stopped());
    sqlite.limit_pages(10_000).unwrap();
    bench.commit(&many, 1).unwrap();
}

#[test]
fn after_an_input_output_error_nothing_more_is_written_and_reopening_finds_out() {
    for (fault, sequence) in [(CommitFault::ErrorLost, 1), (CommitFault::ErrorStored, 2)] {
        let mut bench = Bench::new();
        let sqlite = Sqlite::open(&bench.path).unwrap();
        bench.records = Records::with_hook(sqlite, Arc::new(FailAt(Mutex::new(2), fault)));
        bench.commit(&[(1, 1)], 0).unwrap();
        assert!(matches!(bench.commit(&[(1, 2)], 1), Err(CommitError::Unknown(_))));
        assert!(bench.records.is_stopped());
        assert!(matches!(bench.commit(&[(1, 2)], 1), Err(CommitError::Unknown(StoreError::Stopped))));
        bench.records = Records::new(Sqlite::open(&bench.path).unwrap());
        assert_eq!(bench.sequence(), sequence, "{fault:?}");
        assert_eq!(bench.stored(1), Some(outer(1, sequence)), "{fault:?}");
    }
}

#[test]
fn only_the_newest_checkpoints_are_kept() {
    let bench = Bench::new();
    bench
        .records
        .sqlite
        .write(|tx| {
            for sequence in 1..=i64::try_from(CHECKPOINTS_KEPT).unwrap() + 10 {
                super::log::add_checkpoint(tx, sequence, b"note", &Frontier::default())?;
            }
            Ok::<_, SqlError>(())
        })
        .unwrap();
    let count: i64 = bench
        .records
        .sqlite
        .read(|db| db.query_row("SELECT count(*) FROM checkpoints", [], |row| row.get(0)).map_err(SqlError::from))
        .unwrap();
    assert_eq!(count.unsigned_abs(), CHECKPOINTS_KEPT);
}
