//! Making a deployment: its id, its token issuer and its sealed configuration; and what the host reads back.

use std::path::{Path, PathBuf};

use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{
    AnchorLevel, CONFIGURATION_VERSION, Configuration, Issuer as TrustedIssuer, Policy,
};
use pinseal_protocol::ids::DeploymentId;
use pinseal_protocol::pin::Argon2Parameters;
use pinseal_server::{Config, Issuer};
use pinseal_store::deployment::{Deployment, DeploymentFile};

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
/// A file cannot be written.
pub(crate) fn prepare(data: &DataDir) -> Outcome {
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
        let configuration = configuration(deployment, &issuer);
        files
            .write_new(DeploymentFile::Configuration, &cbor::to_vec(&configuration))
            .map_err(|error| Failure::failed("file", chain(&error)))?;
    }
    Ok(())
}

/// What is sealed together with the root: L1 is the lowest level a deployment on disk may have.
fn configuration(deployment: DeploymentId, issuer: &Issuer) -> Configuration {
    Configuration {
        version: CONFIGURATION_VERSION,
        deployment,
        issuers: vec![TrustedIssuer {
            issuer: issuer.name().to_owned(),
            audience: issuer.audience().to_owned(),
            key: issuer.public(),
        }],
        anchor: AnchorLevel::L1,
        floor: AnchorLevel::L1,
        policy: Policy::default(),
        argon2: Argon2Parameters::DEFAULT,
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
        prepare(&data).unwrap();
        let first = all();
        prepare(&data).unwrap();
        assert_eq!(all(), first);
        assert!(!exists(&data));
    }

    #[test]
    fn the_configuration_trusts_exactly_the_own_issuer() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::make(scratch.path()).unwrap();
        prepare(&data).unwrap();
        let config = HostDir::at(&data.host()).server().unwrap();
        let bytes = std::fs::read(data.host().join(DeploymentFile::Configuration.name())).unwrap();
        let configuration: Configuration = cbor::from_slice(&bytes).unwrap();
        configuration.check().unwrap();
        assert_eq!(configuration.deployment, config.deployment_id().unwrap());
        assert_eq!(configuration.issuers.len(), 1);
        assert_eq!(configuration.issuers[0].issuer, config.issuer_name());
    }
}
