//! Which service a client command talks to, as which app, and where it keeps its device key and session.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pinseal_attestation::verify::nitro::NitroImages;
use pinseal_client::{FileProfile, ProfileStore as _, SecretText};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::args::ClientArgs;
use crate::data_dir::{self, ClientDefaults, DataDir};
use crate::deployment;
use crate::failure::{Failure, Outcome};
use crate::secret;
use crate::trust::{self, NitroSetting};

/// Profile directory beside a development system.
const LOCAL: &str = ".pinseal";
/// Name of the profile used if none is named.
const DEFAULT: &str = "default";
/// Settings inside a profile directory.
const SETTINGS: &str = "service.json";

/// What a profile remembers of its service.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Service {
    /// Base URL.
    pub(crate) server: String,
    /// App ID.
    pub(crate) app_id: String,
    /// App Key.
    #[serde(serialize_with = "secret::write")]
    pub(crate) app_key: SecretText,
    /// Software evidence is accepted.
    pub(crate) development: bool,
    /// Enclave programs that are trusted in software evidence, in hex.
    #[serde(default)]
    pub(crate) measurements: Vec<String>,
    /// AWS Nitro images that are trusted; then no other evidence is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) nitro: Vec<NitroSetting>,
}

/// A profile with everything resolved.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// Where it lies.
    pub(crate) directory: PathBuf,
    /// Its service.
    pub(crate) service: Service,
    /// The development system next to it, if the service is that one.
    pub(crate) local: Option<ClientDefaults>,
}

impl Chosen {
    /// Flags and environment win over the profile, the profile over a development system found here.
    ///
    /// Files that merely lie in the working directory, where anybody may have put them, count for services of this machine only.
    ///
    /// # Errors
    /// Something is missing or not readable.
    pub(crate) fn resolve(arguments: &ClientArgs) -> Outcome<Self> {
        let found = DataDir::at(&arguments.data).client_defaults()?.filter(ClientDefaults::is_local);
        let directory = directory(arguments.profile.as_deref(), found.is_some())?;
        if arguments.profile.is_none() && directory == Path::new(LOCAL) && directory.exists() {
            data_dir::check_our_directory(&directory, data_dir::ASK)?;
        }
        let mut remembered = remembered(&directory)?;
        if arguments.profile.is_none() && directory == Path::new(LOCAL) {
            remembered = local_only(remembered, arguments)?;
            if let (Some(service), Some(found), None) = (&mut remembered, &found, &arguments.server)
                && service.app_id != found.app_id
                && !found.app_id.is_empty()
            {
                // Another app of the system found here, whatever port that has by now; or what an earlier system left behind.
                let here = deployment::id(&DataDir::at(&arguments.data));
                if here.is_none() || here != trusted(&directory) {
                    return Err(foreign(&arguments.data));
                }
                service.server.clone_from(&found.server);
            }
        }
        Self::combine(arguments, directory, remembered, found)
    }

    fn combine(
        arguments: &ClientArgs,
        directory: PathBuf,
        remembered: Option<Service>,
        found: Option<ClientDefaults>,
    ) -> Outcome<Self> {
        // A development system gets a new port now and then: what it says now holds, if the profile belongs to it.
        let beside = found.filter(|found| {
            !found.app_id.is_empty() && remembered.as_ref().is_none_or(|service| service.app_id == found.app_id)
        });
        let pick =
            |flag: &Option<String>, from: fn(&Service) -> &String, beside_from: fn(&ClientDefaults) -> &String| {
                flag.clone()
                    .or_else(|| beside.as_ref().map(|found| beside_from(found).clone()))
                    .or_else(|| remembered.as_ref().map(|service| from(service).clone()))
            };
        let missing = |what: &str, flag: &str| {
            Failure::usage(format!("which {what}?"))
                .advise(format!("give {flag}, or run this in the directory where `pinseal up` was started"))
        };
        let server = pick(&arguments.server, |service| &service.server, |found| &found.server)
            .ok_or_else(|| missing("service", "--server URL"))?;
        let app_id = pick(&arguments.app_id, |service| &service.app_id, |found| &found.app_id)
            .ok_or_else(|| missing("app", "--app-id ID"))?;
        let app_key = arguments.app_key.as_deref();
        let app_key = app_key.or_else(|| beside.as_ref().map(|found| &found.app_key));
        let app_key = app_key.or_else(|| remembered.as_ref().map(|service| &service.app_key));
        let app_key = app_key.ok_or_else(|| missing("app key", "--app-key KEY"))?.duplicate();
        let local = beside.filter(|found| found.server == server);
        let remembered_measurements = remembered
            .as_ref()
            .filter(|service| service.server == server)
            .map(|service| service.measurements.clone())
            .unwrap_or_default();
        let remembered_nitro = remembered
            .as_ref()
            .filter(|service| service.server == server)
            .map(|service| service.nitro.clone())
            .unwrap_or_default();
        let asked_nitro = trust::asked(&arguments.nitro)?;
        let nitro = if asked_nitro.is_empty() { remembered_nitro } else { asked_nitro };
        if arguments.development && !nitro.is_empty() {
            return Err(trust::both());
        }
        // Development mode is never taken over to another service than the one it was granted for, nor to hardware.
        let remembered_development = remembered.is_some_and(|service| service.development && service.server == server);
        let development = nitro.is_empty()
            && (arguments.development
                || remembered_development
                || local.as_ref().is_some_and(|found| found.development));
        let measurements =
            if arguments.measurement.is_empty() { remembered_measurements } else { arguments.measurement.clone() };
        Ok(Self { directory, service: Service { server, app_id, app_key, development, measurements, nitro }, local })
    }

    /// Remembers the service in the profile.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn remember(&self) -> Outcome {
        data_dir::make_directory(&self.directory, 0o700)?;
        let text = Zeroizing::new(serde_json::to_string_pretty(&self.service).unwrap_or_default());
        data_dir::replace(&self.directory.join(SETTINGS), text.as_bytes())
    }
}

/// The AWS Nitro images that the command line names, else those that the profile remembers.
///
/// # Errors
/// None is named, or one is mistyped.
pub(crate) fn nitro_images(arguments: &ClientArgs) -> Outcome<NitroImages> {
    let asked = trust::asked(&arguments.nitro)?;
    if !asked.is_empty() {
        return trust::images_of(&asked);
    }
    // A directory that merely lies here, where anybody may have put it, says nothing about whom to trust.
    let directory = match arguments.profile.as_deref() {
        Some(named) => Some(directory(Some(named), false)?),
        None => home().ok().map(|home| home.join(DEFAULT)),
    };
    let remembered = directory.map(|directory| remembered(&directory)).transpose()?.flatten();
    match remembered.filter(|service| !service.nitro.is_empty()) {
        Some(service) => trust::images_of(&service.nitro),
        None => Err(Failure::usage("which image?").advise("give its --pcr0, --pcr1 and --pcr2")),
    }
}

/// What a profile that was found and not named remembers, if that is a service of this machine.
fn local_only(remembered: Option<Service>, arguments: &ClientArgs) -> Outcome<Option<Service>> {
    match remembered {
        Some(service) if !data_dir::is_local(&service.server) => match &arguments.server {
            Some(_) => Ok(None),
            None => Err(Failure::usage(format!("the profile in ./{LOCAL} belongs to {}", service.server))
                .advise(format!("if you made it, name it: --profile ./{LOCAL}; otherwise somebody else put it there"))),
        },
        kept => Ok(kept),
    }
}

/// The deployment that a profile's device trusts.
fn trusted(directory: &Path) -> Option<String> {
    let profile = Arc::new(FileProfile::new(directory)).lock().ok()?.load().ok()??;
    profile.deployment.map(|pinned| pinned.deployment.to_string())
}

fn foreign(data: &Path) -> Failure {
    Failure::failed(
        "profile_foreign",
        format!("the profile in ./{LOCAL} belongs to another deployment than the one in {}", data.display()),
    )
    .advise(format!("remove ./{LOCAL}, or use another profile with --profile NAME"))
}

/// The directory a profile's name or path stands for.
fn directory(asked: Option<&str>, beside_system: bool) -> Outcome<PathBuf> {
    match asked {
        Some(path) if path.contains('/') => Ok(PathBuf::from(path)),
        Some("" | "." | "..") => Err(Failure::usage("a profile needs a name")),
        Some(name) => Ok(home()?.join(name)),
        None if beside_system || Path::new(LOCAL).is_dir() => Ok(PathBuf::from(LOCAL)),
        None => Ok(home()?.join(DEFAULT)),
    }
}

/// `$XDG_CONFIG_HOME/pinseal`, by default `~/.config/pinseal`.
fn home() -> Outcome<PathBuf> {
    let named = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    named("XDG_CONFIG_HOME")
        .or_else(|| named("HOME").map(|home| home.join(".config")))
        .map(|config| config.join("pinseal"))
        .ok_or_else(|| {
            Failure::usage("there is no home directory to keep a profile in")
                .advise("name a directory: --profile ./DIR")
        })
}

fn remembered(directory: &Path) -> Outcome<Option<Service>> {
    let path = directory.join(SETTINGS);
    let Some(text) = data_dir::read(&path)?.map(Zeroizing::new) else { return Ok(None) };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| Failure::failed("file", format!("{} is not understood: {error}", path.display())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::args::NitroArgs;

    fn arguments() -> ClientArgs {
        ClientArgs {
            server: None,
            app_id: None,
            app_key: None,
            development: false,
            measurement: Vec::new(),
            nitro: NitroArgs::default(),
            profile: None,
            data: "none".into(),
        }
    }

    fn found(server: &str, app_id: &str) -> ClientDefaults {
        ClientDefaults {
            server: server.into(),
            app_id: app_id.into(),
            app_key: SecretText::new("key".into()),
            development: true,
            mailbox: Some("http://m".into()),
            node: None,
            network: None,
        }
    }

    fn service(server: &str, app_id: &str, development: bool) -> Service {
        Service {
            server: server.into(),
            app_id: app_id.into(),
            app_key: SecretText::new("k".into()),
            development,
            measurements: Vec::new(),
            nitro: Vec::new(),
        }
    }

    /// Everything of it.
    fn text(service: &Service) -> String {
        serde_json::to_string(service).unwrap()
    }

    #[test]
    fn a_system_found_here_needs_no_flags_and_may_move_to_another_port() {
        let chosen = Chosen::combine(&arguments(), "p".into(), None, Some(found("http://a:1", "app"))).unwrap();
        assert!(chosen.service.development && chosen.local.is_some());
        let moved =
            Chosen::combine(&arguments(), "p".into(), Some(chosen.service), Some(found("http://a:2", "app"))).unwrap();
        assert_eq!(moved.service.server, "http://a:2");
    }

    #[test]
    fn a_profile_of_another_deployment_does_not_follow_the_system_found_here() {
        let chosen = Chosen::combine(
            &arguments(),
            "p".into(),
            Some(service("https://live", "live", false)),
            Some(found("http://a:1", "app")),
        )
        .unwrap();
        assert_eq!(text(&chosen.service), text(&service("https://live", "live", false)));
        assert!(chosen.local.is_none());
    }

    #[test]
    fn development_mode_does_not_spread_to_another_service() {
        let arguments = ClientArgs { server: Some("https://live".into()), ..arguments() };
        let chosen = Chosen::combine(
            &arguments,
            "p".into(),
            Some(service("http://a:1", "app", true)),
            Some(found("http://a:1", "app")),
        )
        .unwrap();
        assert!(!chosen.service.development);
        assert!(chosen.local.is_none());
    }

    #[test]
    fn a_profile_that_trusts_a_nitro_image_is_never_talked_down_to_software_evidence() {
        let hex = |byte: &str| vec![byte.repeat(48)];
        let flags = || NitroArgs { pcr0: hex("a0"), pcr1: hex("a1"), pcr2: hex("a2"), pcr: Vec::new() };
        let nitro = trust::asked(&flags()).unwrap();
        let kept = || Service { nitro: nitro.clone(), ..service("http://a:1", "app", false) };
        let resolve = |arguments: &ClientArgs, kept: Service| {
            Chosen::combine(arguments, "p".into(), Some(kept), Some(found("http://a:1", "app")))
        };
        // Not by a development system that says so of itself, not by a flag, not by what was remembered before.
        assert!(!resolve(&arguments(), kept()).unwrap().service.development);
        let asked = ClientArgs { development: true, ..arguments() };
        assert!(resolve(&asked, kept()).unwrap_err().sentence.contains("Nitro image is trusted"));
        let named = ClientArgs { nitro: flags(), ..arguments() };
        let chosen = resolve(&named, service("http://a:1", "app", true)).unwrap().service;
        assert!(!chosen.development && chosen.nitro == nitro);
        // Trust is in an image of one service.
        let moved = ClientArgs { server: Some("https://b".into()), ..arguments() };
        assert!(Chosen::combine(&moved, "p".into(), Some(kept()), None).unwrap().service.nitro.is_empty());
    }

    #[test]
    fn a_profile_that_only_lies_here_leads_to_this_machine_alone() {
        let kept = || Some(service("http://127.0.0.1:1", "app", true));
        let found = local_only(kept(), &arguments()).unwrap();
        assert_eq!(found.as_ref().map(text), kept().as_ref().map(text));
        let planted = || Some(service("https://evil.example", "app", true));
        assert!(local_only(planted(), &arguments()).unwrap_err().advice.unwrap().contains("--profile ./.pinseal"));
        let named = ClientArgs { server: Some("https://evil.example".into()), ..arguments() };
        assert!(local_only(planted(), &named).unwrap().is_none(), "no development mode, no measurements");
    }

    #[test]
    fn without_anything_the_message_names_the_flag() {
        let failure = Chosen::combine(&arguments(), "p".into(), None, None).unwrap_err();
        assert!(failure.advice.unwrap().contains("--server"));
    }
}
