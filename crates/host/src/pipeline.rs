//! The decisions between API and enclave, without I/O: events in, actions out.
//!
//! Invariants:
//! - A sealed call reaches the enclave with a grant of its storage token, and a record is stored only under that grant.
//! - One call per wallet holds the wallet from the read of its record to its answer; others wait in a short line.
//! - One batch is in flight: stored, then anchored, then the enclave is told, and only then can it answer. The enclave is told
//!   "aborted" only of what is certainly not stored; where that is unknown, everything stops.
//! - A sealed reply is kept for an identical resend, and an identical resend of a call under way waits for the same answer.

mod batches;
mod calls;
mod event;
mod replies;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use pinseal_protocol::ids::{UnixSeconds, UserIdHash};
use pinseal_protocol::limits::BATCH_WRITES_MAX;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::wire::{Begun, CallId, FromEnclave, Halt};
use pinseal_store::records::Newest;
use pinseal_store::vault::Vault;

use crate::call::{BeginAnswer, CallError, Stop};
use crate::pause::Pause;
use batches::Batches;
use calls::{Call, Line};
pub use event::{Action, Advanced, Answer, Ask, Event, Load, LoadFailure, Loaded, Stored, Ticket};
use replies::Replies;
pub use replies::RequestKey;

/// Calls known at once, waiting or in flight; each may hold a request of 256 KiB.
pub const CALLS_MAX: usize = 1_024;
/// Calls handed to loader and enclave at once; below the enclave's own limit, so that it is the host that says "overloaded".
pub const IN_FLIGHT_MAX: usize = 256;
/// The next batch holds every write that waits, so a write waits for one batch of others at most.
const _: () = assert!(IN_FLIGHT_MAX <= BATCH_WRITES_MAX);
/// Calls that may wait for one wallet: a person has few devices, and more is an attack on this wallet alone.
pub const WALLET_WAITING_MAX: usize = 16;
/// Identical resends that may wait for one answer.
pub const RESENDS_MAX: usize = 8;
/// Seconds until a caller is told that there is no answer yet.
pub const CALL_SECONDS_MAX: u64 = 30;
/// Times the enclave may ask for a record in one begin; it needs one.
const ROUNDS_MAX: u8 = 2;

/// How much is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depths {
    /// Calls known.
    pub calls: usize,
    /// Of these, handed to loader or enclave.
    pub in_flight: usize,
    /// Sealed replies kept for a resend.
    pub replies: usize,
    /// Their bytes.
    pub reply_bytes: usize,
}

/// The state. See the module for what it guarantees.
pub struct Pipeline {
    vault: Arc<Vault>,
    calls: HashMap<CallId, Call>,
    by_request: HashMap<RequestKey, CallId>,
    lines: HashMap<UserIdHash, Line>,
    ready: VecDeque<CallId>,
    deadlines: VecDeque<(UnixSeconds, CallId, Ticket)>,
    in_flight: usize,
    last_call: u64,
    replies: Replies,
    batches: Batches,
    wallets: u64,
    paused: Option<Pause>,
    turned_away: u64,
    stop: Option<Stop>,
    now: UnixSeconds,
    told: UnixSeconds,
    actions: Vec<Action>,
}

impl core::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pipeline").field("depths", &self.depths()).field("stop", &self.stop).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Takes over after boot: `anchored` is the newest checkpoint, stored and anchored.
    pub fn new(vault: Arc<Vault>, anchored: Newest, wallets: u64) -> Self {
        Self {
            vault,
            calls: HashMap::new(),
            by_request: HashMap::new(),
            lines: HashMap::new(),
            ready: VecDeque::new(),
            deadlines: VecDeque::new(),
            in_flight: 0,
            last_call: 0,
            replies: Replies::default(),
            batches: Batches::new(anchored),
            wallets,
            paused: None,
            turned_away: 0,
            stop: None,
            now: UnixSeconds(0),
            told: UnixSeconds(0),
            actions: Vec::new(),
        }
    }

    /// With enrolment paused, or not, from the start on.
    #[must_use]
    pub const fn paused_since(mut self, paused: Option<Pause>) -> Self {
        self.paused = paused;
        self
    }

    /// Takes one event and returns what it causes, in order.
    pub fn step(&mut self, now: UnixSeconds, event: Event) -> Vec<Action> {
        // Deadlines and cached replies run on a clock that does not go back; enclave and vault are told the time as it is, so that a
        // clock that jumped and was set right leaves nothing expired.
        self.now = self.now.max(now);
        self.told = now;
        self.expire();
        match event {
            Event::Ask { ticket, ask } => self.ask(ticket, ask),
            Event::Loaded { call, loaded } if self.stop.is_none() => self.loaded(call, loaded),
            Event::Enclave(frame) if self.stop.is_none() => self.enclave(frame),
            Event::Stored { batch, stored } if self.stop.is_none() => self.stored(batch, stored),
            Event::Advanced { batch, advanced } if self.stop.is_none() => self.advanced(batch, advanced),
            Event::Disconnected => self.stop(Stop::Disconnected),
            Event::Idle => self.idle(),
            // What was under way when everything stopped.
            Event::Loaded { .. } | Event::Enclave(_) | Event::Stored { .. } | Event::Advanced { .. } => {}
        }
        self.start_ready();
        std::mem::take(&mut self.actions)
    }

    /// Why everything stopped, if it did.
    pub const fn stopped(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// How much is under way.
    pub fn depths(&self) -> Depths {
        Depths {
            calls: self.calls.len(),
            in_flight: self.in_flight,
            replies: self.replies.len(),
            reply_bytes: self.replies.bytes(),
        }
    }

    /// The newest checkpoint that is stored and anchored: note and content.
    pub const fn anchored(&self) -> &Newest {
        self.batches.anchored()
    }

    /// Batches anchored since boot.
    pub const fn batches(&self) -> u64 {
        self.batches.count()
    }

    /// Since when enrolment is paused, as far as that is anchored.
    pub const fn paused(&self) -> Option<Pause> {
        self.paused
    }

    /// Enrolments answered without a write since it is paused, in this boot: what the answers say, only their clients read.
    pub const fn turned_away(&self) -> u64 {
        self.turned_away
    }

    /// Wallets in the deployment.
    pub const fn wallets(&self) -> u64 {
        self.wallets
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<Answer, CallError>) {
        self.actions.push(Action::Answer { ticket, answer });
    }

    fn enclave(&mut self, frame: FromEnclave) {
        if let FromEnclave::Halted { halt, detail } = frame {
            return self.stop(Stop::Halted { halt, detail });
        }
        if self.batches.is_fenced() {
            // Another instance holds the anchor: nothing of this one leaves any more. The enclave is about to say so too.
            return;
        }
        match frame {
            FromEnclave::Commit(batch) => self.commit(batch),
            FromEnclave::Begun { call, begun } => self.begun(call, begun),
            FromEnclave::Replied { call, reply } => {
                let open = self.calls.get(&call);
                let turns_away = open.is_some_and(|open| open.enrols) && self.paused.is_some();
                let Some(key) = open.and_then(|open| open.key()) else {
                    return self.stop(Stop::Protocol("reply to no sealed call"));
                };
                if reply.request != key.request {
                    return self.stop(Stop::Protocol("reply to another request"));
                }
                self.turned_away += u64::from(turns_away);
                self.replies.keep(key, reply.clone(), self.now);
                self.finish(call, Ok(Answer::Sealed(reply)));
            }
            FromEnclave::Refused { call, refusal } => {
                if self.calls.get(&call).is_none_or(|open| open.key().is_none()) {
                    return self.stop(Stop::Protocol("refusal of no sealed call"));
                }
                self.finish(call, Err(CallError::Refused(refusal)));
            }
            FromEnclave::Evidence { call, document } => {
                if self.calls.get(&call).is_none_or(|open| !open.is_evidence()) {
                    return self.stop(Stop::Protocol("evidence nobody asked for"));
                }
                self.finish(call, Ok(Answer::Evidence(document.into())));
            }
            _ => self.stop(Stop::Protocol("unexpected frame while serving")),
        }
    }

    fn begun(&mut self, call: CallId, begun: Begun) {
        let Some(open) = self.calls.get_mut(&call).filter(|open| open.is_begin()) else {
            return self.stop(Stop::Protocol("answer to no begin"));
        };
        match begun {
            Begun::Reply(wallet, reply) => self.finish(call, Ok(Answer::Begun(BeginAnswer { wallet, reply }))),
            Begun::Refused(refusal) => self.finish(call, Err(CallError::Refused(refusal))),
            Begun::NeedsRecord(wallet) => {
                open.rounds += 1;
                if open.rounds > ROUNDS_MAX {
                    // The record is not in the database although the enclave knows the wallet.
                    return self.finish(call, Err(CallError::Refused(Refusal::RecordStale)));
                }
                self.reload_begin(call, wallet);
            }
        }
    }

    fn idle(&mut self) {
        if self.stop.is_none()
            && let Some(anchored) = self.batches.droppable()
        {
            self.actions.push(Action::DropOld { anchored });
        }
    }

    /// Answers everybody and takes nothing more.
    fn stop(&mut self, stop: Stop) {
        if self.stop.is_some() {
            return;
        }
        let error = stop.call_error();
        let mut open: Vec<(CallId, Call)> = self.calls.drain().collect();
        open.sort_by_key(|(call, _)| *call);
        for ticket in open.into_iter().flat_map(|(_, call)| call.tickets) {
            self.answer(ticket, Err(error));
        }
        self.by_request.clear();
        self.lines.clear();
        self.ready.clear();
        self.deadlines.clear();
        self.in_flight = 0;
        self.stop = Some(stop.clone());
        self.actions.push(Action::Stop(stop));
    }

    /// What a new call is told once nothing is taken any more.
    fn refusing(&self) -> Option<CallError> {
        match &self.stop {
            Some(stop) => Some(stop.call_error()),
            None if self.batches.is_fenced() => Some(CallError::EnclaveGone(Some(Halt::Fenced))),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests;
