//! The witness against the standard's sentences (C2SP tlog-witness) and against other people's readers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod http;
mod peers;
mod rules;
mod secrets;

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pinseal_probe::RecordingAllocator;
use pinseal_protocol::add_checkpoint::AddCheckpoint;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::log::{Consistency, Frontier, empty_root, leaf_hash};
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::note::{KeyKind, SignatureLine, VerifierKey};
use pinseal_witness::{Clock, Ledger, Witness, WitnessKey};

pub(crate) const ORIGIN: &str = "log.example/one";
pub(crate) const NOW: u64 = 1_800_000_000;

/// Records nothing unless a test asks for it, see [`secrets`].
#[global_allocator]
static ALLOCATOR: RecordingAllocator = RecordingAllocator;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> u64 {
        NOW
    }
}

/// A log with leaves "0", "1", ...
pub(crate) struct Log {
    pair: Ed25519KeyPair,
    pub(crate) key: VerifierKey,
}

impl Log {
    pub(crate) fn new(origin: &str, seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = Ed25519Public::from_slice(pair.public_key().as_ref()).unwrap();
        Self { key: VerifierKey::new(origin, KeyKind::Ed25519, public).unwrap(), pair }
    }

    pub(crate) fn text(&self, size: u64) -> String {
        format!("{}\n{size}\n{}\n", self.key.name(), STANDARD.encode(root(size).0))
    }

    /// Signs any text.
    pub(crate) fn sign(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes()).as_ref().to_vec();
        let line = SignatureLine { name: self.key.name().to_owned(), id: self.key.id(), signature };
        format!("{text}\n{line}")
    }

    pub(crate) fn note(&self, size: u64) -> String {
        self.sign(&self.text(size))
    }

    /// The request that takes a witness from `old` to `new` leaves.
    pub(crate) fn request(&self, old: u64, new: u64) -> Vec<u8> {
        let note = self.note(new);
        AddCheckpoint { old_size: old, proof: proof(old, new), note: note.as_bytes() }.to_body()
    }
}

pub(crate) fn leaf(number: u64) -> Hash32 {
    leaf_hash(number.to_string().as_bytes())
}

pub(crate) fn root(size: u64) -> Hash32 {
    let mut frontier = Frontier::default();
    (0..size).for_each(|number| frontier.append(leaf(number), |_| {}));
    if size == 0 { empty_root() } else { frontier.root() }
}

pub(crate) fn proof(old: u64, new: u64) -> Vec<Hash32> {
    let mut nodes = std::collections::HashMap::new();
    let mut frontier = Frontier::default();
    for number in 0..new {
        frontier.append(leaf(number), |node| {
            nodes.insert((node.level, node.index), node.hash);
        });
    }
    let mut read = |level, index| nodes.get(&(level, index)).copied().ok_or(());
    Consistency::prove(old, new, &mut read).unwrap().map(|proof| proof.path).unwrap_or_default()
}

/// A witness in a directory that trusts these logs.
pub(crate) fn witness(directory: &Path, logs: &[&Log]) -> Arc<Witness> {
    let key = directory.join("key");
    if !key.exists() {
        let key = WitnessKey::create(&key, "witness.example/w1").unwrap();
        Ledger::create(&directory.join("ledger"), key.verifier_key()).unwrap();
    }
    let key = WitnessKey::load(&key).unwrap();
    let ledger = Ledger::open(&directory.join("ledger"), key.verifier_key()).unwrap();
    logs.iter().for_each(|log| ledger.trust(&log.key).unwrap());
    Arc::new(Witness::new(key, ledger, Arc::new(Noon)))
}
