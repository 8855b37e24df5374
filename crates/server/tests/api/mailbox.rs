//! The least SMTP server that takes a mail (RFC 5321).

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Mails as they arrived.
pub(crate) struct Mailbox {
    pub(crate) url: String,
    arrived: mpsc::UnboundedReceiver<Mail>,
}

/// One mail.
pub(crate) struct Mail {
    pub(crate) to: String,
    pub(crate) text: String,
}

impl Mail {
    /// The six digits in the subject.
    pub(crate) fn code(&self) -> String {
        let subject = self.text.lines().find(|line| line.starts_with("Subject:")).unwrap();
        let code: String = subject.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(code.len(), 6, "{subject}");
        code
    }
}

impl Mailbox {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let (sender, arrived) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, sender.clone()));
            }
        });
        Self { url, arrived }
    }

    /// The next mail. The time is there so that a missing mail fails instead of hanging.
    pub(crate) async fn next(&mut self) -> Mail {
        tokio::time::timeout(Duration::from_secs(20), self.arrived.recv()).await.expect("a mail arrives").unwrap()
    }

    /// True if nothing has arrived. Only meaningful after a later mail has: the outbox keeps the order.
    pub(crate) fn is_empty(&mut self) -> bool {
        self.arrived.is_empty()
    }
}

async fn converse(stream: TcpStream, sender: mpsc::UnboundedSender<Mail>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mailbox\r\n").await.ok()?;
    let (mut line, mut to) = (String::new(), String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer: &[u8] = match verb.as_str() {
            "EHLO" | "HELO" => b"250 mailbox\r\n",
            "RCPT" => {
                to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                b"250 ok\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go\r\n").await.ok()?;
                let mut text = String::new();
                loop {
                    line.clear();
                    stream.read_line(&mut line).await.ok()?;
                    if line == ".\r\n" {
                        break;
                    }
                    text.push_str(&line);
                }
                sender.send(Mail { to: to.clone(), text }).ok()?;
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
