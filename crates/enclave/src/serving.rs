//! Serving: begin, sealed requests, batches. One operation per wallet at a time.

use core::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use minicbor::bytes::ByteVec;
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::envelope::{BootKey, EnvelopeError, Opened};
use pinseal_protocol::ids::{DeviceId, Hash32, Measurement, Nonce, UnixSeconds, UserIdHash, Version};
use pinseal_protocol::limits::{IN_FLIGHT_BYTES_MAX, IN_FLIGHT_MAX, PENDING_SECONDS_MAX, PROOF_HASHES_MAX};
use pinseal_protocol::log::{Consistency, Entry, Tree};
use pinseal_protocol::manifest::{Ed25519Public, MANIFEST_VERSION, Manifest, boot_keys_hash, hash_of};
use pinseal_protocol::pin::PinParameters;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Next, Outcome, Reply, Tries};
use pinseal_protocol::request::{
    BeginReply, Body, Method, REQUEST_VERSION, Request, SealedRequest, SignedBeginReply, WalletState,
};
use pinseal_protocol::token::{AccessClaims, TokenError, read_access, token_hash};
use pinseal_protocol::tpm::TpmNonce;
use pinseal_protocol::verified::Verified;
use pinseal_protocol::wire::{BatchId, Begun, CallId, FromEnclave, Halt, Header, ToEnclave};

use crate::boot::Booted;
use crate::challenge::{Binding, ChallengeError, Challenges};
use crate::enclave::Stop;
use crate::environment::{Environment, random, secret_random};
use crate::guard::Caller;
use crate::ledger::{Content, Ledger, Settled, Signer, Write};
use crate::operation::{Admission, Operation, Read, Settings};
use crate::planted::{self, Defect};
use crate::receipt;
use crate::record::{self, OpenError, Record, subject_hash};
use crate::root::{self, Keys};
use crate::waiting::{Answer, Waiting, Work};

/// Verified access tokens remembered until they expire, about 200 bytes each.
const TOKENS_CACHED_MAX: usize = 65_536;
/// The call that the BOOT entry is booked under; the host counts its own from 1.
pub(crate) const BOOT_CALL: CallId = CallId(0);

/// The serving phase.
pub(crate) struct Serving {
    configuration: Configuration,
    policy: Hash32,
    keys: Keys,
    ledger: Ledger,
    measurement: Measurement,
    boot_key: BootKey,
    signing: Ed25519KeyPair,
    challenges: Challenges,
    /// Boxed: what lies in the map's slots is a pointer, never a secret.
    waiting: HashMap<CallId, Box<Waiting>>,
    in_flight_bytes: usize,
    busy: HashSet<UserIdHash>,
    tokens: Verified<Login>,
    /// What the host says the time is; it may jump, and comes back when the host's clock does.
    now: UnixSeconds,
    /// The clock of delays, anchored: only moves forward, by what the host's clock moved forward. A jump ends delays early and
    /// otherwise harms nobody.
    ticks: UnixSeconds,
    /// Present once the BOOT entry is anchored.
    manifest: Option<Ready>,
}

/// A committed manifest.
struct Ready {
    hash: Hash32,
}

/// Who a verified access token speaks for.
#[derive(Clone, Copy)]
struct Login {
    wallet: UserIdHash,
    subject: Hash32,
    device: DeviceId,
    expires: u64,
}

impl Login {
    const fn is_current(&self, now: UnixSeconds) -> bool {
        now.0 < self.expires
    }
}

impl Serving {
    /// Makes the boot keys and asks for the BOOT entry to be anchored; nothing is served before that.
    pub(crate) fn start(
        booted: Booted,
        measurement: Measurement,
        environment: &mut dyn Environment,
        out: &mut Vec<FromEnclave>,
    ) -> Self {
        let boot_key = BootKey::derive(&secret_random(environment));
        let seed = secret_random::<32>(environment);
        let signing =
            Ed25519KeyPair::from_seed_unchecked(seed.expose_secret()).expect("every 32 bytes are an Ed25519 seed");
        let mut serving = Self {
            policy: booted.configuration.policy.hash(),
            configuration: booted.configuration,
            keys: booted.keys,
            ledger: Ledger::new(booted.wallets, booted.state, booted.nonce),
            measurement,
            boot_key,
            signing,
            challenges: Challenges::new(secret_random(environment)),
            waiting: HashMap::new(),
            in_flight_bytes: 0,
            busy: HashSet::new(),
            tokens: Verified::new(TOKENS_CACHED_MAX),
            now: booted.now,
            ticks: booted.ticks,
            manifest: None,
        };
        let entry = Entry::Boot {
            nonce: Nonce(random(environment)),
            keys: boot_keys_hash(&serving.boot_key.public(), &serving.boot_public()),
            configuration: serving.configuration.hash(),
            time: serving.now,
        };
        serving.ledger.enqueue(Write { call: BOOT_CALL, content: Content::Event(entry) });
        if planted::is(Defect::ServesBeforeBootAnchored) {
            serving.publish_manifest(out);
        }
        serving.send_batch(environment, out);
        serving
    }

    /// True where the receipts that charges wait for are made by the host itself.
    pub(crate) const fn rests_on_host(&self) -> bool {
        matches!(self.configuration.anchor, AnchorLevel::L0 | AnchorLevel::L1)
    }

    /// One message of the host.
    pub(crate) fn step(
        &mut self,
        event: ToEnclave,
        environment: &mut dyn Environment,
        out: &mut Vec<FromEnclave>,
    ) -> Result<(), Stop> {
        match event {
            ToEnclave::Committed { batch, receipt, nonce } => {
                self.committed(batch, &receipt, nonce, environment, out)?;
            }
            ToEnclave::Aborted { batch } => self.aborted(batch, out)?,
            _ if self.manifest.is_none() => {
                return Err(Stop::new(Halt::Protocol, "request before the boot is anchored"));
            }
            ToEnclave::Begin { call, time, access_token, method, outer } => {
                self.tell_time(time);
                let begun =
                    self.begin(access_token.expose_secret(), method, outer.as_ref().map(|outer| outer.as_slice()));
                out.push(FromEnclave::Begun { call, begun });
            }
            ToEnclave::Sealed { call, time, request, outer, consistency } => {
                self.tell_time(time);
                self.sealed(
                    call,
                    &request,
                    outer.as_ref().map(|outer| outer.as_slice()),
                    consistency.as_ref(),
                    environment,
                    out,
                )?;
            }
            ToEnclave::Evidence { call, nonce, time } => {
                self.tell_time(time);
                let hash = self.manifest.as_ref().map_or(Hash32([0; 32]), |ready| ready.hash);
                let document = pinseal_attestation::produce::software(self.measurement, hash, nonce, self.now);
                out.push(FromEnclave::Evidence { call, document: document.into() });
            }
            _ => return Err(Stop::new(Halt::Protocol, "message out of order")),
        }
        self.send_batch(environment, out);
        Ok(())
    }

    fn tell_time(&mut self, time: UnixSeconds) {
        // No duration measured in ticks is longer than a day: a larger step would only bring the counter's end nearer.
        let passed = time.0.saturating_sub(self.now.0).min(PENDING_SECONDS_MAX);
        self.ticks = UnixSeconds(self.ticks.0.saturating_add(passed));
        self.now = time;
    }

    fn send_batch(&mut self, environment: &mut dyn Environment, out: &mut Vec<FromEnclave>) {
        let (now, ticks) = (self.now, self.ticks);
        let signer = Signer { keys: &self.keys, configuration: &self.configuration, now, ticks };
        if let Some(batch) = self.ledger.next_batch(&signer, environment) {
            out.push(FromEnclave::Commit(batch));
        }
    }

    fn begin(&mut self, access_token: &str, method: Method, outer: Option<&[u8]>) -> Begun {
        let login = match self.login(access_token) {
            Ok(login) if login.is_current(self.now) => login,
            Ok(_) => return Begun::Refused(Refusal::TokenExpired),
            Err(refusal) => return Begun::Refused(refusal),
        };
        let record = match (self.ledger.wallet(&login.wallet), outer) {
            (None, _) => None,
            (Some(_), None) => return Begun::NeedsRecord(login.wallet),
            (Some(header), Some(outer)) => match self.open_record(outer, &header, &login) {
                Ok(record) => Some(record),
                Err(refusal) => return Begun::Refused(refusal),
            },
        };
        let binding = self.binding(&login, method);
        let Next { challenge, state, enrolled, current, pending, next } = self.offer(&binding, record.as_ref());
        let reply = BeginReply {
            manifest: self.manifest.as_ref().map_or(Hash32([0; 32]), |ready| ready.hash),
            wallet: login.wallet,
            device: login.device,
            method,
            challenge,
            state,
            enrolled,
            current,
            pending,
            next,
            time: self.now,
        };
        let encoded = cbor::to_vec(&reply);
        let signature = root::signature(&self.signing, &BeginReply::signed_bytes(&encoded));
        let signed = SignedBeginReply { reply: encoded.into(), signature: signature.to_vec().into() };
        Begun::Reply(login.wallet, signed)
    }

    /// A challenge, and what the caller needs to know of its record to seal a request under it.
    fn offer(&mut self, binding: &Binding, record: Option<&Record>) -> Next {
        let (challenge, salt) = self.challenges.issue(binding, self.now);
        Next {
            challenge: challenge.into(),
            state: wallet_state(record),
            enrolled: record.is_some_and(|record| record.caller(&binding.device) != Caller::Unenrolled),
            current: record.and_then(|record| record.active.as_ref()).map(|inner| inner.parameters),
            pending: record.and_then(|record| record.pending_at(self.ticks)).map(|inner| inner.parameters),
            next: PinParameters { salt, argon2: self.configuration.argon2 },
        }
    }

    /// What the caller may seal its next request under, where the method has that: for the version that stands now, so that of this
    /// challenge and of those that `begin` gives out meanwhile at most one is ever decided. A refused request gets none.
    fn next(&mut self, operation: &Operation, outcome: &Outcome) -> Option<Next> {
        if !operation.method().continues() || matches!(outcome, Outcome::Refused(_)) {
            return None;
        }
        let binding = self.bound(operation.wallet(), operation.device(), operation.method());
        Some(self.offer(&binding, Some(operation.record())))
    }

    /// Opens one sealed request; what is wrong with the envelope is refused in clear, everything after in a sealed reply.
    fn sealed(
        &mut self,
        call: CallId,
        request: &SealedRequest,
        outer: Option<&[u8]>,
        consistency: Option<&Consistency>,
        environment: &mut dyn Environment,
        out: &mut Vec<FromEnclave>,
    ) -> Result<(), Stop> {
        if call == BOOT_CALL || self.waiting.contains_key(&call) {
            return Err(Stop::new(Halt::Protocol, "call id in use"));
        }
        let opened = match self.open_envelope(request) {
            Ok(opened) => opened,
            Err(refusal) => {
                out.push(FromEnclave::Refused { call, refusal });
                return Ok(());
            }
        };
        let Opened { body, reply: sealer } = opened;
        let answer = Answer { request: request.header.request, sealer };
        let admission = match self.admit(request, body, outer, consistency, environment) {
            Ok(admission) => admission,
            Err(Denied::Refused(refusal)) => Admission::Refused(refusal, None),
            Err(Denied::RolledBack(detail)) => {
                let outcome = Outcome::Refused(Refusal::StateRolledBack);
                out.push(self.sealed_reply(call, answer, outcome, None, None));
                return Err(Stop::new(Halt::RolledBack, detail));
            }
        };
        match admission {
            Admission::Refused(refusal, tries) => {
                out.push(self.sealed_reply(call, answer, Outcome::Refused(refusal), tries, None));
            }
            Admission::Read(Read { outcome, tries, .. }) if planted::is(Defect::ReadsNotFenced) => {
                out.push(self.sealed_reply(call, answer, outcome, tries, None));
            }
            Admission::Read(read) => self.hold(call, Work::Read(read), Content::Nothing, answer, request),
            Admission::Write(operation, write) => {
                self.hold(call, Work::Operation(operation), Content::Record(write), answer, request);
            }
        }
        Ok(())
    }

    /// Takes the wallet until a batch with `content` is anchored.
    fn hold(&mut self, call: CallId, work: Work, content: Content, reply: Answer, request: &SealedRequest) {
        let bytes = request.ciphertext.len();
        self.in_flight_bytes = self.in_flight_bytes.saturating_add(bytes);
        self.busy.insert(work.wallet());
        self.ledger.enqueue(Write { call, content });
        self.waiting.insert(call, Box::new(Waiting { work, reply, bytes }));
    }

    /// Everything between an opened envelope and an operation, in the order of docs/PROTOCOL.md; charges nothing by itself.
    fn admit(
        &mut self,
        request: &SealedRequest,
        body: Body,
        outer: Option<&[u8]>,
        consistency: Option<&Consistency>,
        environment: &mut dyn Environment,
    ) -> Result<Admission, Denied> {
        let login = self.authenticate(request, &body)?;
        // Used up here, whatever follows: a request that was answered once is never decided later.
        let binding = self.binding(&login, request.header.method);
        let accepted = self.challenges.accept(&request.header.challenge, &binding, self.now);
        if accepted == Err(ChallengeError::Used) {
            return Err(Refusal::AlreadyAnswered.into());
        }
        if !login.is_current(self.now) {
            return Err(Refusal::TokenExpired.into());
        }
        let open = accepted.map_err(|_| Refusal::ChallengeInvalid)?;
        let accepts = matches!(body.request, Request::AcceptRestore { .. });
        let seen = self.check_receipt(request.header.receipt_size, body.receipt.as_ref(), consistency, accepts)?;
        if self.busy.contains(&login.wallet) {
            return Err(Refusal::Busy.into());
        }
        let header = self.ledger.wallet(&login.wallet);
        let record = match (&header, outer) {
            (None, _) => None,
            (Some(_), None) => return Err(Refusal::RecordStale.into()),
            (Some(header), Some(outer)) => Some(self.open_record(outer, header, &login)?),
        };
        Ok(Operation::admit(
            body.request,
            record,
            login.wallet,
            login.subject,
            login.device,
            header,
            PinParameters { salt: open.next_salt, argon2: self.configuration.argon2 },
            seen.as_ref(),
            &self.settings(),
            environment,
        ))
    }

    fn open_envelope(&self, request: &SealedRequest) -> Result<Opened, Refusal> {
        let header = &request.header;
        if header.version != REQUEST_VERSION {
            return Err(Refusal::Malformed);
        }
        if self.manifest.as_ref().is_none_or(|ready| ready.hash != header.manifest) {
            return Err(Refusal::StaleManifest);
        }
        let bytes = self.in_flight_bytes.saturating_add(request.ciphertext.len());
        if self.waiting.len() >= IN_FLIGHT_MAX || bytes > IN_FLIGHT_BYTES_MAX {
            return Err(Refusal::Overloaded);
        }
        self.boot_key.open(request).map_err(|error| match error {
            EnvelopeError::Device => Refusal::DeviceInvalid,
            _ => Refusal::Malformed,
        })
    }

    /// Ties header, token, device key and request together.
    fn authenticate(&mut self, request: &SealedRequest, body: &Body) -> Result<Login, Refusal> {
        let header = &request.header;
        if body.request.method() != header.method || !body.request.is_within_bounds() {
            return Err(Refusal::Malformed);
        }
        if token_hash(body.access_token.expose_secret()) != header.token {
            return Err(Refusal::Malformed);
        }
        let login = self.login(body.access_token.expose_secret())?;
        if body.device_key.thumbprint() != header.device || login.device != header.device {
            return Err(Refusal::DeviceInvalid);
        }
        Ok(login)
    }

    /// Verifies an access token, or finds it among those verified before. Whether it has expired is for the caller to say.
    fn login(&mut self, access_token: &str) -> Result<Login, Refusal> {
        let hash = token_hash(access_token);
        if let Some(login) = self.tokens.find(&hash, self.now) {
            return Ok(login);
        }
        let mut verdict = Err(TokenError::Claims);
        for issuer in &self.configuration.issuers {
            verdict = read_access(access_token, &issuer.issuer, &issuer.audience, &issuer.key);
            if !matches!(verdict, Err(TokenError::Claims | TokenError::Signature)) {
                break;
            }
        }
        let claims: AccessClaims = verdict.map_err(|_| Refusal::TokenInvalid)?;
        let login = Login {
            wallet: self.keys.wallet(&claims.iss, &claims.sub),
            subject: subject_hash(&claims.iss, &claims.sub),
            device: claims.device().ok_or(Refusal::TokenInvalid)?,
            expires: claims.exp,
        };
        self.tokens.remember(hash, login.expires, login, self.now);
        Ok(login)
    }

    /// Checks that this state continues the one the client has seen: its log, if it has any entries and is of this restore.
    fn check_receipt(
        &self,
        size: u64,
        receipt: Option<&ByteVec>,
        consistency: Option<&Consistency>,
        accepts: bool,
    ) -> Result<Option<Tree>, Denied> {
        let Some(receipt) = receipt else {
            return if size == 0 { Ok(None) } else { Err(Denied::Refused(Refusal::Malformed)) };
        };
        if let Some(tree) = self.ledger.remembers(receipt, size) {
            return Ok(Some(tree));
        }
        if planted::is(Defect::ClientReceiptNotVerified) {
            return Ok(None);
        }
        let seen = Checkpoint::verify(receipt, &self.configuration.deployment, &self.keys.log_public())
            .map_err(|_| Denied::Refused(Refusal::Malformed))?;
        if seen.size != size {
            return Err(Denied::Refused(Refusal::Malformed));
        }
        // Signed here, and not anchored yet: a witness shows it to anybody before the host can tell of it, and it continues this state.
        if self.ledger.is_in_flight(receipt) {
            return Err(Denied::Refused(Refusal::ConsistencyMissing));
        }
        let current = self.ledger.committed().checkpoint;
        match seen.restores.cmp(&current.restores) {
            // What the device saw before a restore says nothing of the log after it: its owner accepts that, or asks for nothing.
            Ordering::Less if accepts || planted::is(Defect::RestoreNotTold) => return Ok(None),
            Ordering::Less => return Err(Denied::Refused(Refusal::StateRestored)),
            Ordering::Equal => {}
            Ordering::Greater if planted::is(Defect::LaterRestoreConvictsNobody) => return Ok(None),
            Ordering::Greater => {
                return Err(Denied::RolledBack(format!(
                    "a client has seen restore {}, this state is of restore {}: an older state was put back without an order",
                    seen.restores, current.restores
                )));
            }
        }
        if seen.size > current.size || seen.sequence > current.sequence {
            return Err(Denied::RolledBack(format!(
                "a client holds signed checkpoint {} ({} log entries), this state stands at {} ({}): an older state was put back",
                seen.sequence.0, seen.size, current.sequence.0, current.size
            )));
        }
        if seen.size == 0 {
            return Ok(None);
        }
        let tree = Tree { size: seen.size, root: seen.root };
        match self.ledger.root_at(seen.size) {
            Some(root) if root == seen.root => return Ok(Some(tree)),
            Some(_) => {
                return Err(Denied::RolledBack(format!(
                    "a client holds another signed history of {} log entries than this state: an older state was put back",
                    seen.size
                )));
            }
            None => {}
        }
        let proof = consistency
            .filter(|proof| proof.old_size == seen.size && proof.path.len() <= PROOF_HASHES_MAX)
            .ok_or(Denied::Refused(Refusal::ConsistencyMissing))?;
        let root = self.ledger.root_at(proof.new_size).ok_or(Denied::Refused(Refusal::ConsistencyMissing))?;
        if proof.verifies(&seen.root, &root) {
            return Ok(Some(tree));
        }
        if proof.convicts(&seen.root, &root) {
            return Err(Denied::RolledBack(format!(
                "a client holds a signed history of {} log entries that this state does not continue: an older state was put back",
                seen.size
            )));
        }
        // A bad proof shows a bad host, not yet a bad state: the host may have made it up.
        Err(Denied::Refused(Refusal::ConsistencyMissing))
    }

    fn open_record(&self, outer: &[u8], header: &Header, login: &Login) -> Result<Record, Refusal> {
        let record = record::open(outer, header, self.policy, &self.keys).map_err(|error| match error {
            OpenError::OtherVersion => Refusal::RecordStale,
            OpenError::Damaged => Refusal::RecordDamaged,
        })?;
        if record.subject == login.subject { Ok(record) } else { Err(Refusal::RecordDamaged) }
    }

    fn committed(
        &mut self,
        batch: BatchId,
        receipt: &[u8],
        nonce: Option<TpmNonce>,
        environment: &mut dyn Environment,
        out: &mut Vec<FromEnclave>,
    ) -> Result<(), Stop> {
        let calls = match self.ledger.commit(batch, receipt, &self.configuration, &self.keys) {
            Settled::Done(calls) => calls,
            Settled::Unexpected => return Err(Stop::new(Halt::Protocol, "receipt for no batch in flight")),
            Settled::Fenced => {
                return Err(Stop::new(
                    Halt::Fenced,
                    "the anchor's receipt is not for the checkpoint that was asked for: another instance has taken over",
                ));
            }
        };
        self.ledger.open_session(receipt::session(&self.keys, nonce)?);
        for call in calls {
            if call == BOOT_CALL {
                self.publish_manifest(out);
                continue;
            }
            let Some(mut waiting) = self.waiting.remove(&call) else { continue };
            let settings = self.settings();
            let next = match &mut waiting.work {
                Work::Operation(operation) => operation.step(&settings, environment),
                Work::Read(_) => None,
            };
            let is_done = next.is_none() || planted::is(Defect::ReplyBeforeAnchor);
            if let Some(write) = next {
                self.ledger.enqueue(Write { call, content: Content::Record(write) });
            }
            if is_done {
                let (outcome, tries) = waiting.work.finish(&self.settings());
                self.reply(call, *waiting, outcome, tries, out);
            } else {
                self.waiting.insert(call, waiting);
            }
        }
        Ok(())
    }

    fn aborted(&mut self, batch: BatchId, out: &mut Vec<FromEnclave>) -> Result<(), Stop> {
        let calls = match self.ledger.abort(batch) {
            Settled::Done(calls) => calls,
            _ => return Err(Stop::new(Halt::Protocol, "abort of no batch in flight")),
        };
        if self.manifest.is_none() {
            return Err(Stop::new(Halt::Protocol, "the BOOT entry could not be stored"));
        }
        for call in calls {
            let Some(waiting) = self.waiting.remove(&call) else { continue };
            let (outcome, tries) = waiting.work.abort();
            self.reply(call, *waiting, outcome, tries, out);
        }
        Ok(())
    }

    fn publish_manifest(&mut self, out: &mut Vec<FromEnclave>) {
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            deployment: self.configuration.deployment,
            hpke: self.boot_key.public(),
            boot: self.boot_public(),
            log: self.keys.log_public(),
            configuration: self.configuration.hash(),
            anchor: self.configuration.anchor,
            floor: self.configuration.floor,
            checkpoint: self.ledger.committed().note.clone().into(),
            witnesses: self.configuration.witnesses.clone(),
            tpm: self.configuration.tpm,
        };
        let encoded = cbor::to_vec(&manifest);
        self.manifest = Some(Ready { hash: hash_of(&encoded) });
        out.push(FromEnclave::Ready { manifest: encoded.into(), wallets: self.ledger.wallets() });
    }

    /// Answers a call that held its wallet.
    fn reply(
        &mut self,
        call: CallId,
        waiting: Waiting,
        outcome: Outcome,
        tries: Option<Tries>,
        out: &mut Vec<FromEnclave>,
    ) {
        self.busy.remove(&waiting.work.wallet());
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(waiting.bytes);
        let next = match &waiting.work {
            Work::Operation(operation) => self.next(operation, &outcome),
            Work::Read(_) => None,
        };
        out.push(self.sealed_reply(call, waiting.reply, outcome, tries, next));
    }

    fn sealed_reply(
        &self,
        call: CallId,
        answer: Answer,
        outcome: Outcome,
        tries: Option<Tries>,
        next: Option<Next>,
    ) -> FromEnclave {
        let reply = Reply {
            request: answer.request,
            time: self.now,
            tries,
            receipt: self.ledger.committed().note.clone().into(),
            outcome,
            next,
        };
        FromEnclave::Replied { call, reply: answer.sealer.seal(&reply) }
    }

    fn settings(&self) -> Settings<'_> {
        Settings {
            keys: &self.keys,
            policy_hash: self.policy,
            policy: self.configuration.policy,
            deployment: self.configuration.deployment,
            now: self.now,
            ticks: self.ticks,
            restores: self.ledger.committed().checkpoint.restores,
            gate: self.ledger.gate(self.configuration.breaker),
        }
    }

    /// What a challenge for this login and method is bound to now.
    fn binding(&self, login: &Login, method: Method) -> Binding {
        self.bound(login.wallet, login.device, method)
    }

    fn bound(&self, wallet: UserIdHash, device: DeviceId, method: Method) -> Binding {
        let current = self.ledger.wallet(&wallet).map_or(Version(0), |header| header.version);
        let version = if method.writes() == 0 { Version(0) } else { current };
        Binding { wallet, device, method, version }
    }

    fn boot_public(&self) -> Ed25519Public {
        let mut out = [0; 32];
        out.copy_from_slice(self.signing.public_key().as_ref());
        Ed25519Public(out)
    }
}

/// Why a request is not admitted.
enum Denied {
    Refused(Refusal),
    /// The client's receipt proves that this state is not the newest.
    RolledBack(String),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// State of a wallet from its record.
pub(crate) fn wallet_state(record: Option<&Record>) -> WalletState {
    match record {
        None => WalletState::Missing,
        Some(record) if record.active.is_some() => WalletState::Active,
        Some(_) => WalletState::Prepared,
    }
}
