//! Reading the mail catcher's mailbox.

use std::time::Duration;

use crate::failure::{Exit, Failure, Outcome};
use crate::mail::Mail;

/// Subject of the server's mail to somebody who signs up a second time; the API itself never says so.
const ALREADY_REGISTERED: &str = "You already have an account";

/// Beyond the mailbox's own patience.
const SLACK: Duration = Duration::from_secs(10);

/// A mailbox page's JSON side.
#[derive(Debug, Clone)]
pub(crate) struct MailboxReader {
    url: String,
    http: reqwest::Client,
}

impl MailboxReader {
    /// A reader of the mailbox at `url`.
    ///
    /// # Errors
    /// HTTP cannot be set up.
    pub(crate) fn new(url: &str) -> Outcome<Self> {
        // Loopback only: a proxy of the environment has no business here.
        let http = reqwest::Client::builder().no_proxy().build();
        let http = http.map_err(|error| Failure::failed("http", format!("HTTP cannot be set up: {error}")))?;
        Ok(Self { url: url.to_owned(), http })
    }

    /// Mails to `address` after number `after`; waits up to `patience` seconds for one.
    ///
    /// # Errors
    /// The mailbox does not answer.
    pub(crate) async fn mails(&self, address: Option<&str>, after: u64, patience: u64) -> Outcome<Vec<Mail>> {
        let unreachable = |error: reqwest::Error| {
            Failure::new(
                Exit::Service,
                "mailbox_unreachable",
                format!(
                    "the mailbox at {} does not answer: {}",
                    self.url,
                    crate::deployment::chain(&error.without_url())
                ),
            )
            .advise("start the development system with `pinseal up`")
        };
        let mut query = vec![("after", after.to_string()), ("wait", patience.to_string())];
        if let Some(address) = address {
            query.push(("to", address.to_owned()));
        }
        let mut url = url::Url::parse(&self.url)
            .map_err(|_| Failure::failed("mailbox_url", format!("{} is no URL", self.url)))?;
        url.set_path("/api/messages");
        url.query_pairs_mut().extend_pairs(query);
        let request = self.http.get(url).timeout(Duration::from_secs(patience) + SLACK);
        let response = request.send().await.and_then(reqwest::Response::error_for_status).map_err(unreachable)?;
        response.json().await.map_err(unreachable)
    }

    /// Number of the newest mail to `address`, 0 without one.
    ///
    /// # Errors
    /// The mailbox does not answer.
    pub(crate) async fn newest(&self, address: &str) -> Outcome<u64> {
        Ok(self.mails(Some(address), 0, 0).await?.last().map_or(0, |mail| mail.id))
    }

    /// The code in the next mail to `address` after number `after`.
    ///
    /// # Errors
    /// No such mail comes.
    pub(crate) async fn code(&self, address: &str, after: u64, patience: u64) -> Outcome<String> {
        let mails = self.mails(Some(address), after, patience).await?;
        if let Some(code) = mails.iter().rev().find_map(|mail| mail.code.clone()) {
            return Ok(code);
        }
        Err(without_code(address, &mails, patience, &self.url))
    }
}

/// Why there is no code: the address has an account, which only its mailbox is told, or no mail came.
fn without_code(address: &str, mails: &[Mail], patience: u64, url: &str) -> Failure {
    if mails.iter().any(|mail| mail.subject == ALREADY_REGISTERED) {
        return Failure::failed("account_exists", format!("{address} already has an account; nothing was changed"))
            .advise(format!(
                "log in: `{}`, with --reset if the password is lost",
                crate::context::command(&format!("login {address}"))
            ));
    }
    Failure::new(
        Exit::Service,
        "mail_missing",
        format!("no mail with a code reached {address} within {patience} seconds"),
    )
    .advise(format!("look into the mailbox at {url}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_an_account_is_told_so_and_not_that_no_mail_came() {
        let mail = |subject: &str| Mail {
            id: 1,
            received_at: 0,
            from: String::new(),
            to: vec!["ada@example.org".to_owned()],
            subject: subject.to_owned(),
            text: String::new(),
            code: None,
        };
        let told = |mails: &[Mail]| without_code("ada@example.org", mails, 5, "http://m").code;
        assert_eq!(told(&[mail("Hello"), mail(ALREADY_REGISTERED)]), "account_exists");
        assert_eq!(told(&[mail("Hello")]), "mail_missing");
        assert_eq!(told(&[]), "mail_missing");
    }
}
