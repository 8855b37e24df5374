//! The least SMTP server that takes a mail (RFC 5321): sign-ups need their codes.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A code that has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Mails as they arrive.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) url: String,
    arrived: mpsc::UnboundedReceiver<(String, String)>,
    kept: HashMap<String, String>,
}

impl Mailbox {
    pub(crate) async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("mailbox")?;
        let url = format!("smtp://{}", listener.local_addr().context("mailbox")?);
        let (sender, arrived) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, sender.clone()));
            }
        });
        Ok(Self { url, arrived, kept: HashMap::new() })
    }

    /// The six digits mailed to an address.
    pub(crate) async fn code(&mut self, email: &str) -> anyhow::Result<String> {
        loop {
            if let Some(code) = self.kept.remove(email) {
                return Ok(code);
            }
            let next = tokio::time::timeout(PATIENCE, self.arrived.recv()).await;
            let (to, code) = next.context("no mail comes")?.context("the mailbox has closed")?;
            self.kept.insert(to, code);
        }
    }
}

async fn converse(stream: TcpStream, sender: mpsc::UnboundedSender<(String, String)>) -> Option<()> {
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
            "RCPT" => {
                to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                b"250 ok\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go\r\n").await.ok()?;
                let mut code = String::new();
                loop {
                    line.clear();
                    stream.read_line(&mut line).await.ok()?;
                    if line == ".\r\n" {
                        break;
                    }
                    if line.starts_with("Subject:") {
                        code = line.chars().filter(char::is_ascii_digit).collect();
                    }
                }
                sender.send((to.clone(), code)).ok()?;
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
