//! What can be wrong with the protocol. Those that the simulator plants in the product's source have its names.

use crate::anchor::Anchor;
use crate::promise::Promise;

/// A defect of the model, off unless a [`crate::Setting`] names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Defect {
    /// A wrong PIN is answered before its try is charged.
    CheckBeforeCharge,
    /// The verdict leaves with the settling write, not after it.
    ReplyBeforeAnchor,
    /// A right PIN is answered without the settling write.
    WriteOnlyOnFailure,
    /// An aborted settling write tells the verdict.
    AbortTellsVerdict,
    /// The guard is asked about whatever record of the wallet the host brings.
    RecordNotBound,
    /// Whatever receipt the host brings is the anchor's.
    AnchorReceiptNotVerified,
    /// One cosignature is a quorum.
    MinorityIsEnough,
    /// One witness's line counts as often as it is there.
    WitnessCountsTwice,
    /// k is half of n.
    HalfIsEnough,
    /// The BOOT entry has no nonce.
    BootNonceMissing,
    /// A boot appends no entry at all, and serves the state it was given.
    BootEntryMissing,
    /// The enclave serves before its BOOT entry is anchored.
    ServesBeforeBootAnchored,
    /// The host tells the enclave of a batch that is stored and not anchored yet.
    TellsBeforeAnchor,
    /// The host takes a lost compare-and-swap for one that was won.
    FenceMissing,
    /// A database one checkpoint ahead of the anchor is served as it is.
    NotRolledForward,
    /// One wrong PIN too many.
    DeviceCapOff,
}

/// L4 as it is recommended, asked by a host that likes to split the witnesses.
const WITNESSES: Anchor = Anchor::Witnesses { all: 4, required: 3, liars: 1, in_order: false };

/// Every defect, where it is looked for, and the promise that breaks first.
pub const ALL: [(Defect, Anchor, Promise); 19] = [
    (Defect::CheckBeforeCharge, Anchor::File, Promise::ChargeFirst),
    (Defect::ReplyBeforeAnchor, Anchor::File, Promise::SettleFirst),
    (Defect::WriteOnlyOnFailure, Anchor::File, Promise::SettleFirst),
    (Defect::AbortTellsVerdict, Anchor::File, Promise::SettleFirst),
    (Defect::RecordNotBound, Anchor::File, Promise::Caps),
    (Defect::DeviceCapOff, Anchor::File, Promise::Caps),
    (Defect::AnchorReceiptNotVerified, Anchor::File, Promise::BootFresh),
    (Defect::AnchorReceiptNotVerified, WITNESSES, Promise::BootFresh),
    (Defect::MinorityIsEnough, WITNESSES, Promise::BootFresh),
    (Defect::WitnessCountsTwice, WITNESSES, Promise::BootFresh),
    (Defect::HalfIsEnough, WITNESSES, Promise::OneLine),
    (Defect::BootNonceMissing, Anchor::File, Promise::BootFresh),
    (Defect::BootNonceMissing, WITNESSES, Promise::BootFresh),
    (Defect::BootEntryMissing, WITNESSES, Promise::OneBudget),
    (Defect::ServesBeforeBootAnchored, Anchor::File, Promise::BootFresh),
    (Defect::ServesBeforeBootAnchored, WITNESSES, Promise::BootFresh),
    (Defect::TellsBeforeAnchor, Anchor::File, Promise::BootFresh),
    (Defect::FenceMissing, Anchor::File, Promise::BootFresh),
    (Defect::NotRolledForward, Anchor::File, Promise::Live),
];
