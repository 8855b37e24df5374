//! One kept-alive HTTP/1.1 connection that does as little as it can: the load generator shares the machine with what it measures.

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest answer read: a sealed reply is some kilobytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) dpop_nonce: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A connection to one server, opened at the first request and again after the server closed it.
#[derive(Debug)]
pub(crate) struct Http {
    /// `address:port`.
    authority: String,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Http {
    /// To an `http://address:port` URL.
    pub(crate) fn new(url: &str) -> Self {
        let authority = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { authority, stream: None, buffer: Vec::new() }
    }

    /// Posts JSON.
    pub(crate) async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> anyhow::Result<Answer> {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            self.authority,
            body.len()
        )
        .into_bytes();
        for (name, value) in headers {
            request.extend_from_slice(name.as_bytes());
            request.extend_from_slice(b": ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        self.exchange(&request).await.inspect_err(|_| self.stream = None)
    }

    /// Gets.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.authority);
        self.exchange(request.as_bytes()).await.inspect_err(|_| self.stream = None)
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        let reused = self.stream.is_some();
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(&self.authority).await.context("connect")?;
                stream.set_nodelay(true).context("connect")?;
                none.insert(stream)
            }
        };
        self.buffer.clear();
        let written = stream.write_all(request).await;
        let first = match written {
            Ok(()) => stream.read_buf(&mut self.buffer).await,
            Err(error) => Err(error),
        };
        // A server may close an idle connection at any time; nothing of an answer has come, so the request is sent once more.
        if reused && !matches!(first, Ok(1..)) {
            self.stream = None;
            return Box::pin(self.exchange(request)).await;
        }
        if first.context("read the answer")? == 0 {
            bail!("the server closed the connection");
        }
        let (head, status, length, dpop_nonce) = loop {
            if let Some(found) = head(&self.buffer)? {
                break found;
            }
            more(stream, &mut self.buffer).await?;
        };
        while self.buffer.len() < head + length {
            more(stream, &mut self.buffer).await?;
        }
        let body = self.buffer.get(head..head + length).unwrap_or_default().to_vec();
        Ok(Answer { status, dpop_nonce, body })
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    buffer.reserve(CHUNK_BYTES);
    if stream.read_buf(buffer).await.context("read the answer")? == 0 {
        bail!("the connection ended inside an answer");
    }
    if buffer.len() > ANSWER_BYTES_MAX {
        bail!("the answer is too long");
    }
    Ok(())
}

type Head = (usize, u16, usize, Option<String>);

/// Length of the head, status, length of the body and the server's nonce, once the head is complete.
fn head(buffer: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(buffer.get(..end).unwrap_or_default()).context("answer head")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let (mut length, mut nonce) = (None, None);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        } else if name.eq_ignore_ascii_case("dpop-nonce") {
            nonce = Some(value.trim().to_owned());
        }
    }
    Ok(Some((end + 4, status.context("no status")?, length.context("an answer without a length")?, nonce)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_complete_and_needs_a_length() {
        let text = b"HTTP/1.1 401 Unauthorized\r\nDPoP-Nonce: abc\r\nContent-Length: 2\r\n\r\n{}";
        assert!(head(&text[..40]).unwrap().is_none());
        let (end, status, length, nonce) = head(text).unwrap().unwrap();
        assert_eq!((&text[end..], status, length, nonce.as_deref()), (&b"{}"[..], 401, 2, Some("abc")));
        assert!(head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
