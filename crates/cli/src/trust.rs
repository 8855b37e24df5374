//! What a client command trusts: software evidence on somebody's word, or AWS Nitro images by their registers. Never both.

use std::collections::BTreeMap;

use pinseal_attestation::verify::nitro::{NitroImage, NitroImages, Pcr, PcrIndex};
use pinseal_attestation::verify::{DevelopmentMeasurements, DevelopmentMode, MeasurementList, Policy};
use pinseal_protocol::ids::Measurement;
use serde::{Deserialize, Serialize};

use crate::args::NitroArgs;
use crate::failure::{Exit, Failure, Outcome};
use crate::profile::Service;

/// A trusted AWS Nitro image as a profile remembers it; every value in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NitroSetting {
    pcr0: String,
    pcr1: String,
    pcr2: String,
    /// Further registers that must match, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    further: BTreeMap<u8, String>,
}

impl NitroSetting {
    fn image(&self) -> Outcome<NitroImage> {
        let refused = |error: pinseal_attestation::verify::nitro::NitroImageError| Failure::usage(error.to_string());
        let image = NitroImage::new(pcr("--pcr0", &self.pcr0)?, pcr("--pcr1", &self.pcr1)?, pcr("--pcr2", &self.pcr2)?);
        self.further.iter().try_fold(image.map_err(refused)?, |image, (number, value)| {
            let index = PcrIndex::new(u64::from(*number))
                .ok_or_else(|| Failure::usage(format!("there is no PCR {number}; they are numbered from 0 to 31")))?;
            image.and(index, pcr("--pcr", value)?).map_err(refused)
        })
    }
}

/// The images that the command line names; none if it names none.
///
/// # Errors
/// A value is mistyped, or a register of an image is missing.
pub(crate) fn asked(arguments: &NitroArgs) -> Outcome<Vec<NitroSetting>> {
    let (zero, one, two) = (&arguments.pcr0, &arguments.pcr1, &arguments.pcr2);
    if zero.len() != one.len() || zero.len() != two.len() {
        return Err(Failure::usage("--pcr0, --pcr1 and --pcr2 go together, each once for every image"));
    }
    if zero.is_empty() && !arguments.pcr.is_empty() {
        return Err(Failure::usage("--pcr adds to an image: give --pcr0, --pcr1 and --pcr2 as well"));
    }
    let mut further = BTreeMap::new();
    for text in &arguments.pcr {
        let (number, value) = text
            .split_once('=')
            .and_then(|(number, value)| Some((number.parse::<u8>().ok()?, value.to_owned())))
            .ok_or_else(|| Failure::usage(format!("`{text}` is not of the form 8=HEX")))?;
        if further.insert(number, value).is_some() {
            return Err(Failure::usage(format!("PCR {number} is named twice")));
        }
    }
    let images = zero.iter().zip(one).zip(two);
    let settings: Vec<NitroSetting> = images
        .map(|((pcr0, pcr1), pcr2)| NitroSetting {
            pcr0: pcr0.clone(),
            pcr1: pcr1.clone(),
            pcr2: pcr2.clone(),
            further: further.clone(),
        })
        .collect();
    if !settings.is_empty() {
        images_of(&settings)?;
    }
    Ok(settings)
}

/// The images that these settings stand for.
///
/// # Errors
/// There are none, too many, or one is not an image.
pub(crate) fn images_of(settings: &[NitroSetting]) -> Outcome<NitroImages> {
    let images = settings.iter().map(NitroSetting::image).collect::<Outcome<Vec<_>>>()?;
    NitroImages::new(images).map_err(|error| Failure::usage(error.to_string()))
}

/// The policy of a service's profile.
///
/// # Errors
/// Nothing is trusted, or both kinds are.
pub(crate) fn policy(service: &Service) -> Outcome<Policy> {
    let listed = service
        .measurements
        .iter()
        .map(|text| {
            Measurement::from_hex(text)
                .ok_or_else(|| Failure::usage(format!("`{text}` is no measurement: 64 hex digits are expected")))
        })
        .collect::<Outcome<Vec<_>>>()?;
    match (service.development, service.nitro.is_empty()) {
        (true, false) => Err(both()),
        (false, false) => Ok(Policy::nitro(images_of(&service.nitro)?)),
        (true, true) => {
            let measurements = if listed.is_empty() {
                DevelopmentMeasurements::Any
            } else {
                let list = MeasurementList::new(listed).map_err(|error| Failure::usage(error.to_string()))?;
                DevelopmentMeasurements::Listed(list)
            };
            Ok(Policy::development(DevelopmentMode::i_understand_this_proves_nothing(), measurements))
        }
        (false, true) => {
            Err(Failure::new(Exit::NotTrusted, "nothing_trusted", "no enclave image is trusted yet").advise(
                "give --pcr0, --pcr1 and --pcr2 from the release notes, or --development if this is your own test system",
            ))
        }
    }
}

/// Development mode where a Nitro image is trusted.
pub(crate) fn both() -> Failure {
    Failure::usage("software evidence is not accepted where a Nitro image is trusted")
        .advise("leave out --development, or use another profile for a test system: --profile NAME")
}

fn pcr(flag: &str, text: &str) -> Outcome<Pcr> {
    Pcr::from_hex(text).ok_or_else(|| Failure::usage(format!("{flag}: `{text}` is no PCR: 96 hex digits are expected")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use pinseal_client::SecretText;

    use super::*;

    fn hex(byte: &str) -> String {
        byte.repeat(48)
    }

    fn arguments(pcr0: &[&str], pcr1: &[&str], pcr2: &[&str], pcr: &[String]) -> NitroArgs {
        let own = |values: &[&str]| values.iter().map(|byte| hex(byte)).collect();
        NitroArgs { pcr0: own(pcr0), pcr1: own(pcr1), pcr2: own(pcr2), pcr: pcr.to_vec() }
    }

    fn service(development: bool, measurements: &[String], nitro: Vec<NitroSetting>) -> Service {
        Service {
            server: "https://a".into(),
            app_id: "a".into(),
            app_key: SecretText::new("k".into()),
            development,
            measurements: measurements.to_vec(),
            nitro,
        }
    }

    #[test]
    fn an_image_is_named_by_three_registers_or_not_at_all() {
        assert_eq!(asked(&arguments(&[], &[], &[], &[])).unwrap(), Vec::new());
        assert_eq!(asked(&arguments(&["a0"], &["a1"], &["a2"], &[])).unwrap().len(), 1);
        assert_eq!(asked(&arguments(&["a0", "b0"], &["a1", "b1"], &["a2", "b2"], &[])).unwrap().len(), 2);
        for wrong in [
            arguments(&["a0"], &[], &["a2"], &[]),
            arguments(&["a0", "b0"], &["a1"], &["a2"], &[]),
            arguments(&[], &[], &[], &[format!("8={}", hex("a8"))]),
            // Debug mode; no hex; a register twice, of none, of the three.
            arguments(&["00"], &["a1"], &["a2"], &[]),
            arguments(&["xy"], &["a1"], &["a2"], &[]),
            arguments(&["a0"], &["a1"], &["a2"], &[format!("8={}", hex("a8")), format!("8={}", hex("a8"))]),
            arguments(&["a0"], &["a1"], &["a2"], &[format!("32={}", hex("a8"))]),
            arguments(&["a0"], &["a1"], &["a2"], &[format!("1={}", hex("a8"))]),
            arguments(&["a0"], &["a1"], &["a2"], &["8".to_owned()]),
        ] {
            assert_eq!(asked(&wrong).unwrap_err().exit, Exit::Usage, "{wrong:?}");
        }
        let signed = asked(&arguments(&["a0"], &["a1"], &["a2"], &[format!("8={}", hex("a8"))])).unwrap();
        assert_eq!(images_of(&signed).unwrap().iter().next().unwrap().pcrs().count(), 4);
    }

    #[test]
    fn a_profile_trusts_one_kind_of_evidence_or_nothing() {
        let nitro = || asked(&arguments(&["a0"], &["a1"], &["a2"], &[])).unwrap();
        let refused = |service: Service| policy(&service).map(drop).unwrap_err().exit;
        assert_eq!(refused(service(false, &[], Vec::new())), Exit::NotTrusted);
        // A measurement narrows development mode and is no trust of its own.
        assert_eq!(refused(service(false, &["ab".repeat(32)], Vec::new())), Exit::NotTrusted);
        assert_eq!(refused(service(false, &["ab".to_owned()], nitro())), Exit::Usage);
        assert_eq!(refused(service(true, &[], nitro())), Exit::Usage);
        assert_eq!(refused(service(true, &vec!["ab".repeat(32); 65], Vec::new())), Exit::Usage);
        assert!(policy(&service(false, &[], nitro())).is_ok());
        assert!(policy(&service(true, &[], Vec::new())).is_ok());
        assert!(policy(&service(true, &["ab".repeat(32)], Vec::new())).is_ok());
    }

    #[test]
    fn a_remembered_image_comes_back_whole() {
        let signed = asked(&arguments(&["a0"], &["a1"], &["a2"], &[format!("8={}", hex("a8"))])).unwrap();
        let text = serde_json::to_string(&signed).unwrap();
        assert_eq!(serde_json::from_str::<Vec<NitroSetting>>(&text).unwrap(), signed);
        assert!(serde_json::from_str::<NitroSetting>(r#"{"pcr0":"a0","pcr1":"a1"}"#).is_err());
    }
}
