//! What the process gives up about itself: dumps, privileges, descriptors.

use std::os::fd::{AsFd, RawFd};
use std::{fs, io};

use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::sys;

/// The standard streams stay: input and output lead nowhere, error takes the log.
const STANDARD_STREAMS: [RawFd; 3] = [0, 1, 2];

/// What an ordinary user may lock on a current system; arena and stack stay below it.
const MEMORY_LOCK_BYTES: u64 = 8 * 1024 * 1024;

pub(super) fn not_dumpable() -> Result<String, String> {
    pinseal_undumped::not_dumpable().map(|()| "PR_GET_DUMPABLE says 0".to_owned()).map_err(text)
}

/// Asks for the memory that is going to be locked, where this process may: a container's limit is often far below what is usual.
///
/// No measure of its own. If it fails, locking does, and says so.
pub(super) fn raise_memory_lock_limit() {
    let limit = rustix::process::getrlimit(Resource::Memlock);
    if limit.current.is_none_or(|bytes| bytes >= MEMORY_LOCK_BYTES) {
        return;
    }
    let maximum = limit.maximum.map(|bytes| bytes.max(MEMORY_LOCK_BYTES));
    let raised = Rlimit { current: Some(MEMORY_LOCK_BYTES), maximum };
    if rustix::process::setrlimit(Resource::Memlock, raised).is_err() {
        let _ = rustix::process::setrlimit(Resource::Memlock, Rlimit { current: limit.maximum, ..limit });
    }
}

pub(super) fn no_core() -> Result<String, String> {
    pinseal_undumped::no_core().map(|()| "RLIMIT_CORE is 0, soft and hard".to_owned()).map_err(text)
}

pub(super) fn no_new_privileges() -> Result<String, String> {
    rustix::thread::set_no_new_privs(true).map_err(text)?;
    match rustix::thread::no_new_privs().map_err(text)? {
        true => Ok("PR_GET_NO_NEW_PRIVS says 1".to_owned()),
        false => Err("PR_GET_NO_NEW_PRIVS says 0".to_owned()),
    }
}

pub(super) fn no_capabilities() -> Result<String, String> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::clear_ambient_capability_set().map_err(text)?;
    rustix::thread::set_capabilities(None, sets).map_err(text)?;
    if rustix::thread::capabilities(None).map_err(text)? == sets {
        Ok("effective, permitted and inheritable sets are empty".to_owned())
    } else {
        Err("capabilities are left".to_owned())
    }
}

/// Closes all but the standard streams and `keep`, points input and output to `/dev/null`, and looks what is open then.
pub(super) fn closed_descriptors(keep: &[RawFd]) -> Result<String, String> {
    sys::close_descriptors_except(keep).map_err(text)?;
    {
        let null = fs::File::options().read(true).write(true).open("/dev/null").map_err(text)?;
        rustix::stdio::dup2_stdin(null.as_fd()).map_err(text)?;
        rustix::stdio::dup2_stdout(null.as_fd()).map_err(text)?;
    }
    let open = open_descriptors().map_err(text)?;
    let unexpected = open.iter().filter(|number| !STANDARD_STREAMS.contains(number) && !keep.contains(number)).count();
    match unexpected {
        0 => Ok(format!("{} open: standard streams, passphrase, host's socket", open.len())),
        _ => Err(format!("{unexpected} unexpected ones are open")),
    }
}

/// The open descriptors, without the one that is used to look.
fn open_descriptors() -> io::Result<Vec<RawFd>> {
    let numbers: Vec<RawFd> =
        fs::read_dir("/proc/self/fd")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    // The directory is closed again by now, so its own number no longer answers.
    let is_open = |number: &RawFd| fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
    Ok(numbers.into_iter().filter(is_open).collect())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
