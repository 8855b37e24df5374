//! Frames between host and enclave: a 4-byte big-endian length and one canonical CBOR message.
//!
//! The host speaks first with [`ToEnclave::Create`] or [`ToEnclave::Boot`]; the enclave's first frame is
//! [`FromEnclave::Hello`]. One connection is one boot.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::cbor;
use crate::ids::{Hash32, Measurement, Nonce, Term, UnixSeconds, UserIdHash, Version};
use crate::limits::FRAME_BYTES_MAX;
use crate::log::{Consistency, Frontier};
use crate::manifest::Ed25519Public;
use crate::order::SignedOrder;
use crate::refusal::Refusal;
use crate::reply::SealedReply;
use crate::request::{Method, SealedRequest, SignedBeginReply};
use crate::token::{AccessToken, P256Public};
use crate::tpm::{Authorisation, Tpm, TpmNonce};

/// Version of this conversation; both sides must speak the same.
pub const WIRE_VERSION: u16 = 2;

/// Names a call so that its answer finds back; chosen by the host, unique while the call is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct CallId(#[n(0)] pub u64);

/// Names a batch; counts from 1 within a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct BatchId(#[n(0)] pub u64);

/// What the host keeps of every wallet for the boot check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Header {
    /// Wallet.
    #[n(0)]
    pub wallet: UserIdHash,
    /// Version.
    #[n(1)]
    pub version: Version,
    /// H(outer).
    #[n(2)]
    pub outer: Hash32,
}

/// Another sealed configuration, by order of the operators.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Change {
    /// Canonical configuration that is to follow.
    #[n(0)]
    pub configuration: ByteVec,
    /// The operators' order for it.
    #[n(1)]
    pub order: SignedOrder,
    /// How far the change got.
    #[n(2)]
    pub stage: ChangeStage,
}

/// How far a change of the configuration got.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub enum ChangeStage {
    /// It is not in the log.
    #[n(0)]
    Ordered {
        /// What the anchor of the new configuration says of the newest checkpoint in the database: it exists, and it holds this state. Where the
        /// deployment is to go on from what a TPM's index holds, the TPM's word for that, asked for with [`crate::order::Order::hash`].
        #[n(0)]
        receipt: ByteVec,
    },
    /// The newest checkpoint in the database has it as its last entry; the new root was lost with the process that made it.
    #[n(1)]
    Logged {
        /// The term in that entry.
        #[n(0)]
        term: Term,
    },
}

/// Host to enclave.
#[derive(Encode, Decode)]
#[cbor(array)]
pub enum ToEnclave {
    /// Make a new deployment root under this configuration. Answer: [`FromEnclave::Created`].
    #[n(0)]
    Create {
        /// Canonical [`crate::configuration::Configuration`].
        #[n(0)]
        configuration: ByteVec,
        /// Now.
        #[n(1)]
        time: UnixSeconds,
    },
    /// Start. Headers follow, then [`ToEnclave::HeadersEnd`].
    #[n(1)]
    Boot {
        /// Canonical configuration.
        #[n(0)]
        configuration: ByteVec,
        /// The sealed root.
        #[n(1)]
        sealed_root: ByteVec,
        /// Newest signed checkpoint in the database.
        #[n(2)]
        checkpoint: ByteVec,
        /// The log's frontier at that checkpoint.
        #[n(3)]
        frontier: Frontier,
        /// What the anchor holds; empty where it holds nothing.
        #[n(4)]
        anchored: ByteVec,
        /// Now.
        #[n(5)]
        time: UnixSeconds,
        /// Not to serve, but to change the configuration the root is sealed with. Answer: [`FromEnclave::Changed`].
        #[n(6)]
        change: Option<Change>,
        /// At L2: of a session of the TPM, for what the enclave lets into its index next.
        #[n(8)]
        nonce: Option<TpmNonce>,
    },
    /// Headers in strictly ascending wallet order, at most [`crate::limits::BOOT_HEADERS_MAX`].
    #[n(2)]
    Headers {
        /// The next ones.
        #[n(0)]
        headers: Vec<Header>,
    },
    /// No more headers.
    #[n(3)]
    HeadersEnd,
    /// Begin an operation. Answer: [`FromEnclave::Begun`].
    #[n(4)]
    Begin {
        /// Call.
        #[n(0)]
        call: CallId,
        /// Now.
        #[n(1)]
        time: UnixSeconds,
        /// Access token.
        #[n(2)]
        access_token: AccessToken,
        /// Operation.
        #[n(3)]
        method: Method,
        /// The wallet's outer record, if the host knows it.
        #[n(4)]
        outer: Option<ByteVec>,
    },
    /// A sealed request. Answer: [`FromEnclave::Replied`] or [`FromEnclave::Refused`].
    #[n(5)]
    Sealed {
        /// Call.
        #[n(0)]
        call: CallId,
        /// Now.
        #[n(1)]
        time: UnixSeconds,
        /// The request.
        #[n(2)]
        request: SealedRequest,
        /// The wallet's outer record, if there is one.
        #[n(3)]
        outer: Option<ByteVec>,
        /// Proof that the log continues the client's receipt, where the header names one.
        #[n(4)]
        consistency: Option<Consistency>,
    },
    /// The batch is durable and anchored; what the anchor says of it.
    #[n(6)]
    Committed {
        /// Batch.
        #[n(0)]
        batch: BatchId,
        /// The anchor's receipt.
        #[n(1)]
        receipt: ByteVec,
        /// At L2: of another session, for what comes next.
        #[n(2)]
        nonce: Option<TpmNonce>,
    },
    /// The batch was certainly not stored; nothing of it may be relied on.
    #[n(7)]
    Aborted {
        /// Batch.
        #[n(0)]
        batch: BatchId,
    },
    /// Evidence over a client's nonce. Answer: [`FromEnclave::Evidence`].
    #[n(8)]
    Evidence {
        /// Call.
        #[n(0)]
        call: CallId,
        /// Chosen by the client.
        #[n(1)]
        nonce: Nonce,
        /// Now.
        #[n(2)]
        time: UnixSeconds,
    },
    /// The index that [`FromEnclave::Define`] asked for is there, and was never written. Answer: [`FromEnclave::RollForward`] to the genesis.
    #[n(10)]
    Defined {
        /// Of a session of the TPM.
        #[n(0)]
        nonce: TpmNonce,
    },
    /// Not to serve, but to write another TPM's index for the first time, so that it holds something that nothing ever held. Answer:
    /// [`FromEnclave::Define`], and after [`ToEnclave::Defined`] [`FromEnclave::Primed`].
    #[n(11)]
    Prime {
        /// Canonical configuration in force.
        #[n(0)]
        configuration: ByteVec,
        /// The sealed root.
        #[n(1)]
        sealed_root: ByteVec,
        /// The TPM that is to follow.
        #[n(2)]
        tpm: Tpm,
    },
}

/// Names the message only: it may carry an access token.
impl core::fmt::Debug for ToEnclave {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Create { .. } => f.write_str("Create(..)"),
            Self::Boot { change: None, .. } => f.write_str("Boot(..)"),
            Self::Boot { change: Some(_), .. } => f.write_str("Boot(.., change)"),
            Self::Headers { headers } => write!(f, "Headers({})", headers.len()),
            Self::HeadersEnd => f.write_str("HeadersEnd"),
            Self::Begin { call, method, .. } => write!(f, "Begin({}, {})", call.0, method.name()),
            Self::Sealed { call, .. } => write!(f, "Sealed({})", call.0),
            Self::Committed { batch, .. } => write!(f, "Committed({})", batch.0),
            Self::Aborted { batch } => write!(f, "Aborted({})", batch.0),
            Self::Evidence { call, .. } => write!(f, "Evidence({})", call.0),
            Self::Defined { .. } => f.write_str("Defined(..)"),
            Self::Prime { .. } => f.write_str("Prime(..)"),
        }
    }
}

/// One record to be stored in place of the wallet's previous one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RecordWrite {
    /// The call that caused it; its storage token must allow the write.
    #[n(0)]
    pub call: CallId,
    /// Wallet.
    #[n(1)]
    pub wallet: UserIdHash,
    /// Version.
    #[n(2)]
    pub version: Version,
    /// H(outer).
    #[n(3)]
    pub hash: Hash32,
    /// The sealed record.
    #[n(4)]
    pub outer: ByteVec,
}

/// One batch: everything in it becomes durable in one transaction, then the anchor advances from `previous` to `checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Batch {
    /// Batch.
    #[n(0)]
    pub batch: BatchId,
    /// The signed checkpoint the anchor holds now.
    #[n(1)]
    pub previous: ByteVec,
    /// The signed checkpoint after this batch.
    #[n(2)]
    pub checkpoint: ByteVec,
    /// The log's frontier after this batch.
    #[n(3)]
    pub frontier: Frontier,
    /// Records.
    #[n(4)]
    pub records: Vec<RecordWrite>,
    /// Encoded log entries, in order.
    #[n(5)]
    pub entries: Vec<ByteVec>,
    /// At L2: lets the checkpoint's hash into the TPM's index, once.
    #[n(7)]
    pub authorisation: Option<Authorisation>,
}

/// Answer to begin.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub enum Begun {
    /// For the client.
    #[n(0)]
    Reply(#[n(0)] UserIdHash, #[n(1)] SignedBeginReply),
    /// The wallet exists: ask again with its record.
    #[n(1)]
    NeedsRecord(#[n(0)] UserIdHash),
    /// Refused.
    #[n(2)]
    Refused(#[n(0)] Refusal),
}

/// One hardening measure, probed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Measure {
    /// Name.
    #[n(0)]
    pub name: String,
    /// The probe found it in force.
    #[n(1)]
    pub active: bool,
    /// What the probe saw.
    #[n(2)]
    pub detail: String,
}

/// Why the enclave stops for good. The process exits; a restart boots again from durable state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum Halt {
    /// The host broke the conversation's order or form.
    #[n(0)]
    Protocol,
    /// The configuration does not parse or contradicts itself.
    #[n(1)]
    ConfigurationInvalid,
    /// The sealed root is truncated or damaged; nothing was overwritten.
    #[n(2)]
    RootDamaged,
    /// The sealed root was written by a newer version; nothing was overwritten.
    #[n(3)]
    RootNewer,
    /// The sealed root belongs to another configuration or deployment; nothing was overwritten.
    #[n(4)]
    RootForeign,
    /// The passphrase is wrong; nothing was overwritten.
    #[n(5)]
    WrongPassphrase,
    /// The database's checkpoint is missing, damaged or not this deployment's.
    #[n(6)]
    CheckpointInvalid,
    /// The records or the log do not add up to their checkpoint: the database is incomplete or was changed.
    #[n(7)]
    StateMismatch,
    /// The anchor is missing although the deployment has one.
    #[n(8)]
    AnchorMissing,
    /// The anchor holds a newer checkpoint than the database: an older database was put back.
    #[n(9)]
    StateOlder,
    /// Database and anchor lie on different branches, or too far apart.
    #[n(10)]
    StateForked,
    /// The anchor's receipt is not for the checkpoint that was asked for: another instance has taken over.
    #[n(11)]
    Fenced,
    /// A client holds a receipt of this deployment that this state does not contain: an older state was put back.
    #[n(12)]
    RolledBack,
    /// The order to change the configuration is not the operators', not for this root, or for what may not change.
    #[n(13)]
    OrderRefused,
}

/// Enclave to host.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub enum FromEnclave {
    /// First frame.
    #[n(0)]
    Hello {
        /// [`WIRE_VERSION`].
        #[n(0)]
        version: u16,
        /// Hash of the enclave's image.
        #[n(1)]
        measurement: Measurement,
        /// The enclave's release.
        #[n(2)]
        release: String,
        /// Hardening, probed.
        #[n(3)]
        hardening: Vec<Measure>,
    },
    /// A new deployment. Store root and genesis durably, set the anchor to the genesis, then boot in a new connection.
    #[n(1)]
    Created {
        /// The sealed root.
        #[n(0)]
        sealed_root: ByteVec,
        /// Signed checkpoint of the empty log.
        #[n(1)]
        genesis: ByteVec,
        /// K_log, which signed it.
        #[n(2)]
        log: Ed25519Public,
    },
    /// The database is exactly one checkpoint ahead of the anchor: advance the anchor and answer with
    /// [`ToEnclave::Committed`] for batch 0.
    #[n(2)]
    RollForward {
        /// What the anchor holds.
        #[n(0)]
        previous: ByteVec,
        /// What it is to hold.
        #[n(1)]
        checkpoint: ByteVec,
        /// At L2: lets the checkpoint's hash into the TPM's index, once. Absent where it holds it already.
        #[n(2)]
        authorisation: Option<Authorisation>,
    },
    /// Store, anchor, then answer [`ToEnclave::Committed`] or [`ToEnclave::Aborted`].
    #[n(3)]
    Commit(#[n(0)] Batch),
    /// Serving.
    #[n(4)]
    Ready {
        /// Encoded manifest.
        #[n(0)]
        manifest: ByteVec,
        /// Wallets in the accumulator.
        #[n(1)]
        wallets: u64,
    },
    /// Answer to [`ToEnclave::Begin`].
    #[n(5)]
    Begun {
        /// Call.
        #[n(0)]
        call: CallId,
        /// Answer.
        #[n(1)]
        begun: Begun,
    },
    /// Answer to [`ToEnclave::Sealed`].
    #[n(6)]
    Replied {
        /// Call.
        #[n(0)]
        call: CallId,
        /// For the client.
        #[n(1)]
        reply: SealedReply,
    },
    /// Answer to [`ToEnclave::Sealed`] where no reply could be sealed, or the refusal concerns the host.
    #[n(7)]
    Refused {
        /// Call.
        #[n(0)]
        call: CallId,
        /// Why.
        #[n(1)]
        refusal: Refusal,
    },
    /// Answer to [`ToEnclave::Evidence`].
    #[n(8)]
    Evidence {
        /// Call.
        #[n(0)]
        call: CallId,
        /// Attestation document over H(manifest) and the nonce.
        #[n(1)]
        document: ByteVec,
    },
    /// Last frame.
    #[n(9)]
    Halted {
        /// Why.
        #[n(0)]
        halt: Halt,
        /// For the operator: numbers and names, no secrets.
        #[n(1)]
        detail: String,
    },
    /// The configuration was changed: the change is anchored where the old configuration says. Store root and configuration
    /// durably, then boot in a new connection; under the old configuration nothing boots any more.
    #[n(10)]
    Changed {
        /// The root, sealed with the new configuration.
        #[n(0)]
        sealed_root: ByteVec,
    },
    /// To a [`ToEnclave::Create`] at L2, and to a [`ToEnclave::Prime`]: define the index that this key alone may write
    /// ([`crate::tpm::Index`]) and answer with [`ToEnclave::Defined`].
    #[n(12)]
    Define {
        /// The key.
        #[n(0)]
        writer: P256Public,
    },
    /// Let this into the index that was defined, and nothing has come of it yet: what the index holds then, the operators may order to go on from.
    #[n(13)]
    Primed {
        /// Drawn for this, once.
        #[n(0)]
        value: Hash32,
        /// Lets it into an index never written, once.
        #[n(1)]
        authorisation: Authorisation,
    },
}

/// Why a frame is refused; the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`FRAME_BYTES_MAX`], or empty.
    #[error("frame length out of bounds")]
    Length,
    /// Not one canonical message.
    #[error("frame is not a message")]
    Malformed,
}

/// Encodes one message with its length prefix.
///
/// # Errors
/// [`FrameError::Length`] if it exceeds [`FRAME_BYTES_MAX`].
pub fn frame<T: Encode<()>>(message: &T) -> Result<Vec<u8>, FrameError> {
    let body = cbor::to_vec(message);
    if body.is_empty() || body.len() > FRAME_BYTES_MAX {
        return Err(FrameError::Length);
    }
    let length = u32::try_from(body.len()).map_err(|_| FrameError::Length)?;
    let mut out = Vec::with_capacity(body.len() + 4);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&body);
    Ok(out)
}

/// The body length a prefix announces.
///
/// # Errors
/// [`FrameError::Length`].
pub fn frame_length(prefix: [u8; 4]) -> Result<usize, FrameError> {
    let length = usize::try_from(u32::from_be_bytes(prefix)).map_err(|_| FrameError::Length)?;
    if length == 0 || length > FRAME_BYTES_MAX { Err(FrameError::Length) } else { Ok(length) }
}

/// Decodes the body of one frame.
///
/// # Errors
/// [`FrameError::Malformed`].
pub fn parse<T: for<'b> Decode<'b, ()> + Encode<()>>(body: &[u8]) -> Result<T, FrameError> {
    cbor::from_slice(body).map_err(|_| FrameError::Malformed)
}
