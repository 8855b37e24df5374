//! Filler wallets in a stopped deployment: a million of them cannot come through the front door.
//!
//! What the fillers share with real wallets: the size of the sealed record, the header, the owner, the log entry, and that the boot
//! check adds all of it up. What they lack: an account with a login, and the two further versions that registration writes.

use std::path::Path;

use anyhow::{Context as _, ensure};
use pinseal_anchor::{Anchor as _, FileAnchor};
use pinseal_enclave::Passphrase;
use pinseal_enclave::populate::{Held, Populate};
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::wire::{CallId, RecordWrite};
use pinseal_store::Sqlite;
use pinseal_store::deployment::{Deployment, DeploymentFile};
use pinseal_store::records::{Populated, Records};
use zeroize::Zeroizing;

use crate::bare::Plain;
use crate::say;
use crate::user::now;

/// Adds `count` fillers to the deployment in `data`, which nobody serves.
pub(crate) fn populate(data: &Path, count: usize) -> anyhow::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let host = data.join("host");
    let files = Deployment::open(&host).context("deployment")?;
    let file = |which: DeploymentFile| files.read(which).context("deployment")?.context("an incomplete deployment");
    let (configuration, sealed_root) = (file(DeploymentFile::Configuration)?, file(DeploymentFile::Root)?);
    let passphrase = std::fs::read_to_string(data.join("passphrase")).context("passphrase")?;
    let passphrase = Zeroizing::new(passphrase.lines().next().unwrap_or_default().as_bytes().to_vec());
    let records = Records::new(Sqlite::open(&host.join("pinseal.sqlite")).context("database")?);
    let newest = records.newest().context("database")?.context("an empty database")?;
    let headers = records.headers(None, usize::MAX).context("database")?;
    let (_, sample) = records.sample().context("database")?.context("no wallet is registered")?;
    let mut anchor = FileAnchor::new(&host.join("anchor").join("checkpoint"));
    let anchored = anchor.load().context("anchor")?;
    ensure!(anchored.as_deref() == Some(newest.note.as_slice()), "the deployment was not stopped cleanly");

    let held = Held {
        configuration: &configuration,
        sealed_root: &sealed_root,
        checkpoint: &newest.note,
        frontier: newest.frontier.clone(),
        headers: &headers,
        sample: &sample,
    };
    let mut source = Some(
        Populate::open(held, &Passphrase::new(passphrase), UnixSeconds(now()), &mut Plain)
            .map_err(|(halt, detail)| anyhow::anyhow!("{halt:?} {detail}"))?,
    );
    let mut made = 0;
    let stored = records.populate(move || {
        let filler = if made < count { source.as_mut().and_then(|source| source.next(&mut Plain)) } else { None };
        if let Some(filler) = filler {
            made += 1;
            if made % 100_000 == 0 {
                say!("  {made} of {count} filler wallets");
            }
            let header = filler.header;
            let write = RecordWrite {
                call: CallId(0),
                wallet: header.wallet,
                version: header.version,
                hash: header.outer,
                outer: filler.outer.into(),
            };
            return Populated::Filler(write, filler.entry);
        }
        let (note, frontier) = source.take().map(|source| source.finish(&mut Plain)).unwrap_or_default();
        Populated::End(note, frontier)
    });
    stored.context("database")?;
    let grown = records.newest().context("database")?.context("an empty database")?;
    anchor.advance(&newest.note, &grown.note).context("anchor")?;
    // The readers, which closed last, cannot empty the write-ahead log, and it is as long as the database. Opening does.
    drop(records);
    Sqlite::open(&host.join("pinseal.sqlite")).context("database").map(drop)
}
