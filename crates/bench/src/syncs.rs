//! How often the host waits for its disk, counted by strace in a pass of its own: strace slows what it watches.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::system::Programs;

/// Calls that wait for a disk.
const CALLS: &str = "trace=fsync,fdatasync,sync_file_range,syncfs,msync";

/// A watch on one process.
#[derive(Debug)]
pub(crate) struct Watch {
    strace: std::process::Child,
    said: BufReader<std::process::ChildStderr>,
    summary: std::path::PathBuf,
}

impl Watch {
    /// Attached when this returns.
    pub(crate) fn start(programs: &Programs, pid: u32, scratch: &Path) -> anyhow::Result<Self> {
        let summary = scratch.join("strace");
        let mut command: Command = programs.guarded(Path::new("strace"));
        command.args(["--follow-forks", "--summary-only", "-e", CALLS]).arg("--output").arg(&summary);
        command.args(["--attach", &pid.to_string()]);
        let mut strace = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().context("strace")?;
        let mut said = BufReader::new(strace.stderr.take().context("strace")?);
        let mut line = String::new();
        said.read_line(&mut line).context("strace")?;
        ensure!(line.contains("attached"), "strace: {line}");
        Ok(Self { strace, said, summary })
    }

    /// How many calls there were.
    pub(crate) fn stop(mut self) -> anyhow::Result<u64> {
        let pid = i32::try_from(self.strace.id()).ok().and_then(Pid::from_raw).context("strace")?;
        kill_process(pid, Signal::INT).context("strace")?;
        self.strace.wait().context("strace")?;
        drop(self.said);
        let text = std::fs::read_to_string(&self.summary).context("strace")?;
        Ok(calls(&text))
    }
}

/// The sum of the fourth column of a summary, its last line aside.
fn calls(summary: &str) -> u64 {
    let named = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let name = *columns.last()?;
        if CALLS.trim_start_matches("trace=").split(',').any(|call| call == name) {
            columns.get(3)?.parse::<u64>().ok()
        } else {
            None
        }
    };
    summary.lines().filter_map(named).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_added_up() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 81.20    0.004327          43       100           fdatasync
 18.80    0.001002          20        50         1 fsync
------ ----------- ----------- --------- --------- ----------------
100.00    0.005329          35       150         1 total
";
        assert_eq!(calls(summary), 150);
    }
}
