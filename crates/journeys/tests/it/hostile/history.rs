//! The user's history over the real host and enclave, and a host that hides, swaps and makes up what happened to a key.

use pinseal_client::history::{AttemptResult, EventKind, HistoryError};
use pinseal_client::{History, OperationError};
use pinseal_protocol::ids::DeviceId;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::request::Method;
use rusqlite::params;
use serde_json::{Value, json};

use super::{ANN, BOB, database};
use crate::system::System;
use crate::system::between::Fate;
use crate::system::device::{Device, PIN, WRONG, pin};

const HISTORY: &str = "/v1/wallet/history";

async fn history(device: &Device) -> Result<History, HistoryError> {
    device.attest().await.history(None).await
}

fn rows(history: &History) -> Vec<(Method, AttemptResult, DeviceId)> {
    history.attempts.iter().map(|attempt| (attempt.method, attempt.result, attempt.device)).collect()
}

/// Ann with a laptop and a phone: a right PIN on the one, a wrong one on the other.
async fn two_devices(system: &System) -> (Device, Device) {
    let app = system.app("App");
    let laptop = system.person(&app, ANN).await;
    let phone = Device::new(system, &app);
    phone.log_in(ANN).await;
    phone.enrol("phone").await;
    laptop.try_pin(PIN).await.unwrap();
    assert!(matches!(phone.try_pin(WRONG).await, Err(OperationError::WrongPin { .. })));
    (laptop, phone)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_device_sees_what_each_did_and_a_revoked_one_sees_nothing() {
    let system = System::start().await;
    let (laptop, phone) = two_devices(&system).await;
    system.halt().await;
    system.boot().await.unwrap();
    let (here, there) = (laptop.id(), phone.id());
    let expected = [
        (Method::VerifyPin, AttemptResult::Wrong, there),
        (Method::VerifyPin, AttemptResult::Right, here),
        (Method::EnrolDevice, AttemptResult::Right, there),
        (Method::RegisterConfirm, AttemptResult::Right, here),
        (Method::RegisterPrepare, AttemptResult::Prepared, here),
    ];
    // Of each history that is read an entry for what there is to open, and one for what it says.
    for (device, read) in [(&laptop, 1), (&phone, 3)] {
        let history = history(device).await.unwrap();
        assert_eq!(rows(&history), expected);
        assert_eq!((history.writes, history.proven, history.is_complete), (9, 9, true));
        assert_eq!(history.size, 11 + read, "nine writes and two boots; reading leaves no attempt and no event");
        let boots: Vec<u64> = history.events.iter().map(|event| event.index).collect();
        assert_eq!(boots, [10, 0]);
        assert!(history.events.iter().all(|event| matches!(event.kind, EventKind::Boot { .. })));
    }
    laptop.attest().await.revoke_device(&pin(PIN), there).await.unwrap();
    let error = history(&phone).await.unwrap_err();
    let refused = Refusal::DeviceNotEnrolled;
    assert!(
        matches!(&error, HistoryError::Operation(OperationError::Refused { refusal }) if *refusal == refused),
        "{error}"
    );
    assert_eq!(rows(&history(&laptop).await.unwrap())[0], (Method::RevokeDevice, AttemptResult::Right, here));
}

/// More than a page, and more than one `open_history`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_history_comes_whole_over_several_pages() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let attested = ann.attest().await;
    for _ in 0..20 {
        attested.verify_pin(&pin(PIN)).await.unwrap();
    }
    let whole = attested.history(None).await.unwrap();
    assert_eq!((whole.attempts.len(), whole.proven, whole.is_complete), (22, 43, true));
    let newest = attested.history(Some(5)).await.unwrap();
    assert_eq!((newest.attempts.as_slice(), newest.proven), (&whole.attempts[..5], 11));
    assert!(!newest.is_complete);
}

/// Changes the items of every page of the history from now on.
fn lie(system: &System, mut change: impl FnMut(&mut Vec<Value>) + Send + 'static) {
    system.between.change_answers(move |answer| {
        if answer.path == HISTORY
            && let Some(items) = answer.body["items"].as_array_mut()
        {
            change(items);
        }
        Fate::Deliver
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_hidden_swapped_or_made_up_on_its_way_is_noticed() {
    let system = System::start().await;
    let (ann, _phone) = two_devices(&system).await;
    let app = system.app("Other");
    let bob = system.person(&app, BOB).await;
    // A page as Bob is shown it, and one as Ann was shown it.
    let page = async |device: &Device| {
        system.between.take();
        history(device).await.unwrap();
        let seen = system.between.take().into_iter().find(|exchange| exchange.path == HISTORY).unwrap();
        serde_json::from_slice::<Value>(&seen.answer).unwrap()["items"].as_array().unwrap().clone()
    };
    let his = page(&bob).await;
    let before = page(&ann).await;

    // The wrong PIN of the phone, as if it had never been.
    lie(&system, |items| drop(items.drain(..2)));
    let error = history(&ann).await.unwrap_err();
    assert!(matches!(error, HistoryError::Missing { version: 9 }), "{error}");
    // Bob's in its place: proved, and not hers.
    lie(&system, move |items| items[8] = his[2].clone());
    let error = history(&ann).await.unwrap_err();
    assert!(matches!(error, HistoryError::Foreign { .. } | HistoryError::Disorder { .. }), "{error}");
    // Her own, with the verdict of another attempt.
    lie(&system, |items| items[0]["entry"] = items[2]["entry"].clone());
    let error = history(&ann).await.unwrap_err();
    assert!(matches!(error, HistoryError::Forged { .. }), "{error}");
    lie(&system, |items| items[0]["proof"] = json!([]));
    let error = history(&ann).await.unwrap_err();
    assert!(matches!(error, HistoryError::Forged { .. }), "{error}");
    // What she was shown before somebody tried again.
    system.between.honest();
    ann.try_pin(PIN).await.unwrap();
    lie(&system, move |items| items.clone_from(&before));
    let error = history(&ann).await.unwrap_err();
    assert!(matches!(error, HistoryError::Forged { .. } | HistoryError::Missing { .. }), "{error}");

    system.between.change_answers(|answer| {
        if answer.path == "/v1/log/events" {
            answer.body["items"] = json!([]);
        }
        Fate::Deliver
    });
    let error = history(&ann).await.unwrap_err();
    assert!(matches!(error, HistoryError::BootMissing), "{error}");
    system.between.honest();
    assert_eq!(history(&ann).await.unwrap().proven, 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_changed_under_the_host_shows_no_other_history() {
    let system = System::start().await;
    let (ann, _phone) = two_devices(&system).await;
    let kept = system.database().with_extension("kept");
    database(&system).execute("VACUUM INTO ?1", params![kept.to_str().unwrap()]).unwrap();
    // Entries lie at 1 to 9, the wrong PIN's at 8 and 9; leaf 8 is the log's sixteenth node.
    type Told = fn(&HistoryError) -> bool;
    let changes: [(&str, Told); 5] = [
        ("UPDATE records SET newest = 7", |error| matches!(error, HistoryError::Missing { version: 9 })),
        ("UPDATE log_entries SET previous = 5 WHERE position = 8", |error| {
            matches!(error, HistoryError::Missing { version: 7 })
        }),
        (
            "UPDATE log_entries SET entry = (SELECT entry FROM log_entries WHERE position = 7) WHERE position = 9",
            |error| matches!(error, HistoryError::Forged { index: 9 }),
        ),
        ("UPDATE log_nodes SET hash = zeroblob(32) WHERE place = 15", |error| {
            matches!(error, HistoryError::Forged { .. })
        }),
        (
            "DELETE FROM log_entries WHERE position = 9",
            |error| matches!(error, HistoryError::Api(error) if error.code() == Some("internal")),
        ),
    ];
    for (change, is_told) in changes {
        database(&system).execute(change, []).unwrap();
        let error = history(&ann).await.unwrap_err();
        assert!(is_told(&error), "{change}: {error}");
        let database = database(&system);
        database.execute("ATTACH ?1 AS kept", params![kept.to_str().unwrap()]).unwrap();
        for table in ["records", "log_entries", "log_nodes"] {
            database.execute_batch(&format!("INSERT OR REPLACE INTO {table} SELECT * FROM kept.{table};")).unwrap();
        }
        assert_eq!(history(&ann).await.unwrap().proven, 9, "{change}: put back");
    }
}
