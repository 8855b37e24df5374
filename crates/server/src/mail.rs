//! Outgoing mail, off the request path: a request only puts a mail in the outbox, so its time tells nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::PoolConfig;
use lettre::{Address, SmtpTransport, Transport as _};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::secret::SecretText;
use pinseal_store::accounts::{Code, CodePurpose};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::config::MailConfig;
use crate::lines::{Lines, Source};
use crate::metrics::Metrics;

/// Tries before a mail is given up; the user asks for another code long before.
const TRIES: u32 = 3;
/// Further tries at a time, beside the one mail that is sent for the first time.
const RETRIES_AT_ONCE: u32 = 4;
/// Conversations with the mail server at a time, and connections that are kept for the next mails: one for each that is sent at a time.
const CONNECTIONS_MAX: u32 = 1 + RETRIES_AT_ONCE;

/// How long a mail server is waited for.
struct Patience {
    /// For its next word, and until it takes the next one.
    word: Duration,
    /// For all of them; then the mail steps aside. The thread that talks goes on until the server is silent for too long, or done: such a mail
    /// may arrive twice.
    conversation: Duration,
    /// Before the second try; doubled for the third.
    retry: Duration,
}

impl Patience {
    const SHIPPED: Self =
        Self { word: Duration::from_secs(20), conversation: Duration::from_secs(60), retry: Duration::from_secs(2) };
}

/// Why no mail can be sent. The operator mends the configuration.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// Not an SMTP URL.
    #[error("mail.smtp_url is not an SMTP URL")]
    Url,
    /// Not a mailbox.
    #[error("mail.from is not a mailbox")]
    From,
}

/// What a mail says.
pub(crate) enum Letter {
    /// The code that verifies an address.
    Verify(SecretText),
    /// The code that resets a password.
    Reset(SecretText),
    /// Somebody signed up with an address that has an account.
    AlreadyRegistered,
    /// The password was changed.
    PasswordChanged,
}

/// A mail on its way.
struct Mail {
    to: Address,
    letter: Letter,
    code: Option<Code>,
}

/// Bounded lines of mails, and the task that sends them, one after the other. Whoever has many mails sent waits behind themselves: the lines
/// are served in turn, and the longest loses its newest where there is no room. A mail that the mail server does not take yet steps
/// aside, so that nobody delays other people's codes by addresses that cannot be delivered to.
pub struct Outbox {
    waiting: Arc<Mutex<Waiting>>,
    /// Rung for the sender; it ends with the last one who may ring.
    bell: mpsc::Sender<()>,
    metrics: Arc<Metrics>,
}

/// Every mail that is not over.
struct Waiting {
    lines: Lines<Mail>,
    /// Codes that have left the lines and may still be sent, by what makes them void: a newer one for the same.
    under_way: HashMap<(CodePurpose, Hash32), Hash32>,
}

impl Waiting {
    fn next(&mut self) -> Option<Mail> {
        let next = self.lines.next()?;
        self.under_way.extend(next.code.map(|code| (subject(code), code.mac.mac)));
        Some(next)
    }

    /// True unless a newer code came meanwhile.
    fn is_wanted(&self, mail: &Mail) -> bool {
        mail.code.is_none_or(|code| self.under_way.get(&subject(code)) == Some(&code.mac.mac))
    }

    fn over(&mut self, mail: &Mail) {
        if let Some(code) = mail.code
            && self.is_wanted(mail)
        {
            self.under_way.remove(&subject(code));
        }
    }
}

/// Of two codes for the same, the newer one counts.
const fn subject(code: Code) -> (CodePurpose, Hash32) {
    (code.purpose, code.mac.address)
}

impl Outbox {
    /// Starts the sender on the current runtime. It ends when the outbox is dropped.
    ///
    /// # Errors
    /// [`MailError`].
    pub(crate) fn start(config: &MailConfig, waiting_max: usize, metrics: Arc<Metrics>) -> Result<Self, MailError> {
        Self::with_patience(config, waiting_max, metrics, Patience::SHIPPED)
    }

    fn with_patience(
        config: &MailConfig,
        waiting_max: usize,
        metrics: Arc<Metrics>,
        patience: Patience,
    ) -> Result<Self, MailError> {
        let from: Mailbox = config.from.parse().map_err(|_| MailError::From)?;
        // The blocking client: of the other one only the connecting is bounded in time, and its pool takes back connections in the middle of
        // a conversation that was given up.
        let transport = SmtpTransport::from_url(config.smtp_url.expose_secret())
            .map_err(|_| MailError::Url)?
            .timeout(Some(patience.word))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS_MAX))
            .build();
        let (bell, mut rung) = mpsc::channel(1);
        let waiting = Arc::new(Mutex::new(Waiting { lines: Lines::new(waiting_max), under_way: HashMap::new() }));
        let office = Arc::new(Office {
            transport,
            patience,
            from,
            metrics: Arc::clone(&metrics),
            waiting: Arc::clone(&waiting),
            aside: Arc::new(Semaphore::new(waiting_max)),
            retries: Semaphore::new(RETRIES_AT_ONCE as usize),
            conversations: Arc::new(Semaphore::new(CONNECTIONS_MAX as usize)),
        });
        tokio::spawn(async move {
            while rung.recv().await.is_some() {
                while let Some(mail) = next(&office.waiting) {
                    office.send_first(mail).await;
                }
            }
        });
        Ok(Self { waiting, bell, metrics })
    }

    /// Puts a mail in its source's line. What lost its place for it, or did not get one, is dropped; the code in it comes back, to be taken
    /// back where codes are counted. An older code of the address is void, and is not mailed after the newer one.
    pub(crate) fn post(&self, source: Source, to: &str, letter: Letter, code: Option<Code>) -> Option<Code> {
        let Ok(to) = to.parse::<Address>() else { return code };
        let (lost, void) = {
            let mut waiting = lock(&self.waiting);
            let void = waiting.lines.retain(|mail| !replaces(code, mail.code));
            if let Some(code) = code {
                waiting.under_way.remove(&subject(code));
            }
            match waiting.lines.join(source, Mail { to, letter, code }) {
                Ok(joined) => (joined.lost, void),
                Err(newcomer) => (Some(newcomer), void),
            }
        };
        self.metrics.mails.with_label_values(&["void"]).inc_by(void as u64);
        // Rung already if there is no room for it.
        let _ = self.bell.try_send(());
        let lost = lost?;
        self.metrics.mails.with_label_values(&["dropped"]).inc();
        tracing::warn!("the mail outbox is full; a mail was dropped");
        lost.code
    }
}

/// True if an older code is void by a newer one.
fn replaces(newer: Option<Code>, older: Option<Code>) -> bool {
    newer.is_some() && newer.map(subject) == older.map(subject)
}

// Not in a condition of the loop itself, which would hold the lock while a mail is sent.
fn next(waiting: &Mutex<Waiting>) -> Option<Mail> {
    lock(waiting).next()
}

// Every change is whole before the lock is given back, so a poisoned one guards sound lines.
fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What became of a try.
enum Tried {
    /// The mail server may take it later.
    Later,
    /// Sent or failed for good, in the metrics' words.
    Over(&'static str),
}

/// The mail server did not take a mail.
struct Undelivered {
    /// And never will.
    permanent: bool,
}

/// What sending takes.
struct Office {
    transport: SmtpTransport,
    patience: Patience,
    from: Mailbox,
    metrics: Arc<Metrics>,
    waiting: Arc<Mutex<Waiting>>,
    /// Places of mails that stepped aside.
    aside: Arc<Semaphore>,
    retries: Semaphore,
    /// As many threads may talk to the mail server, those included that nobody waits for any more.
    conversations: Arc<Semaphore>,
}

impl Office {
    /// The first try. A mail that may be taken later goes on by itself.
    async fn send_first(self: &Arc<Self>, mail: Mail) {
        match self.send(&mail, 1).await {
            Tried::Later => match Arc::clone(&self.aside).try_acquire_owned() {
                Ok(place) => drop(tokio::spawn(Arc::clone(self).retry(mail, place))),
                Err(_) => self.over(&mail, "failed"),
            },
            Tried::Over(outcome) => self.over(&mail, outcome),
        }
    }

    async fn send(&self, mail: &Mail, attempt: u32) -> Tried {
        let Some(message) = compose(&self.from, mail) else { return Tried::Over("failed") };
        let permanent = match tokio::time::timeout(self.patience.conversation, self.converse(mail, message)).await {
            Ok(Ok(outcome)) => return Tried::Over(outcome),
            Ok(Err(Undelivered { permanent })) => permanent,
            Err(_) => false,
        };
        // The server's words may name the recipient, so only their kind is logged.
        tracing::warn!(attempt, permanent, "a mail could not be sent");
        if permanent || attempt == TRIES { Tried::Over("failed") } else { Tried::Later }
    }

    /// What became of the mail, in the metrics' words.
    async fn converse(&self, mail: &Mail, message: Message) -> Result<&'static str, Undelivered> {
        let permit = Arc::clone(&self.conversations).acquire_owned().await;
        // A newer code may have come, and gone, while this one waited.
        if !lock(&self.waiting).is_wanted(mail) {
            return Ok("void");
        }
        let transport = self.transport.clone();
        let talking = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            transport.send(&message).map(|_| "sent")
        });
        match talking.await {
            Ok(sent) => sent.map_err(|error| Undelivered { permanent: error.is_permanent() }),
            // It panicked, or the runtime ends.
            Err(_) => Err(Undelivered { permanent: false }),
        }
    }

    /// The tries after the first one, a pause before each.
    async fn retry(self: Arc<Self>, mail: Mail, _place: OwnedSemaphorePermit) {
        let mut wait = self.patience.retry;
        for attempt in 2..=TRIES {
            tokio::time::sleep(wait).await;
            wait *= 2;
            // Never closed.
            let _turn = self.retries.acquire().await;
            if let Tried::Over(outcome) = self.send(&mail, attempt).await {
                return self.over(&mail, outcome);
            }
        }
    }

    fn over(&self, mail: &Mail, outcome: &str) {
        lock(&self.waiting).over(mail);
        self.metrics.mails.with_label_values(&[outcome]).inc();
    }
}

impl Drop for Office {
    // What is kept open is closed with a word to the mail server. No thread of the runtime waits for its answer.
    fn drop(&mut self) {
        let transport = self.transport.clone();
        let _ = std::thread::Builder::new().spawn(move || transport.shutdown());
    }
}

fn compose(from: &Mailbox, mail: &Mail) -> Option<Message> {
    // Lines below 76 characters travel as they are, so that the plainest mail reader shows them whole.
    let (subject, body) = match &mail.letter {
        Letter::Verify(code) => (
            format!("{} is your verification code", code.expose_secret()),
            format!(
                "Your code is {}.\n\n\
                 It verifies this address and is valid for five minutes. If you did\n\
                 not sign up, ignore this mail: without the code nothing happens.\n",
                code.expose_secret()
            ),
        ),
        Letter::Reset(code) => (
            format!("{} is your password reset code", code.expose_secret()),
            format!(
                "Your code is {}.\n\n\
                 It lets you set a new password and is valid for five minutes. If you\n\
                 did not ask for it, ignore this mail. None of us will ever ask you\n\
                 for the code or for your PIN.\n",
                code.expose_secret()
            ),
        ),
        Letter::AlreadyRegistered => (
            "You already have an account".to_owned(),
            "Somebody, perhaps you, signed up with this address, which\n\
             already has an account. Log in as always, or reset the password\n\
             if it is lost. Nothing was changed.\n"
                .to_owned(),
        ),
        Letter::PasswordChanged => (
            "Your password was changed".to_owned(),
            "The password of your account was changed and every session was\n\
             logged out. If this was not you, reset the password now. Your wallet\n\
             still needs your PIN.\n"
                .to_owned(),
        ),
    };
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, mail.to.clone()))
        .subject(subject)
        .header(ContentType::TEXT_PLAIN)
        .body(body)
        .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use pinseal_protocol::ids::UnixSeconds;
    use pinseal_store::accounts::CodeMac;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A way to a real mail server on which nothing is said any more on the first so many connections.
    async fn muffled(mailbox: &pinseal_mailbox::Mailbox, silent: Arc<AtomicUsize>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let server = mailbox.url().trim_start_matches("smtp://").to_owned();
        tokio::spawn(async move {
            for number in 0.. {
                let (client, server) = (listener.accept().await.unwrap().0, TcpStream::connect(&server).await.unwrap());
                let silent = Arc::clone(&silent);
                tokio::spawn(async move {
                    let ((mut asks, mut hears), (mut says, mut takes)) = (client.into_split(), server.into_split());
                    let hearing = async {
                        let mut words = [0; 1_024];
                        while let Ok(length @ 1..) = says.read(&mut words).await {
                            if number >= silent.load(Ordering::SeqCst) {
                                hears.write_all(&words[..length]).await?;
                            }
                        }
                        Ok(0)
                    };
                    let _: (io::Result<u64>, io::Result<u64>) =
                        tokio::join!(tokio::io::copy(&mut asks, &mut takes), hearing);
                });
            }
        });
        url
    }

    /// An outbox that is not patient, and how many connections of its are silent.
    async fn hasty() -> (Outbox, pinseal_mailbox::Mailbox, Arc<AtomicUsize>) {
        let (mailbox, silent) = (pinseal_mailbox::Mailbox::open().await.unwrap(), Arc::new(AtomicUsize::new(0)));
        let url = muffled(&mailbox, Arc::clone(&silent)).await;
        let config = MailConfig { smtp_url: url.into(), ..MailConfig::default() };
        let word = Duration::from_millis(200);
        let patience = Patience { word, conversation: 20 * word, retry: word / 4 };
        let metrics = Arc::new(Metrics::new().unwrap());
        (Outbox::with_patience(&config, 20, metrics, patience).unwrap(), mailbox, silent)
    }

    /// Waits until every code that was posted is over: the mail server's last word is heard, too.
    async fn over(outbox: &Outbox) {
        let is_over = |waiting: &Waiting| waiting.lines.waiting() == 0 && waiting.under_way.is_empty();
        while !is_over(&lock(&outbox.waiting)) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_mail_server_that_says_nothing_holds_up_one_mail_and_not_the_next() {
        let (outbox, mut mailbox, silent) = hasty().await;
        silent.store(1, Ordering::SeqCst);
        post(&outbox, 1, 1);
        post(&outbox, 2, 2);
        let mut both = sent(&mut mailbox, 2).await;
        both.sort();
        assert_eq!(both, ["a1", "a2"]);
    }

    #[tokio::test]
    async fn a_connection_that_falls_silent_between_two_mails_does_not_stop_the_second() {
        let (outbox, mut mailbox, silent) = hasty().await;
        post(&outbox, 1, 1);
        assert_eq!(sent(&mut mailbox, 1).await, ["a1"]);
        over(&outbox).await;
        silent.store(mailbox.connections(), Ordering::SeqCst);
        post(&outbox, 1, 3);
        assert_eq!(sent(&mut mailbox, 1).await, ["a3"]);
        over(&outbox).await;
        assert!(mailbox.is_empty());
    }

    #[tokio::test]
    async fn a_code_that_was_put_off_does_not_come_after_a_newer_one() {
        let (outbox, mut mailbox, silent) = hasty().await;
        silent.store(1, Ordering::SeqCst);
        post(&outbox, 1, 1);
        while lock(&outbox.waiting).under_way.is_empty() {
            tokio::task::yield_now().await;
        }
        let letter = Letter::Verify(SecretText::new("654321".to_owned()));
        let mut newer = code(1);
        newer.mac.mac = Hash32([99; 32]);
        assert!(outbox.post(from(2), "a1@example.test", letter, Some(newer)).is_none());
        assert_eq!(mailbox.next().await.unwrap().code().as_deref(), Some("654321"));
        let void = outbox.metrics.mails.with_label_values(&["void"]);
        while void.get() == 0 {
            tokio::task::yield_now().await;
        }
        post(&outbox, 1, 7);
        assert_eq!(sent(&mut mailbox, 1).await, ["a7"]);
        assert!(mailbox.is_empty());
    }

    /// An outbox over a real mail server. Nothing is sent before the test waits.
    async fn outbox(waiting_max: usize) -> (Outbox, pinseal_mailbox::Mailbox) {
        let mailbox = pinseal_mailbox::Mailbox::open().await.unwrap();
        let config = MailConfig { smtp_url: mailbox.url().to_owned().into(), ..MailConfig::default() };
        (Outbox::start(&config, waiting_max, Arc::new(Metrics::new().unwrap())).unwrap(), mailbox)
    }

    fn from(network: u8) -> Source {
        Source::address(std::net::IpAddr::from([192, 0, network, 1]))
    }

    fn code(number: u8) -> Code {
        let mac = CodeMac { address: Hash32([number; 32]), mac: Hash32([number; 32]) };
        Code { purpose: CodePurpose::Verify, mac, now: UnixSeconds(0) }
    }

    /// Posts a code of that number to `a{number}`; the number of the code that comes back.
    fn post(outbox: &Outbox, network: u8, number: u8) -> Option<u8> {
        let letter = Letter::Verify(SecretText::new("123456".to_owned()));
        let lost = outbox.post(from(network), &format!("a{number}@example.test"), letter, Some(code(number)));
        lost.map(|lost| lost.mac.address.0[0])
    }

    async fn sent(mailbox: &mut pinseal_mailbox::Mailbox, count: usize) -> Vec<String> {
        let mut sent = Vec::new();
        for _ in 0..count {
            sent.push(mailbox.next().await.unwrap().to.trim_end_matches("@example.test").to_owned());
        }
        sent
    }

    #[tokio::test]
    async fn a_networks_flood_of_mails_waits_behind_itself() {
        let (outbox, mut mailbox) = outbox(20).await;
        for number in 0..10 {
            assert_eq!(post(&outbox, 1, number), None);
        }
        post(&outbox, 2, 99);
        assert_eq!(sent(&mut mailbox, 3).await, ["a0", "a99", "a1"]);
        assert_eq!(sent(&mut mailbox, 8).await.last().unwrap(), "a9");
        assert!(mailbox.connections() < 4, "{} connections for eleven mails", mailbox.connections());
    }

    #[tokio::test]
    async fn a_full_outbox_drops_the_floods_newest_and_gives_its_code_back() {
        let (outbox, mut mailbox) = outbox(4).await;
        let lost: Vec<_> = (0..5).map(|number| post(&outbox, 1, number)).collect();
        assert_eq!(lost, [None, None, None, None, Some(4)]);
        assert_eq!(post(&outbox, 2, 99), Some(3));
        assert_eq!(sent(&mut mailbox, 4).await, ["a0", "a99", "a1", "a2"]);
    }

    #[tokio::test]
    async fn an_older_code_does_not_come_after_a_newer_one() {
        let (outbox, mut mailbox) = outbox(20).await;
        for number in 0..3 {
            post(&outbox, 1, number);
        }
        let letter = Letter::Verify(SecretText::new("654321".to_owned()));
        assert!(outbox.post(from(2), "a2@example.test", letter, Some(code(2))).is_none());
        post(&outbox, 3, 9);
        assert_eq!(sent(&mut mailbox, 1).await, ["a0"]);
        let newer = mailbox.next().await.unwrap();
        assert_eq!((newer.to.as_str(), newer.code().as_deref()), ("a2@example.test", Some("654321")));
        assert_eq!(sent(&mut mailbox, 2).await, ["a9", "a1"]);
        post(&outbox, 1, 7);
        assert_eq!(sent(&mut mailbox, 1).await, ["a7"], "the older one is gone");
    }

    #[tokio::test]
    async fn an_owner_is_told_whoever_floods() {
        let (outbox, mut mailbox) = outbox(3).await;
        for network in 1..4 {
            assert_eq!(post(&outbox, network, network), None);
        }
        assert_eq!(post(&outbox, 4, 4), Some(4), "every network has one place");
        let owner = "owner@example.test";
        assert!(outbox.post(Source::owner(owner), owner, Letter::PasswordChanged, None).is_some());
        assert_eq!(sent(&mut mailbox, 3).await, ["a1", "a2", "owner"]);
    }
}
