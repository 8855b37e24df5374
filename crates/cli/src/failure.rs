//! How a command fails: one sentence, what to do next, a stable code, an exit code.

use std::fmt::Write as _;

/// Exit codes; part of the command line's contract and listed in `pinseal --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something failed and no other code says it better.
    Failure = 1,
    /// The command line is wrong; clap uses the same number.
    Usage = 2,
    /// The PIN was wrong; the try is gone.
    WrongPin = 3,
    /// No try is left, or not yet.
    Locked = 4,
    /// Nobody is logged in, or the session has ended.
    NotLoggedIn = 5,
    /// The service did not answer, or says that the fault is its own. No PIN was judged.
    Service = 6,
    /// Evidence, address, receipt, signature or state is not what it must be.
    NotTrusted = 7,
    /// The person said no.
    Declined = 8,
}

/// What a person is told when a command fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Exit code.
    pub(crate) exit: Exit,
    /// Stable code, as in docs/errors.md.
    pub(crate) code: String,
    /// One sentence: what happened.
    pub(crate) sentence: String,
    /// What to do next.
    pub(crate) advice: Option<String>,
    /// The request's id in the server's log.
    pub(crate) trace_id: Option<String>,
}

/// What a command returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with an exit code, a stable code and a sentence.
    pub(crate) fn new(exit: Exit, code: &str, sentence: impl Into<String>) -> Self {
        Self { exit, code: code.to_owned(), sentence: sentence.into(), advice: None, trace_id: None }
    }

    /// The general failure.
    pub(crate) fn failed(code: &str, sentence: impl Into<String>) -> Self {
        Self::new(Exit::Failure, code, sentence)
    }

    /// The command line asks for something that makes no sense.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", sentence)
    }

    /// Reading or writing a file failed.
    pub(crate) fn file(verb: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::failed("file", format!("cannot {verb} {}: {error}", path.display()))
    }

    /// Adds what to do next.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Adds the server's trace id.
    pub(crate) fn traced(mut self, trace_id: Option<String>) -> Self {
        self.trace_id = trace_id;
        self
    }

    /// The text for a terminal, without a final line end.
    pub(crate) fn text(&self) -> String {
        let mut out = format!("error: {}", self.sentence);
        if let Some(advice) = &self.advice {
            let _ = write!(out, "\n  next: {advice}");
        }
        let _ = write!(out, "\n  code: {}", self.code);
        if let Some(trace_id) = &self.trace_id {
            let _ = write!(out, "   trace: {trace_id}");
        }
        out
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "error": {
            "code": self.code,
            "message": self.sentence,
            "advice": self.advice,
            "trace_id": self.trace_id,
            "exit_code": self.exit as u8,
        }})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_sentence_advice_code_and_trace() {
        let failure = Failure::new(Exit::Service, "unavailable", "the service does not answer")
            .advise("try again")
            .traced(Some("ab12".to_owned()));
        assert_eq!(
            failure.text(),
            "error: the service does not answer\n  next: try again\n  code: unavailable   trace: ab12"
        );
        assert_eq!(failure.json()["error"]["exit_code"], 6);
    }
}
