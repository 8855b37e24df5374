//! The command line. An argument is never echoed: someone may have typed a secret in the wrong place.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::path::PathBuf;

use crate::hardening::Measure;

/// What `--help` prints.
pub const HELP: &str = "\
pinseal-enclaved: the only process of a Pinseal deployment that holds keys

Usage: pinseal-enclaved (--socket-fd N | --socket PATH) --passphrase-fd N [--host-uid N]
                        [--allow-missing MEASURE[,MEASURE...]]

  --socket-fd N        a unix stream socket left open by the parent: connected to the host, or listening for it
  --socket PATH        make and listen on this unix socket (mode 0600); refused while another process is live on it
  --host-uid N         on a listening socket, serve a process of this user only; all others are hung up on
                       [default: the user this process runs as]
  --passphrase-fd N    read the sealing passphrase from this descriptor, up to its end (at most 1024 bytes; one
                       newline at the end is dropped)
  --allow-missing M    start although these hardening measures are missing: not_dumpable, no_core,
                       no_new_privileges, no_capabilities, closed_descriptors, landlock, seccomp, locked_arena,
                       locked_stack
  --help, --version    say so and stop

Serves exactly one host connection and ends when it closes. Log: JSON lines on standard error.
Exit codes: 0 host gone, 64 usage, 66 passphrase, 69 socket, 70 own image, 71 hardening, 75 halted (the reason is in
the last frame to the host), 76 the host sent no valid frame, 77 host gone and no PIN was tested on its word alone (it
did not come to serve, or its level is L2 or L4).
";

/// What the process is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Serve one host.
    Serve(Serve),
    /// Print [`HELP`].
    Help,
    /// Print the release.
    Version,
}

/// How to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    /// Where the host comes in.
    pub socket: SocketArgument,
    /// Where the passphrase is read.
    pub passphrase: RawFd,
    /// User the host runs as; none for our own.
    pub host: Option<u32>,
    /// Measures the operator does without.
    pub allow_missing: Vec<Measure>,
}

/// Where the host comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketArgument {
    /// A socket left open by the parent.
    Descriptor(RawFd),
    /// A socket to be made here.
    Path(PathBuf),
}

/// What is wrong with the command line; the parent process is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// An argument this program does not know.
    #[error("unknown argument at position {0}; see --help")]
    Unknown(usize),
    /// An option without its value.
    #[error("{0} needs a value; see --help")]
    ValueMissing(&'static str),
    /// A value that is none, or one of the standard streams where that makes no sense.
    #[error("{0} has an invalid value; see --help")]
    ValueInvalid(&'static str),
    /// An option given twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// Neither or both of the socket options.
    #[error("exactly one of --socket-fd and --socket is needed; see --help")]
    Socket,
    /// No passphrase descriptor.
    #[error("--passphrase-fd is needed; see --help")]
    Passphrase,
    /// One descriptor for two things.
    #[error("--socket-fd and --passphrase-fd name the same descriptor")]
    SameDescriptor,
}

/// Reads the command line, without the program's name.
///
/// # Errors
/// [`UsageError`]; nothing was done.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut arguments = arguments.into_iter().enumerate();
    let mut socket_fd = None;
    let mut socket_path = None;
    let mut passphrase = None;
    let mut host = None;
    let mut allow_missing = None;
    while let Some((index, argument)) = arguments.next() {
        let mut value = |option| arguments.next().map(|(_, value)| value).ok_or(UsageError::ValueMissing(option));
        match argument.to_str() {
            Some("--help") => return Ok(Command::Help),
            Some("--version") => return Ok(Command::Version),
            Some("--socket-fd") => {
                set(&mut socket_fd, "--socket-fd", descriptor("--socket-fd", &value("--socket-fd")?)?)?
            }
            Some("--socket") => set(&mut socket_path, "--socket", path(value("--socket")?)?)?,
            Some("--passphrase-fd") => {
                set(&mut passphrase, "--passphrase-fd", descriptor("--passphrase-fd", &value("--passphrase-fd")?)?)?;
            }
            Some("--host-uid") => {
                let user = value("--host-uid")?;
                let user = user.to_str().and_then(|user| user.parse().ok());
                set(&mut host, "--host-uid", user.ok_or(UsageError::ValueInvalid("--host-uid"))?)?;
            }
            Some("--allow-missing") => {
                set(&mut allow_missing, "--allow-missing", measures(&value("--allow-missing")?)?)?;
            }
            _ => return Err(UsageError::Unknown(index + 1)),
        }
    }
    let socket = match (socket_fd, socket_path) {
        (Some(number), None) => SocketArgument::Descriptor(number),
        (None, Some(path)) => SocketArgument::Path(path),
        _ => return Err(UsageError::Socket),
    };
    let passphrase = passphrase.ok_or(UsageError::Passphrase)?;
    if socket == SocketArgument::Descriptor(passphrase) {
        return Err(UsageError::SameDescriptor);
    }
    Ok(Command::Serve(Serve { socket, passphrase, host, allow_missing: allow_missing.unwrap_or_default() }))
}

fn set<T>(place: &mut Option<T>, option: &'static str, value: T) -> Result<(), UsageError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(UsageError::Twice(option)),
    }
}

/// Standard input may carry either; standard output and error may not.
fn descriptor(option: &'static str, value: &OsStr) -> Result<RawFd, UsageError> {
    match value.to_str().and_then(|text| text.parse::<RawFd>().ok()) {
        Some(number) if number == 0 || number >= 3 => Ok(number),
        _ => Err(UsageError::ValueInvalid(option)),
    }
}

fn path(value: OsString) -> Result<PathBuf, UsageError> {
    if value.is_empty() { Err(UsageError::ValueInvalid("--socket")) } else { Ok(value.into()) }
}

fn measures(value: &OsStr) -> Result<Vec<Measure>, UsageError> {
    let names = value.to_str().ok_or(UsageError::ValueInvalid("--allow-missing"))?.split(',');
    names.map(|name| Measure::from_name(name).ok_or(UsageError::ValueInvalid("--allow-missing"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_full_line_is_understood() {
        let serve = Serve {
            socket: SocketArgument::Descriptor(5),
            passphrase: 0,
            host: Some(999),
            allow_missing: vec![Measure::Landlock, Measure::LockedArena],
        };
        assert_eq!(
            parsed("--allow-missing landlock,locked_arena --passphrase-fd 0 --host-uid 999 --socket-fd 5"),
            Ok(Command::Serve(serve))
        );
        assert_eq!(parsed("--socket-fd 5 --help"), Ok(Command::Help));
        assert_eq!(parsed("--version"), Ok(Command::Version));
    }

    #[test]
    fn wrong_lines_are_refused_by_name() {
        for (line, error) in [
            ("", UsageError::Socket),
            ("--socket-fd 3", UsageError::Passphrase),
            ("--passphrase-fd 3", UsageError::Socket),
            ("--socket-fd 3 --socket /x --passphrase-fd 4", UsageError::Socket),
            ("--socket-fd 3 --passphrase-fd 3", UsageError::SameDescriptor),
            ("--socket-fd 1 --passphrase-fd 3", UsageError::ValueInvalid("--socket-fd")),
            ("--socket-fd -1 --passphrase-fd 3", UsageError::ValueInvalid("--socket-fd")),
            ("--socket-fd 3 --passphrase-fd two", UsageError::ValueInvalid("--passphrase-fd")),
            ("--socket-fd 3 --passphrase-fd", UsageError::ValueMissing("--passphrase-fd")),
            ("--socket-fd 3 --socket-fd 3", UsageError::Twice("--socket-fd")),
            ("--socket-fd 3 --passphrase-fd 4 --host-uid root", UsageError::ValueInvalid("--host-uid")),
            ("--socket-fd 3 --passphrase-fd 4 --allow-missing all", UsageError::ValueInvalid("--allow-missing")),
            ("--socket-fd 3 --passphrase hunter2", UsageError::Unknown(3)),
        ] {
            assert_eq!(parsed(line), Err(error), "{line}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn the_help_names_every_measure() {
        for measure in Measure::ALL {
            assert!(HELP.contains(measure.name()), "{}", measure.name());
        }
    }
}
