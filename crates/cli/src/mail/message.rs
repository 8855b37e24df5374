//! Enough of MIME (RFC 5322, 2045, 2047) to show the mails a server sends: one text part, any transfer encoding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Multiparts inside multiparts are followed this deep.
const DEPTH_MAX: usize = 4;

/// Subject and plain text of a raw message. What cannot be read is shown as it came; this never fails.
pub(super) fn read(raw: &[u8]) -> (String, String) {
    let raw = String::from_utf8_lossy(raw).replace("\r\n", "\n");
    let (headers, _) = split(&raw);
    let subject = header(&headers, "subject").map_or_else(String::new, |subject| decode_words(&subject));
    (subject, text(&raw, 0).unwrap_or_default())
}

/// The first `text/plain` part, or the body itself.
fn text(part: &str, depth: usize) -> Option<String> {
    let (headers, body) = split(part);
    let kind = header(&headers, "content-type").unwrap_or_default();
    let lower = kind.to_ascii_lowercase();
    if lower.starts_with("multipart/") && depth < DEPTH_MAX {
        let boundary = format!("--{}", parameter(&kind, "boundary")?);
        let parts = body.split(boundary.as_str()).skip(1).take_while(|part| !part.starts_with("--"));
        return parts.filter_map(|part| text(part.trim_start_matches('\n'), depth + 1)).next();
    }
    if !lower.is_empty() && !lower.starts_with("text/plain") {
        return None;
    }
    let encoding = header(&headers, "content-transfer-encoding").unwrap_or_default().to_ascii_lowercase();
    let bytes = match encoding.as_str() {
        "base64" => {
            let packed: String = body.split_ascii_whitespace().collect();
            STANDARD.decode(packed).unwrap_or_else(|_| body.as_bytes().to_vec())
        }
        "quoted-printable" => quoted_printable(body, false),
        _ => body.as_bytes().to_vec(),
    };
    Some(String::from_utf8_lossy(&bytes).replace("\r\n", "\n").trim().to_owned())
}

/// Header lines (unfolded) and body.
fn split(part: &str) -> (Vec<(String, String)>, &str) {
    let (head, body) = match part.strip_prefix('\n') {
        Some(body) => ("", body),
        None => part.split_once("\n\n").unwrap_or((part, "")),
    };
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in head.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = headers.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    (headers, body)
}

fn header(headers: &[(String, String)], name: &str) -> Option<String> {
    headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
}

/// `boundary="x"` of a content type.
fn parameter(kind: &str, name: &str) -> Option<String> {
    let found = kind
        .split(';')
        .skip(1)
        .filter_map(|item| item.trim().split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(found.1.trim_matches('"').to_owned())
}

/// Quoted-printable; with `words`, `_` stands for a space (RFC 2047).
fn quoted_printable(text: &str, words: bool) -> Vec<u8> {
    let joined = text.replace("=\n", "");
    let bytes = joined.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (byte, pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'=', Some(value)) => {
                out.push(value);
                at += 3;
                continue;
            }
            (b'_', _) if words => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    out
}

/// RFC 2047 encoded words in UTF-8; others stay as they are.
fn decode_words(value: &str) -> String {
    let mut out = String::new();
    let mut last_was_word = false;
    for token in value.split(' ') {
        let decoded = token.strip_prefix("=?").and_then(|rest| rest.strip_suffix("?=")).and_then(word);
        let is_word = decoded.is_some();
        // Spaces between two encoded words only separate them (RFC 2047 section 6.2).
        let is_joined = is_word && last_was_word;
        if !out.is_empty() && !is_joined {
            out.push(' ');
        }
        out.push_str(decoded.as_deref().unwrap_or(token));
        last_was_word = is_word;
    }
    out
}

fn word(inner: &str) -> Option<String> {
    let mut parts = inner.splitn(3, '?');
    let (charset, encoding, data) = (parts.next()?, parts.next()?, parts.next()?);
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let bytes = match encoding {
        "B" | "b" => STANDARD.decode(data).ok()?,
        "Q" | "q" => quoted_printable(data, true),
        _ => return None,
    };
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_quoted_printable_and_base64_bodies_read_the_same() {
        for raw in [
            "Subject: Code\r\n\r\nGrüße 123456\r\n",
            "Subject: Code\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=\r\n=C3=9Fe 123456\r\n",
            "Subject: Code\r\nContent-Transfer-Encoding: base64\r\n\r\nR3LDvMOfZSAxMjM0NTY=\r\n",
        ] {
            assert_eq!(read(raw.as_bytes()), ("Code".to_owned(), "Grüße 123456".to_owned()));
        }
    }

    #[test]
    fn the_plain_part_of_a_multipart_is_shown() {
        let raw = "Subject: =?utf-8?B?w5xi?= =?utf-8?Q?er_uns?=\r\nContent-Type: multipart/alternative;\r\n boundary=\"xyz\"\r\n\r\n--xyz\r\nContent-Type: text/html\r\n\r\n<b>no</b>\r\n--xyz\r\nContent-Type: text/plain\r\n\r\nyes\r\n--xyz--\r\n";
        assert_eq!(read(raw.as_bytes()), ("Über uns".to_owned(), "yes".to_owned()));
    }

    #[test]
    fn broken_messages_are_shown_as_they_came() {
        assert_eq!(read(b""), (String::new(), String::new()));
        assert_eq!(read(b"\xff\xfe"), (String::new(), String::new()));
        let (_, text) = read(b"Content-Transfer-Encoding: base64\r\n\r\n***\r\n");
        assert_eq!(text, "***");
        let (_, text) = read(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=ZZ=4\r\n");
        assert_eq!(text, "=ZZ=4");
    }
}
