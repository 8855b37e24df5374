//! L4: k of n witnesses (C2SP tlog-witness) cosign each checkpoint.
//!
//! Compare-and-swap is what a witness does by itself: it cosigns only what continues the newest checkpoint it cosigned. So that
//! two instances racing for one checkpoint cannot split the witnesses between them and leave neither a quorum, everybody
//! asks the witnesses one after the other until the first has answered; whom it refuses asks no other one. The rest are asked at
//! once.

pub(crate) mod member;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::cosignature::{Quorum, Witness};
use pinseal_protocol::ids::{DeploymentId, Hash32};
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::note::SignatureLine;
use tokio::runtime::Runtime;

use crate::{AdvanceError, Anchor, Cosigned, LoadError, Receipt};
pub use member::MemberError;
use member::{Job, Member, willing_first};

/// Proves that a checkpoint continues the log of that many leaves, hashes as RFC 6962 orders them; `None` where it cannot.
pub type Proofs = Arc<dyn Fn(u64, &Checkpoint) -> Option<Vec<Hash32>> + Send + Sync>;

/// Whom to ask.
#[derive(Debug, Clone)]
pub struct Witnesses {
    /// k and the n keys, as sealed in the configuration.
    pub quorum: Quorum,
    /// Where each of them answers, in the quorum's order: a URL without a trailing slash, for both of the standard's prefixes.
    pub urls: Vec<String>,
    /// Whose log.
    pub deployment: DeploymentId,
    /// Restores so far: each begins a log of its own.
    pub restores: u32,
    /// The key its checkpoints are signed with. `None` before the deployment has one: nobody can hold anything of it then.
    pub log: Option<Ed25519Public>,
}

/// Why there is no such anchor.
#[derive(Debug, thiserror::Error)]
pub enum WitnessesError {
    /// Not one URL for each witness.
    #[error("every witness of the configuration needs one URL")]
    Urls,
    /// A URL is none, or would travel unencrypted beyond this machine.
    #[error("{0} is not the URL of a witness: https://..., or http:// to this machine")]
    Url(String),
    /// The client or its threads could not be made.
    #[error("cannot ask witnesses")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why an advance got no quorum; the text names every witness and its reason.
#[derive(Debug, thiserror::Error)]
#[error("{got} of {required} cosignatures: {reasons}")]
struct NoQuorum {
    got: usize,
    required: u8,
    reasons: String,
}

/// Fewer cosignatures than a quorum.
struct Missed {
    got: usize,
    failures: Vec<MemberError>,
}

/// What a log is not served on that its witnesses say they hold nothing of.
pub fn nothing_held() -> io::Error {
    io::Error::other(
        "the witnesses that answer hold nothing of this log: they have forgotten it, or something answers in their place",
    )
}

/// The anchor.
pub struct WitnessAnchor {
    witnesses: Witnesses,
    members: Vec<Arc<Member>>,
    proofs: Proofs,
    runtime: Runtime,
    /// The newest checkpoint known to be held; `None` before the first look.
    held: Option<Vec<u8>>,
}

impl core::fmt::Debug for WitnessAnchor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WitnessAnchor").field("witnesses", &self.witnesses).finish_non_exhaustive()
    }
}

impl WitnessAnchor {
    /// Asks nobody yet.
    ///
    /// # Errors
    /// [`WitnessesError`].
    pub fn new(witnesses: Witnesses, proofs: Proofs) -> Result<Self, WitnessesError> {
        if witnesses.urls.len() != witnesses.quorum.witnesses.len() {
            return Err(WitnessesError::Urls);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("witnesses")
            .enable_all()
            .build()
            .map_err(|error| WitnessesError::Client(error.into()))?;
        let client = member::client().map_err(|error| WitnessesError::Client(error.into()))?;
        let member = |(witness, url): (&Witness, &String)| {
            Member::new(witness, url, client.clone()).map(Arc::new).ok_or_else(|| WitnessesError::Url(url.clone()))
        };
        let members = witnesses.quorum.witnesses.iter().zip(&witnesses.urls).map(member).collect::<Result<_, _>>()?;
        Ok(Self { witnesses, members, proofs, runtime, held: None })
    }

    fn required(&self) -> usize {
        usize::from(self.witnesses.quorum.required)
    }

    /// The newest checkpoint that any of k witnesses holds: two quorums share a witness, so it is not older than the newest one
    /// anchored.
    fn newest(&self) -> Result<Option<Vec<u8>>, LoadError> {
        let Some(log) = self.witnesses.log else { return Ok(None) };
        let (told, answers) = channel();
        for member in &self.members {
            let (member, told) = (Arc::clone(member), told.clone());
            let (deployment, restores) = (self.witnesses.deployment, self.witnesses.restores);
            self.runtime.spawn(async move { drop(told.send(member.newest(&deployment, restores, &log).await)) });
        }
        drop(told);
        let (mut heard, mut newest, mut reasons) = (0, None::<(Checkpoint, Vec<u8>)>, Vec::new());
        for answer in answers {
            match answer {
                Ok(held) => {
                    heard += 1;
                    if let Some((checkpoint, note)) = held
                        && newest.as_ref().is_none_or(|(known, _)| known.sequence < checkpoint.sequence)
                    {
                        newest = Some((checkpoint, note));
                    }
                }
                Err(error) => reasons.push(error.to_string()),
            }
        }
        if heard < self.required() {
            return Err(LoadError::Unavailable(self.no_quorum(heard, &reasons)));
        }
        Ok(newest.map(|(_, note)| note))
    }

    fn no_quorum(&self, got: usize, reasons: &[String]) -> io::Error {
        io::Error::other(NoQuorum { got, required: self.witnesses.quorum.required, reasons: reasons.join("; ") })
    }

    /// Compares what is held with `previous` and `next`; looks once more before it says that somebody else was faster.
    fn expect(&mut self, previous: &[u8], next: &[u8]) -> Result<(), AdvanceError> {
        let fits = |held: &[u8]| held == previous || held == next;
        if self.held.as_deref().is_some_and(fits) {
            return Ok(());
        }
        let held = self.newest().map_err(AdvanceError::Unavailable)?;
        // Who knows nothing of a log that others go on from has not been faster: it has forgotten, or something else answers in its place.
        let held = match held {
            None if !previous.is_empty() => {
                return Err(AdvanceError::Unavailable(LoadError::Unavailable(nothing_held())));
            }
            held => held.unwrap_or_default(),
        };
        let fits = fits(&held);
        self.held = Some(held.clone());
        if fits { Ok(()) } else { Err(AdvanceError::Lost { holds: held }) }
    }

    /// k cosignatures for the job, or every reason why not.
    fn collect(&self, job: &Arc<Job>) -> Result<Vec<SignatureLine>, Missed> {
        let (mut lines, mut failures) = (Vec::new(), Vec::new());
        let mut members = willing_first(&self.members).into_iter();
        // The first to answer decides between racers.
        for member in members.by_ref() {
            match self.runtime.block_on(member.cosign(job)) {
                Ok(line) => {
                    lines.push(line);
                    break;
                }
                Err(error) => {
                    let is_lost = error.is_lost();
                    failures.push(error);
                    if is_lost {
                        return Err(Missed { got: 0, failures });
                    }
                }
            }
        }
        let answers = self.ask_all(members, job);
        while lines.len() < self.required() {
            match answers.recv() {
                Ok(Ok(line)) => lines.push(line),
                Ok(Err(error)) => failures.push(error),
                Err(_) => return Err(Missed { got: lines.len(), failures }),
            }
        }
        Ok(lines)
    }

    /// Whoever is not waited for goes on by itself, so that a slow witness does not fall behind.
    fn ask_all(
        &self,
        members: impl Iterator<Item = Arc<Member>>,
        job: &Arc<Job>,
    ) -> Receiver<Result<SignatureLine, MemberError>> {
        let (told, answers) = channel();
        for member in members {
            let (job, told) = (Arc::clone(job), told.clone());
            self.runtime.spawn(async move { drop(told.send(member.cosign(&job).await)) });
        }
        answers
    }
}

impl Anchor for WitnessAnchor {
    fn cosigned(&self) -> Option<Cosigned> {
        let members = self.members.clone();
        Some(Arc::new(move || members.iter().filter(|member| member.has_cosigned()).count()))
    }

    fn level(&self) -> AnchorLevel {
        AnchorLevel::L4
    }

    fn load(&self) -> Result<Option<Vec<u8>>, LoadError> {
        self.newest()
    }

    fn advance(&mut self, previous: &[u8], next: &[u8]) -> Result<Receipt, AdvanceError> {
        let checkpoint =
            Checkpoint::read_unverified(next).map_err(|_| AdvanceError::Unavailable(LoadError::Damaged))?;
        self.expect(previous, next)?;
        let job = Arc::new(Job::new(next, checkpoint, self.witnesses.log, Arc::clone(&self.proofs)));
        match self.collect(&job) {
            Ok(lines) => {
                self.held = Some(next.to_vec());
                let mut receipt = next.to_vec();
                lines.iter().for_each(|line| receipt.extend_from_slice(line.to_string().as_bytes()));
                Ok(Receipt(receipt))
            }
            Err(Missed { got, failures }) => {
                // What the witnesses hold now is looked up before the next attempt.
                self.held = None;
                if failures.iter().any(MemberError::is_lost) {
                    let holds = self.newest().map_err(AdvanceError::Unavailable)?.unwrap_or_default();
                    if holds != next {
                        return Err(AdvanceError::Lost { holds });
                    }
                }
                let reasons: Vec<_> = failures.iter().map(ToString::to_string).collect();
                Err(AdvanceError::Unknown(self.no_quorum(got, &reasons)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
