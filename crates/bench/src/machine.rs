//! The machine the numbers are of.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::statistics::quantile;

/// Syncs timed.
const SYNCS: usize = 200;
/// What each of them makes durable: a page.
const PAGE_BYTES: usize = 4_096;

/// What it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
    /// Time to append a page and wait until it is on disk, microseconds.
    pub(crate) sync_p50_us: f64,
    pub(crate) sync_p99_us: f64,
}

impl Machine {
    /// This one; the disk is that of `directory`.
    pub(crate) fn here(directory: &Path) -> anyhow::Result<Self> {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let named = |line: &str| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned());
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = |line: &str| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok();
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut syncs = Vec::with_capacity(SYNCS);
        let path = directory.join("sync-probe");
        let mut file = File::create(&path).context("probe of the disk")?;
        for _ in 0..SYNCS {
            let begun = Instant::now();
            file.write_all(&[0x5a; PAGE_BYTES]).and_then(|()| file.sync_data()).context("probe of the disk")?;
            syncs.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        std::fs::remove_file(&path).context("probe of the disk")?;
        syncs.sort_by(f64::total_cmp);
        Ok(Self {
            cpu: cpuinfo.lines().find_map(named).unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: meminfo.lines().find_map(total).unwrap_or_default() / (1024 * 1024),
            kernel: kernel.trim().to_owned(),
            sync_p50_us: quantile(&syncs, 0.5),
            sync_p99_us: quantile(&syncs, 0.99),
        })
    }
}
