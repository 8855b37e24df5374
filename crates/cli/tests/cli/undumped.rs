//! Nobody else of its user reads the memory of a command, and no crash of it leaves an image.

use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::process::program;

/// An ordinary user, for a test that runs as root.
const NOBODY: u32 = 65_534;
/// How often a process is looked at until it is closed; each look takes some microseconds.
const LOOKS_MAX: usize = 5_000_000;

/// Starts it under an ordinary user, with all the room for core images that there may be and an input that does not end.
fn waiting(directory: &Path, program: &Path, arguments: &[&str]) -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -S -c $(ulimit -H -c); exec \"$@\"", "sh"]).arg(program).args(arguments);
    shell.current_dir(directory).env("HOME", directory).env_remove("PINSEAL_FAULT");
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if rustix::process::geteuid().is_root() {
        shell.uid(NOBODY).gid(NOBODY);
    }
    shell.spawn().unwrap()
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

/// The kernel hands a process that is not dumpable to root, so that its own user can neither trace nor read it.
fn is_open(child: &Child) -> bool {
    std::fs::metadata(format!("/proc/{}/mem", child.id())).unwrap().uid() != 0
}

/// Soft and hard.
fn room_for_a_core(child: &Child) -> [String; 2] {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    let mut words = core.split_whitespace().map(str::to_owned);
    [(); 2].map(|()| words.next().unwrap())
}

#[test]
fn a_command_that_waits_for_a_secret_is_closed_to_its_equals_and_to_core_images() {
    let scratch = tempfile::tempdir().unwrap();
    // The programs, where that user can reach them.
    for name in ["pinseal", "pinseal-enclaved"] {
        std::fs::copy(program().with_file_name(name), scratch.path().join(name)).unwrap();
    }
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(scratch.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }

    let mut other = waiting(scratch.path(), Path::new("sh"), &["-c", "echo ready; read line"]);
    other.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    assert!(is_open(&other), "what every program would show");
    if room_for_a_core(&other)[0] == "0" {
        eprintln!("no program here has room for a core image");
    }
    end(other);

    let init = waiting(scratch.path(), &scratch.path().join("pinseal"), &["init", "--passphrase-fd", "0"]);
    let is_closed = || !is_open(&init) && room_for_a_core(&init) == ["0", "0"];
    assert!(
        (0..LOOKS_MAX).any(|_| {
            std::thread::yield_now();
            is_closed()
        }),
        "another process of the same user can read the command, or a crash of it leaves an image"
    );
    end(init);
}
