//! Received mail, newest last, in memory only.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// Mails kept; older ones are dropped, so that a forgotten development system does not grow.
const MAILS_MAX: usize = 200;

/// One received mail, decoded for reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mail {
    /// Counts from 1 within this mail catcher's life.
    pub(crate) id: u64,
    /// Unix seconds.
    pub(crate) received_at: u64,
    /// Envelope sender.
    pub(crate) from: String,
    /// Envelope recipients.
    pub(crate) to: Vec<String>,
    /// Subject.
    pub(crate) subject: String,
    /// Plain text.
    pub(crate) text: String,
    /// The one run of exactly six or eight digits in the text, if there is one.
    pub(crate) code: Option<String>,
}

/// All received mail.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    mails: Mutex<(u64, VecDeque<Mail>)>,
    arrived: Notify,
}

impl Mailbox {
    /// Takes a mail in and wakes whoever waits.
    pub(super) fn put(&self, from: String, to: Vec<String>, raw: &[u8]) {
        let (subject, text) = super::message::read(raw);
        let received_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let code = only_code(&text);
        let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.0 += 1;
        let id = mails.0;
        mails.1.push_back(Mail { id, received_at, from, to, subject, text, code });
        if mails.1.len() > MAILS_MAX {
            mails.1.pop_front();
        }
        drop(mails);
        self.arrived.notify_waiters();
    }

    /// Mails to `address` (all, if none is given) later than number `after`, oldest first.
    pub(super) fn list(&self, address: Option<&str>, after: u64) -> Vec<Mail> {
        let mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |mail: &&Mail| {
            mail.id > after && address.is_none_or(|address| mail.to.iter().any(|to| to.eq_ignore_ascii_case(address)))
        };
        mails.1.iter().filter(wanted).cloned().collect()
    }

    /// As [`Mailbox::list`], but waits up to `patience` for the first one.
    pub(super) async fn wait(&self, address: Option<&str>, after: u64, patience: Duration) -> Vec<Mail> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            let mails = self.list(address, after);
            if !mails.is_empty() || tokio::time::timeout_at(until, arrived).await.is_err() {
                return mails;
            }
        }
    }
}

/// The code in a mail; none if it is not clear which number is meant.
fn only_code(text: &str) -> Option<String> {
    let mut runs = text.split(|c: char| !c.is_ascii_digit()).filter(|run| matches!(run.len(), 6 | 8));
    let first = runs.next()?;
    runs.next().is_none().then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_only_where_it_is_clear() {
        assert_eq!(only_code("Your code is 123456. It holds for 5 minutes.").as_deref(), Some("123456"));
        assert_eq!(only_code("Your code is 12345678. It holds for 5 minutes.").as_deref(), Some("12345678"));
        assert_eq!(only_code("12345 or 1234567 or 123456789"), None);
        assert_eq!(only_code("123456 or 654321"), None);
    }

    #[tokio::test]
    async fn waiting_ends_when_the_mail_comes_and_sees_only_later_ones() {
        let mailbox = Mailbox::default();
        mailbox.put("a@x".into(), vec!["Ada@example.org".into()], b"Subject: one\r\n\r\n111111\r\n");
        let waiting = mailbox.wait(Some("ada@example.org"), 1, Duration::from_secs(30));
        let coming =
            async { mailbox.put("a@x".into(), vec!["ada@example.org".into()], b"Subject: two\r\n\r\n222222\r\n") };
        let (mails, ()) = tokio::join!(waiting, coming);
        assert_eq!(mails.len(), 1);
        assert_eq!(mails[0].code.as_deref(), Some("222222"));
    }

    #[test]
    fn old_mail_is_dropped() {
        let mailbox = Mailbox::default();
        for _ in 0..MAILS_MAX + 3 {
            mailbox.put(String::new(), vec!["b@x".into()], b"\r\n");
        }
        let mails = mailbox.list(None, 0);
        assert_eq!((mails.len(), mails[0].id), (MAILS_MAX, 4));
    }
}
