//! The host's HTTP API, typed. What it answers is only what the host says; nothing here is trusted until it is verified.

mod exchange;
mod log;
mod login;
mod networks;
mod problem;
mod server;
mod session;
pub(crate) mod text;
mod types;
mod wallet;

use std::sync::{Arc, Mutex};

pub use exchange::RESPONSE_BYTES_MAX;
pub use networks::PAGE_ITEMS_MAX;
pub use problem::ProblemError;
pub use server::{AppCredentials, Platform, ServerUrl, ServerUrlError};
pub(crate) use session::SENDS_MAX;
pub use types::*;
pub(crate) use wallet::SealedError;

use pinseal_protocol::ids::Hash32;

use crate::environment::Environment;
use crate::profile::{ProfileError, UserName, Vault};

/// The host's API as one app, one device and at most one logged-in user.
///
/// Calls that need a login carry a DPoP proof with the server's nonce and refresh the session when it expires.
#[derive(Debug, Clone)]
pub struct Api {
    inner: Arc<Inner>,
    /// Whose calls these are: with a session of another user's nothing is called. Whoever's is logged in, without one.
    user: Option<UserName>,
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    server: ServerUrl,
    app: AppCredentials,
    vault: Vault,
    environment: Arc<dyn Environment>,
    /// The newest DPoP nonce the server gave.
    nonce: Mutex<Option<String>>,
}

/// Why a call gave no answer. None of these says anything about a PIN.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The server refused and said why.
    #[error(transparent)]
    Problem(#[from] Box<ProblemError>),
    /// No answer came: connection, TLS or time-out. It is unknown whether the server acted.
    #[error("no answer from the server")]
    Transport(#[source] reqwest::Error),
    /// The server answered with a status and no problem document; something between may be at fault.
    #[error("the server answered with HTTP status {0}")]
    Status(u16),
    /// The answer is longer than any answer of this API.
    #[error("the server's answer is too long")]
    TooLong,
    /// The answer is not what this version expects. The server is at fault, or client and server are of different versions.
    #[error("the server's answer is not understood ({0})")]
    Malformed(&'static str),
    /// What the server says of this transaction is not what this device signed under its hash, or is about another one. It lies.
    #[error("the server misreports transaction 0x{0}")]
    Misreported(Hash32),
    /// Nobody is logged in. Log in first.
    #[error("not logged in")]
    NotLoggedIn,
    /// Somebody else has logged in on this profile since. What was begun for one user is not carried on for another.
    #[error("another user has logged in here")]
    UserChanged,
    /// The session ended (logged out elsewhere, expired, or its refresh token was used twice). Log in again.
    #[error("the session has ended; log in again")]
    SessionEnded(#[source] Box<ProblemError>),
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A proof could not be signed: the system's randomness failed.
    #[error("the device key could not sign")]
    Signing,
}

impl ApiError {
    /// True if repeating the same call later may succeed without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.retryable,
            Self::Transport(_) => true,
            Self::Status(status) => matches!(status, 502..=504),
            _ => false,
        }
    }

    /// True if the server may have carried out the last call, or still may.
    pub(crate) fn leaves_outcome_open(&self) -> bool {
        !self.is_refusal() && !matches!(self, Self::NotLoggedIn | Self::UserChanged | Self::Profile(_) | Self::Signing)
    }

    /// True if it is the server's answer that it will not carry the call out. What this device could not do is none: a call may be out then.
    fn is_refusal(&self) -> bool {
        let is_refused = |status: u16| (400..500).contains(&status) && status != 408;
        match self {
            Self::Problem(problem) => is_refused(problem.status) && problem.code != "idempotency_in_progress",
            Self::Status(status) => is_refused(*status),
            Self::SessionEnded(_) => true,
            _ => false,
        }
    }

    /// The problem's stable code, if the server sent one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) | Self::SessionEnded(problem) => Some(&problem.code),
            _ => None,
        }
    }
}

/// Why there is no [`Api`].
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The TLS set-up of this machine cannot be used, for instance because it has no CA certificates.
    #[error("TLS cannot be set up on this machine")]
    Tls(#[source] reqwest::Error),
}

impl Api {
    pub(crate) fn new(
        server: ServerUrl,
        app: AppCredentials,
        vault: Vault,
        environment: Arc<dyn Environment>,
    ) -> Result<Self, ConnectError> {
        let http = exchange::http_client(&server).map_err(ConnectError::Tls)?;
        let inner = Inner { http, server, app, vault, environment, nonce: Mutex::new(None) };
        Ok(Self { inner: Arc::new(inner), user: None })
    }

    /// The same for one user alone.
    pub(crate) fn of(&self, user: UserName) -> Self {
        Self { inner: Arc::clone(&self.inner), user: Some(user) }
    }

    /// Whose calls these are, where that is said.
    pub(crate) const fn user(&self) -> Option<&UserName> {
        self.user.as_ref()
    }

    /// The server it talks to.
    pub fn server(&self) -> &ServerUrl {
        &self.inner.server
    }
}
