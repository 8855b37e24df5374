//! The user's history: every attempt on their wallet's key, proved to be in the deployment's log, and whether any was left out.
//!
//! The enclave says, in a sealed reply, which version the wallet has in the log of the checkpoint that the same reply carries. Versions follow
//! one another without a gap, so the host, which stores the log, owes an entry for each of them, with a proof that leads to
//! that checkpoint's root. What an entry says, only the enclave can open. A host can refuse all this; it cannot leave an attempt out, put
//! another in its place, or show somebody else's.

mod attempts;
mod proof;

use core::time::Duration;

use pinseal_protocol::checkpoint::{Checkpoint, NoteError};
use pinseal_protocol::history::{Detail, LoggedWrite, OpenedWrite};
use pinseal_protocol::ids::{Term, UnixSeconds};
use pinseal_protocol::limits::HISTORY_WRITES_MAX;
use pinseal_protocol::log::{Entry, Tree};
use pinseal_protocol::manifest::boot_keys_hash;
use pinseal_protocol::reply::Outcome;

pub use self::attempts::{Attempt, AttemptResult};
use self::proof::Frame;
use crate::api::{ApiError, LogItem, Page};
use crate::evidence::Attested;
use crate::operation::{Answer, Ask, OperationError};
use crate::profile::Receipt;

/// How often a request is made again after the host has had too many.
const WAITS_MAX: usize = 5;
/// Longest wait in between; a rate is counted by the minute.
const WAIT_SECONDS_MAX: u64 = 70;
/// Pages of the deployment's events that are read, each of 32: enough for a boot an hour over a year.
const EVENT_PAGES_MAX: usize = 300;

/// Why there is no history to show. What the host showed is not shown to the user as one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The enclave's or the host's reason.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// The host gave no page.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The enclave's own checkpoint is not one; it was verified before.
    #[error("the enclave's checkpoint is not understood")]
    Checkpoint(#[from] NoteError),
    /// An entry is not in the log that the enclave signed, or not where the host says.
    #[error("entry {index} is not in the log that the enclave signed: it was made up or changed")]
    Forged {
        /// Place it is said to have.
        index: u64,
    },
    /// An entry is in the log, and is not about this wallet.
    #[error("entry {index} of the log is not about this wallet")]
    Foreign {
        /// Its place.
        index: u64,
    },
    /// An entry is shown again, or before one that is older.
    #[error("entry {index} of the log is shown out of its place")]
    Disorder {
        /// Its place.
        index: u64,
    },
    /// The host left out the entry of a write to this wallet.
    #[error("the entry of write {version} to this wallet was left out")]
    Missing {
        /// The version written.
        version: u64,
    },
    /// The enclave cannot open an entry that it wrote: it has another root key than then.
    #[error("the enclave cannot open the entry of write {version} to this wallet")]
    Unreadable {
        /// The version written.
        version: u64,
    },
    /// A verdict without the charge that comes before it. The enclave never writes that.
    #[error("write {version} to this wallet does not follow from the one before it")]
    Contradiction {
        /// The version written.
        version: u64,
    },
    /// The boot that answers is not the newest among the deployment's events.
    #[error("the newest boot was left out of the deployment's events")]
    BootMissing,
}

/// Something that happened to the deployment as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Place in the log.
    pub index: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The enclave started.
    Boot {
        /// When, by the host's clock.
        time: UnixSeconds,
    },
    /// The operators changed the sealed configuration, or put an older state back.
    Configured {
        /// Restores from then on: more than before, if this was one.
        restores: u32,
        /// Its number from then on.
        term: Term,
        /// When, by the host's clock.
        time: UnixSeconds,
        /// The operators let devices be enrolled again.
        resumed: bool,
    },
    /// Enrolment was paused for everybody: too many wrong PINs came from devices that are not enrolled.
    Paused {
        /// When, by the host's clock.
        time: UnixSeconds,
    },
    /// Something this release does not know: update it.
    Unknown,
}

/// What was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Number of the checkpoint everything is proved against.
    pub checkpoint: u64,
    /// Entries in its log.
    pub size: u64,
    /// Writes to this wallet in that log, by the enclave's word.
    pub writes: u64,
    /// Of these, the newest so many were shown and proved, without a gap.
    pub proven: u64,
    /// True if every attempt there ever was on this wallet's key is among those listed.
    pub is_complete: bool,
    /// Attempts and preparations, newest first.
    pub attempts: Vec<Attempt>,
    /// Events of the deployment since the oldest attempt listed, newest first. The host can leave all but the newest boot out.
    pub events: Vec<Event>,
}

impl HistoryError {
    /// Stable code of what this client found out by itself; see `docs/errors.md`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Operation(_) | Self::Api(_) => "history_unavailable",
            Self::Checkpoint(_) | Self::Forged { .. } => "history_forged",
            Self::Foreign { .. } => "history_foreign",
            Self::Disorder { .. } => "history_disorder",
            Self::Missing { .. } => "history_incomplete",
            Self::Unreadable { .. } => "history_unreadable",
            Self::Contradiction { .. } => "history_contradiction",
            Self::BootMissing => "history_boot_missing",
        }
    }

    /// As [`OperationError::wants_new_evidence`].
    pub fn wants_new_evidence(&self) -> bool {
        matches!(self, Self::Operation(error) if error.wants_new_evidence())
    }
}

impl Attested {
    /// The newest `attempts_max` attempts on the wallet's key, or all there ever were. For enrolled devices; takes no PIN.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn history(&self, attempts_max: Option<u32>) -> Result<History, HistoryError> {
        let (newest, answer) = self.open(&[], None).await?;
        let checkpoint = Checkpoint::verify(&answer.receipt.note, &self.manifest().deployment, &self.manifest().log)?;
        let tree = Tree { size: checkpoint.size, root: checkpoint.root };
        let frame = Frame { tree, wallet: answer.wallet };
        // An attempt has two writes at most, so with one write more every attempt that is listed has its charge.
        let wanted = attempts_max.map_or(newest.current, |attempts| newest.current.min(2 * u64::from(attempts) + 1));
        let proven = self.entries(&frame, newest.current, wanted).await?;
        let opened = self.open_all(&proven, &answer.receipt).await?;
        let is_from_the_start = wanted == newest.current;
        let mut attempts = attempts::merge(&opened, is_from_the_start)?;
        let merged = attempts.len();
        if let Some(attempts_max) = attempts_max {
            attempts.truncate(usize::try_from(attempts_max).unwrap_or(usize::MAX));
        }
        // Where attempts have one write, more may be proved than were asked for.
        let is_complete = is_from_the_start && attempts.len() == merged;
        let since = attempts.last().map_or(0, |attempt| attempt.index);
        let events = self.events(&frame, since).await?;
        Ok(History {
            checkpoint: checkpoint.sequence.0,
            size: checkpoint.size,
            writes: newest.current,
            proven: wanted,
            is_complete,
            attempts,
            events,
        })
    }

    /// The entries of the newest `wanted` of `current` versions, newest first, each proved.
    async fn entries(&self, frame: &Frame, current: u64, wanted: u64) -> Result<Vec<LoggedWrite>, HistoryError> {
        let mut proven: Vec<LoggedWrite> = Vec::new();
        let (mut expected, oldest) = (current, current - wanted);
        let mut cursor = None;
        while expected > oldest {
            let limit = expected - oldest;
            let page = self.wallet_page(frame.tree.size, limit, cursor.as_deref()).await?;
            if page.items.is_empty() {
                return Err(HistoryError::Missing { version: expected });
            }
            for item in &page.items {
                if expected == oldest {
                    break;
                }
                in_place(item, proven.last().map(|last| last.index))?;
                proven.push(frame.write(item, expected)?);
                expected -= 1;
            }
            if page.next_cursor.is_none() && expected > oldest {
                return Err(HistoryError::Missing { version: expected });
            }
            cursor = page.next_cursor;
        }
        Ok(proven)
    }

    /// What the entries say, in their order; they were proved in the log of `seen`.
    async fn open_all(
        &self,
        proven: &[LoggedWrite],
        seen: &Receipt,
    ) -> Result<Vec<(LoggedWrite, Detail)>, HistoryError> {
        let mut out = Vec::with_capacity(proven.len());
        for chunk in proven.chunks(HISTORY_WRITES_MAX) {
            let (said, _) = self.open(chunk, Some(seen)).await?;
            for (write, opened) in chunk.iter().zip(said.opened) {
                match opened {
                    OpenedWrite::Opened(detail) => out.push((write.clone(), detail)),
                    OpenedWrite::NotOpened => return Err(HistoryError::Unreadable { version: write.version.0 }),
                }
            }
        }
        Ok(out)
    }

    /// Waits, where the host has had too many requests, as long as it says: a long history takes many. False if it is not that, or has
    /// been that too often for one request.
    async fn waited(&self, error: &ApiError, waits: &mut usize) -> bool {
        let seconds = match error {
            ApiError::Problem(problem) if problem.code == "rate_limited" => problem.retry_after_seconds,
            _ => None,
        };
        let Some(seconds) = seconds.filter(|_| *waits < WAITS_MAX) else { return false };
        *waits += 1;
        self.client().environment().sleep(Duration::from_secs(seconds.clamp(1, WAIT_SECONDS_MAX))).await;
        true
    }

    async fn wallet_page(&self, size: u64, limit: u64, cursor: Option<&str>) -> Result<Page<LogItem>, ApiError> {
        let mut waits = 0;
        loop {
            match self.client().api().wallet_history(size, limit, cursor).await {
                Err(error) if self.waited(&error, &mut waits).await => {}
                other => return other,
            }
        }
    }

    async fn events_page(&self, size: u64, cursor: Option<&str>) -> Result<Page<LogItem>, ApiError> {
        let mut waits = 0;
        loop {
            match self.client().api().log_events(size, cursor).await {
                Err(error) if self.waited(&error, &mut waits).await => {}
                other => return other,
            }
        }
    }

    /// One `open_history`.
    async fn open(&self, writes: &[LoggedWrite], seen: Option<&Receipt>) -> Result<(Said, Answer), OperationError> {
        let mut waits = 0;
        let mut answer = loop {
            match self.run(&Ask::OpenHistory { writes, seen }).await {
                Err(OperationError::Api(error)) if self.waited(&error, &mut waits).await => {}
                other => break other?,
            }
        };
        let outcome = core::mem::replace(&mut answer.outcome, Outcome::ServiceFault);
        match outcome {
            Outcome::History(history) if history.writes.len() == writes.len() => {
                Ok((Said { current: history.current.0, opened: history.writes }, answer))
            }
            _ => Err(OperationError::Unexpected),
        }
    }

    /// The deployment's events from `since` on. The newest boot is known from the evidence, so that one at least cannot be left out.
    async fn events(&self, frame: &Frame, since: u64) -> Result<Vec<Event>, HistoryError> {
        let own = boot_keys_hash(&self.manifest().hpke, &self.manifest().boot);
        let (mut events, mut cursor, mut newest_boot): (Vec<Event>, _, _) = (Vec::new(), None, None);
        for _ in 0..EVENT_PAGES_MAX {
            let page = self.events_page(frame.tree.size, cursor.as_deref()).await?;
            for item in &page.items {
                in_place(item, events.last().map(|last| last.index))?;
                let kind = match frame.event(item)? {
                    Some(Entry::Boot { keys, time, .. }) => {
                        newest_boot.get_or_insert(keys);
                        EventKind::Boot { time }
                    }
                    Some(Entry::Configured { term, time, restores, resumed, .. }) => {
                        EventKind::Configured { restores, term, time, resumed }
                    }
                    Some(Entry::Tripped { time }) => EventKind::Paused { time },
                    // What an entry of another kind says belongs here, as a kind of event of its own.
                    _ => EventKind::Unknown,
                };
                events.push(Event { index: item.index, kind });
            }
            let is_enough = newest_boot.is_some() && events.last().is_some_and(|event| event.index < since);
            cursor = page.next_cursor;
            if cursor.is_none() || page.items.is_empty() || is_enough {
                break;
            }
        }
        if newest_boot != Some(own) {
            return Err(HistoryError::BootMissing);
        }
        // The first one of before says which boot the oldest attempt listed belongs to.
        let kept = events.iter().position(|event| event.index < since).map_or(events.len(), |before| before + 1);
        events.truncate(kept);
        Ok(events)
    }
}

/// Checks that an entry is older than the one shown before it.
fn in_place(item: &LogItem, before: Option<u64>) -> Result<(), HistoryError> {
    if before.is_none_or(|before| item.index < before) {
        Ok(())
    } else {
        Err(HistoryError::Disorder { index: item.index })
    }
}

/// What an `open_history` said.
struct Said {
    current: u64,
    opened: Vec<OpenedWrite>,
}
