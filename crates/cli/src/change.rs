//! A change of what the deployment is sealed with, or a restore, between the operators' command and the host process that carries it out.
//!
//! The command may run as root; the host's directory belongs to the host's user. So the command touches nothing in it: the host process
//! describes what is there, the operators look and sign, and the host process writes it down. Nothing it says is believed further than
//! the order goes: that names configuration, root and checkpoint, and the enclave compares.

use std::collections::BTreeMap;

use pinseal_anchor::TpmPlace;
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::note::VerifierKey;
use pinseal_protocol::order::SignedOrder;
use pinseal_protocol::token::P256Public;
use pinseal_protocol::tpm::Tpm;
use serde::{Deserialize, Serialize};

use crate::args::WitnessPlace;
use crate::failure::{Failure, Outcome};

/// What the host is to find out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Question {
    /// Make the key that the token issuer is to have.
    pub(crate) new_issuer_key: bool,
    /// Ask the anchor what it holds.
    pub(crate) restore: bool,
    /// Ask the TPM there what it attests with, and what the deployment's index in it holds.
    #[serde(default)]
    pub(crate) tpm: Option<String>,
}

/// A TPM that was asked about, as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DescribedTpm {
    /// The key that it attests with, in hex.
    attester: String,
    /// Handle of the deployment's index.
    index: u32,
    /// What the index holds, in hex; nothing where it was never written.
    holds: Option<String>,
}

impl DescribedTpm {
    pub(crate) fn new(tpm: &Tpm, holds: Option<Hash32>) -> Self {
        let attester = hex::encode(tpm.attester.0);
        Self { attester, index: tpm.index, holds: holds.map(|held| held.to_string()) }
    }

    fn read(&self) -> Option<Asked> {
        let attester = P256Public(hex::decode(&self.attester).ok()?.try_into().ok()?);
        let holds = match &self.holds {
            Some(held) => Some(Hash32::from_hex(held)?),
            None => None,
        };
        Some(Asked { tpm: Tpm { attester, index: self.index }, holds })
    }
}

/// The same, read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// What a configuration names.
    pub(crate) tpm: Tpm,
    /// What its index holds.
    pub(crate) holds: Option<Hash32>,
}

/// What lies in the host's directory, as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Description {
    /// Canonical configuration in force, in hex.
    pub(crate) configuration: String,
    /// Name of the sealed root.
    pub(crate) root: String,
    /// The newest checkpoint in the database.
    pub(crate) newest: String,
    /// The newest one the anchor is known to hold, if it was asked.
    pub(crate) held: Option<String>,
    /// The log's verifier key.
    pub(crate) log_key: String,
    /// Public half of the issuer's next key, in hex.
    pub(crate) issuer_key: Option<String>,
    /// Where witnesses answer.
    pub(crate) urls: BTreeMap<String, String>,
    /// A change is in the log and not finished.
    pub(crate) is_unfinished: bool,
    /// A change was ordered and is not in the log.
    pub(crate) is_ordered: bool,
    /// Since when enrolment is paused: place of the log entry, and its time.
    pub(crate) paused: Option<(u64, u64)>,
    /// The TPM that was asked about.
    #[serde(default)]
    pub(crate) tpm: Option<DescribedTpm>,
}

/// The same, read.
pub(crate) struct Described {
    pub(crate) configuration: Configuration,
    pub(crate) root: Hash32,
    pub(crate) newest: Checkpoint,
    pub(crate) held: Option<Checkpoint>,
    pub(crate) log_key: VerifierKey,
    pub(crate) issuer_key: Option<P256Public>,
    pub(crate) urls: BTreeMap<String, String>,
    pub(crate) is_unfinished: bool,
    pub(crate) is_ordered: bool,
    pub(crate) paused: Option<(u64, u64)>,
    pub(crate) tpm: Option<Asked>,
}

impl Described {
    /// Reads a description.
    ///
    /// # Errors
    /// It is none: host and command are of different releases.
    pub(crate) fn read(description: Description) -> Outcome<Self> {
        Self::parse(description).ok_or_else(|| {
            Failure::failed("protocol", "the host's description is not understood").advise("use one release")
        })
    }

    fn parse(description: Description) -> Option<Self> {
        let checkpoint = |note: &str| Checkpoint::read_unverified(note.as_bytes()).ok();
        Some(Self {
            configuration: from_hex(&description.configuration)?,
            root: Hash32::from_hex(&description.root)?,
            newest: checkpoint(&description.newest)?,
            held: match &description.held {
                Some(note) => Some(checkpoint(note)?),
                None => None,
            },
            log_key: description.log_key.parse().ok()?,
            issuer_key: match &description.issuer_key {
                Some(key) => Some(from_hex(key)?),
                None => None,
            },
            urls: description.urls,
            is_unfinished: description.is_unfinished,
            is_ordered: description.is_ordered,
            paused: description.paused,
            tpm: match &description.tpm {
                Some(tpm) => Some(tpm.read()?),
                None => None,
            },
        })
    }
}

/// What the operators ordered, as it travels to the host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OrderedChange {
    /// Canonical configuration that is to follow, in hex.
    configuration: String,
    /// The order, in hex.
    order: String,
    /// New witnesses: verifier key and URL.
    places: Vec<(String, String)>,
    /// The issuer's next key belongs to it.
    pub(crate) new_issuer_key: bool,
    /// Where the TPM is that is to follow.
    #[serde(default)]
    pub(crate) tpm: Option<String>,
}

impl OrderedChange {
    pub(crate) fn new(
        next: &Configuration,
        order: &SignedOrder,
        places: &[WitnessPlace],
        new_issuer_key: bool,
        tpm: Option<&TpmPlace>,
    ) -> Self {
        Self {
            configuration: hex::encode(cbor::to_vec(next)),
            order: hex::encode(cbor::to_vec(order)),
            places: places.iter().map(|place| (place.key.to_string(), place.url.clone())).collect(),
            new_issuer_key,
            tpm: tpm.map(ToString::to_string),
        }
    }

    /// Configuration, order and new witnesses.
    ///
    /// # Errors
    /// It is none: host and command are of different releases.
    pub(crate) fn read(&self) -> Outcome<(Configuration, SignedOrder, Vec<WitnessPlace>)> {
        let place = |(key, url): &(String, String)| Some(WitnessPlace { key: key.parse().ok()?, url: url.clone() });
        let read = || {
            Some((
                from_hex(&self.configuration)?,
                from_hex(&self.order)?,
                self.places.iter().map(place).collect::<Option<_>>()?,
            ))
        };
        read().ok_or_else(|| Failure::usage("the order is not understood").advise("use one release"))
    }
}

/// A canonical message in hex.
fn from_hex<T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>>(text: &str) -> Option<T> {
    cbor::from_slice(&hex::decode(text).ok()?).ok()
}
