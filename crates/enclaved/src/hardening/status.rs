//! A last look at the process through the kernel's eyes: `/proc/self/status`, opened before files are denied, read after the system
//! call filter is in force.

use std::fs::File;
use std::io;

use super::report::{HardeningReport, Measure};
use super::sys;

/// `/proc/self/status` takes some 1.5 KiB.
const STATUS_BYTES_MAX: usize = 8 * 1024;

/// The open status file. The kernel writes its text when it is read, not when it is opened.
#[derive(Debug)]
pub(super) struct Status(io::Result<File>);

impl Status {
    pub(super) fn open() -> Self {
        Self(File::open("/proc/self/status"))
    }

    /// Reads the text and takes back every entry of `report` that it contradicts.
    pub(super) fn check(self, report: &mut HardeningReport) {
        let text = self.0.and_then(|file| read_once(&file));
        for (measure, field, holds) in EXPECTED {
            match text.as_deref().ok().and_then(|text| value(text, field)) {
                Some(found) if holds(found) => {}
                Some(found) => report.contradict(*measure, &format!("{field} in /proc/self/status is {found}")),
                None => report.contradict(*measure, &format!("no {field} in /proc/self/status to probe it by")),
            }
        }
    }
}

/// Whether a field's text is what it should be.
type Holds = fn(&str) -> bool;

/// Field by field, what must be read there.
const EXPECTED: &[(Measure, &str, Holds)] = &[
    (Measure::Seccomp, "Seccomp", |found| found == "2"),
    (Measure::NoNewPrivileges, "NoNewPrivs", |found| found == "1"),
    (Measure::NoCapabilities, "CapPrm", |found| found.bytes().all(|digit| digit == b'0')),
    (Measure::NoCapabilities, "CapEff", |found| found.bytes().all(|digit| digit == b'0')),
    (Measure::LockedArena, "VmLck", |found| locked_bytes(found) >= sys::arena::ARENA_BYTES),
    (Measure::LockedStack, "VmLck", |found| locked_bytes(found) >= sys::STACK_BYTES_LOCKED),
];

/// `4352 kB` in bytes.
fn locked_bytes(found: &str) -> usize {
    let kibibytes = found.strip_suffix(" kB").and_then(|number| number.trim().parse::<usize>().ok());
    kibibytes.and_then(|number| number.checked_mul(1024)).unwrap_or(0)
}

fn value<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::trim)
}

/// With plain `read`, since the filter allows no other way.
fn read_once(file: &File) -> io::Result<String> {
    let mut buffer = vec![0; STATUS_BYTES_MAX];
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::retry_on_intr(|| rustix::io::read(file, &mut *rest))? {
            0 => break,
            read => filled += read,
        }
    }
    buffer.truncate(filled);
    String::from_utf8(buffer).map_err(|_| io::ErrorKind::InvalidData.into())
}
