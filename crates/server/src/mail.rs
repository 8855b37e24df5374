//! Outgoing mail, off the request path: a request only puts a mail in the outbox, so its time tells nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::PoolConfig;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use pinseal_protocol::secret::SecretText;
use pinseal_store::accounts::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::config::MailConfig;
use crate::lines::{Lines, Source};
use crate::metrics::Metrics;

/// Tries before a mail is given up; the user asks for another code long before.
const TRIES: u32 = 3;
/// Wait before the second try; doubled for the third.
const RETRY: Duration = Duration::from_secs(2);
/// Further tries at a time, beside the one mail that is sent for the first time.
const RETRIES_AT_ONCE: u32 = 4;
/// Connections to the mail server that are kept for the next mails: one for each that is sent at a time.
const CONNECTIONS_MAX: u32 = 1 + RETRIES_AT_ONCE;
/// Time one SMTP conversation may take.
const SMTP: Duration = Duration::from_secs(20);

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
    lines: Arc<Mutex<Lines<Mail>>>,
    /// Rung for the sender; it ends with the last one who may ring.
    bell: mpsc::Sender<()>,
    metrics: Arc<Metrics>,
}

impl Outbox {
    /// Starts the sender on the current runtime. It ends when the outbox is dropped.
    ///
    /// # Errors
    /// [`MailError`].
    pub(crate) fn start(config: &MailConfig, waiting_max: usize, metrics: Arc<Metrics>) -> Result<Self, MailError> {
        let from: Mailbox = config.from.parse().map_err(|_| MailError::From)?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(config.smtp_url.expose_secret())
            .map_err(|_| MailError::Url)?
            .timeout(Some(SMTP))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS_MAX))
            .build();
        let (bell, mut rung) = mpsc::channel(1);
        let lines = Arc::new(Mutex::new(Lines::new(waiting_max)));
        let office = Arc::new(Office {
            transport,
            from,
            metrics: Arc::clone(&metrics),
            aside: Arc::new(Semaphore::new(waiting_max)),
            retries: Semaphore::new(RETRIES_AT_ONCE as usize),
        });
        let waiting = Arc::clone(&lines);
        tokio::spawn(async move {
            while rung.recv().await.is_some() {
                while let Some(mail) = next(&waiting) {
                    office.send_first(mail).await;
                }
            }
        });
        Ok(Self { lines, bell, metrics })
    }

    /// Puts a mail in its source's line. What lost its place for it, or did not get one, is dropped; the code in it comes back, to be taken
    /// back where codes are counted. An older code of the address is void, and is not mailed after the newer one.
    pub(crate) fn post(&self, source: Source, to: &str, letter: Letter, code: Option<Code>) -> Option<Code> {
        let Ok(to) = to.parse::<Address>() else { return code };
        let (lost, void) = {
            let mut lines = lock(&self.lines);
            let void = lines.retain(|mail| !replaces(code, mail.code));
            match lines.join(source, Mail { to, letter, code }) {
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
    let of = |code: Code| (code.purpose, code.mac.address);
    newer.is_some() && newer.map(of) == older.map(of)
}

// Not in a condition of the loop itself, which would hold the lock while a mail is sent.
fn next(lines: &Mutex<Lines<Mail>>) -> Option<Mail> {
    lock(lines).next()
}

// Every change is whole before the lock is given back, so a poisoned one guards sound lines.
fn lock(lines: &Mutex<Lines<Mail>>) -> MutexGuard<'_, Lines<Mail>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What became of a try.
enum Tried {
    /// The mail server may take it later.
    Later,
    /// Sent or failed for good, in the metrics' words.
    Over(&'static str),
}

/// What sending takes.
struct Office {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    metrics: Arc<Metrics>,
    /// Places of mails that stepped aside.
    aside: Arc<Semaphore>,
    retries: Semaphore,
}

impl Office {
    /// The first try. A mail that may be taken later goes on by itself.
    async fn send_first(self: &Arc<Self>, mail: Mail) {
        match self.send(&mail, 1).await {
            Tried::Later => match Arc::clone(&self.aside).try_acquire_owned() {
                Ok(place) => drop(tokio::spawn(Arc::clone(self).retry(mail, place))),
                Err(_) => self.count("failed"),
            },
            Tried::Over(outcome) => self.count(outcome),
        }
    }

    async fn send(&self, mail: &Mail, attempt: u32) -> Tried {
        let Some(message) = compose(&self.from, mail) else { return Tried::Over("failed") };
        match self.transport.send(message).await {
            Ok(_) => Tried::Over("sent"),
            // The server's words may name the recipient, so only their kind is logged.
            Err(error) => {
                tracing::warn!(attempt, permanent = error.is_permanent(), "a mail could not be sent");
                if error.is_permanent() || attempt == TRIES { Tried::Over("failed") } else { Tried::Later }
            }
        }
    }

    /// The tries after the first one, a pause before each.
    async fn retry(self: Arc<Self>, mail: Mail, _place: OwnedSemaphorePermit) {
        let mut wait = RETRY;
        for attempt in 2..=TRIES {
            tokio::time::sleep(wait).await;
            wait *= 2;
            // Never closed.
            let _turn = self.retries.acquire().await;
            if let Tried::Over(outcome) = self.send(&mail, attempt).await {
                return self.count(outcome);
            }
        }
    }

    fn count(&self, outcome: &str) {
        self.metrics.mails.with_label_values(&[outcome]).inc();
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
    use pinseal_protocol::ids::{Hash32, UnixSeconds};
    use pinseal_store::accounts::{CodeMac, CodePurpose};

    use super::*;

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
