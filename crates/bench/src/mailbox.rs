//! Codes by the address they were mailed to: sign-ups overtake each other.

use std::collections::HashMap;

use anyhow::Context as _;
use pinseal_mailbox::Mailbox;

/// Codes as they arrive.
#[derive(Debug)]
pub(crate) struct Codes {
    mailbox: Mailbox,
    kept: HashMap<String, String>,
}

impl Codes {
    pub(crate) async fn open() -> anyhow::Result<Self> {
        Ok(Self { mailbox: Mailbox::open().await.context("mailbox")?, kept: HashMap::new() })
    }

    /// Where to send mail.
    pub(crate) fn url(&self) -> &str {
        self.mailbox.url()
    }

    /// The digits mailed to an address.
    pub(crate) async fn code(&mut self, email: &str) -> anyhow::Result<String> {
        loop {
            if let Some(code) = self.kept.remove(email) {
                return Ok(code);
            }
            let mail = self.mailbox.next().await.context("no mail comes")?;
            let code = mail.code().context("a mail without a subject")?;
            self.kept.insert(mail.to, code);
        }
    }
}
