//! What the process does to itself before it reads a byte of input.
//!
//! Order matters: the image is measured while files can be read, what needs a child process is probed while children are possible,
//! and the system call filter comes last. Each measure is tried, not assumed; [`HardeningReport`] says what was seen.

pub(crate) mod image;
mod landlock;
mod process;
mod report;
mod seccomp;
mod status;
#[allow(unsafe_code, reason = "the one module in which it is allowed; see its text")]
pub(crate) mod sys;

pub use report::{Finding, HardeningReport, Measure, State};
pub use sys::arena::WipingAllocator;

use std::os::fd::RawFd;

use crate::faults::Faults;

/// What stays open and what the filter must allow for it.
#[derive(Debug, Clone)]
pub(crate) struct Descriptors {
    /// Everything that something in this process owns.
    pub(crate) keep: Vec<RawFd>,
    /// The socket from which one connection is still to be accepted.
    pub(crate) listener: Option<RawFd>,
}

/// Applies and probes every measure. Call once, with one thread; afterwards the process can open nothing and start nothing.
///
/// `warm_up` runs when secrets have a place and files can still be opened: for what libraries do at their first use.
pub(crate) fn harden<T>(
    descriptors: &Descriptors,
    allocator: &WipingAllocator,
    faults: &Faults,
    warm_up: impl FnOnce() -> T,
) -> (HardeningReport, T) {
    let mut report = HardeningReport::default();
    let left_out = || Err("left out for a test".to_owned());
    report.enter(Measure::NotDumpable, if faults.stays_dumpable() { left_out() } else { process::not_dumpable() });
    report.enter(Measure::NoCore, process::no_core());
    report.enter(Measure::NoNewPrivileges, process::no_new_privileges());
    process::raise_memory_lock_limit();
    report.enter(Measure::NoCapabilities, process::no_capabilities());
    report.enter(Measure::ClosedDescriptors, process::closed_descriptors(&descriptors.keep));

    // The filter is made before the arena is: the children that probe it need it, and find the arena empty.
    let filter = seccomp::filter(descriptors.listener).map_err(|error| error.to_string());
    report.enter(Measure::LockedArena, arena(allocator));
    report.enter(Measure::LockedStack, stack());
    let warm = warm_up();
    let status = status::Status::open();
    report.enter(Measure::Landlock, landlock::apply_and_probe());
    let stopped = filter.as_ref().map_err(String::clone).and_then(seccomp::probe);
    let applied = filter.and_then(|filter| seccompiler::apply_filter(&filter).map_err(|error| error.to_string()));
    report.enter(Measure::Seccomp, applied.and(stopped));
    status.check(&mut report);
    (report, warm)
}

fn arena(allocator: &WipingAllocator) -> Result<String, String> {
    let kibibytes = sys::arena::ARENA_BYTES / 1024;
    match allocator.activate() {
        Ok(()) => Ok(format!("{kibibytes} KiB locked, left out of dumps, empty in a child, wiped when freed")),
        Err(error) => Err(format!("{kibibytes} KiB could not be locked: {error}")),
    }
}

fn stack() -> Result<String, String> {
    let kibibytes = sys::STACK_BYTES_LOCKED / 1024;
    match sys::lock_stack() {
        Ok(()) => Ok(format!("{kibibytes} KiB and its growth locked")),
        Err(error) => Err(format!("{kibibytes} KiB could not be locked: {error}")),
    }
}
