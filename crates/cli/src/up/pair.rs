//! Enclave and host: one socket pair, one boot, one fate.

use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use pinseal_client::SecretText;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStdout;
use zeroize::Zeroizing;

use super::children::{Child, Recipe};
use super::ports::{Handover, Port};
use super::programs;
use super::users::Users;
use crate::args::SealedArgs;
use crate::backup::BackedUp;
use crate::change::{Described, OrderedChange, Question};
use crate::data_dir::DataDir;
use crate::deployment;
use crate::failure::{Failure, Outcome};
use crate::fd;
use crate::run_settings::{Created, HostWord, RunSettings, WORD_BYTES_MAX};

/// Unsealing the root (Argon2id) and the boot check take a second or two; a large database longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// Once one of the two has ended, how long the other's explanation is waited for.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The enclave's exit code for "the reason is in the last frame to the host".
const HALTED: i32 = 75;
/// The enclave's exit code for "the host is gone, and no PIN was tested on its word alone".
const UNTRIED: i32 = 77;

/// Everything needed to start a pair again and again.
pub(super) struct Starter<'a> {
    /// Data directory.
    pub(super) data: &'a DataDir,
    /// Directory of the log files.
    pub(super) logs: &'a Path,
    /// The enclave's program.
    pub(super) enclaved: &'a Path,
    /// Who runs what.
    pub(super) users: &'a Users,
    /// Sealing passphrase.
    pub(super) passphrase: SecretText,
    /// Hardening measures the enclave may lack.
    pub(super) allow_missing: Option<&'a str>,
}

/// What a pair is started for.
enum Work<'a> {
    Serve(&'a Port),
    Create,
    Change,
}

/// How a pair ended, or a start of one.
#[derive(Debug)]
pub(super) struct Ended {
    /// The host's or the enclave's reason.
    pub(super) failure: Failure,
    /// The enclave says that it tested no PIN on the host's word alone.
    pub(super) is_untried: bool,
}

impl Ended {
    /// True if nothing but a quorum of witnesses was missing, by the host's word, and nothing can have been gained by saying so, by the enclave's.
    pub(super) fn waits_for_witnesses(&self) -> bool {
        self.is_untried && self.failure.code == "witnesses"
    }
}

/// A running pair.
#[derive(Debug)]
pub(super) struct Pair {
    enclave: Child,
    host: Child,
    words: Option<Words<BufReader<ChildStdout>>>,
    /// An earlier one finished a change that had been interrupted, and this one was started after it.
    pub(super) has_finished_a_change: bool,
}

impl Starter<'_> {
    /// Makes the deployment unless it is there: configuration here, root in the enclave; and, if asked to, an app in the host.
    ///
    /// # Errors
    /// The host's or the enclave's reason.
    pub(super) async fn create(&self, with_app: bool, sealed: &SealedArgs) -> Outcome<Created> {
        deployment::prepare(self.data, sealed)?;
        match self.once(&Work::Create, &RunSettings { with_app, ..RunSettings::default() }).await? {
            HostWord::Created(created) => Ok(created),
            other => Err(other
                .into_failure()
                .unwrap_or_else(|| Failure::failed("host", "the host did not make the deployment"))),
        }
    }

    /// Carries out what was ordered, or finishes a change that was interrupted.
    ///
    /// # Errors
    /// The host's or the enclave's reason.
    pub(super) async fn change(&self, ordered: Option<OrderedChange>) -> Outcome {
        match self.once(&Work::Change, &RunSettings { change: ordered, ..RunSettings::default() }).await? {
            HostWord::Changed => Ok(()),
            other => Err(other
                .into_failure()
                .unwrap_or_else(|| Failure::failed("host", "the host did not change the configuration"))),
        }
    }

    /// Has the enclave judge a change that gives an earlier one up, and changes nothing.
    ///
    /// # Errors
    /// The host's or the enclave's reason.
    pub(super) async fn rehearse(&self, ordered: OrderedChange) -> Outcome {
        let settings = RunSettings { change: Some(ordered), rehearses: true, ..RunSettings::default() };
        match self.once(&Work::Change, &settings).await? {
            HostWord::Rehearsed => Ok(()),
            other => Err(other
                .into_failure()
                .unwrap_or_else(|| Failure::failed("host", "the host did not have the change judged"))),
        }
    }

    /// Has the deployment's index in the TPM there written for the first time.
    ///
    /// # Errors
    /// The host's or the enclave's reason.
    pub(super) async fn prime(&self, place: String) -> Outcome {
        match self.once(&Work::Change, &RunSettings { prime: Some(place), ..RunSettings::default() }).await? {
            HostWord::Primed => Ok(()),
            other => Err(other
                .into_failure()
                .unwrap_or_else(|| Failure::failed("host", "the host did not have the TPM's index written"))),
        }
    }

    /// Starts a pair for work that ends by itself: the host's word on it.
    async fn once(&self, work: &Work<'_>, settings: &RunSettings) -> Outcome<HostWord> {
        let mut pair = self.spawn(work, settings)?;
        let word = pair.word().await;
        pair.settle().await;
        word
    }

    /// Starts a pair and waits until it serves.
    ///
    /// # Errors
    /// The host's or the enclave's reason; both have ended then.
    pub(super) async fn start(&self, api: &Port, settings: &RunSettings) -> Result<Pair, Ended> {
        let not_started = |failure| Ended { failure, is_untried: false };
        let mut pair = self.spawn(&Work::Serve(api), settings).map_err(not_started)?;
        let mut word = pair.word().await;
        if matches!(word, Ok(HostWord::Changed)) {
            // A change that a crash had interrupted is finished now; one connection is one boot.
            pair.settle().await;
            pair = self.spawn(&Work::Serve(api), settings).map_err(not_started)?;
            pair.has_finished_a_change = true;
            word = pair.word().await;
        }
        let failure = match word {
            Ok(HostWord::Ready) => return Ok(pair),
            Ok(other) => {
                other.into_failure().unwrap_or_else(|| Failure::failed("host", "the host said something unexpected"))
            }
            Err(failure) => failure,
        };
        Err(pair.end_with(failure).await)
    }

    fn spawn(&self, work: &Work<'_>, settings: &RunSettings) -> Outcome<Pair> {
        self.users.own(&self.data.host())?;
        let broken =
            |error: std::io::Error| Failure::failed("descriptor", format!("cannot connect enclave and host: {error}"));
        let (enclave_end, host_end) = UnixStream::pair().map_err(broken)?;
        let enclave = self.spawn_enclave(enclave_end)?;

        let host_end = OwnedFd::from(host_end);
        fd::inheritable(&host_end)?;
        let own = programs::own()?;
        let mut arguments =
            vec!["serve".to_owned(), "--directory".to_owned(), self.data.host().to_string_lossy().into_owned()];
        arguments.extend([
            "--enclave-fd".to_owned(),
            host_end.as_raw_fd().to_string(),
            "--run-fd".to_owned(),
            "0".to_owned(),
        ]);
        let listener = if let Work::Serve(api) = work { Some(api.handover()?) } else { None };
        arguments.extend(match (&listener, work) {
            (Some(listener), _) => vec!["--listen-fd".to_owned(), listener.number()],
            (None, Work::Change) => vec!["--change".to_owned()],
            (None, _) => vec!["--create".to_owned()],
        });
        let kept: Vec<_> = [host_end.as_raw_fd()].into_iter().chain(listener.as_ref().map(Handover::raw)).collect();
        let settings = settings.to_text();
        let recipe = Recipe {
            name: "host",
            program: &own,
            user: self.users.host.as_ref(),
            stdin: handed(settings.as_bytes())?,
            kept: &kept,
            talks: true,
            logs: self.logs,
        };
        let mut host = recipe.start(arguments)?;
        let words = host.output().map(|output| Words::of(BufReader::new(output)));
        Ok(Pair { enclave, host, words, has_finished_a_change: false })
    }

    fn spawn_enclave(&self, socket: UnixStream) -> Outcome<Child> {
        let socket = OwnedFd::from(socket);
        fd::inheritable(&socket)?;
        let mut arguments = vec![
            "--socket-fd".to_owned(),
            socket.as_raw_fd().to_string(),
            "--passphrase-fd".to_owned(),
            "0".to_owned(),
        ];
        if let Some(measures) = self.allow_missing {
            arguments.extend(["--allow-missing".to_owned(), measures.to_owned()]);
        }
        let recipe = Recipe {
            name: "enclave",
            program: self.enclaved,
            user: self.users.enclave.as_ref(),
            stdin: handed(self.passphrase.expose_secret().as_bytes())?,
            kept: &[socket.as_raw_fd()],
            talks: false,
            logs: self.logs,
        };
        recipe.start(arguments)
    }
}

/// What lies in the host's directory: the host process says, under its own user.
///
/// # Errors
/// The host's reason.
pub(super) async fn describe(data: &DataDir, logs: &Path, users: &Users, question: Question) -> Outcome<Described> {
    match alone(data, logs, users, RunSettings { question, ..RunSettings::default() }).await? {
        HostWord::Described(description) => Described::read(*description),
        _ => Err(Failure::failed("host", "the host does not say what is there")),
    }
}

/// Has the host process copy what it needs into that empty directory of its user's; what it put there.
///
/// # Errors
/// The host's reason.
pub(super) async fn back_up(data: &DataDir, logs: &Path, users: &Users, to: &Path) -> Outcome<BackedUp> {
    match alone(data, logs, users, RunSettings { backup: Some(to.to_owned()), ..RunSettings::default() }).await? {
        HostWord::BackedUp(made) => Ok(made),
        _ => Err(Failure::failed("host", "the host does not say what it copied")),
    }
}

/// What the host process says where it works without an enclave.
async fn alone(data: &DataDir, logs: &Path, users: &Users, settings: RunSettings) -> Outcome<HostWord> {
    users.own(&data.host())?;
    let own = programs::own()?;
    let recipe = Recipe {
        name: "host",
        program: &own,
        user: users.host.as_ref(),
        stdin: handed(settings.to_text().as_bytes())?,
        kept: &[],
        talks: true,
        logs,
    };
    let host = data.host().to_string_lossy().into_owned();
    let arguments = ["serve", "--directory", &host, "--run-fd", "0", "--describe"];
    let mut child = recipe.start(arguments)?;
    let mut words = child.output().map(|output| Words::of(BufReader::new(output)));
    let word = next_word(&mut words).await;
    let status = child.ended().await;
    match word {
        Some(word @ HostWord::Failed { .. }) => Err(word.into_failure().unwrap_or_else(|| child.failure(status))),
        Some(word) => Ok(word),
        None => Err(child.failure(status)),
    }
}

impl Pair {
    /// Process ids of enclave and host.
    pub(super) fn pids(&self) -> (Option<u32>, Option<u32>) {
        (self.enclave.pid(), self.host.pid())
    }

    /// What the host says first, or why it cannot say anything.
    async fn word(&mut self) -> Outcome<HostWord> {
        let silent = || Failure::failed("host_silent", "enclave and host do not start serving");
        tokio::select! {
            word = next_word(&mut self.words) => match word {
                Some(word) => Ok(word),
                None => Err(self.explain().await),
            },
            status = self.enclave.ended() => self.word_after(status).await,
            () = tokio::time::sleep(PATIENCE) => Err(silent()),
        }
    }

    /// Resolves when one of the two has ended, with the reason.
    pub(super) async fn ended(&mut self) -> Failure {
        tokio::select! {
            status = self.enclave.ended() => self.explain_enclave(status).await,
            status = self.host.ended() => match next_word(&mut self.words).await.and_then(HostWord::into_failure) {
                Some(failure) => failure,
                None => self.host.failure(status),
            },
        }
    }

    /// As [`Pair::ended`]; at once and without a reason where there is no pair.
    pub(super) async fn end_of(pair: &mut Option<Self>) -> Option<Failure> {
        match pair {
            Some(pair) => Some(pair.ended().await),
            None => None,
        }
    }

    /// Stops both and asks the enclave, by its exit code, what its end may have cost.
    pub(super) async fn end_with(mut self, failure: Failure) -> Ended {
        self.stop().await;
        let code = self.enclave.ended().await.and_then(|status| status.code());
        Ended { failure, is_untried: code == Some(UNTRIED) }
    }

    /// The host went silent: whichever ended knows why.
    async fn explain(&mut self) -> Failure {
        let host = tokio::time::timeout(LAST_WORDS, self.host.ended()).await.ok().flatten();
        match tokio::time::timeout(LAST_WORDS, self.enclave.ended()).await {
            Ok(Some(status)) if !is_ordinary(status) => self.enclave.failure(Some(status)),
            _ => self.host.failure(host),
        }
    }

    /// The enclave ended, as it does after making a root: the host may still have something to say about that.
    async fn word_after(&mut self, status: Option<ExitStatus>) -> Outcome<HostWord> {
        let told_host = status.is_none_or(is_ordinary);
        if told_host && let Ok(Some(word)) = tokio::time::timeout(LAST_WORDS, next_word(&mut self.words)).await {
            return Ok(word);
        }
        Err(self.enclave.failure(status))
    }

    /// A serving enclave ended: a halt is explained by the host, all else in the enclave's own log.
    async fn explain_enclave(&mut self, status: Option<ExitStatus>) -> Failure {
        match self.word_after(status).await {
            Ok(word) => word.into_failure().unwrap_or_else(|| self.enclave.failure(status)),
            Err(failure) => failure,
        }
    }

    /// Waits until both have ended by themselves, and makes them.
    async fn settle(&mut self) {
        self.host.settle().await;
        self.enclave.settle().await;
    }

    /// Stops the host, and with it the enclave, whose only connection ends.
    pub(super) async fn stop(&mut self) {
        self.host.stop().await;
        self.enclave.settle().await;
    }
}

/// True if it is for the host to say what happened.
fn is_ordinary(status: ExitStatus) -> bool {
    status.success() || matches!(status.code(), Some(HALTED | UNTRIED))
}

/// What the host says, a line each.
#[derive(Debug)]
struct Words<R> {
    from: R,
    /// What has come of the next line: kept here, so that no byte is lost where a wait for it is given up.
    line: Zeroizing<Vec<u8>>,
}

impl<R: AsyncBufRead + Unpin> Words<R> {
    fn of(from: R) -> Self {
        Self { from, line: Zeroizing::default() }
    }

    /// The next line; `None` at the end, and for one that is no word.
    async fn next(&mut self) -> Option<HostWord> {
        loop {
            let come = self.from.fill_buf().await.ok()?;
            let end = come.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(come.len());
            if come.is_empty() || self.line.len() + taken > WORD_BYTES_MAX {
                return None;
            }
            self.line.extend_from_slice(come.get(..taken)?);
            self.from.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                return HostWord::read(&std::mem::take(&mut self.line));
            }
        }
    }
}

async fn next_word(words: &mut Option<Words<BufReader<ChildStdout>>>) -> Option<HostWord> {
    words.as_mut()?.next().await
}

/// A pipe that holds `bytes` and its end; they fit into the kernel's buffer.
fn handed(bytes: &[u8]) -> Outcome<Stdio> {
    let hand = || -> std::io::Result<Stdio> {
        let (reader, mut writer) = std::io::pipe()?;
        writer.write_all(bytes)?;
        Ok(Stdio::from(reader))
    };
    hand().map_err(|error| Failure::failed("descriptor", format!("cannot hand something to a child process: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_word_comes_in_whatever_pieces_and_no_more_of_a_line_is_kept_than_a_word_may_have() {
        let (mut host, here) = tokio::io::duplex(7);
        let mut words = Words::of(BufReader::new(here));
        let said = tokio::spawn(async move {
            host.write_all(b"\"ready\"\n\"changed\"\n").await.unwrap();
            let _ = host.write_all(&vec![b' '; 2 * WORD_BYTES_MAX]).await;
        });
        assert!(matches!(words.next().await, Some(HostWord::Ready)));
        assert!(matches!(words.next().await, Some(HostWord::Changed)));
        assert!(words.next().await.is_none());
        assert!(words.line.len() <= WORD_BYTES_MAX);
        drop(words);
        said.await.unwrap();
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_loses_nothing_of_the_word() {
        let (mut host, here) = tokio::io::duplex(64);
        let mut words = Words::of(BufReader::new(here));
        host.write_all(b"\"rea").await.unwrap();
        tokio::select! {
            biased;
            _ = words.next() => panic!("half a word is none"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(words.line.as_slice(), b"\"rea");
        host.write_all(b"dy\"\n").await.unwrap();
        assert!(matches!(words.next().await, Some(HostWord::Ready)));
    }
}
