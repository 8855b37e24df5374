//! Heads and bodies that are too long, too deep, too slow or not what they say.

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::rig::{Rig, is_full, is_over, rest, status};

/// What the host may add whatever comes, in KiB: the longest body, what is made of it, and the honest user's.
const GROWTH_KIB_MAX: u64 = 12 * 1_024;
/// What it may add for one request that comes slowly, in KiB: the buffers of its connection and the call that waits.
const EACH_KIB_MAX: u64 = 32;
/// Bound on all bodies that arrive, as set for this test.
const BODIES_BYTES_MAX: u64 = 16 << 20;
/// Start of every body that is in no budget, in KiB.
const UNCOUNTED_KIB_MAX: u64 = 16;
/// Longest body of a logged-in user.
const BODY_BYTES: usize = 600 * 1_024;
/// How long a head or body may take, as set for the slow ones.
const TIME_MILLISECONDS_MAX: u64 = 1_500;
/// Ends a test that would otherwise wait for ever.
const PATIENCE: Duration = Duration::from_secs(60);

fn post(rig: &Rig, headers: &str, body: &[u8]) -> String {
    let head = format!(
        "POST /v1/login/email/resend HTTP/1.1\r\n{}{headers}content-length: {}\r\nconnection: close\r\n\r\n",
        rig.app_headers(),
        body.len()
    );
    rig.exchange(&[head.as_bytes(), body].concat())
}

fn code(answer: &str) -> String {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    problem["code"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn hostile_heads_and_bodies_get_their_own_refusal() {
    let rig = Rig::serving(&[]);
    let before = rig.peak_kib();
    let json = "content-type: application/json\r\n";
    let deep = |open: &str, close: &str| {
        let inner = open.repeat(100_000) + &close.repeat(100_000);
        format!(r#"{{"email":"a@example.org","x":{inner}}}"#)[..].to_owned()
    };
    let number = |number: &str| format!(r#"{{"email":{number}}}"#).into_bytes();
    let cases: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        ("longer than allowed, as it says itself", json, vec![b' '; 17 * 1_024], 413, "payload_too_large"),
        ("nested lists", json, deep("[", "]").into_bytes()[..16_000].to_vec(), 400, "invalid_json"),
        ("nested objects", json, deep(r#"{"a":"#, "}").into_bytes()[..16_000].to_vec(), 400, "invalid_json"),
        ("a hundred thousand levels", json, deep("[", "]").into_bytes(), 413, "payload_too_large"),
        ("a list instead of an object", json, br#"["a@example.org"]"#.to_vec(), 400, "invalid_json"),
        ("a number of ten thousand digits", json, number(&"9".repeat(10_000)), 400, "invalid_json"),
        ("an exponent beyond every double", json, number("1e999999999"), 400, "invalid_json"),
        ("no UTF-8", json, b"{\"email\":\"\xff\xfe\xc0\x80\"}".to_vec(), 400, "invalid_json"),
        (
            "no UTF-8 where nobody reads",
            json,
            b"{\"email\":\"a@example.org\",\"x\":\"\xff\"}".to_vec(),
            400,
            "invalid_json",
        ),
        ("half of a surrogate pair", json, br#"{"email":"\ud800"}"#.to_vec(), 400, "invalid_json"),
        ("a member twice", json, br#"{"email":"a@example.org","email":"b@example.org"}"#.to_vec(), 400, "invalid_json"),
        ("something behind the end", json, br#"{"email":"a@example.org"}{}"#.to_vec(), 400, "invalid_json"),
        (
            "packed",
            "content-type: application/json\r\ncontent-encoding: gzip\r\n",
            vec![0x1f, 0x8b, 8, 0],
            415,
            "unsupported_media_type",
        ),
        ("another type", "content-type: text/html\r\n", b"{}".to_vec(), 415, "unsupported_media_type"),
        (
            "two types",
            "content-type: application/json\r\ncontent-type: text/html\r\n",
            b"{}".to_vec(),
            415,
            "unsupported_media_type",
        ),
        ("no type", "", b"{}".to_vec(), 415, "unsupported_media_type"),
    ];
    for (name, headers, body, expected, problem) in cases {
        let said = post(&rig, headers, &body);
        assert_eq!((status(&said), code(&said).as_str()), (expected, problem), "{name}: {said}");
    }
    // A length that is only said: refused before a byte of it is waited for.
    let head = format!(
        "POST /v1/login/email/resend HTTP/1.1\r\n{}{json}content-length: 99999999999\r\n\r\n",
        rig.app_headers()
    );
    assert_eq!(status(&rig.exchange(head.as_bytes())), 413);
    // Chunks without end: as many as are allowed.
    let head = format!(
        "POST /v1/login/email/resend HTTP/1.1\r\n{}{json}transfer-encoding: chunked\r\n\r\n",
        rig.app_headers()
    );
    let chunks = format!("400\r\n{}\r\n", " ".repeat(1_024)).repeat(40);
    assert_eq!(code(&rig.exchange((head + &chunks).as_bytes())), "payload_too_large");
    let get = |rest: &str| format!("GET /v1/app/info{rest}");
    for (name, request) in [
        ("a long header", get(&format!(" HTTP/1.1\r\nhost: x\r\nx-a: {}\r\n\r\n", "a".repeat(64 * 1_024)))),
        ("many headers", get(&format!(" HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-a: 1\r\n".repeat(200)))),
        (
            "a head without end",
            get(&format!(" HTTP/1.1\r\n{}", "x-a: aaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(100_000))),
        ),
        ("a long path", get(&format!("/{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70_000)))),
    ] {
        let said = rig.exchange(request.as_bytes());
        assert!(matches!(status(&said), 0 | 414 | 431), "{name}: {said}");
    }
    rig.honest_user_is_served();
    assert!(rig.peak_kib() - before < GROWTH_KIB_MAX, "{} KiB", rig.peak_kib() - before);
}

#[test]
fn long_bodies_share_one_budget_and_short_ones_need_none() {
    let rig = Rig::serving(&[("bodies_bytes_max", BODIES_BYTES_MAX), ("body_milliseconds_max", 60_000)]);
    let token = rig.access_token();
    let before = rig.peak_kib();
    let head = format!(
        "POST /v1/wallet/sealed HTTP/1.1\r\n{}authorization: DPoP {token}\r\ncontent-type: application/json\r\n\
         content-length: {BODY_BYTES}\r\n\r\n",
        rig.app_headers()
    );
    // All but the last byte of far more than fits.
    let body = [head.as_bytes(), &vec![b' '; BODY_BYTES - 1]].concat();
    let bodies = if is_full() { 200 } else { 60 };
    let mut streams: Vec<_> = (0..bodies).map(|number| rig.connect(number)).collect();
    for stream in &mut streams {
        // Those that are refused are hung up on while they write.
        let _ = stream.write_all(&body);
    }
    rig.honest_user_is_served();
    // Once all that was sent is read.
    let waiting = || streams.iter().filter(|stream| !is_over(stream)).count() as u64;
    let sent = Instant::now();
    let fit = BODIES_BYTES_MAX / (BODY_BYTES as u64 - (UNCOUNTED_KIB_MAX << 10));
    while waiting() > fit + 1 {
        assert!(sent.elapsed() < PATIENCE, "{} bodies of {fit} that fit are waited for", waiting());
        std::thread::yield_now();
    }
    let grown = rig.peak_kib() - before;
    let allowed = (BODIES_BYTES_MAX >> 10) + u64::from(bodies) * (UNCOUNTED_KIB_MAX + EACH_KIB_MAX) + GROWTH_KIB_MAX;
    assert!(grown < allowed, "{grown} KiB of {allowed} for {bodies} bodies");
    // What was held is given back.
    drop(streams);
    rig.honest_user_is_served();
    let last = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let (whole, dropped) = ([last.as_bytes(), &vec![b' '; BODY_BYTES]].concat(), Instant::now());
    let said = loop {
        let said = rig.exchange(&whole);
        // The host has to hear of the ends of all of them first; a reset may overtake what it says until then.
        if !matches!(status(&said), 0 | 503) || dropped.elapsed() > PATIENCE {
            break said;
        }
    };
    assert_eq!((status(&said), code(&said).as_str()), (400, "invalid_json"), "{said}");
}

#[test]
fn heads_and_bodies_that_come_byte_by_byte_are_cut_off_in_time() {
    let rig = Rig::serving(&[("body_milliseconds_max", TIME_MILLISECONDS_MAX)]);
    let before = rig.peak_kib();
    let each = if is_full() { 400 } else { 150 };
    let head = b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ".to_vec();
    let body = format!(
        "POST /v1/login/email/resend HTTP/1.1\r\n{}content-type: application/json\r\ncontent-length: 16000\r\n\r\n{{\"email\": ",
        rig.app_headers()
    );
    let begun = Instant::now();
    let mut slow: Vec<_> = (0..each)
        .flat_map(|number| [(number, head.clone()), (number, body.clone().into_bytes())])
        .map(|(number, first)| {
            let mut stream = rig.connect(number);
            stream.write_all(&first).unwrap();
            stream
        })
        .collect();
    let drips = std::thread::scope(|scope| {
        let dripping = scope.spawn(|| {
            let mut drips = 0_u64;
            let mut open: Vec<bool> = vec![true; slow.len()];
            while open.contains(&true) {
                assert!(begun.elapsed() < PATIENCE, "{} are still open", open.iter().filter(|open| **open).count());
                for (stream, open) in slow.iter_mut().zip(&mut open).filter(|(_, open)| **open) {
                    *open = !is_over(stream) && stream.write_all(b" ").is_ok();
                    drips += 1;
                }
                std::thread::yield_now();
            }
            drips
        });
        rig.honest_user_is_served();
        dripping.join().unwrap()
    });
    let took = begun.elapsed();
    assert!(drips > 2 * u64::from(each), "{drips}");
    assert!(took >= Duration::from_millis(TIME_MILLISECONDS_MAX), "{took:?}");
    // It was the time that ended them, not the length. A reset may have overtaken the answer to a body; heads get none.
    let said: Vec<String> = slow.iter_mut().map(rest).collect();
    assert!(said.iter().all(|said| matches!(status(said), 0 | 408)), "{said:?}");
    assert!(said.iter().any(|said| code(said) == "request_timeout"), "nobody was told");
    let (grown, allowed) = (rig.peak_kib() - before, u64::from(2 * each) * EACH_KIB_MAX + GROWTH_KIB_MAX);
    assert!(grown < allowed, "{grown} KiB of {allowed} for {} requests", 2 * each);
    rig.honest_user_is_served();
}
