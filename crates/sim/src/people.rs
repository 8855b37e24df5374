//! People's devices, honest and invented: they begin, seal for real, and keep the receipts they are given.

use std::sync::Arc;

use pinseal_fuzzing::harness::device::{PIN, factor};
use pinseal_fuzzing::harness::host::access_token;
use pinseal_fuzzing::harness::keys;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::intent::{AccountIndex, Intent};
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{BeginReply, Method, Request};
use pinseal_protocol::wire::{Begun, CallId, ToEnclave};

use crate::books::Change;
use crate::instance::Call;
use crate::violation::Violation;
use crate::world::{Asked, World};

/// A PIN that is nobody's.
pub(crate) const WRONG: u8 = 100;

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The PIN verified.
    Verify,
    /// A message signed.
    Sign,
    /// This device enrolled.
    Enrol,
    /// The device at this place revoked.
    Revoke(usize),
    /// Every outstanding try given back.
    Clear,
    /// This PIN stored beside the old one.
    ChangePrepare(u8),
    /// That PIN put in force.
    ChangeConfirm,
    /// Tries and devices.
    Status,
    /// What the log says of the wallet.
    History,
    /// A wallet under this PIN.
    Register(u8),
    /// That wallet confirmed.
    Confirm,
}

impl What {
    pub(crate) const fn method(self) -> Method {
        match self {
            Self::Verify => Method::VerifyPin,
            Self::Sign => Method::Sign,
            Self::Enrol => Method::EnrolDevice,
            Self::Revoke(_) => Method::RevokeDevice,
            Self::Clear => Method::ClearTries,
            Self::ChangePrepare(_) => Method::ChangePinPrepare,
            Self::ChangeConfirm => Method::ChangePinConfirm,
            Self::Status => Method::Status,
            Self::History => Method::OpenHistory,
            Self::Register(_) => Method::RegisterPrepare,
            Self::Confirm => Method::RegisterConfirm,
        }
    }
}

/// What somebody is about to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Place among the devices.
    pub(crate) device: usize,
    pub(crate) what: What,
    /// Whether it carries the right PIN.
    pub(crate) right: bool,
    /// Whether its device gets the reply.
    pub(crate) heard: bool,
}

/// What the adversary hands in beside a sealed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// The record that the enclave asks for.
    Newest,
    /// The record of an image this many writes old.
    Older(usize),
    /// None.
    Nothing,
}

impl World {
    /// An access token for this device; the adversary has the issuer's key, so anybody gets one.
    pub(crate) fn mint(&mut self, device: usize, now: u64) -> String {
        let (configuration, devices) = (&self.configuration, &self.devices);
        let mint = || {
            let device = &devices[device];
            access_token(configuration, keys::issuer(), device.user, &device.id(), now)
        };
        self.minted.entry((device, now)).or_insert_with(mint).clone()
    }

    /// Begins with an adversary's host. `None` if the enclave refuses.
    pub(crate) fn begin(&mut self, at: usize, plan: Plan) -> Result<Option<BeginReply>, Violation> {
        let Some(instance) = self.instance(at) else { return Ok(None) };
        let (now, mut outer) = (instance.now, None);
        let access_token = self.mint(plan.device, now);
        // Once without the record and once with it.
        for _ in 0..2 {
            let Some(instance) = self.instance(at) else { return Ok(None) };
            let call = instance.next_call();
            let message = ToEnclave::Begin {
                call,
                time: UnixSeconds(now),
                access_token: access_token.clone().into(),
                method: plan.what.method(),
                outer,
            };
            self.send(at, message)?;
            let Some(instance) = self.instance(at) else { return Ok(None) };
            match instance.begun.remove(&call) {
                Some(Begun::NeedsRecord(wallet)) => {
                    outer = instance.records.get(&wallet).map(|(_, outer)| outer.clone().into());
                }
                Some(Begun::Reply(_, signed)) => return Ok(self.read_begun(at, plan, &signed)),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// A client checks what it begins with against the attested manifest.
    pub(crate) fn read_begun(
        &self,
        at: usize,
        plan: Plan,
        signed: &pinseal_protocol::request::SignedBeginReply,
    ) -> Option<BeginReply> {
        let manifest = self.instances[at].as_deref()?.manifest.as_ref()?;
        signed.verify(&manifest.boot, &manifest.hash(), &self.devices[plan.device].id(), plan.what.method()).ok()
    }

    /// Seals; the number of the request.
    pub(crate) fn seal(&mut self, at: usize, plan: Plan, begin: &BeginReply) -> Option<usize> {
        let now = self.instances[at].as_deref()?.now;
        let token = self.mint(plan.device, now);
        let instance = self.instances[at].as_deref()?;
        let begun_at = instance.records.get(&begin.wallet).map_or(0, |(header, _)| header.version.0);
        let manifest = instance.manifest.clone()?;
        let (request, pin, change) = self.request(plan, begin);
        let device = &mut self.devices[plan.device];
        let header = device.header(&manifest, begin, &token);
        let body = device.body(&token, request);
        let sealed = device.seal(&manifest, begin, header, &body)?;
        let (key, user, receipt) = (device.key, device.user, device.receipt.clone());
        self.wallets.insert(begin.wallet, user);
        self.asked.push(Asked {
            device: plan.device,
            key,
            user,
            method: plan.what.method(),
            pin,
            change,
            sealed: Arc::new(sealed),
            receipt,
            begun_at,
            heard: plan.heard,
            decided: false,
            refused: false,
            not_durable: false,
            verdict: None,
            answer: None,
        });
        Some(self.asked.len() - 1)
    }

    fn request(&self, plan: Plan, begin: &BeginReply) -> (Request, Option<u8>, Change) {
        let device = &self.devices[plan.device];
        let standing = self.books.get(device.user).map(|books| books.now().clone()).unwrap_or_default();
        let confirms = matches!(plan.what, What::ChangeConfirm | What::Confirm);
        let in_force = if confirms { standing.pending } else { standing.active };
        let number = if plan.right { in_force.unwrap_or(PIN) } else { WRONG };
        let parameters = if confirms { begin.pending } else { begin.current };
        let pin = || factor(number, &parameters.unwrap_or(begin.next));
        let request = match plan.what {
            What::Verify => Request::VerifyPin { pin: pin() },
            What::Sign => {
                let message = b"a message".to_vec().into();
                let intent = Intent::EvmPersonalMessage { account: AccountIndex::default(), message };
                Request::Sign { pin: pin(), intents: vec![intent] }
            }
            What::Enrol => Request::EnrolDevice { pin: pin(), label: "phone".to_owned() },
            What::Revoke(gone) => {
                let gone = &self.devices[gone % self.devices.len()];
                let request = Request::RevokeDevice { pin: pin(), device: gone.id() };
                return (request, Some(number), Change::Revoke(gone.key));
            }
            What::Clear => Request::ClearTries { pin: pin() },
            What::ChangePrepare(fresh) => {
                let request = Request::ChangePinPrepare { pin: pin(), new_pin: factor(fresh, &begin.next) };
                return (request, Some(number), Change::NewPin(fresh));
            }
            What::ChangeConfirm => Request::ChangePinConfirm { pin: pin() },
            What::Confirm => Request::RegisterConfirm { pin: pin() },
            What::Status => return (Request::Status, None, Change::Nothing),
            What::History => {
                let request = Request::OpenHistory { writes: self.logged(&begin.wallet) };
                return (request, None, Change::Nothing);
            }
            What::Register(fresh) => {
                let pin = factor(fresh, &begin.next);
                let request = Request::RegisterPrepare { pin, words: 12, label: "laptop".to_owned() };
                return (request, None, Change::NewPin(fresh));
            }
        };
        (request, Some(number), Change::Nothing)
    }

    /// The adversary hands a sealed request in, new or old, to any enclave.
    pub(crate) fn submit(&mut self, at: usize, request: usize, company: Company) -> Result<(), Violation> {
        let sealed = Arc::clone(&self.asked[request].sealed);
        let older = match company {
            Company::Older(back) => {
                let image = self.library.len().checked_sub(back + 1).and_then(|place| self.library.get(place));
                image.and_then(|image| image.records.get(&sealed.wallet)).map(|(_, outer)| outer.clone())
            }
            _ => None,
        };
        let Some(instance) = self.instance(at) else { return Ok(()) };
        let call = instance.next_call();
        instance.calls.insert(call, Call { request, notes: Vec::new() });
        let outer = match company {
            Company::Newest => instance.records.get(&sealed.wallet).map(|(_, outer)| outer.clone()),
            Company::Older(_) => older,
            Company::Nothing => None,
        };
        self.hand_in(at, call, sealed.request.clone(), outer)
    }

    /// As it is, or with one bit flipped.
    pub(crate) fn hand_in(
        &mut self,
        at: usize,
        call: CallId,
        request: pinseal_protocol::request::SealedRequest,
        outer: Option<Vec<u8>>,
    ) -> Result<(), Violation> {
        let Some(instance) = self.instance(at) else { return Ok(()) };
        let consistency = instance.consistency(request.header.receipt_size);
        let time = UnixSeconds(instance.now);
        let message = ToEnclave::Sealed { call, time, request, outer: outer.map(Into::into), consistency };
        self.send(at, message)?;
        Ok(())
    }

    /// The reply reached the device: a client keeps the newest receipt, and none of a refusal.
    pub(crate) fn hear(&mut self, request: usize) {
        let asked = &self.asked[request];
        let Some(answer) = asked.answer.as_ref().filter(|answer| !matches!(answer.outcome, Outcome::Refused(_))) else {
            return;
        };
        let sequence = |note: &[u8]| Checkpoint::read_unverified(note).map_or(0, |read| read.sequence.0);
        let device = &mut self.devices[asked.device];
        if device.receipt.as_ref().is_none_or(|held| sequence(held) <= sequence(&answer.receipt)) {
            device.receipt = Some(answer.receipt.clone());
        }
    }
}
