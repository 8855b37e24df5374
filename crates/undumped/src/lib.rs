//! What a process that reads secrets does first: nobody else of its user reads its memory, and no crash writes it to a disk.
//!
//! The two measures cover each other: a limit of 0 keeps a core image out of files, but not from a program that `core_pattern` names; an
//! undumpable process leaves no image anywhere, but becomes dumpable again where it executes another program, while limits stay.

use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior, setrlimit,
};

/// Why a measure does not hold. The process must not read a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The kernel does not do it.
    #[error(transparent)]
    Kernel(#[from] Errno),
    /// It says that it did, and the process is dumpable.
    #[error("PR_GET_DUMPABLE says {0:?}")]
    Dumpable(DumpableBehavior),
    /// It says that it did, and the limit is another.
    #[error("RLIMIT_CORE is not 0")]
    Limited,
}

/// The kernel writes no image of this program's memory (PR_SET_DUMPABLE), and lets only a process that may trace any other read it. Holds
/// until another program is executed.
///
/// # Errors
/// It is not so.
pub fn not_dumpable() -> Result<(), Refused> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    match dumpable_behavior()? {
        DumpableBehavior::NotDumpable => Ok(()),
        other => Err(Refused::Dumpable(other)),
    }
}

/// A core image of this process or of what it starts has no room (RLIMIT_CORE 0, soft and hard). Holds for good: only a privileged process
/// raises a hard limit.
///
/// # Errors
/// It is not so.
pub fn no_core() -> Result<(), Refused> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)?;
    if getrlimit(Resource::Core) == none { Ok(()) } else { Err(Refused::Limited) }
}
