//! A host that shows something else than the enclave said or the person asked for.

use std::sync::{Arc, Mutex};

use pinseal_chains::evm::transaction::SignedTransaction;
use pinseal_client::account::AccountError;
use pinseal_client::evidence::EvidenceError;
use pinseal_client::{Address, Amount, OperationError, TransactionError, TransactionRequest};
use pinseal_protocol::cbor;
use pinseal_protocol::envelope::EnvelopeError;
use pinseal_protocol::intent::{AccountIndex, EvmAddress};
use pinseal_protocol::manifest::Manifest;
use serde_json::{Value, json};

use super::swapped::{SEALED, swap};
use super::{ANN, BOB};
use crate::system::System;
use crate::system::between::Fate;
use crate::system::device::{PIN, pin};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_that_was_shown_before_or_covers_another_key_is_refused() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let kept: Arc<Mutex<Option<Value>>> = Arc::default();
    let keep = Arc::clone(&kept);
    system.between.change_answers(move |answer| {
        if answer.path == "/v1/evidence" {
            *answer.body = keep.lock().unwrap().get_or_insert(answer.body.clone()).clone();
        }
        Fate::Deliver
    });
    ann.attest().await;
    let error = ann.client.attest().await.unwrap_err();
    assert!(matches!(error, EvidenceError::Evidence(_)), "an old answer to another nonce: {error:?}");
    // The host's own key in the manifest.
    swap(&system, "/v1/evidence", "manifest", |honest| {
        let mut manifest: Manifest = cbor::from_slice(&hex::decode(honest).unwrap()).unwrap();
        manifest.hpke.0[0] ^= 1;
        hex::encode(cbor::to_vec(&manifest))
    });
    let error = ann.client.attest().await.unwrap_err();
    assert!(matches!(error, EvidenceError::Evidence(_)), "{error:?}");
    system.between.honest();
    ann.attest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_the_log_key_did_not_sign_for_this_wallet_is_not_shown() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let bob = system.person(&app, BOB).await;
    let hers = ann.client.accounts().await.unwrap();
    let change = |how: fn(&mut Value, &Value), with: Value| {
        system.between.change_answers(move |answer| {
            if answer.path == "/v1/accounts" {
                how(&mut answer.body["items"][0], &with);
            }
            Fate::Deliver
        });
    };
    // Bob's, with the enclave's signature on it.
    system.between.honest();
    system.between.take();
    bob.client.accounts().await.unwrap();
    let listed = system.between.take().into_iter().find(|one| one.path == "/v1/accounts").unwrap();
    let his: Value = serde_json::from_slice(&listed.answer).unwrap();
    change(|item, his| *item = his["items"][0].clone(), his);
    let error = ann.client.accounts().await.unwrap_err();
    assert!(matches!(error, AccountError::Forged), "{error:?}");
    // The host's own address in Ann's statement.
    change(
        |item, _| {
            let mut statement = hex::decode(item["statement"].as_str().unwrap()).unwrap();
            *statement.last_mut().unwrap() ^= 1;
            item["statement"] = json!(hex::encode(statement));
        },
        Value::Null,
    );
    let error = ann.client.accounts().await.unwrap_err();
    assert!(matches!(error, AccountError::Forged), "{error:?}");
    // What the host writes beside the statement counts for nothing.
    change(|item, _| item["address"] = json!("0x0000000000000000000000000000000000000001"), Value::Null);
    assert_eq!(ann.client.accounts().await.unwrap(), hers);
    system.between.honest();
    assert_eq!(ann.client.account(AccountIndex::default()).await.unwrap(), hers[0]);
}

/// What an honest host proposes.
fn proposal() -> Value {
    let tier = json!({"max_fee_per_gas": "2000000000", "max_priority_fee_per_gas": "1000000000"});
    json!({
        "network": "eip155:31337", "nonce": 3, "gas_limit": 21_000, "balance": "1000000000000000000",
        "fees": {"slow": tier, "normal": tier, "fast": tier, "base_fee": "1000000000"},
        "reservation_id": "1", "expires_at": 2_000_000_000,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_stays_what_the_person_approved() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let to = Address(EvmAddress([0x11; 20]));
    let network = "eip155:31337".parse().unwrap();
    let wanted = TransactionRequest::native(network, AccountIndex::default(), to, "5".parse::<Amount>().unwrap());
    let propose = |proposal: Value, sent: &'static str| {
        system.between.change_answers(move |answer| {
            match answer.path {
                "/v1/tx/prepare" => (*answer.status, *answer.body) = (200, proposal.clone()),
                "/v1/tx/broadcast" => {
                    let body = json!({
                        "network": "eip155:31337", "hash": sent, "from": format!("0x{}", "22".repeat(20)),
                        "value": "5", "nonce": 3, "status": "pending",
                    });
                    (*answer.status, *answer.body) = (200, body);
                }
                _ => {}
            }
            Fate::Deliver
        });
    };
    let other_hash = "0x3333333333333333333333333333333333333333333333333333333333333333";

    // Fees and networks no honest host proposes.
    for (member, lie) in [
        ("/network", json!("eip155:1")),
        ("/gas_limit", json!(40_000_000)),
        ("/fees/normal/max_fee_per_gas", json!("100000000000001")),
    ] {
        let mut proposal = proposal();
        *proposal.pointer_mut(member).unwrap() = lie;
        propose(proposal, other_hash);
        let error = ann.client.prepare_transaction(&wanted, &[]).await.unwrap_err();
        assert!(matches!(error, TransactionError::Unreasonable(_)), "{member}: {error:?}");
    }

    // Recipient, value and data are the person's, whatever the host adds; what is signed is that.
    let mut wordy = proposal();
    wordy["to"] = json!("0x4444444444444444444444444444444444444444");
    wordy["value"] = json!("1000000000000000000");
    propose(wordy, other_hash);
    let prepared = ann.client.prepare_transaction(&wanted, &[]).await.unwrap();
    let transaction = prepared.transaction();
    assert_eq!((transaction.to, transaction.value, transaction.nonce), (Some(to.0), wanted.value.0, 3));
    let signed = ann.attest().await.sign_transaction(&pin(PIN), &prepared).await.unwrap();
    let raw = SignedTransaction::parse(signed.raw()).unwrap();
    assert_eq!(raw.transaction(), transaction);
    assert_eq!(Address(*raw.sender()), prepared.from().address);
    // "Sent": something else.
    let error = ann.client.broadcast(&signed).await.unwrap_err();
    assert!(matches!(error, TransactionError::OtherTransaction), "{error:?}");

    // What was handed in once may be carried out, whatever the host says of it: no other nonce is taken for the next one.
    let mut next = proposal();
    next["nonce"] = json!(4);
    system.between.change_answers(move |answer| {
        match answer.path {
            "/v1/tx/prepare" => (*answer.status, *answer.body) = (200, next.clone()),
            "/v1/tx" => (*answer.status, *answer.body) = (200, json!({"items": [], "next_cursor": null})),
            path if path.starts_with("/v1/tx/eip155:31337/") => {
                (*answer.status, *answer.body) =
                    (404, json!({"code": "transaction_unknown", "title": "No such transaction."}));
            }
            _ => {}
        }
        Fate::Deliver
    });
    let error = ann.client.prepare_transaction(&wanted, &[]).await.unwrap_err();
    let TransactionError::Unsettled(entries) = error else { panic!("{error:?}") };
    assert_eq!((entries.len(), entries[0].hash, entries[0].nonce), (1, signed.hash(), 3));

    // A front end that puts one sealed request in the place of another: two names, one reply.
    system.between.honest();
    let kept: Arc<Mutex<Option<Value>>> = Arc::default();
    system.between.change_requests(move |path, body| {
        if path == SEALED {
            *body = kept.lock().unwrap().get_or_insert(body.clone()).clone();
        }
    });
    let attested = ann.attest().await;
    attested.sign_transaction(&pin(PIN), &prepared).await.unwrap();
    let error = attested.sign_transaction(&pin(PIN), &prepared).await.unwrap_err();
    assert!(matches!(error, OperationError::Envelope(EnvelopeError::OtherRequest)), "{error:?}");
    system.between.honest();
    assert_eq!(ann.outstanding().await, 0);
}
