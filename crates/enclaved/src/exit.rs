//! How the process ends, towards whoever started it.

use std::process::ExitCode;

use pinseal_protocol::wire::Halt;

use crate::arguments::UsageError;
use crate::hardening::Finding;
use crate::passphrase::PassphraseError;
use crate::socket::SocketError;
use crate::transport::TransportError;

/// Exit code where the host is gone and no PIN was tested on its word alone: the enclave did not come to serve, or its level is L2 or L4. At an end
/// like that whoever holds the host's user was given no guess, so that whoever starts the enclave again need not count it.
pub const UNTRIED: u8 = 77;

/// Why the process ends with an error. No text here carries input: only fixed words and numbers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The command line is wrong; see `--help`.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The passphrase could not be read. Nothing was started.
    #[error("no passphrase")]
    Passphrase(#[from] PassphraseError),
    /// The host's socket cannot be used.
    #[error("no usable host socket")]
    Socket(#[from] SocketError),
    /// The program cannot read its own image, so it could not say what it is.
    #[error("own image cannot be measured")]
    Measurement(#[source] std::io::Error),
    /// The cryptographic library would keep its keys in memory of its own.
    #[error("the cryptographic library does not take this process's memory")]
    Memory(#[source] std::io::Error),
    /// A measure is missing that the operator did not allow to be missing.
    #[error(
        "hardening measure {} is missing ({}); {}, or accept the risk with --allow-missing {}",
        .0.measure.name(), .0.detail, .0.measure.remedy(), .0.measure.name()
    )]
    Hardening(Finding),
    /// The host sent what is no message. It is at fault; restart both.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The enclave refused to go on; the reason went to the host in its last frame.
    #[error("halted: {0:?}")]
    Halted(Halt),
}

impl Failure {
    /// The process's exit code, in the manner of sysexits.h.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Passphrase(_) => 66,
            Self::Socket(_) => 69,
            Self::Measurement(_) | Self::Memory(_) => 70,
            Self::Hardening(_) => 71,
            Self::Halted(_) => 75,
            Self::Transport(_) => 76,
        }
    }

    /// The whole story in one line, causes included.
    pub fn story(&self) -> String {
        let mut story = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            story.push_str(": ");
            story.push_str(&error.to_string());
            cause = error.source();
        }
        story
    }

    /// A fixed word for the log.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage",
            Self::Passphrase(_) => "passphrase",
            Self::Socket(_) => "socket",
            Self::Measurement(_) => "measurement",
            Self::Memory(_) => "memory",
            Self::Hardening(_) => "hardening",
            Self::Halted(_) => "halted",
            Self::Transport(_) => "transport",
        }
    }
}

impl From<&Failure> for ExitCode {
    fn from(failure: &Failure) -> Self {
        Self::from(failure.code())
    }
}
