//! Requests that are none, or two at once: each gets one clear refusal, and nothing behind it is taken for another request.

use std::io::Write as _;

use super::rig::{Rig, rest, status};

/// What the host may add for all of these together, in KiB.
const GROWTH_KIB_MAX: u64 = 32 * 1_024;
/// Requests in one go on one connection.
const PIPELINED: usize = 1_000;

/// A second request that must never be carried out.
const SMUGGLED: &str = "GET /healthz HTTP/1.1\r\nhost: smuggled\r\n\r\n";

/// Counts answers on one connection.
fn answers(said: &str) -> usize {
    said.matches("HTTP/1.1 ").count()
}

#[test]
fn what_could_be_read_as_two_requests_is_refused_or_read_as_one_and_hung_up_on() {
    let rig = Rig::serving(&[]);
    let app = rig.app_headers();
    let json = "content-type: application/json\r\n";
    let resend = format!("POST /v1/login/email/resend HTTP/1.1\r\n{app}{json}");
    let before = rig.peak_kib();
    let cases: Vec<(&str, String, &[u16])> = vec![
        // Both lengths: by chunks, as RFC 9112 has it, and the end of the connection, whatever came behind.
        (
            "length and chunks",
            format!("{resend}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
            &[400],
        ),
        (
            "chunks and length",
            format!("{resend}transfer-encoding: chunked\r\ncontent-length: 45\r\n\r\n0\r\n\r\n{SMUGGLED}"),
            &[400],
        ),
        ("chunks", format!("{resend}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{SMUGGLED}"), &[400]),
        ("two lengths", format!("{resend}content-length: 2\r\ncontent-length: 45\r\n\r\n{{}}{SMUGGLED}"), &[400]),
        ("a list of lengths", format!("{resend}content-length: 2, 45\r\n\r\n{{}}{SMUGGLED}"), &[400]),
        ("a signed length", format!("{resend}content-length: +2\r\n\r\n{{}}{SMUGGLED}"), &[400]),
        ("a negative length", format!("{resend}content-length: -1\r\n\r\n{SMUGGLED}"), &[400]),
        ("a length beyond 64 bits", format!("{resend}content-length: 99999999999999999999\r\n\r\n{SMUGGLED}"), &[400]),
        ("an unknown coding", format!("{resend}transfer-encoding: gzip\r\n\r\n{SMUGGLED}"), &[400]),
        (
            "chunked, but not last",
            format!("{resend}transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n{SMUGGLED}"),
            &[400],
        ),
        (
            "chunks over HTTP/1.0",
            format!(
                "POST /v1/login/email/resend HTTP/1.0\r\n{app}{json}transfer-encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"
            ),
            &[400],
        ),
        ("a chunk's size that is none", format!("{resend}transfer-encoding: chunked\r\n\r\nxyz\r\n{SMUGGLED}"), &[400]),
        (
            "a chunk's size beyond 64 bits",
            format!("{resend}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{SMUGGLED}"),
            &[400],
        ),
        (
            "a folded header",
            format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: 1\r\n continued\r\n\r\n{SMUGGLED}"),
            &[400],
        ),
        (
            "space before the colon",
            format!("GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length : 45\r\n\r\n{SMUGGLED}"),
            &[400],
        ),
        ("a zero byte in a header", format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: a\0b\r\n\r\n{SMUGGLED}"), &[400]),
        ("a bare carriage return", format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: a\rb\r\n\r\n{SMUGGLED}"), &[400]),
        ("no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\u{1}garbage\r\n\r\n".to_owned(), &[400]),
        ("HTTP/0.9", "GET /healthz\r\n\r\n".to_owned(), &[400]),
        ("an unknown version", format!("GET /healthz HTTP/3.7\r\nhost: x\r\n\r\n{SMUGGLED}"), &[400, 505]),
        // No HTTP/2 here: hung up on without a word.
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0".to_owned(), &[0, 400, 505]),
    ];
    for (name, bytes, expected) in cases {
        let said = rig.exchange(bytes.as_bytes());
        assert!(expected.contains(&status(&said)), "{name}: {said}");
        assert!(answers(&said) <= 1, "{name}: the second request was carried out: {said}");
    }
    // A form that proxies use names another host: it is answered for its path here, and leads nowhere.
    let said =
        rig.exchange(b"GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!((status(&said), answers(&said)), (404, 1), "{said}");
    let said = rig.exchange(b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(matches!(status(&said), 400 | 404 | 405) && answers(&said) == 1, "{said}");
    rig.honest_user_is_served();
    assert!(rig.peak_kib() - before < GROWTH_KIB_MAX, "{} KiB", rig.peak_kib() - before);
}

#[test]
fn a_thousand_requests_in_one_go_are_answered_one_after_the_other() {
    let rig = Rig::serving(&[("requests_per_minute", 600)]);
    let app = rig.app_headers();
    let before = rig.peak_kib();
    let mut stream = rig.connect(7);
    let one = format!("GET /v1/app/info HTTP/1.1\r\n{app}\r\n");
    let last = format!("GET /v1/app/info HTTP/1.1\r\n{app}connection: close\r\n\r\n");
    let all = one.repeat(PIPELINED - 1) + &last;
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(all.as_bytes()).unwrap());
    rig.honest_user_is_served();
    let said = rest(&mut stream);
    writing.join().unwrap();
    let (served, refused) = (said.matches("HTTP/1.1 200").count(), said.matches("HTTP/1.1 429").count());
    assert_eq!(served + refused, PIPELINED, "{}", answers(&said));
    // Each counts, however it came: 600 at once, and what a minute brings meanwhile.
    assert!((600..900).contains(&served), "{served} served");
    assert!(rig.peak_kib() - before < GROWTH_KIB_MAX, "{} KiB", rig.peak_kib() - before);
}
