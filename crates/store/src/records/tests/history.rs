//! Looking entries up: whose they are, in which order, and that each is proved.

use pinseal_protocol::log::leaf_hash;

use super::*;
use crate::sqlite::SqlError;

const ALL: usize = 100;

impl Bench {
    /// Asks for entries of a wallet (or of the deployment) and checks that each is proved; what they are, and where the next is.
    fn listed(&self, wallet: Option<u8>, query: LogQuery) -> Option<(Vec<Vec<u8>>, Option<u64>)> {
        let page = match wallet {
            Some(wallet) => self.records.history(&UserIdHash([wallet; 32]), query).unwrap()?,
            None => self.records.events(query).unwrap()?,
        };
        let leaves: Vec<Vec<u8>> = self.records.entries(0, 1_000).unwrap();
        let mut frontier = Frontier::default();
        for entry in leaves.iter().take(usize::try_from(query.size).unwrap()) {
            frontier.append(leaf_hash(entry), |_| {});
        }
        for Listed { entry, proof } in &page.items {
            assert_eq!(leaves[usize::try_from(proof.index).unwrap()], *entry);
            assert_eq!(proof.size, query.size);
            assert!(proof.verifies(&leaf_hash(entry), &frontier.root()));
        }
        Some((page.items.into_iter().map(|item| item.entry).collect(), page.next))
    }

    fn all(&self, wallet: Option<u8>, size: u64) -> Vec<Vec<u8>> {
        self.listed(wallet, LogQuery { size, from: None, count: ALL }).unwrap().0
    }
}

/// Boot, two wallets' writes mixed, a boot, more writes: ten entries.
pub(super) fn mixed() -> Bench {
    let mut bench = Bench::new();
    let batches: [&[(u8, u64)]; 6] =
        [&[], &[(1, 1), (2, 1)], &[(2, 2)], &[(2, 3), (1, 2)], &[], &[(3, 1), (1, 3), (2, 4)]];
    for (anchored, records) in batches.iter().enumerate() {
        bench.commit(records, anchored as u64).unwrap();
    }
    bench
}

#[test]
fn a_wallets_entries_come_newest_first_and_nobody_elses_among_them() {
    let bench = mixed();
    assert_eq!(bench.all(Some(1), 10), [entry(1, 3), entry(1, 2), entry(1, 1)]);
    assert_eq!(bench.all(Some(2), 10), [entry(2, 4), entry(2, 3), entry(2, 2), entry(2, 1)]);
    assert_eq!(bench.all(Some(3), 10), [entry(3, 1)]);
    assert_eq!(bench.all(Some(4), 10), Vec::<Vec<u8>>::new(), "a wallet without writes");
    assert_eq!(bench.all(None, 10), [boot(4), boot(0)]);
}

#[test]
fn an_older_tree_shows_what_was_in_it() {
    let bench = mixed();
    // Entries: boot, 1.1, 2.1, 2.2, 2.3, 1.2, boot, 3.1, 1.3, 2.4.
    for (size, ones, events) in
        [(1, 0, 1), (2, 1, 1), (5, 1, 1), (6, 2, 1), (7, 2, 2), (8, 2, 2), (9, 3, 2), (10, 3, 2)]
    {
        let whole: Vec<_> = (1..=ones).rev().map(|version| entry(1, version)).collect();
        assert_eq!(bench.all(Some(1), size), whole, "{size}");
        assert_eq!(bench.all(None, size).len(), events, "{size}");
    }
    for size in [0, 11, 1 << 62, 1 << 63, u64::MAX] {
        for wallet in [Some(1), None] {
            assert_eq!(bench.listed(wallet, LogQuery { size, from: None, count: ALL }), None, "{size}: no such tree");
        }
    }
}

#[test]
fn pages_follow_one_another_without_a_gap() {
    let bench = mixed();
    for wallet in [Some(1), Some(2), Some(3), None] {
        let whole = bench.all(wallet, 10);
        for count in 1..=5 {
            let (mut paged, mut from) = (Vec::new(), None);
            loop {
                let (items, next) = bench.listed(wallet, LogQuery { size: 10, from, count }).unwrap();
                assert!(items.len() == count || next.is_none());
                paged.extend(items);
                from = next;
                if from.is_none() {
                    break;
                }
            }
            assert_eq!(paged, whole, "{wallet:?} by {count}");
        }
    }
}

#[test]
fn a_place_that_is_not_the_wallets_own_shows_nothing() {
    let bench = mixed();
    // A boot, another wallet's, beyond the tree, beyond the log, beyond what is counted.
    for (size, from) in [(10, 0), (10, 2), (8, 8), (10, 10), (10, u64::MAX)] {
        assert_eq!(bench.listed(Some(1), LogQuery { size, from: Some(from), count: ALL }), None, "{from} of {size}");
    }
    let own = bench.listed(Some(1), LogQuery { size: 10, from: Some(5), count: ALL }).unwrap();
    assert_eq!(own, (vec![entry(1, 2), entry(1, 1)], None));
}

/// A host's disk is its own: whatever is changed there, what comes out is damage or an entry of the wallet's, and no loop.
#[test]
fn a_chain_that_leads_elsewhere_is_damage() {
    for change in [
        "UPDATE log_entries SET previous = 2 WHERE position = 8",
        "UPDATE log_entries SET previous = 8 WHERE position = 8",
        "UPDATE log_entries SET previous = 5 WHERE position = 1",
        "UPDATE log_entries SET previous = -1 WHERE position = 8",
        "UPDATE records SET newest = 9 WHERE wallet = zeroblob(0) OR version = 3",
        "DELETE FROM log_entries WHERE position = 5",
        "DELETE FROM log_nodes WHERE place = 16",
    ] {
        let bench = mixed();
        bench.records.sqlite.write(move |tx| Ok::<_, SqlError>(tx.execute_batch(change)?)).unwrap();
        let query = LogQuery { size: 10, from: None, count: ALL };
        let read = bench.records.history(&UserIdHash([1; 32]), query);
        assert!(matches!(read, Err(ReadError::Damaged)), "{change}: {read:?}");
    }
}

#[test]
fn the_newest_event_that_is_wanted_is_found_however_many_came_since() {
    let bench = mixed();
    let boot_at = |time: u64| move |entry: &Entry| matches!(entry, Entry::Boot { time: at, .. } if at.0 == time);
    let found = |time| bench.records.newest_event(boot_at(time)).unwrap().map(|(index, _)| index);
    assert_eq!((found(4), found(0), found(9)), (Some(6), Some(0), None));
    assert_eq!(bench.records.newest_event(|_| true).unwrap().map(|(index, _)| index), Some(6));
    let mut bench = Bench::new();
    for number in 0..600 {
        bench.commit(&[], number).unwrap();
    }
    assert_eq!(bench.records.newest_event(boot_at(3)).unwrap().map(|(index, _)| index), Some(3));
}
