//! An SMTP server (RFC 5321) that accepts every mail and forwards none.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::mailbox::Mailbox;

/// Longest command or text line; RFC 5321 section 4.5.3.1 asks for 1000 at least.
const LINE_BYTES_MAX: u64 = 2_048;
/// Longest mail.
const MAIL_BYTES_MAX: usize = 256 * 1024;
/// Recipients of one mail.
const RECIPIENTS_MAX: usize = 16;
/// Commands on one connection, so that none lives for ever.
const COMMANDS_MAX: usize = 1_000;
/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 32;
/// A connection that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// Accepts connections for ever.
pub(super) async fn serve(listener: TcpListener, mailbox: Arc<Mailbox>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        // A failed accept is the peer's (it went away) or passes by itself (out of descriptors).
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let mailbox = Arc::clone(&mailbox);
        tokio::spawn(async move {
            let (reader, writer) = stream.into_split();
            let _ = converse(reader, writer, &mailbox).await;
            drop(permit);
        });
    }
}

/// One connection, until QUIT, end of stream or a breach of the bounds.
async fn converse(
    reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    mailbox: &Mailbox,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(reader);
    let mut from: Option<String> = None;
    let mut to: Vec<String> = Vec::new();
    say(&mut writer, "220 pinseal mail catcher").await?;
    for _ in 0..COMMANDS_MAX {
        let Some(line) = line(&mut reader).await? else { return Ok(()) };
        let text = String::from_utf8_lossy(&line).into_owned();
        let verb = text.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => "250-pinseal mail catcher\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 262144",
            "HELO" | "NOOP" => "250 ok",
            "RSET" => {
                (from, to) = (None, Vec::new());
                "250 ok"
            }
            "MAIL" => {
                (from, to) = (Some(address(&text)), Vec::new());
                "250 ok"
            }
            "RCPT" if from.is_none() => "503 MAIL comes first",
            "RCPT" if to.len() >= RECIPIENTS_MAX => "452 too many recipients",
            "RCPT" => {
                to.push(address(&text));
                "250 ok"
            }
            "DATA" if to.is_empty() => "503 RCPT comes first",
            "DATA" => {
                say(&mut writer, "354 end with a dot on a line of its own").await?;
                match data(&mut reader).await? {
                    Some(raw) => {
                        mailbox.put(from.take().unwrap_or_default(), std::mem::take(&mut to), &raw);
                        "250 caught"
                    }
                    None => "552 too large",
                }
            }
            "QUIT" => return say(&mut writer, "221 bye").await,
            _ => "502 not known here",
        };
        say(&mut writer, answer).await?;
    }
    say(&mut writer, "421 too many commands").await
}

/// An answer, in one piece: its second half would wait for the peer to acknowledge the first.
async fn say(writer: &mut (impl AsyncWrite + Unpin), answer: &str) -> std::io::Result<()> {
    writer.write_all(format!("{answer}\r\n").as_bytes()).await?;
    writer.flush().await
}

/// One line without its end; `None` at the end of the stream, or if the peer is silent or endless.
async fn line(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut bounded = reader.take(LINE_BYTES_MAX);
    let Ok(read) = tokio::time::timeout(IDLE, bounded.read_until(b'\n', &mut line)).await else { return Ok(None) };
    read?;
    if line.pop() != Some(b'\n') {
        return Ok(None);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(line))
}

/// The mail up to the lone dot, transparency (RFC 5321 section 4.5.2) undone; `None` if it is too large.
async fn data(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut mail = Vec::new();
    let mut fits = true;
    loop {
        let Some(line) = line(reader).await? else { return Err(std::io::ErrorKind::UnexpectedEof.into()) };
        if line == b"." {
            return Ok(fits.then_some(mail));
        }
        fits &= mail.len() + line.len() + 2 <= MAIL_BYTES_MAX;
        if fits {
            mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            mail.extend_from_slice(b"\r\n");
        }
    }
}

/// What stands between the angle brackets.
fn address(text: &str) -> String {
    let inner = text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(inner, _)| inner);
    inner.trim().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    async fn talk(script: &[u8]) -> (Mailbox, String) {
        let mailbox = Mailbox::default();
        let mut said = Vec::new();
        let _ = converse(script, &mut said, &mailbox).await;
        (mailbox, String::from_utf8(said).unwrap())
    }

    #[tokio::test]
    async fn a_mail_is_caught_with_its_dots_restored() {
        let script = b"EHLO me\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nSubject: s\r\n\r\n..dot\r\n.\r\nQUIT\r\n";
        let (mailbox, said) = talk(script).await;
        let mails = mailbox.list(None, 0);
        assert_eq!((mails[0].from.as_str(), mails[0].to.as_slice()), ("a@x", ["b@y".to_owned()].as_slice()));
        assert_eq!(mails[0].text, ".dot");
        assert!(said.ends_with("250 caught\r\n221 bye\r\n"));
    }

    #[tokio::test]
    async fn order_and_bounds_are_kept() {
        let (mailbox, said) = talk(b"DATA\r\nRCPT TO:<b@y>\r\nVRFY b\r\n").await;
        assert!(mailbox.list(None, 0).is_empty());
        assert!(said.contains("503 RCPT comes first\r\n503 MAIL comes first\r\n502"));

        let mut large = b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n".to_vec();
        for _ in 0..MAIL_BYTES_MAX / 1_000 + 1 {
            large.extend_from_slice(&[b'x'; 1_000]);
            large.extend_from_slice(b"\r\n");
        }
        large.extend_from_slice(b".\r\nNOOP\r\n");
        let (mailbox, said) = talk(&large).await;
        assert!(mailbox.list(None, 0).is_empty());
        assert!(said.ends_with("552 too large\r\n250 ok\r\n"));
    }

    #[tokio::test]
    async fn an_endless_line_ends_the_conversation() {
        let (_, said) = talk(&[b'x'; 5_000]).await;
        assert_eq!(said, "220 pinseal mail catcher\r\n");
    }

    #[tokio::test]
    async fn a_mail_cut_off_is_not_kept() {
        let (mailbox, _) = talk(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nSubject: s\r\n").await;
        assert!(mailbox.list(None, 0).is_empty());
    }
}
