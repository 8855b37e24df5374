//! Sealed operations: begin, PIN factor, seal, send, open, check. One path for all of them.

mod ask;
pub(crate) mod kept;
mod methods;

use pinseal_chains::evm::IntentError;
use pinseal_protocol::cbor;
use pinseal_protocol::challenge;
use pinseal_protocol::envelope::{self, EnvelopeError};
use pinseal_protocol::ids::{RequestId, UserIdHash};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, Reply, SealedReply, Tries};
use pinseal_protocol::request::{
    BeginError, BeginReply, Body, REQUEST_VERSION, RequestHeader, SignedBeginReply, Suite,
};
use pinseal_protocol::secret::SecretText;
use pinseal_protocol::token::{AccessToken, token_hash};

pub use methods::{Acceptance, Registered, WalletStatus, Words};

pub(crate) use self::ask::Ask;
use self::kept::{Doubt, Kept};
use crate::account::{self, AccountError};
use crate::api::{ApiError, SealedError};
use crate::environment::{self, Random};
use crate::evidence::Attested;
use crate::profile::{Profile, ProfileError, Receipt, Session, UserName};
use crate::receipt::{self, ReceiptError};
use crate::signed::ResultError;

/// What came of an operation that did not succeed. Only [`OperationError::WrongPin`] says that a PIN was wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// The PIN is wrong; the try is gone. Said by the enclave, inside the sealed reply.
    #[error("wrong PIN")]
    WrongPin {
        /// Tries left.
        tries: Tries,
    },
    /// No try is left on this path. Said by the enclave.
    #[error("{kind}")]
    Locked {
        /// Which path is closed and how it opens.
        kind: LockKind,
        /// Tries left.
        tries: Tries,
    },
    /// Too soon after wrong PINs. Said by the enclave; nothing was charged.
    #[error("too soon after wrong PINs; wait {seconds} seconds")]
    Delayed {
        /// How long to wait.
        seconds: u32,
        /// Tries left.
        tries: Tries,
    },
    /// The enclave refused before any try was charged; the refusal says what to do.
    #[error("refused: {refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// The enclave failed after the charge. A fault of the service, no verdict on the PIN; the try stays charged, see `tries`.
    #[error("the service failed after the try was counted; the PIN was not judged")]
    ServiceFault {
        /// Tries left.
        tries: Tries,
    },
    /// The enclave does not understand this client, or the request was damaged on its way. Repeat once; if it stays, update the
    /// client.
    #[error("this client is outdated; update it")]
    Outdated,
    /// The state is older than, or forked from, what this device has seen. No PIN was tested.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The enclave itself found that its state does not continue what this device has seen. No PIN was tested.
    #[error("the deployment's state was rolled back")]
    StateRolledBack,
    /// Host or network refused or failed before the request reached the enclave; says nothing about the PIN.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The request was sent, also again, and no reply came. It may have been carried out and a try may have been charged.
    #[error("no reply came; the outcome is unknown")]
    ReplyLost(#[source] ApiError),
    /// The begin reply is not believed; no PIN factor was computed.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// What came back is not a begin reply or sealed reply at all.
    #[error("the server's answer is not understood")]
    Malformed,
    /// The enclave answers for another wallet than this user had on this device before; no PIN factor was computed.
    #[error("the server answers for another wallet")]
    WalletChanged,
    /// The sealed reply does not open, or answers another request.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The PIN factor cannot be computed here: too little memory.
    #[error("the PIN cannot be processed on this device (too little memory)")]
    PinFactor,
    /// A label, number of words, of intents or of accounts is out of bounds. The caller is at fault; nothing was sent.
    #[error("the request is out of bounds")]
    OutOfBounds,
    /// An intent cannot be signed by anybody. The caller is at fault; nothing was sent.
    #[error(transparent)]
    Intent(#[from] IntentError),
    /// The outcome does not belong to the operation.
    #[error("the enclave answered something else than was asked")]
    Unexpected,
    /// An address does not hold.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A signed result does not hold. It was thrown away.
    #[error(transparent)]
    Result(#[from] ResultError),
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// What a request began with.
struct Known {
    /// The newest receipt of the profile.
    held: Option<Receipt>,
    /// The one in the request, which the enclave compares with its own log.
    presented: Option<Receipt>,
}

/// Which path is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LockKind {
    /// This device, or all unenrolled devices: another enrolled device can clear it.
    #[error("no tries are left on this device; another enrolled device can clear them")]
    Device,
    /// The whole wallet: an enrolled device that gave no wrong PIN since its last right one may have one try, and can clear it.
    #[error("this wallet allows no more tries from here; an enrolled device that gave no wrong PIN can clear them")]
    Wallet,
    /// This PIN for this device, for good; or clearing tries with it. An enrolled device with tries left can set a new PIN.
    #[error("this PIN was answered as wrong too often; it cannot be used for this any more")]
    PinSpent,
}

impl OperationError {
    /// True if the enclave has restarted since the evidence was verified, or somebody pretends so: attest again and repeat once.
    pub fn wants_new_evidence(&self) -> bool {
        match self {
            Self::Begin(BeginError::Signature | BeginError::OtherBoot)
            | Self::Refused { refusal: Refusal::StaleManifest } => true,
            Self::Api(error) => error.code() == Some(Refusal::StaleManifest.code()),
            _ => false,
        }
    }

    /// True if the same operation may succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Delayed { .. } | Self::ServiceFault { .. } => true,
            Self::Refused { refusal } => refusal.is_retryable(),
            Self::Api(error) => error.is_retryable(),
            _ => self.wants_new_evidence(),
        }
    }
}

/// A believed reply of a successful operation.
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) tries: Tries,
    pub(crate) wallet: UserIdHash,
    /// The checkpoint that came with it, under the pinned log key and not older than the one presented.
    pub(crate) receipt: Box<Receipt>,
    /// Who was logged in when it was asked.
    pub(crate) user: UserName,
}

impl Attested {
    /// Runs one operation, under what the last reply left for it or under a fresh `begin`. Refusals that a fresh session or challenge
    /// cures are cured once; the enclave said them inside the sealed reply, before a charge, so repeating the PIN factor costs nothing.
    pub(crate) async fn run(&self, ask: &Ask<'_>) -> Result<Answer, OperationError> {
        if self.client().api().user().is_none() {
            return Err(ApiError::NotLoggedIn.into());
        }
        let first = match self.run_kept(ask).await? {
            Tried::Answered(answer) => answer,
            Tried::BeginAgain => return self.run_once(ask).await,
            Tried::Nothing => self.run_once(ask).await,
        };
        match first {
            Err(OperationError::Refused { refusal: Refusal::TokenExpired }) => {
                self.client().api().renew().await?;
                self.run_once(ask).await
            }
            Err(OperationError::Refused { refusal: Refusal::ChallengeInvalid }) => self.run_once(ask).await,
            other => other,
        }
    }

    /// The operation without a `begin`, if the last reply left a challenge for it.
    async fn run_kept(&self, ask: &Ask<'_>) -> Result<Tried, OperationError> {
        if !ask.method().continues() {
            return Ok(Tried::Nothing);
        }
        let client = self.client();
        let (profile, session) = client.api().valid_session().await?;
        let now = client.environment().now();
        let kept = client.continuation().take(&self.manifest_hash(), ask.method(), &profile, &session, now);
        let Some(Kept { begin, storage_token, .. }) = kept else { return Ok(Tried::Nothing) };
        let (wallet, version) = (begin.wallet, challenge::version(&begin.challenge));
        match Box::pin(self.exchange(ask, begin, &storage_token, profile, session)).await {
            // Said in clear: by an honest host that has restarted, or by one that hides a verdict.
            Err(OperationError::Api(error) | OperationError::ReplyLost(error))
                if error.code().is_some_and(asks_to_begin) =>
            {
                client.continuation().doubt(Doubt::new(wallet, ask.method(), version, error));
                Ok(Tried::BeginAgain)
            }
            other => Ok(Tried::Answered(other)),
        }
    }

    /// The operation under a fresh `begin`.
    async fn run_once(&self, ask: &Ask<'_>) -> Result<Answer, OperationError> {
        let answer = self.client().api().begin(ask.method()).await?;
        let (profile, session) = self.client().api().valid_session().await?;
        let begin = self.believe(&answer.begin.0, ask, &profile)?;
        let doubt = match self.client().continuation().take_doubt(&begin).map(|doubt| doubt.resolve(&begin)) {
            Some(Ok(said)) => return Err(OperationError::ReplyLost(said)),
            Some(Err(doubt)) => Some(doubt),
            None => None,
        };
        let answer = Box::pin(self.exchange(ask, begin, &answer.storage_token, profile, session)).await;
        match (answer, doubt) {
            // The wallet moved or is about to, and it may be the request in doubt that moves it.
            (Err(OperationError::Refused { refusal: Refusal::ChallengeInvalid | Refusal::Busy }), Some(doubt)) => {
                Err(OperationError::ReplyLost(doubt.into_said()))
            }
            (answer, _) => answer,
        }
    }

    /// Seals, sends, opens and judges one request.
    async fn exchange(
        &self,
        ask: &Ask<'_>,
        begin: BeginReply,
        storage_token: &SecretText,
        profile: Profile,
        session: Session,
    ) -> Result<Answer, OperationError> {
        // Before a PIN becomes a factor: what was tried since the state that was put back, nobody knows.
        let shown = self.restores();
        let is_behind = profile.receipt.as_ref().is_some_and(|held| receipt::restores(held) < shown);
        if is_behind && !matches!(ask, Ask::AcceptRestore { .. }) {
            return Err(ReceiptError::Restored { shown }.into());
        }
        let request = ask.request(&begin, &self.manifest().deployment).await?;
        if !request.is_within_bounds() {
            return Err(OperationError::OutOfBounds);
        }
        let presented = ask.presented(profile.receipt.as_ref()).cloned();
        let body = Body {
            access_token: AccessToken::new(session.access_token.duplicate()),
            device_key: profile.device.public(),
            receipt: presented.as_ref().map(|receipt| receipt.note.clone().into()),
            request,
        };
        let receipt_size = presented.as_ref().map_or(0, |receipt| receipt.size);
        let header = self.header(ask, &begin, &profile, &session, receipt_size);
        let mut rng = Random(self.client().environment());
        let (sealed, opener) =
            envelope::seal(&self.manifest().hpke, header, &body, &mut rng, |bytes| profile.device.sign(bytes))?;
        drop(body);
        let sent = self.client().api().sealed(&session.access_token, storage_token, cbor::to_vec(&sealed)).await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(SealedError::Refused(error)) if error.code() == Some(Refusal::Malformed.code()) => {
                return Err(OperationError::Outdated);
            }
            // Said in clear, after the request was sent: it may be a lie that hides a verdict, and believing it would spend the same
            // PIN twice. An honest restart shows at the next begin.
            Err(SealedError::Refused(error)) if error.code() == Some(Refusal::StaleManifest.code()) => {
                return Err(OperationError::ReplyLost(error));
            }
            Err(SealedError::Refused(error)) => return Err(error.into()),
            Err(SealedError::Lost(error)) => return Err(OperationError::ReplyLost(error)),
        };
        let reply: SealedReply = cbor::from_slice(&answer.reply.0).map_err(|_| OperationError::Malformed)?;
        let mut reply = opener.open(&reply)?;
        // The reply's key says that it answers this request, so what it leaves is of the same boot, wallet, device and method.
        let next = reply.next.take().filter(|_| ask.method().continues());
        let next =
            next.map(|next| next.into_begin(begin.manifest, begin.wallet, begin.device, begin.method, reply.time));
        let next = next.and_then(Result::ok).zip(answer.storage_token);
        let next =
            next.map(|(begin, token)| Kept::new(begin, token, session.user.clone(), self.client().environment().now()));
        let known = Known { held: profile.receipt, presented };
        self.judge(reply, begin.wallet, session.user, known, next).await
    }

    /// The begin reply, if the attested boot signed it for this device, operation and wallet.
    fn believe(&self, encoded: &[u8], ask: &Ask<'_>, profile: &Profile) -> Result<BeginReply, OperationError> {
        let signed: SignedBeginReply = cbor::from_slice(encoded).map_err(|_| OperationError::Malformed)?;
        let begin = signed.verify(&self.manifest().boot, &self.manifest_hash(), &profile.device.id(), ask.method())?;
        match self.client().wallet_in(profile) {
            Some(pinned) if pinned.wallet != begin.wallet => Err(OperationError::WalletChanged),
            _ => Ok(begin),
        }
    }

    fn header(
        &self,
        ask: &Ask<'_>,
        begin: &BeginReply,
        profile: &Profile,
        session: &Session,
        receipt_size: u64,
    ) -> RequestHeader {
        RequestHeader {
            version: REQUEST_VERSION,
            suite: Suite::X25519Aes256Gcm,
            manifest: self.manifest_hash(),
            method: ask.method(),
            request: RequestId(environment::random(self.client().environment())),
            challenge: begin.challenge.clone(),
            token: token_hash(session.access_token.expose_secret()),
            device: profile.device.id(),
            receipt_size,
        }
    }

    /// Checks the receipt before the outcome is looked at: a verdict on an older state is none.
    async fn judge(
        &self,
        reply: Reply,
        wallet: UserIdHash,
        user: UserName,
        known: Known,
        next: Option<Kept>,
    ) -> Result<Answer, OperationError> {
        if reply.outcome == Outcome::Refused(Refusal::StateRolledBack) {
            return Err(OperationError::StateRolledBack);
        }
        let shown = receipt::read(&reply.receipt, self.manifest_hash(), &self.deployment())?;
        // After a restore only an acceptance leads on; a refusal says so itself.
        let accepted = reply.outcome == Outcome::RestoreAccepted;
        let Known { held, presented } = known;
        for seen in [&held, &presented] {
            match receipt::continues(seen.as_ref(), &shown) {
                Err(ReceiptError::Restored { .. }) if accepted || matches!(reply.outcome, Outcome::Refused(_)) => {}
                continued => continued?,
            }
        }
        let tries = reply.tries.unwrap_or_default();
        let is_refusal = matches!(reply.outcome, Outcome::Refused(_));
        let verdict = verdict(reply.outcome, tries);
        let owner = user.clone();
        let succeeded = verdict.is_ok();
        // Some refusals come before the enclave compares the receipts, so none of them may replace the one held here.
        let compared = presented.is_none() || !is_refusal;
        let receipt = Box::new(shown.clone());
        self.client()
            .vault()
            .update(move |profile| {
                if compared {
                    receipt::keep(profile, shown, presented.as_ref())?;
                }
                // Only a success shows that the enclave holds this user's token to be this wallet's.
                if succeeded {
                    account::pin(profile, owner, wallet, &[])?;
                }
                Ok::<_, OperationError>(())
            })
            .await?;
        if let Some(next) = next {
            self.client().continuation().keep(next);
        }
        verdict.map(|outcome| Answer { outcome, tries, wallet, receipt, user })
    }
}

/// What came of an operation without a `begin`.
enum Tried {
    /// There was nothing to try it with.
    Nothing,
    /// The host wants a `begin` first.
    BeginAgain,
    /// Decided, refused or lost.
    Answered(Result<Answer, OperationError>),
}

/// Codes by which a host says that a request under a kept challenge goes no further: its storage token is not taken any more, or the
/// enclave has restarted.
fn asks_to_begin(code: &str) -> bool {
    code == "storage_token_refused" || code == Refusal::StaleManifest.code()
}

/// Tells success from every kind of failure.
fn verdict(outcome: Outcome, tries: Tries) -> Result<Outcome, OperationError> {
    let locked = |kind| Err(OperationError::Locked { kind, tries });
    match outcome {
        Outcome::WrongPin => Err(OperationError::WrongPin { tries }),
        Outcome::ServiceFault => Err(OperationError::ServiceFault { tries }),
        Outcome::Refused(Refusal::Locked) => locked(LockKind::Device),
        Outcome::Refused(Refusal::WalletLocked) => locked(LockKind::Wallet),
        Outcome::Refused(Refusal::PinSpent) => locked(LockKind::PinSpent),
        Outcome::Refused(Refusal::Delayed) => Err(OperationError::Delayed { seconds: tries.delay_seconds, tries }),
        Outcome::Refused(Refusal::Malformed) => Err(OperationError::Outdated),
        Outcome::Refused(refusal) => Err(OperationError::Refused { refusal }),
        success => Ok(success),
    }
}
