//! Calls that wait for a batch.

use pinseal_protocol::envelope::ReplySealer;
use pinseal_protocol::ids::{RequestId, UserIdHash};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, Tries};

use crate::operation::{Operation, Read, Settings};

/// A call that waits for a batch.
pub(crate) struct Waiting {
    pub(crate) work: Work,
    pub(crate) reply: Answer,
    pub(crate) bytes: usize,
}

/// What a call is about. It holds its wallet until it is answered.
pub(crate) enum Work {
    Operation(Box<Operation>),
    Read(Read),
}

impl Work {
    pub(crate) const fn wallet(&self) -> UserIdHash {
        match self {
            Self::Operation(operation) => operation.wallet(),
            Self::Read(read) => read.wallet,
        }
    }

    /// The answer: what it waited for is anchored.
    pub(crate) fn finish(&mut self, settings: &Settings<'_>) -> (Outcome, Option<Tries>) {
        match self {
            Self::Operation(operation) => operation.finish(settings),
            Self::Read(Read { outcome, tries, .. }) => {
                (core::mem::replace(outcome, Outcome::Refused(Refusal::NotDurable)), *tries)
            }
        }
    }

    /// The answer where what it waited for was not stored.
    pub(crate) fn abort(&self) -> (Outcome, Option<Tries>) {
        match self {
            Self::Operation(operation) => operation.abort(),
            Self::Read(_) => (Outcome::Refused(Refusal::NotDurable), None),
        }
    }
}

/// What an answer needs.
pub(crate) struct Answer {
    pub(crate) request: RequestId,
    pub(crate) sealer: ReplySealer,
}
