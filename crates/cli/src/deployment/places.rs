//! Where the witnesses and the TPM of an ordered change answer.
//!
//! Until the change is finished they lie in a file beside the settings, so that one that fails has written nothing into them; then they are
//! added to `server.toml`, and witnesses that are none any more are taken out of it. Everything else in there stays as an operator wrote it.

use std::collections::BTreeMap;

use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::tpm::Tpm;
use pinseal_server::{Config, TpmConfig};
use pinseal_store::deployment::{Deployment, DeploymentFile};
use serde::{Deserialize, Serialize};

use super::{HostDir, SERVER_FILE, chain};
use crate::args::WitnessPlace;
use crate::data_dir;
use crate::failure::{Failure, Outcome};

const WITNESSES: &str = "[witnesses]";
const TPMS: &str = "[tpm.places]";

/// Places by the names that the settings know them by.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Places {
    /// URLs by the witnesses' names.
    #[serde(default)]
    witnesses: BTreeMap<String, String>,
    /// Of TPMs, by the thumbprints of the keys that they attest with.
    #[serde(default)]
    tpms: BTreeMap<String, String>,
}

impl Places {
    /// Those of new witnesses and of a TPM.
    pub(crate) fn new(witnesses: &[WitnessPlace], tpm: Option<(&Tpm, &str)>) -> Self {
        Self {
            witnesses: witnesses.iter().map(|place| (place.key.name().to_owned(), place.url.clone())).collect(),
            tpms: tpm.iter().map(|(tpm, place)| (tpm.attester.thumbprint().to_string(), (*place).to_owned())).collect(),
        }
    }

    /// Keeps them beside the settings, after it was seen that the settings can take them later.
    ///
    /// # Errors
    /// The settings cannot be added to, or the file cannot be written; nothing was written.
    pub(crate) fn keep(&self, directory: &HostDir, files: &Deployment) -> Outcome {
        if self == &Self::default() {
            return Ok(());
        }
        self.added_to(&settings(directory)?)?;
        let text = toml::to_string(self)
            .map_err(|error| Failure::failed("configuration", format!("places cannot be written: {error}")))?;
        files
            .write_new(DeploymentFile::NextPlaces, text.as_bytes())
            .map_err(|error| Failure::failed("file", chain(&error)))
    }

    /// What is kept there, nothing if nothing is.
    fn kept(files: &Deployment) -> Outcome<Self> {
        let kept = files.read(DeploymentFile::NextPlaces).map_err(|error| Failure::failed("file", chain(&error)))?;
        let Some(kept) = kept else { return Ok(Self::default()) };
        toml::from_str(&String::from_utf8_lossy(&kept)).map_err(|error| {
            let path = files.path(DeploymentFile::NextPlaces);
            Failure::failed("configuration", format!("{} is not understood: {error}", path.display()))
                .advise("mend the file: `witnesses` and `tpms`, each a table of names and places")
        })
    }

    /// These settings with them.
    fn added_to(&self, text: &str) -> Outcome<String> {
        let lines = |places: &BTreeMap<String, String>| -> Vec<_> {
            places.iter().map(|(name, place)| (name.clone(), place.clone())).collect()
        };
        let added = with_lines(text, WITNESSES, &lines(&self.witnesses));
        let added = with_lines(&added, TPMS, &lines(&self.tpms));
        let config: Config = toml::from_str(&added).map_err(|error| {
            Failure::failed("configuration", format!("{SERVER_FILE} cannot be added to: {error}"))
                .advise(format!("add what is missing under {WITNESSES} or {TPMS} by hand, then run the command again"))
        })?;
        let has = |there: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>| {
            wanted.iter().all(|(name, place)| there.get(name) == Some(place))
        };
        let tpms = config.tpm.map(|tpm| tpm.places).unwrap_or_default();
        if has(&config.witnesses, &self.witnesses) && has(&tpms, &self.tpms) {
            return Ok(added);
        }
        Err(Failure::failed("configuration", format!("{SERVER_FILE} has other lines under {WITNESSES} or {TPMS}"))
            .advise("mend it by hand, then run the command again"))
    }
}

/// The settings as they are once the ordered change is finished, but for witnesses that go.
///
/// # Errors
/// The file beside them is not understood.
pub(crate) fn ahead(mut config: Config, files: &Deployment) -> Outcome<Config> {
    let Places { witnesses, tpms } = Places::kept(files)?;
    config.witnesses.extend(witnesses);
    if !tpms.is_empty() {
        config.tpm.get_or_insert_with(|| TpmConfig::new("")).places.extend(tpms);
    }
    Ok(config)
}

/// Puts them into the settings, and takes witnesses out that the configuration which comes into force does not name.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn settle(directory: &HostDir, files: &Deployment) -> Outcome {
    let failed = |error: &dyn std::error::Error| Failure::failed("file", chain(error));
    let before = settings(directory)?;
    let next = match pinseal_host::next_configuration(files).map_err(|error| failed(&error))? {
        Some(next) => Some(next),
        // It took the old one's place already.
        None => pinseal_host::configuration(files).map_err(|error| failed(&error))?,
    };
    let after = without_strangers(&Places::kept(files)?.added_to(&before)?, next.as_ref());
    if after == before { Ok(()) } else { data_dir::replace(&directory.path().join(SERVER_FILE), after.as_bytes()) }
}

/// The settings without lines for witnesses that `next` does not name; as they are, where they cannot be read without those.
fn without_strangers(text: &str, next: Option<&Configuration>) -> String {
    let read = |text: &str| toml::from_str::<Config>(text).ok();
    let (Some(quorum), Some(config)) = (next.and_then(|next| next.witnesses.as_ref()), read(text)) else {
        return text.to_owned();
    };
    let is_named = |name: &String| quorum.witnesses.iter().any(|witness| witness.name == *name);
    let strangers: Vec<_> = config.witnesses.keys().filter(|name| !is_named(name)).collect();
    let kept = text.lines().filter(|line| !strangers.iter().any(|name| is_of(line, name)));
    let without = kept.map(|line| format!("{line}\n")).collect::<String>();
    if read(&without).is_some() { without } else { text.to_owned() }
}

fn settings(directory: &HostDir) -> Outcome<String> {
    Ok(data_dir::read(&directory.path().join(SERVER_FILE))?.unwrap_or_default())
}

/// True for a line that says something of that name.
fn is_of(line: &str, name: &str) -> bool {
    line.split_once('=').is_some_and(|(there, _)| there.trim() == toml::Value::from(name).to_string())
}

/// The settings with a line for each of these in that table, in place of an older one for the same name.
fn with_lines(text: &str, table: &str, added: &[(String, String)]) -> String {
    if added.is_empty() {
        return text.to_owned();
    }
    let line = |(name, value): &(String, String)| {
        let (name, value) = (toml::Value::from(name.as_str()), toml::Value::from(value.as_str()));
        format!("{name} = {value}")
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use pinseal_protocol::cosignature::{Quorum, Witness};
    use pinseal_protocol::manifest::Ed25519Public;
    use pinseal_protocol::token::P256Public;
    use pinseal_protocol::tpm::INDEX_FIRST;

    use super::*;
    use crate::args::SealedArgs;
    use crate::data_dir::DataDir;
    use crate::deployment::prepare;

    fn witnesses(places: &[(&str, &str)]) -> Places {
        let witnesses = places.iter().map(|(name, url)| ((*name).to_owned(), (*url).to_owned())).collect();
        Places { witnesses, tpms: BTreeMap::new() }
    }

    fn fresh() -> (tempfile::TempDir, HostDir, Deployment) {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::make(scratch.path()).unwrap();
        prepare(&data, &SealedArgs::default()).unwrap();
        let directory = HostDir::at(&data.host());
        let files = Deployment::open(directory.path()).unwrap();
        (scratch, directory, files)
    }

    #[test]
    fn urls_of_witnesses_are_added_and_replaced_and_the_rest_stays() {
        let with = |text: &str, places: &[(&str, &str)]| witnesses(places).added_to(text).unwrap();
        let text = "# mine\ndeployment = \"00\"\nissuer_key_file = \"k\"\n\n[mail]\nfrom = \"a@b\"\n";
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
    fn places_are_kept_beside_the_settings_until_the_change_is_finished_and_a_withdrawn_one_leaves_nothing() {
        let (_scratch, directory, files) = fresh();
        let before = settings(&directory).unwrap();
        let places = witnesses(&[("w.test/one", "https://one.test")]);
        places.keep(&directory, &files).unwrap();
        assert_eq!(settings(&directory).unwrap(), before);
        let ahead = ahead(directory.server().unwrap(), &files).unwrap();
        assert_eq!(ahead.witnesses, places.witnesses, "who carries the change out knows them");
        files.withdraw_change().unwrap();
        assert_eq!(Places::kept(&files).unwrap(), Places::default());
        // Settings that could not take them are found before anything is ordered.
        let path = directory.path().join(SERVER_FILE);
        std::fs::write(&path, format!("witnesses = {{}}\n{before}")).unwrap();
        assert_eq!(places.keep(&directory, &files).unwrap_err().code, "configuration");
        assert_eq!(Places::kept(&files).unwrap(), Places::default());
    }

    #[test]
    fn a_witness_that_is_none_any_more_is_taken_out_of_the_settings() {
        let (_scratch, directory, files) = fresh();
        let named = witnesses(&[("w.test/one", "https://one.test"), ("w.test/two", "https://two.test")]);
        let text = named.added_to(&format!("# mine\n{}", settings(&directory).unwrap())).unwrap();
        let mut next = pinseal_host::configuration(&files).unwrap().unwrap();
        assert_eq!(
            without_strangers(&text, Some(&next)),
            text,
            "where nothing is said of witnesses nothing is taken out"
        );
        let two = Witness { name: "w.test/two".to_owned(), key: Ed25519Public([7; 32]) };
        next.witnesses = Some(Quorum { required: 1, witnesses: vec![two] });
        let after = without_strangers(&text, Some(&next));
        assert_eq!(after, text.replace("\"w.test/one\" = \"https://one.test\"\n", ""));
        assert!(after.starts_with("# mine\n"));
    }

    #[test]
    fn the_place_of_a_tpm_that_follows_is_found_by_its_key_and_the_first_ones_stays() {
        let (_scratch, directory, files) = fresh();
        let tpm = |byte| Tpm { attester: P256Public([byte; 65]), index: INDEX_FIRST };
        for place in ["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"] {
            Places::new(&[], Some((&tpm(4), place))).keep(&directory, &files).unwrap();
            let ahead = ahead(directory.server().unwrap(), &files).unwrap();
            settle(&directory, &files).unwrap();
            files.withdraw_change().unwrap();
            for config in [directory.server().unwrap(), ahead] {
                let config = config.tpm.unwrap();
                assert_eq!(config.place_of(&tpm(4).attester), Some(place));
                assert_eq!(config.place_of(&tpm(5).attester), None);
            }
        }
        let config =
            TpmConfig { places: directory.server().unwrap().tpm.unwrap().places, ..TpmConfig::new("/dev/tpmrm0") };
        assert_eq!(config.place_of(&tpm(5).attester), Some("/dev/tpmrm0"));
    }
}
