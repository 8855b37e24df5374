//! Nitro evidence under a root of the harness's own, so that every rule can be reached: whatever is bent is signed again.

mod bends;
mod rules;

use pinseal_attestation::forge::{
    self, BASIC_CONSTRAINTS, Certificate, Ext, KEY_USAGE, KEYS, NOW, P384, Plan, basic_constraints, key_info, name,
    sequence, time, tlv,
};
use pinseal_attestation::verify::nitro::{NitroImage, NitroImages, NitroRoot, Pcr, PcrIndex, authenticate};
use pinseal_attestation::verify::{
    DevelopmentMeasurements, DevelopmentMode, Expected, NITRO_TEST_STATEMENT, NitroError, Policy, VerifyError, verify,
};
use pinseal_attestation::{Document, EvidenceKind};
use pinseal_protocol::cbor;
use pinseal_protocol::ids::{Hash32, Nonce, UnixSeconds};
use sha2::{Digest as _, Sha256};

pub(crate) use bends::seeds;
use rules::Broken;

const USER_DATA: [u8; 32] = [2; 32];
const NONCE: [u8; 32] = [3; 32];
/// Short, so that a byte's worth of seconds goes past it in both directions.
const AGE_SECONDS_MAX: u64 = 100;
const EXPECTED: Expected = Expected {
    user_data: Hash32(USER_DATA),
    nonce: Nonce(NONCE),
    now: UnixSeconds(NOW),
    age_seconds_max: AGE_SECONDS_MAX,
};
/// Issuers below the root, at most: with root and leaf one certificate more than a chain may have.
const ISSUERS_MAX: usize = 7;

/// What one certificate says and who signed it, as drawn; the DER is made of this, and the rules judge this.
#[derive(Debug, Clone)]
struct Link {
    /// Number in the subject's name.
    subject: u8,
    issuer: u8,
    /// Key it is signed with, and key in it.
    signer: u8,
    key: u8,
    /// Seconds after [`NOW`].
    from: i64,
    to: i64,
    constraints: Option<Constraints>,
    /// The nine bits of RFC 5280, digitalSignature the highest.
    usage: Option<u16>,
    point: Point,
    /// 1 to 3.
    version: u8,
    /// Inside the signature and outside: false for ECDSA with SHA-256.
    is_sha384: [bool; 2],
    /// An extension that nobody knows: critical or not.
    unknown: Option<bool>,
    /// Which of its extensions is there twice.
    twice: Option<u8>,
    /// Bytes of an extension that only takes room.
    padding: usize,
    is_signature_spoilt: bool,
}

#[derive(Debug, Clone, Copy)]
struct Constraints {
    is_critical: bool,
    is_ca: bool,
    path: Option<u8>,
}

/// How the public key is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Uncompressed,
    Compressed,
    OtherCurve,
    OffTheCurve,
}

/// A whole document, as drawn, and what the client trusts.
#[derive(Debug, Clone)]
struct Case {
    /// As they were issued: root, issuers, leaf.
    links: Vec<Link>,
    /// Which of them go into the document, in which order.
    order: Vec<usize>,
    /// Which of them the client has pinned.
    pinned: usize,
    signer: u8,
    is_signature_spoilt: bool,
    digest: &'static str,
    module_id_bytes: usize,
    public_key_bytes: Option<usize>,
    has_unknown_field: bool,
    user_data: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    milliseconds: u64,
    pcrs: Vec<(u64, Vec<u8>)>,
    /// Registers by number, of each trusted image.
    images: Vec<Vec<(u8, [u8; 48])>>,
}

impl Case {
    /// A good one: root, `issuers` below it, leaf, each allowing as many as follow.
    fn good(issuers: usize) -> Self {
        let last = issuers + 1;
        let link = |place: usize| {
            let number = place as u8;
            let path = (place > 0 && place < last).then(|| (last - 1 - place) as u8);
            Link {
                subject: number,
                issuer: number.saturating_sub(1),
                signer: number.saturating_sub(1),
                key: number,
                from: -3600,
                to: 3600,
                constraints: Some(Constraints { is_critical: true, is_ca: place != last, path }),
                usage: Some(if place == last { 0b1_1000_0000 } else { 0b1_0000_1100 }),
                point: Point::Uncompressed,
                version: 3,
                is_sha384: [true; 2],
                unknown: None,
                twice: None,
                padding: 0,
                is_signature_spoilt: false,
            }
        };
        Self {
            links: (0..=last).map(link).collect(),
            order: (0..=last).collect(),
            pinned: 0,
            signer: last as u8,
            is_signature_spoilt: false,
            digest: "SHA384",
            module_id_bytes: 39,
            public_key_bytes: None,
            has_unknown_field: false,
            user_data: Some(USER_DATA.to_vec()),
            nonce: Some(NONCE.to_vec()),
            milliseconds: NOW * 1000,
            pcrs: (0..16).map(|index| (index, vec![if index < 3 { 0xa0 + index as u8 } else { 0 }; 48])).collect(),
            images: vec![(0..3).map(|index| (index, [0xa0 + index; 48])).collect()],
        }
    }

    /// Certificates, and the document that holds those of `order`.
    fn forged(&self) -> Forged {
        let mut plan = Plan::new(self.links.len() - 2);
        for (link, certificate) in self.links.iter().zip(&mut plan.certificates) {
            link.write(certificate);
        }
        plan.build();
        let issued = std::mem::take(&mut plan.built);
        plan.built = self.order.iter().map(|place| issued[*place].clone()).collect();
        let root = NitroRoot::made_for_a_test(Sha256::digest(&issued[self.pinned]).into());
        plan.signer = usize::from(self.signer);
        plan.user_data.clone_from(&self.user_data);
        plan.nonce.clone_from(&self.nonce);
        plan.milliseconds = self.milliseconds;
        let case = self.clone();
        plan.bend = Box::new(move |fields| case.write(fields));
        let mut cose = plan.document();
        if self.is_signature_spoilt
            && let Some(last) = cose.last_mut()
        {
            *last ^= 1;
        }
        Forged { root, cose, bytes: plan.built.iter().map(Vec::len).collect() }
    }

    /// The fields that are no field of a plan.
    fn write(&self, fields: &mut forge::Fields) {
        let mut set = |key: &str, value: Vec<u8>| {
            let place = fields.iter().position(|(name, _)| *name == forge::text(key)).expect("a document has it");
            fields[place].1 = value;
        };
        set("module_id", forge::text(&"i".repeat(self.module_id_bytes)));
        set("digest", forge::text(self.digest));
        if let Some(bytes) = self.public_key_bytes {
            set("public_key", forge::bytes(&vec![7; bytes]));
        }
        let pcrs: Vec<_> =
            self.pcrs.iter().map(|(index, value)| (forge::unsigned(*index), forge::bytes(value))).collect();
        set("pcrs", forge::map(&pcrs));
        if self.has_unknown_field {
            fields.push((forge::text("debug"), vec![0xf5]));
        }
    }

    fn images(&self) -> NitroImages {
        let image = |registers: &Vec<(u8, [u8; 48])>| {
            let [pcr0, pcr1, pcr2] = [0, 1, 2].map(|place: usize| Pcr::new(registers[place].1));
            registers[3..].iter().fold(NitroImage::new(pcr0, pcr1, pcr2).expect("no zeros"), |image, (index, value)| {
                let index = PcrIndex::new(u64::from(*index)).expect("a register there is");
                image.and(index, Pcr::new(*value)).expect("each is named once, and not zero")
            })
        };
        NitroImages::new(self.images.iter().map(image).collect()).expect("one to a few images")
    }
}

/// A case in bytes.
struct Forged {
    root: NitroRoot,
    cose: Vec<u8>,
    /// Lengths of the certificates, in the document's order.
    bytes: Vec<usize>,
}

impl Link {
    fn write(&self, certificate: &mut Certificate) {
        certificate.subject = name(usize::from(self.subject));
        certificate.issuer = name(usize::from(self.issuer));
        certificate.signer = usize::from(self.signer);
        certificate.key_info = self.key_info();
        certificate.not_before = time(NOW.saturating_add_signed(self.from));
        certificate.not_after = time(NOW.saturating_add_signed(self.to));
        certificate.version = if self.version == 1 { Vec::new() } else { tlv(0xa0, &tlv(2, &[self.version - 1])) };
        let [inside, outside] = self.is_sha384.map(|is_sha384| {
            // ecdsa-with-SHA256 is the number before ecdsa-with-SHA384.
            sequence(&[&tlv(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, if is_sha384 { 3 } else { 2 }])])
        });
        (certificate.inner_algorithm, certificate.outer_algorithm) = (inside, outside);
        certificate.extensions = self.extensions();
        if self.is_signature_spoilt {
            certificate.signature = |mut bits| {
                if let Some(last) = bits.last_mut() {
                    *last ^= 1;
                }
                bits
            };
        }
    }

    fn key_info(&self) -> Vec<u8> {
        let point = KEYS[usize::from(self.key)].public();
        match self.point {
            Point::Uncompressed => key_info(P384, point),
            Point::Compressed => key_info(P384, &[&[2 + (point[96] & 1)], &point[1..49]].concat()),
            Point::OtherCurve => key_info(&[0x2b, 0x81, 0x04, 0x00, 0x23], point),
            Point::OffTheCurve => key_info(P384, &[&point[..96], &[point[96] ^ 1]].concat()),
        }
    }

    fn extensions(&self) -> Vec<Ext> {
        let mut out = vec![Ext::new(&[0x55, 0x1d, 0x0e], false, tlv(4, &[self.key; 20]))];
        if let Some(constraints) = self.constraints {
            let value = basic_constraints(constraints.is_ca, constraints.path);
            out.push(Ext::new(BASIC_CONSTRAINTS, constraints.is_critical, value));
        }
        if let Some(usage) = self.usage {
            // A bit string of named bits ends with the last one that is set (X.680, 22.7).
            let bits = usage << 7;
            let unused = bits.trailing_zeros().min(16) as u8;
            let bytes = bits.to_be_bytes();
            let value = [&[unused % 8][..], &bytes[..2 - usize::from(unused / 8)]].concat();
            out.push(Ext::new(KEY_USAGE, true, tlv(3, &value)));
        }
        if let Some(is_critical) = self.unknown {
            out.push(Ext::new(&[0x55, 0x1d, 0x1e], is_critical, tlv(0x30, &[])));
        }
        if self.padding > 0 {
            out.push(Ext::new(&[0x55, 0x1d, 0x1f], false, vec![0; self.padding]));
        }
        if let Some(place) = self.twice {
            let Ext { oid, critical, value } = &out[usize::from(place) % out.len()];
            let again = Ext { oid: oid.clone(), critical: critical.clone(), value: value.clone() };
            out.push(again);
        }
        out
    }
}

/// Chains and documents field by field, signed by the keys that the input names, under a root made for this: accepted exactly when the table
/// of rules says so, refused for a rule that is broken, at the certificate that breaks it.
pub fn nitro_chain(data: &[u8]) {
    let case = bends::drawn(data);
    let Forged { root, cose, bytes } = case.forged();
    let broken = Broken::by(&case, &bytes);

    let authentic = authenticate(&cose, &root, UnixSeconds(NOW));
    match &authentic {
        Ok(document) => {
            assert!(broken.of_document().is_empty(), "authentic, although {:?}: {case:?}", broken.of_document());
            assert_eq!((&document.user_data, &document.nonce), (&case.user_data, &case.nonce));
            assert_eq!(document.time_milliseconds, case.milliseconds);
            let said: Vec<(u64, &Vec<u8>)> = case.pcrs.iter().map(|(index, value)| (*index, value)).collect();
            let read = document.pcrs.iter().map(|(index, value)| (u64::from(index.value()), value));
            assert!(read.eq(said), "registers in the order of their numbers: {case:?}");
        }
        Err(error) => blamed(broken.of_document(), error, &case),
    }

    let evidence = cbor::to_vec(&Document::Nitro { cose });
    match verify(&evidence, &Policy::nitro_under_test_root(case.images(), root), &EXPECTED) {
        Ok(verified) => {
            assert!(broken.is_empty(), "accepted, although {broken:?}: {case:?}");
            assert_eq!((verified.kind, verified.statement), (EvidenceKind::Nitro, NITRO_TEST_STATEMENT));
            assert_eq!(verified.time.0, case.milliseconds / 1000);
            assert_eq!(verified.nitro.map(|document| *document), authentic.ok());
        }
        Err(VerifyError::Nitro(error)) if authentic.is_err() => assert_eq!(authentic, Err(error)),
        Err(error) => {
            let is_said = broken.of_evidence().contains(&error.code());
            assert!(is_said, "refused for {error}, although only {:?}: {case:?}", broken.of_evidence());
        }
    }
    assert!(verify(&evidence, &Policy::nitro(case.images()), &EXPECTED).is_err(), "AWS has signed nothing here");
    let accepts = DevelopmentMode::i_understand_this_proves_nothing();
    let development = Policy::development(accepts, DevelopmentMeasurements::Any);
    assert_eq!(verify(&evidence, &development, &EXPECTED), Err(VerifyError::NitroEvidenceRefused));
}

/// The rule that was named is broken, where it was named.
fn blamed(broken: &[(Option<u8>, &'static str)], error: &NitroError, case: &Case) {
    let place = match error {
        NitroError::Certificate { place, .. } => Some(*place),
        _ => None,
    };
    assert!(broken.contains(&(place, error.code())), "refused for {error}, although only {broken:?}: {case:?}");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Otherwise the verifier could lose a rule, and the corpus would not say so.
    #[test]
    fn every_rule_is_what_refuses_a_seed() {
        let (mut refused, mut accepted) = (BTreeSet::new(), 0);
        for seed in seeds() {
            let case = bends::drawn(&seed);
            let Forged { root, cose, .. } = case.forged();
            let evidence = cbor::to_vec(&Document::Nitro { cose });
            match verify(&evidence, &Policy::nitro_under_test_root(case.images(), root), &EXPECTED) {
                Ok(_) => accepted += 1,
                Err(error) => drop(refused.insert(error.code())),
            }
        }
        assert_eq!(refused, rules::codes());
        assert!(accepted > 10, "{accepted} accepted");
    }
}
