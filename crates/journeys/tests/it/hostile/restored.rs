//! A host that puts back an older database together with the older anchor: what the anchor cannot notice, clients do.

use pinseal_client::receipt::ReceiptError;
use pinseal_client::{EvidenceError, OperationError};
use pinseal_host::{BootError, Stop};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{Method, Request};
use pinseal_protocol::wire::Halt;
use rusqlite::params;

use super::{ANN, database};
use crate::system::System;
use crate::system::device::{PIN, WRONG, pin};
use crate::system::raw::wrong_factor;

/// What the enclave's state is made of.
const STATE: [&str; 7] = ["records", "outers", "superseded", "log_entries", "log_events", "log_nodes", "checkpoints"];

/// Database and anchor as they are; the enclave must not run.
struct Copy {
    database: std::path::PathBuf,
    anchor: Vec<u8>,
}

impl Copy {
    fn take(system: &System) -> Self {
        let copy = system.database().with_extension("copy");
        database(system).execute("VACUUM INTO ?1", params![copy.to_str().unwrap()]).unwrap();
        Self { database: copy, anchor: std::fs::read(system.anchor_file()).unwrap() }
    }

    fn put_back(&self, system: &System) {
        let database = database(system);
        database.execute("ATTACH ?1 AS copy", params![self.database.to_str().unwrap()]).unwrap();
        let tx = database.unchecked_transaction().unwrap();
        for table in STATE {
            tx.execute_batch(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM copy.{table};")).unwrap();
        }
        tx.commit().unwrap();
        std::fs::write(system.anchor_file(), &self.anchor).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_put_back_is_noticed_by_a_client_that_has_seen_more_and_ends_there() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    system.halt().await;
    let copy = Copy::take(&system);
    system.boot().await.unwrap();
    for _ in 0..3 {
        let answer = ann.try_pin(WRONG).await.unwrap_err();
        assert!(matches!(answer, OperationError::WrongPin { .. }), "{answer:?}");
    }
    let seen = ann.client.profile().await.unwrap().receipt.unwrap();
    let attested = ann.attest().await;
    system.halt().await;
    copy.put_back(&system);
    system.boot().await.unwrap();

    // The client compares what the boot shows with what it has seen: no PIN is asked for.
    let error = ann.client.attest().await.unwrap_err();
    let EvidenceError::Receipt(ReceiptError::RolledBack { held, shown }) = error else { panic!("{error:?}") };
    assert_eq!(held, seen.size);
    assert!(shown < held, "{shown} of {held}");
    // Nor does the one that still trusts the last boot get as far as a PIN factor.
    let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
    assert!(matches!(error, OperationError::Begin(_)), "{error:?}");

    // A careless client shows the receipt all the same: the enclave tells it, and serves nobody from then on.
    let request = |_: &_| Request::VerifyPin { pin: wrong_factor() };
    let careless = ann.prepare(&system.manifest(), Method::VerifyPin, request).await;
    let stop = system.stopped();
    let answer = ann.send(&careless).await;
    assert_eq!(careless.outcome(&answer), Outcome::Refused(Refusal::StateRolledBack));
    let stop = stop.await;
    assert!(matches!(&stop, Stop::Halted { halt: Halt::RolledBack, .. }), "{stop:?}");
    let (answer, _) = ann.post("/v1/wallet/sealed", &[], &serde_json::json!({})).await;
    assert_ne!(answer.status, 200);
    assert!(!system.status().ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_put_back_alone_does_not_boot() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    system.halt().await;
    let mut copy = Copy::take(&system);
    system.boot().await.unwrap();
    let answer = ann.try_pin(WRONG).await.unwrap_err();
    assert!(matches!(answer, OperationError::WrongPin { .. }), "{answer:?}");
    system.halt().await;
    copy.anchor = std::fs::read(system.anchor_file()).unwrap();
    copy.put_back(&system);
    let error = system.boot().await.unwrap_err();
    let BootError::Halted { halt, .. } = error else { panic!("{error:?}") };
    assert_eq!(halt, Halt::StateOlder);
}
