//! Making a deployment: its id, its token issuer and its sealed configuration; and what the host reads back.

pub(crate) mod places;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pinseal_anchor::TpmPlace;
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{
    AnchorLevel, CONFIGURATION_VERSION, Configuration, Issuer as TrustedIssuer, Policy,
};
use pinseal_protocol::cosignature::{Quorum, Witness};
use pinseal_protocol::ids::DeploymentId;
use pinseal_protocol::pin::Argon2Parameters;
use pinseal_protocol::token::P256Public;
use pinseal_protocol::tpm::{INDEX_FIRST, INDEX_LAST, Tpm};
use pinseal_server::{Config, Issuer, TpmConfig};
use pinseal_store::deployment::{Deployment, DeploymentFile};

use crate::args::{SealedArgs, WitnessPlace, WitnessesArgs};
use crate::data_dir::{self, DataDir};
use crate::failure::{Failure, Outcome};

/// Settings of the server inside the host's directory; an operator may edit it.
const SERVER_FILE: &str = "server.toml";
/// ES256 key of the token issuer.
const ISSUER_FILE: &str = "issuer.p8";
/// Behind the name of the issuer's key: the one that is to follow, beside it, so that it can take its place at once.
const NEXT_ISSUER: &str = ".next";

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
        parse(&text, &path).map_err(|failure| failure.advise("mend the file; nothing was started"))
    }
}

/// The server's settings from their text.
///
/// # Errors
/// They are not understood. The line is named and not shown: it may be the one with the mail server's password.
fn parse(text: &str, path: &Path) -> Outcome<Config> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let sentence = format!("{} is not understood, line {line}: {}", path.display(), error.message());
        Failure::failed("configuration", sentence)
    })
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

/// Sees whether a deployment can be sealed to these, before anything is made.
///
/// # Errors
/// The witnesses are no quorum, or the TPM does not answer.
pub(crate) fn foresee(sealed: &SealedArgs) -> Outcome<Option<Quorum>> {
    let quorum = quorum(&sealed.witnesses)?;
    sealed.tpm.tpm.as_ref().map(attester).transpose()?;
    Ok(quorum)
}

/// Writes everything a new deployment needs but its root, which the enclave makes. May be repeated until the root exists: what is
/// there stays.
///
/// # Errors
/// A file cannot be written, or as [`foresee`]; in that case nothing was written.
pub(crate) fn prepare(data: &DataDir, sealed: &SealedArgs) -> Outcome {
    let SealedArgs { witnesses, tpm, breaker } = sealed;
    let quorum = foresee(sealed)?;
    let host = data.host();
    data_dir::make_directory(&host.join("anchor"), 0o700)?;
    let path = host.join(SERVER_FILE);
    let deployment = match data_dir::read(&path)? {
        Some(text) => {
            let config = parse(&text, &path)?;
            config
                .deployment_id()
                .map_err(|error| Failure::failed("configuration", format!("{}: {error}", path.display())))?
        }
        None => {
            let deployment = random_deployment()?;
            let mut config = Config::new(deployment, host.join(ISSUER_FILE));
            config.development = true;
            config.witnesses = named_urls(witnesses);
            config.tpm = tpm.tpm.as_ref().map(|place| TpmConfig::new(place.to_string()));
            let text = toml::to_string(&config)
                .map_err(|error| Failure::failed("configuration", format!("settings cannot be written: {error}")))?;
            data_dir::write_new(&path, text.as_bytes())?;
            deployment
        }
    };
    let issuer = issuer(&host.join(ISSUER_FILE), deployment)?;
    let files = Deployment::open(&host).map_err(|error| Failure::failed("file", chain(&error)))?;
    let stored = files.read(DeploymentFile::Configuration).map_err(|error| Failure::failed("file", chain(&error)))?;
    if stored.is_none() {
        let tpm = tpm.tpm.as_ref().map(|place| named(place, deployment)).transpose()?;
        let configuration = configuration(deployment, &issuer, quorum, tpm, *breaker);
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
    let witnesses = arguments.witness.iter().map(witness).collect::<Outcome<_>>()?;
    quorum_of(witnesses, arguments.witnesses_required).map(Some)
}

/// The TPM a new deployment is sealed to: the key that it attests with, and an index that follows from the deployment's name, so that several may
/// share one TPM.
///
/// # Errors
/// It does not answer.
pub(crate) fn named(place: &TpmPlace, deployment: DeploymentId) -> Outcome<Tpm> {
    let attester = attester(place)?;
    let number = deployment.0.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    Ok(Tpm { attester, index: INDEX_FIRST | number & (INDEX_LAST - INDEX_FIRST) })
}

/// The key that the TPM there attests with.
fn attester(place: &TpmPlace) -> Outcome<P256Public> {
    pinseal_anchor::attestation_key(place.clone()).map_err(|error| {
        Failure::failed("tpm", format!("{place}: {}", chain(&error)))
            .advise("nothing was made or changed; docs/tpm.md says what a TPM has to be like")
    })
}

/// The witness a place names.
///
/// # Errors
/// The key is no witness's.
pub(crate) fn witness(place: &WitnessPlace) -> Outcome<Witness> {
    Witness::from_verifier_key(&place.key).ok_or_else(|| {
        Failure::usage(format!("{} is a log's key, not a witness's (signature type 4)", place.key.name()))
    })
}

/// A quorum of these, as many as `required` or as many as usual.
///
/// # Errors
/// They are none.
pub(crate) fn quorum_of(mut witnesses: Vec<Witness>, required: Option<u8>) -> Outcome<Quorum> {
    witnesses.sort_by(|one, other| one.name.cmp(&other.name));
    // About as many may be dead as may lie: n - (n - 1) / 3 of n.
    let dead = witnesses.len().saturating_sub(1) / 3;
    let least = u8::try_from(witnesses.len() - dead).unwrap_or(u8::MAX);
    let quorum = Quorum { required: required.unwrap_or(least), witnesses };
    quorum.check().map_err(|error| Failure::usage(format!("{error}; nothing was changed")))?;
    Ok(quorum)
}

fn next_issuer_path(config: &Config) -> PathBuf {
    let mut path = config.issuer_key_file.clone().into_os_string();
    path.push(NEXT_ISSUER);
    PathBuf::from(path)
}

/// The key that the token issuer is to have after the change, made unless it is there; its public half.
///
/// # Errors
/// It cannot be written.
pub(crate) fn next_issuer(config: &Config, deployment: DeploymentId) -> Outcome<P256Public> {
    Ok(issuer(&next_issuer_path(config), deployment)?.public())
}

/// A token issuer with the key in that file, which is made unless it is there.
fn issuer(path: &Path, deployment: DeploymentId) -> Outcome<Issuer> {
    Issuer::create(path, deployment).map_err(|error| {
        Failure::failed("issuer_key", format!("the token issuer's key cannot be made: {}", chain(&error)))
    })
}

/// Puts what a finished change left beside the old files in their place, and says in the settings where its witnesses and its TPM answer; does
/// nothing where there is none. To be called before anything of the deployment is read. True if the settings are to be read anew.
///
/// # Errors
/// A file cannot be replaced; the next call goes on.
pub(crate) fn finish_change(directory: &HostDir, files: &Deployment) -> Outcome<bool> {
    let failed = |error: &dyn std::error::Error| Failure::failed("file", chain(error));
    if files.read(DeploymentFile::NextRoot).map_err(|error| failed(&error))?.is_none() {
        return Ok(false);
    }
    take_over_issuer(files, &directory.server()?)?;
    places::settle(directory, files)?;
    pinseal_host::finish_change(files).map_err(|error| failed(&error))?;
    Ok(true)
}

/// Puts the issuer's next key in force, if the configuration that comes into force is sealed to it. One made for a change that did not happen
/// stays for the next.
fn take_over_issuer(files: &Deployment, config: &Config) -> Outcome {
    let path = next_issuer_path(config);
    let next = pinseal_host::next_configuration(files).map_err(|error| Failure::failed("file", chain(&error)))?;
    let Some(next) = next.filter(|_| path.exists()) else { return Ok(()) };
    let key = Issuer::load(&path, next.deployment)
        .map_err(|error| Failure::failed("issuer_key", format!("{}: {}", path.display(), chain(&error))))?;
    if next.issuers.iter().any(|issuer| issuer.key == key.public()) {
        data_dir::take_over(&path, &config.issuer_key_file)?;
    }
    Ok(())
}

fn named_urls(arguments: &WitnessesArgs) -> BTreeMap<String, String> {
    arguments.witness.iter().map(|place| (place.key.name().to_owned(), place.url.clone())).collect()
}

/// What is sealed together with the root: L1 is the lowest level a deployment on disk may have.
fn configuration(
    deployment: DeploymentId,
    issuer: &Issuer,
    witnesses: Option<Quorum>,
    tpm: Option<Tpm>,
    breaker: u32,
) -> Configuration {
    let level = match (&witnesses, &tpm) {
        (Some(_), _) => AnchorLevel::L4,
        (None, Some(_)) => AnchorLevel::L2,
        (None, None) => AnchorLevel::L1,
    };
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
        breaker,
        tpm,
        base: None,
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
        prepare(&data, &SealedArgs::default()).unwrap();
        let first = all();
        prepare(&data, &SealedArgs::default()).unwrap();
        assert_eq!(all(), first);
        assert!(!exists(&data));
    }

    #[test]
    fn settings_that_are_not_understood_are_named_by_their_line_which_is_not_shown() {
        let text = "deployment = \"00\"\n\n[mail]\nsmtp_url = \"smtps://user:mauersegler@mail.example\n";
        let failure = parse(text, Path::new("server.toml")).map(drop).unwrap_err();
        assert_eq!(failure.code, "configuration");
        assert!(failure.sentence.starts_with("server.toml is not understood, line 4: "), "{}", failure.sentence);
        assert!(!failure.text().contains("mauersegler"), "{}", failure.text());
    }

    #[test]
    fn the_configuration_trusts_exactly_the_own_issuer() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::make(scratch.path()).unwrap();
        prepare(&data, &SealedArgs::default()).unwrap();
        let config = HostDir::at(&data.host()).server().unwrap();
        let bytes = std::fs::read(data.host().join(DeploymentFile::Configuration.name())).unwrap();
        let configuration: Configuration = cbor::from_slice(&bytes).unwrap();
        configuration.check().unwrap();
        assert_eq!(configuration.deployment, config.deployment_id().unwrap());
        assert_eq!(configuration.issuers.len(), 1);
        assert_eq!(configuration.issuers[0].issuer, config.issuer_name());
    }
}
