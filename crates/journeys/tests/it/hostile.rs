//! Hosts, front ends and strangers that do not follow the protocol, against the real enclave and the real client.

mod history;
mod replies;
mod restored;
mod sealed;
mod shape;
mod shown;
mod storage;
mod swapped;

use rusqlite::Connection;

use crate::system::System;

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";

/// The host's database as root of the host sees it.
fn database(system: &System) -> Connection {
    Connection::open(system.database()).unwrap()
}
