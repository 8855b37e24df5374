//! Replies that do not arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use pinseal_client::OperationError;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::wire::FromEnclave;
use serde_json::json;

use super::ANN;
use crate::system::System;
use crate::system::between::{Exchange, Fate};
use crate::system::device::{PIN, WRONG, pin};

const SEALED: &str = "/v1/wallet/sealed";

fn sealed_exchanges(system: &System) -> Vec<Exchange> {
    system.between.take().into_iter().filter(|exchange| exchange.path == SEALED).collect()
}

/// Writes and log entries so far.
fn written(system: &System) -> (u64, u64) {
    let status = system.status();
    (status.batches, status.checkpoint.size)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_is_fetched_by_an_identical_resend_and_charged_once() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let attested = ann.attest().await;

    // The connection breaks twice; the client sends the same bytes again.
    let mut broken = 0;
    system.between.change_answers(move |answer| {
        let breaks = answer.path == SEALED && broken < 2;
        broken += usize::from(breaks);
        if breaks { Fate::Lose } else { Fate::Deliver }
    });
    sealed_exchanges(&system);
    let (batches, entries) = written(&system);
    let answer = attested.verify_pin(&pin(WRONG)).await.unwrap_err();
    assert!(matches!(answer, OperationError::WrongPin { tries } if tries.left == 4), "{answer:?}");
    let sent = sealed_exchanges(&system);
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|one| one.status == 200 && one.request == sent[0].request && one.answer == sent[0].answer));
    assert_eq!(written(&system), (batches + 2, entries + 2), "one charge and one settlement");

    // It breaks every time: the outcome is unknown, and said to be.
    system.between.change_answers(|answer| if answer.path == SEALED { Fate::Lose } else { Fate::Deliver });
    let answer = attested.verify_pin(&pin(WRONG)).await.unwrap_err();
    assert!(matches!(answer, OperationError::ReplyLost(_)), "{answer:?}");
    system.between.honest();
    let sent = sealed_exchanges(&system);
    assert!(sent.len() > 1 && sent.iter().all(|one| one.answer == sent[0].answer), "{}", sent.len());
    assert_eq!(written(&system), (batches + 4, entries + 4));
    let access = ann.session().await.access_token.expose_secret().to_owned();
    let body = serde_json::from_slice(&sent[0].request).unwrap();
    let (again, _) = ann.post(SEALED, &[("authorization", &format!("DPoP {access}"))], &body).await;
    assert_eq!(again.body, sent[0].answer, "whoever sends the bytes again gets the reply");
    assert_eq!(written(&system), (batches + 4, entries + 4));
    assert_eq!(ann.outstanding().await, 2);
    attested.verify_pin(&pin(PIN)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn identical_requests_at_once_share_one_answer_and_one_charge() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = Arc::new(system.person(&app, ANN).await);
    let sealed = Arc::new(ann.prepare_wrong(&system.manifest()).await);
    let (batches, entries) = written(&system);
    let send = |_| {
        let (ann, sealed) = (Arc::clone(&ann), Arc::clone(&sealed));
        tokio::spawn(async move { ann.send(&sealed).await })
    };
    let mut answers = Vec::new();
    for task in (0..6).map(send).collect::<Vec<_>>() {
        answers.push(task.await.unwrap());
    }
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    assert_eq!(sealed.outcome(&answers[0]), Outcome::WrongPin);
    assert_eq!(written(&system), (batches + 2, entries + 2));
    assert_eq!(ann.outstanding().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_that_takes_too_long_waits_for_an_identical_resend() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = Arc::new(system.person(&app, ANN).await);
    let sealed = Arc::new(ann.prepare_wrong(&system.manifest()).await);
    // The enclave's reply is held on its way to the host.
    let (held, is_held) = channel();
    let (release, released) = channel::<()>();
    system.wire.change_from_enclave(move |message| {
        if matches!(message, FromEnclave::Replied { .. }) {
            held.send(()).unwrap();
            released.recv().unwrap();
        }
    });
    let waiting = {
        let (ann, sealed) = (Arc::clone(&ann), Arc::clone(&sealed));
        tokio::spawn(async move { ann.send(&sealed).await })
    };
    tokio::task::spawn_blocking(move || is_held.recv().unwrap()).await.unwrap();
    system.clock.pass(31);
    // The trunk looks at its deadlines with the next thing that happens; this one has to wait, too.
    let next = {
        let (ann, manifest) = (Arc::clone(&ann), system.manifest());
        let access = sealed.access_token.clone();
        tokio::spawn(async move {
            let body = json!({"method": "status"});
            (ann.post_proven("/v1/wallet/begin", &access, &body).await, manifest)
        })
    };
    let late = waiting.await.unwrap();
    assert_eq!((late.status, late.code().as_str()), (504, "timeout"), "{}", late.json());
    release.send(()).unwrap();
    assert_eq!(next.await.unwrap().0.status, 200);
    system.wire.honest();
    assert_eq!(sealed.outcome(&ann.send(&sealed).await), Outcome::WrongPin);
    assert_eq!(ann.outstanding().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_after_the_request_left_is_no_refusal() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let attested = ann.attest().await;
    // The server carries the request out and then says that it failed: whoever believes it must not take the try for unspent.
    for (status, code) in [(504, "timeout"), (503, "enclave_unavailable"), (500, "internal")] {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        system.between.change_answers(move |answer| {
            if answer.path == SEALED {
                count.fetch_add(1, Ordering::SeqCst);
                *answer.status = status;
                *answer.body = json!({"code": code, "title": "T", "status": status, "retryable": true});
            }
            Fate::Deliver
        });
        let error = attested.verify_pin(&pin(WRONG)).await.unwrap_err();
        assert!(matches!(error, OperationError::ReplyLost(_)), "{code}: {error:?}");
        assert!(seen.load(Ordering::SeqCst) >= 1);
        system.between.honest();
        system.clock.pass(60);
    }
    assert_eq!(ann.outstanding().await, 3);
}
