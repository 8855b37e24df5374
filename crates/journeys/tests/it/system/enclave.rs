//! The enclave's process, as its supervisor starts it.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::wire::{Wire, relay};

pub(crate) const PASSPHRASE: &[u8] = b"a passphrase for tests only";
/// The enclave's exit code for "the reason is in the last frame to the host".
const HALTED: i32 = 75;

/// What a test adds to the command line and the environment of the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// A running enclave; killed when dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it over a pair of sockets with [`Wire`] in the middle, and gives the host's end.
    pub(crate) fn start(directory: &Path, wire: &Arc<Wire>, surroundings: &Surroundings) -> (Self, UnixStream) {
        let (theirs, enclave_side) = UnixStream::pair().unwrap();
        let (host, host_side) = UnixStream::pair().unwrap();
        let (passphrase, mut writer) = std::io::pipe().unwrap();
        writer.write_all(PASSPHRASE).unwrap();
        drop(writer);
        // Only this descriptor is inherited by number: whoever else is started meanwhile holds no end of the conversation.
        rustix::io::fcntl_setfd(&passphrase, rustix::io::FdFlags::empty()).unwrap();
        let log = File::options().create(true).append(true).open(directory.join("enclave.log")).unwrap();
        let child = Command::new(program())
            .args(["--socket-fd", "0", "--passphrase-fd", &passphrase.as_raw_fd().to_string()])
            .args(&surroundings.arguments)
            .env_remove("PINSEAL_FAULT")
            .env_remove("PINSEAL_KEEP_SECRETS")
            .envs(surroundings.environment.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        relay(host_side, enclave_side, Arc::clone(wire));
        (Self(child), host)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits for the end that follows the end of its connection or its own halt.
    pub(crate) fn ended(&mut self) {
        let status = self.0.wait().unwrap();
        assert!(status.success() || status.code() == Some(HALTED), "the enclave ended with {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Beside the directory of this test's own program, whatever the target directory and profile.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.ancestors().nth(2).unwrap().join("pinseal-enclaved");
    assert!(program.exists(), "build first: cargo build -p pinseal-enclaved");
    program
}
