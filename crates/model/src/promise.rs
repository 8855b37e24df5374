//! What must hold in every state.

/// A promise. A state remembers the first one that its last step broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Promise {
    /// Wrong answers that were told never exceed the tries, once over for every time the owner's PIN was found right.
    Caps,
    /// No PIN is tested before its charge is anchored.
    ChargeFirst,
    /// No verdict is told before its settling write is anchored.
    SettleFirst,
    /// An enclave serves only under a receipt for its own BOOT entry that was made since its boot.
    BootFresh,
    /// No more PINs are tested than charges stand on the anchored line, by however many instances.
    OneBudget,
    /// Everything that was tested lies on one line.
    OneLine,
    /// Once all faults are gone and the operator is on the newest database, a user with tries left gets in.
    Live,
}

impl Promise {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Caps, Self::ChargeFirst, Self::SettleFirst, Self::BootFresh, Self::OneBudget, Self::OneLine, Self::Live];

    /// As it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caps => "wrong answers told stay within the cap",
            Self::ChargeFirst => "no PIN is tested before its charge is anchored",
            Self::SettleFirst => "no verdict is told before its settling write is anchored",
            Self::BootFresh => "no receipt from before a boot opens it",
            Self::OneBudget => "no charge is spent twice",
            Self::OneLine => "everything tested lies on one line",
            Self::Live => "an honest user gets in once the faults are gone",
        }
    }
}
