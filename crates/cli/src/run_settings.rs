//! What only one run of the host has, handed to it by the supervisor on a pipe, and what the host says back.

use std::os::fd::RawFd;
use std::path::PathBuf;

use pinseal_client::SecretText;
use pinseal_server::SmtpUrl;
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::backup::BackedUp;
use crate::change::{Description, OrderedChange, Question};
use crate::failure::{Exit, Failure, Outcome};
use crate::secret;

/// Environment variable with the mail server's URL: for one with a password, which no argument may hold.
pub(crate) const SMTP: &str = "PINSEAL_SMTP";

/// Longest settings read; a change with many witnesses takes a few kilobytes, and a pipe holds 64.
const BYTES_MAX: usize = 48 * 1024;

/// Longest line read of the host, which may run as somebody else: a description with the most witnesses takes some 20 KiB.
pub(crate) const WORD_BYTES_MAX: usize = 64 * 1024;

/// Settings of one run. The SMTP URL may carry a password, hence the pipe.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RunSettings {
    /// Outgoing mail, in place of the configured one.
    #[serde(serialize_with = "write_if_any")]
    pub(crate) smtp: Option<SmtpUrl>,
    /// JSON-RPC URL of the local EVM node.
    pub(crate) node: Option<String>,
    /// Origin of the wallet page, in place of the configured one.
    #[serde(default)]
    pub(crate) wallet: Option<String>,
    /// Register an app for local development after making the deployment.
    #[serde(default)]
    pub(crate) with_app: bool,
    /// What to describe.
    #[serde(default)]
    pub(crate) question: Question,
    /// The change to carry out; without one an interrupted change is finished.
    #[serde(default)]
    pub(crate) change: Option<OrderedChange>,
    /// Only have the enclave judge that change, which gives an earlier one up.
    #[serde(default)]
    pub(crate) rehearses: bool,
    /// Instead of a change: have the deployment's index in the TPM there written for the first time.
    #[serde(default)]
    pub(crate) prime: Option<String>,
    /// Where a backup is to lie: an empty directory of the host's user.
    #[serde(default)]
    pub(crate) backup: Option<PathBuf>,
}

fn write_if_any<S: Serializer>(url: &Option<SmtpUrl>, serializer: S) -> Result<S::Ok, S::Error> {
    match url {
        Some(url) => url.write(serializer),
        None => serializer.serialize_none(),
    }
}

/// One line from the host to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HostWord {
    /// It serves.
    Ready,
    /// The deployment was made.
    Created(Created),
    /// What lies in its directory.
    Described(Box<Description>),
    /// The configuration was changed: start again.
    Changed,
    /// The index holds something.
    Primed,
    /// The enclave would carry that change out.
    Rehearsed,
    /// The backup is whole.
    BackedUp(BackedUp),
    /// It ends.
    Failed {
        /// Stable code.
        code: String,
        /// One sentence.
        sentence: String,
        /// What to do.
        advice: Option<String>,
    },
}

/// A new deployment.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Created {
    /// Its id.
    pub(crate) deployment: String,
    /// The app for local development and its key for command lines, if they were asked for.
    pub(crate) app: Option<CreatedApp>,
    /// Verifier key of its log, for witnesses and auditors.
    pub(crate) log_key: Option<String>,
}

/// A new app.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CreatedApp {
    /// App ID.
    pub(crate) app_id: String,
    /// App Key for command lines.
    #[serde(serialize_with = "secret::write")]
    pub(crate) app_key: SecretText,
}

impl RunSettings {
    /// Reads the settings from a descriptor.
    ///
    /// # Errors
    /// Not what the supervisor writes.
    pub(crate) fn read(number: RawFd) -> Outcome<Self> {
        let text = crate::fd::secret_of(number, "run settings", BYTES_MAX)?;
        serde_json::from_str(text.expose_secret())
            .map_err(|error| Failure::usage(format!("the run settings are not understood: {error}")))
    }

    /// What [`RunSettings::read`] reads.
    pub(crate) fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(serde_json::to_string(self).unwrap_or_default())
    }
}

/// Without what moves a terminal's cursor or hides.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl HostWord {
    /// A line, without its end; `None` if it is no word.
    pub(crate) fn read(line: &[u8]) -> Option<Self> {
        (line.len() <= WORD_BYTES_MAX).then(|| serde_json::from_slice(line).ok())?
    }

    /// The word for a failure.
    pub(crate) fn failed(failure: &Failure) -> Self {
        Self::Failed { code: failure.code.clone(), sentence: failure.sentence.clone(), advice: failure.advice.clone() }
    }

    /// Says it on standard output.
    pub(crate) fn say(&self) {
        use std::io::Write as _;
        // It may hold the key of the app that was made.
        let line = Zeroizing::new(serde_json::to_string(self).unwrap_or_default());
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{}", line.as_str());
        let _ = out.flush();
    }

    /// A failure the host told of.
    pub(crate) fn into_failure(self) -> Option<Failure> {
        match self {
            // The host may run as somebody else, and this goes to the operator's terminal.
            Self::Failed { code, sentence, advice } => Some(Failure {
                exit: Exit::Failure,
                code: printable(&code),
                sentence: printable(&sentence),
                advice: advice.as_deref().map(printable),
                trace_id: None,
            }),
            Self::Ready
            | Self::Created(_)
            | Self::Described(_)
            | Self::Changed
            | Self::Primed
            | Self::Rehearsed
            | Self::BackedUp(_) => None,
        }
    }
}
