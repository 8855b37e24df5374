//! Core images, where the kernel writes them into the working directory of the process that crashes.
//!
//! Elsewhere (a pipe, another directory) nothing is tested with one: what one would hold was read from the process already, and is
//! [`super::memory::Found::is_dumped`].

use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::whole::Whole;

/// A process that crashes has written its image within this, or the test fails.
const END_SECONDS: i64 = 60;

/// Crashes the host and gives its image, if this machine writes one here.
pub(super) fn of_host(whole: &Whole) -> Option<PathBuf> {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let pattern = pattern.trim();
    let limit = std::fs::read_to_string(format!("/proc/{}/limits", whole.pid("host"))).unwrap();
    let is_unlimited = limit.lines().any(|line| line.starts_with("Max core file size") && line.contains("unlimited"));
    if pattern.is_empty() || pattern.starts_with('|') || pattern.contains('/') || !is_unlimited {
        eprintln!("no core image is written here (core_pattern {pattern:?}, unlimited: {is_unlimited})");
        return None;
    }
    let host = Pid::from_raw(i32::try_from(whole.pid("host")).unwrap()).unwrap();
    let watched = pidfd_open(host, PidfdFlags::empty()).unwrap();
    kill_process(host, Signal::ABORT).unwrap();
    let patience = Timespec { tv_sec: END_SECONDS, tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::new(&watched, PollFlags::IN)], Some(&patience)).unwrap(), 1, "the host does not end");

    let prefix = pattern.split('%').next().unwrap();
    let names = std::fs::read_dir(whole.directory()).unwrap().map(|entry| entry.unwrap().path());
    let images: Vec<_> = names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix)).collect();
    // The enclave ends with the host, and leaves none.
    assert_eq!(images.len(), 1, "{images:?}");
    images.into_iter().next()
}
