//! Making a deployment: its id, its token issuer and its sealed configuration; and what the host reads back.

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
pub(crate) fn prepare(data: &DataDir, sealed: &SealedArgs) -> Outcome {
    let SealedArgs { witnesses, tpm, breaker } = sealed;
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
    let attester = pinseal_anchor::attestation_key(place.clone()).map_err(|error| {
        Failure::failed("tpm", format!("{place}: {}", chain(&error)))
            .advise("nothing was made or changed; docs/tpm.md says what a TPM has to be like")
    })?;
    let number = deployment.0.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    Ok(Tpm { attester, index: INDEX_FIRST | number & (INDEX_LAST - INDEX_FIRST) })
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

/// Puts what a finished change left beside the old files in their place; does nothing where there is none. To be called before anything of
/// the deployment is read.
///
/// # Errors
/// A file cannot be replaced.
pub(crate) fn finish_change(files: &Deployment, config: &Config) -> Outcome {
    let failed = |error: &dyn std::error::Error| Failure::failed("file", chain(error));
    let root = files.read(DeploymentFile::NextRoot).map_err(|error| failed(&error))?;
    if root.is_some() {
        take_over_issuer(files, config)?;
    }
    pinseal_host::finish_change(files).map(drop).map_err(|error| failed(&error))
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

/// Says in the server's settings where these witnesses answer, and leaves everything else in them as it is.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn add_urls(directory: &HostDir, places: &[WitnessPlace]) -> Outcome {
    let urls: Vec<_> = places.iter().map(|place| (place.key.name().to_owned(), place.url.clone())).collect();
    add_lines(directory, "[witnesses]", &urls, |config| Some(&config.witnesses))
}

/// Says in the server's settings where the TPM is that attests with this key, and leaves everything else in them as it is.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn add_tpm(directory: &HostDir, tpm: &Tpm, place: &str) -> Outcome {
    let line = (tpm.attester.thumbprint().to_string(), place.to_owned());
    add_lines(directory, "[tpm.places]", &[line], |config| config.tpm.as_ref().map(|tpm| &tpm.places))
}

fn add_lines(
    directory: &HostDir,
    table: &str,
    lines: &[(String, String)],
    read: impl Fn(&Config) -> Option<&BTreeMap<String, String>>,
) -> Outcome {
    if lines.is_empty() {
        return Ok(());
    }
    let path = directory.path().join(SERVER_FILE);
    let text = data_dir::read(&path)?.unwrap_or_default();
    let changed = with_lines(&text, table, lines);
    let config: Config = toml::from_str(&changed).map_err(|error| {
        Failure::failed("configuration", format!("{} cannot be added to: {error}", path.display()))
            .advise(format!("add what is missing under {table} by hand, then run the command again"))
    })?;
    let complete = lines.iter().all(|(name, value)| read(&config).and_then(|there| there.get(name)) == Some(value));
    if !complete {
        return Err(Failure::failed("configuration", format!("{} has other lines under {table}", path.display()))
            .advise("mend it by hand, then run the command again"));
    }
    if changed == text { Ok(()) } else { data_dir::replace(&path, changed.as_bytes()) }
}

/// The settings with a line for each of these in that table, in place of an older one for the same name.
fn with_lines(text: &str, table: &str, added: &[(String, String)]) -> String {
    let line = |(name, value): &(String, String)| {
        let (name, value) = (toml::Value::from(name.as_str()), toml::Value::from(value.as_str()));
        format!("{name} = {value}")
    };
    let is_of = |line: &str, name: &str| {
        line.split_once('=').is_some_and(|(there, _)| there.trim() == toml::Value::from(name).to_string())
    };
    let mut lines: Vec<String> =
        text.lines().filter(|line| !added.iter().any(|(name, _)| is_of(line, name))).map(str::to_owned).collect();
    let place = lines.iter().position(|line| line.trim() == table).unwrap_or_else(|| {
        lines.extend([String::new(), table.to_owned()]);
        lines.len() - 1
    });
    lines.splice(place + 1..place + 1, added.iter().map(line));
    lines.join("\n") + "\n"
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
    fn urls_of_witnesses_are_added_and_replaced_and_the_rest_stays() {
        let with = |text: &str, places: &[(&str, &str)]| {
            let lines: Vec<_> = places.iter().map(|(name, url)| ((*name).to_owned(), (*url).to_owned())).collect();
            with_lines(text, "[witnesses]", &lines)
        };
        let text = "# mine\ndeployment = \"00\"\n\n[mail]\nfrom = \"a@b\"\n";
        let one = with(text, &[("w.test/one", "https://one.test")]);
        assert_eq!(one, format!("{text}\n[witnesses]\n\"w.test/one\" = \"https://one.test\"\n"));
        let moved = with(&one, &[("w.test/one", "https://moved.test"), ("w.test/two", "https://two.test")]);
        assert_eq!(
            moved,
            format!(
                "{text}\n[witnesses]\n\"w.test/one\" = \"https://moved.test\"\n\"w.test/two\" = \"https://two.test\"\n"
            )
        );
        assert_eq!(with(&moved, &[]), moved);
    }

    #[test]
    fn the_place_of_a_tpm_that_follows_is_found_by_its_key_and_the_first_ones_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::make(scratch.path()).unwrap();
        prepare(&data, &SealedArgs::default()).unwrap();
        let directory = HostDir::at(&data.host());
        let tpm = |byte| Tpm { attester: P256Public([byte; 65]), index: INDEX_FIRST };
        for place in ["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"] {
            add_tpm(&directory, &tpm(4), place).unwrap();
            let config = directory.server().unwrap().tpm.unwrap();
            assert_eq!(config.place_of(&tpm(4).attester), Some(place));
            assert_eq!(config.place_of(&tpm(5).attester), None);
        }
        let config =
            TpmConfig { places: directory.server().unwrap().tpm.unwrap().places, ..TpmConfig::new("/dev/tpmrm0") };
        assert_eq!(config.place_of(&tpm(5).attester), Some("/dev/tpmrm0"));
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
