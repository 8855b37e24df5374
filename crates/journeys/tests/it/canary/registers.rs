//! What a waiting process's registers hold.

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::net::{Catch, Net};

/// General and vector registers of a process with one thread, as they are while it waits.
#[cfg(target_arch = "x86_64")]
pub(super) fn read(pid: u32) -> Vec<u8> {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    ptrace::seize(pid, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(pid).unwrap();
    waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap();
    let general = ptrace::getregs(pid).unwrap();
    let vectors = ptrace::getregset::<ptrace::regset::NT_PRFPREG>(pid).unwrap();
    ptrace::detach(pid, None).unwrap();
    let general = [
        general.rax,
        general.rbx,
        general.rcx,
        general.rdx,
        general.rsi,
        general.rdi,
        general.rbp,
        general.r8,
        general.r9,
        general.r10,
        general.r11,
        general.r12,
        general.r13,
        general.r14,
        general.r15,
        general.rsp,
    ];
    let mut bytes: Vec<u8> = general.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend(vectors.xmm_space.iter().chain(&vectors.st_space).flat_map(|word| word.to_le_bytes()));
    bytes
}

/// What of the net's secrets is in a waiting process's registers.
#[cfg(target_arch = "x86_64")]
pub(super) fn search(pid: u32, net: &Net) -> Vec<Catch> {
    net.search(&read(pid)).into_keys().collect()
}

/// Nothing: how to read them is known for x86-64 alone.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn search(_: u32, _: &Net) -> Vec<Catch> {
    Vec::new()
}
