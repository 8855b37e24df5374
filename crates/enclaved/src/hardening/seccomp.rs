//! The system call filter: what the loop needs, and an end for everything else.

use std::os::fd::RawFd;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::sys::{ChildEnd, Forbidden, in_child};

/// Calls that are allowed whatever their arguments.
///
/// Reading, writing and waiting concern descriptors that are open already; nothing here makes a new one. Memory calls without a
/// protection argument cannot make code. The signal calls serve the runtime's handler of stack overflows and `abort`.
const PLAIN: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The filter for a process that still has to accept its connection from `listener`, if it has one.
pub(super) fn filter(listener: Option<RawFd>) -> Result<BpfProgram, BackendError> {
    let no_code = || condition(2, SeccompCmpOp::MaskedEq(bits(libc::PROT_EXEC)), 0);
    let mut rules: Vec<(libc::c_long, Vec<SeccompRule>)> = PLAIN.iter().map(|number| (*number, Vec::new())).collect();
    let anonymous = bits(libc::MAP_ANONYMOUS);
    rules.push((
        libc::SYS_mmap,
        vec![SeccompRule::new(vec![no_code()?, condition(3, SeccompCmpOp::MaskedEq(anonymous), anonymous)?])?],
    ));
    rules.push((libc::SYS_mprotect, vec![SeccompRule::new(vec![no_code()?])?]));
    // Whether a descriptor is open: the standard library asserts it on closing, in builds with debug assertions.
    rules.push((libc::SYS_fcntl, vec![SeccompRule::new(vec![condition(1, SeccompCmpOp::Eq, bits(libc::F_GETFD))?])?]));
    // A signal to itself only, for `abort`.
    let itself = u64::from(std::process::id());
    rules.push((libc::SYS_tgkill, vec![SeccompRule::new(vec![condition(0, SeccompCmpOp::Eq, itself)?])?]));
    if let Some(listener) = listener.and_then(|number| u64::try_from(number).ok()) {
        rules.push((libc::SYS_accept4, vec![SeccompRule::new(vec![condition(0, SeccompCmpOp::Eq, listener)?])?]));
        // Who it is that connected.
        let who = vec![
            condition(1, SeccompCmpOp::Eq, bits(libc::SOL_SOCKET))?,
            condition(2, SeccompCmpOp::Eq, bits(libc::SO_PEERCRED))?,
        ];
        rules.push((libc::SYS_getsockopt, vec![SeccompRule::new(who)?]));
    }
    SeccompFilter::new(
        rules.into_iter().collect(),
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}

/// Tries, each in a child under the filter, what must not be possible. Call with one thread.
pub(super) fn probe(filter: &BpfProgram) -> Result<String, String> {
    for forbidden in Forbidden::ALL {
        let end = in_child(|| {
            if seccompiler::apply_filter(filter).is_err() {
                return 2;
            }
            forbidden.attempt();
            0
        });
        match end {
            Ok(ChildEnd::Signal(libc::SIGSYS)) => {}
            Ok(end) => return Err(format!("{forbidden:?} was not stopped ({end:?})")),
            Err(error) => return Err(format!("{forbidden:?} could not be probed: {error}")),
        }
    }
    Ok(format!("{} end the process", Forbidden::ALL.map(Forbidden::name).join(", ")))
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

/// A flag word as the kernel compares it.
fn bits(flags: libc::c_int) -> u64 {
    u64::from(flags.cast_unsigned())
}
