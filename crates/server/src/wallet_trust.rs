//! Whom the wallet page is told to trust: images of AWS Nitro enclaves by their registers, or software evidence on the word of a
//! development service. Never both, and nothing where the operator names nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most images or programs at once, as clients take them: a few releases and their patches.
const LISTED_MAX: usize = 64;
/// SHA-384 in hex, as `nitro-cli build-enclave` prints it.
const PCR_DIGITS: usize = 96;
/// SHA-256 in hex.
const MEASUREMENT_DIGITS: usize = 64;
/// Registers are numbered from 0 to this.
const PCR_LAST: u8 = 31;
/// The registers every image is known by have members of their own.
const MANDATORY_LAST: u8 = 2;

/// What an operator names for the wallet page. The page can be served by somebody else; what it believes is shown to its user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalletTrust {
    /// Images of AWS Nitro enclaves. Where there is one, no other evidence is accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nitro: Vec<TrustedImage>,
    /// With `development`: accept only these enclave programs, by their hashes in hex. Empty: whatever was built last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measurements: Vec<String>,
}

/// A trusted AWS Nitro image; every value in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedImage {
    /// The image file.
    pub pcr0: String,
    /// Kernel and boot ramdisk.
    pub pcr1: String,
    /// The application.
    pub pcr2: String,
    /// Further registers that must match, by number, like 3 (the IAM role) or 8 (the signing certificate).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub further: BTreeMap<String, String>,
}

/// A page that was told this would trust nothing, or not what is meant.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalletTrustError {
    /// Software evidence proves nothing: set `development = false`, or leave the images out.
    #[error("software evidence (development) is not accepted where a Nitro image is trusted")]
    Both,
    /// They name programs of software evidence, which only a development service gives.
    #[error("wallet_trust.measurements is for a development service")]
    Measurements,
    /// A page takes so many and no more.
    #[error("wallet_trust names more than {LISTED_MAX} images or programs")]
    TooMany,
    /// Copy it again from the release notes.
    #[error("wallet_trust: {0:?} is not {1} hex digits")]
    Hex(String, usize),
    /// Debug mode, or a register not in use.
    #[error("wallet_trust: PCR {0} is all zeros, which is debug mode or a register not in use")]
    Zero(String),
    /// Registers 0 to 2 are named by `pcr0`, `pcr1` and `pcr2`.
    #[error("wallet_trust: there is no further PCR {0:?}; they are numbered from 3 to 31")]
    Register(String),
}

impl WalletTrust {
    /// Checks that every page would read this as it is meant.
    ///
    /// # Errors
    /// The first [`WalletTrustError`] found.
    pub(crate) fn check(&self, development: bool) -> Result<(), WalletTrustError> {
        if development && !self.nitro.is_empty() {
            return Err(WalletTrustError::Both);
        }
        if !development && !self.measurements.is_empty() {
            return Err(WalletTrustError::Measurements);
        }
        if self.nitro.len() > LISTED_MAX || self.measurements.len() > LISTED_MAX {
            return Err(WalletTrustError::TooMany);
        }
        self.measurements.iter().try_for_each(|text| check_hex(text, MEASUREMENT_DIGITS))?;
        self.nitro.iter().try_for_each(TrustedImage::check)
    }

    /// What the page is told, beside `development`.
    pub(crate) fn told(&self) -> Told<'_> {
        Told { nitro: self.nitro.iter().map(TrustedImage::registers).collect(), measurements: &self.measurements }
    }

    /// True if nothing is named.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// As it stands in the page's settings: an image is its registers by number.
#[derive(Debug, Serialize)]
pub(crate) struct Told<'a> {
    pub(crate) nitro: Vec<BTreeMap<&'a str, &'a str>>,
    pub(crate) measurements: &'a [String],
}

impl TrustedImage {
    fn registers(&self) -> BTreeMap<&str, &str> {
        let mandatory = [("0", self.pcr0.as_str()), ("1", &self.pcr1), ("2", &self.pcr2)];
        let further = self.further.iter().map(|(number, value)| (number.as_str(), value.as_str()));
        mandatory.into_iter().chain(further).collect()
    }

    fn check(&self) -> Result<(), WalletTrustError> {
        if let Some(number) = self.further.keys().find(|number| !is_further(number)) {
            return Err(WalletTrustError::Register(number.clone()));
        }
        self.registers().into_iter().try_for_each(|(number, value)| {
            check_hex(value, PCR_DIGITS)?;
            match value.bytes().all(|digit| digit == b'0') {
                true => Err(WalletTrustError::Zero(number.to_owned())),
                false => Ok(()),
            }
        })
    }
}

/// A number in its one spelling, so that no register is named twice.
fn is_further(text: &str) -> bool {
    text.parse::<u8>()
        .is_ok_and(|number| (MANDATORY_LAST + 1..=PCR_LAST).contains(&number) && number.to_string() == text)
}

fn check_hex(text: &str, digits: usize) -> Result<(), WalletTrustError> {
    match text.len() == digits && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err(WalletTrustError::Hex(text.to_owned(), digits)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn image() -> TrustedImage {
        let pcr = |byte: &str| byte.repeat(PCR_DIGITS / 2);
        TrustedImage { pcr0: pcr("a0"), pcr1: pcr("A1"), pcr2: pcr("a2"), further: BTreeMap::new() }
    }

    fn nitro(image: TrustedImage) -> WalletTrust {
        WalletTrust { nitro: vec![image], measurements: Vec::new() }
    }

    #[test]
    fn an_image_is_its_registers_by_number() {
        let further = BTreeMap::from([("8".to_owned(), "a8".repeat(48))]);
        let trust = nitro(TrustedImage { further, ..image() });
        trust.check(false).unwrap();
        let told = serde_json::to_value(trust.told()).unwrap();
        let wanted = serde_json::json!({ "0": "a0".repeat(48), "1": "A1".repeat(48), "2": "a2".repeat(48), "8": "a8".repeat(48) });
        assert_eq!(told, serde_json::json!({ "nitro": [wanted], "measurements": [] }));
    }

    #[test]
    fn nothing_talks_a_page_down_from_hardware() {
        assert_eq!(nitro(image()).check(true), Err(WalletTrustError::Both));
        let listed = WalletTrust { nitro: Vec::new(), measurements: vec!["5c".repeat(32)] };
        listed.check(true).unwrap();
        assert_eq!(listed.check(false), Err(WalletTrustError::Measurements));
    }

    #[test]
    fn what_a_page_would_not_read_is_refused_before_it_is_served() {
        let refused = |image: TrustedImage| nitro(image).check(false).unwrap_err();
        let further = |number: &str, value: String| TrustedImage {
            further: BTreeMap::from([(number.to_owned(), value)]),
            ..image()
        };
        for text in ["", "a0", &"a0".repeat(49), &"g0".repeat(48), &format!("{}é", "a".repeat(94))] {
            let wrong = TrustedImage { pcr1: text.to_owned(), ..image() };
            assert_eq!(refused(wrong), WalletTrustError::Hex(text.to_owned(), PCR_DIGITS));
        }
        assert_eq!(refused(TrustedImage { pcr2: "00".repeat(48), ..image() }), WalletTrustError::Zero("2".into()));
        assert_eq!(refused(further("8", "00".repeat(48))), WalletTrustError::Zero("8".into()));
        for number in ["0", "2", "32", "08", "-1", "eight"] {
            assert_eq!(refused(further(number, "a8".repeat(48))), WalletTrustError::Register(number.into()));
        }
        let many = WalletTrust { nitro: vec![image(); LISTED_MAX + 1], measurements: Vec::new() };
        assert_eq!(many.check(false), Err(WalletTrustError::TooMany));
    }
}
