//! What the host, the disk and the network show does not tell a right PIN from a wrong one.

use pinseal_protocol::intent::{AccountIndex, Intent};
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{BeginReply, Method, Request};
use rusqlite::Connection;

use super::{ANN, database};
use crate::system::System;
use crate::system::device::{Device, PIN};
use crate::system::raw::{factor, wrong_factor};
use crate::system::wire::Frame;

/// Everything somebody on the host can count during one operation.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    frames: Vec<Frame>,
    batches: u64,
    log_entries: u64,
    /// Rows of every table, and the bytes in those that hold records, log and checkpoints.
    database: Vec<(&'static str, i64, i64)>,
    http: (u16, usize),
}

const TABLES: [(&str, &str); 8] = [
    ("records", "length(wallet) + length(hash)"),
    // What a record replaced is removed when the host has time for it.
    ("records JOIN outers USING (number)", "length(outer)"),
    ("log_entries", "length(entry)"),
    ("log_nodes", "length(hash)"),
    ("checkpoints", "length(note) + length(frontier)"),
    ("spent_permits", "length(token)"),
    ("sessions", "0"),
    ("user_accounts", "0"),
];

fn rows(database: &Connection) -> Vec<(&'static str, i64, i64)> {
    let count = |(table, bytes): &(&'static str, &str)| {
        let sql = format!("SELECT count(*), coalesce(sum({bytes}), 0) FROM {table}");
        let (rows, bytes) = database.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        (*table, rows, bytes)
    };
    TABLES.iter().map(count).collect()
}

fn message(text: &str) -> Vec<Intent> {
    let message = text.as_bytes().to_vec().into();
    vec![Intent::EvmPersonalMessage { account: AccountIndex::default(), message }]
}

/// Runs one operation with the right or a wrong PIN and measures it.
async fn measured(system: &System, device: &Device, method: Method, right: bool) -> Shape {
    let manifest = system.manifest();
    let request = |begin: &BeginReply| {
        let pin = if right {
            factor(PIN, &begin.current.unwrap(), &manifest.deployment, &begin.wallet)
        } else {
            wrong_factor()
        };
        match method {
            Method::VerifyPin => Request::VerifyPin { pin },
            Method::Sign => Request::Sign { pin, intents: message("the same message") },
            Method::ClearTries => Request::ClearTries { pin },
            Method::ChangePinPrepare => Request::ChangePinPrepare { pin, new_pin: wrong_factor() },
            other => panic!("{other:?}"),
        }
    };
    let sealed = device.prepare(&manifest, method, request).await;
    system.wire.take();
    let before = system.status();
    let answer = device.send(&sealed).await;
    assert_eq!(sealed.outcome(&answer) == Outcome::WrongPin, !right, "{method:?}");
    let after = system.status();
    let shape = Shape {
        frames: system.wire.take(),
        batches: after.batches - before.batches,
        log_entries: after.checkpoint.size - before.checkpoint.size,
        database: rows(&database(system)),
        http: (answer.status, answer.body.len()),
    };
    // Over every delay, and no cap is reached: each wrong PIN is followed by a right one, in both systems.
    system.clock.pass(60);
    device.keep_receipt(&sealed.open(&answer));
    shape
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn right_and_wrong_pins_show_the_same_frames_writes_entries_and_lengths() {
    // Two deployments with one history; what differs is which of the two PINs comes first.
    let mut shapes = Vec::new();
    for right_first in [true, false] {
        let system = System::start().await;
        let app = system.app("App");
        let ann = system.person(&app, ANN).await;
        let mut seen = Vec::new();
        for method in [Method::VerifyPin, Method::Sign, Method::ClearTries, Method::ChangePinPrepare] {
            for right in [right_first, !right_first] {
                seen.push((method, measured(&system, &ann, method, right).await));
            }
        }
        shapes.push(seen);
    }
    for ((method, one), (_, other)) in shapes[0].iter().zip(&shapes[1]) {
        assert_eq!(one, other, "{method:?}");
        assert_eq!((one.batches, one.log_entries), (2, 2), "{method:?}: a charge and a settlement");
        // Request, charge, its receipt, settlement, its receipt, reply.
        assert_eq!(
            one.frames.iter().map(|frame| frame.to_enclave).collect::<Vec<_>>(),
            [true, false, true, false, true, false]
        );
    }
}
