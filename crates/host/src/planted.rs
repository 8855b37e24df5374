//! Defects that the simulator must find, as in the enclave: each one line where it stands, behind a switch that only the feature
//! `planted` builds and only a test on its own thread turns.

/// What can be wrong. Each names the promise it breaks; `docs/simulation.md` says how it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "planted"),
    allow(unreachable_pub, reason = "nobody outside turns a switch that is not there")
)]
pub enum Defect {
    /// The enclave is told of a batch that is stored and not anchored yet.
    TellsBeforeAnchor,
    /// A lost compare-and-swap counts as won.
    FenceMissing,
    /// The enclave is told "aborted" of a batch that is perhaps stored.
    AbortsTheUnknown,
    /// The anchor is advanced over a batch that was certainly not stored.
    AnchorsTheUnstored,
}

#[cfg(feature = "planted")]
std::thread_local! {
    static PLANTED: core::cell::Cell<Option<Defect>> = const { core::cell::Cell::new(None) };
}

/// Plants a defect in every pipeline that runs on this thread, or takes it out again.
#[cfg(feature = "planted")]
pub fn plant(defect: Option<Defect>) {
    PLANTED.set(defect);
}

#[cfg(feature = "planted")]
pub(crate) fn is(defect: Defect) -> bool {
    PLANTED.get() == Some(defect)
}

#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_: Defect) -> bool {
    false
}
