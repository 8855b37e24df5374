//! What must hold after every step.

use core::fmt;

/// A promise that the simulator watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Wrong PINs answered obey every cap of `protocol::limits`, counted from outside.
    Caps,
    /// Nothing decided leaves the enclave before the anchor holds every write of it.
    Anchored,
    /// Number and size of writes and replies follow from the request alone.
    Shape,
    /// Right is called right, and wrong wrong.
    Verdict,
    /// One request is decided at most once, and never after it was refused.
    Once,
    /// A request is decided only against the record its owner began on.
    Fresh,
    /// A device that is not enrolled has a PIN checked only in order to be enrolled.
    Enrolled,
    /// The record's counts are the ones counted outside.
    Books,
    /// What is refused as not durable never counts.
    Refused,
    /// A client is decided for only by a state that continues what it has seen.
    Receipt,
    /// What is answered has all that was anchored when it was asked.
    Current,
    /// The anchored history of a wallet is one line.
    Line,
    /// The newest anchored state opens with the right PIN.
    KeyKept,
    /// A wallet's history tells its enrolled devices what was asked, by whom, and what came of it.
    History,
    /// Configuration and state change only as the operators ordered, each order once.
    Ordered,
    /// A root of a tenure leaves only once the anchor that judges holds its first checkpoint, and opens states of that tenure alone.
    Tenure,
    /// After a restore no PIN of an older record is tested before an enrolled device accepted, once for each, and strangers wait for a clear.
    Restored,
    /// Strangers' tries outstanding over all wallets stay under the ceiling, and none is charged from when it is reached until an order.
    Breaker,
    /// Users who follow instructions get in again, unless the caps say otherwise.
    Live,
}

impl Invariant {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caps => "caps",
            Self::Anchored => "anchored",
            Self::Shape => "shape",
            Self::Verdict => "verdict",
            Self::Once => "once",
            Self::Fresh => "fresh",
            Self::Enrolled => "enrolled",
            Self::Books => "books",
            Self::Refused => "refused",
            Self::Receipt => "receipt",
            Self::Current => "current",
            Self::Line => "line",
            Self::KeyKept => "key kept",
            Self::History => "history",
            Self::Ordered => "ordered",
            Self::Tenure => "tenure",
            Self::Restored => "restored",
            Self::Breaker => "breaker",
            Self::Live => "live",
        }
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub detail: String,
}

impl Violation {
    /// A broken promise, as the error of the step that broke it.
    pub fn of<T>(invariant: Invariant, detail: impl Into<String>) -> Result<T, Self> {
        Err(Self { invariant, detail: detail.into() })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant.name(), self.detail)
    }
}
