//! The log against the witnesses: everything acknowledged is there, and nothing beyond what they asked for.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use pinseal_anchor::{Anchor as _, FileAnchor};
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::log::{Entry, Frontier, leaf_hash};
use pinseal_store::Sqlite;
use pinseal_store::records::Records;
use serde::Serialize;

use super::crowd::Witness;

/// Log entries read at once.
const PAGE: usize = 16_384;

/// What was found to hold.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Judgement {
    /// Receipts whose consistency with the final checkpoint was proved.
    pub(crate) receipts: usize,
    /// Wallets whose log entries were counted.
    pub(crate) wallets: usize,
    /// Log entries read; they give the final checkpoint's root.
    pub(crate) entries: u64,
}

/// Judges the stopped deployment in `data`.
///
/// # Errors
/// What does not hold.
pub(crate) fn judge(data: &Path, witnesses: &[Witness]) -> anyhow::Result<Judgement> {
    let host = data.join("host");
    let records = Records::new(Sqlite::open(&host.join("pinseal.sqlite")).context("database")?);
    let last = records.newest().context("database")?.context("an empty database")?.checkpoint;
    let anchored = FileAnchor::new(&host.join("anchor").join("checkpoint")).load().context("anchor")?;
    let anchored = Checkpoint::read_unverified(&anchored.context("no anchor")?).context("anchor")?;
    ensure!(anchored == last, "anchor and database hold different checkpoints after a clean stop");

    let (written, entries) = read_log(&records, &last)?;
    let mut receipts = 0;
    for witness in witnesses {
        for note in &witness.receipts {
            let seen = Checkpoint::read_unverified(note).context("receipt")?;
            let proof =
                records.consistency(seen.size, last.size).context("database")?.context("a receipt from the future")?;
            ensure!(proof.verifies(&seen.root, &last.root), "a receipt of {} entries is not continued", seen.size);
            receipts += 1;
        }
    }
    let mut wallets: HashMap<UserIdHash, (u64, u64)> = HashMap::new();
    for witness in witnesses {
        let (decided, unknown) = wallets.entry(witness.wallet()?).or_default();
        *decided += witness.user.decided();
        *unknown += witness.tally.unknown;
    }
    for (wallet, told) in &wallets {
        account(*told, *written.get(wallet).context("a wallet without entries")?)?;
    }
    Ok(Judgement { receipts, wallets: wallets.len(), entries })
}

/// Entries by wallet, after checking that all of them give the final root.
fn read_log(records: &Records, last: &Checkpoint) -> anyhow::Result<(HashMap<UserIdHash, u64>, u64)> {
    let (mut written, mut frontier) = (HashMap::new(), Frontier::default());
    loop {
        let page = records.entries(frontier.size(), PAGE).context("database")?;
        if page.is_empty() {
            break;
        }
        for encoded in page {
            frontier.append(leaf_hash(&encoded), |_| {});
            if let Entry::Record { wallet, .. } = cbor::from_slice(&encoded).context("log entry")? {
                *written.entry(wallet).or_insert(0) += 1;
            }
        }
    }
    ensure!(frontier.root() == last.root, "the log's entries do not give the final root");
    Ok((written, frontier.size()))
}

/// Two writes for each acknowledged attempt; one or two, or none, for each without an answer; three before the soak, and those of the
/// peak's measurement, which the person counted too. Everybody's at one wallet add up.
fn account((decided, unknown): (u64, u64), found: u64) -> anyhow::Result<()> {
    /// `register_prepare` writes once, `register_confirm` twice.
    const REGISTRATION: u64 = 3;
    let acknowledged = REGISTRATION + 2 * decided;
    let most = acknowledged + 2 * unknown;
    ensure!(
        (acknowledged..=most).contains(&found),
        "a wallet has {found} entries, those at it know of {acknowledged} to {most}"
    );
    Ok(())
}
