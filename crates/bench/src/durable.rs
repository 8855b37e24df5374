//! What durability alone costs: the two commits of one signature at the storage layer, without enclave process, socket or HTTP.
//!
//! The batches are real ones, made by the enclave's state machine in this process; only storing and anchoring is timed.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aws_lc_rs::signature::EcdsaKeyPair;
use pinseal_anchor::{Anchor as _, FileAnchor};
use pinseal_protocol::configuration::Issuer;
use pinseal_protocol::ids::{DeploymentId, Sequence, UnixSeconds, UserIdHash};
use pinseal_protocol::request::Method;
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{P256Public, StorageClaims, StorageKey};
use pinseal_protocol::wire::Batch;
use pinseal_store::Sqlite;
use pinseal_store::records::Records;
use pinseal_store::vault::{Grant, Vault, storage_audience};

use crate::bare::{Bare, Host, Person};
use crate::load::{Meter, Sample};
use crate::user::{now, random};

/// Wallets that take turns.
const PEOPLE: usize = 16;
/// Life of the storage tokens made here.
const TOKEN_SECONDS: u64 = 300;

fn storage_key() -> StorageKey {
    StorageKey::new(&SecretBytes::take(&mut [0x57; 32]))
}

/// Database, anchor and the right to write.
struct Disk {
    records: Records,
    anchor: FileAnchor,
    deployment: DeploymentId,
    issuer_name: String,
    vault: Vault,
    grants: HashMap<UserIdHash, Grant>,
    /// The newest anchored checkpoint.
    anchored: Sequence,
    /// Spent in commits.
    spent: Duration,
}

/// A directory that becomes a [`Disk`] with the deployment.
struct Place<'p>(&'p Path, Option<Disk>);

impl Host for Place<'_> {
    fn create(&mut self, deployment: &DeploymentId, issuer: &EcdsaKeyPair, genesis: &[u8]) -> anyhow::Result<()> {
        let records = Records::new(Sqlite::open(&self.0.join("durable.sqlite")).context("database")?);
        records.store_genesis(genesis).context("genesis")?;
        let mut anchor = FileAnchor::new(&self.0.join("durable.anchor"));
        anchor.advance(&[], genesis).context("anchor")?;
        let issuer_name = format!("pinseal:{deployment}");
        let trusted =
            Issuer { issuer: issuer_name.clone(), audience: deployment.to_string(), key: P256Public::of(issuer) };
        self.1 = Some(Disk {
            records,
            anchor,
            deployment: *deployment,
            issuer_name,
            vault: Vault::new(trusted, storage_key(), deployment),
            grants: HashMap::new(),
            anchored: Sequence(0),
            spent: Duration::ZERO,
        });
        Ok(())
    }

    fn admit(&mut self, wallet: &UserIdHash, method: Method) -> anyhow::Result<()> {
        self.1.as_mut().context("no disk")?.admit(wallet, method)
    }

    fn commit(&mut self, batch: &Batch) -> anyhow::Result<Vec<u8>> {
        self.1.as_mut().context("no disk")?.commit(batch)
    }
}

impl Host for Disk {
    fn create(&mut self, _: &DeploymentId, _: &EcdsaKeyPair, _: &[u8]) -> anyhow::Result<()> {
        anyhow::bail!("there is a deployment here")
    }

    /// A storage token for one operation of one wallet, used up at once.
    fn admit(&mut self, wallet: &UserIdHash, method: Method) -> anyhow::Result<()> {
        let claims = StorageClaims {
            iss: self.issuer_name.clone(),
            aud: storage_audience(&self.deployment),
            wallet: wallet.to_string(),
            operation: method.name().into(),
            jti: hex::encode(random::<16>()?),
            iat: now(),
            exp: now() + TOKEN_SECONDS,
        };
        let storage_token = storage_key().sign(&claims).context("storage token")?;
        let grant =
            self.vault.verify(storage_token.expose_secret(), wallet, method, UnixSeconds(now())).context("grant")?;
        self.grants.insert(*wallet, grant);
        Ok(())
    }

    fn commit(&mut self, batch: &Batch) -> anyhow::Result<Vec<u8>> {
        let mut permits = Vec::with_capacity(batch.records.len());
        for write in &batch.records {
            permits.push(self.grants.get_mut(&write.wallet).context("no grant")?.permit().context("permit")?);
        }
        let (batch, previous, next) = (batch.clone(), batch.previous.clone(), batch.checkpoint.clone());
        let begun = Instant::now();
        self.records.commit(batch, permits, self.anchored, UnixSeconds(now())).context("commit")?;
        let receipt = self.anchor.advance(&previous, &next).context("anchor")?;
        self.spent += begun.elapsed();
        self.anchored = Sequence(self.anchored.0 + 1);
        Ok(receipt.0)
    }
}

/// The enclave's state machine over a real disk.
pub(crate) struct Durable {
    bare: Bare,
    disk: Disk,
    people: Vec<Person>,
}

impl Durable {
    /// Over a fresh database and anchor in `directory`.
    pub(crate) fn start(directory: &Path) -> anyhow::Result<Self> {
        let mut place = Place(directory, None);
        let mut bare = Bare::boot(&mut place)?;
        let mut disk = place.1.context("no disk")?;
        let people = (0..PEOPLE).map(|index| bare.register(&format!("person {index}"), &mut disk));
        let people = people.collect::<Result<_, _>>()?;
        Ok(Self { bare, disk, people })
    }

    /// One person after the other signs; the times are those of the two commits of each signature.
    pub(crate) fn sign(&mut self, time: Duration) -> anyhow::Result<Sample> {
        let meter = Meter::start(&[])?;
        let (mut latencies, begun) = (Vec::new(), Instant::now());
        while begun.elapsed() < time {
            for person in &mut self.people {
                self.disk.spent = Duration::ZERO;
                self.bare.sign_all(std::slice::from_mut(person), &mut self.disk)?;
                latencies.push(self.disk.spent);
            }
        }
        meter.stop(latencies.len() as u64, latencies)
    }
}
