//! The boot check: never trusts "latest", adds up everything the database holds, and compares it with the anchor.

use std::collections::BTreeMap;

use minicbor::bytes::ByteVec;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::constant_time;
use pinseal_protocol::ids::{Hash32, UnixSeconds, UserIdHash, Version};
use pinseal_protocol::limits::{BOOT_HEADERS_MAX, PENDING_SECONDS_MAX};
use pinseal_protocol::log::Frontier;
use pinseal_protocol::tpm::{self, Authorisation, TpmNonce};
use pinseal_protocol::wire::{Halt, Header};

use crate::accumulator::Accumulator;
use crate::breaker::{Breaker, Follows};
use crate::enclave::Stop;
use crate::ledger::State;
use crate::planted::{self, Defect};
use crate::receipt;
use crate::root::{Keys, Tenure};

/// A boot whose headers are coming in.
pub(crate) struct Boot {
    configuration: Configuration,
    keys: Keys,
    /// Ascending, as they came; all of them become a map at once, its nodes full, which takes half of what adding one by one takes.
    wallets: Vec<(UserIdHash, (Version, Hash32))>,
    state: State,
    roll_forward: Option<ByteVec>,
    nonce: Option<TpmNonce>,
    now: UnixSeconds,
}

/// What the host says of the anchor that what this boot writes goes to. Good for saying what is wrong; what counts is a receipt.
pub(crate) struct Holds<'h> {
    pub(crate) level: AnchorLevel,
    /// At L2: what the operators ordered to go on from.
    pub(crate) base: Option<Hash32>,
    /// What it holds; `None` where an older state is the state by order, whatever it holds.
    pub(crate) anchored: Option<&'h [u8]>,
}

/// A boot whose state added up.
pub(crate) struct Booted {
    pub(crate) configuration: Configuration,
    pub(crate) keys: Keys,
    pub(crate) wallets: BTreeMap<UserIdHash, (Version, Hash32)>,
    pub(crate) state: State,
    /// What the anchor holds, if the database is exactly one checkpoint ahead of it.
    pub(crate) roll_forward: Option<ByteVec>,
    /// At L2: of the session in which the next checkpoint is let into the TPM's index.
    pub(crate) nonce: Option<TpmNonce>,
    pub(crate) now: UnixSeconds,
    /// Continues the anchored clock of delays.
    pub(crate) ticks: UnixSeconds,
}

impl Boot {
    /// Checks what the database holds, note and frontier, and the anchor against each other.
    pub(crate) fn start(
        configuration: Configuration,
        keys: Keys,
        tenure: Tenure,
        (note, frontier): (&[u8], Frontier),
        anchor: &Holds<'_>,
        nonce: Option<TpmNonce>,
        now: UnixSeconds,
    ) -> Result<Self, Stop> {
        let nonce = receipt::session(&keys, nonce)?;
        let deployment = configuration.deployment;
        let verify = |note: &[u8], what: &str| {
            Checkpoint::verify(note, &deployment, &keys.log_public())
                .map_err(|error| Stop::new(Halt::CheckpointInvalid, format!("{what}: {error}")))
        };
        let checkpoint = verify(note, "database")?;
        let frontier_fits =
            frontier.is_well_formed() && frontier.size() == checkpoint.size && frontier.root() == checkpoint.root;
        if !frontier_fits {
            return Err(Stop::new(Halt::StateMismatch, "the log's frontier does not give the checkpoint's root"));
        }
        let rolled = |anchored: &[u8], is_behind: bool| is_behind.then(|| ByteVec::from(anchored.to_vec()));
        let (roll_forward, index) = match (anchor.level, anchor.anchored) {
            (AnchorLevel::L2, None) => (None, anchor.base),
            (_, None) => (None, None),
            // Memory holds nothing over a restart: L0 promises nothing.
            (AnchorLevel::L0, Some([])) => (None, None),
            (AnchorLevel::L1 | AnchorLevel::L2 | AnchorLevel::L4, Some([])) => {
                return Err(Stop::new(Halt::AnchorMissing, "the deployment has an anchor, and it is gone"));
            }
            (AnchorLevel::L2, Some(held)) => {
                let base = planted::base(anchor.base, held);
                let place = compare_with_index(&checkpoint, base, held)?;
                let begins = if matches!(place, Place::Base) { base } else { checkpoint.held_after() };
                (rolled(held, matches!(place, Place::Before)), begins)
            }
            // What L4's witnesses hold is the host's word here, good for saying what is wrong. What counts is their receipt for
            // the BOOT entry.
            (AnchorLevel::L0 | AnchorLevel::L1 | AnchorLevel::L4, Some(held)) => {
                (rolled(held, compare(&checkpoint, &verify(held, "anchor")?)?), None)
            }
        };
        let accumulator = Accumulator::empty();
        let follows = Follows { sequence: checkpoint.sequence, previous: checkpoint.previous };
        let breaker = Breaker::open(&checkpoint.breaker, &keys.breaker(), &follows)
            .ok_or_else(|| Stop::new(Halt::CheckpointInvalid, "database: the checkpoint's breaker does not open"))?;
        let note = note.to_vec();
        let state = State { tenure, accumulator, count: 0, frontier, breaker, checkpoint, note, index };
        Ok(Self { configuration, keys, wallets: Vec::new(), state, roll_forward, nonce, now })
    }

    /// Adds the next headers, strictly ascending so that no wallet counts twice.
    pub(crate) fn headers(&mut self, headers: &[Header]) -> Result<(), Stop> {
        if headers.len() > BOOT_HEADERS_MAX {
            return Err(Stop::new(Halt::Protocol, "too many headers in one frame"));
        }
        for header in headers {
            if self.wallets.last().is_some_and(|(last, _)| *last >= header.wallet) {
                return Err(Stop::new(Halt::StateMismatch, "record headers do not ascend"));
            }
            self.state.accumulator.add(self.keys.multiset(), header);
            self.state.count += 1;
            self.wallets.push((header.wallet, (header.version, header.outer)));
        }
        Ok(())
    }

    /// Compares the sum with what the checkpoint commits to.
    pub(crate) fn finish(self) -> Result<Booted, Stop> {
        let state = self.state;
        if !constant_time::equal(&state.mac(&self.keys, &state.checkpoint).0, &state.checkpoint.state.0) {
            let detail = format!(
                "{} records do not add up to checkpoint {}: some are missing, added or of another version, or it is of another configuration's term",
                state.count, state.checkpoint.sequence.0
            );
            return Err(Stop::new(Halt::StateMismatch, detail));
        }
        let state_time = state.checkpoint.time;
        Ok(Booted {
            configuration: self.configuration,
            keys: self.keys,
            wallets: self.wallets.into_iter().collect(),
            state,
            roll_forward: self.roll_forward,
            nonce: self.nonce,
            now: self.now,
            ticks: UnixSeconds(
                state_time.0.saturating_add(self.now.0.saturating_sub(state_time.0).min(PENDING_SECONDS_MAX)),
            ),
        })
    }
}

impl Booted {
    /// Lets the newest checkpoint into the TPM's index, where it is not there yet.
    pub(crate) fn authorise_roll_forward(&self) -> Option<Authorisation> {
        let (writer, nonce) = (self.keys.writer()?, self.nonce?);
        self.roll_forward.as_ref().map(|_| {
            let is_first = planted::may_be_empty(&self.state.checkpoint);
            writer.authorise(&nonce, &self.state.checkpoint.hash(), is_first)
        })
    }
}

/// True if the database is exactly one checkpoint ahead of the anchor, false if they are equal; anything else is refused.
fn compare(database: &Checkpoint, anchor: &Checkpoint) -> Result<bool, Stop> {
    if database == anchor {
        return Ok(false);
    }
    let (here, there) = (database.sequence.0, anchor.sequence.0);
    if here.checked_sub(1) == Some(there) && database.previous == anchor.hash() {
        return Ok(!planted::is(Defect::NotRolledForward));
    }
    if here < there {
        let detail = format!(
            "the database stands at checkpoint {here} ({} log entries), the anchor at {there} ({}): log entries {} to {} are missing",
            database.size,
            anchor.size,
            database.size + 1,
            anchor.size
        );
        return Err(Stop::new(Halt::StateOlder, detail));
    }
    let detail = format!(
        "the database stands at checkpoint {here} ({} log entries), the anchor at {there} ({}), and neither continues the other",
        database.size, anchor.size
    );
    Err(Stop::new(Halt::StateForked, detail))
}

/// Where an index stands, for the newest checkpoint in the database.
enum Place {
    /// It has taken that checkpoint.
    After,
    /// It has not taken it yet, and holds what that goes in on top of.
    Before,
    /// It holds what the operators ordered to go on from: nothing of this tenure was let in.
    Base,
}

/// As [`compare`], for an index of which the host says that it holds `held`. Like all that is said of an anchor here, that is good for saying what is
/// wrong; what counts is the receipt for the BOOT entry.
fn compare_with_index(database: &Checkpoint, base: Option<Hash32>, held: &[u8]) -> Result<Place, Stop> {
    let held = Hash32::from_slice(held).ok_or_else(|| Stop::new(Halt::Protocol, "an index holds 32 bytes"))?;
    if database.held_after() == Some(held) {
        return Ok(Place::After);
    }
    // An index that holds nothing is a new one in the old one's place: nothing but a creation ever writes that.
    if held == tpm::NOTHING && !planted::may_be_empty(database) {
        return Err(Stop::new(
            Halt::AnchorMissing,
            "the TPM's index was never written: it was defined anew, and what it held is gone for good",
        ));
    }
    if database.tpm == Some(held) {
        return Ok(if planted::is(Defect::NotRolledForward) { Place::After } else { Place::Before });
    }
    if base == Some(held) {
        return Ok(Place::Base);
    }
    let detail = format!(
        "the database stands at checkpoint {} ({} log entries), and the TPM's index has not come from there: an older database was put back, or another instance has gone on, or something was let into the index that no database has",
        database.sequence.0, database.size
    );
    Err(Stop::new(Halt::StateForked, detail))
}
