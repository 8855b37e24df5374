//! Starting a child that cannot outlive its parent, whatever ends the parent, as whatever user.
//!
//! `pinseal guard --parent PID -- PROGRAM ARGS` becomes the user that it is told to, with all groups of that user (a TPM's device belongs to one), asks the
//! kernel for SIGKILL at the parent's end (prctl PR_SET_PDEATHSIG; another user forgets it) and becomes the program; the setting survives `execve` of an
//! ordinary program. One process id is the whole child. The program inherits the three
//! standard streams and what `--keep-fd` names, nothing else.

use std::ffi::OsStr;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::args::GuardArgs;
use crate::failure::{Failure, Outcome};
use crate::fd;
use crate::up::User;

/// A command that runs `program` under guard, as `user` if it is not to be our own, with the descriptors in `kept`. Spawn it from the main thread: the kernel watches the spawning thread, not the process.
pub(crate) fn command(program: &Path, user: Option<&User>, kept: &[RawFd]) -> Outcome<Command> {
    let own = std::env::current_exe()
        .map_err(|error| Failure::failed("program", format!("cannot find the own program file: {error}")))?;
    let mut command = Command::new(own);
    command.args([OsStr::new("guard"), OsStr::new("--parent"), OsStr::new(&std::process::id().to_string())]);
    for number in kept {
        command.arg("--keep-fd").arg(number.to_string());
    }
    if let Some(User { uid, gid, groups, .. }) = user {
        command.args(["--uid".to_owned(), uid.to_string(), "--gid".to_owned(), gid.to_string()]);
        for group in groups {
            command.args(["--group".to_owned(), group.to_string()]);
        }
    }
    command.arg("--").arg(program);
    Ok(command)
}

/// Groups first: a user that is not root chooses none.
fn become_user(uid: u32, gid: u32, groups: &[u32]) -> nix::Result<()> {
    setgroups(&groups.iter().copied().map(Gid::from_raw).collect::<Vec<_>>())?;
    setgid(Gid::from_raw(gid))?;
    setuid(Uid::from_raw(uid))
}

/// Becomes the program; returns only if that fails.
pub(crate) fn run(arguments: &GuardArgs) -> Outcome {
    if let (Some(uid), Some(gid)) = (arguments.uid, arguments.gid) {
        become_user(uid, gid, &arguments.group)
            .map_err(|error| Failure::failed("guard", format!("cannot become user {uid}: {error}")))?;
    }
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| Failure::failed("guard", format!("the kernel does not watch the parent: {error}")))?;
    // The parent may have ended between our start and the line above.
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent != Some(arguments.parent) {
        return Err(Failure::failed("guard", "the parent process has ended"));
    }
    fd::close_others(&arguments.keep_fd)?;
    let (program, rest) = arguments.command.split_first().ok_or_else(|| Failure::usage("no program to start"))?;
    let error = Command::new(program).args(rest).exec();
    Err(Failure::failed("guard", format!("cannot start {}: {error}", Path::new(program).display())))
}
