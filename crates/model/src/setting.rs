//! How large the model is, and what is wrong with it.

use crate::anchor::Anchor;
use crate::defect::Defect;

/// What is explored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Where freshness is kept.
    pub anchor: Anchor,
    /// Wrong PINs that may be outstanding.
    pub tries: u8,
    /// Boots beyond the first of either of two enclaves.
    pub restarts: u8,
    /// Right PINs that the owner enters.
    pub rights: u8,
    /// What is wrong.
    pub defect: Option<Defect>,
    /// States from which the same can come count once ([`crate::reduce`]).
    pub is_reduced: bool,
}

impl Setting {
    /// One user, three tries, one right PIN, two enclaves, two restarts.
    pub const fn full(anchor: Anchor) -> Self {
        Self { anchor, tries: 3, restarts: 2, rights: 1, defect: None, is_reduced: true }
    }

    /// The same with one defect.
    #[must_use]
    pub const fn with(self, defect: Defect) -> Self {
        Self { defect: Some(defect), ..self }
    }

    /// Boots in all: the first of either enclave, and the restarts.
    pub const fn boots_max(&self) -> u8 {
        2 + self.restarts
    }

    /// True if the defect is there.
    pub(crate) fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }
}

/// Levels and what is claimed for them.
pub const CLAIMED: [(&str, Anchor); 5] = [
    ("L1", Anchor::File),
    ("L4, 2 of 3, nobody lies", Anchor::Witnesses { all: 3, required: 2, liars: 0, in_order: true }),
    ("L4, 3 of 4, one lies", Anchor::Witnesses { all: 4, required: 3, liars: 1, in_order: true }),
    (
        "L4, 2 of 3, nobody lies, asked in any order",
        Anchor::Witnesses { all: 3, required: 2, liars: 0, in_order: false },
    ),
    ("L4, 3 of 4, one lies, asked in any order", Anchor::Witnesses { all: 4, required: 3, liars: 1, in_order: false }),
];

/// What is not claimed, and does break.
pub const UNCLAIMED: [(&str, Anchor); 3] = [
    ("L1, the host's word", Anchor::FileOnHostsWord),
    ("L4, 2 of 3, one lies", Anchor::Witnesses { all: 3, required: 2, liars: 1, in_order: false }),
    ("L4, 3 of 4, two lie", Anchor::Witnesses { all: 4, required: 3, liars: 2, in_order: false }),
];
