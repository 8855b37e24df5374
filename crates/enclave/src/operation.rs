//! One request from admission to answer: charge, anchor, open, policy, sign, settle, anchor, reply.
//!
//! Admission refuses without a charge. From the charge on there are two writes of one size, whatever the PIN, and the same
//! work: a wrong PIN opens a decoy, does everything with it and throws it away.

use pinseal_chains::evm::{self, EvmPolicy, Prepared};
use pinseal_keys::{AccountPublic, WordCount};
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::Policy;
use pinseal_protocol::history::{Detail, Step};
use pinseal_protocol::ids::{DeploymentId, DeviceId, Hash32, UnixSeconds, UserIdHash, Version};
use pinseal_protocol::intent::{AccountIndex, Intent, Signed};
use pinseal_protocol::limits::DEVICES_MAX;
use pinseal_protocol::log::{Entry, Tree};
use pinseal_protocol::pin::{PinFactor, PinParameters};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{DeviceInfo, Outcome, Status, Tries};
use pinseal_protocol::request::{AddressStatement, Method, Request, SignedStatement, WalletState};
use pinseal_protocol::wire::Header;

use crate::breaker::{Gate, Moved};
use crate::environment::Environment;
use crate::guard::{Caller, Guard};
use crate::history;
use crate::ledger::RecordEntry;
use crate::planted::{self, Defect};
use crate::record::{self, Device, Inner, Pending, Record};
use crate::root::Keys;
use crate::serving::wallet_state;
use crate::unlock::{Place, Seed, UnlockError, unlock};

/// What an operation reads of its surroundings.
pub(crate) struct Settings<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) policy_hash: Hash32,
    pub(crate) policy: Policy,
    pub(crate) deployment: DeploymentId,
    /// What the host says the time is.
    pub(crate) now: UnixSeconds,
    /// The clock of delays: only moves forward, whatever the host's does.
    pub(crate) ticks: UnixSeconds,
    /// How often the operators have put an older state back.
    pub(crate) restores: u32,
    /// Whether a device that is not enrolled may have a PIN tested.
    pub(crate) gate: Gate,
}

/// What becomes of a request at the door.
pub(crate) enum Admission {
    /// Refused, nothing charged.
    Refused(Refusal, Option<Tries>),
    /// Nothing is written. The answer leaves once a batch that is made from now on is anchored: an enclave that another one has taken the place
    /// of tells nobody how things stood before.
    Read(Read),
    /// The charge (or the new wallet) is to be anchored first.
    Write(Box<Operation>, RecordEntry),
}

/// What was read of a wallet. Nobody writes to the wallet until it is told, so it is true of the checkpoint that comes with it as well.
pub(crate) struct Read {
    pub(crate) wallet: UserIdHash,
    pub(crate) outcome: Outcome,
    pub(crate) tries: Option<Tries>,
}

/// A request under way.
pub(crate) struct Operation {
    method: Method,
    wallet: UserIdHash,
    device: DeviceId,
    caller: Caller,
    record: Record,
    header: Header,
    /// Strangers' tries in the record as it was last written.
    strangers: u8,
    stage: Stage,
}

enum Stage {
    /// The charge is being anchored; then the PIN is tested.
    Charging { request: Request, prepared: Vec<Prepared>, next: PinParameters },
    /// The last write is being anchored; then this is answered.
    Settling {
        outcome: Outcome,
        /// Tries after the charge: what is told if the settling write fails, the same for every PIN.
        charged: Option<Tries>,
    },
}

impl Operation {
    /// Everything that can be refused without a charge is refused here. `seen` is the log of the receipt that came with the request.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call, from the one place that has just established each of them"
    )]
    pub(crate) fn admit(
        request: Request,
        record: Option<Record>,
        wallet: UserIdHash,
        subject: Hash32,
        device: DeviceId,
        header: Option<Header>,
        next: PinParameters,
        seen: Option<&Tree>,
        settings: &Settings<'_>,
        environment: &mut dyn Environment,
    ) -> Admission {
        let read = |outcome, tries| Admission::Read(Read { wallet, outcome, tries });
        let registered = record.as_ref().is_some_and(|record| record.active.is_some());
        if let Request::RegisterPrepare { pin, words, label } = request {
            if registered {
                return Admission::Refused(Refusal::WalletExists, None);
            }
            let strangers = record.as_ref().map_or(0, |record| record.guard.strangers());
            let parts = NewWallet { pin, words, label, wallet, subject, device, header, strangers, next };
            return register_prepare(parts, settings, environment);
        }
        let (Some(mut record), Some(header)) = (record, header) else {
            return match request {
                Request::Status => read(Outcome::Status(missing_status()), None),
                _ => Admission::Refused(Refusal::WalletMissing, None),
            };
        };
        let (caller, strangers) = (record.caller(&device), record.guard.strangers());
        let tries = Some(record.tries(&device, settings));
        match check(&request, &record, caller, settings.ticks) {
            Ok(()) => {}
            Err(refusal) => return Admission::Refused(refusal, tries),
        }
        match &request {
            Request::Status => return read(Outcome::Status(status(&record, caller, settings.ticks)), tries),
            Request::ListAccounts { accounts } => {
                return match statements(accounts, &record, &wallet, settings) {
                    Some(statements) => read(Outcome::Accounts(statements), tries),
                    None => Admission::Refused(Refusal::RecordDamaged, tries),
                };
            }
            Request::OpenHistory { writes } => {
                return read(Outcome::History(history::open(settings.keys, &header, writes, seen)), tries);
            }
            Request::AcceptRestore { restores } => {
                if let Err(refusal) = accept_restore(*restores, &mut record, &device, settings) {
                    return Admission::Refused(refusal, tries);
                }
                let stage = Stage::Settling { outcome: Outcome::RestoreAccepted, charged: None };
                let method = request.method();
                let operation = Self { method, wallet, device, caller, record, header, strangers, stage };
                return operation.begin(Step::Accepted, tries, settings, environment);
            }
            _ => {}
        }
        if let Err(refusal) = record.take_accepted_try(&device, settings.restores) {
            return Admission::Refused(refusal, tries);
        }
        if let Err(refusal) = record.guard.admit(caller, settings.ticks) {
            return Admission::Refused(refusal, tries);
        }
        if let Err(refusal) = pass(settings.gate, caller) {
            return Admission::Refused(refusal, tries);
        }
        let prepared = match prepare(&request, settings.policy) {
            Ok(prepared) => prepared,
            Err(refusal) => return Admission::Refused(refusal, tries),
        };
        if planted::is(Defect::CheckBeforeCharge) && planted::is_wrong(&request, &record, &wallet) {
            return read(Outcome::WrongPin, tries);
        }
        let method = request.method();
        let stage = Stage::Charging { request, prepared, next };
        let mut operation = Self { method, wallet, device, caller, record, header, strangers, stage };
        operation.record.guard.charge(caller, settings.ticks);
        operation.begin(Step::Charged, tries, settings, environment)
    }

    /// Admitted with its first write; refused if the record cannot be written any more.
    fn begin(
        mut self,
        step: Step,
        tries: Option<Tries>,
        settings: &Settings<'_>,
        environment: &mut dyn Environment,
    ) -> Admission {
        match self.write(step, settings, environment) {
            Some(write) => Admission::Write(Box::new(self), write),
            None => Admission::Refused(Refusal::RecordExhausted, tries),
        }
    }

    /// The wallet this operation holds.
    pub(crate) const fn wallet(&self) -> UserIdHash {
        self.wallet
    }

    /// Who asked.
    pub(crate) const fn device(&self) -> DeviceId {
        self.device
    }

    /// What was asked.
    pub(crate) const fn method(&self) -> Method {
        self.method
    }

    /// The record as this operation leaves it. Where its last write was not stored, guard and seals are ahead of what is; a caller takes
    /// nothing else than PIN parameters and devices from it, which such an operation must not change.
    pub(crate) const fn record(&self) -> &Record {
        &self.record
    }

    /// The last write is anchored: what is to be done next. `None` means answer.
    pub(crate) fn step(&mut self, settings: &Settings<'_>, environment: &mut dyn Environment) -> Option<RecordEntry> {
        let charged = Some(self.record.tries(&self.device, settings));
        let stage = core::mem::replace(&mut self.stage, Stage::Settling { outcome: Outcome::ServiceFault, charged });
        let Stage::Charging { request, prepared, next } = stage else {
            self.stage = stage;
            return None;
        };
        let (outcome, step) = self.test(&request, &prepared, next, settings, environment);
        let skips = planted::is(Defect::WriteOnlyOnFailure) && step == Step::Right;
        self.stage = Stage::Settling { outcome, charged };
        if skips {
            return None;
        }
        // A record that cannot be written any more leaves the charge standing and the outcome a service fault.
        let write = self.write(step, settings, environment);
        if write.is_none() {
            self.stage = Stage::Settling { outcome: Outcome::ServiceFault, charged };
        }
        write
    }

    /// The answer, once the last write is anchored.
    pub(crate) fn finish(&mut self, settings: &Settings<'_>) -> (Outcome, Option<Tries>) {
        let tries = Some(self.record.tries(&self.device, settings));
        match core::mem::replace(&mut self.stage, Stage::Settling { outcome: Outcome::ServiceFault, charged: None }) {
            // The record may have been changed by a verdict that is not told.
            Stage::Settling { outcome: Outcome::ServiceFault, charged } => (Outcome::ServiceFault, charged),
            Stage::Settling { outcome, .. } => (outcome, tries),
            Stage::Charging { .. } => (Outcome::ServiceFault, tries),
        }
    }

    /// The batch was not stored: before the PIN was tested nothing happened, after it the charge stands.
    pub(crate) fn abort(&self) -> (Outcome, Option<Tries>) {
        match self.stage {
            Stage::Settling { ref outcome, charged } if planted::is(Defect::AbortTellsVerdict) => {
                (outcome.clone(), charged)
            }
            Stage::Charging { .. } => (Outcome::Refused(Refusal::NotDurable), None),
            Stage::Settling { .. } if self.method.writes() == 1 => (Outcome::Refused(Refusal::NotDurable), None),
            Stage::Settling { charged, .. } => (Outcome::ServiceFault, charged),
        }
    }

    /// Seals the record as it stands and books the write.
    fn write(&mut self, step: Step, settings: &Settings<'_>, environment: &mut dyn Environment) -> Option<RecordEntry> {
        // Version 0 was never written: a new wallet follows nothing.
        let previous = Some(&self.header).filter(|header| header.version > Version(0));
        let sealed =
            record::seal(&self.record, &self.wallet, previous, settings.policy_hash, settings.keys, environment)?;
        self.header = sealed.header;
        let strangers = self.record.guard.strangers();
        let moved = Moved::between(core::mem::replace(&mut self.strangers, strangers), strangers);
        let detail = Detail { step, method: self.method, time: settings.now, device: self.device };
        let detail = history::seal(settings.keys, &self.header, &detail);
        let entry =
            Entry::Record { wallet: self.wallet, version: self.header.version, outer: self.header.outer, detail };
        Some(RecordEntry { header: self.header, outer: sealed.outer, entry, moved })
    }

    /// Tests the PIN and does what was asked; a wrong PIN does the same with a decoy on a copy that is dropped.
    fn test(
        &mut self,
        request: &Request,
        prepared: &[Prepared],
        next: PinParameters,
        settings: &Settings<'_>,
        environment: &mut dyn Environment,
    ) -> (Outcome, Step) {
        let confirms = matches!(request, Request::RegisterConfirm { .. } | Request::ChangePinConfirm { .. });
        let pending = self.record.pending.as_ref().map(|pending| &pending.inner);
        let inner = if confirms { pending } else { self.record.active.as_ref() };
        let (Some(inner), Some(pin)) = (inner, request.tested_pin()) else {
            return (Outcome::ServiceFault, Step::Fault);
        };
        let opened = unlock(inner, pin, &self.wallet, &self.record.accounts);
        let (seed, public, right) = match opened {
            Ok(seed) => (seed, self.record.account_public(), true),
            Err(UnlockError::WrongPin) => (Seed::decoy(), Seed::decoy_public(), false),
            Err(UnlockError::Damaged) => return (Outcome::ServiceFault, Step::Fault),
        };
        let work = Work { operation: self, request, prepared, next, settings, public };
        let performed = work.perform(&seed, inner, pin, environment);
        match (right, performed) {
            (true, Some(done)) => (done.apply(&mut self.record, settings.restores), Step::Right),
            (true, None) => (Outcome::ServiceFault, Step::Fault),
            (false, Some(done)) if planted::is(Defect::WrongPinReseals) => {
                self.record.active = Some(done.active);
                self.record.guard.fail();
                (Outcome::WrongPin, Step::Wrong)
            }
            (false, _) => {
                if confirms {
                    self.record.guard.fail_pending();
                } else {
                    self.record.guard.fail();
                }
                planted::take_accepted_try(&mut self.record, &self.device);
                let told = if planted::is(Defect::WrongPinToldAsRight) { Step::Right } else { Step::Wrong };
                (Outcome::WrongPin, told)
            }
        }
    }
}

/// The work that follows an opened seed; takes nothing but references, so that a decoy's leaves no trace.
struct Work<'a> {
    operation: &'a Operation,
    request: &'a Request,
    prepared: &'a [Prepared],
    next: PinParameters,
    settings: &'a Settings<'a>,
    /// The public half of the seed's branch.
    public: Option<AccountPublic>,
}

/// What a right PIN changes in the record.
struct Done {
    outcome: Outcome,
    active: Inner,
    pending: PendingChange,
    devices: DeviceChange,
    guard: Guard,
}

enum PendingChange {
    Keep,
    Drop,
    Set(Pending),
}

enum DeviceChange {
    Keep,
    Enrol(Device),
    Revoke(usize),
}

impl Done {
    fn apply(self, record: &mut Record, restores: u32) -> Outcome {
        let was_closed = record.restores < restores;
        record.restores = restores;
        record.active = Some(self.active);
        match self.pending {
            PendingChange::Keep => {}
            PendingChange::Drop => record.pending = None,
            PendingChange::Set(pending) => record.pending = Some(pending),
        }
        match self.devices {
            DeviceChange::Keep => {}
            DeviceChange::Enrol(device) => record.devices.push(device),
            DeviceChange::Revoke(place) => {
                record.devices.remove(place);
            }
        }
        record.guard = self.guard;
        // Whoever clears the tries with the PIN means those of strangers, too.
        let is_cleared = matches!(self.outcome, Outcome::TriesCleared);
        if was_closed && !is_cleared && !planted::is(Defect::StrangersNotForgotten) {
            record.guard.forget();
        }
        self.outcome
    }
}

impl Work<'_> {
    /// `None` if the machine failed; the charge then stands.
    fn perform(&self, seed: &Seed, inner: &Inner, pin: &PinFactor, environment: &mut dyn Environment) -> Option<Done> {
        let Operation { record, wallet, caller, .. } = self.operation;
        let place = |generation| Place { wallet, generation, accounts: &record.accounts };
        let mut done = Done {
            outcome: Outcome::PinVerified,
            active: seed.seal(pin, &place(inner.generation), inner.parameters, environment),
            pending: PendingChange::Keep,
            devices: DeviceChange::Keep,
            guard: record.guard.clone(),
        };
        match self.request {
            Request::ChangePinPrepare { .. } if !planted::is(Defect::PrepareGivesBack) => done.guard.refund(*caller),
            _ => done.guard.succeed(*caller),
        }
        match self.request {
            Request::VerifyPin { .. } => {}
            Request::Sign { .. } => done.outcome = Outcome::Signed(self.sign(seed)?),
            Request::RegisterConfirm { .. } => {
                let first = AccountIndex::default();
                let statement = statements(&[first], record, wallet, self.settings)?.pop()?;
                done.pending = PendingChange::Drop;
                done.guard.renew_pin();
                done.outcome = Outcome::Registered(statement);
            }
            Request::ChangePinPrepare { new_pin, .. } => {
                let generation = inner.generation.checked_add(1)?;
                let inner = seed.seal(new_pin, &place(generation), self.next, environment);
                done.pending = PendingChange::Set(Pending { inner, since: self.settings.ticks });
                done.guard.begin_pending();
                done.outcome = Outcome::Prepared;
            }
            Request::ChangePinConfirm { .. } => {
                done.pending = PendingChange::Drop;
                done.guard.renew_pin();
                done.outcome = Outcome::PinChanged;
            }
            Request::EnrolDevice { label, .. } => {
                let device = Device::new(self.operation.device, label.clone(), self.settings.now);
                done.devices = DeviceChange::Enrol(device);
                done.guard.enrol();
                done.outcome = Outcome::DeviceEnrolled;
            }
            Request::RevokeDevice { device, .. } => {
                let Caller::Enrolled(place) = record.caller(device) else { return None };
                done.devices = DeviceChange::Revoke(place);
                done.guard.revoke(place);
                done.outcome = Outcome::DeviceRevoked;
            }
            Request::ClearTries { .. } => {
                done.guard.clear();
                done.outcome = Outcome::TriesCleared;
            }
            Request::RegisterPrepare { .. }
            | Request::Status
            | Request::ListAccounts { .. }
            | Request::OpenHistory { .. }
            | Request::AcceptRestore { .. } => return None,
        }
        Some(done)
    }

    fn sign(&self, seed: &Seed) -> Option<Vec<Signed>> {
        let (master, public) = (seed.master()?, self.public.as_ref()?);
        let sign = |prepared: &Prepared| {
            let signature = master.sign(prepared.account().value(), &prepared.digest(), public).ok()?;
            Some(prepared.finish(&signature))
        };
        self.prepared.iter().map(sign).collect()
    }
}

/// Whether this caller may ask this of this wallet; costs nothing.
fn check(request: &Request, record: &Record, caller: Caller, ticks: UnixSeconds) -> Result<(), Refusal> {
    let enrolled = caller != Caller::Unenrolled;
    let active = record.active.is_some();
    match request {
        Request::Status | Request::AcceptRestore { .. } => Ok(()),
        Request::RegisterConfirm { .. } if active => Err(Refusal::WalletExists),
        // Another device prepared the wallet anew: what this one prepared is gone.
        Request::RegisterConfirm { .. } => {
            if enrolled {
                Ok(())
            } else {
                Err(Refusal::NothingPending)
            }
        }
        _ if !active => Err(Refusal::WalletMissing),
        Request::ListAccounts { .. } => Ok(()),
        Request::EnrolDevice { .. } if enrolled => Err(Refusal::DeviceEnrolled),
        Request::EnrolDevice { .. } if record.devices.len() >= DEVICES_MAX => Err(Refusal::DevicesFull),
        Request::EnrolDevice { .. } => Ok(()),
        Request::Sign { .. } if planted::is(Defect::UnenrolledMaySign) => Ok(()),
        _ if !enrolled => Err(Refusal::DeviceNotEnrolled),
        Request::ChangePinConfirm { .. } if record.pending_at(ticks).is_none() => Err(Refusal::NothingPending),
        Request::RevokeDevice { device, .. } if record.caller(device) == Caller::Unenrolled => {
            Err(Refusal::DeviceUnknown)
        }
        Request::RevokeDevice { .. } if record.devices.len() == 1 => Err(Refusal::LastDevice),
        Request::ClearTries { .. } if !record.guard.may_clear() => Err(Refusal::PinSpent),
        _ => Ok(()),
    }
}

/// Whether the breaker lets this caller have a PIN tested; enrolled devices it does not concern.
fn pass(gate: Gate, caller: Caller) -> Result<(), Refusal> {
    match gate {
        _ if caller != Caller::Unenrolled && !planted::is(Defect::BreakerStopsEnrolled) => Ok(()),
        Gate::Open => Ok(()),
        Gate::Full => Err(Refusal::Overloaded),
        Gate::Tripped => Err(Refusal::EnrolmentPaused),
    }
}

/// Parses every intent and applies the policy, before anything is charged.
fn prepare(request: &Request, policy: Policy) -> Result<Vec<Prepared>, Refusal> {
    let Request::Sign { intents, .. } = request else { return Ok(Vec::new()) };
    let policy = EvmPolicy { allow_any_chain_authorization: policy.any_chain_authorization };
    let prepare = |intent: &Intent| {
        evm::prepare(intent, policy).map_err(|error| match error {
            evm::IntentError::AnyChainNotAllowed => Refusal::PolicyDenied,
            _ => Refusal::IntentInvalid,
        })
    };
    intents.iter().map(prepare).collect()
}

/// Everything a new wallet is made of.
struct NewWallet {
    pin: PinFactor,
    words: u8,
    label: String,
    wallet: UserIdHash,
    subject: Hash32,
    device: DeviceId,
    header: Option<Header>,
    /// Strangers' tries in the record it replaces.
    strangers: u8,
    next: PinParameters,
}

/// Makes the wallet; a prepared one that was never confirmed is replaced, seed and all, since nobody was shown its address.
fn register_prepare(new: NewWallet, settings: &Settings<'_>, environment: &mut dyn Environment) -> Admission {
    let words = if new.words == 12 { WordCount::Twelve } else { WordCount::TwentyFour };
    let seed = Seed::generate(words, environment);
    let Some((seed, master)) = seed.and_then(|seed| seed.master().map(|master| (seed, master))) else {
        return Admission::Refused(Refusal::RecordExhausted, None);
    };
    let accounts = master.account_public().to_bytes().to_vec();
    let place = Place { wallet: &new.wallet, generation: 1, accounts: &accounts };
    let inner = seed.seal(&new.pin, &place, new.next, environment);
    let mut guard = Guard::default();
    guard.enrol();
    let record = Record {
        subject: new.subject,
        active: None,
        pending: Some(Pending { inner, since: settings.ticks }),
        accounts: accounts.into(),
        devices: vec![Device::new(new.device, new.label, settings.now)],
        guard,
        restores: settings.restores,
    };
    let header = new.header.unwrap_or(Header { wallet: new.wallet, version: Version(0), outer: Hash32([0; 32]) });
    let operation = Operation {
        method: Method::RegisterPrepare,
        wallet: new.wallet,
        device: new.device,
        caller: Caller::Enrolled(0),
        record,
        header,
        strangers: new.strangers,
        stage: Stage::Settling { outcome: Outcome::Prepared, charged: None },
    };
    operation.begin(Step::Prepared, None, settings, environment)
}

/// Takes the acceptance down in the record, if it is for the restore that stands.
fn accept_restore(
    restores: u32,
    record: &mut Record,
    device: &DeviceId,
    settings: &Settings<'_>,
) -> Result<(), Refusal> {
    if restores != settings.restores && !planted::is(Defect::AcceptanceOfAnyRestore) {
        return Err(Refusal::StateRestored);
    }
    if restores == 0 {
        return Err(Refusal::NothingPending);
    }
    record.accept_restore(device, restores)
}

/// Signed statements for the addresses asked for.
fn statements(
    accounts: &[AccountIndex],
    record: &Record,
    wallet: &UserIdHash,
    settings: &Settings<'_>,
) -> Option<Vec<SignedStatement>> {
    let public = record.account_public()?;
    let statement = |account: &AccountIndex| {
        let address = evm::address(&public.child(account.value()).ok()?);
        let statement = cbor::to_vec(&AddressStatement {
            deployment: settings.deployment,
            wallet: *wallet,
            path: account.path(),
            network: "eip155".into(),
            address: address.0.to_vec().into(),
        });
        let signature = settings.keys.sign_log(&AddressStatement::signed_bytes(&statement));
        Some(SignedStatement { statement: statement.into(), signature: signature.to_vec().into() })
    };
    accounts.iter().map(statement).collect()
}

fn status(record: &Record, caller: Caller, ticks: UnixSeconds) -> Status {
    let enrolled = caller != Caller::Unenrolled;
    let device = |(place, device): (usize, &Device)| DeviceInfo {
        device: device.device,
        label: device.label.clone(),
        enrolled: device.enrolled,
        outstanding: record.guard.device_outstanding(place),
    };
    Status {
        state: wallet_state(Some(record)),
        enrolled,
        change_pending: record.active.is_some() && record.pending_at(ticks).is_some(),
        devices: if enrolled { record.devices.iter().enumerate().map(device).collect() } else { Vec::new() },
        unenrolled_outstanding: record.guard.unenrolled_outstanding(),
        outstanding: record.guard.outstanding(),
    }
}

const fn missing_status() -> Status {
    Status {
        state: WalletState::Missing,
        enrolled: false,
        change_pending: false,
        devices: Vec::new(),
        unenrolled_outstanding: 0,
        outstanding: 0,
    }
}

#[cfg(all(test, feature = "constant-time-check"))]
mod constant_time;
