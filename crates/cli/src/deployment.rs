//! Making a deployment: its id, its token issuer and its sealed configuration; and what the host reads back.

pub(crate) mod places;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
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
use pinseal_store::deployment::{Deployment, DeploymentFile, FILE_BYTES_MAX};

use crate::args::{SealedArgs, WitnessPlace, WitnessesArgs};
use crate::data_dir::{self, DataDir};
use crate::failure::{Failure, Outcome};

/// Settings of the server inside the host's directory; an operator may edit it.
const SERVER_FILE: &str = "server.toml";
/// ES256 key of the token issuer, unless the settings name another file.
const ISSUER_FILE: &str = "issuer.p8";
/// Registry of networks.
const NETWORKS_FILE: &str = "networks.toml";
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

    /// True once the deployment was made.
    pub(crate) fn has_root(&self) -> bool {
        self.0.join(DeploymentFile::Root.name()).exists()
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("pinseal.sqlite")
    }

    /// The directory of the anchor's file. On a disk of its own it holds against more; an operator may make it a link.
    pub(crate) fn anchor_directory(&self) -> PathBuf {
        self.0.join("anchor")
    }

    /// The anchor's file, or a link to it.
    pub(crate) fn anchor(&self) -> PathBuf {
        self.anchor_directory().join("checkpoint")
    }

    /// The token issuer's key, unless the settings name another file.
    pub(crate) fn issuer(&self) -> PathBuf {
        self.0.join(ISSUER_FILE)
    }

    /// Registry of networks.
    pub(crate) fn networks(&self) -> PathBuf {
        self.0.join(NETWORKS_FILE)
    }

    /// Where keys and settings lie, their names in another directory like this one, and whether nothing runs without them.
    pub(crate) fn settings(&self, config: &Config) -> [(PathBuf, &'static str, bool); 3] {
        [
            (self.0.join(SERVER_FILE), SERVER_FILE, true),
            (config.issuer_key_file.clone(), ISSUER_FILE, true),
            (self.networks(), NETWORKS_FILE, false),
        ]
    }

    /// The server's settings. A file that they name without its directory lies in this one, so that the whole of it can be moved.
    ///
    /// # Errors
    /// Missing or not understood.
    pub(crate) fn server(&self) -> Outcome<Config> {
        let path = self.0.join(SERVER_FILE);
        let text = data_dir::read(&path)?.ok_or_else(|| missing(self))?;
        let mut config = parse(&text, &path).map_err(|failure| failure.advise("mend the file; nothing was started"))?;
        config.issuer_key_file = self.0.join(config.issuer_key_file);
        Ok(config)
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

/// True if the directory holds a deployment that was made to its end.
pub(crate) fn exists(data: &DataDir) -> bool {
    HostDir::at(&data.host()).has_root()
}

/// The host's directory of a deployment that was made to its end.
///
/// # Errors
/// There is none: [`missing`].
pub(crate) fn made(data: &DataDir) -> Outcome<HostDir> {
    let directory = HostDir::at(&data.host());
    if directory.has_root() { Ok(directory) } else { Err(missing(&directory)) }
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
/// A file cannot be written, as [`foresee`], parts of a deployment lie there without its settings, or what stays there is not what is asked for; then
/// nothing was written.
pub(crate) fn prepare(data: &DataDir, sealed: &SealedArgs) -> Outcome {
    let SealedArgs { witnesses, tpm, breaker } = sealed;
    let directory = HostDir::at(&data.host());
    let files = Deployment::open(directory.path()).map_err(|error| Failure::failed("file", chain(&error)))?;
    let path = directory.path().join(SERVER_FILE);
    let is_new = data_dir::read(&path)?.is_none();
    if is_new {
        refuse_remains(&directory, &files)?;
    }
    if exists(data) {
        return Ok(());
    }
    let quorum = foresee(sealed)?;
    data_dir::make_directory(&directory.anchor_directory(), 0o700)?;
    if is_new {
        let mut config = Config::new(random_deployment()?, PathBuf::from(ISSUER_FILE));
        config.development = true;
        config.witnesses = named_urls(witnesses);
        config.tpm = tpm.tpm.as_ref().map(|place| TpmConfig::new(place.to_string()));
        let text = toml::to_string(&config)
            .map_err(|error| Failure::failed("configuration", format!("settings cannot be written: {error}")))?;
        data_dir::write_new(&path, text.as_bytes())?;
    }
    let config = directory.server()?;
    refuse_other_places(&config, sealed)?;
    let deployment = config
        .deployment_id()
        .map_err(|error| Failure::failed("configuration", format!("{}: {error}", path.display())))?;
    // A key is made here alone: where the settings name another place somebody has put it there.
    let own = directory.issuer();
    let issuer = if config.issuer_key_file == own {
        issuer(&own, deployment)?
    } else {
        Issuer::load(&config.issuer_key_file, deployment).map_err(|error| {
            Failure::failed("issuer_key", format!("{}: {}", config.issuer_key_file.display(), chain(&error)))
        })?
    };
    let tpm = tpm.tpm.as_ref().map(|place| named(place, deployment)).transpose()?;
    let asked = configuration(deployment, &issuer, quorum, tpm, *breaker);
    let stored = files.read(DeploymentFile::Configuration).map_err(|error| Failure::failed("file", chain(&error)))?;
    let Some(stored) = stored else {
        return files
            .write_new(DeploymentFile::Configuration, &cbor::to_vec(&asked))
            .map_err(|error| Failure::failed("file", chain(&error)));
    };
    let stored: Configuration = cbor::from_slice(&stored)
        .map_err(|error| Failure::failed("configuration", format!("configuration.cbor: {}", chain(&error))))?;
    if is_sealed_in(&asked, &stored) {
        Ok(())
    } else {
        Err(other("configuration.cbor is of other witnesses, another TPM or another --breaker"))
    }
}

/// True if everything that was asked for is in what is there. Witnesses and a TPM that were not asked for stay.
fn is_sealed_in(asked: &Configuration, stored: &Configuration) -> bool {
    (asked.witnesses.is_none() || asked.witnesses == stored.witnesses)
        && (asked.tpm.is_none() || asked.tpm == stored.tpm)
        && asked.breaker == stored.breaker
}

/// Refuses settings that do not say of a witness or a TPM what is asked for: nothing would find it.
fn refuse_other_places(config: &Config, SealedArgs { witnesses, tpm, .. }: &SealedArgs) -> Outcome {
    let is_elsewhere = |(name, url): &(String, String)| config.witnesses.get(name) != Some(url);
    if let Some((name, _)) = named_urls(witnesses).into_iter().find(is_elsewhere) {
        return Err(other(&format!("{SERVER_FILE} does not say the same place of witness {name}")));
    }
    let known: Vec<_> = config.tpm.iter().flat_map(|tpm| tpm.places.values().chain([&tpm.place])).collect();
    match tpm.tpm.as_ref().map(TpmPlace::to_string) {
        Some(place) if !known.contains(&&place) => Err(other(&format!("{SERVER_FILE} does not name the TPM {place}"))),
        _ => Ok(()),
    }
}

/// What lies there is not what is asked for: somebody wrote it, or a creation that was cut off.
fn other(difference: &str) -> Failure {
    Failure::failed("configuration", format!("{difference}; nothing was made"))
        .advise("where an `init` was cut off run the same one again; for another deployment name another directory")
}

/// Refuses a directory in which something of a deployment lies, though its settings are gone: they come first when one is made, and others would
/// belong to another deployment.
fn refuse_remains(directory: &HostDir, files: &Deployment) -> Outcome {
    let kept = [DeploymentFile::Configuration, DeploymentFile::Root].map(|file| files.path(file));
    let is_free = !kept.into_iter().chain([directory.database()]).any(|path| path.exists());
    if is_free { Ok(()) } else { Err(missing(directory)) }
}

/// Why nothing can be done with what lies in the host's directory: it is empty, or which part is missing of a deployment.
pub(crate) fn missing(directory: &HostDir) -> Failure {
    let at = |name: &str| directory.path().join(name);
    let parts = [
        at(DeploymentFile::Root.name()),
        at(DeploymentFile::Configuration.name()),
        at(DeploymentFile::LogKey.name()),
        directory.database(),
        at(SERVER_FILE),
    ];
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for path in parts {
        match path.try_exists() {
            Ok(true) => there.push(path),
            Ok(false) => gone.push(path),
            // Whoever may not look sees nothing, and knows nothing of what is there.
            Err(error) => return Failure::file("look at", &path, &error),
        }
    }
    let is_gone = |file: DeploymentFile| gone.contains(&at(file.name()));
    if there.is_empty() {
        return Failure::failed("not_initialised", format!("{} holds no deployment", directory.path().display())).advise(
            "see whether its disk is there. Where there was one, a backup is put in its place: `mv D D.lost`, `cp -aT BACKUP D`; a new one is made with \
             `pinseal init`",
        );
    }
    let names: Vec<_> = gone.iter().map(|path| path.display().to_string()).collect();
    let advice = match gone.as_slice() {
        [one] if one.ends_with(SERVER_FILE) => match sealed_id(directory) {
            Some(deployment) => format!(
                "put it back from a backup; where there is none, write it anew, with the two lines `deployment = \"{deployment}\"` and \
                 `issuer_key_file = \"{ISSUER_FILE}\"`, and those that say where witnesses or TPM are"
            ),
            None => "put it back from a backup".to_owned(),
        },
        [one] if *one == directory.database() => "see whether its disk is there. Where it is lost put the whole of the newest backup in place (`mv D D.lost`, \
            `cp -aT BACKUP D`), then `pinseal up`, or `pinseal restore` where that says that the state is older"
            .to_owned(),
        _ if is_gone(DeploymentFile::Root) && is_gone(DeploymentFile::LogKey) => "where it was never made to its end run the same `pinseal init` again; else put \
            the whole of the newest backup in place: `mv D D.lost`, `cp -aT BACKUP D`"
            .to_owned(),
        _ => "put it back from the newest backup; root.sealed and configuration.cbor have to be of one time".to_owned(),
    };
    Failure::failed("not_initialised", format!("of a deployment {} is missing; nothing was done", names.join(" and ")))
        .advise(advice)
}

/// The deployment that the sealed configuration names. The host's user may have put anything in its place, and root may be asking.
fn sealed_id(directory: &HostDir) -> Option<DeploymentId> {
    let path = directory.path().join(DeploymentFile::Configuration.name());
    let flags = data_dir::NO_LINK | data_dir::NO_WAIT;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let mut encoded = Vec::new();
    file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut encoded).ok()?;
    cbor::from_slice::<Configuration>(&encoded).ok().map(|sealed| sealed.deployment)
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
    use pinseal_protocol::limits::BREAKER_DEFAULT;

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
    fn what_is_there_of_one_is_not_taken_for_another() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::make(scratch.path()).unwrap();
        let three = ["one.example/w", "two.example/w", "three.example/w"].map(|name| {
            let key = pinseal_witness::NewKey::generate(name).unwrap().verifier_key().clone();
            WitnessPlace { key, url: "http://127.0.0.1:1".to_owned() }
        });
        let asked = |places: &[WitnessPlace], breaker| SealedArgs {
            witnesses: WitnessesArgs { witness: places.to_vec(), ..WitnessesArgs::default() },
            breaker,
            ..SealedArgs::default()
        };
        let all = || {
            [SERVER_FILE, ISSUER_FILE, DeploymentFile::Configuration.name()]
                .map(|name| std::fs::read(data.host().join(name)).ok())
        };
        let same = asked(&three, BREAKER_DEFAULT);
        prepare(&data, &same).unwrap();
        let first = all();
        let mut moved = three.clone();
        moved[0].url = "http://127.0.0.1:2".to_owned();
        for another in
            [asked(&three, BREAKER_DEFAULT + 1), asked(&three[..1], BREAKER_DEFAULT), asked(&moved, BREAKER_DEFAULT)]
        {
            let refused = prepare(&data, &another).unwrap_err();
            assert_eq!((refused.code.as_ref(), all()), ("configuration", first.clone()), "{}", refused.text());
        }
        prepare(&data, &same).unwrap();
        prepare(&data, &SealedArgs::default()).unwrap();
        assert_eq!(all(), first);
        // Before anything is made for settings that somebody put there.
        std::fs::remove_file(data.host().join(DeploymentFile::Configuration.name())).unwrap();
        std::fs::remove_file(data.host().join(ISSUER_FILE)).unwrap();
        assert_eq!(prepare(&data, &asked(&moved, BREAKER_DEFAULT)).unwrap_err().code, "configuration");
        assert_eq!(&all()[1..], [None, None]);
    }

    #[test]
    fn beside_parts_of_a_deployment_no_other_one_is_made() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::make(scratch.path()).unwrap();
        prepare(&data, &SealedArgs::default()).unwrap();
        let id = HostDir::at(&data.host()).server().unwrap().deployment;
        let gone = |name: &str| std::fs::remove_file(data.host().join(name)).unwrap();
        let put = |name: &str| std::fs::write(data.host().join(name), "something").unwrap();
        gone(SERVER_FILE);
        let rest = [DeploymentFile::Root.name(), DeploymentFile::LogKey.name(), "pinseal.sqlite"];
        rest.iter().for_each(|name| put(name));
        let refused = prepare(&data, &SealedArgs::default()).unwrap_err();
        assert_eq!(refused.code, "not_initialised");
        assert!(refused.text().contains(&format!("`deployment = \"{id}\"`")), "{}", refused.text());
        rest.iter().for_each(|name| gone(name));
        gone(DeploymentFile::Configuration.name());
        for name in [DeploymentFile::Root.name(), "pinseal.sqlite"] {
            put(name);
            let refused = prepare(&data, &SealedArgs::default()).unwrap_err();
            assert!(refused.text().contains(SERVER_FILE) && refused.text().contains("backup"), "{}", refused.text());
            assert!(!data.host().join(SERVER_FILE).exists());
            gone(name);
        }
        // A key alone says nothing of which deployment it was for.
        prepare(&data, &SealedArgs::default()).unwrap();
    }

    #[test]
    fn a_directory_that_was_moved_finds_its_key() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::make(&scratch.path().join("one")).unwrap();
        prepare(&data, &SealedArgs::default()).unwrap();
        std::fs::rename(scratch.path().join("one"), scratch.path().join("two")).unwrap();
        let host = scratch.path().join("two").join("host");
        let config = HostDir::at(&host).server().unwrap();
        assert_eq!(config.issuer_key_file, host.join(ISSUER_FILE));
        Issuer::load(&config.issuer_key_file, config.deployment_id().unwrap()).unwrap();
        // One that an operator put elsewhere stays there.
        let text = std::fs::read_to_string(host.join(SERVER_FILE)).unwrap();
        let elsewhere = text.replace("\"issuer.p8\"", "\"/run/keys/issuer.p8\"");
        std::fs::write(host.join(SERVER_FILE), elsewhere).unwrap();
        assert_eq!(HostDir::at(&host).server().unwrap().issuer_key_file, Path::new("/run/keys/issuer.p8"));
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
