//! A host that hands something else on to enclave and client than it was given.

use std::sync::{Arc, Mutex};

use pinseal_client::OperationError;
use pinseal_host::Stop;
use pinseal_protocol::cbor;
use pinseal_protocol::envelope::EnvelopeError;
use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::limits::CHALLENGE_SECONDS;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, SealedReply};
use pinseal_protocol::request::{BeginError, BeginReply, Method, SignedBeginReply};
use pinseal_protocol::wire::{FromEnclave, Halt, ToEnclave};
use rusqlite::params;
use serde_json::json;

use super::{ANN, BOB, database};
use crate::system::System;
use crate::system::between::Fate;
use crate::system::device::{Device, PIN, WRONG, pin};

const BEGIN: &str = "/v1/wallet/begin";
pub(super) const SEALED: &str = "/v1/wallet/sealed";

/// Replaces one member of the answers to one path.
pub(super) fn swap(
    system: &System,
    path: &'static str,
    member: &'static str,
    mut with: impl FnMut(&str) -> String + Send + 'static,
) {
    system.between.change_answers(move |answer| {
        if answer.path == path
            && let Some(value) = answer.body[member].as_str().map(str::to_owned)
        {
            answer.body[member] = json!(with(&value));
        }
        Fate::Deliver
    });
}

/// Flips a bit in the middle of a hex text.
fn flipped(hex_text: &str) -> String {
    let mut bytes = hex::decode(hex_text).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    hex::encode(bytes)
}

fn record_of(system: &System, wallet: &UserIdHash) -> Vec<u8> {
    let sql = "SELECT outer FROM records JOIN outers USING (number) WHERE wallet = ?1";
    database(system).query_row(sql, params![wallet.0], |row| row.get(0)).unwrap()
}

async fn wallet_of(device: &Device) -> UserIdHash {
    device.client.profile().await.unwrap().wallet().unwrap().wallet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_swapped_on_its_way_to_the_enclave_is_refused_without_a_charge() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let bob = system.person(&app, BOB).await;
    let (hers, his) = (wallet_of(&ann).await, wallet_of(&bob).await);
    let older = record_of(&system, &hers);
    ann.try_pin(PIN).await.unwrap();
    let attested = ann.attest().await;
    let current = record_of(&system, &hers);
    let mut damaged = current.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for (record, refusals) in [
        (Some(older), [Refusal::RecordStale, Refusal::RecordStale]),
        (Some(record_of(&system, &his)), [Refusal::RecordStale, Refusal::RecordDamaged]),
        (Some(damaged), [Refusal::RecordDamaged, Refusal::RecordStale]),
        (None, [Refusal::RecordStale, Refusal::RecordStale]),
    ] {
        // Under the sealed request.
        let put = record.clone();
        system.wire.change_to_enclave(move |message| {
            if let ToEnclave::Sealed { outer, .. } = message {
                *outer = put.clone().map(Into::into);
            }
        });
        let error = attested.verify_pin(&pin(WRONG)).await.unwrap_err();
        let OperationError::Refused { refusal } = error else { panic!("{error:?}") };
        assert!(refusals.contains(&refusal), "{refusal:?}");
        // And already when the operation begins: the client does not get as far as a PIN factor.
        system.wire.change_to_enclave(move |message| {
            if let ToEnclave::Begin { outer, .. } = message
                && outer.is_some()
            {
                *outer = record.clone().map(Into::into);
            }
        });
        let error = attested.verify_pin(&pin(WRONG)).await.unwrap_err();
        let OperationError::Api(error) = error else { panic!("{error:?}") };
        assert!(refusals.iter().any(|refusal| error.code() == Some(refusal.code())), "{error:?}");
        system.wire.honest();
        assert_eq!(record_of(&system, &hers), current, "nothing was written");
    }
    assert_eq!(ann.outstanding().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_changed_in_the_database_closes_the_wallet_until_it_is_put_back() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let bob = system.person(&app, BOB).await;
    let (hers, his) = (wallet_of(&ann).await, wallet_of(&bob).await);
    let honest = record_of(&system, &hers);
    let store = |outer: &[u8]| {
        let sql = "UPDATE outers SET outer = ?2 WHERE number = (SELECT number FROM records WHERE wallet = ?1)";
        assert_eq!(database(&system).execute(sql, params![hers.0, outer]).unwrap(), 1);
    };
    let mut damaged = honest.clone();
    damaged[honest.len() / 2] ^= 1;
    for (record, code) in [(damaged, "record_damaged"), (record_of(&system, &his), "record_stale")] {
        store(&record);
        let error = ann.try_pin(PIN).await.unwrap_err();
        let OperationError::Api(error) = error else { panic!("{error:?}") };
        assert!(matches!(error.code(), Some("record_damaged" | "record_stale")), "{code}: {error:?}");
        store(&honest);
        ann.status().await;
    }
    // What counts is what the signed checkpoint says, not the host's table.
    let sql = "UPDATE records SET hash = ?2 WHERE wallet = ?1";
    database(&system).execute(sql, params![hers.0, [7_u8; 32]]).unwrap();
    ann.try_pin(PIN).await.unwrap();
    assert_eq!(ann.outstanding().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_begin_reply_that_is_not_the_enclaves_for_this_operation_gets_no_pin_factor() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let bob = system.person(&app, BOB).await;
    let attested = ann.attest().await;

    swap(&system, BEGIN, "begin", flipped);
    let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
    assert!(matches!(error, OperationError::Begin(BeginError::Signature) | OperationError::Malformed), "{error:?}");

    // Weaker Argon2id parameters than the enclave said.
    swap(&system, BEGIN, "begin", |honest| {
        let signed: SignedBeginReply = cbor::from_slice(&hex::decode(honest).unwrap()).unwrap();
        let mut reply: BeginReply = cbor::from_slice(&signed.reply).unwrap();
        reply.current.as_mut().unwrap().argon2.memory_kib = 8;
        hex::encode(cbor::to_vec(&SignedBeginReply { reply: cbor::to_vec(&reply).into(), ..signed }))
    });
    let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
    assert!(matches!(error, OperationError::Begin(BeginError::Signature)), "{error:?}");

    // The enclave's word, but for another operation, or for another person.
    for (device, others) in [(&ann, "status"), (&bob, "verify_pin")] {
        let kept = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&kept);
        swap(&system, BEGIN, "begin", move |honest| {
            keep.lock().unwrap().get_or_insert(honest.to_owned());
            honest.to_owned()
        });
        match others {
            "status" => drop(device.attest().await.status().await.unwrap()),
            _ => drop(device.try_pin(PIN).await.unwrap()),
        }
        let kept = kept.lock().unwrap().clone().unwrap();
        swap(&system, BEGIN, "begin", move |_| kept.clone());
        let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
        assert!(matches!(error, OperationError::Begin(BeginError::Malformed)), "{error:?}");
    }
    system.between.honest();
    assert_eq!(ann.outstanding().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_is_not_the_one_to_this_request_is_not_believed() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let attested = ann.attest().await;
    // "Right PIN", said before, shown again to a wrong one.
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    swap(&system, SEALED, "reply", move |honest| keep.lock().unwrap().get_or_insert(honest.to_owned()).clone());
    attested.verify_pin(&pin(PIN)).await.unwrap();
    let error = attested.verify_pin(&pin(WRONG)).await.unwrap_err();
    assert!(matches!(error, OperationError::Envelope(EnvelopeError::OtherRequest)), "{error:?}");
    // The same under the new request's name.
    let before: SealedReply = cbor::from_slice(&hex::decode(kept.lock().unwrap().clone().unwrap()).unwrap()).unwrap();
    swap(&system, SEALED, "reply", move |honest| {
        let mut reply: SealedReply = cbor::from_slice(&hex::decode(honest).unwrap()).unwrap();
        reply.ciphertext = before.ciphertext.clone();
        hex::encode(cbor::to_vec(&reply))
    });
    let error = attested.verify_pin(&pin(WRONG)).await.unwrap_err();
    assert!(matches!(error, OperationError::Envelope(EnvelopeError::Crypto)), "{error:?}");
    swap(&system, SEALED, "reply", flipped);
    let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
    assert!(matches!(error, OperationError::Envelope(EnvelopeError::Crypto)), "{error:?}");
    swap(&system, SEALED, "reply", |_| "00".into());
    let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
    assert!(matches!(error, OperationError::Malformed), "{error:?}");
    system.between.honest();
    ann.try_pin(PIN).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_swapped_on_its_way_stops_the_enclave_before_a_verdict() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let attested = ann.attest().await;
    // "Anchored", says the host of the charge, and shows what the anchor held before.
    let older = system.status().note;
    system.wire.change_to_enclave(move |message| {
        if let ToEnclave::Committed { receipt, .. } = message {
            *receipt = older.clone().into();
        }
    });
    let replied = Arc::new(Mutex::new(0));
    let count = Arc::clone(&replied);
    system.wire.change_from_enclave(move |message| {
        *count.lock().unwrap() += usize::from(matches!(message, FromEnclave::Replied { .. }));
    });
    let stop = system.stopped();
    let error = attested.verify_pin(&pin(WRONG)).await.unwrap_err();
    assert!(matches!(error, OperationError::ReplyLost(_)), "{error:?}");
    let stop = stop.await;
    assert!(matches!(&stop, Stop::Halted { halt: Halt::Fenced, .. }), "{stop:?}");
    assert_eq!(*replied.lock().unwrap(), 0);
    system.wire.honest();
    system.restart_enclave().await;
    assert_eq!(ann.outstanding().await, 1, "the charge was stored; no verdict ever left");
    ann.try_pin(PIN).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_that_does_not_tie_the_clients_receipt_to_the_log_opens_nothing() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    ann.try_pin(PIN).await.unwrap();
    let held = ann.client.profile().await.unwrap().receipt.unwrap();
    // A boot remembers no root before the one it started from: only the host's proof says that it continues an older one.
    ann.try_pin(PIN).await.unwrap();
    system.restart_enclave().await;
    let manifest = system.manifest();
    *ann.receipt.lock().unwrap() = Some(held.note);
    let mut answered = Vec::new();
    for lie in ["none", "another hash", "another size"] {
        let sealed = ann.prepare_wrong(&manifest).await;
        let passed = Arc::new(Mutex::new(false));
        let pass = Arc::clone(&passed);
        system.wire.change_to_enclave(move |message| {
            if let ToEnclave::Sealed { consistency, .. } = message {
                *pass.lock().unwrap() = consistency.is_some();
                match (lie, consistency.as_mut()) {
                    ("another hash", Some(proof)) => proof.path[0].0[0] ^= 1,
                    ("another size", Some(proof)) => proof.old_size -= 1,
                    _ => *consistency = None,
                }
            }
        });
        let outcome = sealed.outcome(&ann.send(&sealed).await);
        assert_eq!(outcome, Outcome::Refused(Refusal::ConsistencyMissing), "{lie}");
        answered.push(sealed);
        assert!(*passed.lock().unwrap(), "the honest host gives one");
    }
    system.wire.honest();
    let sealed = ann.prepare_wrong(&manifest).await;
    assert_eq!(sealed.outcome(&ann.send(&sealed).await), Outcome::WrongPin);
    assert_eq!(ann.outstanding().await, 1);
    // A host that has forgotten its reply does not bring the refused ones to a verdict with the true proof.
    system.clock.pass(CHALLENGE_SECONDS + 1);
    for sealed in answered {
        let (_, fresh) = ann.begin(Method::VerifyPin).await;
        let reply = system.hand_on(&fresh, &sealed.request).await;
        assert_eq!(sealed.outcome_of(&reply), Outcome::Refused(Refusal::AlreadyAnswered));
    }
    assert_eq!(ann.outstanding().await, 1);
}
