//! The least SMTP server that takes a mail (RFC 5321), for tests and measurements: what signs up needs its codes. Nothing released links
//! it; `pinseal up` has a mail catcher of its own, with a page.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Recipients with this local part are told to come back later, each time.
pub const LATER: &str = "later";
/// A mail that has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Mails as they arrive.
#[derive(Debug)]
pub struct Mailbox {
    url: String,
    connections: Arc<AtomicUsize>,
    arrived: mpsc::UnboundedReceiver<Mail>,
}

/// One mail.
#[derive(Debug)]
pub struct Mail {
    /// The recipient of its envelope.
    pub to: String,
    /// Head and text as they came; empty if the recipient was told to come back later.
    pub text: String,
    /// What the sender logged in with before, if it did: user and password as AUTH PLAIN (RFC 4616) writes them, in base64. Any are let in.
    pub credentials: Option<String>,
}

impl Mail {
    /// The digits in the subject, if there is one: a mailed code.
    pub fn code(&self) -> Option<String> {
        let subject = self.text.lines().find(|line| line.starts_with("Subject:"))?;
        Some(subject.chars().filter(char::is_ascii_digit).collect())
    }
}

impl Mailbox {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// The socket fails.
    pub async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("smtp://{}", listener.local_addr()?);
        let (sender, arrived) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(converse(stream, sender.clone()));
            }
        });
        Ok(Self { url, connections, arrived })
    }

    /// Where to send mail.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The next mail; none if a minute passes without one.
    pub async fn next(&mut self) -> Option<Mail> {
        tokio::time::timeout(PATIENCE, self.arrived.recv()).await.ok()?
    }

    /// True if nothing has arrived that was not taken.
    pub fn is_empty(&self) -> bool {
        self.arrived.is_empty()
    }
}

/// One connection, to its end.
async fn converse(stream: TcpStream, sender: mpsc::UnboundedSender<Mail>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mailbox\r\n").await.ok()?;
    let (mut line, mut to, mut credentials) = (String::new(), String::new(), None);
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer: &[u8] = match verb.as_str() {
            "EHLO" => b"250-mailbox\r\n250 AUTH PLAIN\r\n",
            "AUTH" => {
                credentials = line.split_whitespace().nth(2).map(str::to_owned);
                b"235 welcome\r\n"
            }
            "RCPT" => {
                line.split(['<', '>']).nth(1).unwrap_or_default().clone_into(&mut to);
                if to.split('@').next() == Some(LATER) {
                    sender.send(Mail { to: to.clone(), text: String::new(), credentials: credentials.clone() }).ok()?;
                    b"450 come back later\r\n"
                } else {
                    b"250 ok\r\n"
                }
            }
            "DATA" => {
                stream.write_all(b"354 go\r\n").await.ok()?;
                let text = text(&mut stream).await?;
                sender.send(Mail { to: to.clone(), text, credentials: credentials.clone() }).ok()?;
                b"250 ok\r\n"
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await.ok()?;
                return None;
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer).await.ok()?;
    }
}

/// Everything up to the lone dot.
async fn text(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut line, mut text) = (String::new(), String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == ".\r\n" {
            return Some(text);
        }
        text.push_str(&line);
    }
}
