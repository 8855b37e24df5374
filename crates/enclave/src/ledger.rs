//! Records, log and checkpoints as one state that moves in batches.
//!
//! Invariants: at most one batch is in flight; the committed state changes only when its receipt verified; what is queued and
//! what is in flight never touches the committed state, so an aborted batch leaves no trace; at most one write per wallet is
//! queued or in flight (`serving` sees to that); what a call waits for is in a batch that is made after the call came.

use std::collections::{BTreeMap, VecDeque};

use minicbor::bytes::ByteVec;
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::{Checkpoint, SealedBreaker};
use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::ids::{Hash32, Nonce, Sequence, Term, UnixSeconds, UserIdHash, Version};
use pinseal_protocol::kdf;
use pinseal_protocol::limits::{BATCH_WRITES_MAX, RECENT_CHECKPOINTS};
use pinseal_protocol::log::{Entry, Frontier, Tree, leaf_hash};
use pinseal_protocol::tpm::{self, TpmNonce};
use pinseal_protocol::wire::{Batch, BatchId, CallId, Header, RecordWrite};

use crate::accumulator::Accumulator;
use crate::breaker::{Breaker, Follows, Gate, Moved};
use crate::environment::{Environment, random};
use crate::planted::{self, Defect};
use crate::receipt;
use crate::root::{Keys, Tenure};

/// What a call waits for: that a batch with this in it is anchored.
pub(crate) struct Write {
    pub(crate) call: CallId,
    pub(crate) content: Content,
}

/// What a batch has of a call.
pub(crate) enum Content {
    /// Nothing. Where nobody else writes, the batch says in the log that somebody read.
    Nothing,
    /// A log entry that is about no wallet.
    Event(Entry),
    /// A record and its log entry.
    Record(RecordEntry),
}

/// One record write with its log entry.
pub(crate) struct RecordEntry {
    pub(crate) header: Header,
    pub(crate) outer: Vec<u8>,
    pub(crate) entry: Entry,
    /// What it does to strangers' tries.
    pub(crate) moved: Moved,
}

impl Write {
    const fn record(&self) -> Option<&RecordEntry> {
        match &self.content {
            Content::Record(record) => Some(record),
            Content::Nothing | Content::Event(_) => None,
        }
    }

    const fn entry(&self) -> Option<&Entry> {
        match &self.content {
            Content::Nothing => None,
            Content::Event(entry) => Some(entry),
            Content::Record(record) => Some(&record.entry),
        }
    }

    fn moved(&self) -> Moved {
        self.record().map_or_else(Moved::default, |record| record.moved)
    }
}

/// What a batch is made and signed with.
pub(crate) struct Signer<'s> {
    pub(crate) keys: &'s Keys,
    pub(crate) configuration: &'s Configuration,
    /// What the host says the time is.
    pub(crate) now: UnixSeconds,
    /// The clock of delays.
    pub(crate) ticks: UnixSeconds,
}

/// Everything a checkpoint commits to.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) tenure: Tenure,
    pub(crate) accumulator: Accumulator,
    pub(crate) count: u64,
    pub(crate) frontier: Frontier,
    pub(crate) breaker: Breaker,
    pub(crate) checkpoint: Checkpoint,
    /// The signed note.
    pub(crate) note: Vec<u8>,
    /// At L2: what the next checkpoint goes in on top of.
    pub(crate) index: Option<Hash32>,
}

struct InFlight {
    batch: BatchId,
    writes: Vec<Write>,
    next: State,
}

/// An anchored checkpoint of this boot, or the one it started from.
struct Remembered {
    size: u64,
    root: Hash32,
    note: Hash32,
}

impl Remembered {
    fn of(state: &State) -> Self {
        Self { size: state.checkpoint.size, root: state.checkpoint.root, note: note_hash(&state.note) }
    }
}

/// The state of all wallets.
pub(crate) struct Ledger {
    /// Ordered, because a tree of full nodes takes little more than its content of 72 bytes, and one whose names came in at random half as
    /// much again; a hash table that has just doubled takes more than twice the content.
    wallets: BTreeMap<UserIdHash, (Version, Hash32)>,
    committed: State,
    recent: VecDeque<Remembered>,
    queue: VecDeque<Write>,
    in_flight: Option<InFlight>,
    batches: u64,
    /// Strangers' tries in the queue and in flight.
    charging: u64,
    /// At L2: of the session in which the next checkpoint is let into the TPM's index.
    nonce: Option<TpmNonce>,
}

/// What became of the batch in flight.
pub(crate) enum Settled {
    /// Not the batch in flight: the host broke the conversation.
    Unexpected,
    /// The receipt does not vouch for the checkpoint that was asked for: another instance has taken over, or the host lies.
    Fenced,
    /// Its calls, in order.
    Done(Vec<CallId>),
}

impl Ledger {
    /// Takes over a state whose checkpoint is anchored.
    pub(crate) fn new(
        wallets: BTreeMap<UserIdHash, (Version, Hash32)>,
        committed: State,
        nonce: Option<TpmNonce>,
    ) -> Self {
        let recent = VecDeque::from([Remembered::of(&committed)]);
        Self { wallets, committed, recent, queue: VecDeque::new(), in_flight: None, batches: 0, charging: 0, nonce }
    }

    pub(crate) fn wallet(&self, wallet: &UserIdHash) -> Option<Header> {
        let (version, outer) = self.wallets.get(wallet)?;
        Some(Header { wallet: *wallet, version: *version, outer: *outer })
    }

    pub(crate) fn wallets(&self) -> u64 {
        self.wallets.len() as u64
    }

    pub(crate) const fn committed(&self) -> &State {
        &self.committed
    }

    /// The root of an anchored checkpoint of that size, while it is remembered.
    pub(crate) fn root_at(&self, size: u64) -> Option<Hash32> {
        self.recent.iter().rev().find(|recent| recent.size == size).map(|recent| recent.root)
    }

    /// The log of `note`, if that is, byte for byte, one of the checkpoints remembered, of that size: signed here and continued since.
    pub(crate) fn remembers(&self, note: &[u8], size: u64) -> Option<Tree> {
        let hash = note_hash(note);
        let found = self.recent.iter().rev().find(|recent| recent.size == size && recent.note == hash)?;
        Some(Tree { size, root: found.root })
    }

    /// True if `note` is, byte for byte, the checkpoint that is being anchored.
    pub(crate) fn is_in_flight(&self, note: &[u8]) -> bool {
        self.in_flight.as_ref().is_some_and(|in_flight| in_flight.next.note == note)
    }

    pub(crate) fn enqueue(&mut self, write: Write) {
        self.charging = self.charging.saturating_add(write.moved().charged);
        self.queue.push_back(write);
    }

    /// Whether a stranger may have a PIN tested: by what is anchored, and what is being charged.
    pub(crate) fn gate(&self, maximum: u32) -> Gate {
        self.committed.breaker.gate(maximum, self.charging)
    }

    /// From the next batch on the state is of another tenure, and enrolment goes on if it `resumes`. Nothing is in flight.
    pub(crate) fn succeed(&mut self, tenure: Tenure, resumes: bool) {
        self.committed.tenure = tenure;
        if resumes {
            self.committed.breaker.resume();
        }
    }

    /// The next batch, if none is in flight and something waits.
    pub(crate) fn next_batch(&mut self, signer: &Signer<'_>, environment: &mut dyn Environment) -> Option<Batch> {
        if self.in_flight.is_some() || self.queue.is_empty() {
            return None;
        }
        let writer = match signer.keys.writer() {
            Some(writer) => Some((writer, self.nonce?)),
            None => None,
        };
        let take = self.queue.len().min(BATCH_WRITES_MAX);
        let writes: Vec<Write> = self.queue.drain(..take).collect();
        let keys = signer.keys;
        let mut next = self.committed.clone();
        let mut entries = Vec::with_capacity(writes.len() + 1);
        let moved = writes.iter().fold(Moved::default(), |all, write| all.and(write.moved()));
        let trips = next.breaker.apply(moved, signer.configuration.breaker);
        if planted::is(Defect::BreakerMovesEarly) {
            self.committed.breaker = next.breaker;
        }
        // Ahead of the others, so that the entry of a change stays the last of its batch.
        let tripped = trips.then_some(Entry::Tripped { time: signer.now });
        entries.extend(tripped.map(|entry| next.append(&entry)));
        for write in &writes {
            if let Some(RecordEntry { header, .. }) = write.record() {
                match self.wallet(&header.wallet) {
                    Some(old) => next.accumulator.remove(keys.multiset(), &old),
                    None => next.count += 1,
                }
                next.accumulator.add(keys.multiset(), header);
            }
            entries.extend(write.entry().map(|entry| next.append(entry)));
        }
        // Every checkpoint has a log of its own.
        if entries.is_empty() {
            entries.push(next.append(&Entry::Read { nonce: Nonce(random(environment)) }));
        }
        next.advance(signer, Some(&self.committed.checkpoint), environment);
        self.batches += 1;
        let batch = BatchId(self.batches);
        let records = writes.iter().filter_map(record_write).collect();
        let message = Batch {
            batch,
            previous: self.committed.note.clone().into(),
            checkpoint: next.note.clone().into(),
            frontier: next.frontier.clone(),
            records,
            entries,
            authorisation: writer.map(|(writer, nonce)| writer.authorise(&nonce, &next.checkpoint.hash(), false)),
        };
        self.in_flight = Some(InFlight { batch, writes, next });
        Some(message)
    }

    /// At L2: the session in which the next checkpoint is let into the TPM's index.
    pub(crate) const fn open_session(&mut self, nonce: Option<TpmNonce>) {
        self.nonce = nonce;
    }

    /// The host says that `batch` is stored and anchored.
    pub(crate) fn commit(
        &mut self,
        batch: BatchId,
        receipt: &[u8],
        configuration: &Configuration,
        keys: &Keys,
    ) -> Settled {
        let Some(done) = self.in_flight.take_if(|in_flight| in_flight.batch == batch) else {
            return Settled::Unexpected;
        };
        let vouched = receipt::vouches(configuration, keys, &done.next.note, receipt);
        if !vouched && !planted::is(Defect::AnchorReceiptNotVerified) {
            return Settled::Fenced;
        }
        self.charged(&done.writes);
        for RecordEntry { header, .. } in done.writes.iter().filter_map(Write::record) {
            self.wallets.insert(header.wallet, (header.version, header.outer));
        }
        self.committed = done.next;
        if self.recent.len() == RECENT_CHECKPOINTS {
            self.recent.pop_front();
        }
        self.recent.push_back(Remembered::of(&self.committed));
        Settled::Done(done.writes.iter().map(|write| write.call).collect())
    }

    /// The host says that `batch` was certainly not stored.
    pub(crate) fn abort(&mut self, batch: BatchId) -> Settled {
        match self.in_flight.take_if(|in_flight| in_flight.batch == batch) {
            Some(aborted) => {
                self.charged(&aborted.writes);
                Settled::Done(aborted.writes.iter().map(|write| write.call).collect())
            }
            None => Settled::Unexpected,
        }
    }

    /// These writes are not on their way any more.
    fn charged(&mut self, writes: &[Write]) {
        let charged = writes.iter().fold(0, |all: u64, write| all.saturating_add(write.moved().charged));
        self.charging = self.charging.saturating_sub(charged);
    }
}

impl State {
    /// The state of a deployment without wallets, its genesis checkpoint signed.
    pub(crate) fn genesis(signer: &Signer<'_>, tenure: Tenure, environment: &mut dyn Environment) -> Self {
        let frontier = Frontier::default();
        let checkpoint = Checkpoint {
            deployment: signer.configuration.deployment,
            restores: tenure.restores,
            size: 0,
            root: frontier.root(),
            sequence: Sequence(0),
            previous: Hash32([0; 32]),
            time: signer.ticks,
            state: Hash32([0; 32]),
            breaker: SealedBreaker([0; SealedBreaker::LEN]),
            tpm: None,
        };
        let (accumulator, breaker) = (Accumulator::empty(), Breaker::default());
        let (note, index) = (Vec::new(), signer.keys.writer().map(|_| tpm::NOTHING));
        let mut state = Self { tenure, accumulator, count: 0, frontier, breaker, checkpoint, note, index };
        state.advance(signer, None, environment);
        state
    }

    /// HMAC(K_ms2, accumulator, count, size, root, sequence, previous, time, term, H(configuration), restores): ties the records, and the
    /// configuration they were written under, to the checkpoint.
    pub(crate) fn mac(&self, keys: &Keys, checkpoint: &Checkpoint) -> Hash32 {
        let term = if planted::is(Defect::CheckpointOfAnyTerm) { Term([0; 32]) } else { self.tenure.term };
        Hash32(kdf::mac(
            keys.multiset_outer(),
            "pinseal state v1",
            &[
                &self.accumulator.to_bytes(),
                &self.count.to_be_bytes(),
                &checkpoint.size.to_be_bytes(),
                &checkpoint.root.0,
                &checkpoint.sequence.0.to_be_bytes(),
                &checkpoint.previous.0,
                &checkpoint.time.0.to_be_bytes(),
                &term.0,
                &self.tenure.configuration.0,
                &self.tenure.restores.to_be_bytes(),
            ],
        ))
    }

    /// Appends an entry to the log; its encoding.
    fn append(&mut self, entry: &Entry) -> ByteVec {
        let entry = cbor::to_vec(entry);
        self.frontier.append(leaf_hash(&entry), |_| {});
        ByteVec::from(entry)
    }

    /// Signs a checkpoint over the present accumulator, frontier and breaker, following `previous`.
    pub(crate) fn advance(
        &mut self,
        signer: &Signer<'_>,
        previous: Option<&Checkpoint>,
        environment: &mut dyn Environment,
    ) {
        let (keys, now) = (signer.keys, signer.ticks);
        let follows = Follows {
            sequence: Sequence(previous.map_or(0, |previous| previous.sequence.0.saturating_add(1))),
            previous: previous.map_or(Hash32([0; 32]), Checkpoint::hash),
        };
        let mut checkpoint = Checkpoint {
            deployment: signer.configuration.deployment,
            restores: self.tenure.restores,
            size: self.frontier.size(),
            root: self.frontier.root(),
            sequence: follows.sequence,
            previous: follows.previous,
            time: previous.map_or(now, |previous| previous.time.max(now)),
            state: Hash32([0; 32]),
            breaker: self.breaker.seal(&keys.breaker(), &follows, environment),
            tpm: self.index,
        };
        checkpoint.state = self.mac(keys, &checkpoint);
        self.note = checkpoint.to_note(&keys.log_public(), |text| keys.sign_log(text));
        self.index = checkpoint.held_after();
        self.checkpoint = checkpoint;
    }
}

fn note_hash(note: &[u8]) -> Hash32 {
    kdf::hash("pinseal note v1", &[note])
}

fn record_write(write: &Write) -> Option<RecordWrite> {
    let RecordEntry { header, outer, .. } = write.record()?;
    Some(RecordWrite {
        call: write.call,
        wallet: header.wallet,
        version: header.version,
        hash: header.outer,
        outer: outer.clone().into(),
    })
}
