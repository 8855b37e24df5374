//! Making a deployment: its id, its token issuer and its sealed configuration; and what the host reads back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{
    AnchorLevel, CONFIGURATION_VERSION, Configuration, Issuer as TrustedIssuer, Policy,
};
use pinseal_protocol::cosignature::{Quorum, Witness};
use pinseal_protocol::ids::DeploymentId;
use pinseal_protocol::pin::Argon2Parameters;
use pinseal_server::{Config, Issuer};
use pinseal_store::deployment::{Deployment, DeploymentFile};

use crate::args::WitnessesArgs;
use crate::data_dir::{self, DataDir};
use crate::failure::{Failure, Outcome};

/// Settings of the server inside the host's directory; an operator may edit it.
const SERVER_FILE: &str = "server.toml";
/// ES256 key of the token issuer.
const ISSUER_FILE: &str = "issuer.p8";

/// Where the host keeps what.
#[derive(Debug, Clone)]
pub(crate) struct HostDir(PathBuf);

impl HostDir {
    /// The host's directory.
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("pinseal.sqlite")
    }

    /// The anchor's file. On a disk of its own it holds against more; an operator may make it a link.
    pub(crate) fn anchor(&self) -> PathBuf {
        self.0.join("anchor").join("checkpoint")
    }

    /// Registry of networks.
    pub(crate) fn networks(&self) -> PathBuf {
        self.0.join("networks.toml")
    }

    /// The server's settings.
    ///
    /// # Errors
    /// Missing or not understood.
    pub(crate) fn server(&self) -> Outcome<Config> {
        let path = self.0.join(SERVER_FILE);
        let text = data_dir::read(&path)?.ok_or_else(|| {
            Failure::failed("not_initialised", format!("{} holds no deployment", self.0.display()))
                .advise("make one with `pinseal init`, or start with `pinseal up`")
        })?;
        toml::from_str(&text).map_err(|error| {
            Failure::failed("configuration", format!("{} is not understood: {error}", path.display()))
                .advise("mend the file; nothing was started")
        })
    }
}

/// True if the directory holds a complete deployment.
pub(crate) fn exists(data: &DataDir) -> bool {
    data.host().join(DeploymentFile::Root.name()).exists()
}

/// The deployment's id, where this user may read the host's settings.
pub(crate) fn id(data: &DataDir) -> Option<String> {
    let config = HostDir::at(&data.host()).server().ok()?;
    config.deployment_id().ok().map(|id| id.to_string())
}

/// Writes everything a new deployment needs but its root, which the enclave makes. May be repeated until the root exists: what is
/// there stays.
///
/// # Errors
/// A file cannot be written, or the witnesses are no quorum.
pub(crate) fn prepare(data: &DataDir, witnesses: &WitnessesArgs) -> Outcome {
    let quorum = quorum(witnesses)?;
    let host = data.host();
    data_dir::make_directory(&host.join("anchor"), 0o700)?;
    let path = host.join(SERVER_FILE);
    let deployment = match data_dir::read(&path)? {
        Some(text) => {
            let config: Config = toml::from_str(&text).map_err(|error| {
                Failure::failed("configuration", format!("{} is not understood: {error}", path.display()))
            })?;
            config
                .deployment_id()
                .map_err(|error| Failure::failed("configuration", format!("{}: {error}", path.display())))?
        }
        None => {
            let deployment = random_deployment()?;
            let mut config = Config::new(deployment, host.join(ISSUER_FILE));
            config.development = true;
            config.witnesses = named_urls(witnesses);
            let text = toml::to_string(&config)
                .map_err(|error| Failure::failed("configuration", format!("settings cannot be written: {error}")))?;
            data_dir::write_new(&path, text.as_bytes())?;
            deployment
        }
    };
    let issuer = Issuer::create(&host.join(ISSUER_FILE), deployment).map_err(|error| {
        Failure::failed("issuer_key", format!("the token issuer's key cannot be made: {}", chain(&error)))
    })?;
    let files = Deployment::open(&host).map_err(|error| Failure::failed("file", chain(&error)))?;
    let stored = files.read(DeploymentFile::Configuration).map_err(|error| Failure::failed("file", chain(&error)))?;
    if stored.is_none() {
        let configuration = configuration(deployment, &issuer, quorum);
        files
            .write_new(DeploymentFile::Configuration, &cbor::to_vec(&configuration))
            .map_err(|error| Failure::failed("file", chain(&error)))?;
    }
    Ok(())
}

/// The witnesses a new deployment is sealed to, `None` for none.
fn quorum(arguments: &WitnessesArgs) -> Outcome<Option<Quorum>> {
    if arguments.witness.is_empty() {
        return Ok(None);
    }
    let mut witnesses = Vec::with_capacity(arguments.witness.len());
    for place in &arguments.witness {
        let witness = Witness::from_verifier_key(&place.key).ok_or_else(|| {
            Failure::usage(format!("{} is a log's key, not a witness's (signature type 4)", place.key.name()))
        })?;
        witnesses.push(witness);
    }
    witnesses.sort_by(|one, other| one.name.cmp(&other.name));
    // About as many may be dead as may lie: n - (n - 1) / 3 of n.
    let dead = witnesses.len().saturating_sub(1) / 3;
    let least = u8::try_from(witnesses.len() - dead).unwrap_or(u8::MAX);
    let quorum = Quorum { required: arguments.witnesses_required.unwrap_or(least), witnesses };
    quorum.check().map_err(|error| Failure::usage(format!("{error}; nothing was made")))?;
    Ok(Some(quorum))
}

fn named_urls(arguments: &WitnessesArgs) -> BTreeMap<String, String> {
    arguments.witness.iter().map(|place| (place.key.name().to_owned(), place.url.clone())).collect()
}

/// What is sealed together with the root: L1 is the lowest level a deployment on disk may have.
fn configuration(deployment: DeploymentId, issuer: &Issuer, witnesses: Option<Quorum>) -> Configuration {
    let level = if witnesses.is_some() { AnchorLevel::L4 } else { AnchorLevel::L1 };
    Configuration {
        version: CONFIGURATION_VERSION,
        deployment,
        issuers: vec![TrustedIssuer {
            issuer: issuer.name().to_owned(),
            audience: issuer.audience().to_owned(),
            key: issuer.public(),
        }],
        anchor: level,
        floor: level,
        policy: Policy::default(),
        argon2: Argon2Parameters::DEFAULT,
        witnesses,
    }
}

fn random_deployment() -> Outcome<DeploymentId> {
    let mut id = [0_u8; DeploymentId::LEN];
    getrandom::fill(&mut id).map_err(|error| Failure::failed("randomness", format!("no randomness: {error}")))?;
    Ok(DeploymentId(id))
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn preparing_twice_changes_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::make(scratch.path()).unwrap();
        let all = || {
            [SERVER_FILE, ISSUER_FILE, DeploymentFile::Configuration.name()]
                .map(|name| std::fs::read(data.host().join(name)).unwrap())
        };
        prepare(&data, &WitnessesArgs::default()).unwrap();
        let first = all();
        prepare(&data, &WitnessesArgs::default()).unwrap();
        assert_eq!(all(), first);
        assert!(!exists(&data));
    }

    #[test]
    fn the_configuration_trusts_exactly_the_own_issuer() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::make(scratch.path()).unwrap();
        prepare(&data, &WitnessesArgs::default()).unwrap();
        let config = HostDir::at(&data.host()).server().unwrap();
        let bytes = std::fs::read(data.host().join(DeploymentFile::Configuration.name())).unwrap();
        let configuration: Configuration = cbor::from_slice(&bytes).unwrap();
        configuration.check().unwrap();
        assert_eq!(configuration.deployment, config.deployment_id().unwrap());
        assert_eq!(configuration.issuers.len(), 1);
        assert_eq!(configuration.issuers[0].issuer, config.issuer_name());
    }
}
