//! CPU time of whole processes, to the nanosecond: the kernel counts threads that have ended, too.

use std::time::Duration;

use anyhow::Context as _;
use nix::time::ClockId;
use nix::unistd::Pid;

/// The CPU clock of one process or of this thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuClock(ClockId);

impl CpuClock {
    /// Of a process of ours.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let number = i32::try_from(pid).context("process id")?;
        Ok(Self(ClockId::pid_cpu_clock_id(Pid::from_raw(number)).with_context(|| format!("CPU clock of {pid}"))?))
    }

    /// Of this process.
    pub(crate) const fn own() -> Self {
        Self(ClockId::CLOCK_PROCESS_CPUTIME_ID)
    }

    /// Of the calling thread.
    pub(crate) const fn thread() -> Self {
        Self(ClockId::CLOCK_THREAD_CPUTIME_ID)
    }

    /// What it shows; fails once the process has ended.
    pub(crate) fn now(self) -> anyhow::Result<Duration> {
        Ok(self.0.now().context("read a CPU clock")?.into())
    }
}
