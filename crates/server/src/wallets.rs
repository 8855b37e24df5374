//! The seam to the enclave: what the wallet endpoints need of the host's trunk.

use pinseal_protocol::ids::{Nonce, UnixSeconds, UserIdHash};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::SealedReply;
use pinseal_protocol::request::{Method, SealedRequest, SignedBeginReply};
use pinseal_protocol::token::{AccessToken, StorageToken};
use pinseal_protocol::wire::Measure;
use pinseal_store::records::{LogPage, LogQuery};

use crate::Boxed;
use crate::metrics::Sample;

/// A `begin` whose caller was authenticated.
pub struct BeginCall {
    /// The caller's access token; the enclave verifies it again.
    pub access_token: AccessToken,
    /// The operation.
    pub method: Method,
    /// The user's wallet, if it is known: saves the enclave a question.
    pub wallet: Option<UserIdHash>,
    /// Now.
    pub now: UnixSeconds,
}

/// Answer to `begin`.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The caller's wallet, existing or not.
    pub wallet: UserIdHash,
    /// For the client.
    pub reply: SignedBeginReply,
}

/// A sealed request whose caller presented a live access token.
pub struct SealedCall {
    /// Issued by `begin`; the record store checks it.
    pub storage_token: StorageToken,
    /// The caller's wallet: what the token must be for.
    pub wallet: UserIdHash,
    /// The request.
    pub request: SealedRequest,
    /// Now.
    pub now: UnixSeconds,
}

/// Evidence and the manifest it covers.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Attestation document over H(manifest) and the caller's nonce.
    pub document: Vec<u8>,
    /// Canonical CBOR.
    pub manifest: Vec<u8>,
}

/// State of the enclave side, without secrets.
#[derive(Debug, Clone)]
pub struct EnclaveStatus {
    /// True while it serves.
    pub ready: bool,
    /// Canonical CBOR of its manifest.
    pub manifest: Vec<u8>,
    /// Where freshness is kept.
    pub anchor: AnchorStatus,
    /// Newest anchored checkpoint: sequence, log size, root in hex.
    pub checkpoint: Option<(u64, u64, String)>,
    /// Wallets in the accumulator.
    pub wallets: u64,
    /// Whether devices are enrolled.
    pub enrolment: EnrolmentStatus,
    /// Hash of the enclave image in hex.
    pub measurement: String,
    /// Hardening, probed.
    pub hardening: Vec<Measure>,
}

/// The anchor: level, floor and witnesses as the enclave's manifest states them, the rest as the host saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorStatus {
    /// Level in use, `L0`, `L1`, `L2` or `L4`.
    pub level: String,
    /// Level below which the deployment never runs.
    pub floor: String,
    /// The witnesses, at `L4`.
    pub witnesses: Option<WitnessesStatus>,
    /// The TPM, at `L2`.
    pub tpm: Option<TpmStatus>,
    /// Since the newest checkpoint was anchored.
    pub age_seconds: u64,
    /// How often the operators made an older state the state again, as the newest anchored checkpoint says.
    pub restores: u32,
}

/// Enrolment of devices, as the enclave's log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EnrolmentStatus {
    /// Since when it is paused: place of the log entry, and its time in Unix seconds.
    pub paused: Option<(u64, u64)>,
    /// Attempts turned away since, in this boot.
    pub refused: u64,
}

/// The TPM of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmStatus {
    /// The key it attests with: an uncompressed P-256 point in hex.
    pub attestation_key: String,
    /// Handle of its index.
    pub index: u32,
}

/// The witnesses of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessesStatus {
    /// k: as many have to cosign.
    pub required: u8,
    /// Their names, in the configuration's order; as many as n.
    pub names: Vec<String>,
    /// Of them, those that cosigned the checkpoint they were last asked to.
    pub cosigned: usize,
}

/// Why the enclave side did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletsError {
    /// The enclave refused before any try was charged: the caller's business.
    #[error("the enclave refused: {0}")]
    Refused(Refusal),
    /// The storage token is not for this wallet and operation: the caller begins again.
    #[error("the record store refused the storage token")]
    StorageToken,
    /// No answer in time: an identical resend gets it once it is there.
    #[error("no answer in time")]
    Timeout,
    /// The enclave or the storage went away under a sealed request, which may have been carried out and charged: an identical
    /// resend gets the reply if there is one; otherwise the status tells.
    #[error("the operation was interrupted")]
    Interrupted(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No enclave serves at the moment: a service fault that passes. Nothing was charged.
    #[error("the enclave is not serving")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The host failed: a service fault.
    #[error("the host failed")]
    Fault(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What the wallet endpoints need.
pub trait Wallets: Send + Sync {
    /// Begins one operation for the token's user.
    fn begin(&self, call: BeginCall) -> Boxed<'_, Result<Begun, WalletsError>>;
    /// Hands a sealed request to the enclave. An identical resend gets the identical reply.
    fn sealed(&self, call: SealedCall) -> Boxed<'_, Result<SealedReply, WalletsError>>;
    /// Evidence over a client's nonce.
    fn evidence(&self, nonce: Nonce, now: UnixSeconds) -> Boxed<'_, Result<Evidence, WalletsError>>;
    /// State.
    fn status(&self) -> Boxed<'_, Result<EnclaveStatus, WalletsError>>;
    /// Log entries of the writes to one wallet, newest first; `None` if no anchored log of that size has such a place.
    fn history(&self, wallet: UserIdHash, query: LogQuery) -> Boxed<'_, Result<Option<LogPage>, WalletsError>>;
    /// As [`Wallets::history`], of the entries that are about the deployment itself.
    fn events(&self, query: LogQuery) -> Boxed<'_, Result<Option<LogPage>, WalletsError>>;
    /// Numbers for `/metrics`.
    fn metrics(&self) -> Vec<Sample>;
}
