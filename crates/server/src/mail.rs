//! Outgoing mail, off the request path: a request only puts a mail in the outbox, so its time tells nothing.

use std::sync::Arc;
use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use pinseal_protocol::secret::SecretText;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::config::MailConfig;
use crate::metrics::Metrics;

/// Tries before a mail is given up; the user asks for another code long before.
const TRIES: u32 = 3;
/// Wait before the second try; doubled for the third.
const RETRY: Duration = Duration::from_secs(2);
/// Further tries at a time, beside the one mail that is sent for the first time.
const RETRIES_AT_ONCE: usize = 4;
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

struct Mail {
    to: Address,
    letter: Letter,
}

/// A bounded queue of mails and the task that sends them, one after the other. A mail that the mail server does not take yet steps aside,
/// so that nobody delays other people's codes by addresses that cannot be delivered to.
pub struct Outbox {
    queue: mpsc::Sender<Mail>,
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
            .build();
        let (queue, mut waiting) = mpsc::channel::<Mail>(waiting_max);
        let office = Arc::new(Office {
            transport,
            from,
            metrics: Arc::clone(&metrics),
            aside: Arc::new(Semaphore::new(waiting_max)),
            retries: Semaphore::new(RETRIES_AT_ONCE),
        });
        tokio::spawn(async move {
            while let Some(mail) = waiting.recv().await {
                match office.send(&mail, 1).await {
                    Tried::Later => match Arc::clone(&office.aside).try_acquire_owned() {
                        Ok(place) => drop(tokio::spawn(Arc::clone(&office).retry(mail, place))),
                        Err(_) => office.count("failed"),
                    },
                    Tried::Over(outcome) => office.count(outcome),
                }
            }
        });
        Ok(Self { queue, metrics })
    }

    /// Puts a mail in the queue; a full queue drops it, which the user mends by asking again.
    pub(crate) fn post(&self, to: &str, letter: Letter) {
        let Ok(to) = to.parse::<Address>() else { return };
        if self.queue.try_send(Mail { to, letter }).is_err() {
            self.metrics.mails.with_label_values(&["dropped"]).inc();
            tracing::warn!("the mail outbox is full; a mail was dropped");
        }
    }
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
