//! The host's database and anchor.

use std::collections::BTreeMap;

use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::history::LoggedWrite;
use pinseal_protocol::ids::{Hash32, UserIdHash};
use pinseal_protocol::log::{Entry, Frontier, Inclusion, leaf_hash};
use pinseal_protocol::wire::{Batch, Header};

/// What survives a crash.
#[derive(Clone, Default)]
pub struct Disk {
    pub sealed_root: Vec<u8>,
    pub note: Vec<u8>,
    pub frontier: Frontier,
    pub records: BTreeMap<UserIdHash, (Header, Vec<u8>)>,
    pub nodes: BTreeMap<(u8, u64), Hash32>,
    pub last_entry: Vec<u8>,
    pub entries: Vec<Vec<u8>>,
    pub anchored: Vec<u8>,
}

impl Disk {
    /// The one database transaction of a batch.
    pub fn store(&mut self, batch: &Batch) {
        for write in &batch.records {
            let header = Header { wallet: write.wallet, version: write.version, outer: write.hash };
            self.records.insert(write.wallet, (header, write.outer.to_vec()));
        }
        for entry in &batch.entries {
            self.entries.push(entry.to_vec());
            let mut nodes = Vec::new();
            self.frontier.append(leaf_hash(entry), |node| nodes.push(node));
            for node in nodes {
                self.nodes.insert((node.level, node.index), node.hash);
            }
            self.last_entry = entry.to_vec();
        }
        assert_eq!(self.frontier, batch.frontier, "the host's log and the enclave's agree");
        self.note = batch.checkpoint.to_vec();
    }

    /// Every record entry of the log, with its wallet, proved in the log as it stands.
    pub fn writes(&self) -> Vec<(UserIdHash, LoggedWrite)> {
        let read = |(index, entry): (u64, &Vec<u8>)| match cbor::from_slice(entry).unwrap() {
            Entry::Record { wallet, version, outer, detail } => {
                let path = self.inclusion(index);
                Some((wallet, LoggedWrite { version, outer, detail, index, path }))
            }
            _ => None,
        };
        (0..).zip(&self.entries).filter_map(read).collect()
    }

    fn inclusion(&self, index: u64) -> Vec<Hash32> {
        let mut node = |level, index| self.nodes.get(&(level, index)).copied().ok_or(());
        Inclusion::prove(index, self.frontier.size(), &mut node).unwrap().unwrap().path
    }

    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::read_unverified(&self.note).unwrap()
    }
}
