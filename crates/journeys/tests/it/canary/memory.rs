//! The memory of a process, as root reads it.
//!
//! No process of the system can be traced by others of its user. A test that may trace anything reads them as they ship; any other test
//! starts them with [`STAY_DUMPABLE`], which leaves out that one measure in a test build.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use rustix::thread::CapabilitySet;

use super::net::{Catch, Net};
use super::secrets::Secret;

/// Told to processes that a test reads without being allowed to trace anything.
pub(super) const STAY_DUMPABLE: &str = "every.stay_dumpable:1";
/// How much is read at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// What cannot be read is passed by such steps.
const PAGE_BYTES: u64 = 4_096;
/// Resident memory that a process may have given back between the kernel's list of it and the reading: a thread's stack or two, the top of a
/// heap.
const GIVEN_BACK_BYTES_MAX: u64 = 1 << 20;
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

    /// Bytes of it that lay in memory when it was listed.
    fn resident(&self) -> u64 {
        self.kibibytes("Rss") * 1024
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
    let mut read = Read::default();
    for mapping in mappings(pid).iter().filter(|mapping| mapping.skipped().is_none()) {
        let (caught, bytes) = sweep(|chunk, place| memory.read_at(chunk, place), mapping.start..mapping.end, net);
        read.add(bytes, mapping.resident());
        for catch in caught {
            let place = format!("{} {}", mapping.kind(), mapping.permissions);
            found.push(Found { catch, place, is_locked: mapping.has_flag("lo"), is_dumped: mapping.is_dumped() });
        }
    }
    assert!(read.is_whole(), "process {pid} was not read as a whole: {read:?}");
    found.sort();
    found.dedup();
    found
}

/// How much of a process was read.
#[derive(Debug, Default)]
struct Read {
    bytes: u64,
    /// Bytes that were resident and were not read.
    missed: u64,
}

impl Read {
    fn add(&mut self, bytes: u64, resident: u64) {
        self.bytes += bytes;
        self.missed += resident.saturating_sub(bytes);
    }

    /// A search that leaves memory out finds nothing there.
    const fn is_whole(&self) -> bool {
        self.bytes > 0 && self.missed <= GIVEN_BACK_BYTES_MAX
    }
}

/// What is caught in a range of addresses, page by page where it cannot be read in one go, and how many bytes of it were read.
fn sweep(
    read_at: impl Fn(&mut [u8], u64) -> std::io::Result<usize>,
    range: Range<u64>,
    net: &Net,
) -> (Vec<Catch>, u64) {
    let mut caught = BTreeMap::new();
    let (mut place, mut bytes) = (range.start, 0);
    let mut chunk = vec![0; CHUNK_BYTES + net.overlap()];
    while place < range.end {
        let wanted = usize::try_from(range.end - place).unwrap().min(chunk.len());
        match read_at(&mut chunk[..wanted], place) {
            // A guard page, or one that was given back since it was listed.
            Ok(0) | Err(_) => place = (place / PAGE_BYTES + 1) * PAGE_BYTES,
            Ok(read) => {
                caught.extend(net.search(&chunk[..read]));
                let read = u64::try_from(read.min(CHUNK_BYTES)).unwrap();
                (place, bytes) = (place + read, bytes + read);
            }
        }
    }
    (caught.into_keys().collect(), bytes)
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

const SECRET: &[u8; 32] = b"lies behind an unreadable page!!";

/// Four chunks of memory of which one page cannot be read; the secret lies at the end.
fn with_a_hole(chunk: &mut [u8], place: u64) -> std::io::Result<usize> {
    let (hole, end) = (2 * CHUNK_BYTES, 4 * CHUNK_BYTES);
    let memory = |place: usize| if place < end - SECRET.len() { 0 } else { SECRET[place + SECRET.len() - end] };
    let start = usize::try_from(place).unwrap();
    let page = usize::try_from(PAGE_BYTES).unwrap();
    if (hole..hole + page).contains(&start) {
        return Err(std::io::ErrorKind::Other.into());
    }
    let last = if start < hole { hole } else { end };
    let read = chunk.len().min(last - start);
    chunk[..read].iter_mut().zip(start..).for_each(|(byte, place)| *byte = memory(place));
    Ok(read)
}

#[test]
fn what_lies_behind_a_page_that_cannot_be_read_is_found() {
    let net = Net::new(&[Secret::bytes("secret", SECRET)]);
    let whole = u64::try_from(4 * CHUNK_BYTES).unwrap();
    let (caught, bytes) = sweep(with_a_hole, 0..whole, &net);
    assert!(!caught.is_empty());
    assert_eq!(bytes, whole - PAGE_BYTES);
}

#[test]
fn a_search_that_reads_too_little_is_none() {
    let net = Net::new(&[Secret::bytes("secret", SECRET)]);
    let (caught, bytes) = sweep(|_, _| Err(std::io::ErrorKind::PermissionDenied.into()), 0..4 * PAGE_BYTES, &net);
    assert_eq!((caught, bytes), (Vec::new(), 0));
    let suffices = |pieces: &[(u64, u64)]| {
        let mut read = Read::default();
        pieces.iter().for_each(|(bytes, resident)| read.add(*bytes, *resident));
        read.is_whole()
    };
    assert!(!suffices(&[]) && !suffices(&[(0, PAGE_BYTES)]), "nothing was read");
    // Much of one mapping does not make up for another.
    let much = 64 * GIVEN_BACK_BYTES_MAX;
    assert!(!suffices(&[(much, PAGE_BYTES), (0, GIVEN_BACK_BYTES_MAX + PAGE_BYTES)]));
    assert!(suffices(&[(much, PAGE_BYTES), (0, PAGE_BYTES)]));
}
