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
use crate::run_settings::printable;

/// What the host is to find out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Question {
    /// Make the key that the token issuer is to have.
    pub(crate) new_issuer_key: bool,
    /// Ask the anchor what it holds.
    pub(crate) restore: bool,
    /// Only look: finish nothing that lies half done, since whoever else works there may be at it.
    #[serde(default)]
    pub(crate) only_look: bool,
    /// Describe the state before a change that is in the log and not finished.
    #[serde(default)]
    pub(crate) give_up: bool,
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

/// A change that is in the log, and is taken out of it by a restore of the state before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GivenUp {
    /// The number of the restore that it was.
    pub(crate) restores: Option<u32>,
    /// Its order is there, so that finishing it can be tried.
    pub(crate) is_ordered: bool,
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
    /// The same, and its order is gone.
    #[serde(default)]
    pub(crate) is_orderless: bool,
    /// The same, and what is described is the state before it: given up is this change, or the restore of this number.
    #[serde(default)]
    pub(crate) given_up: Option<GivenUp>,
    /// A change was ordered and is not in the log.
    pub(crate) is_ordered: bool,
    /// The restore that is ordered.
    #[serde(default)]
    pub(crate) ordered_restore: Option<u32>,
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
    pub(crate) is_orderless: bool,
    pub(crate) given_up: Option<GivenUp>,
    pub(crate) is_ordered: bool,
    pub(crate) ordered_restore: Option<u32>,
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

    pub(crate) fn parse(description: Description) -> Option<Self> {
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
            urls: description.urls.iter().map(|(name, url)| (printable(name), printable(url))).collect(),
            is_unfinished: description.is_unfinished,
            is_orderless: description.is_orderless,
            given_up: description.given_up,
            is_ordered: description.is_ordered,
            ordered_restore: description.ordered_restore,
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
    /// An earlier change is taken out of the log for it.
    #[serde(default)]
    pub(crate) gives_up: bool,
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
        gives_up: bool,
        tpm: Option<&TpmPlace>,
    ) -> Self {
        Self {
            configuration: hex::encode(cbor::to_vec(next)),
            order: hex::encode(cbor::to_vec(order)),
            places: places.iter().map(|place| (place.key.to_string(), place.url.clone())).collect(),
            new_issuer_key,
            gives_up,
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
pub(crate) mod tests {
    use pinseal_protocol::checkpoint::{SealedBreaker, log_verifier_key};
    use pinseal_protocol::configuration::{AnchorLevel, CONFIGURATION_VERSION, Issuer, Policy};
    use pinseal_protocol::ids::{DeploymentId, Sequence, UnixSeconds};
    use pinseal_protocol::limits::BREAKER_DEFAULT;
    use pinseal_protocol::manifest::Ed25519Public;
    use pinseal_protocol::pin::Argon2Parameters;
    use pinseal_protocol::tpm::INDEX_FIRST;
    use proptest::prelude::*;

    use super::*;
    use crate::run_settings::{HostWord, WORD_BYTES_MAX};

    const DEPLOYMENT: DeploymentId = DeploymentId([7; 16]);
    const LOG: Ed25519Public = Ed25519Public([1; 32]);

    fn note() -> String {
        let checkpoint = Checkpoint {
            deployment: DEPLOYMENT,
            restores: 0,
            size: 7,
            root: Hash32([1; 32]),
            sequence: Sequence(3),
            previous: Hash32([2; 32]),
            time: UnixSeconds(1_800_000_000),
            state: Hash32([3; 32]),
            breaker: SealedBreaker([4; 81]),
            tpm: Some(Hash32([5; 32])),
        };
        String::from_utf8(checkpoint.to_note(&LOG, |_| [6; 64])).unwrap()
    }

    pub(crate) fn description() -> Description {
        let configuration = configuration();
        let tpm = Tpm { attester: P256Public([4; 65]), index: INDEX_FIRST };
        Description {
            configuration: hex::encode(cbor::to_vec(&configuration)),
            root: Hash32([8; 32]).to_string(),
            newest: note(),
            held: Some(note()),
            log_key: log_verifier_key(&DEPLOYMENT, 0, &LOG).to_string(),
            issuer_key: Some(hex::encode(cbor::to_vec(&P256Public([4; 65])))),
            urls: BTreeMap::from([("w.test/one".to_owned(), "https://one.test".to_owned())]),
            is_unfinished: false,
            is_orderless: false,
            given_up: None,
            is_ordered: true,
            ordered_restore: None,
            paused: Some((3, 1_800_000_000)),
            tpm: Some(DescribedTpm::new(&tpm, Some(Hash32([9; 32])))),
        }
    }

    pub(crate) fn configuration() -> Configuration {
        Configuration {
            version: CONFIGURATION_VERSION,
            deployment: DEPLOYMENT,
            issuers: vec![Issuer {
                issuer: "https://wallet.test".into(),
                audience: DEPLOYMENT.to_string(),
                key: P256Public([4; 65]),
            }],
            anchor: AnchorLevel::L1,
            floor: AnchorLevel::L1,
            policy: Policy::default(),
            argon2: Argon2Parameters::DEFAULT,
            witnesses: None,
            breaker: BREAKER_DEFAULT,
            tpm: None,
            base: None,
        }
    }

    fn line() -> Vec<u8> {
        serde_json::to_vec(&HostWord::Described(Box::new(description()))).unwrap()
    }

    /// What is read of a line says what the line says: written again, the description is the same, and so is all that was read of it.
    fn is_faithful(line: &[u8]) -> bool {
        let Some(HostWord::Described(said)) = HostWord::read(line) else { return false };
        let written = serde_json::to_value(&said).unwrap();
        let again: Description = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap(), written);
        let text = |hex: &str| hex.to_lowercase();
        let Some(read) = Described::parse(again) else { return false };
        assert_eq!(hex::encode(cbor::to_vec(&read.configuration)), text(&said.configuration));
        assert_eq!(read.root.to_string(), text(&said.root));
        assert!(said.newest.starts_with(&read.newest.text()));
        assert_eq!(read.held.is_some(), said.held.is_some());
        assert_eq!(read.log_key.to_string(), said.log_key);
        assert_eq!(read.issuer_key.map(|key| hex::encode(cbor::to_vec(&key))), said.issuer_key.as_deref().map(text));
        let tpm = read.tpm.map(|asked| DescribedTpm::new(&asked.tpm, asked.holds));
        assert_eq!(
            tpm.map(|tpm| (tpm.attester, tpm.index, tpm.holds)),
            said.tpm.map(|tpm| (text(&tpm.attester), tpm.index, tpm.holds.as_deref().map(text)))
        );
        assert_eq!((read.urls, read.paused), (said.urls, said.paused));
        true
    }

    #[test]
    fn a_description_is_read_as_it_was_said_and_a_longer_line_than_any_is_none() {
        assert!(is_faithful(&line()));
        let padded = |bytes: usize| [line(), vec![b' '; bytes - line().len()]].concat();
        assert!(is_faithful(&padded(WORD_BYTES_MAX)) && !is_faithful(&padded(WORD_BYTES_MAX + 1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn whatever_the_host_says_is_read_as_it_stands_or_not_at_all(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..4),
            other in prop::option::weighted(0.1, prop::collection::vec(any::<u8>(), 0..200)),
        ) {
            let mut said = line();
            for (place, value, how) in edits {
                let at = place.index(said.len());
                match how {
                    0 => said[at] = value,
                    1 => said.insert(at, value),
                    _ => drop(said.remove(at)),
                }
            }
            is_faithful(&other.unwrap_or(said));
        }

        /// Fields of the right type and any content.
        #[test]
        fn whatever_stands_in_a_description_is_read_as_it_stands_or_not_at_all(
            field in 0..6_usize, text in prop_oneof![any::<String>(), "[0-9a-fA-F]{0,140}", Just(note())],
        ) {
            let mut said = description();
            match field {
                0 => said.configuration = text,
                1 => said.root = text,
                2 => said.newest = text,
                3 => said.held = Some(text),
                4 => said.log_key = text,
                _ => said.issuer_key = Some(text),
            }
            is_faithful(&serde_json::to_vec(&HostWord::Described(Box::new(said))).unwrap());
        }
    }
}
