//! The calls over a socket, by status code and content type.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use pinseal_witness::BODY_BYTES_MAX;
use reqwest::{Client, Response};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::{Log, ORIGIN, witness};

async fn post(at: SocketAddr, body: Vec<u8>) -> Response {
    Client::new().post(format!("http://{at}/add-checkpoint")).body(body).send().await.unwrap()
}

/// A witness of one log that is served.
struct Running {
    at: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Running {
    async fn start(directory: &Path, log: &Log) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(pinseal_witness::serve(witness(directory, &[log]), listener, async {
            let _ = stopped.await;
        }));
        Self { at, stop, serving }
    }
}

fn kind(response: &Response) -> &str {
    response.headers()["content-type"].to_str().unwrap()
}

#[tokio::test]
async fn every_answer_has_the_standards_status() {
    let directory = tempfile::tempdir().unwrap();
    let (log, stranger, impostor) = (Log::new(ORIGIN, 1), Log::new("other", 2), Log::new(ORIGIN, 3));
    let Running { at, stop, serving } = Running::start(directory.path(), &log).await;

    let newest = format!("http://{at}/{}/checkpoint", hex::encode(Sha256::digest(ORIGIN)));
    assert_eq!(reqwest::get(&newest).await.unwrap().status(), 404, "nothing cosigned yet");
    let cosigned = post(at, log.request(0, 5)).await;
    assert_eq!(cosigned.status(), 200);
    let line = cosigned.text().await.unwrap();
    assert!(line.starts_with("\u{2014} witness.example/w1 ") && line.ends_with('\n') && line.lines().count() == 1);
    assert_eq!(reqwest::get(&newest).await.unwrap().text().await.unwrap(), format!("{}{line}", log.note(5)));

    let conflict = post(at, log.request(3, 6)).await;
    assert_eq!((conflict.status().as_u16(), kind(&conflict)), (409, "text/x.tlog.size"));
    assert_eq!(conflict.text().await.unwrap(), "5\n");
    for (body, status) in [
        (b"nonsense".to_vec(), 400),
        (stranger.request(0, 1), 404),
        (impostor.request(5, 6), 403),
        ([&b"old 5\n\n"[..], log.note(6).as_bytes()].concat(), 422),
        (vec![b'x'; BODY_BYTES_MAX + 1], 413),
    ] {
        assert_eq!(post(at, body).await.status(), status);
    }
    let elsewhere = reqwest::get(format!("http://{at}/{}/checkpoint", "0".repeat(64))).await.unwrap();
    assert_eq!(elsewhere.status(), 404);
    assert_eq!(reqwest::get(format!("http://{at}/add-checkpoint")).await.unwrap().status(), 405);
    assert_eq!(post(at, log.request(5, 6)).await.status(), 200);

    drop(stop);
    serving.await.unwrap().unwrap();
}

/// Half a request, which the witness has and waits for the rest of: its handler has been called, which "100 Continue" shows.
async fn half_sent(at: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let head = "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 60000\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"o").await.unwrap();
    stream
}

#[tokio::test]
async fn two_hundred_half_sent_bodies_keep_nobody_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 1);
    let Running { at, stop, serving } = Running::start(directory.path(), &log).await;
    let honest = async {
        let mut held = Vec::new();
        for _ in 0..200 {
            held.push(half_sent(at).await);
        }
        let cosigned = post(at, log.request(0, 5)).await;
        (cosigned.status(), held)
    };
    // Half of what such a body is waited for, so that nobody has made room by giving up.
    let (status, held) = timeout(Duration::from_secs(5), honest).await.expect("an answer at once");
    assert_eq!(status, 200);
    drop((held, stop));
    serving.await.unwrap().unwrap();
}

/// The most memory that this process ever had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_body_in_pieces_of_one_byte_takes_no_more_than_another() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 1);
    let Running { at, stop, serving } = Running::start(directory.path(), &log).await;
    let head = "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = head.to_owned() + &"1\r\nx\r\n".repeat(60_000);
    let before = peak_kib();
    let mut streams = Vec::new();
    for _ in 0..24 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    for stream in &mut streams {
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    }
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    // A body, its buffer and those of a connection; kept in its pieces one is 2 MiB and more.
    let grown = peak_kib() - before;
    assert!(grown < 24 * 512, "{grown} KiB");
    drop(stop);
    serving.await.unwrap().unwrap();
}
