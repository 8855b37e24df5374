//! The kinds of messages by name, for the log and for crash tests.

use pinseal_protocol::wire::{FromEnclave, ToEnclave};

/// Every name, for checking what a crash test asks for.
#[cfg(feature = "fault-points")]
pub(crate) const KINDS: &[&str] = &[
    "create",
    "boot",
    "headers",
    "headers_end",
    "begin",
    "sealed",
    "committed",
    "aborted",
    "evidence",
    "hello",
    "created",
    "roll_forward",
    "commit",
    "ready",
    "begun",
    "reply",
    "refused",
    "evidence_reply",
    "halted",
];

pub(super) fn of_incoming(message: &ToEnclave) -> &'static str {
    match message {
        ToEnclave::Create { .. } => "create",
        ToEnclave::Boot { .. } => "boot",
        ToEnclave::Headers { .. } => "headers",
        ToEnclave::HeadersEnd => "headers_end",
        ToEnclave::Begin { .. } => "begin",
        ToEnclave::Sealed { .. } => "sealed",
        ToEnclave::Committed { .. } => "committed",
        ToEnclave::Aborted { .. } => "aborted",
        ToEnclave::Evidence { .. } => "evidence",
        ToEnclave::Defined { .. } => "defined",
        ToEnclave::Prime { .. } => "prime",
    }
}

pub(super) fn of_outgoing(message: &FromEnclave) -> &'static str {
    match message {
        FromEnclave::Hello { .. } => "hello",
        FromEnclave::Created { .. } => "created",
        FromEnclave::RollForward { .. } => "roll_forward",
        FromEnclave::Commit(_) => "commit",
        FromEnclave::Ready { .. } => "ready",
        FromEnclave::Begun { .. } => "begun",
        FromEnclave::Replied { .. } => "reply",
        FromEnclave::Refused { .. } => "refused",
        FromEnclave::Evidence { .. } => "evidence_reply",
        FromEnclave::Changed { .. } => "changed",
        FromEnclave::Halted { .. } => "halted",
        FromEnclave::Define { .. } => "define",
        FromEnclave::Primed { .. } => "primed",
    }
}
