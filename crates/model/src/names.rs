//! Where each name of the model stands in the product. `tests/it/names.rs` fails when a name is not declared there any more, so that a renamed
//! message or step renames it here, or shows that the model is about something that is gone.

/// A name, the file of the product that declares it, and how the declaration begins.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    /// As the model says it.
    pub name: &'static str,
    /// From `crates/` on.
    pub file: &'static str,
    /// A line of the file begins with this, spaces aside.
    pub declared: &'static str,
}

const fn name(name: &'static str, file: &'static str, declared: &'static str) -> Name {
    Name { name, file, declared }
}

const WIRE: &str = "protocol/src/wire.rs";
const PLANTED: &str = "enclave/src/planted.rs";
const PLANTED_IN_HOST: &str = "host/src/planted.rs";

/// Messages and steps.
pub const STEPS: [Name; 17] = [
    name("Boot", WIRE, "Boot {"),
    name("RollForward", WIRE, "RollForward {"),
    name("Commit", WIRE, "Commit(#[n(0)] Batch),"),
    name("Committed", WIRE, "Committed {"),
    name("Aborted", WIRE, "Aborted {"),
    name("Sealed", WIRE, "Sealed {"),
    name("Fenced", WIRE, "Fenced,"),
    name("RollingForward", "enclave/src/enclave.rs", "RollingForward(Box<Booted>, ByteVec, Option<Box<Succession>>),"),
    name("start", "enclave/src/serving.rs", "pub(crate) fn start("),
    name("committed", "enclave/src/serving.rs", "fn committed("),
    name("aborted", "enclave/src/serving.rs", "fn aborted("),
    name("vouches", "enclave/src/receipt.rs", "pub(crate) fn vouches("),
    name("admit", "enclave/src/guard.rs", "pub fn admit("),
    name("outstanding", "enclave/src/guard.rs", "pub fn outstanding("),
    name("Charging", "enclave/src/operation.rs", "Charging {"),
    name("Settling", "enclave/src/operation.rs", "Settling {"),
    name("advance", "anchor/src/anchor.rs", "fn advance("),
];

/// Entries.
pub const ENTRIES: [Name; 4] = [
    name("Boot", "protocol/src/log.rs", "Boot {"),
    name("Charge", "protocol/src/history.rs", "Charged,"),
    name("Settle(right)", "protocol/src/history.rs", "Right,"),
    name("Settle(wrong)", "protocol/src/history.rs", "Wrong,"),
];

/// Defects that the simulator plants in the product under the same names.
pub const DEFECTS: [Name; 12] = [
    name("CheckBeforeCharge", PLANTED, "CheckBeforeCharge,"),
    name("ReplyBeforeAnchor", PLANTED, "ReplyBeforeAnchor,"),
    name("WriteOnlyOnFailure", PLANTED, "WriteOnlyOnFailure,"),
    name("AbortTellsVerdict", PLANTED, "AbortTellsVerdict,"),
    name("RecordNotBound", PLANTED, "RecordNotBound,"),
    name("AnchorReceiptNotVerified", PLANTED, "AnchorReceiptNotVerified,"),
    name("MinorityIsEnough", PLANTED, "MinorityIsEnough,"),
    name("ServesBeforeBootAnchored", PLANTED, "ServesBeforeBootAnchored,"),
    name("NotRolledForward", PLANTED, "NotRolledForward,"),
    name("DeviceCapOff", PLANTED, "DeviceCapOff,"),
    name("TellsBeforeAnchor", PLANTED_IN_HOST, "TellsBeforeAnchor,"),
    name("FenceMissing", PLANTED_IN_HOST, "FenceMissing,"),
];

/// Defects of the model alone: in the product a second line of defence hides each from outside.
pub const OWN_DEFECTS: [&str; 4] = ["BootNonceMissing", "BootEntryMissing", "HalfIsEnough", "WitnessCountsTwice"];
