//! What a Nitro document must be, as a table: written from RFC 5280, AWS's text and the client's promises, and not from the verifier.

use std::collections::BTreeSet;

use super::{AGE_SECONDS_MAX, Case, Link, NONCE, Point, USER_DATA};
use pinseal_attestation::forge::NOW;

const DIGITAL_SIGNATURE: u16 = 0b1_0000_0000;
const KEY_CERT_SIGN: u16 = 0b0_0000_1000;
/// A minute of difference between clocks.
const SKEW: u64 = 60;

/// One certificate in its place.
struct Placed<'c> {
    this: &'c Link,
    /// The one before it; none for the root.
    before: Option<&'c Link>,
    /// How many issuers stand between it and the leaf; none for the leaf.
    issuers_below: Option<usize>,
}

impl Placed<'_> {
    fn has_usage(&self, bit: u16) -> bool {
        self.this.usage.is_some_and(|usage| usage & bit != 0)
    }

    fn path(&self) -> Option<u8> {
        self.this.constraints.and_then(|constraints| constraints.path)
    }
}

/// What each certificate must be.
type LinkRule = (&'static str, fn(&Placed<'_>) -> bool);

const LINK_RULES: &[LinkRule] = &[
    ("certificate_version", |at| at.this.version == 3),
    ("certificate_algorithm", |at| at.this.is_sha384 == [true, true]),
    ("certificate_key", |at| matches!(at.this.point, Point::Uncompressed | Point::OffTheCurve)),
    ("certificate_critical_extension", |at| at.this.unknown != Some(true)),
    ("certificate_duplicate_extension", |at| at.this.twice.is_none()),
    // A number of DER has a sign.
    ("certificate_malformed", |at| at.path().is_none_or(|path| path < 128)),
    ("certificate_self_issued", |at| at.before.is_none() || at.this.issuer != at.this.subject),
    ("certificate_issuer", |at| at.before.is_none_or(|before| at.this.issuer == before.subject)),
    ("certificate_signature", |at| {
        at.before.is_none_or(|before| {
            at.this.signer == before.key && before.point != Point::OffTheCurve && !at.this.is_signature_spoilt
        })
    }),
    ("certificate_not_yet_valid", |at| at.this.from <= SKEW as i64),
    ("certificate_expired", |at| at.this.to >= 0),
    ("certificate_basic_constraints", |at| match (at.issuers_below, at.this.constraints) {
        (_, None) => false,
        (Some(_), Some(said)) => said.is_critical && said.is_ca,
        (None, Some(said)) => !said.is_ca && said.path.is_none(),
    }),
    ("certificate_path_length", |at| match (at.issuers_below, at.path()) {
        (Some(issuers), Some(most)) => issuers <= usize::from(most),
        _ => true,
    }),
    ("certificate_key_usage", |at| match at.issuers_below {
        Some(_) => at.has_usage(KEY_CERT_SIGN),
        None => at.has_usage(DIGITAL_SIGNATURE) && !at.has_usage(KEY_CERT_SIGN),
    }),
];

/// What a genuine document must be besides; the lengths are those of its certificates.
type DocumentRule = (&'static str, fn(&Case, &[usize]) -> bool);

const DOCUMENT_RULES: &[DocumentRule] = &[
    ("root_unknown", |case, _| case.order.first() == Some(&case.pinned)),
    ("field_invalid", |case, bytes| {
        let is_short = |field: &Option<Vec<u8>>| field.as_ref().is_none_or(|bytes| bytes.len() <= 512);
        (2..=8).contains(&bytes.len())
            && bytes.iter().all(|bytes| (1..=1024).contains(bytes))
            && (1..=256).contains(&case.module_id_bytes)
            && case.public_key_bytes.is_none_or(|bytes| (1..=1024).contains(&bytes))
            && is_short(&case.user_data)
            && is_short(&case.nonce)
            && case.milliseconds > 0
            && (1..=32).contains(&case.pcrs.len())
            && case.pcrs.iter().all(|(index, value)| *index < 32 && [32, 48, 64].contains(&value.len()))
    }),
    ("field_duplicate", |case, _| {
        let indices: BTreeSet<u64> = case.pcrs.iter().map(|(index, _)| *index).collect();
        indices.len() == case.pcrs.len()
    }),
    ("field_unknown", |case, _| !case.has_unknown_field),
    ("digest_unknown", |case, _| case.digest == "SHA384"),
    ("signature_wrong", |case, _| {
        let leaf = case.order.last().map(|place| &case.links[*place]);
        leaf.is_some_and(|leaf| leaf.key == case.signer && leaf.point != Point::OffTheCurve)
            && !case.is_signature_spoilt
    }),
];

/// What a genuine document must be to be evidence for this client.
type EvidenceRule = (&'static str, fn(&Case) -> bool);

const EVIDENCE_RULES: &[EvidenceRule] = &[
    ("user_data_missing", |case| case.user_data.is_some()),
    ("user_data_wrong", |case| case.user_data.as_ref().is_none_or(|said| *said == USER_DATA)),
    ("nonce_missing", |case| case.nonce.is_some()),
    ("nonce_wrong", |case| case.nonce.as_ref().is_none_or(|said| *said == NONCE)),
    ("from_the_future", |case| case.milliseconds / 1000 <= NOW + SKEW),
    ("too_old", |case| case.milliseconds / 1000 >= NOW - AGE_SECONDS_MAX),
    ("pcr_missing", |case| (0..3).all(|index| pcr(case, index).is_some())),
    ("debug_mode", |case| (0..3).all(|index| pcr(case, index).is_none_or(|value| value.iter().any(|byte| *byte != 0)))),
    ("image_not_trusted", |case| {
        let is_it = |image: &Vec<(u8, [u8; 48])>| {
            image.iter().all(|(index, value)| pcr(case, u64::from(*index)) == Some(value.as_slice()))
        };
        case.images.iter().any(is_it)
    }),
];

fn pcr(case: &Case, index: u64) -> Option<&[u8]> {
    case.pcrs.iter().find(|(number, _)| *number == index).map(|(_, value)| value.as_slice())
}

/// The rules that a case breaks.
#[derive(Debug)]
pub(super) struct Broken {
    document: Vec<(Option<u8>, &'static str)>,
    evidence: Vec<&'static str>,
}

impl Broken {
    /// Every rule that `case` breaks, where its certificates are so long.
    pub(super) fn by(case: &Case, bytes: &[usize]) -> Self {
        let rules = DOCUMENT_RULES.iter().filter(|(_, holds)| !holds(case, bytes));
        let mut document: Vec<_> = rules.map(|(code, _)| (None, *code)).collect();
        for (place, link) in case.order.iter().enumerate() {
            let following = case.order.len() - 1 - place;
            let placed = Placed {
                this: &case.links[*link],
                before: place.checked_sub(1).map(|before| &case.links[case.order[before]]),
                issuers_below: following.checked_sub(1),
            };
            let rules = LINK_RULES.iter().filter(|(_, holds)| !holds(&placed));
            document.extend(rules.map(|(code, _)| (Some(place as u8), *code)));
        }
        let evidence = EVIDENCE_RULES.iter().filter(|(_, holds)| !holds(case)).map(|(code, _)| *code).collect();
        Self { document, evidence }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.document.is_empty() && self.evidence.is_empty()
    }

    /// Those of a genuine document: place of the certificate, and code.
    pub(super) fn of_document(&self) -> &[(Option<u8>, &'static str)] {
        &self.document
    }

    /// Those of evidence, by code.
    pub(super) fn of_evidence(&self) -> &[&'static str] {
        &self.evidence
    }
}

/// Every rule there is, by code.
#[cfg(test)]
pub(super) fn codes() -> BTreeSet<&'static str> {
    let links = LINK_RULES.iter().map(|(code, _)| *code);
    links
        .chain(DOCUMENT_RULES.iter().map(|(code, _)| *code))
        .chain(EVIDENCE_RULES.iter().map(|(code, _)| *code))
        .collect()
}
