//! The only unsafe code of the project: system calls and memory that no safe interface offers.
//!
//! Every function here is safe to call, or says what it asks for. Review this file as a whole; nothing else needs it.

pub(super) mod arena;
pub(crate) mod aws_lc;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::process::{WaitOptions, WaitStatus};

/// First descriptor that is not standard input, output or error.
const DESCRIPTOR_FIRST: RawFd = 3;

/// Takes over a descriptor that the parent process left open for us.
///
/// Numbers below 3 belong to the standard streams and are refused. The caller takes each number over at most once, straight after the
/// start: whoever holds the result closes it.
pub(crate) fn adopt_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD touches no memory; for a number that is not open it fails with EBADF.
    if number < DESCRIPTOR_FIRST || unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the number is open, and by the contract above nothing else in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes every descriptor from 3 upwards that is not in `keep`. The caller keeps every descriptor that an owner in this process holds.
pub(super) fn close_descriptors_except(keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|number| *number >= DESCRIPTOR_FIRST).collect();
    keep.sort_unstable();
    let mut first = DESCRIPTOR_FIRST;
    for number in keep {
        if first < number {
            close_range(first, number - 1)?;
        }
        first = number + 1;
    }
    close_range(first, RawFd::MAX)
}

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: close_range touches no memory of ours; that no owner loses its descriptor is the contract of the only caller.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How a probe in a child process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChildEnd {
    /// It returned this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

/// Runs `probe` in a forked child and reports how that ended.
///
/// Must be called while the process has one thread: the child gets a copy of this thread only, and a lock another one held would stay
/// locked. `probe` must neither allocate nor free, since the locked arena is empty in a child.
pub(super) fn in_child(probe: impl FnOnce() -> i32) -> io::Result<ChildEnd> {
    // SAFETY: with one thread (the contract above) the child may run any code.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        let code = probe();
        // SAFETY: ends the child at once, without destructors or buffers of the parent.
        unsafe { libc::_exit(code) }
    }
    let pid = rustix::process::Pid::from_raw(pid);
    let ended = rustix::io::retry_on_intr(|| rustix::process::waitpid(pid, WaitOptions::empty()))?;
    let status = ended.map(|(_, status)| status).ok_or_else(|| io::Error::from_raw_os_error(libc::ECHILD))?;
    child_end(status).ok_or_else(|| io::Error::from_raw_os_error(libc::ECHILD))
}

fn child_end(status: WaitStatus) -> Option<ChildEnd> {
    let code = status.exit_status().map(ChildEnd::Code);
    code.or_else(|| status.terminating_signal().map(ChildEnd::Signal))
}

/// A system call that the filter must end the process for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forbidden {
    /// A network connection.
    Socket,
    /// A file.
    Open,
    /// Another program.
    Execute,
    /// Another process's memory.
    Trace,
    /// A second process.
    Fork,
    /// Memory that is code.
    ExecutableMemory,
}

impl Forbidden {
    /// Everything that is probed.
    pub(super) const ALL: [Self; 6] =
        [Self::Socket, Self::Open, Self::Execute, Self::Trace, Self::Fork, Self::ExecutableMemory];

    /// As an operator reads it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Socket => "network sockets",
            Self::Open => "opening files",
            Self::Execute => "starting programs",
            Self::Trace => "tracing",
            Self::Fork => "new processes",
            Self::ExecutableMemory => "executable memory",
        }
    }

    /// Tries it. Returns only if the kernel let the call reach its own checks.
    pub(crate) fn attempt(self) {
        // Every argument has the width of a register; a narrower one would leave the rest of it undefined.
        const NONE: libc::c_long = 0;
        const CODE: libc::c_long = (libc::PROT_READ | libc::PROT_EXEC) as libc::c_long;
        const ANONYMOUS: libc::c_long = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as libc::c_long;
        let (number, length, protection, flags) = match self {
            Self::Socket => (libc::SYS_socket, NONE, NONE, NONE),
            Self::Open => (libc::SYS_openat, NONE, NONE, NONE),
            Self::Execute => (libc::SYS_execve, NONE, NONE, NONE),
            Self::Trace => (libc::SYS_ptrace, NONE, NONE, NONE),
            Self::Fork => (libc::SYS_clone, NONE, NONE, NONE),
            Self::ExecutableMemory => (libc::SYS_mmap, 4096, CODE, ANONYMOUS),
        };
        // SAFETY: all pointers are null and all lengths zero but for the mapping, which is new memory; so none of the calls reads or
        // writes memory of ours. A clone without a stack continues in a copy of this process, as fork does.
        unsafe { libc::syscall(number, NONE, length, protection, flags, -1 as libc::c_long, NONE) };
    }
}

/// Bytes of stack, from the caller downwards, that are locked into memory. Growth beyond them is locked too, since the kernel grows a
/// stack by its lowest mapping.
pub(super) const STACK_BYTES_LOCKED: usize = 256 * 1024;

/// Locks the stack that this thread is going to use.
#[inline(never)]
pub(super) fn lock_stack() -> io::Result<()> {
    let mut stack = [0_u8; STACK_BYTES_LOCKED];
    let start = std::hint::black_box(&mut stack).as_mut_ptr();
    // SAFETY: the range is this function's own frame, mapped and touched; locking changes no contents.
    Ok(unsafe { rustix::mm::mlock(start.cast(), STACK_BYTES_LOCKED) }?)
}

/// Overwrites the part of the stack that calls before this one left behind.
#[inline(never)]
pub(crate) fn wipe_stack() {
    const BYTES: usize = STACK_BYTES_LOCKED / 2;
    std::hint::black_box(&mut [0_u8; BYTES]);
}
