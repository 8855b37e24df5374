//! Whether enrolment is paused, as the log has it.

use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::log::Entry;
use pinseal_store::records::{ReadError, Records};

/// Since when enrolment is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Place of the log entry that says so.
    pub index: u64,
    /// When, by the host's clock then.
    pub time: UnixSeconds,
}

impl Pause {
    /// The pause that stands, if one does: the newest entry that pauses or resumes says which.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn standing(records: &Records) -> Result<Option<Self>, ReadError> {
        let decides = |entry: &Entry| matches!(entry, Entry::Tripped { .. } | Entry::Configured { resumed: true, .. });
        Ok(records.newest_event(decides)?.and_then(|(index, entry)| Self::of(index, &entry)))
    }

    /// The pause that begins with this entry.
    pub(crate) const fn of(index: u64, entry: &Entry) -> Option<Self> {
        match entry {
            Entry::Tripped { time } => Some(Self { index, time: *time }),
            _ => None,
        }
    }
}
