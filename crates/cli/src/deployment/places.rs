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

    /// Sees whether the settings can take them.
    ///
    /// # Errors
    /// They cannot.
    pub(crate) fn fit(&self, directory: &HostDir) -> Outcome {
        if self == &Self::default() { Ok(()) } else { self.added_to(&settings(directory)?).map(drop) }
    }

    /// Keeps them beside the settings, after it was seen that the settings can take them later.
    ///
    /// # Errors
    /// The settings cannot be added to, or the file cannot be written; nothing was written.
    pub(crate) fn keep(&self, directory: &HostDir, files: &Deployment) -> Outcome {
        if self == &Self::default() {
            return Ok(());
        }
        self.fit(directory)?;
        let text = self.written()?;
        files
            .write_new(DeploymentFile::NextPlaces, text.as_bytes())
            .map_err(|error| Failure::failed("file", chain(&error)))
    }

    /// What is kept there, nothing if nothing is.
    fn kept(files: &Deployment) -> Outcome<Self> {
        let kept = files.read(DeploymentFile::NextPlaces).map_err(|error| Failure::failed("file", chain(&error)))?;
        let Some(kept) = kept else { return Ok(Self::default()) };
        Self::read(&kept).map_err(|reason| {
            let path = files.path(DeploymentFile::NextPlaces);
            Failure::failed("configuration", format!("{} is not understood: {reason}", path.display()))
                .advise("mend the file: `witnesses` and `tpms`, each a table of names and places")
        })
    }

    fn written(&self) -> Outcome<String> {
        toml::to_string(self)
            .map_err(|error| Failure::failed("configuration", format!("places cannot be written: {error}")))
    }

    fn read(kept: &[u8]) -> Result<Self, String> {
        let text = core::str::from_utf8(kept).map_err(|error| error.to_string())?;
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// Makes settings that have been read know them.
    fn extend(self, config: &mut Config) {
        config.witnesses.extend(self.witnesses);
        if !self.tpms.is_empty() {
            config.tpm.get_or_insert_with(|| TpmConfig::new("")).places.extend(self.tpms);
        }
    }

    /// The same, of settings that are had.
    pub(crate) fn added(self, mut config: Config) -> Config {
        self.extend(&mut config);
        config
    }

    /// These settings with them, and nothing else of them changed.
    fn added_to(&self, text: &str) -> Outcome<String> {
        let lines = |places: &BTreeMap<String, String>| -> Vec<_> {
            places.iter().map(|(name, place)| (name.clone(), place.clone())).collect()
        };
        let added = with_lines(text, WITNESSES, &lines(&self.witnesses));
        let added = with_lines(&added, TPMS, &lines(&self.tpms));
        let read = |text: &str| {
            toml::from_str::<Config>(text).map_err(|error| {
                Failure::failed("configuration", format!("{SERVER_FILE} cannot be added to: {error}")).advise(format!(
                    "add what is missing under {WITNESSES} or {TPMS} by hand, then run the command again"
                ))
            })
        };
        let mut expected = read(text)?;
        self.clone().extend(&mut expected);
        if is_same(&read(&added)?, &expected) {
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
pub(crate) fn ahead(config: Config, files: &Deployment) -> Outcome<Config> {
    Ok(Places::kept(files)?.added(config))
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

/// The settings without lines for witnesses that `next` does not name; as they are, where more than those would go with the lines.
fn without_strangers(text: &str, next: Option<&Configuration>) -> String {
    let read = |text: &str| toml::from_str::<Config>(text).ok();
    let (Some(quorum), Some(config)) = (next.and_then(|next| next.witnesses.as_ref()), read(text)) else {
        return text.to_owned();
    };
    let is_named = |name: &String| quorum.witnesses.iter().any(|witness| witness.name == *name);
    let strangers: Vec<_> = config.witnesses.keys().filter(|name| !is_named(name)).cloned().collect();
    let kept = text.lines().filter(|line| !strangers.iter().any(|name| is_of(line, name)));
    let without = kept.map(|line| format!("{line}\n")).collect::<String>();
    let mut expected = config;
    expected.witnesses.retain(|name, _| is_named(name));
    if read(&without).is_some_and(|read| is_same(&read, &expected)) { without } else { text.to_owned() }
}

/// True if the two say the same.
fn is_same(one: &Config, other: &Config) -> bool {
    let value = |config: &Config| toml::Value::try_from(config).ok();
    value(one).is_some_and(|one| Some(one) == value(other))
}

fn settings(directory: &HostDir) -> Outcome<String> {
    Ok(data_dir::read(&directory.path().join(SERVER_FILE))?.unwrap_or_default())
}

/// True for a line that says something of that name.
fn is_of(line: &str, name: &str) -> bool {
    let rest = line.trim_start().strip_prefix(&toml::Value::from(name).to_string());
    rest.is_some_and(|rest| rest.trim_start().starts_with('='))
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
    use proptest::prelude::*;

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
        // A name that has the sign in it.
        let odd = with(text, &[("w.test/a=b", "https://a.test")]);
        assert_eq!(with(&odd, &[("w.test/a=b", "https://b.test")]), odd.replace("https://a.test", "https://b.test"));
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

    /// Names and places as commands take them, and any text.
    fn table() -> impl Strategy<Value = BTreeMap<String, String>> {
        let name = prop_oneof![3 => "w\\.test/[a-c]", 1 => any::<String>()];
        let place = prop_oneof![3 => "https://[a-c]\\.test", 1 => any::<String>()];
        prop::collection::btree_map(name, place, 0..4)
    }

    fn places() -> impl Strategy<Value = Places> {
        (table(), table()).prop_map(|(witnesses, tpms)| Places { witnesses, tpms })
    }

    /// Settings as an operator may have left them: tables in any order, the same names in several of them, comments, texts of several lines.
    fn edited() -> impl Strategy<Value = String> {
        let line =
            || prop_oneof![4 => "\"w\\.test/[a-c]\" = \"https://[a-c]\\.test\"", 1 => "# \"w\\.test/[a-c]\" = \"x\""];
        let lines = move || prop::collection::vec(line(), 0..3).prop_map(|lines| lines.join("\n"));
        let witnesses = lines().prop_map(|lines| format!("[witnesses]\n{lines}"));
        let tpms = lines().prop_map(|lines| format!("[tpm.places]\n{lines}"));
        let mail = lines().prop_map(|lines| format!("[mail]\nfrom = \"\"\"\n{lines}\n\"\"\""));
        let tables = (witnesses, tpms, mail).prop_map(|(witnesses, tpms, mail)| vec![witnesses, tpms, mail]);
        let junk = prop::option::weighted(0.1, any::<String>());
        (tables.prop_shuffle(), 0..4_usize, junk).prop_map(|(tables, count, junk)| {
            let tables = tables.get(..count).unwrap_or_default().join("\n");
            let junk = junk.unwrap_or_default();
            format!("deployment = \"00\"\nissuer_key_file = \"k\"\n{tables}\n{junk}\n")
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn places_are_read_as_they_were_written(places in places()) {
            prop_assert_eq!(Places::read(places.written().unwrap().as_bytes()), Ok(places));
        }

        #[test]
        fn whatever_lies_in_the_file_is_read_as_it_stands_or_not_at_all(
            places in places(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            other in prop::option::weighted(0.2, prop::collection::vec(any::<u8>(), 0..200)),
        ) {
            let mut kept = places.written().unwrap().into_bytes();
            for (place, value) in edits.into_iter().filter(|_| !places.witnesses.is_empty()) {
                let at = place.index(kept.len());
                kept[at] = value;
            }
            let kept = other.unwrap_or(kept);
            if let Ok(read) = Places::read(&kept) {
                prop_assert!(core::str::from_utf8(&kept).is_ok());
                prop_assert_eq!(Places::read(read.written().unwrap().as_bytes()), Ok(read));
            }
        }

        #[test]
        fn settings_get_these_places_and_lose_nothing_else_or_stay_as_they_are(text in edited(), places in places()) {
            let Ok(before) = toml::from_str::<Config>(&text) else {
                prop_assert!(places.added_to(&text).is_err());
                return Ok(());
            };
            let Ok(added) = places.added_to(&text) else { return Ok(()) };
            let after: Config = toml::from_str(&added).unwrap();
            let mut witnesses = before.witnesses.clone();
            witnesses.extend(places.witnesses.clone());
            let there = |config: &Config| config.tpm.clone().map(|tpm| tpm.places).unwrap_or_default();
            let mut tpms = there(&before);
            tpms.extend(places.tpms.clone());
            prop_assert_eq!(&after.witnesses, &witnesses);
            prop_assert_eq!(there(&after), tpms);
            prop_assert_eq!(&after.mail.from, &before.mail.from);
            prop_assert_eq!(&after.deployment, &before.deployment);
            let is_comment = |line: &&str| line.trim_start().starts_with('#');
            prop_assert!(text.lines().filter(is_comment).all(|line| added.lines().any(|there| there == line)));
            // Once more it changes nothing.
            prop_assert_eq!(places.added_to(&added).ok(), Some(added));
        }

        #[test]
        fn a_witness_that_goes_takes_nothing_with_it(text in edited(), stays in "w\\.test/[a-c]") {
            let mut next = configuration();
            let one = Witness { name: stays, key: Ed25519Public([7; 32]) };
            next.witnesses = Some(Quorum { required: 1, witnesses: vec![one.clone()] });
            let after = without_strangers(&text, Some(&next));
            let Ok(before) = toml::from_str::<Config>(&text) else {
                prop_assert_eq!(after, text);
                return Ok(());
            };
            let config: Config = toml::from_str(&after).unwrap();
            prop_assert_eq!(&config.tpm, &before.tpm);
            prop_assert_eq!(&config.mail.from, &before.mail.from);
            prop_assert_eq!(config.witnesses.get(&one.name), before.witnesses.get(&one.name));
            prop_assert!(config.witnesses.iter().all(|(name, url)| before.witnesses.get(name) == Some(url)));
        }
    }

    /// Of a fresh deployment.
    fn configuration() -> Configuration {
        static MADE: std::sync::LazyLock<Configuration> = std::sync::LazyLock::new(|| {
            let (_scratch, _, files) = fresh();
            pinseal_host::configuration(&files).unwrap().unwrap()
        });
        MADE.clone()
    }
}
