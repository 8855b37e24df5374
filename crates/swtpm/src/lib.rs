//! A software TPM (`swtpm`, which `scripts/setup` installs) on a port of loopback, for tests and measurements; nothing released links it. It keeps
//! to a TPM's rules and protects nothing.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// Ports tried: another program may take one between its choice and its use.
const PORTS_MAX: u32 = 10;
/// Tries of a connection until it listens, and how far they are apart.
const CONNECTIONS_MAX: u32 = 2_000;
const CONNECTIONS_APART: Duration = Duration::from_millis(5);
/// Tag, size and code of an answer.
const HEADER_BYTES: usize = 10;
/// Longest answer read.
const ANSWER_BYTES_MAX: usize = 4_096;

/// One software TPM with a state of its own. Killed when dropped, its state gone.
#[derive(Debug)]
pub struct Swtpm {
    directory: TempDir,
    address: SocketAddr,
    child: Child,
}

impl Swtpm {
    /// Starts one that nobody ever wrote to.
    ///
    /// # Errors
    /// The program is not installed, or does not listen.
    pub fn start() -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let (address, child) = started(directory.path(), None)?;
        Ok(Self { directory, address, child })
    }

    /// Where it takes commands.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a configuration calls that place.
    pub fn place(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// A power cut: what is not in its storage is gone.
    ///
    /// # Errors
    /// It cannot be stopped.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Power again, after [`Swtpm::kill`]: on the port it had, or on another one where that is taken.
    ///
    /// # Errors
    /// It does not listen.
    pub fn restart(&mut self) -> io::Result<()> {
        (self.address, self.child) = started(self.directory.path(), Some(self.address))?;
        Ok(())
    }

    /// Hands one command in, as whoever has the machine may; the answer's code, zero for done.
    ///
    /// # Errors
    /// No answer.
    pub fn command(&self, command: &[u8]) -> io::Result<u32> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.write_all(command)?;
        let mut head = [0; HEADER_BYTES];
        stream.read_exact(&mut head)?;
        let [_, _, a, b, c, d, e, f, g, h] = head;
        // The whole answer is taken, so that the TPM has nothing left to say.
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX).min(ANSWER_BYTES_MAX);
        stream.read_exact(&mut vec![0; length.saturating_sub(HEADER_BYTES)])?;
        Ok(u32::from_be_bytes([e, f, g, h]))
    }

    /// TPM2_NV_UndefineSpace of that index, as the owner may: true if it is gone.
    ///
    /// # Errors
    /// No answer.
    pub fn undefine(&self, index: u32) -> io::Result<bool> {
        let head = [0x80, 2, 0, 0, 0, 31, 0, 0, 1, 0x22, 0x40, 0, 0, 1];
        let password = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];
        Ok(self.command(&[&head[..], &index.to_be_bytes(), &password].concat())? == 0)
    }

    /// TPM2_Clear, as the owner of the platform may: true if owner's keys and indices are gone.
    ///
    /// # Errors
    /// No answer.
    pub fn clear(&self) -> io::Result<bool> {
        let clear = [0x80, 2, 0, 0, 0, 27, 0, 0, 1, 0x26, 0x40, 0, 0, 0x0c, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];
        Ok(self.command(&clear)? == 0)
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn started(directory: &Path, before: Option<SocketAddr>) -> io::Result<(SocketAddr, Child)> {
    if let Some(address) = before
        && let Some(child) = listening(directory, address)?
    {
        return Ok((address, child));
    }
    for _ in 0..PORTS_MAX {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        if let Some(child) = listening(directory, address)? {
            return Ok((address, child));
        }
    }
    Err(io::Error::from(io::ErrorKind::AddrInUse))
}

/// The process, once it listens there; `None` if it ended instead.
fn listening(directory: &Path, address: SocketAddr) -> io::Result<Option<Child>> {
    let mut child = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear", "--tpmstate"])
        .arg(format!("dir={}", directory.display()))
        .arg("--server")
        .arg(format!("type=tcp,port={},bindaddr=127.0.0.1", address.port()))
        .stdin(Stdio::null())
        .spawn()?;
    for _ in 0..CONNECTIONS_MAX {
        if TcpStream::connect(address).is_ok() {
            return Ok(Some(child));
        }
        if child.try_wait()?.is_some() {
            return Ok(None);
        }
        std::thread::park_timeout(CONNECTIONS_APART);
    }
    child.kill()?;
    child.wait()?;
    Err(io::Error::from(io::ErrorKind::TimedOut))
}
