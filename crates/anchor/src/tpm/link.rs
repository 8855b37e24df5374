//! The way to a TPM: the kernel's device, or a TCP port of this machine where a software TPM answers.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest answer of a TPM.
const ANSWER_BYTES_MAX: usize = 4_096;
/// Tag, size and code.
pub(super) const HEADER_BYTES: usize = 10;
/// How long a TPM may take to answer over TCP; the slowest command here makes a key.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
/// What a TPM of this machine is named by.
const TCP: &str = "tcp://";

/// Where a TPM is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TpmPlace {
    /// A device of the kernel's resource manager, like `/dev/tpmrm0`.
    Device(PathBuf),
    /// A TPM that takes commands over TCP, as swtpm does: on this machine only, since nothing protects them on the way.
    Tcp(SocketAddr),
}

/// The text names no TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a TPM is named by a device like /dev/tpmrm0, or tcp://127.0.0.1:2321")]
pub struct NoPlace;

impl FromStr for TpmPlace {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        match text.strip_prefix(TCP) {
            Some(address) => {
                let address: SocketAddr = address.parse().map_err(|_| NoPlace)?;
                let is_here = match address.ip() {
                    IpAddr::V4(ip) => ip.is_loopback(),
                    IpAddr::V6(ip) => ip.is_loopback(),
                };
                if is_here { Ok(Self::Tcp(address)) } else { Err(NoPlace) }
            }
            None if text.starts_with("/dev/") => Ok(Self::Device(text.into())),
            None => Err(NoPlace),
        }
    }
}

impl core::fmt::Display for TpmPlace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Device(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "{TCP}{address}"),
        }
    }
}

/// One TPM, which this process talks to alone while it does.
#[derive(Debug)]
pub(super) struct Link {
    place: TpmPlace,
    answer_time_max: Duration,
    /// The resource manager keeps sessions as long as the device is open.
    device: Mutex<Option<File>>,
}

impl Link {
    /// Opens nothing yet.
    pub(super) fn new(place: TpmPlace) -> Self {
        Self { place, answer_time_max: ANSWER_TIME_MAX, device: Mutex::new(None) }
    }

    #[cfg(test)]
    pub(super) fn with_patience(place: TpmPlace, answer_time_max: Duration) -> Self {
        Self { answer_time_max, ..Self::new(place) }
    }

    /// A turn at the TPM. Nobody else has one meanwhile: a device is locked, and a TPM behind TCP serves one connection at a time.
    pub(super) fn turn(&self) -> io::Result<Turn> {
        match &self.place {
            TpmPlace::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, self.answer_time_max)?;
                stream.set_read_timeout(Some(self.answer_time_max))?;
                stream.set_write_timeout(Some(self.answer_time_max))?;
                stream.set_nodelay(true)?;
                Ok(Turn(Way::Tcp(stream)))
            }
            TpmPlace::Device(path) => {
                let mut kept = self.device.lock().unwrap_or_else(PoisonError::into_inner);
                let device = match kept.take() {
                    Some(device) => device,
                    None => OpenOptions::new().read(true).write(true).open(path)?,
                };
                let turn = device.try_clone()?;
                *kept = Some(device);
                turn.lock()?;
                Ok(Turn(Way::Device(turn)))
            }
        }
    }
}

#[derive(Debug)]
enum Way {
    Device(File),
    Tcp(TcpStream),
    #[cfg(feature = "fuzzing")]
    Script(std::collections::VecDeque<Vec<u8>>),
}

/// See [`Link::turn`]; ends when dropped.
#[derive(Debug)]
pub(super) struct Turn(Way);

impl Turn {
    /// A turn at nobody, whose answers are these.
    #[cfg(feature = "fuzzing")]
    pub(super) const fn scripted(answers: std::collections::VecDeque<Vec<u8>>) -> Self {
        Self(Way::Script(answers))
    }

    /// Leaves the TPM alone for so long.
    pub(super) fn pause(&self, pause: Duration) {
        match &self.0 {
            Way::Device(_) | Way::Tcp(_) => std::thread::sleep(pause),
            #[cfg(feature = "fuzzing")]
            Way::Script(_) => {}
        }
    }

    /// Sends one command; the answer, header and all.
    pub(super) fn transmit(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        match &mut self.0 {
            Way::Device(device) => {
                // The kernel takes a command in one write and gives the answer in one read.
                if device.write(command)? != command.len() {
                    return Err(io::Error::from(io::ErrorKind::WriteZero));
                }
                let mut answer = vec![0; ANSWER_BYTES_MAX];
                let length = device.read(&mut answer)?;
                answer.truncate(length);
                Ok(answer)
            }
            Way::Tcp(stream) => {
                stream.write_all(command)?;
                let mut answer = vec![0; HEADER_BYTES];
                stream.read_exact(&mut answer)?;
                let size = answer.get(2..6).and_then(|size| size.try_into().ok()).map_or(0, u32::from_be_bytes);
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                if !(HEADER_BYTES..=ANSWER_BYTES_MAX).contains(&size) {
                    return Err(io::Error::from(io::ErrorKind::InvalidData));
                }
                answer.resize(size, 0);
                stream.read_exact(answer.split_at_mut(HEADER_BYTES).1)?;
                Ok(answer)
            }
            #[cfg(feature = "fuzzing")]
            Way::Script(answers) => answers.pop_front().ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Way::Device(device) = &self.0 {
            // A lock that cannot be given up ends with the process.
            let _ = device.unlock();
        }
    }
}
