//! The calls over a socket, by status code and content type.

use std::net::SocketAddr;

use pinseal_witness::BODY_BYTES_MAX;
use reqwest::{Client, Response};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::{Log, ORIGIN, witness};

async fn post(at: SocketAddr, body: Vec<u8>) -> Response {
    Client::new().post(format!("http://{at}/add-checkpoint")).body(body).send().await.unwrap()
}

fn kind(response: &Response) -> &str {
    response.headers()["content-type"].to_str().unwrap()
}

#[tokio::test]
async fn every_answer_has_the_standards_status() {
    let directory = tempfile::tempdir().unwrap();
    let (log, stranger, impostor) = (Log::new(ORIGIN, 1), Log::new("other", 2), Log::new(ORIGIN, 3));
    let witness = witness(directory.path(), &[&log]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(pinseal_witness::serve(witness.clone(), listener, async {
        let _ = stopped.await;
    }));

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
