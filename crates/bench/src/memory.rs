//! Memory of a process, as the kernel counts it.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// In KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Resident, what it shares with others included.
    pub(crate) resident: u64,
    /// Resident, shared pages divided by their users; 0 where the kernel does not tell us.
    pub(crate) proportional: u64,
    /// Resident and backed by no file: heap, stacks, arenas.
    pub(crate) anonymous: u64,
    /// The most it was ever resident.
    pub(crate) peak: u64,
}

impl Memory {
    /// Of a process now.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("memory of a process")?;
        // Readable by root and the owner of a dumpable process only.
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        Ok(Self {
            resident: field(&status, "VmRSS:").context("VmRSS")?,
            proportional: field(&rollup, "Pss:").unwrap_or_default(),
            anonymous: field(&status, "RssAnon:").context("RssAnon")?,
            peak: field(&status, "VmHWM:").context("VmHWM")?,
        })
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Open descriptors of a process.
pub(crate) fn descriptors(pid: u32) -> anyhow::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd")).context("descriptors of a process")?.count())
}
