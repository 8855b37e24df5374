//! Calls: admission, the line in front of each wallet, deadlines.

use std::collections::VecDeque;

use pinseal_protocol::ids::{Nonce, UnixSeconds, UserIdHash};
use pinseal_protocol::limits::REQUEST_BYTES_MAX;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::request::{Method, SealedRequest};
use pinseal_protocol::token::{AccessToken, TOKEN_BYTES_MAX};
use pinseal_protocol::wire::{CallId, ToEnclave};
use pinseal_store::vault::{Checked, Grant, VaultError};

use super::event::{Action, Answer, Ask, Load, LoadFailure, Loaded, Ticket};
use super::replies::RequestKey;
use super::{CALL_SECONDS_MAX, CALLS_MAX, IN_FLIGHT_MAX, Pipeline, RESENDS_MAX, WALLET_WAITING_MAX};
use crate::call::CallError;

/// What is asked.
enum Kind {
    Begin {
        access_token: AccessToken,
        method: Method,
        named_by_enclave: bool,
    },
    /// The request leaves with the call.
    Sealed {
        key: RequestKey,
        request: Option<Box<SealedRequest>>,
    },
    Evidence(Nonce),
}

/// One call until its answer.
pub(super) struct Call {
    kind: Kind,
    /// Who waits for the answer; empty once they were told that it takes too long.
    pub(super) tickets: Vec<Ticket>,
    /// The wallet it holds or waits for.
    wallet: Option<UserIdHash>,
    /// The grant of a sealed call, while the loader does not have it.
    pub(super) grant: Option<Grant>,
    /// Handed to loader or enclave.
    is_started: bool,
    /// Records the enclave asked for in a begin.
    pub(super) rounds: u8,
    /// Asks to enrol a device, and nothing was written for it: it is turned away if it is answered so.
    pub(super) enrols: bool,
}

/// A wallet in use.
pub(super) struct Line {
    holder: CallId,
    waiting: VecDeque<CallId>,
}

impl Call {
    fn new(kind: Kind, ticket: Ticket) -> Self {
        Self { kind, tickets: vec![ticket], wallet: None, grant: None, is_started: false, rounds: 0, enrols: false }
    }

    pub(super) const fn key(&self) -> Option<RequestKey> {
        match &self.kind {
            Kind::Sealed { key, .. } => Some(*key),
            _ => None,
        }
    }

    pub(super) const fn is_begin(&self) -> bool {
        matches!(self.kind, Kind::Begin { .. })
    }

    pub(super) const fn is_evidence(&self) -> bool {
        matches!(self.kind, Kind::Evidence(_))
    }
}

impl Pipeline {
    /// A new call, or another caller for one.
    pub(super) fn ask(&mut self, ticket: Ticket, ask: Ask) {
        if let Some(error) = self.refusing() {
            return self.answer(ticket, Err(error));
        }
        let result = match ask {
            Ask::Begin { access_token, method, wallet } => self.ask_begin(ticket, access_token, method, wallet),
            Ask::Sealed { token, request } => self.ask_sealed(ticket, token, request),
            Ask::Evidence { nonce } => self.open(Call::new(Kind::Evidence(nonce), ticket)).map(|call| {
                self.ready.push_back(call);
            }),
        };
        if let Err(error) = result {
            self.answer(ticket, Err(error));
        }
    }

    fn ask_begin(
        &mut self,
        ticket: Ticket,
        access_token: AccessToken,
        method: Method,
        wallet: Option<UserIdHash>,
    ) -> Result<(), CallError> {
        if access_token.expose_secret().len() > TOKEN_BYTES_MAX {
            return Err(CallError::Refused(Refusal::TokenInvalid));
        }
        if wallet.is_some_and(|wallet| self.is_line_full(&wallet)) {
            return Err(CallError::Refused(Refusal::Busy));
        }
        let call = self.open(Call::new(Kind::Begin { access_token, method, named_by_enclave: false }, ticket))?;
        match wallet {
            Some(wallet) => self.line_up(call, wallet),
            None => self.ready.push_back(call),
        }
        Ok(())
    }

    fn ask_sealed(
        &mut self,
        ticket: Ticket,
        token: Result<Checked, VaultError>,
        request: Box<SealedRequest>,
    ) -> Result<(), CallError> {
        let (key, length) = RequestKey::of(&request);
        if length > REQUEST_BYTES_MAX {
            return Err(CallError::Refused(Refusal::Malformed));
        }
        if let Some(reply) = self.replies.find(&key) {
            let reply = reply.clone();
            self.answer(ticket, Ok(Answer::Sealed(reply)));
            return Ok(());
        }
        if let Some(call) = self.by_request.get(&key).copied() {
            return self.join(call, ticket);
        }
        let checked = token.map_err(CallError::StorageToken)?;
        let wallet = *checked.wallet();
        if self.is_line_full(&wallet) {
            return Err(CallError::Refused(Refusal::Busy));
        }
        if self.calls.len() >= CALLS_MAX {
            return Err(CallError::Overloaded);
        }
        // Last, so that a call that is not taken leaves its token unused.
        let grant = self.vault.spend(checked, self.told).map_err(CallError::StorageToken)?;
        let enrols = request.header.method == Method::EnrolDevice;
        let call = self.open(Call::new(Kind::Sealed { key, request: Some(request) }, ticket))?;
        if let Some(open) = self.calls.get_mut(&call) {
            open.grant = Some(grant);
            open.enrols = enrols;
        }
        self.by_request.insert(key, call);
        self.line_up(call, wallet);
        Ok(())
    }

    /// One more caller for the answer of a call under way.
    fn join(&mut self, call: CallId, ticket: Ticket) -> Result<(), CallError> {
        let open = self.calls.get_mut(&call).filter(|open| open.tickets.len() < RESENDS_MAX);
        open.ok_or(CallError::Overloaded)?.tickets.push(ticket);
        self.set_deadline(call, ticket);
        Ok(())
    }

    fn open(&mut self, open: Call) -> Result<CallId, CallError> {
        if self.calls.len() >= CALLS_MAX {
            return Err(CallError::Overloaded);
        }
        self.last_call += 1;
        let call = CallId(self.last_call);
        for ticket in open.tickets.clone() {
            self.set_deadline(call, ticket);
        }
        self.calls.insert(call, open);
        Ok(call)
    }

    fn set_deadline(&mut self, call: CallId, ticket: Ticket) {
        self.deadlines.push_back((UnixSeconds(self.now.0.saturating_add(CALL_SECONDS_MAX)), call, ticket));
    }

    fn is_line_full(&self, wallet: &UserIdHash) -> bool {
        self.lines.get(wallet).is_some_and(|line| line.waiting.len() >= WALLET_WAITING_MAX)
    }

    /// Takes the wallet, or waits for it.
    fn line_up(&mut self, call: CallId, wallet: UserIdHash) {
        if let Some(open) = self.calls.get_mut(&call) {
            open.wallet = Some(wallet);
        }
        match self.lines.get_mut(&wallet) {
            Some(line) => line.waiting.push_back(call),
            None => {
                self.lines.insert(wallet, Line { holder: call, waiting: VecDeque::new() });
                self.ready.push_back(call);
            }
        }
    }

    /// Gives the wallet to the next in line, if `call` holds it.
    fn leave(&mut self, call: CallId, wallet: UserIdHash) {
        let Some(line) = self.lines.get_mut(&wallet) else { return };
        if line.holder != call {
            line.waiting.retain(|waiting| *waiting != call);
            return;
        }
        match line.waiting.pop_front() {
            Some(next) => {
                line.holder = next;
                self.ready.push_back(next);
            }
            None => {
                self.lines.remove(&wallet);
            }
        }
    }

    /// Starts what waits for room.
    pub(super) fn start_ready(&mut self) {
        while self.in_flight < IN_FLIGHT_MAX
            && let Some(call) = self.ready.pop_front()
        {
            // A call may have timed out while it waited.
            if let Some(open) = self.calls.get_mut(&call) {
                open.is_started = true;
                self.in_flight += 1;
                self.start(call);
            }
        }
    }

    fn start(&mut self, call: CallId) {
        let Some(open) = self.calls.get_mut(&call) else { return };
        let action = match (&open.kind, open.wallet) {
            (Kind::Evidence(nonce), _) => Action::Send(ToEnclave::Evidence { call, nonce: *nonce, time: self.told }),
            (Kind::Begin { access_token, method, .. }, None) => Action::Send(ToEnclave::Begin {
                call,
                time: self.told,
                access_token: access_token.duplicate(),
                method: *method,
                outer: None,
            }),
            (Kind::Begin { access_token, named_by_enclave, .. }, Some(wallet)) => Action::Load {
                call,
                load: Load::Begin {
                    access_token: access_token.duplicate(),
                    wallet,
                    named_by_enclave: *named_by_enclave,
                },
            },
            (Kind::Sealed { request, .. }, _) => {
                let seen = request.as_ref().map_or(0, |request| request.header.receipt_size);
                let proof = self.batches.proof_for(seen);
                let Some(grant) = open.grant.take() else { return };
                Action::Load { call, load: Load::Sealed { grant, proof } }
            }
        };
        self.actions.push(action);
    }

    /// The record is here: on to the enclave.
    pub(super) fn loaded(&mut self, call: CallId, loaded: Result<Loaded, LoadFailure>) {
        let Some(open) = self.calls.get_mut(&call) else { return };
        let Loaded { grant, outer, consistency } = match loaded {
            Ok(loaded) => loaded,
            Err(failure) => {
                let error = match failure {
                    LoadFailure::Token(VaultError::Expired) => CallError::Refused(Refusal::TokenExpired),
                    LoadFailure::Token(_) | LoadFailure::Foreign => CallError::Refused(Refusal::TokenInvalid),
                    LoadFailure::Storage => CallError::Storage,
                };
                return self.finish(call, Err(error));
            }
        };
        let (time, outer) = (self.told, outer.map(Into::into));
        let frame = match &mut open.kind {
            Kind::Begin { access_token, method, .. } => {
                ToEnclave::Begin { call, time, access_token: access_token.duplicate(), method: *method, outer }
            }
            Kind::Sealed { request, .. } => {
                open.grant = grant;
                let Some(request) = request.take() else { return };
                ToEnclave::Sealed { call, time, request: *request, outer, consistency }
            }
            Kind::Evidence(_) => return,
        };
        self.actions.push(Action::Send(frame));
    }

    /// The enclave named the wallet of a begin and wants its record: once it is this call's turn.
    pub(super) fn reload_begin(&mut self, call: CallId, named: UserIdHash) {
        let Some(open) = self.calls.get_mut(&call) else { return };
        if let Kind::Begin { named_by_enclave, .. } = &mut open.kind {
            *named_by_enclave = true;
        }
        if open.wallet == Some(named) {
            return self.start(call);
        }
        let held = open.wallet.take();
        open.is_started = false;
        self.in_flight -= 1;
        if let Some(held) = held {
            self.leave(call, held);
        }
        if self.is_line_full(&named) {
            return self.finish(call, Err(CallError::Refused(Refusal::Busy)));
        }
        self.line_up(call, named);
    }

    /// Answers a call and lets the next one have its wallet.
    pub(super) fn finish(&mut self, call: CallId, answer: Result<Answer, CallError>) {
        let Some(open) = self.calls.remove(&call) else { return };
        if open.is_started {
            self.in_flight -= 1;
        }
        if let Some(key) = open.key() {
            self.by_request.remove(&key);
        }
        for ticket in open.tickets {
            self.answer(ticket, answer.clone());
        }
        if let Some(wallet) = open.wallet {
            self.leave(call, wallet);
        }
    }

    /// Tells those who waited too long. A call in flight goes on: its reply is kept for a resend.
    pub(super) fn expire(&mut self) {
        self.replies.expire(self.now);
        while let Some(&(deadline, call, ticket)) = self.deadlines.front()
            && deadline <= self.now
        {
            self.deadlines.pop_front();
            let Some(open) = self.calls.get_mut(&call) else { continue };
            let Some(place) = open.tickets.iter().position(|waiting| *waiting == ticket) else { continue };
            open.tickets.remove(place);
            let forgotten = open.tickets.is_empty() && !open.is_started;
            let grant = if forgotten { open.grant.take() } else { None };
            self.answer(ticket, Err(CallError::Timeout));
            if forgotten {
                if let Some(grant) = grant {
                    self.vault.give_back(grant);
                }
                self.finish(call, Err(CallError::Timeout));
            }
        }
    }
}
