//! One witness, asked over HTTP.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use pinseal_protocol::add_checkpoint::{AddCheckpoint, read_size};
use pinseal_protocol::checkpoint::{Checkpoint, origin};
use pinseal_protocol::cosignature::{Witness, read_time};
use pinseal_protocol::ids::{DeploymentId, Hash32};
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::note::{SignatureLine, VerifierKey, read_note, read_signatures};
use reqwest::{Client, StatusCode, Url, redirect};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::Proofs;

/// How long a witness may take to connect and to answer. A batch waits that long for the first one, once: who does not answer, or does not
/// cosign, is asked last until it does.
const CONNECT_TIME: Duration = Duration::from_secs(2);
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Requests for one checkpoint: one to learn what the witness holds, one from there, one in case another instance came between.
const ATTEMPTS_MAX: u32 = 3;

/// Why a witness did not cosign.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// It does not answer, or says that it cannot.
    #[error("{name} does not answer: {reason}")]
    Unreachable {
        /// Of the witness.
        name: String,
        /// For the operator.
        reason: String,
    },
    /// It does not know this log: its operator has to be given the log's verifier key.
    #[error("{name} does not know this log; give its operator the log's verifier key")]
    UnknownLog {
        /// Of the witness.
        name: String,
    },
    /// It cosigns a later restore's log of this deployment.
    #[error("{name} cosigns this log no more: it cosigns one of a later restore, or its operator ended this one")]
    Ended {
        /// Of the witness.
        name: String,
    },
    /// It says that it holds a checkpoint that this one does not continue.
    #[error("{name} holds another history ({})", held.map_or("it shows none".to_owned(), |held| format!("checkpoint {held}")))]
    Diverged {
        /// Of the witness.
        name: String,
        /// Number of the checkpoint it holds, if it shows one that the log's key signed.
        held: Option<u64>,
        /// That one is not older than what it was asked to cosign: another instance has taken its place in the log.
        is_taken: bool,
    },
    /// It answered with something else than a cosignature of its key over this checkpoint.
    #[error("{name} answered without a valid cosignature")]
    Invalid {
        /// Of the witness.
        name: String,
    },
}

impl MemberError {
    /// True if another instance has taken the job's place in the log.
    pub(super) const fn is_lost(&self) -> bool {
        matches!(self, Self::Diverged { is_taken: true, .. })
    }
}

/// A checkpoint that is to be cosigned, and the proofs made for it.
pub(super) struct Job {
    note: Vec<u8>,
    checkpoint: Checkpoint,
    log: Option<Ed25519Public>,
    proofs: Proofs,
    made: SyncMutex<BTreeMap<u64, Option<Vec<Hash32>>>>,
}

impl Job {
    pub(super) fn new(note: &[u8], checkpoint: Checkpoint, log: Option<Ed25519Public>, proofs: Proofs) -> Self {
        Self { note: note.to_vec(), checkpoint, log, proofs, made: SyncMutex::default() }
    }

    /// The body of `add-checkpoint` for a witness that holds `old` leaves; `None` if no proof can be made.
    fn body(&self, old: u64) -> Option<Vec<u8>> {
        let size = self.checkpoint.size;
        let proof = if old == 0 || old == size {
            Vec::new()
        } else {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.entry(old).or_insert_with(|| (self.proofs)(old, &self.checkpoint)).clone()?
        };
        Some(AddCheckpoint { old_size: old, proof, note: &self.note }.to_body())
    }
}

/// A client for all members: no redirects, no proxies.
pub(super) fn client() -> reqwest::Result<Client> {
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIME)
        .timeout(ANSWER_TIME)
        .build()
}

/// One witness.
pub(super) struct Member {
    key: VerifierKey,
    url: String,
    client: Client,
    /// Leaves of the checkpoint it cosigned last, as far as known. Locked while it is asked, so that it is asked in order.
    size: Mutex<u64>,
    is_down: AtomicBool,
    has_cosigned: AtomicBool,
    has_failed: AtomicBool,
}

impl Member {
    /// `None` if `url` is not one that may be asked.
    pub(super) fn new(witness: &Witness, url: &str, client: Client) -> Option<Self> {
        let parsed = Url::parse(url).ok()?;
        let is_local = parsed.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "[::1]" | "localhost"));
        let is_safe = parsed.scheme() == "https" || (parsed.scheme() == "http" && is_local);
        let is_prefix = parsed.query().is_none() && parsed.fragment().is_none() && !url.ends_with('/');
        let key = witness.verifier_key()?;
        (is_safe && is_prefix).then(|| Self {
            key,
            url: url.to_owned(),
            client,
            size: Mutex::new(0),
            is_down: AtomicBool::new(false),
            has_cosigned: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
        })
    }

    /// True if it did not answer when it was last asked, or did not cosign when it was last asked to.
    fn may_fail(&self) -> bool {
        self.is_down.load(Ordering::Relaxed) || self.has_failed.load(Ordering::Relaxed)
    }

    /// True if it cosigned the checkpoint that it was last asked to.
    pub(super) fn has_cosigned(&self) -> bool {
        self.has_cosigned.load(Ordering::Relaxed)
    }

    /// Has the job's checkpoint cosigned.
    pub(super) async fn cosign(&self, job: &Job) -> Result<SignatureLine, MemberError> {
        let mut size = self.size.lock().await;
        let answer = self.cosign_from(&mut size, job).await;
        self.has_cosigned.store(answer.is_ok(), Ordering::Relaxed);
        self.has_failed.store(answer.is_err(), Ordering::Relaxed);
        answer
    }

    async fn cosign_from(&self, size: &mut u64, job: &Job) -> Result<SignatureLine, MemberError> {
        for _ in 0..ATTEMPTS_MAX {
            let Some(body) = job.body(*size) else { return Err(self.diverged(job).await) };
            let (status, answer) =
                self.ask(self.client.post(format!("{}/add-checkpoint", self.url)).body(body)).await?;
            match status {
                StatusCode::OK => {
                    let line = cosignature(&answer, &self.key, &job.checkpoint).ok_or_else(|| self.invalid())?;
                    *size = job.checkpoint.size;
                    return Ok(line);
                }
                StatusCode::CONFLICT => match held_size(&answer).ok_or_else(|| self.invalid())? {
                    held if held > job.checkpoint.size => return Err(self.diverged(job).await),
                    held => *size = held,
                },
                StatusCode::UNPROCESSABLE_ENTITY => return Err(self.diverged(job).await),
                StatusCode::NOT_FOUND => return Err(MemberError::UnknownLog { name: self.name() }),
                StatusCode::GONE => return Err(MemberError::Ended { name: self.name() }),
                status => return Err(self.unreachable(&format!("status {}", status.as_u16()))),
            }
        }
        Err(self.unreachable("its state keeps changing"))
    }

    /// The newest checkpoint it cosigned, signed by `log`; `None` for none.
    pub(super) async fn newest(
        &self,
        deployment: &DeploymentId,
        restores: u32,
        log: &Ed25519Public,
    ) -> Result<Option<(Checkpoint, Vec<u8>)>, MemberError> {
        let hash: [u8; 32] = Sha256::digest(origin(deployment, restores)).into();
        let url = format!("{}/{}/checkpoint", self.url, Hash32(hash));
        let (status, answer) = self.ask(self.client.get(url)).await?;
        match status {
            // One of before a restore is another log's: it may be longer, and says nothing of this one.
            StatusCode::OK => own_note(&answer, deployment, log)
                .filter(|(checkpoint, _)| checkpoint.restores == restores)
                .map(Some)
                .ok_or_else(|| self.invalid()),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(self.unreachable(&format!("status {}", status.as_u16()))),
        }
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<(StatusCode, Vec<u8>), MemberError> {
        let answered = async {
            let mut response = request.send().await?;
            let mut body = Vec::new();
            while let Some(piece) = response.chunk().await? {
                body.extend_from_slice(&piece);
                if body.len() > ANSWER_BYTES_MAX {
                    break;
                }
            }
            Ok::<_, reqwest::Error>((response.status(), body))
        }
        .await;
        self.is_down.store(answered.is_err(), Ordering::Relaxed);
        let (status, body) = answered.map_err(|error| self.unreachable(&chain(&error.without_url())))?;
        if body.len() > ANSWER_BYTES_MAX { Err(self.invalid()) } else { Ok((status, body)) }
    }

    async fn diverged(&self, job: &Job) -> MemberError {
        let held = match &job.log {
            Some(log) => self.newest(&job.checkpoint.deployment, job.checkpoint.restores, log).await.ok().flatten(),
            None => None,
        };
        let held = held.map(|(checkpoint, _)| checkpoint);
        if held.as_ref().is_some_and(|held| held.text() == job.checkpoint.text()) {
            // It refuses what it holds. Where this was taken for a lost race, one witness could stop a deployment.
            return self.invalid();
        }
        let held = held.map(|held| held.sequence.0);
        let is_taken = held.is_some_and(|held| held >= job.checkpoint.sequence.0);
        MemberError::Diverged { name: self.name(), held, is_taken }
    }

    fn name(&self) -> String {
        self.key.name().to_owned()
    }

    fn invalid(&self) -> MemberError {
        MemberError::Invalid { name: self.name() }
    }

    fn unreachable(&self, reason: &str) -> MemberError {
        MemberError::Unreachable { name: self.name(), reason: reason.to_owned() }
    }
}

/// The line of this key that verifies over the checkpoint, out of an answer that may hold lines of other keys too.
pub(crate) fn cosignature(answer: &[u8], key: &VerifierKey, checkpoint: &Checkpoint) -> Option<SignatureLine> {
    let lines = read_signatures(core::str::from_utf8(answer).ok()?).ok()?;
    let text = checkpoint.text();
    lines.into_iter().find(|line| read_time(line, key, text.as_bytes()).is_some())
}

/// Leaves of what a witness holds: a line with the number.
pub(crate) fn held_size(answer: &[u8]) -> Option<u64> {
    let line = core::str::from_utf8(answer).ok()?;
    read_size(line.strip_suffix('\n').unwrap_or(line))
}

/// The log's own note, verified, out of one that carries cosignatures too.
pub(crate) fn own_note(
    cosigned: &[u8],
    deployment: &DeploymentId,
    log: &Ed25519Public,
) -> Option<(Checkpoint, Vec<u8>)> {
    let (text, lines) = read_note(cosigned).ok()?;
    lines.iter().find_map(|line| {
        let note = format!("{text}\n{line}").into_bytes();
        Checkpoint::verify(&note, deployment, log).ok().map(|checkpoint| (checkpoint, note))
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl core::fmt::Debug for Member {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Member").field("key", &self.key).field("url", &self.url).finish_non_exhaustive()
    }
}

/// Members by who answered and cosigned last: those first, each group in its order.
pub(super) fn willing_first(members: &[Arc<Member>]) -> Vec<Arc<Member>> {
    let (failing, willing): (Vec<_>, Vec<_>) = members.iter().cloned().partition(|member| member.may_fail());
    willing.into_iter().chain(failing).collect()
}
