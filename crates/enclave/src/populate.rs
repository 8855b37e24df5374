//! Filler wallets for measurements at scale. Behind the feature `populate`, which no program that serves turns on.
//!
//! Needs what the enclave needs, the sealed root and its passphrase, so it opens nothing to anybody who could not boot an enclave. The
//! result passes the boot check like any other state: sealed records of the usual size, one log entry for each, and the next signed
//! checkpoint over them.

use pinseal_protocol::cbor;
use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::history::{Detail, Step};
use pinseal_protocol::ids::{Hash32, UnixSeconds, UserIdHash};
use pinseal_protocol::log::{Entry, Frontier, leaf_hash};
use pinseal_protocol::request::Method;
use pinseal_protocol::wire::{Halt, Header};

use crate::boot::{Boot, Booted, Holds};
use crate::breaker::Moved;
use crate::enclave::Stop;
use crate::environment::{Environment, random};
use crate::history;
use crate::ledger::Signer;
use crate::passphrase::Passphrase;
use crate::record::{self, Record};
use crate::root::Root;

/// What the database and the anchor hold.
#[derive(Debug)]
pub struct Held<'h> {
    /// Canonical encoding.
    pub configuration: &'h [u8],
    /// The sealed root file.
    pub sealed_root: &'h [u8],
    /// The newest signed checkpoint, anchored too.
    pub checkpoint: &'h [u8],
    /// The log's frontier there.
    pub frontier: Frontier,
    /// Every record's header, ascending.
    pub headers: &'h [Header],
    /// The record of the first header: what the fillers are copies of.
    pub sample: &'h [u8],
}

/// One filler wallet.
#[derive(Debug)]
pub struct Filler {
    /// Its header.
    pub header: Header,
    /// Its sealed record.
    pub outer: Vec<u8>,
    /// Its encoded log entry.
    pub entry: Vec<u8>,
}

/// A deployment whose state added up, ready to grow.
pub struct Populate {
    booted: Booted,
    sample: Record,
    policy: Hash32,
}

impl core::fmt::Debug for Populate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Populate(..)")
    }
}

impl Populate {
    /// Opens the deployment as a boot does.
    ///
    /// # Errors
    /// Why an enclave would not boot, or that the sample does not open.
    pub fn open(
        held: Held<'_>,
        passphrase: &Passphrase,
        now: UnixSeconds,
        environment: &mut dyn Environment,
    ) -> Result<Self, (Halt, String)> {
        Self::start(held, passphrase, now, environment).map_err(|Stop { halt, detail }| (halt, detail))
    }

    fn start(
        held: Held<'_>,
        passphrase: &Passphrase,
        now: UnixSeconds,
        environment: &mut dyn Environment,
    ) -> Result<Self, Stop> {
        let configuration: Configuration = cbor::from_slice(held.configuration)
            .map_err(|error| Stop::new(Halt::ConfigurationInvalid, error.to_string()))?;
        let policy = configuration.policy.hash();
        let (root, tenure) = Root::unseal(held.sealed_root, &configuration, passphrase, environment)?;
        let keys = root.keys(&configuration, environment)?;
        // Whatever the anchor holds is not looked at: the next boot does.
        let anchor = Holds { level: configuration.anchor, base: configuration.base, anchored: None };
        let mut boot = Boot::start(configuration, keys, tenure, (held.checkpoint, held.frontier), &anchor, None, now)?;
        for some in held.headers.chunks(pinseal_protocol::limits::BOOT_HEADERS_MAX) {
            boot.headers(some)?;
        }
        let booted = boot.finish()?;
        let sample =
            held.headers.first().and_then(|header| record::open(held.sample, header, policy, &booted.keys).ok());
        let sample = sample.ok_or_else(|| Stop::new(Halt::Protocol, "the sample is not the first header's record"))?;
        Ok(Self { booted, sample, policy })
    }

    /// The next filler, under a wallet id that is nobody's.
    pub fn next(&mut self, environment: &mut dyn Environment) -> Option<Filler> {
        let Self { booted, sample, policy } = self;
        let wallet = UserIdHash(random(environment));
        let sealed = record::seal(sample, &wallet, None, *policy, &booted.keys, environment)?;
        let header = sealed.header;
        let device = sample.devices.first()?.device;
        let detail = Detail { step: Step::Prepared, method: Method::RegisterPrepare, time: booted.now, device };
        let detail = history::seal(&booted.keys, &header, &detail);
        let entry = Entry::Record { wallet, version: header.version, outer: header.outer, detail };
        let entry = cbor::to_vec(&entry);
        booted.state.accumulator.add(booted.keys.multiset(), &header);
        booted.state.count += 1;
        let moved = Moved::between(0, sample.guard.strangers());
        // The next boot sees whether that trips it.
        booted.state.breaker.apply(moved, u32::MAX);
        booted.state.frontier.append(leaf_hash(&entry), |_| {});
        Some(Filler { header, outer: sealed.outer, entry })
    }

    /// The next signed checkpoint, over all fillers, and the log's frontier there.
    pub fn finish(self, environment: &mut dyn Environment) -> (Vec<u8>, Frontier) {
        let Booted { configuration, keys, mut state, now, .. } = self.booted;
        let previous = state.checkpoint;
        let signer = Signer { keys: &keys, configuration: &configuration, now, ticks: now };
        state.advance(&signer, Some(&previous), environment);
        (state.note, state.frontier)
    }
}
