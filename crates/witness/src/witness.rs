//! What is cosigned and what is not.

use std::sync::Arc;
use std::time::SystemTime;

use pinseal_protocol::add_checkpoint::{AddCheckpoint, RequestError};
use pinseal_protocol::cosignature::cosign;
use pinseal_protocol::log::{Consistency, empty_root};
use pinseal_protocol::note::{SignatureLine, VerifierKey, read_note};

use crate::checkpoint::{self, Head};
use crate::key::WitnessKey;
use crate::ledger::{Cosigned, Ledger, LedgerError};

/// Why a checkpoint is not cosigned, each with the standard's status code.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// 400: not a request, not a checkpoint, or an old size beyond the new one.
    #[error("not an add-checkpoint request with a checkpoint")]
    Malformed,
    /// 404: no such log here.
    #[error("this log is not known here")]
    UnknownLog,
    /// 403: not signed by the log's key.
    #[error("the log's signature is missing or does not verify")]
    Signature,
    /// 410, of our own: the deployment was restored, and its log goes on under another origin; see [`Ledger::end`].
    #[error("this log has ended: its deployment was restored")]
    Ended,
    /// 409: the newest checkpoint cosigned has this many leaves.
    #[error("the newest checkpoint cosigned has {0} leaves")]
    Conflict(u64),
    /// 422: the checkpoint does not continue the one before.
    #[error("the checkpoint is not proved to continue the one cosigned before")]
    Inconsistent,
    /// 500: nothing was cosigned.
    #[error("the witness's file fails")]
    Ledger(#[from] LedgerError),
}

impl From<RequestError> for Refusal {
    fn from(_: RequestError) -> Self {
        Self::Malformed
    }
}

/// Time, for cosignatures.
pub trait Clock: Send + Sync {
    /// Seconds since 1970.
    fn now(&self) -> u64;
}

/// The system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
    }
}

/// One witness.
pub struct Witness {
    key: WitnessKey,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
}

impl core::fmt::Debug for Witness {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Witness").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Witness {
    /// A witness with this key and this memory.
    pub fn new(key: WitnessKey, ledger: Ledger, clock: Arc<dyn Clock>) -> Self {
        Self { key, ledger, clock }
    }

    /// Its verifier key.
    pub const fn verifier_key(&self) -> &VerifierKey {
        self.key.verifier_key()
    }

    /// Its memory.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The newest note cosigned of the log whose origin has this SHA-256, in lower-case hex.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn newest(&self, origin_hash: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.ledger.by_origin_hash(origin_hash)
    }

    /// Handles the body of `add-checkpoint`; returns the cosignature line. It is stored before it is returned.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was cosigned.
    pub fn add_checkpoint(&self, body: &[u8]) -> Result<SignatureLine, Refusal> {
        let request = AddCheckpoint::read(body)?;
        let (text, signatures) = read_note(request.note).map_err(|_| Refusal::Malformed)?;
        let head = checkpoint::read(text).ok_or(Refusal::Malformed)?;
        let log = self.ledger.key(head.origin)?.ok_or(Refusal::UnknownLog)?;
        let by_log = signed_by(&log, text, &signatures)?;
        if request.old_size > head.size {
            return Err(Refusal::Malformed);
        }
        let mut cosignature = None;
        self.ledger.replace(&log, |standing| {
            if standing.has_ended {
                return Err(Refusal::Ended);
            }
            continues(&request, &head, standing.newest.as_ref())?;
            let key = self.key.verifier_key();
            let line = cosign(key, self.clock.now().max(1), text.as_bytes(), |message| self.key.sign(message));
            let note = format!("{text}\n{by_log}{line}").into_bytes();
            cosignature = Some(line);
            Ok::<_, Refusal>(Cosigned { size: head.size, root: head.root, note })
        })?;
        cosignature.ok_or(Refusal::Malformed)
    }
}

/// The log's own signature, verified. Others' are left aside; one that claims to be the log's and is not spoils the note.
fn signed_by<'a>(log: &VerifierKey, text: &str, signatures: &'a [SignatureLine]) -> Result<&'a SignatureLine, Refusal> {
    let mut by_log = signatures.iter().filter(|line| line.is_by(log));
    let first = by_log.next().ok_or(Refusal::Signature)?;
    let verifies = |line: &SignatureLine| log.key().verifies(text.as_bytes(), &line.signature);
    if verifies(first) && by_log.all(verifies) { Ok(first) } else { Err(Refusal::Signature) }
}

fn continues(request: &AddCheckpoint<'_>, head: &Head<'_>, newest: Option<&Cosigned>) -> Result<(), Refusal> {
    let (size, root) = newest.map_or((0, empty_root()), |newest| (newest.size, newest.root));
    if request.old_size != size {
        return Err(Refusal::Conflict(size));
    }
    let consistent = if size == 0 {
        // The empty tree is the beginning of every tree.
        request.proof.is_empty() && (head.size > 0 || head.root == root)
    } else {
        let proof = Consistency { old_size: size, new_size: head.size, path: request.proof.clone(), old_root: None };
        proof.verifies(&root, &head.root)
    };
    if consistent { Ok(()) } else { Err(Refusal::Inconsistent) }
}
