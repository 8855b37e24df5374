//! Core images, where the kernel writes them into the working directory of the process that crashes.
//!
//! Elsewhere (a pipe, another directory) nothing is crashed: what one would hold was read from the process already, and is
//! [`super::memory::Found::is_dumped`]. That a process has no room for one is looked at everywhere.

use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::net::Net;
use super::secrets::Secret;
use super::whole::{PASSPHRASE, Whole};

/// A process that crashes has written its image within this, or the test fails.
const END_SECONDS: i64 = 60;

/// True if nothing that crashes leaves an image: neither this process, however large its limit becomes, nor what it starts.
pub(super) fn has_no_room(pid: u32) -> bool {
    room(pid) == ["0", "0"]
}

/// The limits of a process for core images, soft and hard.
fn room(pid: u32) -> [String; 2] {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    let mut words = core.split_whitespace().map(str::to_owned);
    [(); 2].map(|()| words.next().unwrap())
}

/// The beginning of an image's name, if this machine writes them where the process works.
fn prefix() -> Option<String> {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let pattern = pattern.trim();
    if pattern.is_empty() || pattern.starts_with('|') || pattern.contains('/') {
        eprintln!("no core image is written here: core_pattern is {pattern:?}");
        return None;
    }
    pattern.split('%').next().map(str::to_owned)
}

/// Crashes a process and takes its image away.
fn image_of(whole: &Whole, name: &str, prefix: &str) -> Option<Vec<u8>> {
    let pid = Pid::from_raw(i32::try_from(whole.pid(name)).unwrap()).unwrap();
    let watched = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    kill_process(pid, Signal::ABORT).unwrap();
    let patience = Timespec { tv_sec: END_SECONDS, tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::new(&watched, PollFlags::IN)], Some(&patience)).unwrap(), 1, "{name} does not end");

    let names = std::fs::read_dir(whole.directory()).unwrap().map(|entry| entry.unwrap().path());
    let images: Vec<PathBuf> =
        names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix)).collect();
    // The enclave ends with the host, and the host with the supervisor; neither leaves one for that.
    assert!(images.len() <= 1, "{images:?}");
    let image = images.first().map(|image| std::fs::read(image).unwrap());
    images.iter().for_each(|image| std::fs::remove_file(image).unwrap());
    image
}

/// The images of a host and of its supervisor that were left open to all, if this machine writes any.
pub(super) fn of_host_and_supervisor(whole: &Whole) -> Option<[Vec<u8>; 2]> {
    let prefix = prefix()?;
    if room(whole.pid("supervisor"))[0] != "unlimited" {
        eprintln!("no core image is written here: the limit is not this test's to raise");
        return None;
    }
    Some(["host", "supervisor"].map(|name| {
        image_of(whole, name, &prefix).unwrap_or_else(|| panic!("the {name} was left open, and leaves no image"))
    }))
}

#[test]
fn neither_a_host_nor_a_supervisor_that_crashes_leaves_an_image() {
    let whole = Whole::as_shipped();
    for (name, pid) in whole.pids() {
        assert!(has_no_room(pid), "the {name} has room for a core image: {:?}", room(pid));
    }
    let Some(prefix) = prefix() else { return };
    // In this order: who started the other would start it anew, or takes it along.
    for name in ["host", "supervisor"] {
        let image = image_of(&whole, name, &prefix);
        let holds = image.as_ref().map(|image| {
            let net = Net::new(&[Secret::text("sealing passphrase", PASSPHRASE)]);
            !net.search(image).is_empty()
        });
        assert!(image.is_none(), "the {name} leaves an image; it holds the passphrase: {holds:?}");
    }
}
