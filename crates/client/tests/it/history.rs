//! The user's history before a host that leaves out, swaps and makes up entries.

use std::collections::HashMap;
use std::time::Duration;

use pinseal_client::history::{AttemptResult, EventKind, HistoryError};
use pinseal_client::{Attested, OperationError};
use pinseal_protocol::cbor;
use pinseal_protocol::history::{Detail, History, LoggedWrite, OpenedWrite, Step};
use pinseal_protocol::ids::{DeviceId, Hash32, Nonce, Term, UnixSeconds, UserIdHash, Version};
use pinseal_protocol::log::{Entry, Frontier, Inclusion, SealedDetail, leaf_hash};
use pinseal_protocol::manifest::boot_keys_hash;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::Method;
use serde_json::{Value, json};

use crate::enclave::Enclave;
use crate::peer::{Peer, answer};
use crate::world::{Device, registered};

const PHONE: DeviceId = DeviceId([0x70; 32]);
const LAPTOP: DeviceId = DeviceId([0x1a; 32]);

/// What the double's enclave says: details are not sealed here, and open if the entry is proved in the log of the receipt presented.
pub(crate) fn open(enclave: &Enclave, writes: &[LoggedWrite]) -> History {
    let own = |wallet: &UserIdHash| *wallet == enclave.wallet;
    let opened = |write: &LoggedWrite| {
        let is_logged = enclave.presented.is_some_and(|tree| write.is_in(&tree, &enclave.wallet));
        let detail = Detail::from_plain(&write.detail.0[..48]).filter(|_| is_logged);
        detail.map_or(OpenedWrite::NotOpened, OpenedWrite::Opened)
    };
    let version = |entry: &Vec<u8>| match cbor::from_slice(entry) {
        Ok(Entry::Record { wallet, version, .. }) if own(&wallet) => Some(version),
        _ => None,
    };
    let current = enclave.entries.iter().rev().find_map(version).unwrap_or_default();
    History { current, writes: writes.iter().map(opened).collect() }
}

/// An honest host's page.
pub(crate) fn page(enclave: &Enclave, path: &str, query: &str) -> Value {
    let query: HashMap<String, String> =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
    let size: u64 = query["size"].parse().unwrap();
    let limit: usize = query["limit"].parse().unwrap();
    let below = query.get("cursor").map_or(size, |cursor| cursor.parse::<u64>().unwrap() + 1);
    let is_listed = |entry: &Vec<u8>| match cbor::from_slice(entry) {
        Ok(Entry::Record { wallet, .. }) => path.ends_with("history") && wallet == enclave.wallet,
        _ => path.ends_with("events"),
    };
    let listed = (0..below).rev().filter(|index| is_listed(&enclave.entries[usize::try_from(*index).unwrap()]));
    let listed: Vec<u64> = listed.take(limit + 1).collect();
    let items: Vec<Value> = listed.iter().take(limit).map(|index| item(enclave, *index, size)).collect();
    json!({"items": items, "next_cursor": listed.get(limit).map(u64::to_string)})
}

fn item(enclave: &Enclave, index: u64, size: u64) -> Value {
    let (mut nodes, mut frontier) = (HashMap::new(), Frontier::default());
    for entry in &enclave.entries {
        frontier.append(leaf_hash(entry), |node| {
            nodes.insert((node.level, node.index), node.hash);
        });
    }
    let mut node = |level, index| nodes.get(&(level, index)).copied().ok_or(());
    let proof = Inclusion::prove(index, size, &mut node).unwrap().unwrap();
    let entry = &enclave.entries[usize::try_from(index).unwrap()];
    let path: Vec<String> = proof.path.iter().map(ToString::to_string).collect();
    json!({"index": index, "entry": hex::encode(entry), "proof": path})
}

fn write(wallet: UserIdHash, version: u64, step: Step, device: DeviceId) -> Vec<u8> {
    let detail = Detail { step, method: Method::Sign, time: UnixSeconds(1_000 + version), device };
    let mut sealed = SealedDetail([0; 96]);
    sealed.0[..48].copy_from_slice(&detail.to_plain());
    let outer = Hash32([u8::try_from(version).unwrap(); 32]);
    cbor::to_vec(&Entry::Record { wallet, version: Version(version), outer, detail: sealed })
}

fn boot(keys: Hash32, time: u64) -> Vec<u8> {
    let (nonce, configuration) = (Nonce([1; 32]), Hash32([9; 32]));
    cbor::to_vec(&Entry::Boot { nonce, keys, configuration, time: UnixSeconds(time) })
}

/// Twenty entries of a stranger, then hers, `rounds` times a right PIN and a wrong one, among a stranger's; this boot at place 5.
fn log(enclave: &Enclave, rounds: u64) -> Vec<Vec<u8>> {
    let stranger = UserIdHash([0x55; 32]);
    let manifest = enclave.manifest();
    let mut entries: Vec<_> = (1..=20).map(|version| write(stranger, version, Step::Charged, PHONE)).collect();
    entries.insert(0, boot(Hash32([3; 32]), 10));
    entries.insert(5, b"an entry of a kind to come".to_vec());
    entries.push(write(enclave.wallet, 1, Step::Prepared, LAPTOP));
    entries.push(boot(boot_keys_hash(&manifest.hpke, &manifest.boot), 20));
    let mut version = 1;
    for _ in 0..rounds {
        for (step, device) in [(Step::Right, LAPTOP), (Step::Wrong, PHONE)] {
            entries.push(write(enclave.wallet, version + 1, Step::Charged, device));
            entries.push(write(stranger, 21, Step::Charged, device));
            entries.push(write(enclave.wallet, version + 2, step, device));
            version += 2;
        }
    }
    entries
}

/// A registered person whose log has so many rounds.
async fn person(rounds: u64) -> (Peer, Device, Attested) {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    {
        let mut host = peer.host();
        host.enclave.entries = log(&host.enclave, rounds);
    }
    (peer, device, attested)
}

#[tokio::test]
async fn every_attempt_is_listed_and_proved_over_as_many_pages_as_it_takes() {
    let (peer, _device, attested) = person(20).await;
    let history = attested.history(None).await.unwrap();
    assert_eq!((history.writes, history.proven, history.size), (81, 81, 24 + 120));
    assert!(history.is_complete);
    assert_eq!(history.attempts.len(), 41);
    assert_eq!(peer.count("GET /v1/wallet/history"), 3);
    let oldest: Vec<_> = history.attempts.iter().rev().take(3).collect();
    assert_eq!(
        oldest.iter().map(|attempt| (attempt.version, attempt.result, attempt.device)).collect::<Vec<_>>(),
        [(1, AttemptResult::Prepared, LAPTOP), (2, AttemptResult::Right, LAPTOP), (4, AttemptResult::Wrong, PHONE)]
    );
    assert_eq!((oldest[1].time, oldest[1].method), (UnixSeconds(1_002), Method::Sign));
    // This boot's, and the last one before the wallet was made.
    let events: Vec<_> = history.events.iter().map(|event| (event.index, event.kind)).collect();
    assert_eq!(events, [(23, EventKind::Boot { time: UnixSeconds(20) }), (5, EventKind::Unknown)]);
}

#[tokio::test]
async fn the_newest_attempts_alone_are_whole_and_said_not_to_be_all() {
    let (peer, _device, attested) = person(20).await;
    for (asked, listed, proven) in [(1, 1, 3), (4, 4, 9), (40, 40, 81), (41, 41, 81), (500, 41, 81)] {
        let history = attested.history(Some(asked)).await.unwrap();
        assert_eq!((history.attempts.len(), history.proven, history.writes), (listed, proven, 81), "{asked}");
        assert_eq!(history.is_complete, listed == 41, "{asked}");
        assert_eq!(history.attempts[0].result, AttemptResult::Wrong);
        let newest_boot = history.events.first().map(|event| event.index);
        assert_eq!(newest_boot, Some(23), "the boot that the attempts belong to");
    }
    // A write more, whose verdict never came.
    {
        let mut host = peer.host();
        let entry = write(host.enclave.wallet, 82, Step::Charged, PHONE);
        host.enclave.entries.push(entry);
    }
    let history = attested.history(Some(2)).await.unwrap();
    let results: Vec<_> = history.attempts.iter().map(|attempt| attempt.result).collect();
    assert_eq!(results, [AttemptResult::Unanswered, AttemptResult::Wrong]);
}

/// The lie that a page of the history becomes.
type Lie = fn(&Enclave, &mut Vec<Value>);

async fn told(lie: Lie) -> HistoryError {
    let (peer, _device, attested) = person(3).await;
    peer.host().log = Some(Box::new(move |enclave, path, mut page| {
        if path.ends_with("history") {
            lie(enclave, page["items"].as_array_mut().unwrap());
        }
        page
    }));
    attested.history(None).await.unwrap_err()
}

fn at(enclave: &Enclave, index: u64) -> Value {
    item(enclave, index, enclave.entries.len() as u64)
}

#[tokio::test]
async fn what_is_left_out_is_missed_wherever_it_was() {
    // Thirteen writes, newest first.
    let cut: [(Lie, u64); 5] = [
        (|_, items| drop(items.remove(0)), 13),
        (|_, items| drop(items.remove(6)), 7),
        (|_, items| drop(items.pop()), 1),
        (|_, items| items.clear(), 13),
        (|_, items| items.truncate(3), 10),
    ];
    for (lie, version) in cut {
        let error = told(lie).await;
        assert!(
            matches!(error, HistoryError::Missing { version: missing } if missing == version),
            "{version}: {error}"
        );
    }
}

#[tokio::test]
async fn what_is_made_up_or_changed_does_not_lead_to_the_signed_root() {
    let forged: [Lie; 7] = [
        // An entry that says "right" instead of "wrong".
        |enclave, items| items[0]["entry"] = hex::encode(write(enclave.wallet, 13, Step::Right, PHONE)).into(),
        |_, items| items[4]["index"] = 1.into(),
        |_, items| items[4]["index"] = u64::MAX.into(),
        |_, items| drop(items[4]["proof"].as_array_mut().unwrap().pop()),
        |_, items| items[4]["proof"][0] = "00".repeat(32).into(),
        |_, items| items[4]["proof"][0] = "00".into(),
        |_, items| items[4]["proof"] = Value::Array(vec!["00".repeat(32).into(); 200]),
    ];
    for (number, lie) in forged.into_iter().enumerate() {
        let error = told(lie).await;
        assert!(matches!(error, HistoryError::Forged { .. } | HistoryError::Disorder { .. }), "{number}: {error}");
    }
    // Proved, but in an older log than the enclave's.
    let error = told(|enclave, items| items[12] = item(enclave, 22, 30)).await;
    assert!(matches!(error, HistoryError::Forged { index: 22 }), "{error}");
}

#[tokio::test]
async fn an_entry_of_somebody_else_or_of_the_deployment_is_called_foreign() {
    for index in [21, 23, 0, 5] {
        let error = match index {
            21 => told(|enclave, items| items[12] = at(enclave, 21)).await,
            23 => told(|enclave, items| items[12] = at(enclave, 23)).await,
            0 => told(|enclave, items| items[12] = at(enclave, 0)).await,
            _ => told(|enclave, items| items[12] = at(enclave, 5)).await,
        };
        assert!(matches!(error, HistoryError::Foreign { index: foreign } if foreign == index), "{index}: {error}");
    }
}

#[tokio::test]
async fn an_entry_twice_or_out_of_place_is_noticed() {
    let error = told(|_, items| items[1] = items[0].clone()).await;
    assert!(matches!(error, HistoryError::Disorder { .. }), "{error}");
    let error = told(|_, items| items.swap(3, 4)).await;
    assert!(matches!(error, HistoryError::Missing { .. }), "{error}");
    let error = told(|_, items| items.reverse()).await;
    assert!(matches!(error, HistoryError::Missing { version: 13 }), "{error}");
}

#[tokio::test]
async fn an_enclave_that_cannot_open_or_contradicts_itself_is_told_as_that() {
    let (peer, device, attested) = person(2).await;
    peer.host().enclave.twist = Some(|_, _, outcome| match outcome {
        Outcome::History(mut history) => {
            if let Some(last) = history.writes.last_mut() {
                *last = OpenedWrite::NotOpened;
            }
            Outcome::History(history)
        }
        other => other,
    });
    let error = attested.history(None).await.unwrap_err();
    assert!(matches!(error, HistoryError::Unreadable { version: 1 }), "{error}");
    peer.host().enclave.twist = Some(|_, _, outcome| match outcome {
        Outcome::History(mut history) => {
            history.writes.pop();
            Outcome::History(history)
        }
        other => other,
    });
    let error = attested.history(None).await.unwrap_err();
    assert!(matches!(error, HistoryError::Operation(OperationError::Unexpected)), "{error}");
    peer.host().enclave.twist = None;
    let wallet = peer.host().enclave.wallet;
    peer.host().enclave.entries.push(write(wallet, 10, Step::Wrong, PHONE));
    let error = attested.history(None).await.unwrap_err();
    assert!(matches!(error, HistoryError::Contradiction { version: 10 }), "{error}");
    peer.host().enclave.outcomes = vec![Outcome::Refused(Refusal::DeviceNotEnrolled)];
    let error = attested.history(None).await.unwrap_err();
    let refused = Refusal::DeviceNotEnrolled;
    assert!(
        matches!(&error, HistoryError::Operation(OperationError::Refused { refusal }) if *refusal == refused),
        "{error}"
    );
    drop(device);
}

#[tokio::test]
async fn events_are_proved_and_the_boot_that_answers_cannot_be_left_out() {
    type Told = fn(&HistoryError) -> bool;
    let lies: [(Lie, Told); 5] = [
        (|_, items| items.clear(), |error| matches!(error, HistoryError::BootMissing)),
        (|_, items| drop(items.remove(0)), |error| matches!(error, HistoryError::BootMissing)),
        (
            |_, items| items[0]["entry"] = hex::encode(boot(Hash32([3; 32]), 99)).into(),
            |error| matches!(error, HistoryError::Forged { index: 23 }),
        ),
        (|enclave, items| items[1] = at(enclave, 22), |error| matches!(error, HistoryError::Foreign { index: 22 })),
        (|_, items| items[1] = items[0].clone(), |error| matches!(error, HistoryError::Disorder { index: 23 })),
    ];
    for (number, (lie, is_told)) in lies.into_iter().enumerate() {
        let (peer, _device, attested) = person(1).await;
        peer.host().log = Some(Box::new(move |enclave, path, mut page| {
            if path.ends_with("events") {
                lie(enclave, page["items"].as_array_mut().unwrap());
            }
            page
        }));
        let error = attested.history(None).await.unwrap_err();
        assert!(is_told(&error), "{number}: {error}");
    }
}

#[test]
fn the_table_of_checks_is_the_committed_one() {
    let errors = [
        HistoryError::Forged { index: 7 },
        HistoryError::Foreign { index: 7 },
        HistoryError::Disorder { index: 7 },
        HistoryError::Missing { version: 7 },
        HistoryError::Unreadable { version: 7 },
        HistoryError::Contradiction { version: 7 },
        HistoryError::BootMissing,
    ];
    let mut table = String::from("| code | meaning |\n|---|---|\n");
    for error in &errors {
        let meaning = error.to_string().replace("entry 7", "an entry").replace("write 7", "a write");
        table += &format!("| `{}` | {meaning} |\n", error.code());
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("<!-- generated: history -->\n").unwrap();
    let (committed, after) = rest.split_once("<!-- end: history -->").unwrap();
    if committed != table && std::env::var_os("UPDATE").is_some() {
        let page = format!("{before}<!-- generated: history -->\n{table}<!-- end: history -->{after}");
        std::fs::write(path, page).unwrap();
        return;
    }
    assert!(
        committed == table,
        "docs/errors.md is not what the code says; run with UPDATE=1 and look at the difference"
    );
}

/// A long history takes many requests, and a host counts them.
#[tokio::test]
async fn a_host_that_wants_a_pause_gets_it_and_no_more_than_a_few() {
    let limited = || {
        let body = json!({"code": "rate_limited", "retryable": true, "retry_after_seconds": 30});
        answer(429, body.to_string())
    };
    let (peer, device, attested) = person(20).await;
    for path in ["/v1/wallet/begin", "/v1/wallet/history", "/v1/log/events"] {
        peer.next(path, limited());
    }
    device.world.waits.lock().unwrap().clear();
    assert!(attested.history(None).await.unwrap().is_complete);
    assert_eq!(*device.world.waits.lock().unwrap(), [Duration::from_secs(30); 3]);
    for _ in 0..10 {
        peer.next("/v1/wallet/history", limited());
    }
    let error = attested.history(None).await.unwrap_err();
    assert!(matches!(&error, HistoryError::Api(error) if error.code() == Some("rate_limited")), "{error}");
    assert_eq!(device.world.waits.lock().unwrap().len(), 3 + 5);
}

#[tokio::test]
async fn changes_of_the_configuration_and_pauses_of_enrolment_are_events() {
    let (peer, _device, attested) = person(1).await;
    let (hash, term, time) = (Hash32([4; 32]), Term([3; 32]), UnixSeconds(30));
    let changed =
        Entry::Configured { term, configuration: hash, previous: hash, order: hash, time, restores: 1, resumed: false };
    peer.host().enclave.entries.push(cbor::to_vec(&changed));
    let (hour, resumed) = (UnixSeconds(40), true);
    peer.host().enclave.entries.push(cbor::to_vec(&Entry::Tripped { time: hour }));
    let configured =
        Entry::Configured { term, configuration: hash, previous: hash, order: hash, time: hour, restores: 1, resumed };
    peer.host().enclave.entries.push(cbor::to_vec(&configured));
    let mut history = attested.history(None).await.unwrap();
    let events: Vec<_> = history.events.drain(..2).map(|event| event.kind).collect();
    assert_eq!(
        events,
        [EventKind::Configured { restores: 1, term, time: hour, resumed }, EventKind::Paused { time: hour }]
    );
    assert_eq!(history.events[0].kind, EventKind::Configured { restores: 1, term, time, resumed: false });
    assert_eq!(history.events[1].kind, EventKind::Boot { time: UnixSeconds(20) });
}

/// There are as many of these as people look at their wallets.
#[tokio::test]
async fn that_somebody_read_is_no_event() {
    let (peer, _device, attested) = person(1).await;
    peer.host().enclave.entries.push(cbor::to_vec(&Entry::Read { nonce: Nonce([7; 32]) }));
    // This host lists whatever is about no wallet.
    let error = attested.history(None).await.unwrap_err();
    assert!(matches!(error, HistoryError::Foreign { index: 30 }), "{error}");
}

/// A host that gives pages without end is not followed without end.
#[tokio::test]
async fn pages_without_end_are_not_followed_without_end() {
    let (peer, _device, attested) = person(1).await;
    peer.host().log = Some(Box::new(|_, _, mut page| {
        page["items"] = json!([]);
        page["next_cursor"] = "7".into();
        page
    }));
    let error = attested.history(None).await.unwrap_err();
    assert!(matches!(error, HistoryError::Missing { version: 5 }), "{error}");
    assert_eq!(peer.count("GET /v1/wallet/history"), 1);
}
