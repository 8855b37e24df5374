//! People's devices, honest and invented: they begin, seal for real, and keep the receipts they are given.

use std::sync::Arc;

use pinseal_fuzzing::harness::device::{PIN, factor};
use pinseal_fuzzing::harness::host::access_token;
use pinseal_fuzzing::harness::keys;
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::intent::{AccountIndex, Intent};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{BeginReply, Method, Request};
use pinseal_protocol::wire::{Begun, CallId, ToEnclave};

use crate::anchor::restores;
use crate::books::Change;
use crate::instance::Call;
use crate::lines::step_sequence;
use crate::tenure::Tenure;
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
    /// What the log would say, had it been written.
    Lost,
    /// The restore that stands accepted, or one this many later.
    Accept(u8),
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
            Self::History | Self::Lost => Method::OpenHistory,
            Self::Accept(_) => Method::AcceptRestore,
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
    pub(crate) fn mint(&mut self, at: usize, device: usize, now: u64) -> String {
        let tenure = self.instances[at].as_deref().map_or(self.current, |instance| instance.tenure);
        let Tenure { configuration, shape, .. } = &self.tenures[tenure];
        let (key, devices) = (shape.issuer_key(), &self.devices);
        let mint = || {
            let device = &devices[device];
            access_token(configuration, keys::key(key), device.user, &device.id(), now)
        };
        self.minted.entry((device, now, key)).or_insert_with(mint).clone()
    }

    /// Begins with an adversary's host. `None` if the enclave refuses.
    pub(crate) fn begin(&mut self, at: usize, plan: Plan) -> Result<Option<BeginReply>, Violation> {
        let Some(instance) = self.instance(at) else { return Ok(None) };
        let (now, mut outer) = (instance.now, None);
        let access_token = self.mint(at, plan.device, now);
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
        &mut self,
        at: usize,
        plan: Plan,
        signed: &pinseal_protocol::request::SignedBeginReply,
    ) -> Option<BeginReply> {
        let manifest = self.instances[at].as_deref()?.manifest.as_ref()?;
        let (floor, shown) = (manifest.floor, restores(&manifest.checkpoint));
        let id = self.devices[plan.device].id();
        let begin = signed.verify(&manifest.boot, &manifest.hash(), &id, plan.what.method()).ok()?;
        // A thief's program checks nothing of what follows.
        if plan.right && plan.heard {
            let held = self.devices[plan.device].receipt.as_deref().map_or(shown, restores);
            if held > shown || self.floors[plan.device].is_some_and(|promised| floor < promised) {
                self.say(|| "the client refuses a state from before what it has seen".to_owned());
                return None;
            }
            if held < shown && !matches!(plan.what, What::Accept(_)) {
                self.say(|| "the client tells of the restore, and asks for nothing before that is accepted".to_owned());
                return None;
            }
            self.floors[plan.device] = self.floors[plan.device].max(Some(floor));
        }
        Some(begin)
    }

    /// Whether a device has not agreed yet to the restore that the enclave shows.
    pub(crate) fn is_behind(&self, at: usize, device: usize) -> bool {
        self.devices[device].receipt.as_deref().is_some_and(|held| restores(held) < self.shown_restores(at))
    }

    /// Seals; the number of the request.
    pub(crate) fn seal(&mut self, at: usize, plan: Plan, begin: &BeginReply) -> Option<usize> {
        let now = self.instances[at].as_deref()?.now;
        let token = self.mint(at, plan.device, now);
        let instance = self.instances[at].as_deref()?;
        let begun_at = instance.records.get(&begin.wallet).map_or(0, |(header, _)| header.version.0);
        let manifest = instance.manifest.clone()?;
        let (request, pin, change) = self.request(at, plan, begin);
        let accepts = if let Request::AcceptRestore { restores } = request { Some(restores) } else { None };
        let device = &mut self.devices[plan.device];
        let header = device.header(&manifest, begin, &token);
        let body = device.body(&token, request);
        let sealed = device.seal(&manifest, begin, header, &body)?;
        let (key, user, receipt) = (device.key, device.user, device.receipt.clone());
        let tip = self.lines[self.line(at)].tip.clone();
        self.wallets.insert(begin.wallet, user);
        self.asked.push(Asked {
            device: plan.device,
            key,
            user,
            method: plan.what.method(),
            pin,
            change,
            accepts,
            sealed: Arc::new(sealed),
            receipt,
            tip,
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

    fn request(&self, at: usize, plan: Plan, begin: &BeginReply) -> (Request, Option<u8>, Change) {
        let device = &self.devices[plan.device];
        let standing = self.standing(at, device.user).cloned().unwrap_or_default();
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
                let request = Request::OpenHistory { writes: self.logged(&begin.wallet, device.seen()) };
                return (request, None, Change::Nothing);
            }
            What::Lost => {
                let request = Request::OpenHistory { writes: self.lost(&begin.wallet) };
                return (request, None, Change::Nothing);
            }
            What::Accept(ahead) => {
                let restores = self.shown_restores(at) + u32::from(ahead);
                return (Request::AcceptRestore { restores }, None, Change::Nothing);
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

    /// The restore that the enclave at this place shows its clients, 0 for none.
    pub(crate) fn shown_restores(&self, at: usize) -> u32 {
        let manifest = self.instances[at].as_deref().and_then(|instance| instance.manifest.as_ref());
        manifest.map_or(0, |manifest| restores(&manifest.checkpoint))
    }

    /// The reply reached the device: a client keeps the newest receipt, and none of a refusal. Whose wallet a restore does not know takes
    /// the restored log as its own when it accepts.
    pub(crate) fn hear(&mut self, at: usize, request: usize) {
        let asked = &self.asked[request];
        let Some(answer) = &asked.answer else { return };
        let shown = match &answer.outcome {
            Outcome::Refused(Refusal::WalletMissing | Refusal::DeviceNotEnrolled)
                if asked.method == Method::AcceptRestore =>
            {
                let manifest = self.instances[at].as_deref().and_then(|instance| instance.manifest.as_ref());
                let Some(manifest) = manifest else { return };
                manifest.checkpoint.to_vec()
            }
            Outcome::Refused(_) => return,
            _ => answer.receipt.clone(),
        };
        let order = |note: &[u8]| (restores(note), step_sequence(note));
        let device = &mut self.devices[asked.device];
        if device.receipt.as_ref().is_none_or(|held| order(held) <= order(&shown)) {
            device.receipt = Some(shown);
        }
    }
}
