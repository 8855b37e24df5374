//! The memory of a process, as root reads it.
//!
//! No process of the system can be traced by others of its user. A test that may trace anything reads them as they ship; any other test
//! starts them with [`STAY_DUMPABLE`], which leaves out that one measure in a test build.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rustix::thread::CapabilitySet;

use super::net::{Catch, Net};

/// Told to processes that a test reads without being allowed to trace anything.
pub(super) const STAY_DUMPABLE: &str = "every.stay_dumpable:1";
/// How much is read at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// How often a process is looked at until it waits; each look takes some microseconds.
const LOOKS_MAX: usize = 5_000_000;
/// Number of the capability to trace any process (linux/capability.h).
const CAP_SYS_PTRACE: u32 = 19;

/// Memory that no program writes: the kernel maps it into every process.
const OF_THE_KERNEL: [&str; 4] = ["[vvar]", "[vvar_vclock]", "[vdso]", "[vsyscall]"];

/// A piece of a process's memory, as `/proc/PID/smaps` tells of it.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    start: u64,
    end: u64,
    permissions: String,
    pub(super) name: String,
    fields: BTreeMap<String, String>,
}

impl Mapping {
    fn kibibytes(&self, field: &str) -> u64 {
        self.fields.get(field).map_or(0, |value| value.trim_end_matches(" kB").parse().unwrap())
    }

    pub(super) fn has_flag(&self, flag: &str) -> bool {
        self.fields["VmFlags"].split(' ').any(|name| name == flag)
    }

    /// Why there is nothing to look for in it, if so.
    fn skipped(&self) -> Option<&'static str> {
        if OF_THE_KERNEL.contains(&self.name.as_str()) {
            return Some("the kernel's own, the same in every process");
        }
        if !self.permissions.starts_with('r') {
            return Some("not even the process itself reads it");
        }
        if self.kibibytes("Rss") + self.kibibytes("Swap") == 0 {
            return Some("no page of it exists");
        }
        if self.name.starts_with('/') && !self.permissions.contains('w') && self.kibibytes("Anonymous") == 0 {
            return Some("pages of a file, none of them ever written");
        }
        None
    }

    /// What it is, for a person.
    fn kind(&self) -> &str {
        // A locked part of a stack has lost its name.
        match (self.name.as_str(), self.has_flag("gd")) {
            (_, true) => "[stack]",
            ("", false) => "anonymous",
            (name, false) => name,
        }
    }

    /// Whether a core image of the process would hold it.
    pub(super) fn is_dumped(&self) -> bool {
        !self.has_flag("dd")
    }
}

/// Something of a secret in memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) catch: Catch,
    /// Name and permissions of the mapping.
    pub(super) place: String,
    pub(super) is_locked: bool,
    pub(super) is_dumped: bool,
}

/// True if this test may read any process's memory.
pub(super) fn may_read_anything() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(set.trim(), 16).unwrap() >> CAP_SYS_PTRACE & 1 == 1
}

/// Does something without the right to trace any process: as an ordinary process of the same user.
pub(super) fn as_an_equal<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // Capabilities are a thread's own.
    let thread = std::thread::spawn(|| {
        let mut sets = rustix::thread::capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::SYS_PTRACE);
        sets.permitted.remove(CapabilitySet::SYS_PTRACE);
        rustix::thread::set_capabilities(None, sets).unwrap();
        work()
    });
    thread.join().unwrap()
}

/// Every mapping of a process.
pub(super) fn mappings(pid: u32) -> Vec<Mapping> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in text.lines() {
        match line.split_once(':') {
            Some((name, value)) if !name.contains(' ') => {
                mappings.last_mut().unwrap().fields.insert(name.to_owned(), value.trim().to_owned());
            }
            _ => mappings.push(head(line)),
        }
    }
    mappings
}

/// `start-end permissions offset device inode name`
fn head(line: &str) -> Mapping {
    let mut words = line.split_whitespace();
    let (start, end) = words.next().unwrap().split_once('-').unwrap();
    let permissions = words.next().unwrap().to_owned();
    let name = words.skip(3).collect::<Vec<_>>().join(" ");
    let address = |text| u64::from_str_radix(text, 16).unwrap();
    Mapping { start: address(start), end: address(end), permissions, name, fields: BTreeMap::new() }
}

/// What of the net's secrets lies in the process's memory.
pub(super) fn search(pid: u32, net: &Net) -> Vec<Found> {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = Vec::new();
    let mut read = 0_u64;
    for mapping in mappings(pid).iter().filter(|mapping| mapping.skipped().is_none()) {
        read += mapping.end - mapping.start;
        for catch in search_mapping(&memory, mapping, net) {
            let place = format!("{} {}", mapping.kind(), mapping.permissions);
            found.push(Found { catch, place, is_locked: mapping.has_flag("lo"), is_dumped: mapping.is_dumped() });
        }
    }
    assert!(read > 0, "nothing of process {pid} was read");
    found.sort();
    found.dedup();
    found
}

fn search_mapping(memory: &File, mapping: &Mapping, net: &Net) -> Vec<Catch> {
    let mut caught = BTreeMap::new();
    let mut place = mapping.start;
    let mut chunk = vec![0; CHUNK_BYTES + net.overlap()];
    while place < mapping.end {
        let wanted = usize::try_from(mapping.end - place).unwrap().min(chunk.len());
        // A thread's stack or heap may have shrunk since it was listed.
        let Ok(read) = memory.read_at(&mut chunk[..wanted], place) else { break };
        if read == 0 {
            break;
        }
        caught.extend(net.search(&chunk[..read]));
        place += u64::try_from(read.min(CHUNK_BYTES)).unwrap();
    }
    caught.into_keys().collect()
}

/// Returns once the process's one thread waits for the host: whatever it was asked before is done with.
pub(super) fn wait_until_idle(pid: u32) {
    for _ in 0..LOOKS_MAX {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // The program's name, in brackets, may hold anything.
        if status.rsplit_once(") ").unwrap().1.starts_with('S') {
            return;
        }
        std::thread::yield_now();
    }
    panic!("process {pid} does not come to rest");
}
